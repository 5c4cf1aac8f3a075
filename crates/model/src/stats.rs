//! Statistics of one data file, as the Delta log keeps them for pruning.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A bound of a column. Strings may be cut: a lower bound downwards, an upper bound upwards.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum StatValue {
    Int(i64),
    Float(f64),
    Bool(bool),
    String(Arc<str>),
    /// Microseconds since the epoch, UTC.
    Timestamp(i64),
}

/// Bounds and nulls of one column of one file. A bound is absent when every value is null or the
/// bound cannot be told (a NaN, a string without an upper bound).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnStats {
    pub min: Option<StatValue>,
    pub max: Option<StatValue>,
    pub null_count: u64,
}

/// What is known of a file without opening it. A column that is not in `columns` may hold anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileStats {
    pub columns: BTreeMap<Arc<str>, ColumnStats>,
}
