//! The newest rows first: `ORDER BY timestamp DESC LIMIT n` in two steps.
//!
//! ```text
//! the keys of the n first rows ─▶ the rows with these keys
//! ```
//! The first step reads the columns that the filters and the order need, and no other. The second one
//! asks for the rows whose time is among those found: statistics leave older files and pages closed, and
//! of the other columns only what belongs to the answer is decoded. Both read the same version of the
//! table. Any column that is never null can be the key; of the lake's that is `timestamp` and `nanos`.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{ExprSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Sort, lit};

/// Of more rows the two steps would gain little over one.
const ROWS_MAX: usize = 1_000;

/// The last sort of a plan, if nothing but the choice of columns comes after it.
pub(crate) fn last_sort(plan: &LogicalPlan) -> Option<&Sort> {
    match plan {
        LogicalPlan::Sort(sort) => Some(sort),
        LogicalPlan::Projection(projection) => last_sort(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => last_sort(&alias.input),
        LogicalPlan::Limit(limit) => last_sort(&limit.input),
        LogicalPlan::Analyze(analyze) => last_sort(&analyze.input),
        _ => None,
    }
}

/// The last sort of an optimized plan, if it can be done in two steps.
pub(crate) fn sort_in(plan: &LogicalPlan) -> Option<&Sort> {
    last_sort(plan).filter(|sort| qualifies(sort))
}

fn qualifies(sort: &Sort) -> bool {
    let schema = sort.input.schema();
    let key = sort.expr.first().and_then(|key| match &key.expr {
        Expr::Column(column) => schema.field_from_column(column).ok(),
        _ => None,
    });
    sort.fetch.is_some_and(|rows| (1..=ROWS_MAX).contains(&rows))
        && key.is_some_and(|field| !field.is_nullable())
        && schema.fields().len() > 1
        && reads_one_table(&sort.input)
}

/// Whether a row of the plan is a row of one table, the same one when it is asked for again.
fn reads_one_table(plan: &LogicalPlan) -> bool {
    let same_again = |exprs: &[Expr]| !exprs.iter().any(Expr::is_volatile);
    match plan {
        LogicalPlan::TableScan(scan) => same_again(&scan.filters),
        LogicalPlan::Filter(filter) => {
            !filter.predicate.is_volatile() && reads_one_table(&filter.input)
        }
        LogicalPlan::Projection(projection) => {
            same_again(&projection.expr) && reads_one_table(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => reads_one_table(&alias.input),
        _ => false,
    }
}

/// The first step: the keys of the first rows, in order.
pub(crate) fn keys(sort: &Sort) -> Result<LogicalPlan> {
    let key = sort.expr[0].clone();
    LogicalPlanBuilder::from(sort.input.as_ref().clone())
        .project([key.expr.clone()])?
        .sort_with_limit([key], sort.fetch)?
        .build()
}

/// The second step: the plan over the rows that have one of the keys found.
pub(crate) fn with_keys(plan: LogicalPlan, keys: &[RecordBatch]) -> Result<LogicalPlan> {
    let (mut seen, mut distinct) = (HashSet::new(), vec![]);
    for batch in keys {
        for row in 0..batch.num_rows() {
            let key = ScalarValue::try_from_array(batch.column(0), row)?;
            if seen.insert(key.clone()) {
                distinct.push(key);
            }
        }
    }
    let narrowed = plan.transform_down(|node| match node {
        LogicalPlan::Sort(sort) => {
            let narrowed = narrow(sort, &distinct)?;
            Ok(Transformed::new(narrowed, true, TreeNodeRecursion::Stop))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(narrowed?.data)
}

fn narrow(sort: Sort, keys: &[ScalarValue]) -> Result<LogicalPlan> {
    let column = || sort.expr[0].expr.clone();
    let rows = match (keys.first(), keys.last()) {
        (Some(first), Some(last)) => {
            let (low, high) = if sort.expr[0].asc { (first, last) } else { (last, first) };
            // The range says to statistics what the list is too long for.
            let is_found = column().in_list(keys.iter().cloned().map(lit).collect(), false);
            column().between(lit(low.clone()), lit(high.clone())).and(is_found)
        }
        _ => lit(false),
    };
    let input = LogicalPlanBuilder::from(sort.input.as_ref().clone()).filter(rows)?.build()?;
    Ok(LogicalPlan::Sort(Sort { input: input.into(), ..sort }))
}
