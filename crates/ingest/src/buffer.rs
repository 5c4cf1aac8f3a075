//! The durable rows of one writer that are not let go yet, by table, in segment order. Plain state:
//! the loop around it does the flushing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use loglake_model::{Offsets, SegmentSeq, TableId};
use loglake_table::Table;
use loglake_wal::TablePart;
use tokio::time::Instant;

use crate::memory::bytes_of;
use crate::trim::TrimLedger;

/// Rows of one table in one segment.
#[derive(Debug)]
struct Held {
    seq: SegmentSeq,
    batches: Vec<RecordBatch>,
    /// The stretches of queues that the rows are of.
    offsets: Vec<Offsets>,
    bytes: usize,
    since: Instant,
}

#[derive(Debug)]
struct TableBuffer {
    table: Arc<Table>,
    held: VecDeque<Held>,
    bytes: usize,
    /// Rows at or below are committed and not here.
    let_go: Option<SegmentSeq>,
}

/// What a flush takes: every row of the table in `(from, to]`.
#[derive(Debug)]
pub(crate) struct FlushInput {
    pub(crate) table: Arc<Table>,
    pub(crate) from: Option<SegmentSeq>,
    pub(crate) to: SegmentSeq,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) offsets: Vec<Offsets>,
}

/// How much a table holds, for the flush policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) table: TableId,
    pub(crate) bytes: usize,
    pub(crate) oldest: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    tables: BTreeMap<TableId, TableBuffer>,
    /// The last segment that came in: all before it came too.
    newest: Option<SegmentSeq>,
    trim: TrimLedger,
}

impl Buffer {
    /// Makes the table known before rows of it come.
    pub(crate) fn know(&mut self, table: &Arc<Table>) {
        self.tables.entry(table.id()).or_insert_with(|| TableBuffer {
            table: Arc::clone(table),
            held: VecDeque::new(),
            bytes: 0,
            let_go: None,
        });
    }

    /// Takes a durable segment in. Rows of tables that are not known, or at or below the watermark,
    /// are left out: they are dropped with their table, or committed already. Answers with the bytes
    /// of memory that are held now.
    pub(crate) fn insert(&mut self, seq: SegmentSeq, parts: Vec<TablePart>, now: Instant) -> usize {
        self.newest = self.newest.max(Some(seq));
        let (mut tables, mut held) = (vec![], 0);
        for TablePart { table: id, batches, offsets } in parts {
            let Some(buffer) = self.tables.get_mut(&id).filter(|b| b.let_go < Some(seq)) else {
                continue;
            };
            let bytes = bytes_of(&batches);
            held += bytes;
            buffer.bytes += bytes;
            buffer.held.push_back(Held { seq, batches, offsets, bytes, since: now });
            tables.push(id);
        }
        self.trim.logged(seq, tables, now);
        held
    }

    pub(crate) fn loads(&self) -> Vec<Load> {
        let load = |(id, buffer): (&TableId, &TableBuffer)| {
            let oldest = buffer.held.front()?.since;
            Some(Load { table: *id, bytes: buffer.bytes, oldest })
        };
        self.tables.iter().filter_map(load).collect()
    }

    /// Everything the table holds now; it stays here, and visible, until [`Self::let_go`].
    pub(crate) fn flush_input(&self, table: TableId) -> Option<FlushInput> {
        let buffer = self.tables.get(&table)?;
        let mut offsets = vec![];
        for held in &buffer.held {
            Offsets::merge(&mut offsets, held.offsets.iter().cloned());
        }
        Some(FlushInput {
            table: Arc::clone(&buffer.table),
            from: buffer.let_go,
            to: buffer.held.back()?.seq,
            batches: buffer.held.iter().flat_map(|h| h.batches.iter().cloned()).collect(),
            offsets,
        })
    }

    /// The table's watermark is at `watermark`: its rows up to there are in files. Answers with the
    /// bytes of memory that are free now.
    pub(crate) fn let_go(&mut self, table: TableId, watermark: SegmentSeq) -> usize {
        self.trim.committed(table, watermark);
        let Some(buffer) = self.tables.get_mut(&table) else { return 0 };
        buffer.let_go = buffer.let_go.max(Some(watermark));
        let mut freed = 0;
        while let Some(held) = buffer.held.pop_front_if(|h| h.seq <= watermark) {
            freed += held.bytes;
        }
        buffer.bytes -= freed;
        freed
    }

    /// The last segment whose rows are here or were.
    pub(crate) const fn newest(&self) -> Option<SegmentSeq> {
        self.newest
    }

    /// Rows above a watermark and at or below a last segment; `None` when some of them were let go.
    pub(crate) fn rows_between(
        &self,
        table: TableId,
        above: Option<SegmentSeq>,
        up_to: Option<SegmentSeq>,
    ) -> Option<Vec<RecordBatch>> {
        let Some(buffer) = self.tables.get(&table) else { return Some(vec![]) };
        if above < buffer.let_go {
            return None;
        }
        let wanted = |held: &&Held| above < Some(held.seq) && Some(held.seq) <= up_to;
        let rows = buffer.held.iter().filter(wanted);
        Some(rows.flat_map(|h| h.batches.iter().cloned()).collect())
    }

    /// The last segment, delivered by then, at or below which everything is committed.
    pub(crate) fn trim_point(&mut self, delivered_by: Instant) -> Option<SegmentSeq> {
        self.trim.trim_point(delivered_by)
    }
}
