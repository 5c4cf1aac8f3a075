//! Why a queue is not consumed, and what the caller must do.

use loglake_ingest::IngestError;
use loglake_model::{ErrorKind, InvalidName};
use loglake_table::TableError;
use loglake_wal::WalError;

#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error("the claims of a partition cannot be read or made: {0}")]
    Store(#[from] object_store::Error),
    #[error("{path} is no claim: {problem}")]
    Claim { path: String, problem: String },
    #[error("no table for the topic {topic}: {problem}: name one in `collect.kafka.tables`")]
    NoTable { topic: String, problem: InvalidName },
    #[error("the queue does not answer: {0}")]
    Queue(String),
    /// The offset to read next is beyond the queue's end: it was made anew under the same name, or has
    /// lost records. Reading on once it has grown would pass records by.
    #[error(
        "the next record would be {from}, and the partition ends at {end}: the topic was made anew or \
         has lost records; set another `collect.kafka.name` to read it from its beginning"
    )]
    PastTheEnd { from: u64, end: u64 },
    #[error("the settings of librdkafka are not usable: {0}")]
    Settings(String),
    /// A defect; nothing of the records was stored.
    #[error("the decoder ended early: {0}")]
    Decoder(tokio::task::JoinError),
    #[error("a task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl CollectError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Ingest(e) => e.kind(),
            Self::Table(e) => e.kind(),
            Self::Wal(e) => e.kind(),
            Self::Store(_) | Self::Queue(_) => ErrorKind::Retry,
            Self::Claim { .. } | Self::PastTheEnd { .. } => ErrorKind::Corrupt,
            Self::NoTable { .. } | Self::Settings(_) => ErrorKind::Invalid,
            Self::Task(_) | Self::Decoder(_) => ErrorKind::Internal,
        }
    }
}
