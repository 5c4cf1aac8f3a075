//! What can go wrong in coordination.

use std::time::Duration;

use loglake_model::ErrorKind;

/// An error of a coordinator. None of them endangers data: a caller goes on without coordination.
#[derive(Debug, thiserror::Error)]
pub enum CoordError {
    #[error("coordination cannot start: {0}")]
    Settings(String),
    /// The coordinator is away, or has no majority. The call may have taken effect.
    #[error("etcd did not {call} within {waited:?}: {reason}")]
    Away { call: &'static str, waited: Duration, reason: String },
    /// This process has left: it takes no more duties until it registers again.
    #[error("this process has left the others")]
    Left,
}

impl CoordError {
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Settings(_) => ErrorKind::Invalid,
            Self::Away { .. } => ErrorKind::Retry,
            Self::Left => ErrorKind::NotAllowed,
        }
    }
}
