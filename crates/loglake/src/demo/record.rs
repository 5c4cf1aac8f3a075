//! A record as it is sent.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::topology::{Kind, Place, SERVICES, Topology};

/// One line. Its fields in the order they are written; those that are `None` are left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Record {
    timestamp: String,
    service: &'static str,
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    region: &'static str,
    pub(super) level: &'static str,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) span_id: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<Access>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) order_id: Option<String>,
    /// Of JVM programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logger: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<String>,
}

/// The fields of an access log.
#[derive(Debug, Serialize)]
pub(super) struct Access {
    pub(super) client_ip: String,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) duration_ms: f64,
    pub(super) user_agent: &'static str,
}

impl Record {
    /// A record with who wrote it, and nothing else yet.
    pub(super) fn of(topology: &Topology, place: Place) -> Self {
        let service = &SERVICES[place.service];
        Self {
            service: service.name,
            host: topology.host(place).to_owned(),
            pod: (service.kind != Kind::Kernel).then(|| topology.pod(place).name.clone()),
            region: topology.region(place),
            ..Self::default()
        }
    }

    /// Nanoseconds since the epoch.
    pub(super) fn set_time(&mut self, nanos: i64) {
        let time = DateTime::from_timestamp_nanos(nanos);
        self.timestamp = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
    }
}
