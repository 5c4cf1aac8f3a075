//! What all parties of a run share: virtual time, chance, the trace, who is cut off from whom, and
//! the first promise that was found broken. Plain state behind one lock; nothing here waits.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use loglake_model::{Clock, Timestamp};
use parking_lot::Mutex;

use crate::dice::Dice;
use crate::ledger::{Ledger, Promise};
use crate::sabotage::Sabotage;
use crate::trace::Trace;

/// 2026-11-01T12:58:30Z: an hour's end is near, so that partitions change during a run.
const EPOCH_NANOS: i64 = 1_793_537_910_000_000_000;

/// Who can be cut off from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Node(u8),
    Clients,
    Store,
    Etcd,
}

impl Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(n) => write!(f, "n{n}"),
            Self::Clients => f.write_str("clients"),
            Self::Store => f.write_str("store"),
            Self::Etcd => f.write_str("etcd"),
        }
    }
}

/// A promise that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub promise: Promise,
    pub what: String,
}

pub struct World {
    pub sabotage: Sabotage,
    state: Mutex<State>,
}

struct State {
    now_ms: u64,
    dice: Dice,
    trace: Trace,
    ledger: Ledger,
    /// Messages from the first to the second are lost.
    cuts: BTreeSet<(Party, Party)>,
    broken: Option<Broken>,
    next: u64,
}

impl World {
    pub fn new(seed: u64, sabotage: Sabotage, keep_lines: bool) -> Arc<Self> {
        let state = State {
            now_ms: 0,
            dice: Dice::new(seed),
            trace: Trace::new(keep_lines),
            ledger: Ledger::default(),
            cuts: BTreeSet::new(),
            broken: None,
            next: 0,
        };
        Arc::new(Self { sabotage, state: Mutex::new(state) })
    }

    pub fn now_ms(&self) -> u64 {
        self.state.lock().now_ms
    }

    pub fn set_now(&self, now_ms: u64) {
        self.state.lock().now_ms = now_ms;
    }

    pub fn dice<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.state.lock().dice)
    }

    pub fn event(&self, what: impl Display) {
        let state = &mut *self.state.lock();
        state.trace.event(state.now_ms, what);
    }

    pub fn count(&self, what: &'static str) {
        self.state.lock().trace.count(what);
    }

    pub fn trace<T>(&self, look: impl FnOnce(&mut Trace) -> T) -> T {
        look(&mut self.state.lock().trace)
    }

    pub fn ledger<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.state.lock().ledger)
    }

    /// A number that was not given out before.
    pub fn number(&self) -> u64 {
        let mut state = self.state.lock();
        state.next += 1;
        state.next
    }

    /// Notes a broken promise; the first one stays.
    pub fn broken(&self, promise: Promise, what: impl Into<String>) {
        let what = what.into();
        self.event(format_args!("BROKEN {promise:?}: {what}"));
        self.state.lock().broken.get_or_insert(Broken { promise, what });
    }

    pub fn first_broken(&self) -> Option<Broken> {
        self.state.lock().broken.clone()
    }

    /// Whether what `from` sends reaches `to` now.
    pub fn reaches(&self, from: Party, to: Party) -> bool {
        !self.state.lock().cuts.contains(&(from, to))
    }

    pub fn cut(&self, from: Party, to: Party) {
        self.state.lock().cuts.insert((from, to));
    }

    pub fn join(&self, from: Party, to: Party) {
        self.state.lock().cuts.remove(&(from, to));
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

/// The wall clock of one node, which may jump.
#[derive(Debug)]
pub struct NodeClock {
    world: Arc<World>,
    ahead_ms: AtomicI64,
}

impl NodeClock {
    pub fn new(world: Arc<World>) -> Arc<Self> {
        Arc::new(Self { world, ahead_ms: AtomicI64::new(0) })
    }

    pub fn jump(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let ms = self.world.now_ms() as i64 + self.ahead_ms.load(Ordering::Relaxed);
        Timestamp::from_nanos(EPOCH_NANOS + ms * 1_000_000)
    }
}
