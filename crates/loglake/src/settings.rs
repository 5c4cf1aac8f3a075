//! Settings: plain data. From the TOML file, over it the environment, over it the flags.
//!
//! Every setting's doc comment is its documentation: `loglake configuration` prints them all, and
//! `docs/configuration.md` is that text.

mod collect;
mod document;
mod load;

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use loglake_coord::Role;
use loglake_format::EncoderSettings;
use loglake_ingest::IngestSettings;
use loglake_model::{Limits, PartitionBy};
use loglake_query::{QuerySettings, SpreadSettings};
use loglake_receive::kafka::RecordFields;
use loglake_server::{FreshSettings, KafkaSettings};
use loglake_table::TableSettings;
use loglake_wal::WalSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use collect::CollectSettings;
pub use document::markdown;
pub use load::{Overrides, load};

use crate::store::{CacheSettings, DiskSettings};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The directory that is the bucket of an embedded lake. This or `store`, not both.
    pub data: Option<PathBuf>,
    /// The bucket: `s3://bucket/prefix`, where keys, region and endpoint come from the usual `AWS_*`
    /// variables; or `hdfs://host:port/path` or `hdfs://name/path`, where the rest comes from the files in
    /// `HADOOP_CONF_DIR` (see docs/hdfs.md).
    pub store: Option<String>,
    /// Addresses of the etcd members, `http://host:2379`. Needed when several processes share a
    /// bucket; a process alone works without.
    pub etcd: Vec<String>,
    /// What this process does: `ingest`, `query`, `maintain`.
    #[schemars(with = "Vec<String>")]
    pub roles: Vec<Role>,
    /// Address of the HTTP door.
    #[schemars(with = "String")]
    pub http: SocketAddr,
    /// Address of the gRPC door (Flight SQL).
    #[schemars(with = "String")]
    pub grpc: SocketAddr,
    /// Host name or address by which the other members reach this process, on the ports of `http` and
    /// `grpc`. Needed where it listens on all addresses (`0.0.0.0`); else the ones it listens on are told.
    pub advertise: Option<String>,
    /// The bearer token that every door asks for. Without one loglake listens on loopback only.
    pub token: Option<String>,
    pub limits: LimitSettings,
    pub wal: LogSettings,
    pub ingest: BufferSettings,
    pub table: LayoutSettings,
    pub query: SqlSettings,
    pub coordination: CoordinationSettings,
    pub kafka: KafkaDoorSettings,
    pub collect: CollectSettings,
}

/// Bounds on what one request may bring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Bytes of a request's body after decompression. A larger one answers 413.
    pub body_bytes_max: u64,
    /// Bytes of one record as it was sent. A larger one is refused by line.
    pub record_bytes_max: usize,
    /// Fields of one record, nested ones counted each. A record with more is refused.
    pub record_fields_max: usize,
    /// Levels of nesting in one record. A deeper one is refused.
    pub record_depth_max: usize,
    /// Columns of one table. Fields past it are kept in `attributes`, where queries are slower.
    pub table_columns_max: usize,
}

/// The most segments that any writer may have on their way at once: more only cost memory.
pub const IN_FLIGHT_CEILING: usize = 8;

/// The write-ahead log: what an acknowledgement waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Milliseconds a segment waits for company while others are on their way. Longer means fewer
    /// requests to the store and later acknowledgements; a lone request never waits.
    pub linger_ms: u64,
    /// Bytes of rows at which a segment is written at once.
    pub segment_bytes_max: usize,
    /// Segments on their way to the store at once, 1 to 8.
    pub in_flight_max: usize,
}

/// When acknowledged rows become files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BufferSettings {
    /// Bytes of memory of one table's buffered rows at which they are flushed. Larger makes larger
    /// files and needs more memory.
    pub flush_bytes: usize,
    /// Seconds after which a table's oldest buffered row is flushed. Rows are durable and
    /// queryable all the while; shorter makes more and smaller files.
    pub flush_age_s: u64,
    /// Bytes of memory of all buffered rows. At the bound senders wait, then are told to come back.
    pub buffer_bytes_max: usize,
    /// Milliseconds a sender waits for room in the buffer before it is told to come back (429).
    pub buffer_wait_max_ms: u64,
}

/// How new tables are laid out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LayoutSettings {
    /// How new tables are cut into folders: `hour` or `day`.
    #[schemars(with = "String")]
    pub partition_by: PartitionBy,
    /// Commits between two checkpoints of a table's log. Fewer make opening quicker.
    pub checkpoint_interval: u64,
    /// Rows of a row group at most.
    pub row_group_rows_max: usize,
    /// Rows of a data page at most: what a query that prunes by page reads at least.
    pub page_rows_max: usize,
    /// Newest rows of a flushed file that are kept apart from the others, where it has 32 times as many;
    /// 0 for none. Queries for the last lines read them alone.
    pub newest_rows: usize,
    /// zstd level of data files: 1 to 22. Higher costs much CPU for little space.
    pub zstd_level: i32,
}

/// Bounds on queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SqlSettings {
    /// Bytes of memory of all running queries. Past it they spill to disk, then fail.
    pub memory_bytes_max: usize,
    /// Seconds after which a query is ended; a request may ask for less.
    pub timeout_s: u64,
    /// Bytes of disk for spilling, of all running queries.
    pub spill_bytes_max: u64,
    /// Milliseconds a query waits for an ingester's fresh rows to begin to come; then it reads that
    /// ingester's segments from the bucket, which is slower. Longer delays queries when an ingester
    /// hangs.
    pub fresh_wait_ms: u64,
    /// Bytes of memory in which parts of data files of a bucket are kept; 0 keeps none. An embedded lake
    /// leaves that to the operating system.
    pub cache_memory_bytes: usize,
    /// A folder on a local disk where parts of data files of a bucket are kept beside, also while the process
    /// is down. One for each process.
    pub cache_folder: Option<PathBuf>,
    /// Bytes that `query.cache_folder` may take, 64 MiB at least.
    pub cache_disk_bytes: u64,
    /// Bytes of the columns that a query reads, as stored, from which it is worked on by all queriers
    /// together. Smaller ones run where they are asked: sharing them out would cost more than it brings.
    pub spread_bytes_min: u64,
}

/// Membership through etcd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CoordinationSettings {
    /// Seconds after which a silent member counts as gone. Shorter recovers sooner and takes
    /// pauses for deaths.
    pub lease_s: u64,
    /// Prefix of the keys in etcd, so that several lakes share one.
    pub prefix: String,
}

/// The Kafka door: topics are tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaDoorSettings {
    /// Address of the Kafka door; without one there is none. Clients are told the host of `advertise`,
    /// or the address on which they came.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    /// What of a Kafka record beside its payload becomes fields, `kafka.key` and so on: any of `key`,
    /// `headers`, `partition`.
    #[schemars(with = "Vec<String>")]
    pub fields: Vec<KafkaField>,
    /// Seconds that a second must be over before its rows are given to Kafka consumers. Shorter is
    /// sooner; rows that arrive later than this are not seen by consumers that are past their time.
    pub settle_s: u64,
}

/// Something that a Kafka record has beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KafkaField {
    Key,
    Headers,
    Partition,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: None,
            store: None,
            etcd: vec![],
            roles: vec![Role::Ingest, Role::Query, Role::Maintain],
            http: SocketAddr::from(([127, 0, 0, 1], 9400)),
            grpc: SocketAddr::from(([127, 0, 0, 1], 9401)),
            advertise: None,
            token: None,
            limits: LimitSettings::default(),
            wal: LogSettings::default(),
            ingest: BufferSettings::default(),
            table: LayoutSettings::default(),
            query: SqlSettings::default(),
            coordination: CoordinationSettings::default(),
            kafka: KafkaDoorSettings::default(),
            collect: CollectSettings::default(),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        let Limits {
            body_bytes_max,
            record_bytes_max,
            record_fields_max,
            record_depth_max,
            table_columns_max,
        } = Limits::default();
        Self {
            body_bytes_max,
            record_bytes_max,
            record_fields_max,
            record_depth_max,
            table_columns_max,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { linger_ms: 50, segment_bytes_max: 8 << 20, in_flight_max: 4 }
    }
}

impl Default for BufferSettings {
    fn default() -> Self {
        Self {
            flush_bytes: 128 << 20,
            flush_age_s: 600,
            buffer_bytes_max: 320 << 20,
            buffer_wait_max_ms: 5_000,
        }
    }
}

impl Default for LayoutSettings {
    fn default() -> Self {
        let encoder = EncoderSettings::default();
        Self {
            partition_by: PartitionBy::Hour,
            checkpoint_interval: 100,
            row_group_rows_max: encoder.row_group_rows_max,
            page_rows_max: encoder.page_rows_max,
            newest_rows: encoder.newest_rows,
            zstd_level: encoder.zstd_level,
        }
    }
}

impl Default for SqlSettings {
    fn default() -> Self {
        Self {
            memory_bytes_max: 1 << 30,
            timeout_s: 60,
            spill_bytes_max: 10 << 30,
            fresh_wait_ms: 300,
            cache_memory_bytes: 256 << 20,
            cache_folder: None,
            cache_disk_bytes: 10 << 30,
            spread_bytes_min: 64 << 20,
        }
    }
}

impl Default for CoordinationSettings {
    fn default() -> Self {
        Self { lease_s: 5, prefix: "/loglake".to_owned() }
    }
}

impl Default for KafkaDoorSettings {
    fn default() -> Self {
        Self { listen: None, fields: vec![], settle_s: 10 }
    }
}

impl Settings {
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// How the other members reach a door of this process: `host:port`.
    pub fn advertised(&self, door: SocketAddr) -> String {
        match self.advertise.as_deref() {
            None => door.to_string(),
            Some(host) if host.parse::<Ipv6Addr>().is_ok() => format!("[{host}]:{}", door.port()),
            Some(host) => format!("{host}:{}", door.port()),
        }
    }

    /// Whether it tells others an address that leads nowhere.
    pub fn nobody_can_reach_it(&self) -> bool {
        let nowhere = self.grpc.ip().is_unspecified() || self.http.ip().is_unspecified();
        nowhere && self.advertise.is_none() && !self.etcd.is_empty()
    }

    pub fn limits(&self) -> Limits {
        Limits {
            body_bytes_max: self.limits.body_bytes_max,
            record_bytes_max: self.limits.record_bytes_max,
            record_fields_max: self.limits.record_fields_max,
            record_depth_max: self.limits.record_depth_max,
            table_columns_max: self.limits.table_columns_max,
        }
    }

    pub fn ingest(&self) -> IngestSettings {
        IngestSettings {
            flush_bytes: self.ingest.flush_bytes,
            flush_age: Duration::from_secs(self.ingest.flush_age_s),
            buffer_bytes_max: self.ingest.buffer_bytes_max,
            buffer_wait_max: Duration::from_millis(self.ingest.buffer_wait_max_ms),
            // Not a setting: seals are kept for 30 days on the promise that no writer is older.
            writer_age_max: Duration::from_secs(24 * 3600),
            wal: WalSettings {
                linger: Duration::from_millis(self.wal.linger_ms),
                segment_bytes_max: self.wal.segment_bytes_max,
                in_flight_max: self.wal.in_flight_max,
                ..WalSettings::default()
            },
            encoder: EncoderSettings {
                row_group_rows_max: self.table.row_group_rows_max,
                page_rows_max: self.table.page_rows_max,
                newest_rows: self.table.newest_rows,
                zstd_level: self.table.zstd_level,
            },
        }
    }

    pub fn tables(&self) -> TableSettings {
        TableSettings {
            columns_max: self.limits.table_columns_max,
            checkpoint_interval: self.table.checkpoint_interval,
            partition_by: self.table.partition_by,
        }
    }

    pub fn query(&self) -> QuerySettings {
        QuerySettings {
            memory_bytes_max: self.query.memory_bytes_max,
            timeout: Duration::from_secs(self.query.timeout_s),
            spill_bytes_max: self.query.spill_bytes_max,
        }
    }

    /// Of data files in a bucket; `None` where nothing is kept of them.
    pub fn cache(&self) -> Option<CacheSettings> {
        let disk = self.query.cache_folder.clone();
        let disk = disk.map(|folder| DiskSettings { folder, bytes: self.query.cache_disk_bytes });
        let memory_bytes = self.query.cache_memory_bytes;
        (self.data.is_none() && memory_bytes > 0).then_some(CacheSettings { memory_bytes, disk })
    }

    pub fn spread(&self) -> SpreadSettings {
        SpreadSettings { bytes_min: self.query.spread_bytes_min }
    }

    pub fn kafka(&self) -> KafkaSettings {
        let has = |field| self.kafka.fields.contains(&field);
        KafkaSettings {
            advertise: self.advertise.clone(),
            fields: RecordFields {
                key: has(KafkaField::Key),
                headers: has(KafkaField::Headers),
                partition: has(KafkaField::Partition),
                ..RecordFields::default()
            },
            settle: Duration::from_secs(self.kafka.settle_s),
        }
    }

    /// The addresses of all doors.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        [self.http, self.grpc].into_iter().chain(self.kafka.listen).collect()
    }

    pub fn fresh(&self) -> FreshSettings {
        FreshSettings { wait: Duration::from_millis(self.query.fresh_wait_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_the_address_listened_on_or_the_advertised_host() {
        let door = "0.0.0.0:9401".parse().unwrap();
        let told = |host: Option<&str>| {
            let advertise = host.map(str::to_owned);
            Settings { advertise, ..Settings::default() }.advertised(door)
        };
        assert_eq!(told(None), "0.0.0.0:9401");
        assert_eq!(told(Some("node-1.lake")), "node-1.lake:9401");
        assert_eq!(told(Some("10.0.0.7")), "10.0.0.7:9401");
        assert_eq!(told(Some("fd00::7")), "[fd00::7]:9401");
    }
}
