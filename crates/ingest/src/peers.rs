//! The other ingesters, as the write path sees them: how each says it is, and the one hop that rows
//! may take to one of them.

use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use loglake_model::{SegmentSeq, TableId, TableName, TenantName, WriterId};
use tokio::time::Instant;

/// How an ingester says it is, several times a second, to every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its writer, now.
    pub writer: WriterId,
    /// The last segment it delivered: rows it takes from here on are in a later one.
    pub delivered: Option<SegmentSeq>,
    /// How long its oldest unanswered append has waited for the store.
    pub waiting: Duration,
    /// Whether it takes rows: it has room for them and is not about to stop.
    pub takes_rows: bool,
}

/// Another ingester and what it said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub standing: Standing,
    /// When it said so.
    pub heard: Instant,
}

/// Rows of one table on their one hop to another ingester.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Never used twice; kept by the segment that the rows come into, so that their fate can be
    /// found out.
    pub batch: String,
    /// The only writer that may log them.
    pub writer: WriterId,
    pub tenant: TenantName,
    pub name: TableName,
    /// Of the table of that name that the rows are for.
    pub table: TableId,
    /// In the table's shape.
    pub rows: RecordBatch,
}

/// Why a peer did not say that it has the rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// The peer does not have the rows and never will.
    #[error("not taken: {0}")]
    NotTaken(String),
    /// They may be in its log or come into it, until that log is sealed.
    #[error("no answer: {0}")]
    Unknown(String),
}

/// What has become of a request with an idempotency key, by the word of the writer it went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFate {
    Stored,
    /// It is not in the log and never will be.
    NotStored,
}

/// The other ingesters of the cluster.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Those that have been heard since they were last lost sight of.
    fn peers(&self) -> Vec<Peer>;

    /// Hands rows to the ingester with this writer and waits for its answer, for as long as that
    /// takes: the caller watches [`Peer::heard`] and gives up by dropping this.
    ///
    /// # Errors
    /// [`ForwardError`]: whether the peer may have the rows.
    async fn forward(&self, forward: Forward) -> Result<(), ForwardError>;

    /// Asks the ingester with this writer about a request with an idempotency key, and waits while
    /// that is under way. `None` when there is no answer, or no ingester with this writer.
    async fn key_fate(&self, writer: WriterId, key: &str) -> Option<KeyFate>;
}

/// The peers of an ingester that is alone.
#[derive(Clone, Copy, Debug)]
pub struct NoPeers;

#[async_trait]
impl Peers for NoPeers {
    fn peers(&self) -> Vec<Peer> {
        vec![]
    }

    async fn forward(&self, _: Forward) -> Result<(), ForwardError> {
        Err(ForwardError::NotTaken("there are no other ingesters".to_owned()))
    }

    async fn key_fate(&self, _: WriterId, _: &str) -> Option<KeyFate> {
        None
    }
}
