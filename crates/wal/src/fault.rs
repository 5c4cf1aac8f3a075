//! What an error of the store says about an attempted create: did it happen, may it have happened?

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

/// What a store that knows more than "it failed" says about a write. It travels as the source of an
/// [`object_store::Error::Generic`]. A failed write without it may have happened.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// The object was definitely not created, by this attempt: disk full, no permission.
    #[error("not stored: {0}")]
    NotStored(#[source] io::Error),
    /// The object may be there, and it may be lost at the next power cut: an fsync failed, and
    /// after that no later fsync of the same file can be trusted.
    #[error("not known to be durable, an fsync failed: {0}")]
    SyncFailed(#[source] io::Error),
}

impl StoreFault {
    /// As an error of `store`.
    pub fn into_store_error(self, store: &'static str) -> object_store::Error {
        object_store::Error::Generic { store, source: Box::new(self) }
    }

    /// What `error` says about the write, if its store knows.
    pub fn of(error: &object_store::Error) -> Option<&Self> {
        let mut source: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = source {
            if let Some(fault) = error.downcast_ref::<Self>() {
                return Some(fault);
            }
            source = error.source();
        }
        None
    }
}

/// The answer to one attempt to create an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Created by this attempt.
    Created,
    /// Something is at its place (or a competing create is under way: S3's 409).
    Exists,
    /// It may have happened.
    InDoubt(Arc<str>),
    /// This attempt definitely created nothing.
    NotStored(Arc<str>),
    SyncFailed(Arc<str>),
}

/// Everything that is not known to be otherwise may have happened. This includes refusals of
/// permission: a client of S3 retries within one call, and only its last answer is seen.
pub(crate) fn classify(error: &object_store::Error) -> Attempt {
    use object_store::Error;
    let reason = || Arc::from(error.to_string());
    match error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. } => {
            Attempt::Exists
        }
        Error::NotImplemented { .. } | Error::InvalidPath { .. } => Attempt::NotStored(reason()),
        _ => match StoreFault::of(error) {
            Some(StoreFault::NotStored(_)) => Attempt::NotStored(reason()),
            Some(StoreFault::SyncFailed(_)) => Attempt::SyncFailed(reason()),
            None => Attempt::InDoubt(reason()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_doubt_unless_the_store_knows_better() {
        let generic = |source| object_store::Error::Generic { store: "test", source };
        let timeout = generic("timed out".into());
        assert!(matches!(classify(&timeout), Attempt::InDoubt(_)));
        let full = StoreFault::NotStored(io::ErrorKind::StorageFull.into());
        let wrapped = generic(Box::new(full.into_store_error("inner")));
        assert!(matches!(classify(&wrapped), Attempt::NotStored(_)));
        let lost = StoreFault::SyncFailed(io::Error::other("EIO")).into_store_error("dir");
        assert!(matches!(classify(&lost), Attempt::SyncFailed(_)));
        let forbidden =
            object_store::Error::PermissionDenied { path: "p".into(), source: "403".into() };
        assert!(matches!(classify(&forbidden), Attempt::InDoubt(_)));
    }
}
