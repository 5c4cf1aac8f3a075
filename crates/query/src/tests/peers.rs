//! Fresh rows of other processes: from their memory when they answer, from their segments else.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use async_trait::async_trait;
use loglake_model::{SegmentSeq, WriterId};
use object_store::memory::InMemory;
use parking_lot::Mutex;

use super::integers;
use crate::testing::{MemoryRows, SmallLake, record_batch, writer_id};
use crate::{
    FreshAnswer, FreshAnswerer, FreshError, FreshRows, FreshScan, UpTo, decode_head, encode_scan,
};

const ALL: &str = "select seq from logs order by seq";

type Deed = Box<dyn FnOnce(&MemoryRows) + Send>;

/// Another process: its memory, and how it is.
struct Peer {
    memory: Arc<MemoryRows>,
    fault: Mutex<Option<FreshError>>,
    /// Done once, before it answers for the second time.
    before_second: Mutex<Option<Deed>>,
    asked: Mutex<Vec<FreshScan>>,
}

/// The processes that a querier without rows of its own knows. Every question and every answer goes
/// through the form in which it travels.
#[derive(Default)]
struct Cluster(HashMap<WriterId, Arc<Peer>>);

impl Cluster {
    fn join(&mut self, writer: WriterId) -> Arc<Peer> {
        let peer = Arc::new(Peer {
            memory: MemoryRows::new(Some(writer)),
            fault: Mutex::default(),
            before_second: Mutex::default(),
            asked: Mutex::default(),
        });
        self.0.insert(writer, Arc::clone(&peer));
        peer
    }
}

#[async_trait]
impl FreshRows for Cluster {
    fn own(&self) -> Option<WriterId> {
        None
    }

    fn can_ask(&self, writer: WriterId) -> bool {
        self.0.contains_key(&writer)
    }

    async fn rows(&self, scan: &FreshScan) -> Result<FreshAnswer, FreshError> {
        let peer = &self.0[&scan.writer];
        peer.asked.lock().push(scan.clone());
        if let Some(fault) = &*peer.fault.lock() {
            return Err(fault.clone());
        }
        if peer.asked.lock().len() == 2
            && let Some(act) = peer.before_second.lock().take()
        {
            act(&peer.memory);
        }
        let answerer = FreshAnswerer::new(Arc::clone(&peer.memory) as _).unwrap();
        let answer = answerer.answer(&encode_scan(scan)).await.map_err(|e| match e {
            crate::Unanswered::NoRows(error) => error,
            other => panic!("{other}"),
        })?;
        let head = decode_head(answer.head()).unwrap();
        let batches = answer.collect::<Result<Vec<_>, _>>().unwrap();
        Ok(FreshAnswer { up_to: head.up_to(), columns: head.columns, batches })
    }
}

/// A lake with a writer whose first three records are in a file, the next three in its memory and
/// its segments.
async fn lake_and_cluster() -> (SmallLake, Cluster, Arc<Peer>) {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), None);
    let (logs, writer) = (lake.table("logs").await, writer_id(1));
    lake.segments(&logs, writer, &[0..3, 3..6]).await;
    lake.commit(&logs, writer, None, 0, 0..3).await;
    let mut cluster = Cluster::default();
    let peer = cluster.join(writer);
    peer.memory.hold(logs.id(), SegmentSeq(1), record_batch(3..6));
    (lake, cluster, peer)
}

#[tokio::test]
async fn rows_come_from_the_memory_of_whoever_answers() {
    let (lake, cluster, peer) = lake_and_cluster().await;
    // Of this one nothing but the memory knows.
    let logs = lake.table("logs").await;
    peer.memory.hold(logs.id(), SegmentSeq(2), record_batch(6..8));
    assert_eq!(integers(&lake.engine_with(Arc::new(cluster)), ALL).await, [0, 1, 2, 3, 4, 5, 6, 7]);
    let asked = peer.asked.lock();
    assert_eq!((asked.len(), asked[0].above), (1, Some(SegmentSeq(0))));
}

/// The batch as decoders make large ones: texts with a dictionary.
fn with_dictionaries(batch: &RecordBatch) -> RecordBatch {
    let numbered = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| match field.data_type() {
        DataType::Utf8 => {
            let field = field.as_ref().clone().with_data_type(numbered.clone());
            (field, cast(column, &numbered).unwrap())
        }
        _ => (field.as_ref().clone(), Arc::clone(column)),
    });
    let (fields, columns): (Vec<_>, Vec<_>) = columns.unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[tokio::test]
async fn texts_come_with_dictionaries_and_in_full() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), None);
    let (logs, writer) = (lake.table("logs").await, writer_id(1));
    lake.segments(&logs, writer, &[0..3, 3..6]).await;
    let mut cluster = Cluster::default();
    let peer = cluster.join(writer);
    peer.memory.hold(logs.id(), SegmentSeq(0), with_dictionaries(&record_batch(0..3)));
    peer.memory.hold(logs.id(), SegmentSeq(1), record_batch(3..6));
    let engine = lake.engine_with(Arc::new(cluster));
    let sql =
        "select seq from logs where host in ('h1', 'h2') or \"http.path\" = '/login' order by seq";
    let found = integers(&engine, sql).await;
    *peer.fault.lock() = Some(FreshError::NotCurrent);
    assert_eq!(integers(&engine, sql).await, found, "read from its segments");
    assert_eq!(found, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn only_what_a_scan_needs_is_asked_for_and_the_filter_still_holds() {
    let (lake, cluster, peer) = lake_and_cluster().await;
    let engine = lake.engine_with(Arc::new(cluster));
    for (filter, seqs) in [
        ("seq = 4", vec![4]),
        ("message like '%/login%' and seq < 100", vec![3, 4, 5]),
        ("hour = 12 and seq > 4", vec![5]),
        ("attributes->'user'->>'id' = '5'", vec![5]),
        ("timestamp >= '2026-11-01T12:10:00Z'", vec![5]),
        ("timestamp >= now() - interval '110 minutes' or host is null and seq > 3", vec![5]),
        ("seq in (select max(seq) from logs)", vec![5]),
        ("seq > 2 and random() <= 1", vec![3, 4, 5]),
    ] {
        let sql = format!("select seq from logs where {filter} order by seq");
        assert_eq!(integers(&engine, &sql).await, seqs, "{filter}");
        let asked = std::mem::take(&mut *peer.asked.lock());
        let columns = asked[0].selection.columns.clone().unwrap();
        assert!(columns.len() <= 5, "{filter}: {columns:?}");
    }
    assert_eq!(integers(&engine, "select count(*) from logs").await, [6]);
    assert_eq!(peer.asked.lock()[0].selection.columns, Some(vec!["nanos".to_owned()]));
    peer.asked.lock().clear();
    assert_eq!(integers(&engine, "select seq from logs limit 2").await.len(), 2);
    assert_eq!(peer.asked.lock()[0].selection.limit, Some(2));
    // The filter is what makes the peer's answer small.
    let scan = FreshScan {
        writer: writer_id(1),
        table: lake.table("logs").await.id(),
        above: None,
        up_to: UpTo::Newest,
        selection: std::mem::take(&mut *peer.asked.lock()).remove(0).selection,
    };
    let answerer = FreshAnswerer::new(Arc::clone(&peer.memory) as _).unwrap();
    let rows: usize =
        answerer.answer(&encode_scan(&scan)).await.unwrap().map(|b| b.unwrap().num_rows()).sum();
    assert_eq!(rows, 2, "the limit");
}

#[tokio::test]
async fn whoever_gives_no_whole_answer_is_read_from_its_segments() {
    for fault in [FreshError::Silent("gone".into()), FreshError::NotCurrent] {
        let (lake, cluster, peer) = lake_and_cluster().await;
        *peer.fault.lock() = Some(fault);
        let found = integers(&lake.engine_with(Arc::new(cluster)), ALL).await;
        assert_eq!(found, [0, 1, 2, 3, 4, 5]);
        assert_eq!(peer.asked.lock().len(), 1, "asked once by one query");
    }
}

#[tokio::test]
async fn rows_that_were_let_go_are_in_a_newer_version() {
    let (lake, cluster, peer) = lake_and_cluster().await;
    let logs = lake.table("logs").await;
    let sql = "select count(*) from logs a full join logs b on a.seq = b.seq
               where a.seq is null or b.seq is null";
    // Between the two scans of one query the peer's rows are committed by it, and it lets them go.
    let bucket = Arc::clone(&lake.store);
    *peer.before_second.lock() = Some(Box::new(move |memory| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                futures::executor::block_on(async {
                    let lake = SmallLake::empty(bucket, None);
                    let logs = lake.table("logs").await;
                    lake.commit(&logs, writer_id(1), Some(0), 1, 3..6).await;
                });
            });
        });
        memory.let_go(SegmentSeq(1));
    }));
    let engine = lake.engine_with(Arc::new(cluster));
    assert_eq!(integers(&engine, sql).await, [0]);
    assert_eq!(logs.refresh().await.unwrap().rows(), 6);
    assert!(peer.asked.lock().len() >= 3, "it began again");
    assert_eq!(integers(&engine, ALL).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_table_read_twice_ends_with_the_same_segment() {
    let (lake, cluster, peer) = lake_and_cluster().await;
    let logs = lake.table("logs").await;
    *peer.before_second.lock() = Some(Box::new(move |memory| {
        memory.hold(logs.id(), SegmentSeq(2), record_batch(6..9));
    }));
    let sql = "select count(*) from logs a full join logs b on a.seq = b.seq
               where a.seq is null or b.seq is null";
    assert_eq!(integers(&lake.engine_with(Arc::new(cluster)), sql).await, [0]);
    let asked: Vec<UpTo> = peer.asked.lock().iter().map(|scan| scan.up_to).collect();
    assert_eq!(asked, [UpTo::Newest, UpTo::Segment(Some(SegmentSeq(1)))]);
}

/// The writer's process waits for the store's answer about its segment 1, which is stored. Somebody
/// seals the log, finds the rows there and answers for them.
#[tokio::test]
async fn rows_that_somebody_else_answered_for_are_seen() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), None);
    let (logs, writer) = (lake.table("logs").await, writer_id(1));
    lake.segments(&logs, writer, &[0..3, 3..6]).await;
    let mut cluster = Cluster::default();
    let peer = cluster.join(writer);
    peer.memory.hold(logs.id(), SegmentSeq(0), record_batch(0..3));
    let engine = lake.engine_with(Arc::new(cluster));
    assert_eq!(integers(&engine, ALL).await, [0, 1, 2], "nobody was answered for the rest yet");
    lake.seal(writer).await;
    assert_eq!(integers(&engine, ALL).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(peer.asked.lock().len(), 1, "not asked any more");
}

/// The same, where the query runs in the writer's own process.
#[tokio::test]
async fn also_in_the_process_that_does_not_know_it_yet() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(1)));
    let logs = lake.table("logs").await;
    lake.segments(&logs, writer_id(1), &[0..3, 3..6]).await;
    lake.hold(&logs, 0, 0..3);
    let engine = lake.engine();
    assert_eq!(integers(&engine, ALL).await, [0, 1, 2]);
    lake.seal(writer_id(1)).await;
    assert_eq!(integers(&engine, ALL).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_column_that_the_version_lacks_sends_the_query_to_a_newer_one() {
    let (lake, cluster, peer) = lake_and_cluster().await;
    let engine = lake.engine_with(Arc::new(cluster));
    let logs = lake.table("logs").await;
    let new = loglake_model::Column::new(
        "extra",
        loglake_model::ColumnType::Int64,
        loglake_model::NameForm::Nested,
    );
    let batch = record_batch(6..7);
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(new.field()));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(arrow::array::Int64Array::from(vec![7])));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let batch = arrow::array::RecordBatch::try_new(schema, columns).unwrap();
    peer.memory.hold(logs.id(), SegmentSeq(2), batch);
    let error = super::rows(&engine, ALL).await.expect_err("the column is nowhere");
    assert_eq!(error.kind(), loglake_model::ErrorKind::Retry, "{error}");
    logs.add_columns(&[new]).await.unwrap();
    assert_eq!(integers(&engine, "select extra from logs where seq = 6").await, [7]);
}
