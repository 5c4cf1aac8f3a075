//! Fitting a batch to a schema: the same rows in other columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};

use crate::FormatError;

/// A batch in exactly the columns of `schema` (a projection of the table's file schema): absent
/// columns become null, others are dropped, order follows `schema`. Strings of other layouts
/// (dictionaries, views, large) become Utf8.
///
/// # Errors
/// When a column that is never null is absent, or one has a type that does not carry over.
pub fn align(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, FormatError> {
    let rows = batch.num_rows();
    let mut nulls = Nulls { rows, of_type: vec![] };
    let arrays = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(array) => converted(field.name(), array, field.data_type()),
        None if field.is_nullable() => Ok(nulls.of(field.data_type())),
        None => Err(FormatError::MissingColumn { column: field.name().clone() }),
    });
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}

/// Columns without a value, one for all of a type: a wide table has hundreds of them beside a few rows.
struct Nulls {
    rows: usize,
    of_type: Vec<ArrayRef>,
}

impl Nulls {
    fn of(&mut self, data_type: &DataType) -> ArrayRef {
        if let Some(known) = self.of_type.iter().find(|known| known.data_type() == data_type) {
            return Arc::clone(known);
        }
        let array = new_null_array(data_type, self.rows);
        self.of_type.push(Arc::clone(&array));
        array
    }
}

/// `array` as `expected`, where that is another layout of the same values; the array itself when
/// it is that already.
pub(crate) fn converted(
    column: &str,
    array: &ArrayRef,
    expected: &DataType,
) -> Result<ArrayRef, FormatError> {
    let found = array.data_type();
    if found == expected {
        return Ok(Arc::clone(array));
    }
    if !same_values(found, expected) {
        let (column, found) = (column.to_owned(), found.clone());
        return Err(FormatError::ColumnType { column, found, expected: expected.clone() });
    }
    Ok(cast(array, expected)?)
}

/// Whether every value of one type is a value of the other, only laid out differently.
fn same_values(found: &DataType, expected: &DataType) -> bool {
    use DataType::{Dictionary, LargeUtf8, Null, RunEndEncoded, Timestamp, Utf8, Utf8View};
    let micros_utc = |t: &DataType| match t {
        Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            matches!(zone.as_ref(), "UTC" | "+00:00" | "Z")
        }
        _ => false,
    };
    match (found, expected) {
        (Null, _) => true,
        (Dictionary(_, values), _) => same_values(values, expected),
        (RunEndEncoded(_, values), _) => same_values(values.data_type(), expected),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        _ => found == expected || (micros_utc(found) && micros_utc(expected)),
    }
}
