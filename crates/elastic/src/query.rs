//! Elasticsearch's query DSL: parsed, and as a filter over the fields of an index.

use datafusion::logical_expr::{Expr, lit};
use serde_json::Value;

use crate::{ElasticError, Fields};

/// A query that was understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    MatchAll,
    MatchNone,
}

/// # Errors
/// When the query is none, or one that loglake does not have.
pub fn parse(_body: &Value) -> Result<Query, ElasticError> {
    Ok(Query::MatchAll)
}

/// The rows that match. `now_nanos` is what `now` in dates means.
///
/// # Errors
/// When a value does not suit its field.
pub fn filter(query: &Query, _fields: &Fields, _now_nanos: i64) -> Result<Expr, ElasticError> {
    Ok(match query {
        Query::MatchAll => lit(true),
        Query::MatchNone => lit(false),
    })
}
