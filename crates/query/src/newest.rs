//! The newest rows first: `ORDER BY timestamp DESC LIMIT n`.
//!
//! Where nothing is asked for beside but a range of time, services and levels, a time since which there are n
//! such rows is found without a query, and added to the filters: by statistics of row groups ([`since`]), since
//! large files have a small one of their newest rows, or by the times of the rows alone ([`times`]).
//!
//! Otherwise in two steps:
//! ```text
//! the keys of the n first rows ─▶ the rows with these keys
//! ```
//! The first step reads the columns that the filters and the order need, and no other. The second one
//! asks for the rows whose time is among those found: statistics leave older files and pages closed, and
//! of the other columns only what belongs to the answer is decoded. Both read the same version of the
//! table. Any column that is never null can be the key; of the lake's that is `timestamp` and `nanos`.

pub(crate) mod times;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ExprSchema, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Sort, TableScan, lit};
use loglake_model::TIMESTAMP;

use crate::lake_table::LakeTable;

/// Of more rows the two steps would gain little over one.
const ROWS_MAX: usize = 1_000;

/// The last sort of a plan, if nothing but the choice of columns comes after it.
fn last_sort(plan: &LogicalPlan) -> Option<&Sort> {
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

/// Rows that are read and sorted at once, with all that is shown of them.
const READ_AT_ONCE_MAX: usize = 4 << 10;

/// Rows of a file or a part of one: when the oldest and the newest are of, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) oldest: i64,
    pub(crate) newest: i64,
    pub(crate) rows: usize,
    /// Whether all of these rows are wanted.
    pub(crate) is_sure: bool,
}

/// The latest time since which the parts have so many rows for sure; no part is newer than these.
pub(crate) fn since(parts: &[Part], wanted: usize) -> Option<i64> {
    let mut sure: Vec<&Part> = parts.iter().filter(|part| part.is_sure).collect();
    sure.sort_unstable_by_key(|part| std::cmp::Reverse(part.oldest));
    let mut rows = 0;
    let enough = sure.into_iter().find(|part| {
        rows += part.rows;
        rows >= wanted
    });
    Some(enough?.oldest)
}

/// Whether the rows since a time are few enough.
pub(crate) fn are_few(parts: &[Part], since: i64) -> bool {
    let read = parts.iter().filter(|part| part.newest >= since).map(|part| part.rows);
    read.sum::<usize>() <= READ_AT_ONCE_MAX
}

/// A time since which the table has enough rows for a sort by time, if it can be told without a query.
pub(crate) async fn time_of_first(
    state: &SessionState,
    sort: &Sort,
    bytes_min: u64,
) -> Result<Option<i64>> {
    let key = &sort.expr[0];
    let (Expr::Column(column), false, Some(rows)) = (&key.expr, key.asc, sort.fetch) else {
        return Ok(None);
    };
    let Some(scan) = scan_below(&sort.input, column) else { return Ok(None) };
    let provider = source_as_provider(&scan.source)?;
    match provider.downcast_ref::<LakeTable>() {
        Some(table) if table.bytes() >= bytes_min => {
            let filters = unnormalize_cols(scan.filters.iter().cloned());
            table.newest_since(state, rows, &filters).await
        }
        _ => Ok(None),
    }
}

/// The scan that a plan's rows are, all of them, if the column is its time.
fn scan_below<'a>(plan: &'a LogicalPlan, column: &Column) -> Option<&'a TableScan> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            (column.name == TIMESTAMP && scan.fetch.is_none()).then_some(scan)
        }
        LogicalPlan::SubqueryAlias(alias) => scan_below(&alias.input, column),
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.index_of_column(column).ok()?;
            let below = match &projection.expr[at] {
                Expr::Alias(alias) => alias.expr.as_ref(),
                expr => expr,
            };
            match below {
                Expr::Column(below) => scan_below(&projection.input, below),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The plan over the rows since a time.
pub(crate) fn with_time(plan: LogicalPlan, since: i64) -> Result<LogicalPlan> {
    with_filter(plan, |key| {
        let zone = Some(Arc::from("UTC"));
        Ok(key.gt_eq(lit(ScalarValue::TimestampMicrosecond(Some(since), zone))))
    })
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
    let (first, last) = (distinct.first().cloned(), distinct.last().cloned());
    with_filter(plan, |key| {
        let (Some(first), Some(last)) = (&first, &last) else { return Ok(lit(false)) };
        let (low, high) = if first < last { (first, last) } else { (last, first) };
        // The range says to statistics what the list is too long for.
        let is_found = key.clone().in_list(distinct.iter().cloned().map(lit).collect(), false);
        Ok(key.between(lit(low.clone()), lit(high.clone())).and(is_found))
    })
}

/// The plan with a filter below its last sort, made of the sort's first key.
fn with_filter(plan: LogicalPlan, filter: impl Fn(Expr) -> Result<Expr>) -> Result<LogicalPlan> {
    let narrowed = plan.transform_down(|node| match node {
        LogicalPlan::Sort(sort) => {
            let input = LogicalPlanBuilder::from(sort.input.as_ref().clone());
            let input = input.filter(filter(sort.expr[0].expr.clone())?)?.build()?;
            let narrowed = LogicalPlan::Sort(Sort { input: input.into(), ..sort });
            Ok(Transformed::new(narrowed, true, TreeNodeRecursion::Stop))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(narrowed?.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(oldest: i64, newest: i64, rows: usize, is_sure: bool) -> Part {
        Part { oldest, newest, rows, is_sure }
    }

    #[test]
    fn rows_that_are_wanted_for_sure_are_counted_from_the_newest_part_on() {
        let parts = [part(0, 50, 100, true), part(51, 60, 10, true), part(40, 58, 5, true)];
        assert_eq!(since(&parts, 10), Some(51));
        assert_eq!(since(&parts, 11), Some(40));
        assert_eq!(since(&parts, 16), Some(0));
        assert_eq!(since(&parts, 116), None);
        let unsure = [part(0, 50, 100, true), part(51, 60, 10, false)];
        assert_eq!(since(&unsure, 1), Some(0));
    }

    #[test]
    fn all_rows_that_may_be_since_a_time_are_read() {
        let parts = [part(0, 50, READ_AT_ONCE_MAX, true), part(51, 60, 10, false)];
        assert!(are_few(&parts, 51));
        assert!(!are_few(&parts, 50));
    }
}
