//! Why a piece of upkeep did not end well. All of it is tried again at its next time.

use loglake_coord::CoordError;
use loglake_model::ErrorKind;
use loglake_table::TableError;
use loglake_wal::WalError;

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
}

impl MaintainError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Table(e) => e.kind(),
            Self::Wal(e) => e.kind(),
            Self::Store(_) => ErrorKind::Retry,
            Self::Coord(e) => e.kind(),
        }
    }
}
