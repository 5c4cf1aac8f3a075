//! What librdkafka tells beside records. Its calls are only noted down: the loop acts on them.

use std::collections::VecDeque;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

/// A topic and a partition.
pub(super) type Key = (String, i32);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// These partitions are this process's, and no others.
    Assigned(Vec<Key>),
    /// No partition is.
    Revoked,
    /// The offsets after the last records of partitions.
    Ends(Vec<(Key, u64)>),
}

#[derive(Debug, Default)]
pub(super) struct Events {
    queue: Mutex<VecDeque<Event>>,
    /// The loop is over, and nobody takes the events any more.
    closing: Mutex<bool>,
}

impl Events {
    pub(super) fn next(&self) -> Option<Event> {
        self.queue.lock().pop_front()
    }

    /// From now on a revocation is agreed to at once.
    pub(super) fn close(&self) {
        *self.closing.lock() = true;
    }

    fn push(&self, event: Event) {
        self.queue.lock().push_back(event);
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, "{message}");
            }
            _ => tracing::warn!(facility, "{message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = vec![];
        for (topic, known) in statistics.topics {
            for (partition, known) in known.partitions {
                let end = if known.ls_offset >= 0 { known.ls_offset } else { known.hi_offset };
                if let (0.., Ok(end)) = (partition, u64::try_from(end)) {
                    ends.push(((topic.clone(), partition), end));
                }
            }
        }
        self.push(Event::Ends(ends));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!("Kafka: {error}: {reason}");
    }
}

impl ConsumerContext for Events {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if *self.closing.lock() {
            // An assignment that comes now is left to whoever comes next.
            if let Err(e) = consumer.unassign() {
                tracing::warn!("partitions are not given back: {e}");
            }
        } else if assigned {
            let keys = partitions.elements();
            let keys = keys.iter().map(|one| (one.topic().to_owned(), one.partition()));
            self.push(Event::Assigned(keys.collect()));
        } else {
            self.push(Event::Revoked);
        }
    }
}
