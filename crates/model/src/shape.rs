//! Fitting a decoded batch to its table: which columns it would add, and what becomes of values
//! that the table, in its decided shape, has no place for.
//!
//! A name with dots is nesting unless it is said otherwise: by its column's [`NameForm`], and for
//! single records by [`LITERAL_NAMES`] in `attributes`, which lists the columns whose form in this
//! record is not the column's, and the names in `attributes` that are one key with dots.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use serde_json::value::{RawValue, to_raw_value};

use crate::{ATTRIBUTES, Column, LITERAL_NAMES, NameForm, TableSchema};

/// The columns of `batch` that the table does not have yet.
pub fn proposals(batch: &RecordBatch, schema: &TableSchema) -> Vec<Column> {
    let fields = batch.schema_ref().fields();
    fields
        .iter()
        .filter_map(|field| Column::of_field(field))
        .filter(|column| schema.column(&column.name).is_none())
        .collect()
}

/// `batch` with only columns that the table has, in the table's types and forms; every other value
/// is moved into `attributes` under its name. Rows and their order stay.
///
/// # Errors
/// [`ArrowError`] when `attributes` is not a JSON object or a column has a type that no decoder
/// makes; both are defects of the decoder.
pub fn conform(batch: RecordBatch, schema: &TableSchema) -> Result<RecordBatch, ArrowError> {
    let mut kept: Vec<(Arc<Field>, ArrayRef)> = vec![];
    let mut moved: Vec<(Column, ArrayRef)> = vec![];
    let mut reformed: Vec<(Column, ArrayRef)> = vec![];
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(column) = Column::of_field(field) else {
            kept.push((Arc::clone(field), Arc::clone(array)));
            continue;
        };
        match schema.column(&column.name) {
            Some(known) if known.kind == column.kind => {
                if known.form != column.form {
                    reformed.push((column, Arc::clone(array)));
                }
                let field = known.field().with_data_type(array.data_type().clone());
                kept.push((Arc::new(field), Arc::clone(array)));
            }
            _ => moved.push((column, in_full(array)?)),
        }
    }
    if !moved.is_empty() || !reformed.is_empty() {
        let attributes = merge_attributes(&batch, &moved, &reformed)?;
        kept.retain(|(field, _)| field.name() != ATTRIBUTES);
        kept.push((Arc::new(Field::new(ATTRIBUTES, DataType::Utf8, true)), attributes));
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// Raw values: what does not fit a column keeps its exact spelling, also numbers past 64 bits.
type Attributes = BTreeMap<String, Box<RawValue>>;

fn merge_attributes(
    batch: &RecordBatch,
    moved: &[(Column, ArrayRef)],
    reformed: &[(Column, ArrayRef)],
) -> Result<ArrayRef, ArrowError> {
    let before = batch.column_by_name(ATTRIBUTES).map(|a| a.as_string::<i32>());
    let mut after = StringBuilder::new();
    for row in 0..batch.num_rows() {
        let old = before.filter(|a| a.is_valid(row)).map(|a| a.value(row));
        if ![moved, reformed].iter().any(|set| set.iter().any(|(_, a)| a.is_valid(row))) {
            after.append_option(old);
            continue;
        }
        let json_error = |e| ArrowError::ParseError(format!("attributes of row {row}: {e}"));
        let mut attributes: Attributes = match old {
            Some(json) => serde_json::from_str(json).map_err(json_error)?,
            None => Attributes::new(),
        };
        let mut literal: Vec<String> = match attributes.get(LITERAL_NAMES) {
            Some(names) => serde_json::from_str(names.get()).map_err(json_error)?,
            None => vec![],
        };
        for (column, array) in moved.iter().filter(|(_, a)| a.is_valid(row)) {
            attributes.insert(column.name.to_string(), json_value(array, row)?);
            if column.form == NameForm::Literal {
                toggle(&mut literal, &column.name);
            }
        }
        for (column, _) in reformed.iter().filter(|(_, a)| a.is_valid(row)) {
            toggle(&mut literal, &column.name);
        }
        attributes.remove(LITERAL_NAMES);
        if !literal.is_empty() {
            let names = to_raw_value(&literal).map_err(json_error)?;
            attributes.insert(LITERAL_NAMES.to_owned(), names);
        }
        after.append_value(serde_json::to_string(&attributes).map_err(json_error)?);
    }
    Ok(Arc::new(after.finish()))
}

/// The values without the dictionary that some texts come with.
fn in_full(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values),
        _ => Ok(Arc::clone(array)),
    }
}

/// A listed name has the other form than its column. When the column itself turns out to have the
/// other form (or, in `attributes`, none, which counts as nested), listed and not listed change places.
fn toggle(names: &mut Vec<String>, name: &str) {
    match names.iter().position(|known| known == name) {
        Some(at) => drop(names.swap_remove(at)),
        None => names.push(name.to_owned()),
    }
}

fn json_value(array: &ArrayRef, row: usize) -> Result<Box<RawValue>, ArrowError> {
    let any = array.as_any();
    let json = if let Some(strings) = any.downcast_ref::<StringArray>() {
        to_raw_value(strings.value(row))
    } else if let Some(ints) = any.downcast_ref::<Int64Array>() {
        to_raw_value(&ints.value(row))
    } else if let Some(floats) = any.downcast_ref::<Float64Array>() {
        to_raw_value(&floats.value(row))
    } else if let Some(bools) = any.downcast_ref::<BooleanArray>() {
        to_raw_value(&bools.value(row))
    } else {
        let kind = array.data_type();
        return Err(ArrowError::SchemaError(format!("no record brings values of {kind}")));
    };
    json.map_err(|e| ArrowError::ParseError(format!("row {row}: {e}")))
}

#[cfg(test)]
mod tests {
    use arrow::array::DictionaryArray;
    use arrow::datatypes::UInt16Type;

    use super::*;
    use crate::{ColumnType, PartitionBy};

    fn batch(columns: Vec<(Column, ArrayRef)>) -> RecordBatch {
        let (fields, arrays): (Vec<_>, Vec<_>) = columns
            .into_iter()
            .map(|(c, a)| (c.field().with_data_type(a.data_type().clone()), a))
            .unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns of one length")
    }

    #[test]
    fn a_value_of_another_type_is_kept_in_attributes() {
        let known = Column::new("code", ColumnType::Int64, NameForm::Nested);
        let schema = TableSchema::new(PartitionBy::Hour).with(&[known], 10).expect("one added");
        let text = Column::new("code", ColumnType::String, NameForm::Nested);
        let new = Column::new("over", ColumnType::Bool, NameForm::Literal);
        let texts = [Some("E1\""), None];
        let in_full: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let numbered: ArrayRef = Arc::new(DictionaryArray::<UInt16Type>::from_iter(texts));
        for texts in [in_full, numbered] {
            let batch = batch(vec![
                (text.clone(), texts),
                (new.clone(), Arc::new(BooleanArray::from(vec![None, Some(true)]))),
            ]);
            assert_eq!(proposals(&batch, &schema), vec![new.clone()]);
            let conformed = conform(batch, &schema).expect("known types");
            assert_eq!(conformed.num_columns(), 1);
            let attributes = conformed[ATTRIBUTES].as_string::<i32>();
            assert_eq!(attributes.value(0), r#"{"code":"E1\""}"#);
            assert_eq!(attributes.value(1), r#"{".":["over"],"over":true}"#);
        }
    }

    #[test]
    fn a_name_in_the_other_form_is_said_so_where_it_has_a_value() {
        let known = Column::new("a.b", ColumnType::Int64, NameForm::Nested);
        let schema = TableSchema::new(PartitionBy::Hour).with(&[known], 10).expect("one added");
        let literal = Column::new("a.b", ColumnType::Int64, NameForm::Literal);
        let batch = batch(vec![(literal, Arc::new(Int64Array::from(vec![Some(1), None])))]);
        let conformed = conform(batch, &schema).expect("known types");
        assert_eq!(conformed["a.b"].as_primitive::<arrow::datatypes::Int64Type>().value(0), 1);
        let attributes = conformed[ATTRIBUTES].as_string::<i32>();
        assert_eq!(attributes.value(0), r#"{".":["a.b"]}"#);
        assert!(attributes.is_null(1));
    }

    #[test]
    fn a_row_that_was_listed_for_the_other_form_is_not_listed_twice() {
        let schema = TableSchema::new(PartitionBy::Hour);
        let literal = Column::new("a.b", ColumnType::Int64, NameForm::Literal);
        let attributes = Field::new(ATTRIBUTES, DataType::Utf8, true);
        let fields = Schema::new(vec![literal.field(), attributes]);
        let listed = StringArray::from(vec![Some(r#"{".":["a.b"]}"#), None]);
        let arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(listed)];
        let batch = RecordBatch::try_new(Arc::new(fields), arrays).expect("columns of one length");
        let conformed = conform(batch, &schema).expect("known types");
        let attributes = conformed[ATTRIBUTES].as_string::<i32>();
        assert_eq!(attributes.value(0), r#"{"a.b":1}"#);
        assert_eq!(attributes.value(1), r#"{".":["a.b"],"a.b":2}"#);
    }
}
