//! Records for a consumer: one batch, not packed.

use super::batch::HEADER_BYTES;

/// One record as a consumer gets it.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub value: &'a [u8],
}

/// Adds a batch of these records, whose offsets go up and lie within 2³¹ of the first. Without
/// records it adds nothing.
pub fn encode(records: &[Served<'_>], into: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
    let start = into.len();
    into.extend_from_slice(&first.offset.to_be_bytes());
    into.extend_from_slice(&[0; 4]); // the length, set below
    into.extend_from_slice(&(-1_i32).to_be_bytes()); // no leader's epoch
    into.push(2);
    into.extend_from_slice(&[0; 4]); // the checksum, set below
    into.extend_from_slice(&[0; 2]); // attributes: not packed, the producer's times
    into.extend_from_slice(&((last.offset - first.offset) as i32).to_be_bytes());
    into.extend_from_slice(&first.timestamp.to_be_bytes());
    let latest = records.iter().map(|r| r.timestamp).max().unwrap_or(first.timestamp);
    into.extend_from_slice(&latest.to_be_bytes());
    into.extend_from_slice(&(-1_i64).to_be_bytes()); // no producer,
    into.extend_from_slice(&(-1_i16).to_be_bytes()); // epoch
    into.extend_from_slice(&(-1_i32).to_be_bytes()); // and sequence
    into.extend_from_slice(&(records.len() as i32).to_be_bytes());
    debug_assert_eq!(into.len() - start, HEADER_BYTES);
    let mut body = vec![];
    for record in records {
        body.clear();
        body.push(0);
        varint(record.timestamp - first.timestamp, &mut body);
        varint(record.offset - first.offset, &mut body);
        varint(-1, &mut body); // no key
        varint(record.value.len() as i64, &mut body);
        body.extend_from_slice(record.value);
        varint(0, &mut body); // no headers
        varint(body.len() as i64, into);
        into.extend_from_slice(&body);
    }
    let length = (into.len() - start - 12) as i32;
    into[start + 8..start + 12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&into[start + 21..]);
    into[start + 17..start + 21].copy_from_slice(&checksum.to_be_bytes());
}

/// Zigzag, seven bits a byte.
fn varint(value: i64, into: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}
