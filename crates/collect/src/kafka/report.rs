//! How the lanes are, told once a second.

use std::time::{Duration, Instant};

use rdkafka::consumer::CommitMode;

use super::consumer::Consumer;
use crate::status::PartitionStatus;

const REPORT_EVERY: Duration = Duration::from_secs(1);
const COMMIT_EVERY: Duration = Duration::from_secs(5);

impl Consumer {
    pub(super) fn report(&mut self) {
        let elapsed = self.reported.elapsed();
        if elapsed < REPORT_EVERY {
            return;
        }
        self.reported = Instant::now();
        let claims = self.tenures.claims();
        let mut all = vec![];
        for ((topic, partition), held) in &mut self.lanes {
            let more = held.stored.records - held.reported.0;
            held.reported = (held.stored.records, more as f64 / elapsed.as_secs_f64());
            let lane = &held.lane;
            all.push(PartitionStatus {
                queue: claims.queue(topic, *partition),
                topic: topic.clone(),
                partition: *partition,
                table: held.partition.as_ref().map(|partition| partition.table.clone()),
                state: match (lane.is_held(), lane.is_paused()) {
                    (false, _) => "waiting",
                    (true, false) => "consuming",
                    (true, true) => "paused",
                },
                writer: held.tenure.as_ref().map(|tenure| tenure.writer),
                next: lane.is_held().then(|| lane.next()),
                end: held.end,
                buffered_bytes: lane.buffered_bytes() as u64,
                records: held.stored.records,
                records_per_second: held.reported.1,
                dead_letters: held.stored.dead_letters,
                missed: held.stored.missed,
                error: held.error.clone(),
            });
        }
        self.status.replace(all);
        if self.committed.elapsed() >= COMMIT_EVERY {
            self.committed = Instant::now();
            self.commit(CommitMode::Async);
        }
    }
}
