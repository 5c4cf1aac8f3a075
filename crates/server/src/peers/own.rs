//! The querier's view of this process's ingester.

use std::sync::Arc;

use loglake_ingest::{FreshRows as Told, Ingester};
use loglake_model::WriterId;
use loglake_query::{FreshAnswer, FreshError, FreshRows, FreshScan, UpTo};

/// The rows that this process holds in memory; none in a process that does not ingest.
#[derive(Clone)]
pub struct OwnRows {
    ingester: Option<Arc<Ingester>>,
}

impl OwnRows {
    pub fn new(ingester: Option<Arc<Ingester>>) -> Self {
        Self { ingester }
    }
}

#[tonic::async_trait]
impl FreshRows for OwnRows {
    fn own(&self) -> Option<WriterId> {
        self.ingester.as_ref().map(|ingester| ingester.writer())
    }

    async fn rows(&self, scan: &FreshScan) -> Result<FreshAnswer, FreshError> {
        let ingester = self.ingester.as_ref().ok_or(FreshError::NotCurrent)?;
        let up_to = match scan.up_to {
            UpTo::Newest => None,
            UpTo::Segment(last) => Some(last),
        };
        match ingester.fresh_rows(scan.writer, scan.table, scan.above, up_to) {
            Told::Held { up_to, batches } => Ok(FreshAnswer::whole(up_to, batches)),
            Told::LetGo => Err(FreshError::LetGo),
            Told::NotCurrent => Err(FreshError::NotCurrent),
        }
    }
}
