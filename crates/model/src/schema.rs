//! The shape of a table: the fixed columns every table has, and the ones its records brought.
//!
//! | column | Delta type | Arrow type | |
//! |---|---|---|---|
//! | `timestamp` | timestamp | Timestamp(µs, UTC) | never null |
//! | `nanos` | short | Int16 | 0–999, what microseconds leave; never null |
//! | `service`, `level`, `message` | string | Utf8 | ordinary fields that every table has |
//! | `attributes` | string | Utf8 | JSON object of what fits no column; null when empty |
//! | `date`, `hour` | date, integer | Date32, Int32 | partition columns: in the path, not in the file |
//! | any other | string, long, double, boolean | Utf8, Int64, Float64, Boolean | from the first record that had it |

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::PartitionBy;

pub const TIMESTAMP: &str = "timestamp";
pub const NANOS: &str = "nanos";
pub const SERVICE: &str = "service";
pub const LEVEL: &str = "level";
pub const MESSAGE: &str = "message";
pub const ATTRIBUTES: &str = "attributes";
pub const DATE: &str = "date";
pub const HOUR: &str = "hour";

/// The key of `attributes` that lists the fields of this record whose name form is not the
/// column's (see [`NameForm`]): an array of column names. A record with a field of this name is
/// refused.
pub const LITERAL_NAMES: &str = ".";

/// Names that a field of a record cannot have as a column; such a field is kept in `attributes`.
/// `timestamp` is here because its column is filled by the time of the record alone.
const RESERVED: [&str; 5] = [TIMESTAMP, NANOS, ATTRIBUTES, DATE, HOUR];

/// Characters that Delta readers without column mapping refuse in a column's name.
const FORBIDDEN: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '\r', '='];

const NAME_BYTES_MAX: usize = 255;

/// The type of a column that records brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    String,
    Int64,
    Float64,
    Bool,
}

impl ColumnType {
    pub const fn arrow(self) -> DataType {
        match self {
            Self::String => DataType::Utf8,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
        }
    }

    /// The type whose values these are, in whichever layout.
    pub fn of_arrow(arrow: &DataType) -> Option<Self> {
        match arrow {
            DataType::Dictionary(_, values) => Self::of_arrow(values),
            DataType::Utf8 => Some(Self::String),
            DataType::Int64 => Some(Self::Int64),
            DataType::Float64 => Some(Self::Float64),
            DataType::Boolean => Some(Self::Bool),
            _ => None,
        }
    }
}

/// How a column's dotted name was spelled by the record that brought it, so that a record can be
/// given back as it came: `{"a":{"b":1}}` or `{"a.b":1}`. Both fill the column `a.b`; a record
/// whose form is the other one says so in `attributes` under [`LITERAL_NAMES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameForm {
    /// Dots of the name are nesting; also every name without a dot.
    #[default]
    Nested,
    /// The name is one key that holds dots.
    Literal,
}

/// A column that records brought, `service`, `level` and `message` included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    pub name: Arc<str>,
    pub kind: ColumnType,
    pub form: NameForm,
}

impl Column {
    pub fn new(name: &str, kind: ColumnType, form: NameForm) -> Self {
        Self { name: name.into(), kind, form }
    }

    /// Whether a field of this name may become a column at all.
    pub fn name_is_usable(name: &str) -> bool {
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !RESERVED.iter().any(|r| r.eq_ignore_ascii_case(name))
            && !name.contains(FORBIDDEN)
            && !name.contains(char::is_control)
    }

    /// The Arrow field; the name form travels in its metadata under `loglake.form`.
    pub fn field(&self) -> Field {
        let field = Field::new(self.name.as_ref(), self.kind.arrow(), true);
        match self.form {
            NameForm::Nested => field,
            NameForm::Literal => field.with_metadata(HashMap::from([(
                FORM_METADATA.to_owned(),
                FORM_LITERAL.to_owned(),
            )])),
        }
    }

    /// The column of an Arrow field that [`Self::field`] made; `None` for the fixed columns.
    pub fn of_field(field: &Field) -> Option<Self> {
        if RESERVED.contains(&field.name().as_str()) {
            return None;
        }
        let form = match field.metadata().get(FORM_METADATA) {
            Some(form) if form == FORM_LITERAL => NameForm::Literal,
            _ => NameForm::Nested,
        };
        Some(Self::new(field.name(), ColumnType::of_arrow(field.data_type())?, form))
    }
}

const FORM_METADATA: &str = "loglake.form";
const FORM_LITERAL: &str = "literal";

/// The shape of a table at one version: the fixed columns and the ones records brought, in the
/// order in which they came. Cheap to share behind an `Arc`; never changed in place.
#[derive(Clone, Debug)]
pub struct TableSchema {
    partition_by: PartitionBy,
    columns: Vec<Column>,
    /// By the name in lower case: Delta names are equal without regard to case.
    by_name: HashMap<String, usize>,
}

impl TableSchema {
    /// A new table's: `service`, `level` and `message`.
    pub fn new(partition_by: PartitionBy) -> Self {
        let mut schema = Self { partition_by, columns: vec![], by_name: HashMap::new() };
        for name in [SERVICE, LEVEL, MESSAGE] {
            schema.push(Column::new(name, ColumnType::String, NameForm::Nested));
        }
        schema
    }

    fn push(&mut self, column: Column) {
        self.by_name.insert(column.name.to_lowercase(), self.columns.len());
        self.columns.push(column);
    }

    pub const fn partition_by(&self) -> PartitionBy {
        self.partition_by
    }

    /// All columns but the fixed ones, oldest first.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of exactly this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        let column = match self.by_name.get(name) {
            Some(at) => &self.columns[*at],
            None => &self.columns[*self.by_name.get(&name.to_lowercase())?],
        };
        (column.name.as_ref() == name).then_some(column)
    }

    /// This schema with those of `proposed` that it can take: names that are usable, not there yet
    /// in any case of letters, and within `columns_max`. `None` when there is none to add.
    ///
    /// A proposal for a name that is there with another type changes nothing: the first one won,
    /// and [`crate::shape::conform`] moves the values into `attributes`.
    pub fn with(&self, proposed: &[Column], columns_max: usize) -> Option<Self> {
        let mut next = self.clone();
        for column in proposed {
            let known = next.by_name.contains_key(&column.name.to_lowercase());
            if !known && next.columns.len() < columns_max && Column::name_is_usable(&column.name) {
                next.push(column.clone());
            }
        }
        (next.columns.len() > self.columns.len()).then_some(next)
    }

    /// The columns of a data file and of fresh rows: `timestamp`, `nanos`, `service`, `level`,
    /// `message`, `attributes`, then the others in the order in which they came.
    pub fn file_schema(&self) -> SchemaRef {
        let (first, rest) = self.columns.split_at(3);
        let fields = Self::time_fields()
            .into_iter()
            .chain(first.iter().map(Column::field))
            .chain([Field::new(ATTRIBUTES, DataType::Utf8, true)])
            .chain(rest.iter().map(Column::field));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// `timestamp` and `nanos`, which every batch begins with.
    pub fn time_fields() -> [Field; 2] {
        [
            Field::new(
                TIMESTAMP,
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                false,
            ),
            Field::new(NANOS, DataType::Int16, false),
        ]
    }

    /// The partition columns: `date` and, by hour, `hour`.
    pub fn partition_fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new(DATE, DataType::Date32, true)];
        if self.partition_by == PartitionBy::Hour {
            fields.push(Field::new(HOUR, DataType::Int32, true));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: ColumnType) -> Column {
        Column::new(name, kind, NameForm::Nested)
    }

    #[test]
    fn the_first_sight_of_a_column_wins_and_names_differ_by_more_than_case() {
        let schema = TableSchema::new(PartitionBy::Hour);
        let with = schema
            .with(&[column("Status", ColumnType::Int64), column("status", ColumnType::String)], 10)
            .expect("a column to add");
        assert_eq!(with.column("Status"), Some(&column("Status", ColumnType::Int64)));
        assert_eq!(with.column("status"), None);
        assert!(with.with(&[column("STATUS", ColumnType::Bool)], 10).is_none());
    }

    #[test]
    fn reserved_and_unreadable_names_never_become_columns() {
        let schema = TableSchema::new(PartitionBy::Day);
        for name in
            ["", "date", "Hour", "attributes", "nanos", "a b", "a=b", "x\u{7f}", &"n".repeat(256)]
        {
            assert!(schema.with(&[column(name, ColumnType::Bool)], 10).is_none(), "{name:?}");
        }
        assert!(schema.with(&[column("a.b-c/ü", ColumnType::Bool)], 10).is_some());
    }

    #[test]
    fn the_limit_counts_all_columns() {
        let schema = TableSchema::new(PartitionBy::Hour);
        assert!(schema.with(&[column("a", ColumnType::Bool)], 3).is_none());
        let two = schema.with(&[column("a", ColumnType::Bool), column("b", ColumnType::Bool)], 4);
        assert_eq!(two.expect("room for one").columns().len(), 4);
    }

    #[test]
    fn a_field_tells_its_column() {
        let literal = Column::new("a.b", ColumnType::Float64, NameForm::Literal);
        assert_eq!(Column::of_field(&literal.field()), Some(literal));
        assert_eq!(Column::of_field(&TableSchema::time_fields()[0]), None);
    }
}
