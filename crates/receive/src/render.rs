//! Rows back into the JSON records that they came from.
//!
//! Nested names become objects again, names that were one key stay one, `attributes` are merged in
//! with the very text that was sent, and the list of literal names is used up. `timestamp` is the
//! time in RFC 3339; the fields that only loglake knows (`nanos`, `date`, `hour`) are left out.
//! Columns of other types, as queries make them, are shown as text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use loglake_model::{
    ATTRIBUTES, Column, ColumnType, DATE, ErrorKind, HOUR, LITERAL_NAMES, NANOS, NameForm,
    TIMESTAMP,
};
use serde_json::value::RawValue;

use crate::json::write_string;

/// Why a batch cannot be written as records.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("row {row}: `attributes` is not the JSON object that a decoder writes: {reason}")]
    Attributes { row: usize, reason: String },
    #[error("a column cannot be read: {0}")]
    Column(#[from] ArrowError),
}

impl RenderError {
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Attributes { .. } => ErrorKind::Corrupt,
            Self::Column(_) => ErrorKind::Internal,
        }
    }
}

/// The rows as NDJSON, a line each, appended to `into`.
///
/// # Errors
/// When `attributes` is not what a decoder writes.
pub fn render_ndjson(batch: &RecordBatch, into: &mut String) -> Result<(), RenderError> {
    let rows = Rows::of(batch)?;
    for row in 0..batch.num_rows() {
        rows.write(row, into)?;
        into.push('\n');
    }
    Ok(())
}

/// A batch's columns in the forms in which they are read.
struct Rows {
    /// Nanoseconds since the epoch.
    times: Option<Int64Array>,
    columns: Vec<(Column, Values)>,
    attributes: Option<StringArray>,
}

enum Values {
    String(StringArray),
    Int64(Int64Array),
    Float64(arrow::array::Float64Array),
    Bool(BooleanArray),
}

impl Rows {
    fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let mut rows = Self { times: None, columns: vec![], attributes: None };
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            match field.name().as_str() {
                NANOS | DATE | HOUR => {}
                ATTRIBUTES => rows.attributes = Some(strings(array)?),
                TIMESTAMP if matches!(field.data_type(), DataType::Timestamp(..)) => {
                    rows.times = Some(times(array, batch.column_by_name(NANOS))?);
                }
                _ => rows.columns.push((column_of(field), Values::of(array)?)),
            }
        }
        // Names without dots first: where a name is both a value and a parent, the value stays.
        rows.columns.sort_by_key(|(column, _)| column.name.contains('.'));
        Ok(rows)
    }

    fn write(&self, row: usize, into: &mut String) -> Result<(), RenderError> {
        let corrupt = |reason: String| RenderError::Attributes { row, reason };
        let attributes = match &self.attributes {
            Some(array) if array.is_valid(row) => array.value(row),
            _ => "{}",
        };
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(attributes).map_err(|e| corrupt(e.to_string()))?;
        let listed: HashSet<String> = match members.get(LITERAL_NAMES) {
            Some(names) => serde_json::from_str(names.get()).map_err(|e| corrupt(e.to_string()))?,
            None => HashSet::new(),
        };
        let mut record = Object::default();
        if let Some(time) = self.times.as_ref().filter(|t| t.is_valid(row)) {
            let text = format!("\"{}\"", rfc3339(time.value(row)));
            record.insert(TIMESTAMP, NameForm::Literal, Cow::Owned(text));
        }
        for (column, values) in &self.columns {
            let Some(value) = values.json(row) else { continue };
            let literal = (column.form == NameForm::Literal) != listed.contains(&*column.name);
            record.insert(&column.name, form(literal), Cow::Owned(value));
        }
        let mut members: Vec<_> =
            members.iter().filter(|(name, _)| *name != LITERAL_NAMES).collect();
        members.sort_by_key(|(name, _)| name.contains('.'));
        for (name, value) in members {
            let form = form(listed.contains(name));
            match object_members(value.get()).map_err(corrupt)? {
                Some(members) => record.extend(name, form, members),
                None => record.insert(name, form, Cow::Borrowed(value.get())),
            }
        }
        record.write(into);
        Ok(())
    }
}

const fn form(literal: bool) -> NameForm {
    if literal { NameForm::Literal } else { NameForm::Nested }
}

/// The members of a JSON object that has some; `None` for every other value.
fn object_members(json: &str) -> Result<Option<BTreeMap<String, &RawValue>>, String> {
    if !json.starts_with('{') {
        return Ok(None);
    }
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(json).map_err(|e| e.to_string())?;
    Ok((!members.is_empty()).then_some(members))
}

/// The column of a field also where its type is one that only readers make.
fn column_of(field: &Field) -> Column {
    let as_string = field.clone().with_data_type(DataType::Utf8);
    Column::of_field(&as_string)
        .unwrap_or_else(|| Column::new(field.name(), ColumnType::String, NameForm::Nested))
}

fn strings(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Nanoseconds since the epoch, of the two columns that hold them.
fn times(timestamp: &ArrayRef, nanos: Option<&ArrayRef>) -> Result<Int64Array, ArrowError> {
    let micro = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let micros = cast(&cast(timestamp, &micro)?, &DataType::Int64)?;
    let nanos = nanos.map(|nanos| cast(nanos, &DataType::Int64)).transpose()?;
    let nanos = nanos.as_ref().map(|nanos| nanos.as_primitive::<Int64Type>());
    let micros = micros.as_primitive::<Int64Type>().iter().enumerate();
    Ok(micros
        .map(|(row, micros)| {
            let rest = nanos.filter(|n| n.is_valid(row)).map_or(0, |n| n.value(row));
            micros.map(|micros| micros.saturating_mul(1_000).saturating_add(rest))
        })
        .collect())
}

/// RFC 3339 in UTC with as many digits as it needs, three at a time.
fn rfc3339(nanos: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(nanos);
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

impl Values {
    fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        use DataType as T;
        Ok(match array.data_type() {
            T::Utf8 | T::LargeUtf8 | T::Utf8View => Self::String(strings(array)?),
            T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => {
                Self::Int64(cast(array, &T::Int64)?.as_primitive::<Int64Type>().clone())
            }
            T::Float16 | T::Float32 | T::Float64 => {
                Self::Float64(cast(array, &T::Float64)?.as_primitive::<Float64Type>().clone())
            }
            T::Boolean => Self::Bool(array.as_boolean().clone()),
            T::Dictionary(_, values) => return Self::of(&cast(array, values)?),
            _ => {
                let options = FormatOptions::default();
                let formatter = ArrayFormatter::try_new(array, &options)?;
                let shown = (0..array.len())
                    .map(|row| array.is_valid(row).then(|| formatter.value(row).to_string()));
                Self::String(shown.collect())
            }
        })
    }

    fn json(&self, row: usize) -> Option<String> {
        match self {
            Self::String(array) => array.is_valid(row).then(|| {
                let mut text = String::new();
                write_string(array.value(row), &mut text);
                text
            }),
            Self::Int64(array) => array.is_valid(row).then(|| array.value(row).to_string()),
            Self::Float64(array) => array.is_valid(row).then(|| float(array.value(row))),
            Self::Bool(array) => array.is_valid(row).then(|| array.value(row).to_string()),
        }
    }
}

/// A float in its shortest spelling; what JSON has no word for is a string.
fn float(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { format!("\"{value}\"") }
}

/// An object that is put together: members in the order in which they came.
#[derive(Default)]
struct Object<'a> {
    members: Vec<(Cow<'a, str>, Member<'a>)>,
    places: BTreeMap<Cow<'a, str>, usize>,
}

enum Member<'a> {
    /// JSON text.
    Value(Cow<'a, str>),
    Object(Object<'a>),
}

impl<'a> Object<'a> {
    /// Sets the value of a name. Where a parent of it is a value already, the name becomes one key.
    fn insert(&mut self, name: &'a str, form: NameForm, value: Cow<'a, str>) {
        let (parents, key) = match (form, name.rsplit_once('.')) {
            (NameForm::Nested, Some((parents, key))) => (Some(parents), key),
            _ => (None, name),
        };
        match parents.map(|parents| self.has_room(parents.split('.'))) {
            Some(true) => self.child(parents.unwrap_or_default().split('.')).set(key.into(), value),
            _ => self.set(name.into(), value),
        }
    }

    /// Adds the members of an object that was kept whole.
    fn extend(&mut self, name: &'a str, form: NameForm, members: BTreeMap<String, &'a RawValue>) {
        let parts = match form {
            NameForm::Nested => name.split('.').collect(),
            NameForm::Literal => vec![name],
        };
        let parts = if self.has_room(parts.iter().copied()) { parts } else { vec![name] };
        let object = self.child(parts.into_iter());
        for (key, value) in members {
            object.set(key.into(), Cow::Borrowed(value.get()));
        }
    }

    /// Whether every part of the path is an object, or free to be one.
    fn has_room<'p>(&self, path: impl Iterator<Item = &'p str>) -> bool {
        let mut object = self;
        for part in path {
            match object.places.get(part).map(|at| &object.members[*at].1) {
                None => return true,
                Some(Member::Value(_)) => return false,
                Some(Member::Object(child)) => object = child,
            }
        }
        true
    }

    /// The object at a path, made where it is missing; a value in its way gives way.
    fn child(&mut self, path: impl Iterator<Item = &'a str>) -> &mut Self {
        path.fold(self, |object, part| {
            let at = object.place(part.into());
            let member = &mut object.members[at].1;
            if let Member::Value(_) = member {
                *member = Member::Object(Object::default());
            }
            match member {
                Member::Object(child) => child,
                Member::Value(_) => unreachable!("it was made an object above"),
            }
        })
    }

    fn set(&mut self, key: Cow<'a, str>, value: Cow<'a, str>) {
        let at = self.place(key);
        self.members[at].1 = Member::Value(value);
    }

    fn place(&mut self, key: Cow<'a, str>) -> usize {
        if let Some(at) = self.places.get(&key) {
            return *at;
        }
        let at = self.members.len();
        self.places.insert(key.clone(), at);
        self.members.push((key, Member::Value(Cow::Borrowed("null"))));
        at
    }

    fn write(&self, into: &mut String) {
        into.push('{');
        for (at, (key, member)) in self.members.iter().enumerate() {
            if at > 0 {
                into.push(',');
            }
            write_string(key, into);
            into.push(':');
            match member {
                Member::Value(value) => into.push_str(value),
                Member::Object(object) => object.write(into),
            }
        }
        into.push('}');
    }
}
