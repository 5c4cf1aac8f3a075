//! The bytes of a segment to rows. The bytes are not trusted: everything is checked before use.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::{RecordBatch as RecordBatchMessage, root_as_message};
use bytes::Bytes;

use super::{
    END_MAGIC, Footer, FooterPart, HEADER_BYTES, MAGIC, ROWS_BYTES_MAX, TRAILER_BYTES, VERSION,
    checksum,
};
use crate::TablePart;

/// What every message of a stream begins with.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// What the end of a segment's object holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    Footer(Footer),
    /// The footer is longer than what was given: this many bytes of the end hold it.
    NeedsBytes(u64),
}

/// The footer, from the last bytes of an object of `object_bytes`.
///
/// # Errors
/// What is wrong with them, in words.
pub(crate) fn decode_tail(tail: &[u8], object_bytes: u64) -> Result<Tail, String> {
    let Some((before, trailer)) = tail.split_last_chunk::<TRAILER_BYTES>() else {
        return Err(format!("{object_bytes} bytes are no segment"));
    };
    if !trailer.ends_with(END_MAGIC) {
        return Err("does not end as a segment does".to_owned());
    }
    let length = u64::from_le_bytes(array(&trailer[..8]));
    let expected = u64::from_le_bytes(array(&trailer[8..16]));
    let room = object_bytes.checked_sub((HEADER_BYTES + TRAILER_BYTES) as u64);
    if room.is_none_or(|room| length > room) {
        return Err(format!("a footer of {length} bytes does not fit into {object_bytes}"));
    }
    if length > before.len() as u64 {
        return Ok(Tail::NeedsBytes(length + TRAILER_BYTES as u64));
    }
    let json = &before[before.len() - length as usize..];
    let actual = twox_hash::XxHash3_64::oneshot(json);
    if actual != expected {
        return Err(format!("footer has checksum {actual:016x}, expected {expected:016x}"));
    }
    let footer: Footer =
        serde_json::from_slice(json).map_err(|e| format!("footer is not readable: {e}"))?;
    check(&footer, object_bytes - length - TRAILER_BYTES as u64)?;
    Ok(Tail::Footer(footer))
}

fn array(bytes: &[u8]) -> [u8; 8] {
    let mut array = [0; 8];
    array.copy_from_slice(bytes);
    array
}

/// The parts follow each other from the header to the footer, without a byte between.
fn check(footer: &Footer, footer_start: u64) -> Result<(), String> {
    if footer.version != VERSION {
        return Err(format!("format version {}, this program reads {VERSION}", footer.version));
    }
    let mut end = HEADER_BYTES as u64;
    for part in &footer.parts {
        end = match part.range() {
            Some(range) if range.start == end => range.end,
            _ => {
                return Err(format!("part of table {} is not where it must be", part.table));
            }
        };
    }
    if end != footer_start {
        return Err(format!("parts end at byte {end}, the footer begins at {footer_start}"));
    }
    Ok(())
}

fn check_part(bytes: &[u8], part: &FooterPart) -> Result<(), String> {
    let actual = checksum(bytes);
    if actual != part.checksum {
        let (table, expected) = (part.table, &part.checksum);
        return Err(format!("part of table {table} has checksum {actual}, expected {expected}"));
    }
    Ok(())
}

/// The batches of a part, from exactly its bytes.
///
/// # Errors
/// What is wrong with them, in words.
pub(crate) fn decode_part(bytes: &[u8], part: &FooterPart) -> Result<Vec<RecordBatch>, String> {
    check_part(bytes, part)?;
    // The checksum holds, so these are the bytes that somebody meant to write. Should that have
    // been somebody else, arrow may still find a way to panic over them.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_streams(bytes, &part.streams)))
        .unwrap_or_else(|_| Err(ArrowError::IpcError("decoder panicked".to_owned())))
        .map_err(|e| format!("part of table {}: {e}", part.table))?;
    let rows: u64 = decoded.iter().map(|batch| batch.num_rows() as u64).sum();
    if rows != part.rows {
        let (table, expected) = (part.table, part.rows);
        return Err(format!("part of table {table} has {rows} rows, expected {expected}"));
    }
    Ok(decoded)
}

/// The batches of a part, one after the other: what is in memory at once is the part's bytes and a
/// batch. After an error there is nothing more.
pub(crate) struct PartBatches {
    /// What is not begun yet.
    bytes: Bytes,
    streams: std::vec::IntoIter<u64>,
    current: Option<StreamReader<Cursor<Bytes>>>,
    rows_left: u64,
}

impl PartBatches {
    /// From exactly the part's bytes.
    ///
    /// # Errors
    /// When the checksum does not hold, in words.
    pub(crate) fn new(bytes: Bytes, part: &FooterPart) -> Result<Self, String> {
        check_part(&bytes, part)?;
        let streams = part.streams.clone().into_iter();
        Ok(Self { bytes, streams, current: None, rows_left: part.rows })
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        loop {
            if let Some(batch) = self.current.as_mut().and_then(Iterator::next) {
                return batch.map(Some);
            }
            let Some(length) = self.streams.next() else { return Ok(None) };
            let length = usize::try_from(length).ok().filter(|length| *length <= self.bytes.len());
            let Some(length) = length else {
                return Err(ArrowError::IpcError("a stream is cut off".to_owned()));
            };
            let stream = self.bytes.split_to(length);
            check_lengths(&stream)?;
            self.current = Some(StreamReader::try_new(Cursor::new(stream), None)?);
        }
    }

    fn end(&mut self) {
        self.streams = vec![].into_iter();
        self.current = None;
        self.rows_left = 0;
    }
}

impl Iterator for PartBatches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let advanced = catch_unwind(AssertUnwindSafe(|| self.advance()));
        let problem = match advanced {
            Ok(Ok(Some(batch))) => match self.rows_left.checked_sub(batch.num_rows() as u64) {
                Some(left) => {
                    self.rows_left = left;
                    return Some(Ok(batch));
                }
                None => "more rows than its footer says".to_owned(),
            },
            Ok(Ok(None)) if self.rows_left == 0 => return None,
            Ok(Ok(None)) => format!("{} rows fewer than its footer says", self.rows_left),
            Ok(Err(e)) => e.to_string(),
            Err(_) => "decoder panicked".to_owned(),
        };
        self.end();
        Some(Err(problem))
    }
}

fn decode_streams(mut bytes: &[u8], streams: &[u64]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut batches = vec![];
    for length in streams {
        let split = usize::try_from(*length).ok().and_then(|at| bytes.split_at_checked(at));
        let Some((stream, rest)) = split else {
            return Err(ArrowError::IpcError(format!("a stream of {length} bytes is cut off")));
        };
        check_lengths(stream)?;
        for batch in StreamReader::try_new(Cursor::new(stream), None)? {
            batches.push(batch?);
        }
        bytes = rest;
    }
    Ok(batches)
}

/// Arrow's reader allocates what the lengths in a stream say before it looks whether the bytes are
/// there, and a process that asks for too much is killed. So every length is compared with what
/// there is, and what a buffer says of its size before compression with what a buffer can hold.
fn check_lengths(mut stream: &[u8]) -> Result<(), ArrowError> {
    let cut_off = || ArrowError::IpcError("a message is cut off".to_owned());
    loop {
        let (prefix, rest) = stream.split_first_chunk::<8>().ok_or_else(cut_off)?;
        let [m0, m1, m2, m3, l0, l1, l2, l3] = *prefix;
        if [m0, m1, m2, m3] != CONTINUATION {
            return Err(ArrowError::IpcError("a message does not begin as one".to_owned()));
        }
        let length = i32::from_le_bytes([l0, l1, l2, l3]);
        if length == 0 {
            return Ok(());
        }
        let (header, rest) = split_at(rest, i64::from(length)).ok_or_else(cut_off)?;
        let message = root_as_message(header).map_err(|e| ArrowError::IpcError(e.to_string()))?;
        let (body, rest) = split_at(rest, message.bodyLength()).ok_or_else(cut_off)?;
        let dictionary = message.header_as_dictionary_batch().and_then(|batch| batch.data());
        for batch in message.header_as_record_batch().into_iter().chain(dictionary) {
            check_buffers(&batch, body)?;
        }
        stream = rest;
    }
}

fn split_at(bytes: &[u8], length: i64) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(length).ok()?)
}

/// A compressed buffer begins with its size before compression (i64), or -1 when it is as it was.
fn check_buffers(batch: &RecordBatchMessage<'_>, body: &[u8]) -> Result<(), ArrowError> {
    if batch.compression().is_none() {
        return Ok(());
    }
    for buffer in batch.buffers().iter().flatten() {
        let from = usize::try_from(buffer.offset()).ok().and_then(|from| body.get(from..));
        let bytes = from.and_then(|from| split_at(from, buffer.length()));
        let Some((bytes, _)) = bytes else {
            return Err(ArrowError::IpcError("a buffer is cut off".to_owned()));
        };
        if let Some(size) = bytes.first_chunk() {
            let size = i64::from_le_bytes(*size);
            if !(-1..=ROWS_BYTES_MAX as i64).contains(&size) {
                return Err(ArrowError::IpcError(format!("a buffer of {size} bytes")));
            }
        }
    }
    Ok(())
}

/// A whole segment, every byte of it verified.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn decode(object: &[u8]) -> Result<(Footer, Vec<TablePart>), String> {
    let footer = decode_footer(object)?;
    let mut parts = Vec::with_capacity(footer.parts.len());
    for part in &footer.parts {
        // In bounds: the parts fill the object, as `check` saw.
        let bytes = part.range().and_then(|r| object.get(r.start as usize..r.end as usize));
        let bytes = bytes.ok_or_else(|| format!("part of table {} is cut off", part.table))?;
        let (batches, offsets) = (decode_part(bytes, part)?, part.offsets.clone());
        parts.push(TablePart { table: part.table, batches, offsets });
    }
    Ok((footer, parts))
}

/// The footer of a whole segment, and what is before the parts verified.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn decode_footer(object: &[u8]) -> Result<Footer, String> {
    let Tail::Footer(footer) = decode_tail(object, object.len() as u64)? else {
        return Err("the footer is cut off".to_owned());
    };
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    if !object.starts_with(&header) {
        return Err("does not begin as a segment does".to_owned());
    }
    Ok(footer)
}
