//! Results in types that every client knows: views and dictionaries become plain strings
//! and binaries, list views plain lists. The JDBC and ODBC drivers know nothing else, and the schema
//! of `FlightInfo` must be the one of the data.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

/// The schema in which a result of `schema` is sent.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new_with_metadata(plain_fields(schema.fields()), schema.metadata().clone()))
}

/// `batch` in the types of `schema`, which [`plain_schema`] made. Rows stay.
///
/// # Errors
/// [`ArrowError`] when the batch is not of the schema that `schema` was made of.
pub(crate) fn plain_batch(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns
        .map(|(array, field)| match array.data_type() == field.data_type() {
            true => Ok(Arc::clone(array)),
            false => cast(array, field.data_type()),
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn plain_fields(fields: &Fields) -> Fields {
    fields.iter().map(plain_field).collect()
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let plain = plain_type(field.data_type());
    match plain == *field.data_type() {
        true => Arc::clone(field),
        false => Arc::new(
            Field::new(field.name(), plain, field.is_nullable())
                .with_metadata(field.metadata().clone()),
        ),
    }
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => {
            DataType::LargeList(plain_field(item))
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(plain_fields(fields)),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, DictionaryArray, StringViewArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn views_and_dictionaries_become_strings_also_inside_lists() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        let dictionary: ArrayRef =
            Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("x"), Some("x")]));
        let batch = RecordBatch::try_from_iter([("v", views), ("d", dictionary)]).unwrap();
        let schema = plain_schema(batch.schema_ref());
        let plain = plain_batch(&batch, &schema).unwrap();
        assert_eq!(plain.column(0).as_string::<i32>().value(0), "a");
        assert!(plain.column(0).is_null(1));
        assert_eq!(plain.column(1).as_string::<i32>().value(1), "x");

        let item = Arc::new(Field::new_list_field(DataType::Utf8View, true));
        let list = Schema::new(vec![Field::new("l", DataType::ListView(item), true)]);
        let expected = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
        assert_eq!(plain_schema(&list).field(0).data_type(), &expected);
    }

    #[test]
    fn a_result_without_columns_keeps_its_rows() {
        let schema = Arc::new(Schema::empty());
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let batch = RecordBatch::try_new_with_options(schema.clone(), vec![], &options).unwrap();
        assert_eq!(plain_batch(&batch, &schema).unwrap().num_rows(), 3);
    }
}
