//! `top_hits`: the first rows of each bucket, by a window over the buckets' keys.

use arrow::array::RecordBatch;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr, lit,
};
use loglake_model::TIMESTAMP;

use super::assemble::HitsWithin;
use super::keys::{Key, keys_of};
use super::level::Place;
use super::request::TopHits;
use crate::fields::col;
use crate::hits::{Index, sort_column};
use crate::{ElasticError, Fields};

type Result<T> = std::result::Result<T, ElasticError>;

/// Columns beside those of the index, which are not of a hit's source.
fn key_column(at: usize) -> String {
    format!("__key{at}")
}

const RANK: &str = "__rank";

/// The rows of all buckets at a place.
///
/// # Errors
/// When they cannot be sorted so.
pub(super) fn plan(top: &TopHits, place: &Place, fields: &Fields) -> Result<LogicalPlan> {
    let sorts = sorts(top, fields)?;
    let mut shown = top.options.columns(fields);
    for (at, key) in top.sort.0.iter().enumerate() {
        shown.push(key.value(fields, None)?.alias(sort_column(at)));
    }
    let mut plan = LogicalPlanBuilder::from(place.rows.clone());
    if let Some(filter) = conjunction(place.filters.iter().cloned()) {
        plan = plan.filter(filter)?;
    }
    if place.keys.is_empty() {
        let plan = plan.sort_with_limit(sorts, Some(top.from + top.size))?;
        return Ok(plan.limit(top.from, Some(top.size))?.project(shown)?.build()?);
    }
    let columns = fields.schema().fields().iter().map(|field| col(field.name()));
    let keys = place.keys.iter().enumerate();
    let keys = keys.map(|(at, key)| key.expr.clone().alias(key_column(at)));
    plan = plan.project(columns.chain(keys).collect::<Vec<Expr>>())?;
    for (at, _) in place.keys.iter().enumerate().filter(|(_, key)| key.is_list) {
        let column = datafusion::common::Column::new_unqualified(key_column(at));
        plan = plan.unnest_column(column)?.filter(col(&key_column(at)).is_not_null())?;
    }
    let keys: Vec<Expr> = (0..place.keys.len()).map(|at| col(&key_column(at))).collect();
    let rank = row_number().partition_by(keys.clone()).order_by(sorts).build()?.alias(RANK);
    let number = |count: usize| lit(u64::try_from(count).unwrap_or(u64::MAX));
    let wanted = col(RANK).gt(number(top.from)).and(col(RANK).lt_eq(number(top.from + top.size)));
    let plan = plan.window(vec![rank])?.filter(wanted)?;
    let plan = plan.sort(vec![col(RANK).sort(true, false)])?;
    Ok(plan.project(shown.into_iter().chain(keys))?.build()?)
}

/// Newest first when the request does not say.
fn sorts(top: &TopHits, fields: &Fields) -> Result<Vec<SortExpr>> {
    match top.sort.0.is_empty() {
        true => Ok(vec![fields.time(TIMESTAMP).sort(false, false)]),
        false => top.sort.exprs(fields),
    }
}

/// The hits of each bucket, in order.
///
/// # Errors
/// When the rows are not those of the plan.
pub(super) fn read(
    top: &TopHits,
    batches: &[RecordBatch],
    keys: usize,
    index: &Index,
) -> Result<HitsWithin> {
    let mut found = HitsWithin::new();
    for batch in batches {
        let columns = (0..keys).map(|at| match batch.column_by_name(&key_column(at)) {
            Some(column) => keys_of(column),
            None => Ok(vec![Key::Null; batch.num_rows()]),
        });
        let columns: Vec<Vec<Key>> = columns.collect::<Result<_>>()?;
        let hits = top.options.sorted_hits(std::slice::from_ref(batch), index, top.sort.0.len())?;
        for (row, hit) in hits.into_iter().enumerate() {
            let within = columns.iter().map(|column| column[row].clone()).collect();
            found.entry(within).or_default().push(hit);
        }
    }
    Ok(found)
}
