//! What is consumed, as the system views tell it.

use std::sync::Arc;

use loglake_collect::Status;
use loglake_query::{QueuePart, Queues};

pub struct Collected(pub Arc<Status>);

impl Queues for Collected {
    fn parts(&self) -> Vec<QueuePart> {
        let part = |status: loglake_collect::PartitionStatus| QueuePart {
            queue: status.queue,
            table: status.table.map(|table| table.to_string()),
            state: status.state.to_owned(),
            writer: status.writer.map(|writer| writer.to_string()),
            next: status.next,
            end: status.end,
            buffered_bytes: status.buffered_bytes,
            records: status.records,
            records_per_second: status.records_per_second,
            dead_letters: status.dead_letters,
            missed: status.missed,
            error: status.error,
        };
        self.0.partitions().into_iter().map(part).collect()
    }
}
