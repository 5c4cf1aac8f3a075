//! From buffered rows to committed files: encode, put, commit with the watermark, let go.

use std::collections::HashMap;
use std::sync::Arc;

use loglake_model::{SegmentSeq, TableId, WriterId};
use loglake_table::{Flush, FlushOutcome};
use loglake_wal::Reader;
use parking_lot::Mutex;

use crate::IngestError;
use crate::buffer::{Buffer, FlushInput};
use crate::files::FileWriter;
use crate::memory::MemoryBudget;

/// Brings the rows of this process's writer into its tables.
pub(crate) struct Flusher {
    pub(crate) writer: WriterId,
    pub(crate) files: FileWriter,
    pub(crate) buffer: Arc<Mutex<Buffer>>,
    pub(crate) budget: Arc<MemoryBudget>,
    /// The writer's own process confirms that its log is unsealed before its first commit in a
    /// table: a seal may have outlived the watermark that would show the conflict.
    pub(crate) log: Reader,
    /// One flush of a table at a time: the next one begins where this one ends.
    pub(crate) gates: Mutex<HashMap<TableId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What became of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// There was nothing to flush.
    Nothing,
    /// The table holds the rows up to here.
    Committed(SegmentSeq),
    /// Somebody else committed rows of this writer. Its log is sealed, or will be.
    Superseded,
}

impl Flusher {
    /// Flushes what the table holds now; waits for a flush of it that is on its way.
    ///
    /// # Errors
    /// When encoding, the store or the commit failed. The rows are still buffered and a later call
    /// takes them; files that were put already are orphans, removed by vacuum.
    pub(crate) async fn flush(&self, table: TableId) -> Result<Flushed, IngestError> {
        let gate = Arc::clone(self.gates.lock().entry(table).or_default());
        let _one_at_a_time = gate.lock().await;
        let Some(input) = self.buffer.lock().flush_input(table) else {
            return Ok(Flushed::Nothing);
        };
        let FlushInput { table: target, from, to, batches, offsets } = input;
        let files = self.files.write(&target, batches).await?;
        if from.is_none() && self.is_sealed().await? {
            return Ok(Flushed::Superseded);
        }
        let flush = Flush { writer: self.writer, from, to, files, offsets };
        match target.commit_flush(&flush).await? {
            FlushOutcome::Committed(snapshot) => {
                self.let_go(table, to);
                tracing::debug!(
                    table = %target.name(), version = snapshot.version(), files = flush.files.len(),
                    "committed rows up to segment {to}"
                );
                Ok(Flushed::Committed(to))
            }
            FlushOutcome::Superseded(snapshot) => {
                if let Some(watermark) = snapshot.watermark(self.writer) {
                    self.let_go(table, watermark);
                }
                Ok(Flushed::Superseded)
            }
        }
    }

    pub(crate) async fn is_sealed(&self) -> Result<bool, IngestError> {
        Ok(self.log.log(self.writer).await?.seal.is_some())
    }

    fn let_go(&self, table: TableId, watermark: SegmentSeq) {
        let freed = self.buffer.lock().let_go(table, watermark);
        self.budget.give_back(freed);
    }
}
