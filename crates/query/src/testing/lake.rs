//! A small lake in a store.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use loglake_coord::InProcess;
use loglake_format::EncoderSettings;
use loglake_model::{
    Clock, PartitionBy, SegmentSeq, TableId, TableName, TenantName, Timestamp, WriterId,
};
use loglake_table::{Catalog, DataFile, Flush, FlushOutcome, Table, TableSettings};
use loglake_wal::{DurableSink, Reader, Recoverer, TablePart, WalSettings, Writer};
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use uuid::Builder;

use super::records::{column_list, record_batch};
use crate::{
    FreshAnswer, FreshError, FreshRows, FreshScan, QueryDeps, QueryEngine, QuerySettings, UpTo,
};

/// 2026-11-01T14:00:00Z, for good.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos((super::records::FIRST_MICROS + 7_200_000_000) * 1_000)
    }
}

/// The id of a test's writer: a version 7 UUID, later for higher numbers.
pub fn writer_id(number: u8) -> WriterId {
    let millis = 1_793_530_000_000 + u64::from(number);
    WriterId::from_uuid(Builder::from_unix_timestamp_millis(millis, &[number; 10]).into_uuid())
}

/// Rows in the memory of this process, as an ingester would hold them.
pub struct MemoryRows {
    writer: Mutex<Option<WriterId>>,
    held: Mutex<HashMap<TableId, Vec<(SegmentSeq, RecordBatch)>>>,
    /// Rows at or below were let go.
    gone: Mutex<Option<SegmentSeq>>,
}

impl MemoryRows {
    pub fn new(writer: Option<WriterId>) -> Arc<Self> {
        let (held, gone) = (Mutex::default(), Mutex::default());
        Arc::new(Self { writer: Mutex::new(writer), held, gone })
    }

    pub fn hold(&self, table: TableId, seq: SegmentSeq, rows: RecordBatch) {
        self.held.lock().entry(table).or_default().push((seq, rows));
    }

    /// Forgets the rows at or below a segment.
    pub fn let_go(&self, up_to: SegmentSeq) {
        for rows in self.held.lock().values_mut() {
            rows.retain(|(seq, _)| *seq > up_to);
        }
        *self.gone.lock() = Some(up_to);
    }

    /// The process goes on as another writer, without any rows.
    pub fn succeed(&self, writer: WriterId) {
        *self.writer.lock() = Some(writer);
        self.held.lock().clear();
        *self.gone.lock() = None;
    }
}

#[async_trait]
impl FreshRows for MemoryRows {
    fn own(&self) -> Option<WriterId> {
        *self.writer.lock()
    }

    async fn rows(&self, scan: &FreshScan) -> Result<FreshAnswer, FreshError> {
        if self.own() != Some(scan.writer) {
            return Err(FreshError::NotCurrent);
        }
        if *self.gone.lock() > scan.above {
            return Err(FreshError::LetGo);
        }
        let held = self.held.lock();
        let newest = held.values().flatten().map(|(seq, _)| *seq).max();
        let up_to = match scan.up_to {
            UpTo::Newest => newest,
            UpTo::Segment(last) => last,
        };
        let wanted = |seq| Some(seq) > scan.above && Some(seq) <= up_to;
        let rows = held.get(&scan.table).into_iter().flatten().filter(|(seq, _)| wanted(*seq));
        Ok(FreshAnswer::whole(up_to, rows.map(|(_, rows)| rows.clone()).collect()))
    }
}

struct NoSink;
impl DurableSink for NoSink {
    fn durable(&self, _: SegmentSeq, _: Vec<TablePart>) {}
}

/// A lake whose records can be put into any stage of their life. What cannot happen panics.
pub struct SmallLake {
    pub store: Arc<dyn ObjectStore>,
    pub catalog: Arc<Catalog>,
    pub fresh: Arc<MemoryRows>,
    pub tenant: TenantName,
}

impl SmallLake {
    /// An empty lake in `store`, of a process that ingests as `own`.
    pub fn empty(store: Arc<dyn ObjectStore>, own: Option<WriterId>) -> Self {
        let settings = TableSettings {
            columns_max: 100,
            checkpoint_interval: 10,
            partition_by: PartitionBy::Hour,
        };
        let catalog = Arc::new(Catalog::new(Arc::clone(&store), Arc::new(StoppedClock), settings));
        Self { store, catalog, fresh: MemoryRows::new(own), tenant: TenantName::unnamed() }
    }

    /// All records, a few in every stage. Those of numbers
    /// - 0 to 19 were committed by a writer that is gone;
    /// - 20 to 29 were committed by a dead writer and are in its segments still;
    /// - 30 to 39 are in segments of the dead writer alone;
    /// - 40 to 49 are committed, in segments and in this process's memory still;
    /// - 50 to 59 are in this process's memory and in its segments.
    ///
    /// The table `audit-log` has the numbers 0 to 2, in memory alone.
    pub async fn in_every_stage(store: Arc<dyn ObjectStore>) -> Self {
        let [gone, dead, own] = [1, 2, 3].map(writer_id);
        let lake = Self::empty(store, Some(own));
        let (logs, audit) = (lake.table("logs").await, lake.table("audit-log").await);
        lake.commit(&logs, gone, None, 3, 0..20).await;
        lake.segments(&logs, dead, &[20..30, 30..40]).await;
        lake.commit(&logs, dead, None, 0, 20..30).await;
        lake.segments(&logs, own, &[40..50, 50..60]).await;
        lake.commit(&logs, own, None, 0, 40..50).await;
        lake.hold(&logs, 0, 40..50);
        lake.hold(&logs, 1, 50..60);
        lake.hold(&audit, 1, 0..3);
        lake
    }

    pub async fn table(&self, name: &str) -> Arc<Table> {
        let name = TableName::new(name).expect("a name of a table");
        let table = self.catalog.table_or_create(&self.tenant, &name).await.expect("a table");
        table.add_columns(&column_list()).await.expect("columns");
        table
    }

    /// Writes the records into one file a partition and commits them as the writer's flush of its
    /// segments in `(from, to]`.
    pub async fn commit(
        &self,
        table: &Table,
        writer: WriterId,
        from: Option<u64>,
        to: u64,
        numbers: Range<i64>,
    ) {
        let rows = record_batch(numbers);
        self.commit_rows(table, writer, (from, to), rows, &EncoderSettings::default()).await;
    }

    /// The same with other rows, and files of another layout.
    pub async fn commit_rows(
        &self,
        table: &Table,
        writer: WriterId,
        (from, to): (Option<u64>, u64),
        rows: RecordBatch,
        settings: &EncoderSettings,
    ) {
        let schema = Arc::clone(table.current().schema());
        let encoded = loglake_format::encode(&[rows], &schema, settings);
        let mut files = vec![];
        for file in encoded.expect("a file") {
            let path = table.new_file_path(&file.partition);
            let location = table.root().parts().chain(path.parts()).collect();
            let bytes = file.bytes.len() as u64;
            let checksum = Some(twox_hash::XxHash3_64::oneshot(&file.bytes));
            self.store.put(&location, file.bytes.into()).await.expect("a put");
            files.push(DataFile {
                path,
                partition: file.partition,
                bytes,
                rows: file.rows,
                stats: file.stats,
                modified: StoppedClock.now(),
                checksum,
                words: file.words.map(Into::into),
            });
        }
        let (from, to) = (from.map(SegmentSeq), SegmentSeq(to));
        let flush = Flush { writer, from, to, files, offsets: vec![] };
        let outcome = table.commit_flush(&flush).await.expect("a commit");
        assert!(matches!(outcome, FlushOutcome::Committed(_)), "{outcome:?}");
    }

    /// Registers the writer and logs each range of records as one segment.
    pub async fn segments(&self, table: &Table, writer: WriterId, numbers: &[Range<i64>]) {
        let (store, settings) = (Arc::clone(&self.store), WalSettings::default());
        let writer = Writer::start(store, writer, settings, Arc::new(NoSink)).await;
        let writer = writer.expect("a writer");
        for numbers in numbers {
            let batches = vec![record_batch(numbers.clone())];
            let part = TablePart::new(table.id(), batches);
            writer.append(vec![part]).await.expect("an append");
        }
    }

    /// Seals a writer's log, as somebody who is not its writer does.
    pub async fn seal(&self, writer: WriterId) {
        Recoverer::new(Arc::clone(&self.store)).seal(writer).await.expect("a seal");
    }

    /// Seals a writer's log and trims it up to a segment.
    pub async fn trim(&self, writer: WriterId, up_to: u64) {
        let recoverer = Recoverer::new(Arc::clone(&self.store));
        recoverer.seal(writer).await.expect("a seal");
        recoverer.trim(writer, SegmentSeq(up_to)).await.expect("a trim");
    }

    /// Keeps the records in this process's memory as those of its segment `seq`.
    pub fn hold(&self, table: &Table, seq: u64, numbers: Range<i64>) {
        self.fresh.hold(table.id(), SegmentSeq(seq), record_batch(numbers));
    }

    /// An engine over this lake: half a minute and 64 MiB for its queries.
    pub fn engine(&self) -> QueryEngine {
        self.engine_with(Arc::clone(&self.fresh) as Arc<dyn FreshRows>)
    }

    /// The same with another view of fresh rows.
    pub fn engine_with(&self, fresh: Arc<dyn FreshRows>) -> QueryEngine {
        let deps = QueryDeps {
            store: Arc::clone(&self.store),
            catalog: Arc::clone(&self.catalog),
            segments: Reader::new(Arc::clone(&self.store)),
            fresh,
            coordinator: Arc::new(InProcess::new()),
            clock: Arc::new(StoppedClock),
        };
        let settings = QuerySettings {
            memory_bytes_max: 64 << 20,
            timeout: Duration::from_secs(30),
            spill_bytes_max: 64 << 20,
        };
        QueryEngine::new(deps, settings).expect("an engine").with_search_for_newest()
    }
}
