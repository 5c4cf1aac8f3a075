//! What every front door works with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loglake_ingest::Ingester;
use loglake_model::{Clock, ErrorKind, Limits, TenantName};
use loglake_query::{FreshAnswerer, QueryEngine, QueryError};
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::{InvalidToken, Token};
use crate::failure::Failure;
use crate::ids::DocumentIds;
use crate::metrics::{Caches, Metrics};
use crate::peers::OwnRows;

/// Bounds of the doors themselves; those of requests' contents are [`Limits`].
#[derive(Clone, Debug)]
pub(crate) struct DoorSettings {
    /// Requests answered at once, running queries included; more are told to come back.
    pub(crate) requests_max: usize,
    /// Connections held at once, per listener; more wait in the listener's queue.
    pub(crate) connections_max: usize,
    /// Time to send a request's head, and the longest silence within its body.
    pub(crate) idle_max: Duration,
    /// Time for running requests to end once the process was asked to stop.
    pub(crate) drain_max: Duration,
    /// Blocks of all requests that are decoded or stored at once, in KiB.
    pub(crate) blocks_kib_max: u32,
}

impl Default for DoorSettings {
    fn default() -> Self {
        Self {
            requests_max: 256,
            connections_max: 4_096,
            idle_max: Duration::from_secs(30),
            drain_max: Duration::from_secs(30),
            blocks_kib_max: 64 << 10,
        }
    }
}

/// Whether this process takes calls: what `/ready` answers. Clones tell the same.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(crate) fn new(ready: bool) -> Self {
        Self(Arc::new(AtomicBool::new(ready)))
    }

    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What stands behind the doors. The rooms are absent in processes without the role.
pub struct Doors {
    pub ingester: Option<Arc<Ingester>>,
    pub engine: Option<Arc<QueryEngine>>,
    pub limits: Limits,
    /// Without one every request may pass: see [`crate::check_exposure`].
    pub token: Option<String>,
    pub clock: Arc<dyn Clock>,
    /// What the other rooms count; the doors add theirs. Its prefix is `loglake`.
    pub registry: Registry,
}

/// Why there are no doors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpened {
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error("fresh rows cannot be served: {0}")]
    Fresh(#[from] QueryError),
}

/// All that a request needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OpenDoors(Arc<State>);

pub(crate) struct State {
    pub(crate) tenant: TenantName,
    pub(crate) limits: Limits,
    pub(crate) token: Option<Token>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: DoorSettings,
    pub(crate) readiness: Readiness,
    pub(crate) document_ids: DocumentIds,
    pub(crate) metrics: Metrics,
    pub(crate) registry: Registry,
    /// Places for requests that run at once.
    pub(crate) requests: Arc<Semaphore>,
    /// Room for blocks that are decoded or stored at once, in KiB.
    blocks: Arc<Semaphore>,
    /// Answers members that ask for the fresh rows of this process.
    pub(crate) fresh: FreshAnswerer,
    ingester: Option<Arc<Ingester>>,
    engine: Option<Arc<QueryEngine>>,
}

impl std::ops::Deref for OpenDoors {
    type Target = State;
    fn deref(&self) -> &State {
        &self.0
    }
}

impl fmt::Debug for OpenDoors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenDoors").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl OpenDoors {
    /// # Errors
    /// [`NotOpened`] when no client could send the token, or a defect is in the way.
    pub(crate) fn new(doors: Doors, settings: DoorSettings) -> Result<Self, NotOpened> {
        let mut registry = doors.registry;
        let metrics = Metrics::register(&mut registry);
        if let Some(engine) = &doors.engine {
            registry.register_collector(Box::new(Caches(engine.cache_lookups())));
        }
        let process = doors.ingester.as_ref().map(|ingester| ingester.writer());
        Ok(Self(Arc::new(State {
            tenant: TenantName::unnamed(),
            limits: doors.limits,
            token: doors.token.as_deref().map(Token::new).transpose()?,
            document_ids: DocumentIds::new(process, doors.clock.now()),
            clock: doors.clock,
            readiness: Readiness::new(true),
            metrics,
            registry,
            requests: Arc::new(Semaphore::new(settings.requests_max)),
            blocks: Arc::new(Semaphore::new(settings.blocks_kib_max as usize)),
            settings,
            fresh: FreshAnswerer::new(Arc::new(OwnRows::new(doors.ingester.clone())))?,
            ingester: doors.ingester,
            engine: doors.engine,
        })))
    }

    pub(crate) fn ingester(&self) -> Result<&Arc<Ingester>, Failure> {
        self.ingester.as_ref().ok_or_else(|| without_role("ingest"))
    }

    /// Waits for room for a block of this size and keeps it while the place is held.
    pub(crate) async fn place(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let max = self.settings.blocks_kib_max;
        let kib = u32::try_from(bytes >> 10).unwrap_or(max).saturating_add(BLOCK_KIB_MIN).min(max);
        // The semaphore is never closed.
        Arc::clone(&self.blocks).acquire_many_owned(kib).await.ok()
    }

    pub(crate) fn engine(&self) -> Result<&Arc<QueryEngine>, Failure> {
        self.engine.as_ref().ok_or_else(|| without_role("query"))
    }
}

/// What even a small block counts for: its rows take more memory than its text.
const BLOCK_KIB_MIN: u32 = 64;

fn without_role(role: &str) -> Failure {
    let message = format!("this process does not have the role {role:?}: ask one that has it");
    Failure::new(ErrorKind::NotAllowed, message)
}
