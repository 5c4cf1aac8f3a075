//! Incidents: for a minute or so one service fails far more often, is slow, and says more.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::topology::SERVICES;

const SECOND: i64 = 1_000_000_000;

/// Log time between the end of an incident and the next one, in seconds.
const CALM_SECONDS: std::ops::Range<i64> = 120..900;
const INCIDENT_SECONDS: std::ops::Range<i64> = 30..150;

/// The service that is in trouble: an index into [`SERVICES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) service: usize,
}

/// One incident after the other, in log time.
#[derive(Debug)]
pub(super) struct Incidents {
    service: usize,
    begins: i64,
    ends: i64,
}

impl Incidents {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        let mut incidents = Self { service: 0, begins: 0, ends: 0 };
        incidents.plan_next(rng);
        incidents
    }

    /// The trouble at a time, in nanoseconds since the start; times may not go back by more than
    /// the calm between incidents.
    pub(super) fn at(&mut self, since_start: i64, rng: &mut ChaCha8Rng) -> Option<Trouble> {
        while since_start >= self.ends {
            self.plan_next(rng);
        }
        (since_start >= self.begins).then_some(Trouble { service: self.service })
    }

    fn plan_next(&mut self, rng: &mut ChaCha8Rng) {
        self.service = rng.random_range(0..SERVICES.len());
        self.begins = self.ends.saturating_add(rng.random_range(CALM_SECONDS) * SECOND);
        self.ends = self.begins.saturating_add(rng.random_range(INCIDENT_SECONDS) * SECOND);
    }
}
