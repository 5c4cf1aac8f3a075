//! A table's schema, as the text that `metaData.schemaString` holds.
//!
//! Source: the Delta protocol, "Schema Serialization Format". The fixed columns come first, the
//! partition columns after them, then what records brought in its order: a new column is last.

use loglake_model::{
    ATTRIBUTES, Column, ColumnType, DATE, HOUR, NANOS, NameForm, PartitionBy, TIMESTAMP,
    TableSchema,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const FORM: &str = "loglake.form";
const LITERAL: &str = "literal";
/// A condition on a column's values, which writers must check.
const INVARIANTS: &str = "delta.invariants";

#[derive(Serialize, Deserialize)]
struct Struct {
    r#type: String,
    fields: Vec<StructField>,
}

#[derive(Serialize, Deserialize)]
struct StructField {
    name: String,
    r#type: Value,
    nullable: bool,
    metadata: Map<String, Value>,
}

impl StructField {
    fn new(name: &str, kind: &str, nullable: bool) -> Self {
        Self { name: name.into(), r#type: kind.into(), nullable, metadata: Map::new() }
    }

    fn of(column: &Column) -> Self {
        let mut field = Self::new(&column.name, name_of(column.kind), true);
        if column.form == NameForm::Literal {
            field.metadata.insert(FORM.into(), LITERAL.into());
        }
        field
    }

    fn column(&self) -> Option<Column> {
        let kind = match self.r#type.as_str()? {
            "string" => ColumnType::String,
            "long" => ColumnType::Int64,
            "double" => ColumnType::Float64,
            "boolean" => ColumnType::Bool,
            _ => return None,
        };
        let literal = self.metadata.get(FORM).is_some_and(|form| form == LITERAL);
        let form = if literal { NameForm::Literal } else { NameForm::Nested };
        Some(Column::new(&self.name, kind, form))
    }
}

const fn name_of(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::String => "string",
        ColumnType::Int64 => "long",
        ColumnType::Float64 => "double",
        ColumnType::Bool => "boolean",
    }
}

/// `metaData.partitionColumns`.
pub(crate) fn partition_columns(by: PartitionBy) -> Vec<String> {
    match by {
        PartitionBy::Hour => vec![DATE.into(), HOUR.into()],
        PartitionBy::Day => vec![DATE.into()],
    }
}

/// `metaData.schemaString`.
pub(crate) fn to_json(schema: &TableSchema) -> Result<String, serde_json::Error> {
    let (first, rest) = schema.columns().split_at(3);
    let mut fields = vec![
        StructField::new(TIMESTAMP, "timestamp", false),
        StructField::new(NANOS, "short", false),
    ];
    fields.extend(first.iter().map(StructField::of));
    fields.push(StructField::new(ATTRIBUTES, "string", true));
    fields.push(StructField::new(DATE, "date", true));
    if schema.partition_by() == PartitionBy::Hour {
        fields.push(StructField::new(HOUR, "integer", true));
    }
    fields.extend(rest.iter().map(StructField::of));
    serde_json::to_string(&Struct { r#type: "struct".into(), fields })
}

/// The schema of a table.
///
/// # Errors
/// What of it loglake does not know, or why it is none of its tables.
pub(crate) fn from_json(json: &str, partitioned: &[String]) -> Result<TableSchema, String> {
    let parsed: Struct = serde_json::from_str(json).map_err(|e| format!("a schema that is {e}"))?;
    let by = [PartitionBy::Hour, PartitionBy::Day]
        .into_iter()
        .find(|by| partition_columns(*by) == partitioned)
        .ok_or_else(|| format!("partitions by {partitioned:?}"))?;
    let mut fixed =
        vec![(TIMESTAMP, "timestamp"), (NANOS, "short"), (ATTRIBUTES, "string"), (DATE, "date")];
    if by == PartitionBy::Hour {
        fixed.push((HOUR, "integer"));
    }
    let mut columns = vec![];
    for field in &parsed.fields {
        let unknown = || format!("the column {:?} of type {}", field.name, field.r#type);
        if field.metadata.contains_key(INVARIANTS) {
            return Err(format!("the invariant of column {:?}", field.name));
        }
        match fixed.iter().position(|(name, _)| field.name == *name) {
            Some(at) if field.r#type == fixed[at].1 => drop(fixed.swap_remove(at)),
            Some(_) => return Err(unknown()),
            None if !field.nullable => return Err(format!("values in column {:?}", field.name)),
            None => columns.push(field.column().ok_or_else(unknown)?),
        }
    }
    if let Some((name, kind)) = fixed.first() {
        return Err(format!("no column {name:?} of type {kind}"));
    }
    let new = TableSchema::new(by);
    let schema = new.with(&columns, usize::MAX).unwrap_or(new);
    match columns.iter().find(|c| schema.column(&c.name) != Some(*c)) {
        Some(column) => Err(format!("the column {:?}", column.name)),
        None if columns.len() != schema.columns().len() => {
            Err("fewer columns than every table has".into())
        }
        None => Ok(schema),
    }
}

/// Whether everything of `old` is in `new` as it was: columns were added at most.
pub(crate) fn extends(new: &TableSchema, old: &TableSchema) -> bool {
    new.partition_by() == old.partition_by() && new.columns().starts_with(old.columns())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_columns(by: PartitionBy) -> TableSchema {
        let columns = [
            Column::new("http.status", ColumnType::Int64, NameForm::Literal),
            Column::new("ratio", ColumnType::Float64, NameForm::Nested),
            Column::new("ok", ColumnType::Bool, NameForm::Nested),
        ];
        TableSchema::new(by).with(&columns, 10).unwrap()
    }

    #[test]
    fn a_schema_comes_back_with_types_order_and_forms() {
        for by in [PartitionBy::Hour, PartitionBy::Day] {
            let schema = with_columns(by);
            let read = from_json(&to_json(&schema).unwrap(), &partition_columns(by)).unwrap();
            assert_eq!(read.columns(), schema.columns());
            assert_eq!(read.partition_by(), by);
            assert!(extends(&read, &TableSchema::new(by)));
            assert!(!extends(&TableSchema::new(by), &read));
        }
    }

    #[test]
    fn the_text_is_the_specifications() {
        let json: Value =
            serde_json::from_str(&to_json(&with_columns(PartitionBy::Hour)).unwrap()).unwrap();
        assert_eq!(json["type"], "struct");
        let fields = json["fields"].as_array().unwrap();
        let text: Vec<_> = fields
            .iter()
            .map(|f| format!("{}:{}", f["name"], f["type"]).replace('"', ""))
            .collect();
        assert_eq!(
            text.join(" "),
            "timestamp:timestamp nanos:short service:string level:string message:string \
             attributes:string date:date hour:integer http.status:long ratio:double ok:boolean"
        );
        assert_eq!(fields[8]["metadata"]["loglake.form"], "literal");
        assert_eq!(fields[0]["nullable"], false);
    }

    #[test]
    fn what_loglake_cannot_write_is_refused_by_name() {
        let good = to_json(&with_columns(PartitionBy::Hour)).unwrap();
        let hour = partition_columns(PartitionBy::Hour);
        for (from, to, problem) in [
            ("\"double\"", "\"decimal(10,2)\"", "ratio"),
            ("\"short\"", "\"long\"", "nanos"),
            ("\"nanos\"", "\"nano\"", "nano"),
            ("\"loglake.form\"", "\"delta.invariants\"", "invariant"),
            ("\"ok\"", "\"o k\"", "o k"),
        ] {
            let error = from_json(&good.replace(from, to), &hour).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        assert!(from_json(&good, &["service".into()]).is_err());
    }
}
