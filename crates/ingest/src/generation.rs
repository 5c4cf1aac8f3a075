//! One life of the ingester: a writer with its log, its buffer and its flushes. A fenced or aged
//! generation is replaced by a new one; nothing is carried over but the promise that what the old
//! one acknowledged is in the bucket.

use std::sync::Arc;

use loglake_model::{SegmentSeq, TableId, WriterId};
use loglake_table::Table;
use loglake_wal::{DurableSink, Reader, Recoverer, TablePart, Writer};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::buffer::Buffer;
use crate::flush::{Flushed, Flusher};
use crate::memory::MemoryBudget;
use crate::policy::tables_to_flush;
use crate::{IngestDependencies, IngestError, IngestSettings};

pub(crate) struct Generation {
    log: Writer,
    flusher: Flusher,
    trimmer: Recoverer,
    trimmed: tokio::sync::Mutex<Option<SegmentSeq>>,
    started: Instant,
}

/// Puts durable segments into the buffer, and wakes the flush loop.
struct BufferSink {
    buffer: Arc<Mutex<Buffer>>,
    budget: Arc<MemoryBudget>,
    wake: Arc<Notify>,
}

impl DurableSink for BufferSink {
    fn durable(&self, seq: SegmentSeq, parts: Vec<TablePart>) {
        let parts = parts.into_iter().map(|part| (part.table, part.batches));
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
                store: Arc::clone(&store),
                clock: Arc::clone(&dependencies.clock),
                encoder: settings.encoder.clone(),
                buffer,
                budget,
                confirm_unsealed: Some(Reader::new(Arc::clone(&store))),
                gates: Mutex::default(),
            },
            trimmer: Recoverer::new(store),
            trimmed: tokio::sync::Mutex::new(None),
            started: Instant::now(),
        })
    }

    pub(crate) fn writer(&self) -> WriterId {
        self.flusher.writer
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.log.is_fenced()
    }

    pub(crate) fn age(&self, now: Instant) -> std::time::Duration {
        now.saturating_duration_since(self.started)
    }

    /// Logs rows; they are in the buffer when this resolves.
    pub(crate) async fn append(
        &self,
        parts: Vec<(Arc<Table>, TablePart)>,
    ) -> Result<(), IngestError> {
        let rows = {
            let mut buffer = self.flusher.buffer.lock();
            let known = parts.into_iter().map(|(table, part)| {
                buffer.know(&table, None);
                part
            });
            known.collect()
        };
        self.log.append(rows).await?;
        Ok(())
    }

    pub(crate) fn rows_above(
        &self,
        table: TableId,
        above: Option<SegmentSeq>,
    ) -> Option<Vec<arrow::array::RecordBatch>> {
        self.flusher.buffer.lock().rows_above(table, above)
    }

    pub(crate) fn due(&self, settings: &IngestSettings) -> Vec<TableId> {
        tables_to_flush(self.flusher.buffer.lock().loads(), Instant::now(), settings)
    }

    /// Flushes one table and trims what no table needs any more.
    pub(crate) async fn flush(&self, table: TableId) -> Result<Flushed, IngestError> {
        let flushed = self.flusher.flush(table).await?;
        self.trim().await?;
        Ok(flushed)
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

    async fn trim(&self) -> Result<(), IngestError> {
        let mut trimmed = self.trimmed.lock().await;
        let point = self.flusher.buffer.lock().trim_point();
        if let Some(up_to) = point.filter(|_| *trimmed < point) {
            self.trimmer.trim(self.writer(), up_to).await?;
            *trimmed = point;
        }
        Ok(())
    }

    /// Ends this writer well: its rows committed, its log sealed, its mark in the bucket gone. What
    /// came in between commit and seal is committed too, or left to recovery.
    pub(crate) async fn retire(&self) -> Result<(), IngestError> {
        self.flush_all().await?;
        self.log.close().await?;
        self.flush_all().await?;
        self.trimmer.forget(self.writer()).await?;
        Ok(())
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // Rows that were never let go are read from the bucket from now on.
        let held: usize = self.flusher.buffer.lock().loads().iter().map(|load| load.bytes).sum();
        self.flusher.budget.give_back(held);
    }
}
