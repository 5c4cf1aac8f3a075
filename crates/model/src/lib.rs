//! The nouns of loglake: ids, time, partitions, the shape of a table, limits and kinds of errors.
//!
//! Nothing here does I/O, reads a clock or knows a protocol. Every other crate speaks in these
//! words, so one word means one thing everywhere.

mod error;
mod id;
mod limits;
mod offsets;
mod partition;
mod rejection;
mod schema;
pub mod shape;
mod stats;
mod time;
mod work;

pub use error::ErrorKind;
pub use id::{InvalidName, SegmentSeq, TableId, TableName, TenantName, WriterId};
pub use limits::Limits;
pub use offsets::Offsets;
pub use partition::{Partition, PartitionBy};
pub use rejection::Rejection;
pub use schema::{
    ATTRIBUTES, Column, ColumnType, DATE, HOUR, LEVEL, LITERAL_NAMES, MESSAGE, NANOS, NameForm,
    SERVICE, TIMESTAMP, TableSchema,
};
pub use stats::{ColumnStats, FileStats, StatValue};
pub use time::{Clock, Timestamp};
pub use work::off_the_loop;
