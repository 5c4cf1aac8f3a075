//! Made-up logs of a web shop: many services with skewed rates, requests that leave their trace
//! in several of them, and now and then an incident.
//!
//! The same seed, start and rate make the same bytes, on every machine and in every version of
//! the random generator's crate (ChaCha, whose stream is specified).

mod incident;
mod message;
mod record;
mod template;
#[cfg(test)]
mod tests;
mod topology;

use loglake_model::Timestamp;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use incident::Incidents;
use message::Traces;
use record::Record;
use topology::Topology;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Share of the records that come late, and by how much at most: buffers of shippers.
const LATE_SHARE: f64 = 0.01;
const LATE_NANOS_MAX: i64 = 5 * NANOS_PER_SECOND as i64;

/// Makes records one after the other, without end.
pub(crate) struct Generator {
    rng: ChaCha8Rng,
    topology: Topology,
    incidents: Incidents,
    traces: Traces,
    start: Timestamp,
    /// Records a second of log time.
    rate: u64,
    made: u64,
}

impl Generator {
    /// `rate` is in records a second of log time, at least 1.
    pub(crate) fn new(seed: u64, start: Timestamp, rate: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let topology = Topology::new(&mut rng);
        let incidents = Incidents::new(&mut rng);
        let rate = u64::from(rate.max(1));
        Self { rng, topology, incidents, traces: Traces::default(), start, rate, made: 0 }
    }

    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Appends the next record as one line of JSON.
    ///
    /// # Errors
    /// None that a record can cause; serde's signature has one.
    pub(crate) fn write_next(&mut self, ndjson: &mut Vec<u8>) -> serde_json::Result<()> {
        let record = self.next_record();
        serde_json::to_writer(&mut *ndjson, &record)?;
        ndjson.push(b'\n');
        Ok(())
    }

    fn next_record(&mut self) -> Record {
        let since_start = self.since_start();
        let trouble = self.incidents.at(since_start, &mut self.rng);
        let rng = &mut self.rng;
        let place = self.topology.place(trouble, rng);
        let mut record = message::record(&self.topology, place, trouble, &mut self.traces, rng);
        let late =
            if rng.random_bool(LATE_SHARE) { rng.random_range(0..LATE_NANOS_MAX) } else { 0 };
        record.set_time(self.start.as_nanos().saturating_add(since_start).saturating_sub(late));
        self.made += 1;
        record
    }

    /// Nanoseconds of log time: exactly at the rate over time, unevenly from one to the next.
    fn since_start(&mut self) -> i64 {
        let step = NANOS_PER_SECOND / self.rate;
        let even = u128::from(self.made) * u128::from(NANOS_PER_SECOND) / u128::from(self.rate);
        let uneven = if step > 0 { self.rng.random_range(0..step) } else { 0 };
        i64::try_from(even).unwrap_or(i64::MAX).saturating_add_unsigned(uneven)
    }
}
