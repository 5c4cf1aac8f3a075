//! The form in which scans of fresh rows travel between processes: Protocol Buffers, filters as
//! DataFusion's own messages, schemas as Arrow IPC. What cannot be sent of a filter is left out:
//! whoever asked applies it anyway.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion_proto::bytes::Serializeable;
use loglake_model::{PartitionBy, SegmentSeq};
use prost::Message;

use super::selection::Filter;
use super::{FreshScan, Selection, UpTo};

/// A scan, as [`FreshScan`] says.
#[derive(Clone, PartialEq, Message)]
struct ScanMessage {
    #[prost(string, tag = "1")]
    writer: String,
    #[prost(string, tag = "2")]
    table: String,
    #[prost(uint64, optional, tag = "3")]
    above: Option<u64>,
    /// Absent: up to the newest.
    #[prost(message, optional, tag = "4")]
    up_to: Option<LastSegment>,
    /// Absent: all.
    #[prost(message, optional, tag = "5")]
    columns: Option<Names>,
    #[prost(message, optional, tag = "6")]
    filter: Option<FilterMessage>,
    #[prost(uint64, optional, tag = "7")]
    limit: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct LastSegment {
    /// Absent: there was none.
    #[prost(uint64, optional, tag = "1")]
    seq: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Names {
    #[prost(string, repeated, tag = "1")]
    names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct FilterMessage {
    #[prost(bytes = "vec", repeated, tag = "1")]
    all: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "2")]
    schema: Vec<u8>,
    #[prost(bool, tag = "3")]
    by_day: bool,
}

/// What an answer begins with: [`super::FreshAnswer`] but for its batches.
#[derive(Clone, PartialEq, Message)]
pub struct FreshHead {
    #[prost(uint64, optional, tag = "1")]
    last: Option<u64>,
    #[prost(string, repeated, tag = "2")]
    pub columns: Vec<String>,
}

impl FreshHead {
    pub(super) fn new(up_to: Option<SegmentSeq>, columns: Vec<String>) -> Self {
        Self { last: up_to.map(|seq| seq.0), columns }
    }

    pub fn up_to(&self) -> Option<SegmentSeq> {
        self.last.map(SegmentSeq)
    }
}

/// Bytes that are no message of this kind.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the message cannot be read: {0}")]
pub struct InvalidMessage(String);

/// # Errors
/// [`InvalidMessage`] when the bytes are no head of an answer.
pub fn decode_head(bytes: &[u8]) -> Result<FreshHead, InvalidMessage> {
    FreshHead::decode(bytes).map_err(|e| InvalidMessage(e.to_string()))
}

pub fn encode_scan(scan: &FreshScan) -> Vec<u8> {
    let selection = &scan.selection;
    let columns = selection.columns.clone();
    let message = ScanMessage {
        writer: scan.writer.to_string(),
        table: scan.table.to_string(),
        above: scan.above.map(|seq| seq.0),
        up_to: match scan.up_to {
            UpTo::Newest => None,
            UpTo::Segment(last) => Some(LastSegment { seq: last.map(|seq| seq.0) }),
        },
        columns: columns.map(|names| Names { names }),
        filter: selection.filter.as_ref().and_then(filter_message),
        limit: limit_to_send(selection),
    };
    message.encode_to_vec()
}

/// A limit counts rows that pass the whole filter, so it travels only with all of it.
fn limit_to_send(selection: &Selection) -> Option<u64> {
    selection.limit.filter(|_| selection.filter.is_none()).map(|limit| limit as u64)
}

fn filter_message(filter: &Filter) -> Option<FilterMessage> {
    let all: Vec<Vec<u8>> =
        filter.all.iter().filter_map(|expr| Some(expr.to_bytes().ok()?.to_vec())).collect();
    let schema = schema_bytes(&filter.schema)?;
    let by_day = filter.partition_by == PartitionBy::Day;
    (!all.is_empty()).then_some(FilterMessage { all, schema, by_day })
}

fn schema_bytes(schema: &Schema) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    StreamWriter::try_new(&mut bytes, schema).ok()?.finish().ok()?;
    Some(bytes)
}

/// `functions` knows the functions that filters may name.
pub(super) fn decode_scan(
    bytes: &[u8],
    functions: &TaskContext,
) -> Result<FreshScan, InvalidMessage> {
    let message = ScanMessage::decode(bytes).map_err(|e| InvalidMessage(e.to_string()))?;
    let (writer, table) = (message.writer.parse(), message.table.parse());
    Ok(FreshScan {
        writer: writer.map_err(|e| InvalidMessage(format!("the writer's id: {e}")))?,
        table: table.map_err(|e| InvalidMessage(format!("the table's id: {e}")))?,
        above: message.above.map(SegmentSeq),
        up_to: match message.up_to {
            None => UpTo::Newest,
            Some(last) => UpTo::Segment(last.seq.map(SegmentSeq)),
        },
        selection: Selection {
            columns: message.columns.map(|names| names.names),
            filter: message.filter.and_then(|filter| decode_filter(&filter, functions)),
            limit: message.limit.and_then(|limit| usize::try_from(limit).ok()),
        },
    })
}

/// The parts of a filter that are understood here.
fn decode_filter(message: &FilterMessage, functions: &TaskContext) -> Option<Filter> {
    let schema: SchemaRef = StreamReader::try_new(message.schema.as_slice(), None).ok()?.schema();
    let understood = |bytes: &Vec<u8>| {
        let expr = Expr::from_bytes_with_ctx(bytes, functions);
        expr.inspect_err(|e| tracing::debug!("a filter is not used: {e}")).ok()
    };
    let all: Vec<Expr> = message.all.iter().filter_map(understood).collect();
    let partition_by = if message.by_day { PartitionBy::Day } else { PartitionBy::Hour };
    let schema = Arc::clone(&schema);
    (!all.is_empty()).then_some(Filter { all, schema, partition_by })
}
