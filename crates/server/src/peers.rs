//! The doors between members: what ingesters and queriers say to each other over the gRPC door,
//! behind the same token as everybody.
//!
//! | call | asks for |
//! |---|---|
//! | `DoAction` `loglake.standing` | how this ingester is, again and again: [`Standing`] |
//! | `DoPut` with `loglake/forward` | these rows in this writer's log |
//! | `DoGet` with `loglake/fresh-rows` | rows of this writer that are in no file yet |
//! | `DoAction` `loglake.key_fate` | what became of a request with an idempotency key |
//!
//! [`channels`] and [`members`] are the calling side, [`service`] the answering one, [`wire`] what
//! goes between them; [`fresh`] is both sides of reading fresh rows. Queriers that work on each other's
//! queries ([`queriers`]) speak the protocol of `datafusion-distributed`.
//!
//! [`Standing`]: loglake_ingest::Standing

pub(crate) mod channels;
pub(crate) mod fresh;
mod members;
mod own;
mod patience;
mod queriers;
pub(crate) mod service;
#[cfg(test)]
mod tests;
mod wire;

pub use channels::Channels;
pub use fresh::{FreshSettings, MembersRows};
pub use members::MemberPeers;
pub use own::OwnRows;
pub use queriers::MemberQueriers;
