//! Groups of coordinators that see each other.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use loglake_coord::{Coordinator, Etcd, EtcdSettings, InProcess, Member, Role};
use tokio::sync::watch;
use tokio::time::timeout;

#[async_trait]
pub(crate) trait Group: Send + Sync {
    async fn join(&self) -> Arc<dyn Coordinator>;
}

pub(crate) struct InProcessGroup(InProcess);

impl InProcessGroup {
    pub(crate) fn new() -> Self {
        Self(InProcess::new())
    }
}

#[async_trait]
impl Group for InProcessGroup {
    async fn join(&self) -> Arc<dyn Coordinator> {
        Arc::new(self.0.beside())
    }
}

/// The shortest lease that etcd gives with its default election time-out.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// Longer than anything takes that is not broken.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct EtcdGroup {
    pub(crate) settings: EtcdSettings,
}

impl EtcdGroup {
    /// `None`, with a message, when there is no etcd to test against.
    pub(crate) fn new(test: &str) -> Option<Self> {
        let Some(endpoints) = endpoints("LOGLAKE_TEST_ETCD") else {
            println!("skipped: LOGLAKE_TEST_ETCD is not set");
            return None;
        };
        Some(Self::at(endpoints, test))
    }

    /// Under a prefix that no other run has.
    pub(crate) fn at(endpoints: Vec<String>, test: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        let prefix = format!("/loglake-test/{test}-{now}");
        let timeout = Duration::from_secs(3);
        Self { settings: EtcdSettings { endpoints, prefix, lease: LEASE, timeout } }
    }

    pub(crate) async fn etcd(&self) -> Etcd {
        Etcd::connect(self.settings.clone()).await.unwrap()
    }
}

#[async_trait]
impl Group for EtcdGroup {
    async fn join(&self) -> Arc<dyn Coordinator> {
        Arc::new(self.etcd().await)
    }
}

pub(crate) fn endpoints(variable: &str) -> Option<Vec<String>> {
    let all = std::env::var(variable).ok().filter(|v| !v.is_empty())?;
    Some(all.split(',').map(str::to_owned).collect())
}

pub(crate) fn member(id: &str, version: &str) -> Member {
    Member {
        id: id.to_owned(),
        roles: vec![Role::Ingest, Role::Query],
        http: "127.0.0.1:9400".to_owned(),
        grpc: "127.0.0.1:9401".to_owned(),
        writer: None,
        version: version.to_owned(),
    }
}

/// Waits until the members are exactly these; how long it took.
pub(crate) async fn await_members(coordinator: &dyn Coordinator, expected: &[Member]) -> Duration {
    let began = std::time::Instant::now();
    let mut members: watch::Receiver<_> = coordinator.members();
    let result = timeout(SOON, members.wait_for(|now| now.as_slice() == expected)).await;
    let seen = result.is_ok();
    drop(result);
    assert!(seen, "expected {expected:?}, there are {:?}", coordinator.members().borrow());
    began.elapsed()
}
