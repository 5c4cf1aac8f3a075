//! The four compressions of Kafka's batches, unpacked within a bound.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use snap::raw::decompress_len;

use super::{KafkaError, Reader};

/// The longest window of zstd, as of HTTP's bodies (RFC 9659): 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// What the blocks of snappy-java's streams begin with; librdkafka sends one block without it.
const SNAPPY_STREAM: &[u8] = b"\x82SNAPPY\0";
/// Its two version numbers follow, 4 bytes each.
const SNAPPY_STREAM_HEADER_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// Of the lowest three bits of a batch's attributes.
    pub(super) const fn of_bits(bits: u8) -> Result<Self, KafkaError> {
        match bits {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            other => Err(KafkaError::UnknownCodec(other)),
        }
    }
}

/// The plain bytes, of which there are `max` at most.
pub(super) fn unpack(codec: Codec, packed: &[u8], max: usize) -> Result<Cow<'_, [u8]>, KafkaError> {
    let plain = match codec {
        Codec::None if packed.len() > max => return Err(KafkaError::TooLarge { max }),
        Codec::None => return Ok(Cow::Borrowed(packed)),
        Codec::Gzip => read(MultiGzDecoder::new(packed), "gzip", max)?,
        Codec::Lz4 => read(FrameDecoder::new(packed), "lz4", max)?,
        Codec::Zstd => {
            let failed = |e: std::io::Error| corrupt("zstd", e);
            let mut decoder = zstd::Decoder::with_buffer(packed).map_err(failed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
            read(decoder, "zstd", max)?
        }
        Codec::Snappy => snappy(packed, max)?,
    };
    Ok(Cow::Owned(plain))
}

fn corrupt(codec: &'static str, reason: impl ToString) -> KafkaError {
    KafkaError::Corrupt { codec, reason: reason.to_string() }
}

fn read(decoder: impl Read, codec: &'static str, max: usize) -> Result<Vec<u8>, KafkaError> {
    let mut plain = vec![];
    let one_more = max as u64 + 1;
    decoder.take(one_more).read_to_end(&mut plain).map_err(|e| corrupt(codec, e))?;
    if plain.len() > max {
        return Err(KafkaError::TooLarge { max });
    }
    Ok(plain)
}

fn snappy(packed: &[u8], max: usize) -> Result<Vec<u8>, KafkaError> {
    let mut plain = vec![];
    if !packed.starts_with(SNAPPY_STREAM) {
        snappy_block(packed, max, &mut plain)?;
        return Ok(plain);
    }
    let mut stream = Reader::new(packed);
    stream.take(SNAPPY_STREAM_HEADER_BYTES)?;
    while !stream.is_empty() {
        let length = stream.u32()? as usize;
        snappy_block(stream.take(length)?, max, &mut plain)?;
    }
    Ok(plain)
}

/// Adds the plain bytes of a block, which says itself how many there are.
fn snappy_block(block: &[u8], max: usize, plain: &mut Vec<u8>) -> Result<(), KafkaError> {
    let failed = |e: snap::Error| corrupt("snappy", e);
    let (start, length) = (plain.len(), decompress_len(block).map_err(failed)?);
    if start + length > max {
        return Err(KafkaError::TooLarge { max });
    }
    plain.resize(start + length, 0);
    snap::raw::Decoder::new().decompress(block, &mut plain[start..]).map_err(failed)?;
    Ok(())
}
