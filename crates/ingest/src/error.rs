//! Why rows could not be taken in, and what the caller must do.

use loglake_format::FormatError;
use loglake_model::ErrorKind;
use loglake_table::TableError;
use loglake_wal::WalError;

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("{buffered} bytes of rows wait for their flush, the limit is {max}: send again later")]
    Overloaded { buffered: usize, max: usize },
    #[error("this ingester is shutting down: send to another, or again later")]
    ShuttingDown,
    #[error("this writer has lost its place: send again")]
    Fenced,
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("the rows could not be encoded: {0}")]
    Format(#[from] FormatError),
    #[error("the rows do not have the shape of a decoded batch: {0}")]
    Shape(#[from] arrow::error::ArrowError),
    #[error("the store did not take a data file: {0}")]
    Store(#[from] object_store::Error),
    #[error("a task of the write path ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl IngestError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::ShuttingDown | Self::Store(_) => ErrorKind::Retry,
            Self::Fenced => ErrorKind::Fenced,
            Self::Wal(e) => e.kind(),
            Self::Table(e) => e.kind(),
            Self::Format(e) => e.kind(),
            Self::Shape(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }
}
