//! Consumers of other systems' queues: their records into the tables, each exactly once.
//!
//! ```text
//! claim a partition → fetch → decode → one append with its stretch of offsets → … → give it up
//! ```
//! Promises: a record of a claimed partition comes into the lake once, whoever dies, hangs or takes over
//! ([`claims`], [`tenure`]); what cannot be decoded is a row of `dead_letters`, and so is a stretch of
//! records that the queue removed before they were read.
//!
//! The rooms: [`claims`] says who may log which partition (objects of the bucket); [`tenure`] takes and
//! ends claims; [`lane`] is the bookkeeping of one partition (no I/O); [`chunk`] makes rows of records and
//! stores them; [`kafka`] is the loop around librdkafka, the only room that knows it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chunk;
mod claims;
mod error;
mod kafka;
mod lane;
mod settings;
mod status;
mod tables;
mod tenure;

pub use chunk::{Header, Record, Stored};
pub use claims::{Claim, Claims};
pub use error::CollectError;
pub use kafka::Kafka;
pub use settings::{KafkaSource, Start};
pub use status::{Metrics, PartitionStatus, Status};
pub use tables::TableMap;
pub use tenure::{CollectDependencies, Partition, Queue, Tenure, Tenures};
