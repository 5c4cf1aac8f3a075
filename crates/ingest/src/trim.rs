//! Which segments no table needs any more.

use std::collections::{HashSet, VecDeque};

use loglake_model::{SegmentSeq, TableId};

/// The segments of one writer, each with the tables whose rows in it are not committed yet.
#[derive(Debug, Default)]
pub(crate) struct TrimLedger {
    segments: VecDeque<(SegmentSeq, HashSet<TableId>)>,
    passed: Option<SegmentSeq>,
}

impl TrimLedger {
    /// A segment became durable. Sequence numbers only grow.
    pub(crate) fn logged(&mut self, seq: SegmentSeq, tables: impl IntoIterator<Item = TableId>) {
        self.segments.push_back((seq, tables.into_iter().collect()));
    }

    /// A table's watermark is at `watermark` now.
    pub(crate) fn committed(&mut self, table: TableId, watermark: SegmentSeq) {
        for (_, tables) in self.segments.iter_mut().take_while(|(seq, _)| *seq <= watermark) {
            tables.remove(&table);
        }
        while let Some((seq, _)) = self.segments.front().filter(|(_, tables)| tables.is_empty()) {
            self.passed = Some(*seq);
            self.segments.pop_front();
        }
    }

    /// The last segment at or below which everything is committed.
    pub(crate) fn trim_point(&self) -> Option<SegmentSeq> {
        self.passed
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
        ledger.logged(SegmentSeq(0), [table(1), table(2)]);
        ledger.logged(SegmentSeq(1), [table(1)]);
        ledger.committed(table(1), SegmentSeq(1));
        assert_eq!(ledger.trim_point(), None);
        ledger.committed(table(2), SegmentSeq(0));
        assert_eq!(ledger.trim_point(), Some(SegmentSeq(1)));
    }

    proptest! {
        #[test]
        fn nothing_above_a_watermark_is_ever_trimmed(
            segments in prop::collection::vec(prop::collection::hash_set(0u128..4, 1..4), 1..20),
            commits in prop::collection::vec((0u128..4, 0u64..20), 0..40),
        ) {
            let mut ledger = TrimLedger::default();
            for (seq, tables) in segments.iter().enumerate() {
                ledger.logged(SegmentSeq(seq as u64), tables.iter().map(|t| table(*t)));
            }
            let mut watermarks = [None; 4];
            for (t, seq) in commits {
                watermarks[t as usize] = watermarks[t as usize].max(Some(seq));
                ledger.committed(table(t), SegmentSeq(seq));
            }
            for (seq, tables) in segments.iter().enumerate() {
                let trimmed = ledger.trim_point() >= Some(SegmentSeq(seq as u64));
                let passed = tables.iter().all(|t| watermarks[*t as usize] >= Some(seq as u64));
                prop_assert!(!trimmed || passed, "segment {seq} was trimmed too early");
            }
        }
    }
}
