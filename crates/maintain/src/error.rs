//! Why a piece of upkeep did not end well. All of it is tried again at its next time.

use loglake_coord::CoordError;
use loglake_format::FormatError;
use loglake_model::ErrorKind;
use loglake_table::TableError;
use loglake_wal::WalError;
use object_store::path::Path;
use tokio::task::JoinError;

#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error("the store failed: {0}")]
    Store(#[from] object_store::Error),
    #[error(transparent)]
    Coord(#[from] CoordError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("file {path} is not what was written: `loglake verify` says more")]
    Damaged { path: Path },
    #[error("a merge of files of {table} with {rows} rows gave {merged}: nothing was committed")]
    Rows { table: Path, rows: u64, merged: u64 },
    #[error("the work was stopped")]
    Stopped(#[from] JoinError),
}

impl MaintainError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Table(e) => e.kind(),
            Self::Wal(e) => e.kind(),
            Self::Store(_) => ErrorKind::Retry,
            Self::Coord(e) => e.kind(),
            Self::Format(e) => e.kind(),
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Rows { .. } => ErrorKind::Internal,
            Self::Stopped(_) => ErrorKind::Retry,
        }
    }
}
