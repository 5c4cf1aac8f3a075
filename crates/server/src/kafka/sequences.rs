//! Producers that number their records, as one connection sees them: in order, without gaps.
//!
//! Of a connection, not of the process: within it order is certain, and a producer that comes on a new
//! one may have been elsewhere meanwhile. What it sends again there is known by its idempotency key in
//! the bucket; what it sends again here is known at once.

use std::collections::HashMap;

use loglake_receive::kafka::Producer;

/// Producers and topics remembered of one connection; past it all are forgotten, which only costs a
/// look at the bucket.
const KNOWN_MAX: usize = 1_000;

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Store,
    /// It is stored.
    Known,
    /// One before it is missing: it failed, and comes again first.
    OutOfOrder,
    /// Its producer was replaced.
    Stale,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    epoch: i16,
    first: i32,
}

#[derive(Debug, Default)]
pub(super) struct Sequences(HashMap<(i64, String), Expected>);

impl Sequences {
    /// Looks at a batch that is about to be stored. The first of a producer sets the beginning.
    pub(super) fn check(&mut self, topic: &str, batch: &Producer) -> Verdict {
        let key = (batch.id, topic.to_owned());
        let Some(expected) = self.0.get(&key).copied() else {
            if self.0.len() == KNOWN_MAX {
                self.0.clear();
            }
            self.0.insert(key, Expected { epoch: batch.epoch, first: batch.first_sequence });
            return Verdict::Store;
        };
        if batch.epoch < expected.epoch {
            return Verdict::Stale;
        }
        if batch.epoch > expected.epoch {
            if batch.first_sequence != 0 {
                return Verdict::OutOfOrder;
            }
            self.0.insert(key, Expected { epoch: batch.epoch, first: 0 });
            return Verdict::Store;
        }
        if batch.first_sequence == expected.first {
            Verdict::Store
        } else if is_before(batch.last_sequence, expected.first) {
            Verdict::Known
        } else {
            Verdict::OutOfOrder
        }
    }

    /// A batch is stored: the next one follows it.
    pub(super) fn stored(&mut self, topic: &str, batch: &Producer) {
        let first = batch.last_sequence.wrapping_add(1) & i32::MAX;
        self.0.insert((batch.id, topic.to_owned()), Expected { epoch: batch.epoch, first });
    }
}

/// Numbers go round: what is less than half of them behind is before.
const fn is_before(sequence: i32, other: i32) -> bool {
    let behind = other.wrapping_sub(sequence) & i32::MAX;
    behind != 0 && behind < 1 << 30
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, first_sequence: i32, last_sequence: i32) -> Producer {
        Producer { id: 7, epoch, first_sequence, last_sequence }
    }

    #[test]
    fn batches_follow_each_other() {
        let mut sequences = Sequences::default();
        // It may begin anywhere: it may come from another connection.
        assert_eq!(sequences.check("t", &batch(0, 100, 109)), Verdict::Store);
        // It failed: the next one has to wait for it.
        assert_eq!(sequences.check("t", &batch(0, 110, 119)), Verdict::OutOfOrder);
        assert_eq!(sequences.check("t", &batch(0, 100, 109)), Verdict::Store);
        sequences.stored("t", &batch(0, 100, 109));
        assert_eq!(sequences.check("t", &batch(0, 100, 109)), Verdict::Known);
        assert_eq!(sequences.check("t", &batch(0, 105, 115)), Verdict::OutOfOrder);
        assert_eq!(sequences.check("t", &batch(0, 110, 119)), Verdict::Store);
        // Topics are counted apart.
        assert_eq!(sequences.check("u", &batch(0, 110, 119)), Verdict::Store);
    }

    #[test]
    fn epochs_only_go_up_and_begin_at_zero() {
        let mut sequences = Sequences::default();
        sequences.stored("t", &batch(1, 0, 4));
        assert_eq!(sequences.check("t", &batch(0, 5, 9)), Verdict::Stale);
        assert_eq!(sequences.check("t", &batch(2, 5, 9)), Verdict::OutOfOrder);
        assert_eq!(sequences.check("t", &batch(2, 0, 9)), Verdict::Store);
    }

    #[test]
    fn numbers_go_round() {
        let mut sequences = Sequences::default();
        sequences.stored("t", &batch(0, i32::MAX - 1, i32::MAX));
        assert_eq!(sequences.check("t", &batch(0, i32::MAX - 1, i32::MAX)), Verdict::Known);
        assert_eq!(sequences.check("t", &batch(0, 0, 9)), Verdict::Store);
    }
}
