//! What can go wrong with a table, and what its caller must do.

use loglake_model::ErrorKind;
use object_store::path::Path;

/// An error of a table or of the catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The store did not do what was asked; whether it did it in part is unknown.
    #[error("{what} of {path}: {source}")]
    Store { what: &'static str, path: Path, source: object_store::Error },
    /// The outcome of a commit is unknown: the same call may be made again with the same files and
    /// finds out.
    #[error("commit {version} of {table} has no known outcome after {attempts} attempts: {source}")]
    Unknown { table: Path, version: u64, attempts: u32, source: object_store::Error },
    /// Other committers took every number that was tried. Nothing was committed.
    #[error("{table} was committed to by others {attempts} times in a row")]
    Contended { table: Path, attempts: u32 },
    /// Stored bytes are not a Delta log.
    #[error("{path} is not readable: {problem}")]
    Corrupt { path: Path, problem: String },
    /// The table needs something of the Delta protocol that loglake does not know. Reading it
    /// anyway could give wrong rows, writing could break it for others.
    #[error("{path} needs {what}, which loglake does not support")]
    Unsupported { path: Path, what: String },
    /// A vacuum began after these files were named and may have taken them. They are not part of
    /// the table; the same rows in new files may be.
    #[error("the files of a commit to {table} are older than its last vacuum")]
    Vacuumed { table: Path },
    /// Rows of a queue's records that the table has already: two consumers have logged the same ones,
    /// which their claims rule out. None of the flush is committed.
    #[error(
        "{table} has the records of {queue} up to {committed} already, a flush begins at {from}"
    )]
    Overlap { table: Path, queue: String, from: u64, committed: u64 },
    /// A watermark would not move forward: a defect of the caller.
    #[error("a flush from {from:?} to {to} does not move the watermark forward")]
    Backwards { from: Option<u64>, to: u64 },
    /// A data file that was not made for this table: a defect of the caller.
    #[error("file {path} cannot be part of the table: {problem}")]
    File { path: Path, problem: &'static str },
}

impl TableError {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => match source {
                // A store that refuses this process (wrong keys, a clock that is off) is no fault of the
                // caller: that falls under what passes.
                object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. } => ErrorKind::Invalid,
                _ => ErrorKind::Retry,
            },
            Self::Unknown { .. } | Self::Contended { .. } | Self::Vacuumed { .. } => {
                ErrorKind::Retry
            }
            Self::Corrupt { .. } | Self::Overlap { .. } => ErrorKind::Corrupt,
            Self::Unsupported { .. } => ErrorKind::Invalid,
            Self::Backwards { .. } | Self::File { .. } => ErrorKind::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_refuses_this_process_does_not_make_senders_drop_records() {
        let source =
            object_store::Error::PermissionDenied { path: "p".into(), source: "403".into() };
        let refused = TableError::Store { what: "a commit", path: Path::from("p"), source };
        assert_eq!(refused.kind(), ErrorKind::Retry);
    }
}
