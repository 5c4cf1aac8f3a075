//! Record batches and the records in them.

use std::borrow::Cow;

use super::codec::{Codec, unpack};
use super::{KafkaError, Reader};

/// The bytes of a batch that its own length does not count: base offset and length.
const BEFORE_LENGTH: usize = 12;
/// Where the part begins that the checksum covers.
const CHECKED_FROM: usize = 21;
/// Where the producer's id stands.
const PRODUCER_AT: usize = 43;
/// All that stands before the records.
pub(super) const HEADER_BYTES: usize = 61;

const MAGIC: i8 = 2;
const CODEC_BITS: i16 = 0b111;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// Who sent a batch, for batches that may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    /// The number of the batch's first record, and of its last.
    pub first_sequence: i32,
    pub last_sequence: i32,
}

/// One batch: what its header says, and its records as they were packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    codec: Codec,
    base_timestamp: i64,
    pub(super) producer: Option<Producer>,
    count: i32,
    packed: &'a [u8],
}

/// One record; its times are milliseconds since the epoch.
#[derive(Clone, Debug)]
pub(super) struct Record<'a> {
    /// -1 where the producer does not say.
    pub(super) timestamp: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// Whether a producer numbers the records of the batch that begins here, by a look at its header.
pub fn is_numbered(batch: &[u8]) -> bool {
    let id = batch.get(PRODUCER_AT..).and_then(|rest| Reader::new(rest).i64().ok());
    id.is_some_and(|id| id >= 0)
}

impl<'a> Batch<'a> {
    /// The next batch.
    pub(super) fn read(bytes: &mut Reader<'a>) -> Result<Self, KafkaError> {
        let magic = bytes.rest().get(16).ok_or(KafkaError::Malformed("a batch is cut"))?;
        let magic = i8::from_be_bytes([*magic]);
        if magic != MAGIC {
            return Err(KafkaError::OldFormat(magic));
        }
        let mut length = *bytes;
        length.i64()?;
        let length = usize::try_from(length.i32()?).map_err(|_| KafkaError::Malformed("length"))?;
        let whole = bytes.take(BEFORE_LENGTH + length)?;
        if whole.len() < HEADER_BYTES {
            return Err(KafkaError::Malformed("a batch is shorter than its header"));
        }
        Self::of_whole(whole)
    }

    fn of_whole(whole: &'a [u8]) -> Result<Self, KafkaError> {
        let expected = Reader::new(&whole[17..]).u32()?;
        let found = crc32c::crc32c(&whole[CHECKED_FROM..]);
        if found != expected {
            return Err(KafkaError::Checksum { found, expected });
        }
        let mut header = Reader::new(&whole[CHECKED_FROM..]);
        let attributes = header.i16()?;
        let last_offset_delta = header.i32()?;
        let base_timestamp = header.i64()?;
        let _max_timestamp = header.i64()?;
        let (id, epoch, first_sequence) = (header.i64()?, header.i16()?, header.i32()?);
        let count = header.i32()?;
        if attributes & (TRANSACTIONAL | CONTROL) != 0 {
            return Err(KafkaError::Transactional);
        }
        let last_sequence = following(first_sequence, last_offset_delta);
        let producer = (id >= 0).then_some(Producer { id, epoch, first_sequence, last_sequence });
        let codec = Codec::of_bits((attributes & CODEC_BITS) as u8)?;
        Ok(Self { codec, base_timestamp, producer, count, packed: header.rest() })
    }

    /// The records' bytes, of which there are `max` at most.
    pub(super) fn unpacked(&self, max: usize) -> Result<Cow<'a, [u8]>, KafkaError> {
        unpack(self.codec, self.packed, max)
    }

    /// Adds the batch's records, read from its unpacked bytes.
    pub(super) fn records<'b>(
        &self,
        unpacked: &'b [u8],
        max: usize,
        into: &mut Vec<Record<'b>>,
    ) -> Result<(), KafkaError> {
        let mut bytes = Reader::new(unpacked);
        for _ in 0..self.count {
            if into.len() == max {
                return Err(KafkaError::TooMany { max });
            }
            let record = bytes.var_bytes()?.ok_or(KafkaError::Malformed("a record is absent"))?;
            into.push(self.record(Reader::new(record))?);
        }
        match bytes.is_empty() {
            true => Ok(()),
            false => Err(KafkaError::Malformed("there are more records than the batch says")),
        }
    }

    fn record<'b>(&self, mut record: Reader<'b>) -> Result<Record<'b>, KafkaError> {
        record.i8()?; // attributes: none are defined
        let timestamp = self.base_timestamp.saturating_add(record.varint()?);
        record.varint()?; // the offset within the batch
        let (key, value) = (record.var_bytes()?, record.var_bytes()?);
        let mut headers = vec![];
        for _ in 0..record.varint()? {
            let name = record.var_bytes()?.ok_or(KafkaError::Malformed("a header has no name"))?;
            headers.push((name, record.var_bytes()?));
        }
        Ok(Record { timestamp, key, value, headers })
    }
}

/// The sequence number `delta` after `first`: they go round after the largest.
const fn following(first: i32, delta: i32) -> i32 {
    ((first as i64 + delta as i64) & i32::MAX as i64) as i32
}
