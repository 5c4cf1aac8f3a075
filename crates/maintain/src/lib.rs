//! Upkeep: what keeps a bucket tidy. Nothing waits for it, and a lake without it loses nothing.
//!
//! | what | removes | safe, because |
//! |---|---|---|
//! | [`compact`](Compactor) | small files of a table, for larger ones with the same rows | the commit is refused when one of them is gone |
//! | [`vacuum`] | data files that the table does not name | files named before a vacuum's commit cannot be committed after it |
//! | [`keys`] | claims of idempotency keys | the promise they hold ends after a day |
//! | [`logs`] | seals and floors of writers long gone | no process lives that could still write to their logs |
//!
//! Each is a duty, so that one process does it at a time; each may be done twice, at once or halfway,
//! without harm. Ages are told by the store's own clock alone: an object's age is how long before the
//! store's newest word it was made. So a process whose clock jumps removes nothing early. What is not
//! due costs no request beyond one listing of the tables an hour, and an idle lake is not written to.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod age;
mod compact;
mod error;
pub mod keys;
pub mod logs;
mod pace;
mod schedule;
mod upkeep;
pub mod vacuum;

pub use compact::Compactor;
pub use error::MaintainError;
pub use upkeep::{MaintainDependencies, maintain};
