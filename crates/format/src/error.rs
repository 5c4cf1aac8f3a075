//! What can go wrong between batches and bytes.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use loglake_model::ErrorKind;
use parquet::errors::ParquetError;

/// Why batches could not be brought into a schema or a file.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("setting {name} of the encoder is {value}, which is not between {min} and {max}")]
    Setting { name: &'static str, value: i64, min: i64, max: i64 },
    #[error("a batch has no column {column:?}, which is never null")]
    MissingColumn { column: String },
    #[error("a batch has a column {column:?} that the table does not have")]
    UnknownColumn { column: String },
    #[error("column {column:?} is {found} in a batch, expected {expected}")]
    ColumnType { column: String, found: DataType, expected: DataType },
    #[error("row {row} of a batch has no {column}")]
    NullTime { column: &'static str, row: usize },
    #[error("{what} number {number} is past what the encoder counts")]
    TooMany { what: &'static str, number: usize },
    #[error("token index: {what}")]
    Index { what: &'static str },
    #[error("arrow: {0}")]
    Arrow(#[from] ArrowError),
    #[error("parquet: {0}")]
    Parquet(#[from] ParquetError),
}

impl FormatError {
    /// Everything but a wrong setting is a defect of whoever made the batches: nothing here
    /// depends on the world outside.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. } => ErrorKind::Invalid,
            _ => ErrorKind::Internal,
        }
    }
}
