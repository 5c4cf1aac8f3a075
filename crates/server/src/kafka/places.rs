//! Offsets of a topic that is a table, whose rows lie by time and not by arrival.
//!
//! An offset is `second × 10⁹ + rank`: the second of the row's timestamp, and the row's rank among the
//! rows of that second, by time and then by all columns in their order. So it is the same from
//! whichever process it is asked, and finding it needs no state. Ranks of a second change while rows
//! come into it: only seconds that are over for a settle lag are served. A row that comes later than
//! that is not seen by who has read past it, and may shift who stands within its second.

use std::time::Duration;

use loglake_model::Timestamp;

pub(super) const RANKS: i64 = 1_000_000_000;

/// A row's place in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Since the epoch.
    pub(super) second: i64,
    pub(super) rank: i64,
}

impl Place {
    /// Offsets below 0 are the beginning.
    pub(super) const fn of_offset(offset: i64) -> Self {
        let offset = if offset < 0 { 0 } else { offset };
        Self { second: offset / RANKS, rank: offset % RANKS }
    }

    pub(super) const fn offset(self) -> i64 {
        self.second * RANKS + self.rank
    }

    /// The first place of the second that a time lies in.
    pub(super) const fn second_of(time: Timestamp) -> Self {
        Self { second: time.as_nanos().div_euclid(RANKS), rank: 0 }
    }
}

/// The first second that is not served yet.
pub(super) fn settled_end(now: Timestamp, settle: Duration) -> Place {
    let settle = i64::try_from(settle.as_nanos()).unwrap_or(i64::MAX);
    Place::second_of(Timestamp::from_nanos(now.as_nanos().saturating_sub(settle).max(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_places_are_the_same_thing() {
        let place = Place { second: 1_793_538_000, rank: 17 };
        assert_eq!(place.offset(), 1_793_538_000_000_000_017);
        assert_eq!(Place::of_offset(place.offset()), place);
        assert_eq!(Place::of_offset(-1), Place { second: 0, rank: 0 });
        assert!(Place::of_offset(9_214_646_400 * RANKS - 1).second == 9_214_646_399);
    }

    #[test]
    fn a_second_is_served_once_it_is_over_for_the_lag() {
        let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
        let lag = Duration::from_secs(10);
        assert_eq!(settled_end(at(20_999), lag), Place { second: 10, rank: 0 });
        assert_eq!(settled_end(at(21_000), lag), Place { second: 11, rank: 0 });
        assert_eq!(settled_end(at(3_000), lag), Place { second: 0, rank: 0 });
    }
}
