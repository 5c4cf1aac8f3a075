//! Kafka's record batches: what a producer sends for one partition, into rows; and rows of a table,
//! as a consumer reads them.
//!
//! ```text
//! bytes → batches (checksum) → unpacked records → rows        decode
//! rows as JSON lines → one batch                              encode
//! consumed records → rows, and what cannot be decoded         consumed
//! ```
//! Formats: Kafka's documentation, "Message Format" (record batches, magic 2; older message sets are
//! refused). Nothing is believed before it is checked: a length or a count from the wire never
//! reserves memory.

mod batch;
mod codec;
mod consumed;
mod encode;
mod reader;
mod rows;
#[cfg(test)]
mod tests;

pub use batch::{Producer, is_numbered};
pub use consumed::{
    ConsumedContext, ConsumedRecord, DEAD_LETTERS, PayloadFormat, dead_letters, decode_consumed,
};
pub use encode::{Served, encode};
pub use reader::{Reader, Short};
pub use rows::{DecodedRecords, RecordFields, RecordsContext, decode_records};

/// Records of one partition in one request at most.
pub const RECORDS_MAX: usize = 200_000;

/// Why the bytes of a partition are not taken. None of its records is stored then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// They changed on their way: sending them again may help.
    #[error("the records have the checksum {found:#010x}, the batch says {expected:#010x}")]
    Checksum { found: u32, expected: u32 },
    #[error("the records cannot be read: {0}")]
    Malformed(&'static str),
    #[error("message format {0} is not taken, only 2 (Kafka 0.11 and later)")]
    OldFormat(i8),
    #[error("compression {0} is not known")]
    UnknownCodec(u8),
    #[error("the records are not valid {codec}: {reason}")]
    Corrupt { codec: &'static str, reason: String },
    /// In smaller batches they may be taken.
    #[error("the records are larger than the limit of {max} bytes after decompression")]
    TooLarge { max: usize },
    #[error("more than {max} records")]
    TooMany { max: usize },
    #[error("transactions are not offered")]
    Transactional,
}

impl From<Short> for KafkaError {
    fn from(_: Short) -> Self {
        Self::Malformed("they end too soon")
    }
}
