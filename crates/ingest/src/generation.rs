//! One life of the ingester: a writer with its log, its buffer and its flushes. A fenced or aged
//! generation is replaced by a new one; nothing is carried over but the promise that what the old
//! one acknowledged is in the bucket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loglake_model::{SegmentSeq, TableId, WriterId};
use loglake_table::Table;
use loglake_wal::{DurableSink, Mark, Progress, Reader, Recoverer, TablePart, Writer};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::buffer::Buffer;
use crate::flush::{Flushed, Flusher};
use crate::memory::MemoryBudget;
use crate::peers::Standing;
use crate::policy::tables_to_flush;
use crate::trim::{TrimHold, TrimHolds};
use crate::{FreshRows, IngestDependencies, IngestError, IngestSettings};

/// The generation that takes rows now.
#[derive(Clone)]
pub(crate) struct CurrentGeneration(Arc<RwLock<Arc<Generation>>>);

impl CurrentGeneration {
    pub(crate) fn new(first: Generation) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(first))))
    }

    pub(crate) fn get(&self) -> Arc<Generation> {
        Arc::clone(&self.0.read())
    }

    pub(crate) fn set(&self, next: Arc<Generation>) {
        *self.0.write() = next;
    }
}

pub(crate) struct Generation {
    log: Writer,
    flusher: Flusher,
    trimmer: Recoverer,
    trimmed: tokio::sync::Mutex<Trimmed>,
    holds: Arc<TrimHolds>,
    started: Instant,
    /// A flush found that somebody else ended the log.
    found_sealed: AtomicBool,
}

/// How far the log is trimmed, and since when.
#[derive(Debug, Default)]
struct Trimmed {
    up_to: Option<SegmentSeq>,
    at: Option<Instant>,
}

/// Whether segments that were delivered just now are trimmed too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrimScope {
    /// Only those that nobody who waits for an answer can ask about any more.
    Settled,
    All,
}

/// Puts durable segments into the buffer, and wakes the flush loop.
struct BufferSink {
    buffer: Arc<Mutex<Buffer>>,
    budget: Arc<MemoryBudget>,
    wake: Arc<Notify>,
}

impl DurableSink for BufferSink {
    fn durable(&self, seq: SegmentSeq, parts: Vec<TablePart>) {
        let mut buffer = self.buffer.lock();
        let held = buffer.insert(seq, parts, Instant::now());
        // Counted before a flush can see the rows, and give back what was never counted.
        self.budget.hold(held);
        drop(buffer);
        self.wake.notify_one();
    }
}

impl Generation {
    /// Starts a new writer.
    pub(crate) async fn start(
        dependencies: &IngestDependencies,
        settings: &IngestSettings,
        budget: Arc<MemoryBudget>,
        wake: Arc<Notify>,
    ) -> Result<Self, IngestError> {
        let buffer = Arc::new(Mutex::new(Buffer::default()));
        let sink =
            Arc::new(BufferSink { buffer: Arc::clone(&buffer), budget: Arc::clone(&budget), wake });
        let store = Arc::clone(&dependencies.store);
        let writer = (dependencies.new_writer_id)();
        let log = Writer::start(Arc::clone(&store), writer, settings.wal.clone(), sink).await?;
        Ok(Self {
            log,
            flusher: Flusher {
                writer,
                files: dependencies.files(settings),
                buffer,
                budget,
                log: Reader::new(Arc::clone(&store)),
                gates: Mutex::default(),
            },
            trimmer: Recoverer::new(store),
            trimmed: tokio::sync::Mutex::default(),
            holds: Arc::default(),
            started: Instant::now(),
            found_sealed: AtomicBool::new(false),
        })
    }

    pub(crate) fn writer(&self) -> WriterId {
        self.flusher.writer
    }

    /// Whether its log was ended by somebody else: known from an append, or from a flush.
    pub(crate) fn is_fenced(&self) -> bool {
        self.log.is_fenced() || self.found_sealed.load(Ordering::Acquire)
    }

    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// How this writer is. It takes rows while its buffer has room for more.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let Progress { delivered, waiting_since } = self.log.progress();
        let waiting = waiting_since.map(|since| now.saturating_duration_since(since));
        Standing {
            writer: self.writer(),
            delivered,
            waiting: waiting.unwrap_or_default(),
            takes_rows: !self.is_fenced() && self.flusher.budget.has_room(),
        }
    }

    /// Logs rows; they are in the buffer when this resolves. Their segment keeps the mark.
    pub(crate) async fn append(
        &self,
        parts: Vec<(Arc<Table>, TablePart)>,
        mark: Option<Mark>,
    ) -> Result<(), IngestError> {
        let rows = {
            let mut buffer = self.flusher.buffer.lock();
            let known = parts.into_iter().map(|(table, part)| {
                buffer.know(&table);
                part
            });
            known.collect()
        };
        match mark {
            Some(mark) => self.log.append_marked(rows, mark).await?,
            None => self.log.append(rows).await?,
        };
        Ok(())
    }

    /// Rows of a table above a watermark, at or below `up_to` if that is given, and the last segment
    /// looked at.
    pub(crate) fn fresh_rows(
        &self,
        table: TableId,
        above: Option<SegmentSeq>,
        up_to: Option<Option<SegmentSeq>>,
    ) -> FreshRows {
        if self.is_fenced() {
            return FreshRows::NotCurrent;
        }
        let buffer = self.flusher.buffer.lock();
        let up_to = up_to.unwrap_or(buffer.newest());
        match buffer.rows_between(table, above, up_to) {
            Some(batches) => FreshRows::Held { up_to, batches },
            None => FreshRows::LetGo,
        }
    }

    pub(crate) fn due(&self, settings: &IngestSettings) -> Vec<TableId> {
        tables_to_flush(self.flusher.buffer.lock().loads(), Instant::now(), settings)
    }

    pub(crate) async fn flush(&self, table: TableId) -> Result<Flushed, IngestError> {
        let flushed = self.flusher.flush(table).await?;
        // Without an append nothing else would tell it, and it would write files for good.
        if flushed == Flushed::Superseded && self.flusher.is_sealed().await? {
            self.found_sealed.store(true, Ordering::Release);
        }
        Ok(flushed)
    }

    /// Keeps segments that are delivered from now on in the log, until the hold is dropped.
    pub(crate) fn hold_trimming(&self) -> TrimHold {
        self.holds.hold(self.log.progress().delivered)
    }

    /// Flushes everything that is durable now.
    pub(crate) async fn flush_all(&self) -> Result<(), IngestError> {
        let loads = self.flusher.buffer.lock().loads();
        for load in loads {
            if self.flush(load.table).await? == Flushed::Superseded {
                return Err(IngestError::Fenced);
            }
        }
        Ok(())
    }

    /// Trims what no table needs any more, now and then.
    ///
    /// A segment stays for a while after its delivery, so that an ingester whose forwarded rows are
    /// in it, and which did not get the answer, still finds them.
    pub(crate) async fn trim_due(&self) -> Result<(), IngestError> {
        let rested = |at: Instant| at.elapsed() >= SETTLED_AFTER;
        if self.trimmed.lock().await.at.is_none_or(rested) {
            self.trim(TrimScope::Settled).await?;
        }
        Ok(())
    }

    async fn trim(&self, scope: TrimScope) -> Result<(), IngestError> {
        let mut trimmed = self.trimmed.lock().await;
        let now = Instant::now();
        let delivered_by = match scope {
            TrimScope::Settled => now.checked_sub(SETTLED_AFTER),
            TrimScope::All => Some(now),
        };
        let Some(delivered_by) = delivered_by else { return Ok(()) };
        let mut point = self.flusher.buffer.lock().trim_point(delivered_by);
        if let Some(held) = self.holds.lowest() {
            point = point.min(held);
        }
        if let Some(up_to) = point.filter(|_| trimmed.up_to < point) {
            self.trimmer.trim(self.writer(), up_to).await?;
            *trimmed = Trimmed { up_to: point, at: Some(now) };
        }
        Ok(())
    }

    /// Ends this writer well: its rows committed, its log sealed, its mark in the bucket gone. What
    /// came in between commit and seal is committed too, or left to recovery.
    pub(crate) async fn retire(&self) -> Result<(), IngestError> {
        self.flush_all().await?;
        self.log.close().await?;
        self.flush_all().await?;
        self.trim(TrimScope::All).await?;
        self.trimmer.forget(self.writer()).await?;
        Ok(())
    }
}

/// Time in which whoever waits for an answer has given up or asked the log.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

impl Drop for Generation {
    fn drop(&mut self) {
        // Rows that were never let go are read from the bucket from now on.
        let held: usize = self.flusher.buffer.lock().loads().iter().map(|load| load.bytes).sum();
        self.flusher.budget.give_back(held);
    }
}
