//! The front doors: HTTP, gRPC and Kafka. Each turns a protocol's request into a call of the write path or
//! the read path and puts the answer, also the refusal, into the protocol's own form.
//!
//! Promises: 2xx means that every record the answer does not name as refused is durable; what is
//! refused is named with its line and reason; at a limit the caller is told to come back; no door
//! but `/health` opens without the token, if one is set.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod auth;
mod caught;
mod codes;
mod doors;
mod exposure;
mod failure;
mod flight;
mod http;
mod ids;
mod kafka;
mod keyed;
mod metrics;
mod peers;
mod plain_types;
mod serve;
#[cfg(test)]
mod test_lake;

pub use auth::InvalidToken;
pub use doors::Doors;
pub use exposure::{Exposed, check_exposure};
pub use kafka::{KafkaPort, KafkaSettings};
pub use peers::{Channels, FreshSettings, MemberPeers, MemberQueriers, MembersRows, OwnRows};
pub use serve::{ServeError, serve};
