//! The write path over a store in memory: what is acknowledged is there once, in memory, in segments
//! or in files, whatever happened to the writer.

#![allow(clippy::unwrap_used)]

mod once;
mod recovery;
mod routing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{
    ArrayRef, Int16Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Schema;
use loglake_ingest::{FreshRows, IngestDependencies, IngestSettings, Ingester, NoPeers, recover};
use loglake_model::{
    Clock, Column, ColumnType, NameForm, PartitionBy, SegmentSeq, TableName, TableSchema,
    TenantName, Timestamp, WriterId,
};
use loglake_table::{Catalog, Table, TableSettings};
use loglake_wal::{Reader, Recoverer, WalSettings};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use uuid::Uuid;

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(1_793_534_400_000_000_000)
    }
}

fn dependencies(store: &Arc<dyn ObjectStore>) -> IngestDependencies {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let settings = TableSettings {
        columns_max: 100,
        checkpoint_interval: 10,
        partition_by: PartitionBy::Hour,
    };
    IngestDependencies {
        store: Arc::clone(store),
        catalog: Arc::new(Catalog::new(Arc::clone(store), Arc::new(Noon), settings)),
        clock: Arc::new(Noon),
        new_writer_id: Arc::new(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            WriterId::from_uuid(Uuid::from_u128(u128::from(number)))
        }),
    }
}

fn settings() -> IngestSettings {
    IngestSettings {
        flush_bytes: 1 << 30,
        flush_age: Duration::from_secs(3600),
        buffer_bytes_max: 64 << 20,
        buffer_wait_max: Duration::from_millis(50),
        writer_age_max: Duration::from_secs(24 * 3600),
        wal: WalSettings::default(),
        encoder: loglake_format::EncoderSettings::default(),
    }
}

/// One batch of rows with the numbers given, in a field that the table may not know yet.
fn rows(numbers: &[i64]) -> RecordBatch {
    let number = Column::new("number", ColumnType::Int64, NameForm::Nested);
    let message = Column::new("message", ColumnType::String, NameForm::Nested);
    let [timestamp, nanos] = TableSchema::time_fields();
    let schema = Schema::new(vec![timestamp, nanos, message.field(), number.field()]);
    let micros = numbers.iter().map(|n| Noon.now().micros() + n);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC")),
        Arc::new(Int16Array::from_iter_values(numbers.iter().map(|_| 0))),
        Arc::new(StringArray::from_iter_values(numbers.iter().map(|n| format!("row {n}")))),
        Arc::new(Int64Array::from_iter_values(numbers.iter().copied())),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("columns of one length")
}

async fn logs(ingester: &Ingester) -> Arc<Table> {
    ingester.table(&TenantName::unnamed(), &TableName::unnamed()).await.expect("a table")
}

async fn append(ingester: &Ingester, numbers: &[i64]) {
    let table = logs(ingester).await;
    ingester.append(vec![(table, rows(numbers))]).await.expect("taken in");
}

/// Rows in the table's files and rows in this ingester's memory above the watermark.
async fn counted(ingester: &Ingester) -> (u64, usize) {
    let table = logs(ingester).await;
    let version = table.refresh().await.expect("a version");
    let writer = ingester.writer();
    let fresh = ingester.fresh_rows(writer, table.id(), version.watermark(writer), None);
    let FreshRows::Held { batches, .. } = fresh else {
        panic!("nothing above the newest watermark was let go: {fresh:?}")
    };
    (version.rows(), batches.iter().map(RecordBatch::num_rows).sum())
}

async fn start(dependencies: &IngestDependencies) -> Arc<Ingester> {
    Ingester::start(dependencies.clone(), settings(), Arc::new(NoPeers)).await.expect("a start")
}

#[tokio::test]
async fn rows_move_from_memory_to_files_and_are_never_in_both() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let dependencies = dependencies(&store);
    let ingester = start(&dependencies).await;
    append(&ingester, &[1, 2]).await;
    append(&ingester, &[3]).await;
    assert_eq!(counted(&ingester).await, (0, 3));
    ingester.flush().await.expect("a flush");
    assert_eq!(counted(&ingester).await, (3, 0));
    append(&ingester, &[4]).await;
    assert_eq!(counted(&ingester).await, (3, 1));
    assert!(logs(&ingester).await.current().schema().column("number").is_some());
}

#[tokio::test]
async fn an_older_snapshot_is_told_that_its_rows_were_let_go() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let dependencies = dependencies(&store);
    let ingester = start(&dependencies).await;
    append(&ingester, &[1]).await;
    let table = logs(&ingester).await;
    ingester.flush().await.expect("a flush");
    let told = ingester.fresh_rows(ingester.writer(), table.id(), None, None);
    assert!(matches!(told, FreshRows::LetGo));
    let another = WriterId::from_uuid(Uuid::from_u128(u128::MAX));
    let told = ingester.fresh_rows(another, table.id(), Some(SegmentSeq(9)), None);
    assert!(matches!(told, FreshRows::NotCurrent));
}

#[tokio::test]
async fn a_second_look_up_to_the_same_segment_finds_the_same_rows() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let ingester = start(&dependencies(&store)).await;
    append(&ingester, &[1, 2]).await;
    let table = logs(&ingester).await;
    let look = |last| match ingester.fresh_rows(ingester.writer(), table.id(), None, last) {
        FreshRows::Held { up_to, batches } => {
            (up_to, batches.iter().map(RecordBatch::num_rows).sum::<usize>())
        }
        other => panic!("{other:?}"),
    };
    let (first, rows) = look(None);
    assert_eq!(rows, 2);
    append(&ingester, &[3]).await;
    assert_eq!(look(Some(first)), (first, 2));
    assert_eq!(look(Some(None)), (None, 0));
    assert_eq!(look(None).1, 3);
}

#[tokio::test(start_paused = true)]
async fn committed_segments_are_trimmed_when_nobody_can_ask_about_them_and_others_stay() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let dependencies = dependencies(&store);
    let ingester = start(&dependencies).await;
    append(&ingester, &[1]).await;
    ingester.flush().await.expect("a flush");
    append(&ingester, &[2]).await;
    let log = async || Reader::new(Arc::clone(&store)).log(ingester.writer()).await.expect("a log");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((log().await.floor, log().await.segments.len()), (None, 2));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!((log().await.floor, log().await.segments.len()), (Some(SegmentSeq(0)), 1));
}

#[tokio::test]
async fn a_dead_writers_rows_are_recovered_once_by_whoever_comes() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let dead = start(&dependencies(&store)).await;
    append(&dead, &[1, 2]).await;
    dead.flush().await.expect("a flush");
    append(&dead, &[3]).await;
    append(&dead, &[4, 5]).await;

    let (one, two) = (dependencies(&store), dependencies(&store));
    let settings = settings();
    let (first, second) = tokio::join!(
        recover(&one, &settings, dead.writer()),
        recover(&two, &settings, dead.writer()),
    );
    assert!(first.is_ok() || second.is_ok(), "{first:?} {second:?}");
    recover(&one, &settings, dead.writer()).await.expect("a third time is harmless");

    let next = start(&two).await;
    assert_eq!(counted(&next).await, (5, 0));
    let reader = Reader::new(store);
    assert!(reader.log(dead.writer()).await.expect("a log").segments.is_empty());
    assert_eq!(reader.writers().await.expect("writers"), vec![next.writer()]);
}

#[tokio::test]
async fn a_recovered_writer_that_still_lives_commits_nothing_twice_and_starts_anew() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let zombie = start(&dependencies(&store)).await;
    append(&zombie, &[1, 2]).await;
    let first_life = zombie.writer();
    recover(&dependencies(&store), &settings(), first_life).await.expect("recovered");

    // Its next append finds the seal; after it a new writer takes rows.
    let table = logs(&zombie).await;
    zombie.append(vec![(table, rows(&[3]))]).await.expect_err("fenced");
    let mut writer = zombie.watch_writer();
    writer.wait_for(|writer| *writer != first_life).await.expect("a new writer");
    append(&zombie, &[4]).await;
    assert_eq!(counted(&zombie).await, (2, 1));
}

#[tokio::test]
async fn a_recovered_writer_that_only_flushes_starts_anew_too() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let zombie = start(&dependencies(&store)).await;
    append(&zombie, &[1, 2]).await;
    let first_life = zombie.writer();
    let mut writer = zombie.watch_writer();
    recover(&dependencies(&store), &settings(), first_life).await.expect("recovered");

    // Its memory still has the rows; its commit is refused.
    zombie.flush().await.expect_err("somebody else committed them");
    assert_eq!(logs(&zombie).await.refresh().await.expect("a version").rows(), 2);
    let anew = writer.wait_for(|writer| *writer != first_life);
    tokio::time::timeout(Duration::from_secs(20), anew).await.expect("in time").expect("a writer");
    assert_eq!(counted(&zombie).await, (2, 0));
}

#[tokio::test]
async fn at_its_end_everything_is_committed_and_nothing_is_left_behind() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let dependencies = dependencies(&store);
    let ingester = start(&dependencies).await;
    append(&ingester, &[1, 2, 3]).await;
    ingester.shutdown().await.expect("a good end");
    assert_eq!(logs(&ingester).await.refresh().await.expect("a version").rows(), 3);
    assert!(Reader::new(store).writers().await.expect("writers").is_empty());
}

#[tokio::test]
async fn a_full_buffer_tells_senders_to_come_back_and_takes_them_after_a_flush() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let dependencies = dependencies(&store);
    let tight = IngestSettings { buffer_bytes_max: 1, ..settings() };
    let ingester =
        Ingester::start(dependencies.clone(), tight, Arc::new(NoPeers)).await.expect("a start");
    let table = logs(&ingester).await;
    // The first goes through: alone it may be larger than the bound. The policy flushes it at once.
    append(&ingester, &[1]).await;
    let mut told = 0;
    while let Err(e) = ingester.append(vec![(Arc::clone(&table), rows(&[2]))]).await {
        assert_eq!(e.kind(), loglake_model::ErrorKind::Overloaded, "{e}");
        told += 1;
        assert!(told < 100, "no room after a flush");
    }
    ingester.flush().await.expect("a flush");
    assert_eq!(counted(&ingester).await, (2, 0));
}

#[tokio::test]
async fn rows_of_a_segment_that_a_table_has_already_are_not_recovered_again() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let dead = start(&dependencies(&store)).await;
    append(&dead, &[1]).await;
    append(&dead, &[2]).await;
    let log = Recoverer::new(Arc::clone(&store)).seal(dead.writer()).await.expect("sealed");
    assert_eq!(log.segments.len(), 2);
    // A recoverer that died after its commit and before its trim.
    let one = dependencies(&store);
    recover(&one, &settings(), dead.writer()).await.expect("recovered");
    let two = dependencies(&store);
    recover(&two, &settings(), dead.writer()).await.expect("harmless");
    let next = start(&two).await;
    assert_eq!(counted(&next).await, (2, 0));
}
