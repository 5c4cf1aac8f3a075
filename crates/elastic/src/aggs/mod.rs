//! Aggregations.

use datafusion::logical_expr::LogicalPlan;
use serde_json::{Value, json};

use crate::{Context, ElasticError, Fields, RunPlan};

/// The aggregations of a request.
#[derive(Clone, Debug)]
pub struct Aggs {}

/// # Errors
/// When one is none, or one that loglake does not have.
pub fn parse(_body: &Value) -> Result<Aggs, ElasticError> {
    Ok(Aggs {})
}

/// The answers, by name. `base` has the rows that the query matches, with the columns of the index.
///
/// # Errors
/// Those of the plans, and too many buckets.
pub async fn run(
    _aggs: &Aggs,
    _base: LogicalPlan,
    _fields: &Fields,
    _context: &Context,
    _run: &dyn RunPlan,
) -> Result<Value, ElasticError> {
    Ok(json!({}))
}
