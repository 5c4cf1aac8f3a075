//! The stages of the encoder one by one, for its benchmarks.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use loglake_model::TableSchema;

use crate::columns::Columns;
use crate::index::{IndexBuilder, IndexKind, words_bytes_max};
use crate::order::order;
use crate::{EncoderSettings, FormatError};

/// Sorts the rows; how many files they make.
///
/// # Errors
/// As [`crate::encode`].
pub fn sort(batches: &[RecordBatch], schema: &TableSchema) -> Result<usize, FormatError> {
    let columns = Columns::new(batches, schema.file_schema())?;
    let newest = EncoderSettings::default().newest_rows;
    Ok(order(&columns, schema.partition_by(), newest)?.len())
}

/// Builds the index of a column of texts; how many bytes it has.
///
/// # Errors
/// As [`crate::encode`].
pub fn index_words(texts: &ArrayRef, page_rows: usize) -> Result<usize, FormatError> {
    let words_bytes_max = words_bytes_max(texts.as_string::<i32>().value_data().len());
    let mut index = IndexBuilder::new(IndexKind::Words, words_bytes_max, page_rows);
    index.add(texts);
    index.bytes()
}
