//! What can go wrong with the log, and what the caller must do about it.

use std::sync::Arc;

use loglake_model::{ErrorKind, SegmentSeq, WriterId};

#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The writer acknowledges nothing more. Rows of an append that was refused so may be in the
    /// log (then recovery commits them) or not: this writer cannot know and must not log them again.
    #[error("writer {writer} has lost its place: {reason}")]
    Fenced { writer: WriterId, reason: Arc<str> },
    /// Nothing was written: too much waits already.
    #[error("{waiting_bytes} bytes of rows wait for the log already, the limit is {limit_bytes}")]
    Overloaded { waiting_bytes: usize, limit_bytes: usize },
    /// Nothing was written and nothing will be: the store said so (disk full, no permission). The
    /// writer lives on and takes rows again as soon as the store does.
    #[error("the store takes no segments now: {reason}")]
    NotStored { reason: Arc<str> },
    #[error("rows cannot be encoded: {reason}")]
    Unencodable { reason: Arc<str> },
    /// The object was there or may have been; it is not any more (trimmed), or it is a seal.
    #[error("segment {seq} of writer {writer} is not there")]
    Gone { writer: WriterId, seq: SegmentSeq },
    #[error("{object}: {problem}")]
    Corrupt { object: String, problem: String },
    /// The call breaks a rule of the log: trimming what was never logged, forgetting an open log.
    #[error("{action} of writer {writer} refused: {problem}")]
    Misuse { action: &'static str, writer: WriterId, problem: String },
    #[error("cannot {action}: {source}")]
    Store { action: &'static str, source: object_store::Error },
}

impl WalError {
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Fenced { .. } => ErrorKind::Fenced,
            Self::Overloaded { .. } | Self::NotStored { .. } => ErrorKind::Overloaded,
            Self::Unencodable { .. } | Self::Misuse { .. } => ErrorKind::Internal,
            Self::Gone { .. } => ErrorKind::NotFound,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Store { source, .. } => match source {
                object_store::Error::NotFound { .. } => ErrorKind::NotFound,
                // A store that refuses this process (wrong keys, a clock that is off) is no fault of the
                // sender, who must keep its records: that falls under what passes.
                object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::InvalidPath { .. } => ErrorKind::Internal,
                _ => ErrorKind::Retry,
            },
        }
    }

    pub(crate) const fn store(action: &'static str) -> impl Fn(object_store::Error) -> Self {
        move |source| Self::Store { action, source }
    }

    pub(crate) fn corrupt(object: impl ToString, problem: impl ToString) -> Self {
        Self::Corrupt { object: object.to_string(), problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_refuses_this_process_does_not_make_senders_drop_records() {
        let source =
            object_store::Error::PermissionDenied { path: "p".into(), source: "403".into() };
        assert_eq!(WalError::Store { action: "write", source }.kind(), ErrorKind::Retry);
    }
}
