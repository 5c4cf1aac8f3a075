//! Bounds on what one request may bring.

use serde::{Deserialize, Serialize};

/// Bounds on requests and records. At a bound the caller is told; nothing is cut silently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request's body after decompression. A larger one answers 413.
    pub body_bytes_max: u64,
    /// Bytes of one record as it was sent. A larger one is refused by line.
    pub record_bytes_max: usize,
    /// Fields of one record, nested ones counted each. A record with more is refused.
    pub record_fields_max: usize,
    /// Levels of nesting in one record. A deeper one is refused.
    pub record_depth_max: usize,
    /// Columns of one table. Fields past it are kept in `attributes`.
    pub table_columns_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 256 << 20,
            record_bytes_max: 8 << 20,
            record_fields_max: 10_000,
            record_depth_max: 64,
            table_columns_max: 1_000,
        }
    }
}
