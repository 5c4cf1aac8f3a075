//! The write path behind the decoders: log, buffer, flush, commit, trim; and the recovery of writers
//! that are gone.
//!
//! ```text
//! append → route → log (WAL) → buffer → ack          flush → commit → let go → trim
//! ```
//! Promises: what [`Ingester::append`] answered for is durable, and [`Ingester::fresh_rows`] or the
//! table has it; a row leaves the buffer only after the commit that holds it; a segment leaves the
//! bucket only after every table with rows in it has passed it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod buffer;
mod claims;
mod error;
mod fate;
mod files;
mod flush;
mod generation;
mod ingester;
mod memory;
mod once;
mod orphans;
mod peers;
mod policy;
mod recovery;
mod router;
mod routing;
mod settings;
mod trim;
mod under_way;

pub use claims::RequestKey;
pub use error::IngestError;
pub use ingester::{FreshRows, IngestDependencies, Ingester};
pub use orphans::recover_orphans;
pub use peers::{Forward, ForwardError, KeyFate, NoPeers, Peer, Peers, Standing};
pub use recovery::{Recovered, recover};
pub use settings::IngestSettings;
