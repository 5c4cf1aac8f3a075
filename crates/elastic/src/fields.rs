//! The fields of an index: a name of a request as an expression over the columns of its tables.
//!
//! `@timestamp` and the other names by which senders bring the four fields of every table are those
//! columns; `name.keyword` is `name`, not analysed; what is no column is sought in `attributes`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, cast, lit, try_cast};
use loglake_model::{ATTRIBUTES, DATE, HOUR, MESSAGE, NANOS, TIMESTAMP};
use loglake_query::plan_functions as functions;
use loglake_receive::aliases::alias_of;

/// The column that says which table a row is of, where rows of several are asked together.
pub const INDEX: &str = "_index";

/// The id of a record: the one it was sent with, else one made of all that it holds.
pub const ID: &str = "_id";

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Analysed into words: `message`.
    Text,
    Keyword,
    /// Whole numbers.
    Long,
    Double,
    Date,
    Boolean,
    /// A key of `attributes`: any of these, several of them in an array.
    Attribute,
}

impl Kind {
    /// As a mapping names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Keyword | Self::Attribute => "keyword",
            Self::Long => "long",
            Self::Double => "double",
            Self::Date => "date_nanos",
            Self::Boolean => "boolean",
        }
    }

    pub const fn is_number(self) -> bool {
        matches!(self, Self::Long | Self::Double)
    }
}

/// A field that a request names.
#[derive(Clone, Debug)]
pub struct Field {
    /// The column's name, or the key in `attributes`.
    pub name: String,
    pub kind: Kind,
    /// Its value as it is in the table; of an attribute as text.
    pub expr: Expr,
}

/// The fields of one index, or of several as one.
#[derive(Clone, Debug)]
pub struct Fields {
    schema: SchemaRef,
    /// The table that all rows are of; else [`INDEX`] is a column.
    index: Option<String>,
}

impl Fields {
    /// Of the columns that the rows have.
    pub const fn new(schema: SchemaRef) -> Self {
        Self { schema, index: None }
    }

    /// The same for rows of one table.
    #[must_use]
    pub fn of_index(self, index: &str) -> Self {
        Self { index: Some(index.to_owned()), ..self }
    }

    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The field of a name; what is no column is an attribute, which may be in no row.
    pub fn field(&self, name: &str) -> Field {
        if let Some(found) = self.known(name) {
            return found;
        }
        if let Some(found) = name.strip_suffix(".keyword").and_then(|name| self.known(name)) {
            let kind = if found.kind == Kind::Text { Kind::Keyword } else { found.kind };
            return Field { kind, ..found };
        }
        let key = name.strip_suffix(".keyword").unwrap_or(name);
        let expr = functions::attribute_text(self.attributes(), key);
        Field { name: key.to_owned(), kind: Kind::Attribute, expr }
    }

    fn known(&self, name: &str) -> Option<Field> {
        if let Some(found) = self.column(name) {
            return Some(found);
        }
        self.column(alias_of(name)?.0.column())
    }

    /// Whether it is a column, by its own or another name.
    pub fn is_column(&self, name: &str) -> bool {
        self.field(name).kind != Kind::Attribute
    }

    fn column(&self, name: &str) -> Option<Field> {
        if [ATTRIBUTES, NANOS, DATE, HOUR].contains(&name) {
            return None;
        }
        match (name, &self.index) {
            (INDEX, Some(index)) => {
                let expr = lit(datafusion::scalar::ScalarValue::Utf8View(Some(index.clone())));
                return Some(Field { name: name.to_owned(), kind: Kind::Keyword, expr });
            }
            (ID, _) => {
                return Some(Field { name: name.to_owned(), kind: Kind::Keyword, expr: self.id() });
            }
            _ => {}
        }
        let field = self.schema.field_with_name(name).ok()?;
        let kind = kind_of(name, field.data_type())?;
        Some(Field { name: name.to_owned(), kind, expr: col(name) })
    }

    /// All columns that are fields, by name and kind; `@timestamp` by that name.
    pub fn columns(&self) -> Vec<(String, Kind)> {
        let fields = self.schema.fields().iter();
        let named = fields.filter_map(|field| self.column(field.name()));
        let shown = |name: String| if name == TIMESTAMP { "@timestamp".to_owned() } else { name };
        named
            .filter(|field| field.name != INDEX && field.name != ID)
            .map(|field| (shown(field.name), field.kind))
            .collect()
    }

    /// The id of a row as text.
    pub fn id(&self) -> Expr {
        let made = self.made_id();
        match self.schema.field_with_name(ID) {
            Ok(_) => datafusion::functions::core::expr_fn::coalesce(vec![
                cast(col(ID), DataType::Utf8),
                made,
            ]),
            Err(_) => made,
        }
    }

    fn made_id(&self) -> Expr {
        let fields = self.schema.fields().iter().map(|field| field.name().as_str());
        let kept = fields.filter(|name| ![DATE, HOUR, INDEX, ID].contains(name));
        functions::record_id(kept.map(|name| (name, col(name))))
    }

    /// The rows that have one of these ids. A made id tells the time of its row, so that only that is
    /// looked at.
    pub fn has_id(&self, ids: &[String]) -> Expr {
        let mut any = vec![];
        if self.schema.field_with_name(ID).is_ok() {
            any.push(col(ID).in_list(ids.iter().map(|id| lit(id.as_str())).collect(), false));
        }
        for id in ids {
            let Some(micros) = functions::record_time_micros(id) else { continue };
            let at = datafusion::scalar::ScalarValue::TimestampMicrosecond(
                Some(micros),
                Some("UTC".into()),
            );
            any.push(col(TIMESTAMP).eq(lit(at)).and(self.made_id().eq(lit(id.as_str()))));
        }
        any.into_iter().reduce(Expr::or).unwrap_or_else(|| lit(false))
    }

    /// The JSON text of what fits no column.
    pub fn attributes(&self) -> Expr {
        match self.schema.field_with_name(ATTRIBUTES) {
            Ok(_) => col(ATTRIBUTES),
            Err(_) => lit(datafusion::scalar::ScalarValue::Utf8View(None)),
        }
    }

    /// The field as text (`Utf8View`): what `terms` groups by and keyword queries compare.
    pub fn text(&self, name: &str) -> Expr {
        let field = self.field(name);
        match field.kind {
            Kind::Text | Kind::Keyword | Kind::Attribute => field.expr,
            _ => cast(field.expr, DataType::Utf8View),
        }
    }

    /// The field as a number (`Float64`), null where it is none; times are milliseconds since the
    /// epoch, true is 1.
    pub fn number(&self, name: &str) -> Expr {
        let field = self.field(name);
        match field.kind {
            Kind::Double => field.expr,
            Kind::Long => cast(field.expr, DataType::Float64),
            Kind::Boolean => cast(cast(field.expr, DataType::Int64), DataType::Float64),
            Kind::Date => cast(field.expr, DataType::Int64).div_micros(),
            Kind::Text | Kind::Keyword => try_cast(field.expr, DataType::Float64),
            Kind::Attribute => functions::attribute_number(self.attributes(), &field.name),
        }
    }

    /// The field as a time (`Timestamp(µs, UTC)`), null where it is none; numbers are milliseconds
    /// since the epoch.
    pub fn time(&self, name: &str) -> Expr {
        let field = self.field(name);
        match field.kind {
            Kind::Date => field.expr,
            Kind::Long | Kind::Double => {
                cast(cast(field.expr * lit(1_000_i64), DataType::Int64), time_type())
            }
            Kind::Boolean => {
                lit(datafusion::scalar::ScalarValue::TimestampMicrosecond(None, Some("UTC".into())))
            }
            Kind::Text | Kind::Keyword | Kind::Attribute => try_cast(field.expr, time_type()),
        }
    }
}

trait DivMicros {
    fn div_micros(self) -> Expr;
}

impl DivMicros for Expr {
    fn div_micros(self) -> Expr {
        cast(self, DataType::Float64) / lit(1_000.0)
    }
}

/// The type of `timestamp`.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

/// A column by exactly this name: names may hold dots and capitals.
pub fn col(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn kind_of(name: &str, kind: &DataType) -> Option<Kind> {
    Some(match kind {
        DataType::Utf8 | DataType::Utf8View if name == MESSAGE => Kind::Text,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Kind::Keyword,
        DataType::Int64 => Kind::Long,
        DataType::Float64 => Kind::Double,
        DataType::Boolean => Kind::Boolean,
        DataType::Timestamp(..) => Kind::Date,
        _ => return None,
    })
}

/// Fields of a schema alone, for tests and mappings.
impl From<Schema> for Fields {
    fn from(schema: Schema) -> Self {
        Self::new(Arc::new(schema))
    }
}
