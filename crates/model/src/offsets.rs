//! Stretches of other systems' queues: which of their records are in some rows.

use serde::{Deserialize, Serialize};

/// A stretch of a queue whose records are in some rows, every one of them: `from` is the first, `to`
/// the one after the last. Numbers in between may be missing in the queue itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets {
    /// The queue: `<system>/<…>`, for example `kafka/<cluster>/<topic>/<partition>`.
    pub source: String,
    pub from: u64,
    pub to: u64,
}

impl Offsets {
    /// Adds stretches to others: of each queue there is one, from the first to the last record.
    pub fn merge(into: &mut Vec<Self>, more: impl IntoIterator<Item = Self>) {
        for offsets in more {
            match into.iter_mut().find(|known| known.source == offsets.source) {
                Some(known) => {
                    known.from = known.from.min(offsets.from);
                    known.to = known.to.max(offsets.to);
                }
                None => into.push(offsets),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_a_queue_become_one() {
        let of = |source: &str, from, to| Offsets { source: source.into(), from, to };
        let mut all = vec![of("a", 5, 9)];
        Offsets::merge(&mut all, [of("b", 0, 1), of("a", 9, 12), of("a", 2, 5)]);
        assert_eq!(all, [of("a", 2, 12), of("b", 0, 1)]);
    }
}
