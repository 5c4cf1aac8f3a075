//! Points in time and the door to the clock.

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z.
///
/// Tables keep it as `timestamp` (microseconds) and `nanos` (the remaining 0–999), because Delta's
/// timestamps have microseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const EPOCH: Self = Self(0);

    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// # Errors
    /// `None` when the instant is outside what 64 bits of nanoseconds carry (1677 to 2262).
    pub const fn from_micros_and_nanos(micros: i64, nanos: i64) -> Option<Self> {
        match micros.checked_mul(1_000) {
            Some(n) => match n.checked_add(nanos) {
                Some(n) => Some(Self(n)),
                None => None,
            },
            None => None,
        }
    }

    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole microseconds, rounded down.
    pub const fn micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole milliseconds, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// What [`Self::micros`] leaves: 0 to 999.
    pub const fn nanos_of_micro(self) -> i16 {
        self.0.rem_euclid(1_000) as i16
    }
}

/// The door to the wall clock, handed in so that tests and the simulation own time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Timestamp;
}
