//! Why rows could not be taken in, and what the caller must do.

use loglake_format::FormatError;
use loglake_model::{ErrorKind, WriterId};
use loglake_table::TableError;
use loglake_wal::WalError;

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("{buffered} bytes of rows wait for their flush, the limit is {max}: send again later")]
    Overloaded { buffered: usize, max: usize },
    #[error("this ingester is shutting down: send to another, or again later")]
    ShuttingDown,
    #[error("the store does not serve this ingester well: send to another")]
    Slow,
    #[error("this writer has lost its place: send again")]
    Fenced,
    /// Rows went to another ingester that has gone silent, and it cannot be told any more whether
    /// they came into its log.
    #[error(
        "writer {writer} does not answer, and rows sent to it may be stored or not: send again"
    )]
    FateUnknown { writer: WriterId },
    #[error("the idempotency key was used for another request: use each for one body only")]
    KeyReused,
    #[error("the claim of an idempotency key cannot be read: {0}")]
    Claim(#[from] serde_json::Error),
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("the rows could not be encoded: {0}")]
    Format(#[from] FormatError),
    #[error("the rows do not have the shape of a decoded batch: {0}")]
    Shape(#[from] arrow::error::ArrowError),
    #[error("the store cannot be used: {0}")]
    Store(#[from] object_store::Error),
    #[error("a task of the write path ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl IngestError {
    /// Whether rows of an append that failed so may be in the log nevertheless.
    pub const fn may_be_stored(&self) -> bool {
        match self {
            Self::Fenced | Self::FateUnknown { .. } | Self::Task(_) => true,
            Self::Wal(e) => matches!(e, WalError::Fenced { .. }),
            _ => false,
        }
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::ShuttingDown | Self::Slow | Self::Store(_) => ErrorKind::Retry,
            Self::Fenced | Self::FateUnknown { .. } => ErrorKind::Fenced,
            Self::Wal(e) => e.kind(),
            Self::Table(e) => e.kind(),
            Self::Format(e) => e.kind(),
            Self::KeyReused => ErrorKind::Invalid,
            Self::Claim(_) => ErrorKind::Corrupt,
            Self::Shape(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }
}
