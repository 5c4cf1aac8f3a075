//! The door to the rows that this process holds in memory.

use arrow::array::RecordBatch;
use loglake_model::{SegmentSeq, TableId, WriterId};

/// The fresh rows that this process holds in memory: `ingest`'s, as the querier sees them.
pub trait FreshRows: Send + Sync + 'static {
    /// The writer whose rows these are; `None` in a process that does not ingest.
    fn writer(&self) -> Option<WriterId>;
    /// Rows of `writer` in a table above its watermark, durable now; `None` when some were let go
    /// already, or `writer` is not this process's any more: bind the query anew.
    fn rows(
        &self,
        writer: WriterId,
        table: TableId,
        above: Option<SegmentSeq>,
    ) -> Option<Vec<RecordBatch>>;
}

/// For a process that does not ingest.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFreshRows;

impl FreshRows for NoFreshRows {
    fn writer(&self) -> Option<WriterId> {
        None
    }

    fn rows(
        &self,
        _writer: WriterId,
        _table: TableId,
        _above: Option<SegmentSeq>,
    ) -> Option<Vec<RecordBatch>> {
        Some(vec![])
    }
}
