//! What to consume. Plain data.

use std::collections::BTreeMap;

use loglake_model::Limits;
use loglake_receive::kafka::{PayloadFormat, RecordFields};

use crate::TableMap;

/// Where to begin in a partition of which nothing was read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record there is.
    #[default]
    Earliest,
    /// With what comes from now on, in the partitions that are there when the source is first consumed.
    /// Those that come later are read from their beginning.
    Latest,
}

/// A Kafka cluster and what to take from it.
#[derive(Clone, Debug)]
pub struct KafkaSource {
    /// `host:port` each.
    pub brokers: Vec<String>,
    /// Names of topics; one that begins with `^` is a regular expression.
    pub topics: Vec<String>,
    pub tables: TableMap,
    pub format: PayloadFormat,
    /// What of a record beside its payload becomes fields.
    pub fields: RecordFields,
    pub start: Start,
    /// The consumer group that spreads partitions over the ingesters.
    pub group: String,
    /// What offsets are kept under, in place of the cluster's own id.
    pub name: Option<String>,
    /// Of librdkafka.
    pub properties: BTreeMap<String, String>,
    pub limits: Limits,
}

/// Properties of librdkafka that loglake sets, because what it promises rests on them.
pub(crate) const RESERVED: [&str; 8] = [
    "bootstrap.servers",
    "group.id",
    "group.protocol",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "partition.assignment.strategy",
    "statistics.interval.ms",
];
