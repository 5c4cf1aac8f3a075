//! A simulated etcd and the `Coordinator` that a node has of it: leases that expire, a service that
//! is away or loses all it knew, views that stop while a node is cut off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loglake_coord::{CoordError, Coordinator, Duty, Member};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::world::{Party, World};

/// After this long without a sign of life a member is gone.
pub const LEASE_MS: u64 = 3_000;
const KEEP_ALIVE: Duration = Duration::from_millis(800);

type Members = Arc<Vec<Member>>;

/// The service.
pub struct SimEtcd {
    world: Arc<World>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    away: bool,
    /// When each session's lease ends.
    leases: BTreeMap<u64, u64>,
    members: BTreeMap<u64, Member>,
    /// Holder of each duty.
    duties: BTreeMap<String, u64>,
    views: BTreeMap<u64, (Party, watch::Sender<Members>)>,
}

impl SimEtcd {
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: Arc::clone(world), state: Mutex::default() })
    }

    pub fn set_away(&self, away: bool) {
        self.state.lock().away = away;
    }

    /// It comes back empty.
    pub fn forget_everything(&self) {
        let mut state = self.state.lock();
        state.leases.clear();
        state.members.clear();
        state.duties.clear();
    }

    /// Ends leases whose time has come and shows the members to those it reaches.
    pub fn tick(&self) {
        let (mut state, now) = (self.state.lock(), self.world.now_ms());
        if state.away {
            return;
        }
        let ended: Vec<u64> =
            state.leases.iter().filter(|(_, ends)| **ends <= now).map(|(s, _)| *s).collect();
        for session in ended {
            state.leases.remove(&session);
            state.duties.retain(|_, holder| *holder != session);
            if let Some(member) = state.members.remove(&session) {
                self.world.event(format_args!("etcd: the lease of {} ended", member.id));
                self.world.count("etcd: a lease expired");
            }
        }
        let mut members: Vec<Member> = state.members.values().cloned().collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let members = Arc::new(members);
        for (party, view) in state.views.values() {
            if self.world.reaches(Party::Etcd, *party) {
                view.send_if_modified(|seen| {
                    let differs = *seen != members;
                    if differs {
                        *seen = Arc::clone(&members);
                    }
                    differs
                });
            }
        }
    }

    /// A session for a node; its keeper runs in the present runtime.
    pub fn connect(self: &Arc<Self>, party: Party) -> Arc<SimCoordinator> {
        let session = self.world.number();
        let (view, members) = watch::channel(Members::default());
        self.state.lock().views.insert(session, (party, view));
        let coordinator = SimCoordinator {
            etcd: Arc::clone(self),
            party,
            session,
            members,
            own: Mutex::default(),
            life: Mutex::default(),
        };
        let coordinator = Arc::new(coordinator);
        tokio::spawn(Arc::clone(&coordinator).keep_alive());
        coordinator
    }

    fn reached_by(&self, party: Party) -> bool {
        let reached = self.world.reaches(party, Party::Etcd)
            && self.world.reaches(Party::Etcd, party)
            && !self.state.lock().away;
        if !reached {
            self.world.count("etcd: not reached");
        }
        reached
    }
}

/// A node's side of it.
pub struct SimCoordinator {
    etcd: Arc<SimEtcd>,
    party: Party,
    session: u64,
    members: watch::Receiver<Members>,
    own: Mutex<Option<Member>>,
    life: Mutex<CancellationToken>,
}

impl SimCoordinator {
    async fn keep_alive(self: Arc<Self>) {
        let mut seen_alive = tokio::time::Instant::now();
        loop {
            sleep(KEEP_ALIVE).await;
            if self.refresh().is_ok() {
                seen_alive = tokio::time::Instant::now();
            } else if seen_alive.elapsed() > Duration::from_millis(LEASE_MS) {
                std::mem::take(&mut *self.life.lock()).cancel();
            }
        }
    }

    fn refresh(&self) -> Result<(), CoordError> {
        if !self.etcd.reached_by(self.party) {
            let (call, reason) = ("answer", "it is not reached".to_owned());
            return Err(CoordError::Away { call, waited: Duration::ZERO, reason });
        }
        let ends = self.etcd.world.now_ms() + LEASE_MS;
        let mut state = self.etcd.state.lock();
        state.leases.insert(self.session, ends);
        if let Some(own) = &*self.own.lock() {
            state.members.insert(self.session, own.clone());
        }
        Ok(())
    }
}

#[async_trait]
impl Coordinator for SimCoordinator {
    async fn register(&self, member: Member) -> Result<(), CoordError> {
        *self.own.lock() = Some(member);
        sleep(Duration::from_millis(5)).await;
        self.refresh()
    }

    fn members(&self) -> watch::Receiver<Members> {
        self.members.clone()
    }

    async fn try_duty(&self, name: &str) -> Result<Option<Box<dyn Duty>>, CoordError> {
        sleep(Duration::from_millis(5)).await;
        self.refresh()?;
        let mut state = self.etcd.state.lock();
        if state.duties.contains_key(name) {
            return Ok(None);
        }
        state.duties.insert(name.to_owned(), self.session);
        let life = self.life.lock().clone();
        let (etcd, session, party) = (Arc::clone(&self.etcd), self.session, self.party);
        Ok(Some(Box::new(Held { etcd, party, name: name.to_owned(), session, life })))
    }

    async fn leave(&self) -> Result<(), CoordError> {
        *self.own.lock() = None;
        let mut state = self.etcd.state.lock();
        state.members.remove(&self.session);
        state.leases.remove(&self.session);
        state.duties.retain(|_, holder| *holder != self.session);
        Ok(())
    }
}

struct Held {
    etcd: Arc<SimEtcd>,
    party: Party,
    name: String,
    session: u64,
    life: CancellationToken,
}

#[async_trait]
impl Duty for Held {
    async fn lost(&self) {
        self.life.cancelled().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.etcd.reached_by(self.party) {
            return;
        }
        let mut state = self.etcd.state.lock();
        if state.duties.get(&self.name) == Some(&self.session) {
            state.duties.remove(&self.name);
        }
    }
}
