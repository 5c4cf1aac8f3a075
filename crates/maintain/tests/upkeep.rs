//! What upkeep removes, what it leaves, and what an idle lake costs.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use loglake_coord::InProcess;
use loglake_format::EncoderSettings;
use loglake_maintain::{MaintainDependencies, keys, logs, maintain, vacuum::vacuum};
use loglake_model::{
    Clock, ErrorKind, FileStats, Partition, PartitionBy, SegmentSeq, TableName, TenantName,
    Timestamp, WriterId,
};
use loglake_table::{Catalog, DataFile, Flush, Rewrite, RewriteKind, Table, TableSettings};
use loglake_wal::testing::{Fault, FaultyStore, Operation};
use loglake_wal::{Reader, Recoverer};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[path = "upkeep/compaction.rs"]
mod compaction;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap())
    }
}

struct Lake {
    folder: TempDir,
    store: Arc<dyn ObjectStore>,
    table: Arc<Table>,
}

fn catalog(store: &Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Catalog {
    let settings = TableSettings {
        columns_max: 100,
        checkpoint_interval: 1_000,
        partition_by: PartitionBy::Hour,
    };
    Catalog::new(Arc::clone(store), clock, settings)
}

fn writer(n: u128) -> WriterId {
    WriterId::from_uuid(Uuid::from_u128(n))
}

impl Lake {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(store);
        let catalog = catalog(&store, Arc::new(Now));
        let table = catalog.table_or_create(&TenantName::unnamed(), &TableName::unnamed()).await;
        Self { folder, store, table: table.unwrap() }
    }

    async fn put(&self, name: &str, age: Duration) {
        self.store.put(&Path::from(name), "x".into()).await.unwrap();
        let file = fs::File::options().write(true).open(self.folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    /// A data file of this age in the store; not in the table.
    async fn data_file(&self, age: Duration) -> DataFile {
        let partition = Partition::of(0, PartitionBy::Hour);
        let path = self.table.new_file_path(&partition);
        self.put(&self.absolute(&path), age).await;
        let (stats, modified) = (FileStats::default(), Now.now());
        DataFile {
            path,
            partition,
            bytes: 1,
            rows: 1,
            stats,
            modified,
            checksum: None,
            words: None,
        }
    }

    fn absolute(&self, path: &Path) -> String {
        Path::from_iter(self.table.root().parts().chain(path.parts())).to_string()
    }

    async fn commit(&self, n: u64, file: &DataFile) {
        let from = n.checked_sub(1).map(SegmentSeq);
        let files = vec![file.clone()];
        let flush = Flush { writer: writer(1), from, to: SegmentSeq(n), files, offsets: vec![] };
        self.table.commit_flush(&flush).await.unwrap();
    }

    async fn vacuum(&self, grace: Duration) -> usize {
        vacuum(self.store.as_ref(), &self.table, Now.now(), grace).await.unwrap()
    }
}

#[tokio::test]
async fn what_the_table_does_not_name_goes_once_it_is_old() {
    let lake = Lake::new().await;
    let named = lake.data_file(9 * DAY).await;
    lake.commit(0, &named).await;
    let old = lake.data_file(2 * DAY).await;
    let young = lake.data_file(HOUR).await;
    lake.put("default/logs/_index/old", 9 * DAY).await;
    assert_eq!(lake.vacuum(DAY).await, 1);
    assert!(!lake.has(&lake.absolute(&old.path)));
    for kept in [&named.path, &young.path] {
        assert!(lake.has(&lake.absolute(kept)), "{kept}");
    }
    assert!(lake.has("default/logs/_index/old"));
    // Nothing is due any more, and nothing is written.
    let version = lake.table.refresh().await.unwrap().version();
    assert_eq!(lake.vacuum(DAY).await, 0);
    assert_eq!(lake.table.refresh().await.unwrap().version(), version);
}

#[tokio::test]
async fn a_flush_whose_file_may_have_been_taken_is_refused() {
    let lake = Lake::new().await;
    // Slow: named and put, and not committed for so long that its file counts as an orphan.
    let slow = lake.data_file(2 * DAY).await;
    assert_eq!(lake.vacuum(DAY).await, 1);
    let flush = Flush {
        writer: writer(1),
        from: None,
        to: SegmentSeq(0),
        files: vec![slow.clone()],
        offsets: vec![],
    };
    let refused = lake.table.commit_flush(&flush).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Retry, "{refused}");
    assert!(!lake.table.refresh().await.unwrap().contains(&slow.path));
    // Its rows go into a new file, whose name is younger than the vacuum.
    let again = lake.data_file(2 * DAY).await;
    lake.commit(0, &again).await;
    assert_eq!(lake.vacuum(DAY).await, 0);
    assert!(lake.has(&lake.absolute(&again.path)));
}

#[tokio::test]
async fn a_file_stays_for_a_while_after_it_was_removed_from_the_table() {
    let lake = Lake::new().await;
    let file = lake.data_file(9 * DAY).await;
    lake.commit(0, &file).await;
    let removes = vec![Arc::new(file.clone())];
    let rewrite = Rewrite { kind: RewriteKind::Deletion, removes, adds: vec![] };
    lake.table.commit_rewrite(&rewrite).await.unwrap();
    assert_eq!(lake.vacuum(HOUR).await, 0);
    assert!(lake.has(&lake.absolute(&file.path)), "a query may still read it");
    assert_eq!(lake.vacuum(Duration::ZERO).await, 1);
    assert!(!lake.has(&lake.absolute(&file.path)));
}

#[tokio::test]
async fn two_vacuums_at_once_are_harmless() {
    let lake = Lake::new().await;
    for n in 0..5 {
        let file = lake.data_file(2 * DAY).await;
        lake.commit(n, &file).await;
        lake.data_file(2 * DAY).await;
    }
    let (one, two) = tokio::join!(lake.vacuum(DAY), lake.vacuum(DAY));
    assert!(one + two >= 5, "{one} {two}");
    let version = lake.table.refresh().await.unwrap();
    assert_eq!(version.files().len(), 5);
    assert!(version.files().all(|file| lake.has(&lake.absolute(&file.path))));
}

#[tokio::test]
async fn claims_go_when_all_of_a_key_are_older_than_the_promise() {
    let lake = Lake::new().await;
    lake.put("_writers/0", Duration::ZERO).await;
    lake.put("_keys/default/aa-0", 2 * DAY).await;
    lake.put("_keys/default/aa-stored", 2 * DAY).await;
    // The second attempt succeeded late: the first claim must not be free before it is forgotten.
    lake.put("_keys/default/bb-0", 2 * DAY).await;
    lake.put("_keys/default/bb-1", HOUR).await;
    lake.put("_keys/other/cc-0", DAY + HOUR).await;
    lake.put("_keys/other/dd-0", HOUR).await;
    assert_eq!(keys::sweep(lake.store.as_ref(), keys::AGE).await.unwrap(), 2);
    assert!(!lake.has("_keys/default/aa-0") && !lake.has("_keys/default/aa-stored"));
    for kept in ["_keys/default/bb-0", "_keys/default/bb-1", "_keys/other/cc-0", "_keys/other/dd-0"]
    {
        assert!(lake.has(kept), "{kept}");
    }
}

#[tokio::test]
async fn remains_of_a_log_go_after_a_month_and_a_log_never() {
    let lake = Lake::new().await;
    let month = 31 * DAY;
    let recoverer = Recoverer::new(Arc::clone(&lake.store));
    for n in 1..=4 {
        lake.put(&format!("_writers/{}", writer(n)), Duration::ZERO).await;
        recoverer.seal(writer(n)).await.unwrap();
        if n != 4 {
            recoverer.forget(writer(n)).await.unwrap();
        }
        let age = if n == 2 { DAY } else { month };
        lake.put_age(&format!("_wal/{}/{:020}", writer(n), 0), age);
    }
    // Of the third something is left that looks like a segment.
    lake.put(&format!("_wal/{}/{:020}", writer(3), 0), month).await;
    let reader = Reader::new(Arc::clone(&lake.store));
    assert_eq!(logs::sweep(lake.store.as_ref(), &reader, logs::AGE).await.unwrap(), 1);
    let left = |n: u128| lake.has(&format!("_wal/{}/{:020}", writer(n), 0));
    assert_eq!([1, 2, 3, 4].map(left), [false, true, true, true]);
}

impl Lake {
    fn put_age(&self, name: &str, age: Duration) {
        let file = fs::File::options().write(true).open(self.folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
}

/// The time of the runtime, which tests pause.
#[derive(Debug)]
struct Paused(tokio::time::Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        let since = i64::try_from(self.0.elapsed().as_nanos()).unwrap();
        Timestamp::from_nanos(1_800_000_000_000_000_000 + since)
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_lake_is_not_written_to_and_hardly_asked() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let clock = Arc::new(Paused(tokio::time::Instant::now()));
    for n in 0..10 {
        let name = TableName::new(&format!("table{n}")).unwrap();
        let catalog = catalog(&inner, clock.clone());
        catalog.table_or_create(&TenantName::unnamed(), &name).await.unwrap();
    }
    let asked: Arc<Mutex<Vec<Operation>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let script = move |operation: Operation, _: &Path| {
        noted.lock().push(operation);
        Fault::None
    };
    let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(inner, Box::new(script)));
    let dependencies = MaintainDependencies {
        catalog: Arc::new(catalog(&store, clock.clone())),
        coordinator: Arc::new(InProcess::new()),
        clock,
        encoder: EncoderSettings::default(),
        store,
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(maintain(dependencies, stop.clone()));
    tokio::time::sleep(10 * DAY + HOUR / 2).await;
    stop.cancel();
    running.await.unwrap();
    let asked = asked.lock();
    let reads = |operation: &Operation| matches!(operation, Operation::List | Operation::Get);
    assert!(asked.iter().all(reads), "a write");
    let hours = 240;
    assert!((2 * hours..6 * hours).contains(&asked.len()), "{} requests", asked.len());
}
