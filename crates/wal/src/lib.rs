//! The write-ahead log: segments of a writer, written once each, in order, by conditional create.
//!
//! ```text
//! _writers/<writer>                     there before the first ack, gone once sealed and committed
//! _writers/<writer>.sealing             there before somebody else seals the log
//! _wal/<writer>/<20-digit sequence>     segments; also the seal
//! _wal/<writer>/floor-<20-digit sequence>  trimmed up to here, this one included
//! ```
//! Promises:
//! - a segment that [`Writer::append`] answered for is in the store, whole, and nobody can take its
//!   number;
//! - a writer whose number was taken (by a seal) acknowledges nothing at or after that number;
//! - an append answered with an error other than *fenced* is not in the log and never will be.
//!
//! The rooms: [`group_commit`] decides what is written when (no I/O), [`writer`] does it;
//! [`segment`] and [`seal`] are the formats, [`layout`] reads a listing; [`reader`] and
//! [`recoverer`] are the two other capabilities.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod fault;
mod group_commit;
mod layout;
mod reader;
mod recoverer;
mod seal;
mod segment;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod writer;

use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use loglake_model::{Offsets, SegmentSeq, TableId};

pub use error::WalError;
pub use fault::StoreFault;
pub use reader::{Log, Reader, Segment, WriterMark};
pub use recoverer::Recoverer;
pub use segment::{PartIndex, SegmentIndex};
pub use writer::Writer;

/// Rows of one table on their way into a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct TablePart {
    pub table: TableId,
    pub batches: Vec<RecordBatch>,
    /// The stretches of other systems' queues that the rows are of, if they are: kept in the segment, so
    /// that they are committed with the rows.
    pub offsets: Vec<Offsets>,
}

impl TablePart {
    /// Rows that are of no queue.
    pub const fn new(table: TableId, batches: Vec<RecordBatch>) -> Self {
        Self { table, batches, offsets: vec![] }
    }
}

/// What a segment keeps of an append besides its rows, so that its fate can be found out from the log
/// alone, whoever has died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The id of a batch that another ingester forwarded.
    ForwardedBatch(String),
    /// The tenant and the hash of an idempotency key: `<tenant>/<hash>`.
    IdempotencyKey(String),
}

/// How far a writer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last segment that was delivered: an append begun after this was seen has a higher one.
    pub delivered: Option<SegmentSeq>,
    /// Since when the oldest append that is not answered yet waits.
    pub waiting_since: Option<tokio::time::Instant>,
}

/// Told of each segment in sequence order, once it is durable and before anybody's append answers:
/// what is acknowledged is visible already.
///
/// `parts` are the rows as the segment holds them: one part a table, small batches of one schema
/// joined. A segment may be empty. Called on the writer's task: it must not block.
pub trait DurableSink: Send + Sync + 'static {
    fn durable(&self, seq: SegmentSeq, parts: Vec<TablePart>);
}

#[derive(Clone, Debug)]
pub struct WalSettings {
    /// How long a segment waits for company when others are in flight.
    pub linger: Duration,
    /// A segment is written at once when it holds this many bytes of rows.
    pub segment_bytes_max: usize,
    /// Segments on their way to the store at once.
    pub in_flight_max: usize,
    /// Bytes of rows that may wait for a segment; an append past it is refused as overloaded.
    pub queue_bytes_max: usize,
    pub compression: SegmentCompression,
}

/// How the rows of a segment are compressed.
///
/// Measured per 1,000,000 log records: zstd 1 takes 0.27 CPU seconds and 45 bytes a record, LZ4
/// 0.21 and 67. Zstd is the default: every segment crosses a network or an fsync once and again
/// when it is recovered, so a third fewer bytes are worth 0.06 CPU seconds in a path that takes 1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegmentCompression {
    /// Level 1.
    #[default]
    Zstd,
    Lz4,
}

impl Default for WalSettings {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(50),
            segment_bytes_max: 16 << 20,
            in_flight_max: 4,
            queue_bytes_max: 256 << 20,
            compression: SegmentCompression::default(),
        }
    }
}

/// Bytes that the rows of a batch take in memory. A slice counts only its own rows.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    let bytes = |column: &arrow::array::ArrayRef| {
        let slice = column.to_data().get_slice_memory_size();
        slice.unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(bytes).sum()
}
