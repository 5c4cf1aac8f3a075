//! What can go wrong, what of it may go right the next time, and how it is said.

use std::io::{self, ErrorKind};
use std::time::Duration;

use hdfs_native::HdfsError;
use loglake_wal::StoreFault;
use object_store::Error;
use object_store::path::Path;
use tokio::task::JoinError;

use super::STORE;

/// Why one call came to nothing, as far as is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Told(#[from] HdfsError),
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The client panicked.
    #[error("the task that wrote it ended: {0}")]
    Ended(#[from] JoinError),
}

/// Exceptions of a NameNode that the next attempt meets again.
const FINAL: [&str; 9] = [
    ACCESS,
    "org.apache.hadoop.fs.InvalidPathException",
    "org.apache.hadoop.fs.ParentNotDirectoryException",
    "org.apache.hadoop.fs.UnresolvedLinkException",
    "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException",
    "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException",
    "org.apache.hadoop.hdfs.protocol.FSLimitException$MaxDirectoryItemsExceededException",
    "org.apache.hadoop.hdfs.protocol.FSLimitException$PathComponentTooLongException",
    "org.apache.hadoop.security.authorize.AuthorizationException",
];
const ACCESS: &str = "org.apache.hadoop.security.AccessControlException";
const ABSENT: &str = "java.io.FileNotFoundException";
const FULL_FOLDER: &str = "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException";

impl Failure {
    /// The class of the exception by which a NameNode refused.
    fn exception(&self) -> Option<&str> {
        match self {
            Self::Told(HdfsError::RPCError(class, _)) => Some(class),
            _ => None,
        }
    }

    /// Whether trying again is in vain.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Told(
                HdfsError::InvalidPath(_)
                | HdfsError::InvalidArgument(_)
                | HdfsError::IsADirectoryError(_)
                | HdfsError::UnsupportedFeature(_)
                | HdfsError::UnsupportedErasureCodingPolicy(_)
                | HdfsError::NoSASLMechanism,
            ) => true,
            _ => {
                self.exception().is_some_and(|class| FINAL.contains(&class) || class == FULL_FOLDER)
            }
        }
    }

    /// Whether something was not there: what was asked about, or for a rename the folder it leads to.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Told(HdfsError::FileNotFound(_))) || self.exception() == Some(ABSENT)
    }

    /// Whether there was something already.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self, Self::Told(HdfsError::AlreadyExists(_)))
    }

    /// Whether it was a folder that holds something, and so no object.
    pub(super) fn is_full_folder(&self) -> bool {
        self.exception() == Some(FULL_FOLDER)
    }

    /// As the answer to a question about `location`.
    pub(super) fn into_read_error(self, location: &Path) -> Error {
        let path = location.to_string();
        if self.is_absent() {
            Error::NotFound { path, source: Box::new(self) }
        } else if self.exception() == Some(ACCESS) {
            Error::PermissionDenied { path, source: Box::new(self) }
        } else {
            Error::Generic { store: STORE, source: Box::new(self) }
        }
    }

    /// As the error of a write that definitely made no object.
    pub(super) fn into_not_stored(self, location: &Path) -> Error {
        let kind = match (&self, self.exception()) {
            (Self::Silent(_), _) => ErrorKind::TimedOut,
            (_, Some(ACCESS)) => ErrorKind::PermissionDenied,
            (_, Some(class)) if class.contains("QuotaExceeded") => ErrorKind::QuotaExceeded,
            _ => ErrorKind::Other,
        };
        let told = io::Error::new(kind, format!("cannot write {location}: {self}"));
        StoreFault::NotStored(told).into_store_error(STORE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(class: &str) -> Failure {
        Failure::Told(HdfsError::RPCError(class.to_owned(), "said".to_owned()))
    }

    #[test]
    fn what_time_may_heal_is_tried_again() {
        for class in [
            "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
            "org.apache.hadoop.ipc.RetriableException",
            "org.apache.hadoop.ipc.StandbyException",
            "java.io.IOException",
        ] {
            assert!(!told(class).is_final(), "{class}");
        }
        assert!(!Failure::Silent(Duration::from_secs(1)).is_final());
        assert!(!Failure::Told(io::Error::from(ErrorKind::ConnectionRefused).into()).is_final());
        assert!(FINAL.iter().all(|class| told(class).is_final()));
    }

    #[test]
    fn a_reader_is_told_what_is_absent_and_what_is_forbidden() {
        let path = Path::from("a");
        assert!(matches!(told(ABSENT).into_read_error(&path), Error::NotFound { .. }));
        assert!(matches!(told(ACCESS).into_read_error(&path), Error::PermissionDenied { .. }));
        let silent = Failure::Silent(Duration::from_secs(1)).into_read_error(&path);
        assert!(matches!(silent, Error::Generic { .. }));
    }

    #[test]
    fn a_writer_is_told_that_nothing_was_stored() {
        let error = told("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException")
            .into_not_stored(&Path::from("a"));
        let Some(StoreFault::NotStored(source)) = StoreFault::of(&error) else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), ErrorKind::QuotaExceeded);
    }
}
