//! The bookkeeping of one partition: what is waiting, what is on its way, what is durable, when to fetch
//! and when to hold back. Plain state, no I/O, no clock.
//!
//! ```text
//!            acquire            acquired          assigned
//!  Wanted ──────────▶ Acquiring ────────▶ Held ───────────▶ Held, fetching ──▶ chunks, one at a time
//!    ▲   ◀──────────────  refused          │
//!    └─────────────────────────────────────┴─ the tenure is over, or the queue has removed what is next
//! ```
//! One chunk is on its way at a time, the same one until it is stored: so in the writer's log the stretches
//! of a partition follow each other, and the last one says that all before it are there too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chunk::Record;

/// Bytes and records of a chunk, about.
const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_RECORDS: usize = 50_000;
/// Until what failed is tried again, doubled with each failure.
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// At most, for a chunk: room in the buffer comes within seconds.
const CHUNK_WAIT_MAX: Duration = Duration::from_secs(2);
/// At most, for taking the partition.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Records(Arc<Vec<Record>>),
    /// The records of the stretch are gone.
    Gap,
}

/// A stretch `[from, to)` on its way into the lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) work: Work,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Wanted,
    Acquiring,
    /// `fetching`: the client was told where to fetch; what comes before that is of an older order.
    Held {
        fetching: bool,
    },
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    /// Nothing was stored: the same again, later.
    Again,
    /// The partition must be taken anew.
    Over,
}

#[derive(Debug)]
pub(crate) struct Lane {
    phase: Phase,
    /// Everything before it is durable.
    next: u64,
    /// The next record to take from the client.
    fetch: u64,
    buffer: VecDeque<Record>,
    bytes: usize,
    /// The chunk that is stored now, or is to be stored again.
    chunk: Option<Chunk>,
    in_flight: bool,
    /// The queue has removed what comes next: once everything is stored, the partition is taken anew.
    overtaken: bool,
    paused: bool,
    not_before: Option<Instant>,
    failures: u32,
}

impl Lane {
    pub(crate) const fn new() -> Self {
        Self {
            phase: Phase::Wanted,
            next: 0,
            fetch: 0,
            buffer: VecDeque::new(),
            bytes: 0,
            chunk: None,
            in_flight: false,
            overtaken: false,
            paused: false,
            not_before: None,
            failures: 0,
        }
    }

    pub(crate) const fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Held { .. })
    }

    pub(crate) fn is_acquiring(&self) -> bool {
        self.phase == Phase::Acquiring
    }

    pub(crate) const fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Everything before it is durable.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Where the client is to fetch from.
    pub(crate) const fn fetch(&self) -> u64 {
        self.fetch
    }

    pub(crate) const fn buffered_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether to take the partition now; it counts as begun then.
    pub(crate) fn begin_acquiring(&mut self, now: Instant) -> bool {
        let due = self.phase == Phase::Wanted && !self.in_flight && self.is_time(now);
        if due {
            self.phase = Phase::Acquiring;
        }
        due
    }

    /// The partition is this lane's: `from` is next, and what is before `gap_to` is gone.
    pub(crate) fn acquired(&mut self, from: u64, gap_to: Option<u64>) {
        if self.phase != Phase::Acquiring {
            return;
        }
        *self = Self { failures: self.failures, ..Self::new() };
        self.phase = Phase::Held { fetching: false };
        self.next = from;
        self.fetch = from;
        if let Some(to) = gap_to.filter(|to| *to > from) {
            self.chunk = Some(Chunk { from, to, work: Work::Gap });
            self.fetch = to;
        }
    }

    pub(crate) fn refused(&mut self, now: Instant) {
        if self.phase == Phase::Acquiring {
            self.phase = Phase::Wanted;
            self.wait(now, WAIT_MAX);
        }
    }

    /// The client was told to fetch from [`Self::fetch`] on.
    pub(crate) fn fetching(&mut self) {
        if self.is_held() {
            self.phase = Phase::Held { fetching: true };
        }
        self.paused = false;
    }

    /// Takes a record that the client fetched; one that was taken before is left out.
    pub(crate) fn take(&mut self, record: Record) {
        let wanted = self.phase == Phase::Held { fetching: true } && record.offset >= self.fetch;
        if wanted {
            self.fetch = record.offset + 1;
            self.bytes += record.bytes();
            self.buffer.push_back(record);
        }
    }

    /// The chunk to store now; it counts as on its way then.
    pub(crate) fn begin_chunk(&mut self, now: Instant) -> Option<Chunk> {
        if !self.is_held() || self.in_flight || !self.is_time(now) {
            return None;
        }
        if self.chunk.is_none() {
            self.chunk = self.cut();
        }
        self.in_flight = self.chunk.is_some();
        self.chunk.clone()
    }

    fn cut(&mut self) -> Option<Chunk> {
        let (mut records, mut bytes) = (vec![], 0);
        while bytes < CHUNK_BYTES && records.len() < CHUNK_RECORDS {
            let Some(record) = self.buffer.pop_front() else { break };
            bytes += record.bytes();
            records.push(record);
        }
        self.bytes -= bytes;
        let to = records.last()?.offset + 1;
        Some(Chunk { from: self.next, to, work: Work::Records(Arc::new(records)) })
    }

    /// The chunk that was on its way has come to something.
    pub(crate) fn ended(&mut self, outcome: Outcome, now: Instant) {
        self.in_flight = false;
        match outcome {
            Outcome::Stored => {
                self.next = self.chunk.take().map_or(self.next, |chunk| chunk.to);
                (self.failures, self.not_before) = (0, None);
            }
            Outcome::Again => self.wait(now, CHUNK_WAIT_MAX),
            Outcome::Over => {
                *self = Self { failures: self.failures, ..Self::new() };
                self.wait(now, WAIT_MAX);
            }
        }
        self.take_anew_if_overtaken();
    }

    /// The queue has removed what is next to fetch.
    pub(crate) fn overtaken(&mut self) {
        self.overtaken = self.is_held();
        self.take_anew_if_overtaken();
    }

    fn take_anew_if_overtaken(&mut self) {
        let idle = !self.in_flight && self.chunk.is_none() && self.buffer.is_empty();
        if self.overtaken && idle {
            *self = Self::new();
        }
    }

    /// Whether fetching is to be held back (`true`) or to go on again, when that changes.
    pub(crate) fn turn(&mut self, bytes_max: usize) -> Option<bool> {
        let Phase::Held { fetching: true } = self.phase else { return None };
        let pause = match self.paused {
            false => self.bytes >= bytes_max,
            true => self.bytes > bytes_max / 2,
        };
        (pause != self.paused).then(|| {
            self.paused = pause;
            pause
        })
    }

    fn is_time(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    fn wait(&mut self, now: Instant, max: Duration) {
        let wait = WAIT_FIRST.saturating_mul(1 << self.failures.min(10)).min(max);
        self.failures += 1;
        self.not_before = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(offset: u64) -> Record {
        Record { offset, value: Some(vec![b'x'; 100].into()), ..Record::default() }
    }

    fn held(from: u64, gap_to: Option<u64>) -> Lane {
        let mut lane = Lane::new();
        assert!(lane.begin_acquiring(Instant::now()));
        lane.acquired(from, gap_to);
        lane.fetching();
        lane
    }

    fn offsets(chunk: &Chunk) -> Vec<u64> {
        match &chunk.work {
            Work::Records(records) => records.iter().map(|record| record.offset).collect(),
            Work::Gap => vec![],
        }
    }

    #[test]
    fn a_chunk_is_the_same_until_it_is_stored_and_the_next_begins_at_its_end() {
        let (mut lane, now) = (held(5, None), Instant::now());
        for offset in [5, 7, 8] {
            lane.take(record(offset));
        }
        let chunk = lane.begin_chunk(now).unwrap();
        assert_eq!((chunk.from, chunk.to, offsets(&chunk)), (5, 9, vec![5, 7, 8]));
        lane.take(record(9));
        assert_eq!(lane.begin_chunk(now), None);
        lane.ended(Outcome::Again, now);
        assert_eq!((lane.begin_chunk(now), lane.next()), (None, 5));
        let later = now + WAIT_FIRST;
        assert_eq!(lane.begin_chunk(later), Some(chunk));
        lane.ended(Outcome::Stored, later);
        let chunk = lane.begin_chunk(later).unwrap();
        assert_eq!((chunk.from, offsets(&chunk), lane.next()), (9, vec![9], 9));
    }

    #[test]
    fn what_is_fetched_before_the_order_or_twice_is_left_out() {
        let mut lane = Lane::new();
        lane.take(record(3));
        lane.begin_acquiring(Instant::now());
        lane.acquired(5, None);
        lane.take(record(5));
        lane.fetching();
        for offset in [4, 5, 5, 6, 5] {
            lane.take(record(offset));
        }
        assert_eq!(offsets(&lane.begin_chunk(Instant::now()).unwrap()), [5, 6]);
    }

    #[test]
    fn a_gap_is_stored_before_anything_else() {
        let (mut lane, now) = (held(5, Some(20)), Instant::now());
        assert_eq!(lane.fetch(), 20);
        lane.take(record(20));
        assert_eq!(lane.begin_chunk(now), Some(Chunk { from: 5, to: 20, work: Work::Gap }));
        lane.ended(Outcome::Stored, now);
        assert_eq!(offsets(&lane.begin_chunk(now).unwrap()), [20]);
    }

    #[test]
    fn an_overtaken_lane_stores_what_it_has_and_is_taken_anew() {
        let (mut lane, now) = (held(5, None), Instant::now());
        lane.take(record(5));
        lane.overtaken();
        assert!(lane.is_held());
        lane.begin_chunk(now).unwrap();
        lane.ended(Outcome::Stored, now);
        assert!(!lane.is_held() && lane.begin_acquiring(now));
    }

    #[test]
    fn fetching_is_held_back_while_too_much_waits() {
        let (mut lane, now) = (held(0, None), Instant::now());
        let bytes = record(0).bytes();
        for offset in 0..10 {
            lane.take(record(offset));
        }
        assert_eq!(lane.turn(bytes * 11), None);
        assert_eq!((lane.turn(bytes * 10), lane.turn(bytes * 10)), (Some(true), None));
        lane.begin_chunk(now).unwrap();
        assert_eq!((lane.turn(bytes * 10), lane.turn(bytes * 10)), (Some(false), None));
    }

    #[test]
    fn a_tenure_that_is_over_leaves_nothing_behind() {
        let (mut lane, now) = (held(5, None), Instant::now());
        lane.take(record(5));
        lane.begin_chunk(now).unwrap();
        lane.take(record(6));
        lane.ended(Outcome::Over, now);
        assert!(!lane.is_held() && lane.begin_chunk(now + WAIT_MAX).is_none());
        assert!(!lane.begin_acquiring(now) && lane.begin_acquiring(now + WAIT_MAX));
        assert_eq!(lane.buffered_bytes(), 0);
    }

    proptest! {
        /// Whatever fails and whatever is fetched twice, the stored stretches follow each other and hold
        /// every record once.
        #[test]
        fn stretches_follow_each_other(
            steps in prop::collection::vec((0u8..6, 1u64..4), 1..200),
        ) {
            let mut now = Instant::now();
            let (mut lane, mut stored, mut fetched) = (held(0, None), vec![], 0u64);
            let (mut existing, mut seen, mut end) = (vec![], vec![], 0);
            for (step, n) in steps {
                now += WAIT_MAX;
                match step {
                    0 | 1 => {
                        fetched += n - 1;
                        existing.push(fetched);
                        lane.take(record(fetched));
                        fetched += 1;
                    }
                    2 if fetched > 0 => lane.take(record(fetched.saturating_sub(n))),
                    _ => {}
                }
                if let Some(chunk) = lane.begin_chunk(now) {
                    match step {
                        3 => lane.ended(Outcome::Again, now),
                        _ => {
                            prop_assert_eq!(chunk.from, end);
                            end = chunk.to;
                            seen.extend(offsets(&chunk));
                            stored.push(chunk);
                            lane.ended(Outcome::Stored, now);
                        }
                    }
                }
            }
            while let Some(chunk) = lane.begin_chunk(now + WAIT_MAX) {
                seen.extend(offsets(&chunk));
                lane.ended(Outcome::Stored, now);
            }
            prop_assert_eq!(seen, existing);
        }
    }
}
