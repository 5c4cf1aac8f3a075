//! How the consumers of this process are, for metrics and for the system view `lake.kafka`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use loglake_model::{TableName, WriterId};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::Stored;

/// A partition that this process consumes, or is to consume.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionStatus {
    /// As the tables count it.
    pub queue: String,
    pub topic: String,
    pub partition: i32,
    pub table: Option<TableName>,
    /// `waiting`, `consuming`, `paused` (at the bound of memory).
    pub state: &'static str,
    pub writer: Option<WriterId>,
    /// Everything before it is durable.
    pub next: Option<u64>,
    /// The offset after the last record of the partition.
    pub end: Option<u64>,
    pub buffered_bytes: u64,
    pub records: u64,
    pub records_per_second: f64,
    pub dead_letters: u64,
    /// Records that the queue removed before they were read.
    pub missed: u64,
    pub error: Option<String>,
}

impl PartitionStatus {
    /// Records that are not durable in the lake yet.
    pub fn lag(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.next?))
    }
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<(String, i32), PartitionStatus>,
    /// By topic, also of partitions that others have by now.
    topics: BTreeMap<String, Stored>,
    errors: u64,
}

/// Shared by the consumers that tell and those who ask.
#[derive(Debug, Default)]
pub struct Status(Mutex<State>);

impl Status {
    /// The partitions of this process, by topic and number.
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.0.lock().partitions.values().cloned().collect()
    }

    pub(crate) fn replace(&self, partitions: Vec<PartitionStatus>) {
        let key = |status: &PartitionStatus| (status.topic.clone(), status.partition);
        self.0.lock().partitions = partitions.into_iter().map(|s| (key(&s), s)).collect();
    }

    pub(crate) fn stored(&self, topic: &str, stored: Stored) {
        let mut state = self.0.lock();
        let total = state.topics.entry(topic.to_owned()).or_default();
        total.records += stored.records;
        total.bytes += stored.bytes;
        total.rows += stored.rows;
        total.dead_letters += stored.dead_letters;
        total.missed += stored.missed;
    }

    pub(crate) fn failed(&self) {
        self.0.lock().errors += 1;
    }
}

/// A counter's name, what it counts, and where that stands.
type Counted = (&'static str, &'static str, fn(&Stored) -> u64);
/// The same of a gauge.
type Gauged = (&'static str, &'static str, fn(&PartitionStatus) -> Option<u64>);

/// `loglake_collect_…`
#[derive(Debug)]
pub struct Metrics(pub Arc<Status>);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.0.0.lock();
        let counters: [Counted; 5] = [
            ("collect_records", "Records of queues stored", |s| s.records),
            ("collect_bytes", "Bytes of records of queues stored", |s| s.bytes),
            ("collect_rows", "Rows that records of queues became", |s| s.rows),
            ("collect_dead_letters", "Records that could not be decoded", |s| s.dead_letters),
            ("collect_missed", "Records removed before they were read", |s| s.missed),
        ];
        for (name, help, of) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (topic, total) in &state.topics {
                let labels = [("topic", topic.as_str())];
                ConstCounter::new(of(total)).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Failures of consuming, each tried again";
        let errors =
            encoder.encode_descriptor("collect_errors", help, None, MetricType::Counter)?;
        ConstCounter::new(state.errors).encode(errors)?;
        let gauges: [Gauged; 2] = [
            ("collect_lag", "Records that are not in the lake yet", PartitionStatus::lag),
            ("collect_buffered_bytes", "Bytes fetched and not stored", |s| Some(s.buffered_bytes)),
        ];
        for (name, help, of) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for status in state.partitions.values() {
                let partition = status.partition.to_string();
                let labels = [("topic", status.topic.as_str()), ("partition", partition.as_str())];
                if let Some(value) = of(status) {
                    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
                    gauge.encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn the_names_are_those_of_the_documentation() {
        let status = Arc::new(Status::default());
        status.stored("t", Stored { records: 3, bytes: 10, rows: 2, dead_letters: 1, missed: 7 });
        status.failed();
        status.replace(vec![PartitionStatus {
            queue: "kafka/c/t/1".into(),
            topic: "t".into(),
            partition: 1,
            table: None,
            state: "consuming",
            writer: None,
            next: Some(5),
            end: Some(9),
            buffered_bytes: 0,
            records: 3,
            records_per_second: 0.0,
            dead_letters: 1,
            missed: 7,
            error: None,
        }]);
        let mut registry = Registry::with_prefix("loglake");
        registry.register_collector(Box::new(Metrics(status)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "loglake_collect_records_total{topic=\"t\"} 3",
            "loglake_collect_bytes_total{topic=\"t\"} 10",
            "loglake_collect_rows_total{topic=\"t\"} 2",
            "loglake_collect_dead_letters_total{topic=\"t\"} 1",
            "loglake_collect_missed_total{topic=\"t\"} 7",
            "loglake_collect_errors_total 1",
            "loglake_collect_lag{topic=\"t\",partition=\"1\"} 4",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
