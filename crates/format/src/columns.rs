//! The columns of all batches of one call, typed and checked, and gathering some of their rows.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, DictionaryArray, Int16Array, PrimitiveArray,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray, new_empty_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, FieldRef, Float64Type, Int64Type, Schema, SchemaRef, UInt16Type,
};
use loglake_model::{NANOS, TIMESTAMP};

use crate::FormatError;
use crate::align::converted;
use crate::order::Row;
use crate::texts::{Texts, numbered_type, under_one_dictionary};

/// Texts that are brought near before the first of them is copied; they fit into the first cache.
const COPIED_AT_ONCE: usize = 256;

/// The batches column by column, texts without copies: `parts[column][batch]`, `None` where the batch
/// has no such column.
pub(crate) struct Columns {
    /// Texts that come with dictionaries have one for all batches here.
    schema: SchemaRef,
    parts: Vec<Vec<Option<ArrayRef>>>,
    rows: Vec<usize>,
    string_bytes: usize,
    /// No row has more bytes of strings.
    row_bytes_max: usize,
}

impl Columns {
    /// # Errors
    /// When a batch has a column that `schema` does not have (its values would be lost), or one of
    /// another type, or no time.
    pub(crate) fn new(batches: &[RecordBatch], schema: SchemaRef) -> Result<Self, FormatError> {
        let by_name: HashMap<&str, usize> =
            schema.fields().iter().enumerate().map(|(at, f)| (f.name().as_str(), at)).collect();
        let mut parts = vec![vec![None; batches.len()]; schema.fields().len()];
        for (number, batch) in batches.iter().enumerate() {
            for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
                let name = field.name();
                let Some(&at) = by_name.get(name.as_str()) else {
                    return Err(FormatError::UnknownColumn { column: name.clone() });
                };
                parts[at][number] = Some(Arc::clone(array));
            }
        }
        let mut fields = vec![];
        let (mut string_bytes, mut row_bytes_max) = (0, 0);
        for (field, parts) in schema.fields().iter().zip(&mut parts) {
            fields.push(typed(field, parts)?);
            let texts = || parts.iter().flatten().filter_map(Texts::of);
            string_bytes += texts().map(Texts::bytes_max).sum::<usize>();
            row_bytes_max += texts().map(Texts::longest).max().unwrap_or(0);
        }
        let schema = Arc::new(Schema::new(fields));
        let rows = batches.iter().map(RecordBatch::num_rows).collect();
        Ok(Self { schema, parts, rows, string_bytes, row_bytes_max })
    }

    /// How many rows each batch has.
    pub(crate) fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// The column's array of each batch.
    ///
    /// # Errors
    /// When the schema has no such column.
    pub(crate) fn parts(&self, name: &str) -> Result<&[Option<ArrayRef>], FormatError> {
        let missing = |_| FormatError::MissingColumn { column: name.to_owned() };
        Ok(&self.parts[self.schema.index_of(name).map_err(missing)?])
    }

    pub(crate) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (usize, &FieldRef)> {
        self.schema.fields().iter().enumerate()
    }

    /// Whether any of the rows has a value in the column.
    pub(crate) fn has_value(&self, column: usize, rows: &[Row]) -> bool {
        let parts = &self.parts[column];
        if parts.iter().flatten().all(|part| part.null_count() == part.len()) {
            return false;
        }
        rows.iter().any(|row| {
            parts[row.batch as usize].as_ref().is_some_and(|part| part.is_valid(row.row as usize))
        })
    }

    /// Whether the strings of these rows can be gathered at once, within `bytes_max` bytes.
    pub(crate) fn fit(&self, rows: &[Row], bytes_max: usize) -> bool {
        self.string_bytes <= bytes_max
            || self.row_bytes_max.saturating_mul(rows.len()) <= bytes_max
            || self.text_bytes(rows) <= bytes_max
    }

    /// Bytes of all texts of these rows, as many times as they are there.
    pub(crate) fn text_bytes(&self, rows: &[Row]) -> usize {
        self.parts.iter().map(|parts| string_bytes(parts, rows)).sum()
    }

    /// The column's values of these rows, in their order.
    pub(crate) fn gather(&self, column: usize, rows: &[Row]) -> Result<ArrayRef, FormatError> {
        let (field, parts) = (self.schema.field(column), &self.parts[column]);
        Ok(match field.data_type() {
            _ if field.name() == NANOS => {
                Arc::new(rows.iter().map(|row| row.nanos).collect::<Int16Array>())
            }
            _ if field.name() == TIMESTAMP => {
                let micros = rows.iter().map(|row| row.micros);
                Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
            }
            DataType::Utf8 => Arc::new(gather_strings(&strings(parts), rows)),
            DataType::Dictionary(..) => gather_numbered(parts, rows),
            DataType::Int64 => Arc::new(gather_numbers::<Int64Type>(parts, rows)),
            DataType::Float64 => Arc::new(gather_numbers::<Float64Type>(parts, rows)),
            DataType::Boolean => gather_bools(parts, rows),
            found => {
                let (column, found) = (field.name().clone(), found.clone());
                return Err(FormatError::ColumnType { column, found, expected: DataType::Utf8 });
            }
        })
    }
}

/// The parts of a column in the type of its field, or with one dictionary; the field that says which.
fn typed(field: &FieldRef, parts: &mut [Option<ArrayRef>]) -> Result<FieldRef, FormatError> {
    if field.data_type() == &DataType::Utf8
        && let Some(numbered) = under_one_dictionary(parts)
    {
        for (part, numbered) in parts.iter_mut().zip(numbered) {
            *part = numbered.map(|numbered| Arc::new(numbered) as ArrayRef);
        }
        return Ok(Arc::new(field.as_ref().clone().with_data_type(numbered_type())));
    }
    for part in parts.iter_mut().flatten() {
        *part = converted(field.name(), part, field.data_type())?;
    }
    Ok(Arc::clone(field))
}

fn strings(parts: &[Option<ArrayRef>]) -> Vec<Option<&StringArray>> {
    parts.iter().map(|part| part.as_ref().and_then(|p| p.as_string_opt::<i32>())).collect()
}

fn string_at<'a>(parts: &[Option<&'a StringArray>], row: &Row) -> Option<&'a str> {
    Texts::InFull(parts[row.batch as usize]?).get(row.row as usize)
}

/// Bytes of the texts of these rows, as many times as they are there.
fn string_bytes(parts: &[Option<ArrayRef>], rows: &[Row]) -> usize {
    let parts: Vec<_> = parts.iter().map(|part| part.as_ref().and_then(Texts::of)).collect();
    if parts.iter().all(Option::is_none) {
        return 0;
    }
    let text = |row: &Row| parts[row.batch as usize]?.get(row.row as usize);
    rows.iter().filter_map(text).map(str::len).sum()
}

fn gather_strings(parts: &[Option<&StringArray>], rows: &[Row]) -> StringArray {
    let texts: Vec<Option<&str>> = rows.iter().map(|row| string_at(parts, row)).collect();
    let bytes = texts.iter().flatten().map(|text| text.len()).sum();
    let mut out = StringBuilder::with_capacity(rows.len(), bytes);
    for texts in texts.chunks(COPIED_AT_ONCE) {
        touch(texts);
        texts.iter().for_each(|text| out.append_option(*text));
    }
    out.finish()
}

/// Reads a byte of each text. They lie anywhere in memory: the processor waits for all of them at the
/// same time here, and for one after the other where each is copied before the next is looked at.
fn touch(texts: &[Option<&str>]) {
    let first = |text: &Option<&str>| text.and_then(|text| text.bytes().next()).unwrap_or(0);
    black_box(texts.iter().map(first).fold(0, |all, byte| all ^ byte));
}

fn gather_numbered(parts: &[Option<ArrayRef>], rows: &[Row]) -> ArrayRef {
    let numbered: Vec<_> = parts
        .iter()
        .map(|p| p.as_ref().and_then(|p| p.as_dictionary_opt::<UInt16Type>()))
        .collect();
    let dictionary = numbered.iter().flatten().next().map(|part| Arc::clone(part.values()));
    let numbers: Vec<_> = numbered.into_iter().map(|part| Some(part?.keys())).collect();
    let numbers = gather_primitives(&numbers, rows);
    let dictionary = dictionary.unwrap_or_else(|| new_empty_array(&DataType::Utf8));
    Arc::new(DictionaryArray::new(numbers, dictionary))
}

fn gather_numbers<T: ArrowPrimitiveType>(
    parts: &[Option<ArrayRef>],
    rows: &[Row],
) -> PrimitiveArray<T> {
    let parts: Vec<_> =
        parts.iter().map(|p| p.as_ref().and_then(|p| p.as_primitive_opt::<T>())).collect();
    gather_primitives(&parts, rows)
}

fn gather_primitives<T: ArrowPrimitiveType>(
    parts: &[Option<&PrimitiveArray<T>>],
    rows: &[Row],
) -> PrimitiveArray<T> {
    let mut valid = Vec::with_capacity(rows.len());
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        let at = row.row as usize;
        let part = parts[row.batch as usize].filter(|part| part.is_valid(at));
        valid.push(part.is_some());
        values.push(part.map(|part| part.value(at)).unwrap_or_default());
    }
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    PrimitiveArray::new(values.into(), nulls)
}

fn gather_bools(parts: &[Option<ArrayRef>], rows: &[Row]) -> ArrayRef {
    let parts: Vec<_> = parts.iter().map(|p| p.as_ref().and_then(|p| p.as_boolean_opt())).collect();
    let mut out = BooleanBuilder::with_capacity(rows.len());
    for row in rows {
        let at = row.row as usize;
        let part = parts[row.batch as usize].filter(|part| part.is_valid(at));
        out.append_option(part.map(|part| part.value(at)));
    }
    Arc::new(out.finish())
}
