//! A whole cluster in one process under virtual time: the real write path, recovery, routing and
//! queries, over a simulated store, network and etcd that fail by seed.
//!
//! ```text
//! run ── steps ──▶ node (a runtime each) ──▶ store, hub, coord (shared state, faults by `plan`)
//!  └── strikes: crash, freeze, cut, …           └──▶ ledger: judges every answer
//! ```
//! The same seed gives the same run: one thread steps the nodes in a drawn order, every chance is
//! drawn from the seed, and no clock of the machine is read. See docs/adr/0007-simulation.md.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bucket;
mod client;
mod coord;
mod dice;
mod hub;
mod ledger;
mod node;
mod place;
mod plan;
mod run;
mod sabotage;
mod store;
mod trace;
mod world;

pub use ledger::Promise;
pub use place::Flavour;
pub use run::{Outcome, Settings, run};
pub use sabotage::Sabotage;
pub use world::Broken;

/// Kinds of faults that every large enough set of seeds has had.
pub const FAULTS: [&str; 20] = [
    "node: crashed",
    "node: restarted",
    "node: froze for longer than its lease",
    "node: froze",
    "node: clock jumped",
    "node: power cut",
    "store: a change was not synced and is forgotten",
    "store: disk full",
    "store: sync failed",
    "store: request lost",
    "store: answer lost",
    "store: a write landed late",
    "store: write refused",
    "store: read refused",
    "store: slow",
    "partition: store request lost",
    "partition: message lost",
    "etcd: not reached",
    "etcd: a lease expired",
    "etcd: lost all it knew",
];
