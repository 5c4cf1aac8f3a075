//! Coordination without anything to coordinate with: members of one process.
//!
//! [`InProcess::new`] is one process alone. [`InProcess::beside`] makes another member of the same
//! group, for tests and simulations of several processes in one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{CoordError, Coordinator, Duty, Member};

/// One member of a group within this process. Dropped, it is gone like a process that died: its
/// membership and its duties end.
pub struct InProcess {
    group: Arc<Group>,
    /// Tells this handle's entries in the group from those of others.
    handle: u64,
    /// Ends when this handle leaves; a new one begins when it registers again.
    life: Mutex<CancellationToken>,
}

struct Group {
    state: Mutex<State>,
    members: watch::Sender<Arc<Vec<Member>>>,
}

#[derive(Default)]
struct State {
    handles: u64,
    members: BTreeMap<u64, Member>,
    /// The holder of each duty, by handle, and a number that no other holding has.
    duties: HashMap<String, (u64, u64)>,
    holdings: u64,
}

impl InProcess {
    /// A process alone.
    pub fn new() -> Self {
        let (members, _) = watch::channel(Arc::default());
        Self::in_group(Arc::new(Group { state: Mutex::default(), members }))
    }

    /// Another member of the same group.
    pub fn beside(&self) -> Self {
        Self::in_group(Arc::clone(&self.group))
    }

    fn in_group(group: Arc<Group>) -> Self {
        let handle = {
            let mut state = group.state.lock();
            state.handles += 1;
            state.handles
        };
        Self { group, handle, life: Mutex::default() }
    }

    fn end(&self) {
        // First the holders learn that they have lost, then others can win.
        self.life.lock().cancel();
        self.group.change(|state| {
            state.members.remove(&self.handle);
            state.duties.retain(|_, (holder, _)| *holder != self.handle);
        });
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.end();
    }
}

impl Group {
    /// Changes the state and publishes the members, in one step as others see it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let mut members: Vec<Member> = state.members.values().cloned().collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        self.members.send_if_modified(|published| {
            let differs = **published != members;
            if differs {
                *published = Arc::new(members);
            }
            differs
        });
        result
    }
}

#[async_trait]
impl Coordinator for InProcess {
    async fn register(&self, member: Member) -> Result<(), CoordError> {
        {
            let mut life = self.life.lock();
            if life.is_cancelled() {
                *life = CancellationToken::new();
            }
        }
        self.group.change(|state| state.members.insert(self.handle, member));
        Ok(())
    }

    fn members(&self) -> watch::Receiver<Arc<Vec<Member>>> {
        self.group.members.subscribe()
    }

    async fn try_duty(&self, name: &str) -> Result<Option<Box<dyn Duty>>, CoordError> {
        let life = self.life.lock();
        if life.is_cancelled() {
            return Err(CoordError::Left);
        }
        let mut state = self.group.state.lock();
        if state.duties.contains_key(name) {
            return Ok(None);
        }
        state.holdings += 1;
        let holding = (self.handle, state.holdings);
        state.duties.insert(name.to_owned(), holding);
        let group = Arc::clone(&self.group);
        Ok(Some(Box::new(Held { group, name: name.to_owned(), holding, life: life.clone() })))
    }

    async fn leave(&self) -> Result<(), CoordError> {
        self.end();
        Ok(())
    }
}

struct Held {
    group: Arc<Group>,
    name: String,
    holding: (u64, u64),
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
        let mut state = self.group.state.lock();
        if state.duties.get(&self.name) == Some(&self.holding) {
            state.duties.remove(&self.name);
        }
    }
}
