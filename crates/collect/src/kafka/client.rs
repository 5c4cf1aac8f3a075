//! The client of librdkafka: its settings, and what it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use regex::Regex;

use super::events::Events;
use crate::claims::Beginning;
use crate::settings::RESERVED;
use crate::{Claims, CollectError, KafkaSource, Queue, Start};

/// How long the cluster is waited for in one question.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

pub(super) type Client = BaseConsumer<Events>;

/// # Errors
/// [`CollectError::Settings`] when librdkafka does not take them.
pub(super) fn connect(source: &KafkaSource) -> Result<Client, CollectError> {
    let wrong = |problem: String| CollectError::Settings(problem);
    if let Some(name) = source.properties.keys().find(|name| RESERVED.contains(&name.as_str())) {
        return Err(wrong(format!("{name:?} is set by loglake itself")));
    }
    let mut config = ClientConfig::new();
    for (name, value) in [
        ("client.id", "loglake"),
        // Brokers notice within this that a process is gone, and give its partitions to others.
        ("session.timeout.ms", "10000"),
        ("topic.metadata.refresh.interval.ms", "10000"),
        ("topic.blacklist", "^__.*"),
        ("queued.max.messages.kbytes", "32768"),
    ] {
        config.set(name, value);
    }
    for (name, value) in &source.properties {
        config.set(name, value);
    }
    for (name, value) in [
        ("bootstrap.servers", source.brokers.join(",").as_str()),
        ("group.id", &source.group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // Where to go on is in the lake; what Kafka does not have any more is a gap to be told of.
        ("auto.offset.reset", "error"),
        // All partitions are given back before any is given to another: so they were given up well.
        ("partition.assignment.strategy", "roundrobin"),
        ("statistics.interval.ms", "1000"),
    ] {
        config.set(name, value);
    }
    config.create_with_context(Events::default()).map_err(|e| wrong(e.to_string()))
}

/// What offsets are kept under: the name that is set, or the cluster's id. `None` while the cluster does
/// not answer.
pub(super) fn cluster(client: &Client, source: &KafkaSource) -> Option<String> {
    match &source.name {
        Some(name) => Some(name.clone()),
        None => client.client().fetch_cluster_id(ANSWER_WAIT).filter(|id| !id.is_empty()),
    }
}

/// Answers from the cluster.
pub(super) struct Cluster {
    client: Arc<Client>,
    start: Start,
    /// What was there at first, for [`Start::Latest`].
    beginning: Beginning,
}

impl Cluster {
    /// # Errors
    /// When the cluster or the store does not answer.
    pub(super) async fn look(
        client: &Arc<Client>,
        source: &KafkaSource,
        claims: &Claims,
    ) -> Result<Self, CollectError> {
        let beginning = match source.start {
            Start::Earliest => Beginning::default(),
            Start::Latest => {
                let (client, topics) = (Arc::clone(client), source.topics.clone());
                let seen = tokio::task::spawn_blocking(move || partitions(&client, &topics));
                claims.beginning(&Beginning { partitions: seen.await?? }).await?
            }
        };
        Ok(Self { client: Arc::clone(client), start: source.start, beginning })
    }
}

/// The topics that are meant, each with how many partitions it has.
fn partitions(client: &Client, wanted: &[String]) -> Result<BTreeMap<String, i32>, CollectError> {
    let metadata = client.fetch_metadata(None, ANSWER_WAIT);
    let metadata = metadata.map_err(|e| CollectError::Queue(e.to_string()))?;
    let patterns: Vec<Regex> = wanted
        .iter()
        .filter(|name| name.starts_with('^'))
        .filter_map(|pattern| Regex::new(pattern).ok())
        .collect();
    let is_meant = |name: &str| {
        wanted.iter().any(|topic| topic == name) || patterns.iter().any(|p| p.is_match(name))
    };
    let topics = metadata.topics().iter().filter(|topic| is_meant(topic.name()));
    Ok(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len() as i32)).collect())
}

#[async_trait]
impl Queue for Cluster {
    async fn bounds(&self, topic: &str, partition: i32) -> Result<(u64, u64), CollectError> {
        let (client, topic) = (Arc::clone(&self.client), topic.to_owned());
        let ask = move || client.fetch_watermarks(&topic, partition, ANSWER_WAIT);
        let (low, high) = tokio::task::spawn_blocking(ask)
            .await?
            .map_err(|e| CollectError::Queue(e.to_string()))?;
        Ok((low.max(0).cast_unsigned(), high.max(0).cast_unsigned()))
    }

    async fn beginning(
        &self,
        topic: &str,
        partition: i32,
        (first, end): (u64, u64),
    ) -> Result<u64, CollectError> {
        let latest = self.start == Start::Latest && self.beginning.has(topic, partition);
        Ok(if latest { end } else { first })
    }
}
