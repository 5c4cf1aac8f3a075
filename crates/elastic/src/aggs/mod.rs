//! Aggregations: from a request's `aggs` to the plans that compute them, and to their answers.
//!
//! ```text
//! aggs → [parse] Aggs → [tree] Node → [level] a plan a chain → [table] buckets → [assemble] answers
//! ```
//! Promises: what is not understood or not supported is refused by name; rows are grouped, counted
//! and cut off by plans, never here; the histogram with what is in its buckets is one plan; there are
//! never more buckets than the bound.

mod answer;
mod assemble;
mod body;
mod composite;
mod grouping;
mod histogram;
mod keys;
mod level;
mod metrics;
mod numbers;
mod parse;
mod pipeline;
mod ranges;
mod request;
mod run;
mod states;
mod table;
#[cfg(test)]
mod tests;
mod top_hits;
mod tree;
mod values;

use datafusion::logical_expr::LogicalPlan;
use serde_json::Value;

use self::assemble::Assembly;
use self::level::Place;
pub use self::parse::parse;
pub use self::request::Aggs;
use self::run::Runner;
use self::tree::Node;
use crate::{Context, ElasticError, Fields, RunPlan};

/// The answers, by name. `base` has the rows that the query matches, with the columns of the index.
///
/// # Errors
/// Those of the plans; a field of another type than an aggregation takes; too many buckets.
pub async fn run(
    aggs: &Aggs,
    base: LogicalPlan,
    fields: &Fields,
    context: &Context,
    run: &dyn RunPlan,
) -> Result<Value, ElasticError> {
    let whole = Node::whole(aggs, fields, context)?;
    let place = Place { rows: base, filters: vec![], keys: vec![] };
    let findings = Runner { fields, context, run }.findings(&whole, place).await?;
    let subs = Assembly::new(&findings, fields, context).whole(&whole)?;
    Ok(answer::json_of(&subs, context.typed_keys))
}
