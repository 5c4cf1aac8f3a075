//! The querier's view of this process's ingester.

use std::sync::Arc;

use arrow::array::RecordBatch;
use loglake_ingest::Ingester;
use loglake_model::{SegmentSeq, TableId, WriterId};
use loglake_query::FreshRows;

/// The rows that this process holds in memory; none in a process that does not ingest.
pub struct OwnRows {
    ingester: Option<Arc<Ingester>>,
}

impl OwnRows {
    pub fn new(ingester: Option<Arc<Ingester>>) -> Self {
        Self { ingester }
    }
}

impl FreshRows for OwnRows {
    fn writer(&self) -> Option<WriterId> {
        self.ingester.as_ref().map(|ingester| ingester.writer())
    }

    fn rows(
        &self,
        writer: WriterId,
        table: TableId,
        above: Option<SegmentSeq>,
    ) -> Option<Vec<RecordBatch>> {
        self.ingester.as_ref()?.fresh_rows(writer, table, above)
    }
}
