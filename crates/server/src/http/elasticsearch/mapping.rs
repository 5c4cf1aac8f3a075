//! A table's columns as a mapping and as field capabilities. Pure.
//!
//! | column | field |
//! |---|---|
//! | `timestamp`, with `nanos` | `@timestamp`: `date_nanos` |
//! | `message` | `text`, with `message.keyword` |
//! | other texts | `keyword` |
//! | 64-bit integers, floats, truth values | `long`, `double`, `boolean` |
//! | `attributes`: what fits no column | `flattened` |

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use loglake_model::{ATTRIBUTES, DATE, HOUR, MESSAGE, NANOS, TIMESTAMP, TableName};
use serde_json::{Map, Value, json};

use super::filter_path::matches;

pub(super) const TIME_FIELD: &str = "@timestamp";

/// A field that clients see, and its type in Elasticsearch's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenField {
    pub(super) name: String,
    pub(super) kind: &'static str,
    /// The exact field beside a text: `message.keyword`.
    pub(super) has_keyword: bool,
}

/// The fields of a table, in the order of its columns.
pub(super) fn fields(columns: &Schema) -> Vec<SeenField> {
    columns.fields().iter().filter_map(|field| seen(field)).collect()
}

fn seen(field: &Field) -> Option<SeenField> {
    let (name, kind) = match (field.name().as_str(), field.data_type()) {
        (TIMESTAMP, _) => (TIME_FIELD, "date_nanos"),
        (NANOS | DATE | HOUR, _) => return None,
        (ATTRIBUTES, _) => (ATTRIBUTES, "flattened"),
        (MESSAGE, _) => (MESSAGE, "text"),
        (name, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => (name, "keyword"),
        (name, DataType::Int64) => (name, "long"),
        (name, DataType::Float64) => (name, "double"),
        (name, DataType::Boolean) => (name, "boolean"),
        (_, _) => return None,
    };
    Some(SeenField { name: name.to_owned(), kind, has_keyword: kind == "text" })
}

/// `{"properties":…}` of a table: dotted columns as nested objects.
pub(super) fn mapping(columns: &Schema) -> Value {
    let mut properties = Map::new();
    for field in fields(columns) {
        let path: Vec<&str> = field.name.split('.').collect();
        put(&mut properties, &path, described(&field));
    }
    json!({"properties": properties})
}

fn described(field: &SeenField) -> Value {
    match field.has_keyword {
        true => json!({"type": field.kind, "fields": {"keyword": {"type": "keyword"}}}),
        false => json!({"type": field.kind}),
    }
}

/// A column `a` and a column `a.b` can both be there: the object then also has the type of the plain one.
fn put(properties: &mut Map<String, Value>, path: &[&str], described: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    let entry = properties.entry(*first).or_insert_with(|| json!({}));
    let Some(entry) = entry.as_object_mut() else { return };
    if rest.is_empty() {
        if let Value::Object(members) = described {
            entry.extend(members);
        }
        return;
    }
    let below = entry.entry("properties").or_insert_with(|| json!({}));
    if let Some(below) = below.as_object_mut() {
        put(below, rest, described);
    }
}

/// `_mapping/field/{patterns}` of one table.
pub(super) fn mapping_of_fields(columns: &Schema, patterns: &[&str]) -> Value {
    let wanted = |name: &str| patterns.iter().any(|pattern| matches(pattern, name));
    let mut found = Map::new();
    for field in fields(columns) {
        let last = field.name.rsplit('.').next().unwrap_or_default().to_owned();
        if wanted(&field.name) {
            let mapping = json!({last.as_str(): described(&field)});
            found.insert(field.name.clone(), json!({"full_name": field.name, "mapping": mapping}));
        }
        let keyword = format!("{}.keyword", field.name);
        if field.has_keyword && wanted(&keyword) {
            let mapping = json!({"keyword": {"type": "keyword"}});
            found.insert(keyword.clone(), json!({"full_name": keyword, "mapping": mapping}));
        }
    }
    json!({"mappings": found})
}

/// Fields that every document has beside its own.
const METADATA: [(&str, &str, bool); 3] =
    [("_id", "_id", false), ("_index", "_index", true), ("_source", "_source", false)];

/// `_field_caps` over some tables: each field by type, with the tables that have it where not all
/// have it so.
pub(super) fn field_caps(
    tables: &BTreeMap<TableName, SchemaRef>,
    patterns: &[&str],
    types: &[&str],
) -> Value {
    let mut by_name: BTreeMap<String, BTreeMap<&'static str, Vec<&TableName>>> = BTreeMap::new();
    for (table, columns) in tables {
        for (name, kind) in names_and_kinds(columns) {
            let wanted = patterns.iter().any(|pattern| matches(pattern, &name));
            if wanted && (types.is_empty() || types.contains(&kind)) {
                by_name.entry(name).or_default().entry(kind).or_default().push(table);
            }
        }
    }
    let mut found = Map::new();
    for (name, kinds) in &by_name {
        let several = kinds.len() > 1;
        let kinds = kinds.iter().map(|(kind, of)| (*kind, capability(kind, several.then_some(of))));
        found.insert(name.clone(), kinds.collect());
    }
    for (name, kind, aggregatable) in METADATA {
        let wanted = patterns.iter().any(|pattern| matches(pattern, name));
        if wanted && types.is_empty() {
            let searchable = kind != "_source";
            let capability = json!({"type": kind, "metadata_field": true, "searchable": searchable, "aggregatable": aggregatable});
            found.insert(name.to_owned(), json!({kind: capability}));
        }
    }
    let indices: Vec<&str> = tables.keys().map(TableName::as_str).collect();
    json!({"indices": indices, "fields": found})
}

fn names_and_kinds(columns: &Schema) -> Vec<(String, &'static str)> {
    let mut found = vec![];
    for field in fields(columns) {
        // Objects are fields of their own to clients that show a tree.
        for (at, _) in field.name.match_indices('.') {
            let object = (field.name[..at].to_owned(), "object");
            if !found.contains(&object) {
                found.push(object);
            }
        }
        if field.has_keyword {
            found.push((format!("{}.keyword", field.name), "keyword"));
        }
        found.push((field.name, field.kind));
    }
    found
}

fn capability(kind: &str, tables: Option<&Vec<&TableName>>) -> Value {
    let whole = kind != "object";
    let mut capability = json!({
        "type": kind,
        "metadata_field": false,
        "searchable": whole,
        "aggregatable": whole && kind != "text",
    });
    if let Some(tables) = tables {
        capability["indices"] = tables.iter().map(|table| table.as_str()).collect();
    }
    capability
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use loglake_model::{Column, ColumnType, NameForm, PartitionBy, TableSchema};

    use super::*;

    fn columns(more: &[(&str, ColumnType)]) -> SchemaRef {
        let more: Vec<_> =
            more.iter().map(|(name, kind)| Column::new(name, *kind, NameForm::Nested)).collect();
        let plain = TableSchema::new(PartitionBy::Hour);
        let shape = plain.with(&more, 100).unwrap_or(plain);
        let mut fields: Vec<Field> =
            shape.file_schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.extend(shape.partition_fields());
        Arc::new(Schema::new(fields))
    }

    #[test]
    fn columns_are_fields_of_elasticsearchs_types() {
        let columns = columns(&[
            ("http.status", ColumnType::Int64),
            ("http.took", ColumnType::Float64),
            ("ok", ColumnType::Bool),
        ]);
        assert_eq!(
            mapping(&columns),
            json!({"properties": {
                "@timestamp": {"type": "date_nanos"},
                "service": {"type": "keyword"},
                "level": {"type": "keyword"},
                "message": {"type": "text", "fields": {"keyword": {"type": "keyword"}}},
                "attributes": {"type": "flattened"},
                "http": {"properties": {"status": {"type": "long"}, "took": {"type": "double"}}},
                "ok": {"type": "boolean"},
            }})
        );
        let of_fields = mapping_of_fields(&columns, &["http.s*", "message*"]);
        assert_eq!(of_fields["mappings"]["http.status"]["mapping"]["status"]["type"], "long");
        assert_eq!(of_fields["mappings"].as_object().unwrap().len(), 3);
    }

    #[test]
    fn a_name_that_is_a_value_and_an_object_keeps_both() {
        let columns = columns(&[("a", ColumnType::Int64), ("a.b", ColumnType::String)]);
        let mapping = mapping(&columns);
        assert_eq!(
            mapping["properties"]["a"],
            json!({"type": "long", "properties": {"b": {"type": "keyword"}}})
        );
    }

    #[test]
    fn capabilities_name_the_tables_where_types_differ() {
        let tables = BTreeMap::from([
            (TableName::new("a").unwrap(), columns(&[("code", ColumnType::Int64)])),
            (TableName::new("b").unwrap(), columns(&[("code", ColumnType::String)])),
        ]);
        let caps = field_caps(&tables, &["*"], &[]);
        assert_eq!(caps["indices"], json!(["a", "b"]));
        assert_eq!(caps["fields"]["code"]["long"]["indices"], json!(["a"]));
        assert_eq!(caps["fields"]["level"]["keyword"]["indices"], Value::Null);
        assert_eq!(caps["fields"]["message"]["text"]["aggregatable"], false);
        assert_eq!(caps["fields"]["message.keyword"]["keyword"]["aggregatable"], true);
        assert_eq!(caps["fields"]["_id"]["_id"]["metadata_field"], true);
        assert_eq!(
            field_caps(&tables, &["code"], &["long"])["fields"].as_object().unwrap().len(),
            1
        );
    }
}
