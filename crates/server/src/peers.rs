//! The doors between members: what ingesters and queriers say to each other over the gRPC door,
//! behind the same token as everybody.
//!
//! | call | asks for |
//! |---|---|
//! | `DoAction` `loglake.standing` | how this ingester is, again and again: [`Standing`] |
//! | `DoPut` with `loglake/forward` | these rows in this writer's log |
//! | `DoAction` `loglake.key_fate` | what became of a request with an idempotency key |
//!
//! [`channels`] and [`members`] are the calling side, [`service`] the answering one, [`wire`] what
//! goes between them.
//!
//! [`Standing`]: loglake_ingest::Standing

pub(crate) mod channels;
mod members;
pub(crate) mod service;
#[cfg(test)]
mod tests;
mod wire;

pub use channels::Channels;
pub use members::MemberPeers;
