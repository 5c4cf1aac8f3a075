//! Ranges of an object as pieces of one size, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Bytes of a piece; the last one of an object may be shorter. Small enough that a page which a search
/// leaves brings little with it, large enough that a scan looks for few.
pub(super) const PIECE_BYTES: u64 = 32 << 10;

/// The pieces that cover the ranges, in order.
pub(super) fn pieces_of(ranges: &[Range<u64>]) -> Vec<u64> {
    let of = |range: &Range<u64>| range.start / PIECE_BYTES..range.end.div_ceil(PIECE_BYTES);
    let pieces: BTreeSet<u64> =
        ranges.iter().filter(|range| !range.is_empty()).flat_map(of).collect();
    pieces.into_iter().collect()
}

/// The ranges of wanted pieces that were not found, neighbours as one.
pub(super) fn missing(wanted: &[u64], found: &BTreeMap<u64, Bytes>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = vec![];
    for piece in wanted.iter().filter(|piece| !found.contains_key(piece)) {
        let range = piece * PIECE_BYTES..(piece + 1) * PIECE_BYTES;
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges
}

/// What was read from `start` on, cut into pieces. Each is a copy, so that it keeps nothing else alive.
pub(super) fn cut(start: u64, bytes: &Bytes) -> impl Iterator<Item = (u64, Bytes)> {
    let first = start / PIECE_BYTES;
    let pieces = bytes.chunks(PIECE_BYTES as usize).zip(first..);
    pieces.map(|(bytes, piece)| (piece, Bytes::copy_from_slice(bytes)))
}

/// The bytes of a range, whose pieces are all there; fewer where the object ends before it.
pub(super) fn bytes_of(range: &Range<u64>, pieces: &BTreeMap<u64, Bytes>) -> Bytes {
    let part = |(piece, bytes): (&u64, &Bytes)| {
        let start = piece * PIECE_BYTES;
        let within = |at: u64| (at.saturating_sub(start) as usize).min(bytes.len());
        bytes.slice(within(range.start)..within(range.end))
    };
    let numbers = range.start / PIECE_BYTES..range.end.div_ceil(PIECE_BYTES);
    let mut parts = pieces.range(numbers).map(part);
    match (parts.next(), parts.next()) {
        (None, _) => Bytes::new(),
        (Some(only), None) => only,
        (Some(first), Some(second)) => {
            let mut all = BytesMut::with_capacity((range.end - range.start) as usize);
            all.extend_from_slice(&first);
            all.extend_from_slice(&second);
            parts.for_each(|part| all.extend_from_slice(&part));
            all.freeze()
        }
    }
}
