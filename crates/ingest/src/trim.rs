//! Which segments no table needs any more.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use loglake_model::{SegmentSeq, TableId};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The segments of one writer, each with the tables whose rows in it are not committed yet.
#[derive(Debug, Default)]
pub(crate) struct TrimLedger {
    segments: VecDeque<Segment>,
    /// Committed altogether, in order, each with the time of its delivery.
    passed: VecDeque<(SegmentSeq, Instant)>,
}

#[derive(Debug)]
struct Segment {
    seq: SegmentSeq,
    delivered: Instant,
    tables: HashSet<TableId>,
}

impl TrimLedger {
    /// A segment became durable. Sequence numbers only grow.
    pub(crate) fn logged(
        &mut self,
        seq: SegmentSeq,
        tables: impl IntoIterator<Item = TableId>,
        now: Instant,
    ) {
        let tables = tables.into_iter().collect();
        self.segments.push_back(Segment { seq, delivered: now, tables });
    }

    /// A table's watermark is at `watermark` now.
    pub(crate) fn committed(&mut self, table: TableId, watermark: SegmentSeq) {
        for segment in self.segments.iter_mut().take_while(|segment| segment.seq <= watermark) {
            segment.tables.remove(&table);
        }
        while let Some(segment) = self.segments.pop_front_if(|segment| segment.tables.is_empty()) {
            self.passed.push_back((segment.seq, segment.delivered));
        }
    }

    /// The last segment, delivered by then, at or below which everything is committed. What was
    /// delivered before it is forgotten: it is asked for with growing times.
    pub(crate) fn trim_point(&mut self, delivered_by: Instant) -> Option<SegmentSeq> {
        while self.passed.get(1).is_some_and(|(_, delivered)| *delivered <= delivered_by) {
            self.passed.pop_front();
        }
        let (seq, delivered) = self.passed.front()?;
        (*delivered <= delivered_by).then_some(*seq)
    }
}

/// Who wants segments kept in the log for now.
#[derive(Debug, Default)]
pub(crate) struct TrimHolds(Mutex<Holds>);

#[derive(Debug, Default)]
struct Holds {
    next: u64,
    above: BTreeMap<u64, Option<SegmentSeq>>,
}

/// Keeps segments in the log until it is dropped.
#[derive(Debug)]
pub(crate) struct TrimHold {
    id: u64,
    holds: Arc<TrimHolds>,
}

impl TrimHolds {
    /// Keeps everything above `above`.
    pub(crate) fn hold(self: &Arc<Self>, above: Option<SegmentSeq>) -> TrimHold {
        let mut holds = self.0.lock();
        holds.next += 1;
        let id = holds.next;
        holds.above.insert(id, above);
        TrimHold { id, holds: Arc::clone(self) }
    }

    /// The number up to which trimming may go while there are holds; `None` without any.
    pub(crate) fn lowest(&self) -> Option<Option<SegmentSeq>> {
        self.0.lock().above.values().min().copied()
    }
}

impl Drop for TrimHold {
    fn drop(&mut self) {
        self.holds.0.lock().above.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use loglake_model::TableId;
    use proptest::prelude::*;

    use super::*;

    fn table(n: u128) -> TableId {
        TableId::from_uuid(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn a_segment_is_kept_while_one_of_its_tables_is_behind() {
        let mut ledger = TrimLedger::default();
        let start = Instant::now();
        ledger.logged(SegmentSeq(0), [table(1), table(2)], start);
        ledger.logged(SegmentSeq(1), [table(1)], start);
        ledger.committed(table(1), SegmentSeq(1));
        assert_eq!(ledger.trim_point(start), None);
        ledger.committed(table(2), SegmentSeq(0));
        assert_eq!(ledger.trim_point(start), Some(SegmentSeq(1)));
    }

    proptest! {
        #[test]
        fn nothing_above_a_watermark_is_ever_trimmed(
            segments in prop::collection::vec(prop::collection::hash_set(0u128..4, 1..4), 1..20),
            commits in prop::collection::vec((0u128..4, 0u64..20), 0..40),
        ) {
            let (mut ledger, start) = (TrimLedger::default(), Instant::now());
            for (seq, tables) in segments.iter().enumerate() {
                ledger.logged(SegmentSeq(seq as u64), tables.iter().map(|t| table(*t)), start);
            }
            let mut watermarks = [None; 4];
            for (t, seq) in commits {
                watermarks[t as usize] = watermarks[t as usize].max(Some(seq));
                ledger.committed(table(t), SegmentSeq(seq));
            }
            for (seq, tables) in segments.iter().enumerate() {
                let trimmed = ledger.trim_point(start) >= Some(SegmentSeq(seq as u64));
                let passed = tables.iter().all(|t| watermarks[*t as usize] >= Some(seq as u64));
                prop_assert!(!trimmed || passed, "segment {seq} was trimmed too early");
            }
        }
    }
}
