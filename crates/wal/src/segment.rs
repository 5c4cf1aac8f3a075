//! The format of a segment. Encoding and decoding only: no I/O.
//!
//! ```text
//! header   "LLWALSEG", version (u32), zero (u32)
//! parts    one after the other, no byte between: Arrow IPC streams, compressed
//! footer   JSON: which writer, which number, where the parts are and what is in them
//! trailer  length of the footer (u64), its XXH3-64 (u64), "LLWALEND"
//! ```
//! Numbers are little endian. The end of the object is enough to know what is in it, and one range
//! more brings one table's part. A part holds one stream for each schema among its batches (the
//! Arrow IPC streaming format, <https://arrow.apache.org/docs/format/Columnar.html>). Every byte is
//! either under a checksum or compared with what it must be, so damage is always found.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::ops::Range;

use loglake_model::{Offsets, SegmentSeq, TableId, WriterId};
use serde::{Deserialize, Serialize};

use crate::Mark;

pub(crate) use decode::{PartBatches, Tail, decode, decode_footer, decode_part, decode_tail};
pub(crate) use encode::{combine, encode};

const MAGIC: &[u8; 8] = b"LLWALSEG";
const END_MAGIC: &[u8; 8] = b"LLWALEND";
const VERSION: u32 = 1;
/// Of the rows in memory: far more than segments hold, and what a reader will allocate for a buffer.
const ROWS_BYTES_MAX: usize = i32::MAX as usize;
const HEADER_BYTES: usize = 16;
const TRAILER_BYTES: usize = 24;

/// What a segment's footer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    pub(crate) version: u32,
    pub(crate) writer: WriterId,
    pub(crate) sequence: SegmentSeq,
    pub(crate) parts: Vec<FooterPart>,
    /// Idempotency keys of the requests whose rows are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) idempotency_keys: Vec<String>,
    /// Ids of the batches that other ingesters forwarded and whose rows are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) forwarded_batches: Vec<String>,
    /// The writer's last delivered segment when this one was encoded: it and all before it were in
    /// the store by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivered: Option<SegmentSeq>,
}

/// What goes into a footer besides the parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) marks: Vec<Mark>,
    pub(crate) delivered: Option<SegmentSeq>,
}

/// One table's rows in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FooterPart {
    pub(crate) table: TableId,
    /// Of the first byte, from the object's beginning.
    pub(crate) offset: u64,
    /// Of each Arrow stream, in bytes; they follow each other.
    pub(crate) streams: Vec<u64>,
    pub(crate) rows: u64,
    /// Least and greatest `timestamp` in microseconds; absent when the rows have no such column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamps: Option<(i64, i64)>,
    /// The stretches of queues that the rows are of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) offsets: Vec<Offsets>,
    /// XXH3-64 of the part's bytes, 16 hexadecimal digits: JSON numbers lose bits past 2^53.
    pub(crate) checksum: String,
}

impl FooterPart {
    pub(crate) fn length(&self) -> Option<u64> {
        self.streams.iter().try_fold(0u64, |sum, bytes| sum.checked_add(*bytes))
    }

    /// Where the part is in the object.
    pub(crate) fn range(&self) -> Option<Range<u64>> {
        Some(self.offset..self.offset.checked_add(self.length()?)?)
    }
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", twox_hash::XxHash3_64::oneshot(bytes))
}

/// What is in a segment: its parts in the order in which their tables first came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentIndex {
    pub parts: Vec<PartIndex>,
    /// Idempotency keys of the requests whose rows are here.
    pub idempotency_keys: Vec<String>,
    /// Ids of the batches that other ingesters forwarded and whose rows are here.
    pub forwarded_batches: Vec<String>,
    /// A segment of the same writer that was in the store, with all before it, when this one was
    /// made: below it only trimming makes a gap.
    pub delivered: Option<SegmentSeq>,
}

impl SegmentIndex {
    /// Whether an append with this mark is in the segment.
    pub fn holds(&self, mark: &Mark) -> bool {
        match mark {
            Mark::IdempotencyKey(key) => self.idempotency_keys.contains(key),
            Mark::ForwardedBatch(id) => self.forwarded_batches.contains(id),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartIndex {
    pub table: TableId,
    pub rows: u64,
    /// Compressed, in the segment.
    pub bytes: u64,
    /// Least and greatest `timestamp` in microseconds since the epoch.
    pub timestamps: Option<(i64, i64)>,
    /// The stretches of other systems' queues that the rows are of.
    pub offsets: Vec<Offsets>,
}

impl From<Footer> for SegmentIndex {
    fn from(footer: Footer) -> Self {
        let part = |part: FooterPart| PartIndex {
            table: part.table,
            rows: part.rows,
            bytes: part.length().unwrap_or(0),
            timestamps: part.timestamps,
            offsets: part.offsets,
        };
        Self {
            parts: footer.parts.into_iter().map(part).collect(),
            idempotency_keys: footer.idempotency_keys,
            forwarded_batches: footer.forwarded_batches,
            delivered: footer.delivered,
        }
    }
}
