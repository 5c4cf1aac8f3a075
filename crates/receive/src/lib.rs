//! Protocol bytes to batches. Pure: bytes in, batches and rejections out; no I/O, no clock.
//!
//! ```text
//! body pieces → BodyReader (unpack, lines) → decode_ndjson / BulkReader + decode_documents → batch
//! other protocols → BatchBuilder::record (field by field) → batch
//! record batches of Kafka → kafka::decode_records → batch
//! records of a Kafka topic → kafka::decode_consumed → batch, dead letters
//! OTLP logs (protobuf or JSON) → otlp::parse_* → Logs::add_to → rows
//! batch of query results → render_ndjson → the records as they came
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod aliases;
mod attributes;
mod body;
mod bulk;
mod columns;
mod fields;
pub mod json;
pub mod kafka;
mod keys;
mod ndjson;
pub mod otlp;
mod record;
mod render;
mod staged;
#[cfg(test)]
mod tests;
pub mod text;
pub mod timestamp;

use arrow::array::RecordBatch;
use loglake_model::{Limits, Rejection, TableSchema, Timestamp};

pub use body::{BLOCK_BYTES, Block, BlockBytes, BodyError, BodyReader, Encoding};
pub use bulk::{BulkAction, BulkItem, BulkReader};
pub use ndjson::{Document, decode_body, decode_documents, decode_ndjson};
pub use record::{BatchBuilder, FieldValue, RecordBuilder};
pub use render::{RenderError, render_ndjson};

/// What a decoder needs to know beside the bytes.
#[derive(Clone, Copy, Debug)]
pub struct DecodeContext<'a> {
    /// The table's shape: known columns decide how values are typed.
    pub schema: &'a TableSchema,
    pub limits: &'a Limits,
    /// The time of records that bring none.
    pub arrival: Timestamp,
}

/// What became of the bytes.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// `timestamp`, `nanos`, then any columns, known and new, `attributes` if any; rows in order. Of many rows a
    /// column of texts that repeat comes with a dictionary.
    pub batch: RecordBatch,
    /// The rows' line numbers are all lines but these.
    pub rejections: Vec<Rejection>,
}
