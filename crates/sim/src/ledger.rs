//! What clients sent and were told, and the promises judged against it: plain functions.

use std::collections::BTreeMap;

/// The promises, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// What was acknowledged before a query began is in its answer.
    AckedIsVisible,
    /// No record is in an answer twice.
    NothingTwice,
    /// No record is in an answer that nobody sent.
    NothingInvented,
    /// A writer's watermark in a table only rises.
    WatermarksRise,
    /// No file of a table's present version is removed, nor is any missing for a reader.
    FilesStay,
    /// A query fails only for reasons that pass.
    QueriesAreAnswered,
    /// After all faults are over, every log is recovered and every acknowledged record is in a file.
    EverythingIsRecovered,
}

/// The id of one attempt to store one record.
pub type RecordId = i64;

#[derive(Clone, Copy, Debug)]
struct Record {
    table: usize,
    /// Its place among all acknowledgements.
    acked: Option<u64>,
}

/// Every attempt, by id.
#[derive(Debug, Default)]
pub struct Ledger {
    records: Vec<Record>,
    acks: u64,
}

/// How many acknowledgements there were at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u64);

impl Ledger {
    /// A new attempt for a record of a table.
    pub fn send(&mut self, table: usize) -> RecordId {
        self.records.push(Record { table, acked: None });
        self.records.len() as RecordId - 1
    }

    pub fn ack(&mut self, ids: &[RecordId]) {
        for id in ids {
            self.acks += 1;
            self.records[*id as usize].acked.get_or_insert(self.acks);
        }
    }

    pub const fn now(&self) -> Moment {
        Moment(self.acks)
    }

    pub fn acked(&self) -> usize {
        self.records.iter().filter(|record| record.acked.is_some()).count()
    }

    pub const fn sent(&self) -> usize {
        self.records.len()
    }

    /// Judges an answer of a query over a whole table, which began at `began`.
    pub fn judge(
        &self,
        table: usize,
        began: Moment,
        answer: &[RecordId],
    ) -> Result<(), (Promise, String)> {
        let mut counts: BTreeMap<RecordId, u32> = BTreeMap::new();
        for id in answer {
            *counts.entry(*id).or_default() += 1;
        }
        for (id, count) in &counts {
            let known = usize::try_from(*id).ok().and_then(|id| self.records.get(id));
            if known.is_none_or(|record| record.table != table) {
                return Err((Promise::NothingInvented, format!("record {id} was never sent")));
            }
            if *count > 1 {
                return Err((Promise::NothingTwice, format!("record {id} is there {count} times")));
            }
        }
        let mut missing = (0..).zip(&self.records).filter(|(id, record)| {
            let due = record.table == table && record.acked.is_some_and(|ack| ack <= began.0);
            due && !counts.contains_key(id)
        });
        let Some((first, _)) = missing.next() else { return Ok(()) };
        let more = missing.count();
        Err((Promise::AckedIsVisible, format!("acknowledged record {first} and {more} more miss")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_promise_is_judged() {
        let mut ledger = Ledger::default();
        let ids: Vec<RecordId> = (0..4).map(|_| ledger.send(0)).collect();
        let other = ledger.send(1);
        ledger.ack(&ids[..2]);
        let began = ledger.now();
        ledger.ack(&ids[2..3]);
        let promise = |answer: &[RecordId]| ledger.judge(0, began, answer).err().map(|e| e.0);
        assert_eq!(promise(&[0, 1]), None);
        assert_eq!(promise(&[3, 1, 2, 0]), None, "what came later, and what was not acknowledged");
        assert_eq!(promise(&[0]), Some(Promise::AckedIsVisible));
        assert_eq!(promise(&[0, 1, 0]), Some(Promise::NothingTwice));
        assert_eq!(promise(&[0, 1, 9]), Some(Promise::NothingInvented));
        assert_eq!(promise(&[0, 1, other]), Some(Promise::NothingInvented));
    }
}
