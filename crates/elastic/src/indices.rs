//! Which tables an index expression names, and what mappings say of them.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use loglake_model::TableName;
use serde_json::{Value, json};

use crate::ElasticError;

/// `ignore_unavailable` and `allow_no_indices` of a request.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    pub ignore_unavailable: bool,
    pub allow_no_indices: bool,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { ignore_unavailable: false, allow_no_indices: true }
    }
}

/// The tables that an expression names: `logs`, `a,b`, `log*`, `*,-audit*`, `_all`, `<logs-{now/d}>`.
/// Empty when patterns match nothing and that is allowed.
///
/// # Errors
/// `index_not_found_exception` for a name that is no table.
pub fn resolve(
    _expression: &str,
    tables: &BTreeSet<TableName>,
    _options: IndexOptions,
    _now_nanos: i64,
) -> Result<Vec<TableName>, ElasticError> {
    Ok(tables.iter().cloned().collect())
}

/// `mappings` of an index with these columns: `{"properties": {…}}`.
pub fn mapping(_columns: &SchemaRef) -> Value {
    json!({ "properties": {} })
}

/// The answer of `_field_caps` (`indices`, `fields`) for tables with these columns. `fields` are names
/// and patterns.
pub fn field_caps(_tables: &[(String, SchemaRef)], _fields: &[String]) -> Value {
    json!({ "indices": [], "fields": {} })
}
