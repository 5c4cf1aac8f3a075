//! Recovery of a writer that is gone: its log is sealed, what its tables lack is committed with the
//! watermark, its segments are trimmed. Any number of recoverers of one writer, at any point of
//! each other's work, do no harm: the seal is one conditional create, and every commit names the
//! watermark it starts from.

use std::collections::HashSet;
use std::sync::Arc;

use loglake_model::{TableId, WriterId};
use loglake_wal::{Log, Reader, Recoverer};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::buffer::Buffer;
use crate::flush::{Flushed, Flusher};
use crate::memory::MemoryBudget;
use crate::{IngestDependencies, IngestError, IngestSettings};

/// What a recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments of the dead writer's log that were read.
    pub segments: usize,
    /// Bytes of memory their rows took.
    pub bytes: usize,
}

/// Recovers one writer. Safe to run twice, at once or after a failure halfway.
///
/// # Errors
/// When the store fails or a segment is corrupt; what was committed stays, and another call goes on.
pub async fn recover(
    dependencies: &IngestDependencies,
    settings: &IngestSettings,
    writer: WriterId,
) -> Result<Recovered, IngestError> {
    let recoverer = Recoverer::new(Arc::clone(&dependencies.store));
    let log = recoverer.seal(writer).await?;
    let recovery = Recovery::new(dependencies, settings, writer);
    let recovered = recovery.commit_all(&log).await?;
    if let Some((last, _)) = log.segments.last() {
        recoverer.trim(writer, *last).await?;
    }
    recoverer.forget(writer).await?;
    Ok(recovered)
}

struct Recovery<'a> {
    dependencies: &'a IngestDependencies,
    flusher: Flusher,
    /// Rows held at once before the heaviest table is flushed.
    bytes_max: usize,
}

impl<'a> Recovery<'a> {
    fn new(
        dependencies: &'a IngestDependencies,
        settings: &IngestSettings,
        writer: WriterId,
    ) -> Self {
        let flusher = Flusher {
            writer,
            store: Arc::clone(&dependencies.store),
            clock: Arc::clone(&dependencies.clock),
            encoder: settings.encoder.clone(),
            buffer: Arc::new(Mutex::new(Buffer::default())),
            budget: Arc::new(MemoryBudget::new(usize::MAX)),
            confirm_unsealed: None,
            gates: Mutex::default(),
        };
        Self { dependencies, flusher, bytes_max: settings.flush_bytes }
    }

    async fn commit_all(&self, log: &Log) -> Result<Recovered, IngestError> {
        let reader = Reader::new(Arc::clone(&self.dependencies.store));
        let mut recovered = Recovered::default();
        let mut gone = HashSet::new();
        for (seq, _) in &log.segments {
            let parts = reader.segment(log.writer, *seq).await?;
            for part in &parts {
                self.know(part.table, &mut gone).await?;
            }
            let parts = parts.into_iter().map(|part| (part.table, part.batches));
            let held = self.flusher.buffer.lock().insert(*seq, parts, Instant::now());
            self.flusher.budget.hold(held);
            recovered.bytes += held;
            recovered.segments += 1;
            while let Some(heaviest) = self.heaviest_past_bound() {
                self.flush(heaviest).await?;
            }
        }
        let rest = self.flusher.buffer.lock().loads();
        for load in rest {
            self.flush(load.table).await?;
        }
        Ok(recovered)
    }

    /// Looks the table up at its first sight, with the watermark that it has now. Rows of a table
    /// that is gone are dropped.
    async fn know(&self, id: TableId, gone: &mut HashSet<TableId>) -> Result<(), IngestError> {
        if gone.contains(&id) || self.flusher.buffer.lock().knows(id) {
            return Ok(());
        }
        match self.dependencies.catalog.by_id(id).await? {
            Some(table) => {
                let watermark = table.refresh().await?.watermark(self.flusher.writer);
                self.flusher.buffer.lock().know(&table, watermark);
            }
            None => {
                tracing::warn!(table = %id, writer = %self.flusher.writer, "rows of a table that is gone");
                gone.insert(id);
            }
        }
        Ok(())
    }

    fn heaviest_past_bound(&self) -> Option<TableId> {
        let loads = self.flusher.buffer.lock().loads();
        let total: usize = loads.iter().map(|load| load.bytes).sum();
        let heaviest = loads.iter().max_by_key(|load| load.bytes)?;
        (total > self.bytes_max).then_some(heaviest.table)
    }

    /// Flushes the table. Where another recoverer was quicker, its watermark has let go of the rows
    /// it committed, and the rest is tried again.
    async fn flush(&self, table: TableId) -> Result<(), IngestError> {
        while self.flusher.flush(table).await? == Flushed::Superseded {}
        Ok(())
    }
}
