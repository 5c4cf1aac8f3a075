//! Damage done by hand to a real directory, and what the walk says of it.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, Int16Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Schema;
use loglake_ingest::{IngestDependencies, Ingester, NoPeers, recover};
use loglake_model::{Clock, Column, ColumnType, NameForm, TableName, TableSchema, TenantName};
use tempfile::TempDir;

use super::*;
use crate::store::{Bucket, open_directory};
use crate::system::new_writer_id;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A lake whose process was killed: one commit of two rows, then four segments of one row each.
struct Lake {
    folder: TempDir,
    bucket: Bucket,
    writer: String,
}

fn rows(messages: &[&str]) -> RecordBatch {
    let message = Column::new("message", ColumnType::String, NameForm::Nested);
    let [timestamp, nanos] = TableSchema::time_fields();
    let schema = Schema::new(vec![timestamp, nanos, message.field()]);
    let times = messages.iter().map(|_| SystemClock.now().micros());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Int16Array::from_iter_values(messages.iter().map(|_| 0))),
        Arc::new(StringArray::from_iter_values(messages)),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn dependencies(store: &Arc<dyn ObjectStore>) -> IngestDependencies {
    let clock = Arc::new(SystemClock);
    let tables = Settings::default().tables();
    IngestDependencies {
        store: Arc::clone(store),
        catalog: Arc::new(Catalog::new(Arc::clone(store), clock.clone(), tables)),
        clock,
        new_writer_id: Arc::new(new_writer_id),
    }
}

impl Lake {
    async fn killed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bucket = open_directory(folder.path()).await.unwrap();
        let settings = Settings::default().ingest();
        let ingester = Ingester::start(dependencies(&bucket.store), settings, Arc::new(NoPeers));
        let ingester = ingester.await.unwrap();
        let table = ingester.table(&TenantName::unnamed(), &TableName::unnamed()).await.unwrap();
        let append = async |messages: &[&str]| {
            ingester.append(vec![(Arc::clone(&table), rows(messages))]).await.unwrap();
        };
        append(&["one", "two"]).await;
        ingester.flush().await.unwrap();
        for message in ["three", "four", "five", "six"] {
            append(&[message]).await;
        }
        let writer = ingester.writer().to_string();
        Self { folder, bucket, writer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.path(&format!("_wal/{}/{number:020}", self.writer))
    }

    fn log_entry(&self, version: u64) -> PathBuf {
        self.path(&format!("default/logs/_delta_log/{version:020}.json"))
    }

    /// The newest entry that is there.
    fn last_version(&self) -> u64 {
        (0..).take_while(|version| self.log_entry(*version).exists()).last().unwrap()
    }

    fn data_file(&self) -> PathBuf {
        let mut found = vec![];
        files_below(&self.path("default/logs"), &mut found);
        let parquet = |path: &PathBuf| path.extension().is_some_and(|e| e == "parquet");
        found.into_iter().find(parquet).unwrap()
    }

    async fn verify(&self) -> Report {
        verify(Arc::clone(&self.bucket.store), DAY).await.unwrap()
    }

    /// The one thing that the walk finds.
    async fn finding(&self) -> String {
        let report = self.verify().await;
        assert_eq!(report.findings.len(), 1, "{report}");
        report.findings.into_iter().next().unwrap()
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

fn flip_bit(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn replace(path: &Path, what: &str, with: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(what), "{what} is not in {text}");
    fs::write(path, text.replace(what, with)).unwrap();
}

#[tokio::test]
async fn a_lake_whose_process_was_killed_is_well_before_and_after_its_recovery() {
    let lake = Lake::killed().await;
    let report = lake.verify().await;
    assert!(report.is_clean(), "{report}");
    assert!((report.files, report.rows, report.writers) == (1, 2, 1), "{report}");
    assert!(report.segments >= 4, "{report}");
    let (store, settings) = (&lake.bucket.store, Settings::default().ingest());
    let writer = lake.writer.parse().unwrap();
    recover(&dependencies(store), &settings, writer).await.unwrap();
    let report = lake.verify().await;
    assert!(report.is_clean(), "{report}");
    assert!((report.rows, report.writers, report.segments) == (6, 0, 0), "{report}");
}

#[tokio::test]
async fn a_segment_removed_from_the_middle_is_missed() {
    for number in [2, 3] {
        let lake = Lake::killed().await;
        fs::remove_file(lake.segment(number)).unwrap();
        let finding = lake.finding().await;
        assert!(finding.contains(&format!("{number:020}: is missing")), "{finding}");
        // Nobody seals the log at the gap, and gives up what lies behind it.
        let (store, settings) = (&lake.bucket.store, Settings::default().ingest());
        let writer = lake.writer.parse().unwrap();
        recover(&dependencies(store), &settings, writer).await.unwrap_err();
        assert!(lake.finding().await.contains("is missing"));
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_segment_is_found_wherever_it_is() {
    let lake = Lake::killed().await;
    let path = lake.segment(2);
    let length = fs::metadata(&path).unwrap().len() as usize;
    for at in [0, 20, length / 2, length - 60, length - 1] {
        flip_bit(&path, at);
        let finding = lake.finding().await;
        assert!(finding.starts_with(&format!("_wal/{}/{:020}", lake.writer, 2)), "{finding}");
        flip_bit(&path, at);
    }
    assert!(lake.verify().await.is_clean());
}

#[tokio::test]
async fn a_flipped_bit_in_a_data_file_is_found_wherever_it_is() {
    let lake = Lake::killed().await;
    let path = lake.data_file();
    let length = fs::metadata(&path).unwrap().len() as usize;
    for at in [0, 10, length / 3, length / 2, length - 20, length - 1] {
        flip_bit(&path, at);
        let finding = lake.finding().await;
        assert!(finding.contains(".parquet: has checksum"), "{finding}");
        flip_bit(&path, at);
    }
    assert!(lake.verify().await.is_clean());
}

#[tokio::test]
async fn a_count_of_rows_that_is_not_the_file_s_is_found() {
    let lake = Lake::killed().await;
    replace(&lake.log_entry(lake.last_version()), "numRecords\\\":2", "numRecords\\\":3");
    let finding = lake.finding().await;
    assert!(finding.contains("has 2 rows, the table claims 3"), "{finding}");
}

#[tokio::test]
async fn an_orphan_is_found_once_its_grace_is_over() {
    let lake = Lake::killed().await;
    let orphan = lake.data_file().with_file_name("orphan.parquet");
    fs::copy(lake.data_file(), &orphan).unwrap();
    let report = lake.verify().await;
    assert!(report.is_clean() && report.young_orphans == 1, "{report}");
    let old = std::time::SystemTime::now() - 2 * DAY;
    fs::File::options().write(true).open(&orphan).unwrap().set_modified(old).unwrap();
    let finding = lake.finding().await;
    assert!(finding.contains("orphan.parquet: an orphan"), "{finding}");
}

#[tokio::test]
async fn a_commit_that_was_made_again_is_found() {
    let lake = Lake::killed().await;
    let last = lake.last_version();
    fs::copy(lake.log_entry(last), lake.log_entry(last + 1)).unwrap();
    let report = lake.verify().await;
    let said = report.to_string();
    assert!(said.contains("is the commit of entry"), "{said}");
    assert!(said.contains("again") && said.contains("and the watermark was"), "{said}");
}

#[tokio::test]
async fn rows_that_were_committed_again_under_another_name_are_found() {
    let lake = Lake::killed().await;
    let last = lake.last_version();
    let file = lake.data_file();
    let name = file.file_name().unwrap().to_str().unwrap();
    fs::copy(&file, file.with_file_name("twin.parquet")).unwrap();
    fs::copy(lake.log_entry(last), lake.log_entry(last + 1)).unwrap();
    replace(&lake.log_entry(last + 1), name, "twin.parquet");
    let said = lake.verify().await.to_string();
    assert!(said.contains("holds the same rows as"), "{said}");
    assert!(said.contains("and the watermark was"), "{said}");
}

/// Two files of the same bytes, and each row as often as it was sent.
#[tokio::test]
async fn rows_that_were_sent_twice_are_noted() {
    let lake = Lake::killed().await;
    let settings = Settings::default().ingest();
    let ingester = Ingester::start(dependencies(&lake.bucket.store), settings, Arc::new(NoPeers));
    let ingester = ingester.await.unwrap();
    let table = ingester.table(&TenantName::unnamed(), &TableName::unnamed()).await.unwrap();
    let sent = rows(&["seven"]);
    for _ in 0..2 {
        ingester.append(vec![(Arc::clone(&table), sent.clone())]).await.unwrap();
        ingester.flush().await.unwrap();
    }
    let report = lake.verify().await;
    assert!(report.is_clean(), "{report}");
    assert!(report.to_string().contains("holds the same rows as"), "{report}");
}

#[tokio::test]
async fn segments_of_a_writer_that_is_forgotten_are_found() {
    let lake = Lake::killed().await;
    fs::remove_file(lake.path(&format!("_writers/{}", lake.writer))).unwrap();
    let report = lake.verify().await;
    assert!(report.to_string().contains("its writer is forgotten"), "{report}");
}
