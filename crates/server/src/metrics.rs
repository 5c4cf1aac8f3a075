//! What the front doors count, in the names of the Prometheus conventions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loglake_query::CacheLookups;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Counters of the front doors. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// `loglake_ingest_rows_total`
    pub(crate) rows: Counter,
    /// `loglake_ingest_bytes_total`: bodies after decompression.
    pub(crate) bytes: Counter,
    /// `loglake_ingest_rejected_total`
    pub(crate) rejected: Counter,
    /// `loglake_ingest_ack_seconds`: from a block's last byte to its rows being durable.
    ack: Histogram,
    /// `loglake_http_requests_total`
    requests: Family<RequestLabels, Counter>,
    /// `loglake_kafka_requests_total`
    kafka: Family<KafkaLabels, Counter>,
    /// `loglake_queries_total`
    queries: Family<QueryLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KafkaLabels {
    request: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QueryLabels {
    door: &'static str,
    outcome: &'static str,
}

/// The door a query came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryDoor {
    Http,
    Elasticsearch,
    FlightSql,
    Kafka,
}

impl Metrics {
    /// Makes the counters and puts them into `registry`, whose prefix should be `loglake`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            rows: Counter::default(),
            bytes: Counter::default(),
            rejected: Counter::default(),
            // 1 ms to 16 s.
            ack: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            requests: Family::default(),
            kafka: Family::default(),
            queries: Family::default(),
        };
        registry.register("ingest_rows", "Records stored", metrics.rows.clone());
        registry.register_with_unit(
            "ingest",
            "Bytes of records received, after decompression",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        registry.register("ingest_rejected", "Records refused", metrics.rejected.clone());
        registry.register_with_unit(
            "ingest_ack",
            "Time from the last byte of a block to its rows being durable",
            Unit::Seconds,
            metrics.ack.clone(),
        );
        registry.register("http_requests", "HTTP requests answered", metrics.requests.clone());
        registry.register("kafka_requests", "Kafka requests taken", metrics.kafka.clone());
        registry.register("queries", "Queries started or refused", metrics.queries.clone());
        metrics
    }

    pub(crate) fn acknowledged(&self, rows: u64, after: Duration) {
        self.rows.inc_by(rows);
        self.ack.observe(after.as_secs_f64());
    }

    pub(crate) fn answered(&self, route: &str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route: route.to_owned(), status }).inc();
    }

    /// A request of Kafka's protocol was taken.
    pub(crate) fn kafka(&self, request: &'static str) {
        self.kafka.get_or_create(&KafkaLabels { request }).inc();
    }

    /// A query was started (`true`) or refused.
    pub(crate) fn query(&self, door: QueryDoor, started: bool) {
        let door = match door {
            QueryDoor::Http => "http",
            QueryDoor::Elasticsearch => "elasticsearch",
            QueryDoor::FlightSql => "flight_sql",
            QueryDoor::Kafka => "kafka",
        };
        let outcome = if started { "started" } else { "refused" };
        self.queries.get_or_create(&QueryLabels { door, outcome }).inc();
    }
}

/// `loglake_cache_lookups_total`: what queries asked of the caches of decoded footers and indexes.
#[derive(Debug)]
pub(crate) struct Caches(pub(crate) Arc<CacheLookups>);

impl Collector for Caches {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Lookups of decoded footers and token indexes";
        let mut lookups =
            encoder.encode_descriptor("cache_lookups", help, None, MetricType::Counter)?;
        for (cache, kept) in [("footers", &self.0.footers), ("indexes", &self.0.indexes)] {
            for (outcome, count) in [("hit", kept.hits()), ("miss", kept.misses())] {
                let labels = [("cache", cache), ("outcome", outcome)];
                ConstCounter::new(count).encode(lookups.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_documentation() {
        let mut registry = Registry::with_prefix("loglake");
        let metrics = Metrics::register(&mut registry);
        metrics.acknowledged(3, Duration::from_millis(5));
        metrics.bytes.inc_by(10);
        metrics.answered("/_bulk", 200);
        metrics.query(QueryDoor::FlightSql, true);
        metrics.kafka("produce");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "loglake_ingest_rows_total 3",
            "loglake_ingest_bytes_total 10",
            "loglake_ingest_rejected_total 0",
            "loglake_ingest_ack_seconds_count 1",
            "loglake_http_requests_total{route=\"/_bulk\",status=\"200\"} 1",
            "loglake_kafka_requests_total{request=\"produce\"} 1",
            "loglake_queries_total{door=\"flight_sql\",outcome=\"started\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
