//! Consumers that take partitions from each other, die, hang and come back: each record of the queue is
//! in the lake once, whatever happened.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use loglake_collect::{
    Claim, CollectDependencies, CollectError, Partition, Queue, Tenure, Tenures,
};
use loglake_coord::InProcess;
use loglake_ingest::{IngestDependencies, IngestSettings, Ingester, NoPeers, recover};
use loglake_model::{
    Clock, ErrorKind, Limits, Offsets, PartitionBy, SegmentSeq, TableName, TenantName, Timestamp,
    WriterId,
};
use loglake_receive::DecodeContext;
use loglake_receive::kafka::{
    ConsumedContext, ConsumedRecord, PayloadFormat, RecordFields, decode_consumed,
};
use loglake_table::{Catalog, FlushOutcome, TableError, TableSettings};
use loglake_wal::{Reader, WalSettings};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use proptest::prelude::*;
use uuid::Uuid;

const QUEUE: &str = "kafka/c/t/0";

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(1_793_534_400_000_000_000)
    }
}

/// A queue that has the records `first..end`, the number of each as its payload.
struct Numbers {
    first: AtomicU64,
    end: AtomicU64,
}

#[async_trait]
impl Queue for Numbers {
    async fn bounds(&self, _: &str, _: i32) -> Result<(u64, u64), CollectError> {
        Ok((self.first.load(Ordering::SeqCst), self.end.load(Ordering::SeqCst)))
    }

    async fn beginning(&self, _: &str, _: i32, bounds: (u64, u64)) -> Result<u64, CollectError> {
        Ok(bounds.0)
    }
}

struct Process {
    ingester: Arc<Ingester>,
    tenures: Tenures,
    tenure: Option<Tenure>,
    next: u64,
}

fn ingest_dependencies(store: &Arc<dyn ObjectStore>) -> IngestDependencies {
    let settings = TableSettings {
        columns_max: 100,
        checkpoint_interval: 10,
        partition_by: PartitionBy::Hour,
    };
    IngestDependencies {
        store: Arc::clone(store),
        catalog: Arc::new(Catalog::new(Arc::clone(store), Arc::new(Noon), settings)),
        clock: Arc::new(Noon),
        new_writer_id: Arc::new(|| WriterId::from_uuid(Uuid::now_v7())),
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

fn partition() -> Partition {
    Partition { topic: "t".into(), partition: 0, table: TableName::unnamed() }
}

impl Process {
    async fn start(store: &Arc<dyn ObjectStore>) -> Self {
        let dependencies = ingest_dependencies(store);
        let ingester =
            Ingester::start(dependencies.clone(), settings(), Arc::new(NoPeers)).await.unwrap();
        let deps = CollectDependencies {
            store: Arc::clone(store),
            catalog: dependencies.catalog,
            ingester: Arc::clone(&ingester),
            coordinator: Arc::new(InProcess::new()),
            clock: Arc::new(Noon),
            tenant: TenantName::unnamed(),
        };
        Self { ingester, tenures: Tenures::new(deps, "kafka/c"), tenure: None, next: 0 }
    }

    async fn acquire(&mut self, queue: &Numbers) -> Result<(), CollectError> {
        let tenure = self.tenures.acquire(queue, &partition()).await?;
        self.next = tenure.gap_to.unwrap_or(tenure.from);
        self.tenure = Some(tenure);
        Ok(())
    }

    /// Stores the next `count` records, as far as there are some. After an error the tenure is over.
    async fn consume(&mut self, queue: &Numbers, count: u64) {
        let Some(tenure) = self.tenure.clone() else { return };
        let to = queue.end.load(Ordering::SeqCst).min(self.next + count);
        if to == self.next {
            return;
        }
        match self.append(tenure.writer, self.next, to).await {
            Ok(()) => self.next = to,
            Err(_) => self.tenure = None,
        }
    }

    async fn append(&self, writer: WriterId, from: u64, to: u64) -> Result<(), CollectError> {
        let table = self.ingester.table(&TenantName::unnamed(), &TableName::unnamed()).await?;
        let batch = rows(table.current().schema(), from, to);
        let offsets = Offsets { source: QUEUE.into(), from, to };
        Ok(self.ingester.append_collected(writer, vec![(table, batch)], offsets).await?)
    }

    async fn give_up(&mut self) {
        if let Some(tenure) = self.tenure.take() {
            // Refused when another process has ended this writer's log.
            let _ = self.tenures.give_up(&tenure, self.next).await;
        }
    }
}

fn rows(schema: &loglake_model::TableSchema, from: u64, to: u64) -> RecordBatch {
    let payloads: Vec<String> = (from..to).map(|n| format!("{{\"n\":{n}}}")).collect();
    let records: Vec<_> = payloads
        .iter()
        .map(|payload| ConsumedRecord { value: Some(payload.as_bytes()), ..Default::default() })
        .collect();
    let limits = Limits::default();
    let decode = DecodeContext { schema, limits: &limits, arrival: Noon.now() };
    let (format, fields) = (PayloadFormat::Json, RecordFields::default());
    decode_consumed(&records, &ConsumedContext { decode, topic: "t", format, fields }).batch
}

/// How often each number is in the lake: in files and, above the watermarks, in any log.
async fn counted(store: &Arc<dyn ObjectStore>) -> BTreeMap<i64, usize> {
    let dependencies = ingest_dependencies(store);
    let reader = Reader::new(Arc::clone(store));
    let mut counts = BTreeMap::new();
    let catalog = &dependencies.catalog;
    let table = catalog.table(&TenantName::unnamed(), &TableName::unnamed()).await.unwrap();
    let Some(table) = table else { return counts };
    let state = table.refresh().await.unwrap();
    let mut take = |batch: &RecordBatch| {
        let column = batch.column_by_name("n").unwrap().as_primitive::<Int64Type>();
        for n in column.iter().flatten() {
            *counts.entry(n).or_default() += 1;
        }
    };
    for writer in reader.writers().await.unwrap() {
        for (seq, _) in reader.log(writer).await.unwrap().segments {
            if state.watermark(writer) < Some(seq) {
                reader.rows(writer, seq, table.id()).await.unwrap().iter().for_each(&mut take);
            }
        }
    }
    for file in state.files() {
        let path = format!("{}/{}", table.root(), file.path);
        let bytes = object_store::ObjectStoreExt::get(store, &path.into()).await.unwrap();
        let bytes = bytes.bytes().await.unwrap();
        let file = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes);
        for batch in file.unwrap().build().unwrap() {
            take(&batch.unwrap());
        }
    }
    counts
}

fn once(end: u64) -> BTreeMap<i64, usize> {
    (0..end as i64).map(|n| (n, 1)).collect()
}

fn numbers(end: u64) -> Numbers {
    Numbers { first: AtomicU64::new(0), end: AtomicU64::new(end) }
}

fn store() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_was_given_up_goes_on_where_it_was() {
    let (store, queue) = (store(), numbers(30));
    let (mut one, mut two) = (Process::start(&store).await, Process::start(&store).await);
    one.acquire(&queue).await.unwrap();
    one.consume(&queue, 10).await;
    one.give_up().await;
    // Its rows are committed, and the table's count is.
    let table = one.ingester.table(&TenantName::unnamed(), &TableName::unnamed()).await.unwrap();
    assert_eq!(table.refresh().await.unwrap().offset(QUEUE), Some(10));
    two.acquire(&queue).await.unwrap();
    assert_eq!(two.next, 10);
    two.consume(&queue, 10).await;
    two.give_up().await;
    one.acquire(&queue).await.unwrap();
    one.consume(&queue, 10).await;
    assert_eq!(counted(&store).await, once(30));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_silent_loses_its_writer_and_logs_nothing_more() {
    let (store, queue) = (store(), numbers(30));
    let (mut silent, mut two) = (Process::start(&store).await, Process::start(&store).await);
    silent.acquire(&queue).await.unwrap();
    silent.consume(&queue, 10).await;
    two.acquire(&queue).await.unwrap();
    assert_eq!(two.next, 10);
    // It wakes up and goes on as if nothing had happened.
    let zombie = silent.tenure.clone().unwrap();
    let refused = silent.append(zombie.writer, 10, 20).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    two.consume(&queue, 20).await;
    assert_eq!(counted(&store).await, once(30));
    // Nor does it give up what is another's.
    silent.give_up().await;
    let last = two.tenures.claims().last("t", 0).await.unwrap().unwrap();
    assert_eq!(last.1.writer, Some(two.ingester.writer()));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_was_replaced_takes_its_partition_anew() {
    let (store, queue) = (store(), numbers(30));
    let mut one = Process::start(&store).await;
    one.acquire(&queue).await.unwrap();
    one.consume(&queue, 10).await;
    let first = one.ingester.writer();
    recover(&ingest_dependencies(&store), &settings(), first).await.unwrap();
    one.consume(&queue, 10).await;
    assert_eq!(one.tenure, None);
    one.ingester.watch_writer().wait_for(|writer| *writer != first).await.unwrap();
    one.acquire(&queue).await.unwrap();
    one.consume(&queue, 20).await;
    assert_eq!(counted(&store).await, once(30));
    // The same writer again, without having given up.
    one.acquire(&queue).await.unwrap();
    assert_eq!(one.next, 30);
}

#[tokio::test(start_paused = true)]
async fn what_retention_took_is_a_gap_and_what_lies_past_the_end_is_an_error() {
    let (store, queue) = (store(), numbers(30));
    let mut one = Process::start(&store).await;
    one.acquire(&queue).await.unwrap();
    one.consume(&queue, 10).await;
    one.give_up().await;
    queue.first.store(25, Ordering::SeqCst);
    one.acquire(&queue).await.unwrap();
    let tenure = one.tenure.clone().unwrap();
    assert_eq!((tenure.from, tenure.gap_to), (10, Some(25)));
    one.give_up().await;
    queue.first.store(0, Ordering::SeqCst);
    queue.end.store(3, Ordering::SeqCst);
    let error = one.acquire(&queue).await.unwrap_err();
    assert!(matches!(error, CollectError::PastTheEnd { end: 3, .. }), "{error}");
}

/// Claims keep two writers from logging the same records. Were they to fail, the commit would: of two
/// writers that have the same records in their logs one commits.
#[tokio::test(start_paused = true)]
async fn records_that_two_writers_logged_are_committed_by_one() {
    let (store, queue) = (store(), numbers(30));
    let (mut one, two) = (Process::start(&store).await, Process::start(&store).await);
    one.acquire(&queue).await.unwrap();
    one.consume(&queue, 20).await;
    // Nobody asks whose the partition is.
    two.append(two.ingester.writer(), 10, 30).await.unwrap();
    one.ingester.flush().await.unwrap();
    let refused = two.ingester.flush().await.unwrap_err();
    assert!(refused.to_string().contains("has the records of kafka/c/t/0 up to 20"), "{refused}");
    let table = two.ingester.table(&TenantName::unnamed(), &TableName::unnamed()).await.unwrap();
    let state = table.refresh().await.unwrap();
    assert_eq!((state.rows(), state.offset(QUEUE)), (20, Some(20)));
    let flush = loglake_table::Flush {
        writer: WriterId::from_uuid(Uuid::from_u128(9)),
        from: None,
        to: SegmentSeq(0),
        files: vec![],
        offsets: vec![Offsets { source: QUEUE.into(), from: 19, to: 21 }],
    };
    let refused = table.commit_flush(&flush).await;
    assert!(matches!(refused, Err(TableError::Overlap { committed: 20, .. })), "{refused:?}");
    let next = Offsets { source: QUEUE.into(), from: 20, to: 21 };
    let flush = loglake_table::Flush { offsets: vec![next], ..flush };
    assert!(matches!(table.commit_flush(&flush).await, Ok(FlushOutcome::Committed(_))));
}

/// What happens to the processes, in an order that proptest makes up.
#[derive(Clone, Debug)]
enum Step {
    Consume {
        at: usize,
        count: u64,
    },
    /// As the group decides it.
    Take {
        at: usize,
    },
    GiveUp {
        at: usize,
    },
    Flush {
        at: usize,
    },
    /// Gone without a word; another takes its place.
    Die {
        at: usize,
    },
    /// Somebody believes it dead.
    Seal {
        at: usize,
    },
}

const PROCESSES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let at = 0..PROCESSES;
    prop_oneof![
        6 => (at.clone(), 1u64..20).prop_map(|(at, count)| Step::Consume { at, count }),
        3 => at.clone().prop_map(|at| Step::Take { at }),
        1 => at.clone().prop_map(|at| Step::GiveUp { at }),
        1 => at.clone().prop_map(|at| Step::Flush { at }),
        1 => at.clone().prop_map(|at| Step::Die { at }),
        1 => at.prop_map(|at| Step::Seal { at }),
    ]
}

async fn play(steps: Vec<Step>) {
    let (store, queue) = (store(), numbers(0));
    let mut processes = vec![];
    for _ in 0..PROCESSES {
        processes.push(Process::start(&store).await);
    }
    for step in steps {
        queue.end.fetch_add(7, Ordering::SeqCst);
        match step {
            Step::Consume { at, count } => processes[at].consume(&queue, count).await,
            Step::Take { at } => {
                if processes[at].tenure.is_none() {
                    // A writer that lost its place has no successor yet: the loop tries again.
                    let _ = processes[at].acquire(&queue).await;
                }
            }
            Step::GiveUp { at } => processes[at].give_up().await,
            Step::Flush { at } => drop(processes[at].ingester.flush().await),
            Step::Die { at } => processes[at] = Process::start(&store).await,
            Step::Seal { at } => {
                let writer = processes[at].ingester.writer();
                recover(&ingest_dependencies(&store), &settings(), writer).await.unwrap();
            }
        }
    }
    let mut last = Process::start(&store).await;
    last.acquire(&queue).await.unwrap();
    last.consume(&queue, u64::MAX / 2).await;
    assert_eq!(last.next, queue.end.load(Ordering::SeqCst));
    assert_eq!(counted(&store).await, once(last.next));
    let held: Option<(u64, Claim)> = last.tenures.claims().last("t", 0).await.unwrap();
    assert_eq!(held.unwrap().1.writer, Some(last.ingester.writer()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_in_the_lake_once(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(steps));
    }
}
