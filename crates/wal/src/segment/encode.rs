//! Rows to the bytes of a segment.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{concat_batches, max, min};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use bytes::Bytes;
use loglake_model::{Offsets, SegmentSeq, TIMESTAMP, WriterId};

use super::{
    END_MAGIC, Footer, FooterPart, HEADER_BYTES, MAGIC, Notes, ROWS_BYTES_MAX, VERSION, checksum,
};
use crate::{Mark, SegmentCompression, TablePart, batch_bytes};

/// Batches below it are joined with their neighbours of the same schema, up to it.
const JOINED_ROWS_MAX: usize = 64 * 1024;
/// The same bound in bytes: larger batches are not worth their copying.
const JOINED_BYTES_MAX: usize = 1 << 20;

/// One part a table, in the order in which the tables first come; within a part batches of one
/// schema follow each other, small ones joined. Batches without rows are gone.
pub(crate) fn combine(parts: Vec<TablePart>) -> Result<Vec<TablePart>, ArrowError> {
    let mut combined: Vec<TablePart> = vec![];
    for part in parts {
        let TablePart { table, batches, offsets } = part;
        let batches = batches.into_iter().filter(|batch| batch.num_rows() > 0);
        match combined.iter_mut().find(|seen| seen.table == table) {
            Some(seen) => {
                seen.batches.extend(batches);
                Offsets::merge(&mut seen.offsets, offsets);
            }
            None => combined.push(TablePart { table, batches: batches.collect(), offsets }),
        }
    }
    combined.retain(|part| !part.batches.is_empty());
    for part in &mut combined {
        let runs = by_schema(std::mem::take(&mut part.batches));
        for run in runs {
            part.batches.extend(join_small(run)?);
        }
    }
    Ok(combined)
}

/// Batches grouped by equal schema, in the order in which the schemas first come.
fn by_schema(batches: Vec<RecordBatch>) -> Vec<Vec<RecordBatch>> {
    let mut groups: Vec<Vec<RecordBatch>> = vec![];
    for batch in batches {
        let same = |group: &&mut Vec<RecordBatch>| group[0].schema_ref() == batch.schema_ref();
        match groups.iter_mut().find(same) {
            Some(group) => group.push(batch),
            None => groups.push(vec![batch]),
        }
    }
    groups
}

fn join_small(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut joined = vec![];
    let mut open: Vec<RecordBatch> = vec![];
    let (mut rows, mut bytes) = (0, 0);
    for batch in batches {
        let size = batch_bytes(&batch);
        if rows + batch.num_rows() > JOINED_ROWS_MAX || bytes + size > JOINED_BYTES_MAX {
            joined.extend(join(std::mem::take(&mut open))?);
            (rows, bytes) = (0, 0);
        }
        rows += batch.num_rows();
        bytes += size;
        open.push(batch);
    }
    joined.extend(join(open)?);
    Ok(joined)
}

/// One batch of all; the batches as they are when their dictionaries do not fit into one.
fn join(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, ArrowError> {
    let [first, _, ..] = batches.as_slice() else {
        return Ok(batches);
    };
    match concat_batches(&Arc::clone(first.schema_ref()), &batches) {
        Ok(batch) => Ok(vec![batch]),
        Err(ArrowError::DictionaryKeyOverflowError) => Ok(batches),
        Err(e) => Err(e),
    }
}

/// The bytes of a segment with these parts, each table at most once (see [`combine`]).
pub(crate) fn encode(
    writer: WriterId,
    sequence: SegmentSeq,
    parts: &[TablePart],
    notes: &Notes,
    compression: SegmentCompression,
) -> Result<Bytes, ArrowError> {
    let rows_bytes: usize = parts.iter().flat_map(|part| &part.batches).map(batch_bytes).sum();
    if rows_bytes > ROWS_BYTES_MAX {
        let problem = format!("{rows_bytes} bytes of rows in a segment, at most {ROWS_BYTES_MAX}");
        return Err(ArrowError::InvalidArgumentError(problem));
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + 1024 + rows_bytes / 4);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let parts = parts
        .iter()
        .map(|part| encode_part(part, compression, &mut out))
        .collect::<Result<_, _>>()?;
    let (mut idempotency_keys, mut forwarded_batches) = (vec![], vec![]);
    for mark in &notes.marks {
        match mark {
            Mark::IdempotencyKey(key) => idempotency_keys.push(key.clone()),
            Mark::ForwardedBatch(id) => forwarded_batches.push(id.clone()),
        }
    }
    let footer = Footer {
        version: VERSION,
        writer,
        sequence,
        parts,
        idempotency_keys,
        forwarded_batches,
        delivered: notes.delivered,
    };
    let json = serde_json::to_vec(&footer).map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
    out.extend_from_slice(&json);
    out.extend_from_slice(&(json.len() as u64).to_le_bytes());
    out.extend_from_slice(&twox_hash::XxHash3_64::oneshot(&json).to_le_bytes());
    out.extend_from_slice(END_MAGIC);
    Ok(out.into())
}

fn encode_part(
    part: &TablePart,
    compression: SegmentCompression,
    out: &mut Vec<u8>,
) -> Result<FooterPart, ArrowError> {
    let start = out.len();
    let mut streams = vec![];
    for run in part.batches.chunk_by(|a, b| a.schema_ref() == b.schema_ref()) {
        let stream_start = out.len();
        let options = ipc_options(compression)?;
        let mut stream =
            StreamWriter::try_new_with_options(&mut *out, run[0].schema_ref(), options)?;
        for batch in run {
            stream.write(batch)?;
        }
        stream.finish()?;
        drop(stream);
        streams.push((out.len() - stream_start) as u64);
    }
    Ok(FooterPart {
        table: part.table,
        offset: start as u64,
        streams,
        rows: part.batches.iter().map(|batch| batch.num_rows() as u64).sum(),
        timestamps: part
            .batches
            .iter()
            .filter_map(timestamps)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
        offsets: part.offsets.clone(),
        checksum: checksum(&out[start..]),
    })
}

fn ipc_options(compression: SegmentCompression) -> Result<IpcWriteOptions, ArrowError> {
    let options = IpcWriteOptions::default();
    match compression {
        SegmentCompression::Zstd => options
            .try_with_compression(Some(CompressionType::ZSTD))?
            .try_with_compression_level(Some(1)),
        SegmentCompression::Lz4 => options.try_with_compression(Some(CompressionType::LZ4_FRAME)),
    }
}

fn timestamps(batch: &RecordBatch) -> Option<(i64, i64)> {
    let column = batch.column_by_name(TIMESTAMP)?;
    let times = column.as_primitive_opt::<TimestampMicrosecondType>()?;
    min(times).zip(max(times))
}
