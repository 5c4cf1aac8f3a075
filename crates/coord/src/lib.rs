//! Who is alive and who does what. Coordination makes the lake quick; nothing here makes it right:
//! no safety rests on a lease, a clock or etcd.
//!
//! One trait, [`Coordinator`], and two implementations that pass the same suite
//! (`tests/conformance.rs`): [`InProcess`] for one process alone, and for several in one test, and
//! [`Etcd`] for many.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backoff;
mod error;
mod etcd;
mod in_process;

use std::sync::Arc;

use async_trait::async_trait;
use loglake_model::WriterId;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use error::CoordError;
pub use etcd::{Etcd, EtcdSettings};
pub use in_process::InProcess;

/// A role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Ingest,
    Query,
    Maintain,
}

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Unique to this start of the process.
    pub id: String,
    pub roles: Vec<Role>,
    /// `host:port` of the HTTP and gRPC doors.
    pub http: String,
    pub grpc: String,
    /// The writer of an ingester.
    pub writer: Option<WriterId>,
    pub version: String,
}

/// A duty that this process holds: dropped, it is given up.
#[async_trait]
pub trait Duty: Send + Sync {
    /// Resolves when the duty is no longer this process's: the lease behind it is gone or not known
    /// to be alive, somebody took the duty away, or this process has left. At once when that was
    /// before the call.
    async fn lost(&self);
}

#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// Makes this process a member (again, with new facts, under the same id). Kept alive until
    /// [`leave`](Self::leave), through any time in which the coordinator is away.
    ///
    /// # Errors
    /// [`CoordError::Away`] when others cannot see the member yet. It is registered all the same
    /// as soon as the coordinator answers; the caller needs not try again.
    async fn register(&self, member: Member) -> Result<(), CoordError>;

    /// The members last known, this one included, sorted by id; keeps its value while the
    /// coordinator is away.
    fn members(&self) -> watch::Receiver<Arc<Vec<Member>>>;

    /// Wins the duty of this name if nobody holds it. `None`: somebody does, maybe this process.
    ///
    /// # Errors
    /// [`CoordError::Away`] when the coordinator does not answer, [`CoordError::Left`] after
    /// [`leave`](Self::leave).
    async fn try_duty(&self, name: &str) -> Result<Option<Box<dyn Duty>>, CoordError>;

    /// Leaves gracefully: gives up the membership and all duties, and others see it at once.
    ///
    /// # Errors
    /// [`CoordError::Away`] when the others could not be told: they see it when the lease ends.
    async fn leave(&self) -> Result<(), CoordError>;
}
