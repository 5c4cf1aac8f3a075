//! What a recovery holds of a dead writer's rows, by table: which table to write next, what a commit
//! takes, how far the log may be trimmed. Plain state: the loop around it reads, writes and commits.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use loglake_model::{Offsets, SegmentSeq, TableId, WriterId};
use loglake_table::{DataFile, Flush, Table};

use crate::memory::bytes_of;

/// Segments that a table's few rows may keep in the log while others are read.
const SEGMENTS_HELD_MAX: u64 = 1024;

/// One table's rows that are not committed yet: in memory, or in files that no commit names.
#[derive(Debug)]
struct Holding {
    table: Arc<Table>,
    /// Rows at or below are committed.
    watermark: Option<SegmentSeq>,
    batches: Vec<RecordBatch>,
    bytes: usize,
    files: Vec<DataFile>,
    /// The stretches of queues that the rows of all complete segments are of.
    offsets: Vec<Offsets>,
    /// The first segment whose rows are not committed.
    first: Option<SegmentSeq>,
    /// The last segment whose rows are here altogether.
    to: Option<SegmentSeq>,
}

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    tables: HashMap<TableId, Holding>,
    bytes: usize,
    bytes_most: usize,
}

impl Backlog {
    /// Makes a table known, with the dead writer's watermark in it.
    pub(crate) fn know(&mut self, table: Arc<Table>, watermark: Option<SegmentSeq>) {
        self.tables.entry(table.id()).or_insert(Holding {
            table,
            watermark,
            batches: vec![],
            bytes: 0,
            files: vec![],
            offsets: vec![],
            first: None,
            to: None,
        });
    }

    pub(crate) fn knows(&self, table: TableId) -> bool {
        self.tables.contains_key(&table)
    }

    /// Whether the table lacks its rows of this segment.
    pub(crate) fn lacks(&self, table: TableId, seq: SegmentSeq) -> bool {
        self.tables.get(&table).is_some_and(|holding| holding.watermark < Some(seq))
    }

    /// Some of the table's rows of a segment that it lacks.
    pub(crate) fn add(&mut self, table: TableId, seq: SegmentSeq, batch: RecordBatch) {
        let Some(holding) = self.tables.get_mut(&table) else { return };
        let bytes = bytes_of(std::slice::from_ref(&batch));
        holding.first.get_or_insert(seq);
        holding.batches.push(batch);
        holding.bytes += bytes;
        self.bytes += bytes;
        self.bytes_most = self.bytes_most.max(self.bytes);
    }

    /// All of the table's rows of this segment were added; they are of these stretches of queues.
    pub(crate) fn complete(&mut self, table: TableId, seq: SegmentSeq, offsets: &[Offsets]) {
        if let Some(holding) = self.tables.get_mut(&table).filter(|h| h.first.is_some()) {
            holding.to = Some(seq);
            Offsets::merge(&mut holding.offsets, offsets.iter().cloned());
        }
    }

    /// The table to write to files now: the one with the most bytes, while all hold more than
    /// `bytes_max`.
    pub(crate) fn heaviest_past(&self, bytes_max: usize) -> Option<TableId> {
        if self.bytes <= bytes_max {
            return None;
        }
        let heaviest = self.tables.iter().max_by_key(|(id, holding)| (holding.bytes, **id));
        heaviest.map(|(id, _)| *id)
    }

    /// Takes the table's rows out of memory, to be written. Until they are committed they hold the
    /// trimming back.
    pub(crate) fn take_rows(&mut self, table: TableId) -> Option<(Arc<Table>, Vec<RecordBatch>)> {
        let holding = self.tables.get_mut(&table)?;
        self.bytes -= std::mem::take(&mut holding.bytes);
        Some((Arc::clone(&holding.table), std::mem::take(&mut holding.batches)))
    }

    /// Files with rows that were taken.
    pub(crate) fn wrote(&mut self, table: TableId, files: Vec<DataFile>) {
        if let Some(holding) = self.tables.get_mut(&table) {
            holding.files.extend(files);
        }
    }

    /// Between two segments: the tables to commit. Those with files, so that little is written again
    /// when this recovery dies, and those that hold the trimming back for long; at the end all that
    /// hold rows.
    pub(crate) fn to_commit(&self, when: When) -> Vec<TableId> {
        let due = |holding: &Holding| match (when, holding.first, holding.to) {
            (When::AtTheEnd, _, to) => to.is_some(),
            (When::After(seq), Some(first), Some(_)) => {
                !holding.files.is_empty() || seq.0 - first.0 >= SEGMENTS_HELD_MAX
            }
            _ => false,
        };
        let mut due: Vec<TableId> =
            self.tables.iter().filter(|(_, h)| due(h)).map(|(id, _)| *id).collect();
        due.sort_unstable();
        due
    }

    /// The commit of all the table's rows, once they are in files.
    pub(crate) fn flush(
        &mut self,
        table: TableId,
        writer: WriterId,
    ) -> Option<(Arc<Table>, Flush)> {
        let holding = self.tables.get_mut(&table)?;
        let (from, to) = (holding.watermark, holding.to?);
        let files = std::mem::take(&mut holding.files);
        let offsets = std::mem::take(&mut holding.offsets);
        Some((Arc::clone(&holding.table), Flush { writer, from, to, files, offsets }))
    }

    /// The table's commit up to `to` is there.
    pub(crate) fn committed(&mut self, table: TableId, to: SegmentSeq) {
        if let Some(holding) = self.tables.get_mut(&table) {
            (holding.watermark, holding.first, holding.to) = (Some(to), None, None);
        }
    }

    /// The last segment at or below which everything is committed, when all up to `read` were read.
    pub(crate) fn trim_point(&self, read: SegmentSeq) -> Option<SegmentSeq> {
        match self.tables.values().filter_map(|holding| holding.first).min() {
            Some(first) => first.0.checked_sub(1).map(SegmentSeq),
            None => Some(read),
        }
    }

    /// The most bytes of rows that were held at once.
    pub(crate) fn bytes_most(&self) -> usize {
        self.bytes_most
    }
}

/// When commits are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// All segments up to this one were read.
    After(SegmentSeq),
    AtTheEnd,
}
