//! The Kafka door: shippers with a Kafka output need no Kafka, and consumers read tables as topics.
//!
//! ```text
//! frames → head → Produce ──▶ receive::kafka ──▶ the write path    in the order of the connection
//!                 Fetch, ListOffsets ──▶ the read path
//!                 groups ──▶ in memory; their offsets ──▶ a table
//! ```
//! A topic is a table with one partition. What an acknowledgement means is what it means everywhere:
//! the records are durable in the bucket, whatever `acks` says.

mod committed;
mod connection;
mod coordinator;
mod fetch;
mod groups;
mod list_offsets;
mod metadata;
mod places;
mod produce;
mod protocol;
mod rows;
mod sasl;
mod scram;
mod sequences;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use protocol::Code;

use std::sync::Arc;
use std::time::Duration;

use loglake_receive::kafka::RecordFields;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::coordinator::Groups;
use self::sasl::Secret;
use crate::doors::OpenDoors;
use crate::serve::accept_next;

/// How the Kafka door is set up.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// The host that clients are told. `None`: the address on which each of them came.
    pub advertise: Option<String>,
    /// What of a record beside its payload becomes fields.
    pub fields: RecordFields,
    /// How long a second must be over before its rows are given to consumers.
    pub settle: Duration,
}

/// A socket and what is spoken on it.
pub struct KafkaPort {
    pub listener: TcpListener,
    pub settings: KafkaSettings,
}

/// KiB of requests that are read or answered at once, of all connections.
const FRAMES_KIB_MAX: usize = 64 << 10;
/// Requests whose records are unpacked at once: each may take [`produce::RECORDS_BYTES_MAX`].
const DECODERS_MAX: usize = 4;

/// What the connections share.
pub(crate) struct Kafka {
    doors: OpenDoors,
    settings: KafkaSettings,
    secret: Option<Secret>,
    groups: Groups,
    frames: Arc<Semaphore>,
    decoders: Semaphore,
    stop: CancellationToken,
}

impl Kafka {
    fn new(doors: OpenDoors, settings: KafkaSettings, stop: CancellationToken) -> Self {
        Self {
            secret: doors.token.clone().map(Secret::new),
            groups: Groups::default(),
            frames: Arc::new(Semaphore::new(FRAMES_KIB_MAX)),
            decoders: Semaphore::new(DECODERS_MAX),
            doors,
            settings,
            stop,
        }
    }
}

/// Serves until `stop` is cancelled, then lets begun requests end, for a bounded time.
pub(crate) async fn listen(port: KafkaPort, doors: OpenDoors, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(doors.settings.connections_max));
    let drain_max = doors.settings.drain_max;
    let kafka = Arc::new(Kafka::new(doors, port.settings, stop.clone()));
    let connections = TaskTracker::new();
    while let Some((stream, place)) = accept_next(&port.listener, &places, &stop).await {
        let kafka = Arc::clone(&kafka);
        connections.spawn(async move {
            if let Err(e) = connection::run(kafka, stream).await {
                tracing::debug!("a kafka connection is closed: {e}");
            }
            drop(place);
        });
    }
    connections.close();
    if tokio::time::timeout(drain_max, connections.wait()).await.is_err() {
        tracing::warn!("kafka requests still ran {} s after the stop", drain_max.as_secs());
    }
}
