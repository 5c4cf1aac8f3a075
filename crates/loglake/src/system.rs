//! The doors to the machine's clock and randomness; everything else is handed these.

use loglake_model::{Clock, Timestamp, WriterId};

/// The wall clock of the machine.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX))
    }
}

pub fn new_writer_id() -> WriterId {
    WriterId::from_uuid(uuid::Uuid::now_v7())
}
