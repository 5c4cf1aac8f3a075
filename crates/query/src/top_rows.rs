//! `ORDER BY … LIMIT n`: what the first n rows found so far say about the rows still to be read.
//!
//! A sort that keeps n rows tells its scan which keys can still get among them. DataFusion takes that
//! filter to be made of the keys of the order. In `ORDER BY a, concat(a, b)` one key is part of another:
//! where a file has its columns at other places, `a` is adapted to the file first, the second key is not
//! found any more, and its `b` is read from the wrong place. Made of columns alone, all parts are found.
//!
//! A scan that a sort takes its rows from is told which come first: it begins with the files that may have
//! them, and leaves others closed. DataFusion does not tell that through a union, which the scan of a table is
//! that has rows in memory beside files.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, lit};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, PhysicalExpr, ReplaceChildrenOptions,
};

/// To be gone through before the filters of sorts are handed to scans.
#[derive(Debug)]
pub(crate) struct FiltersOfColumns;

impl PhysicalOptimizerRule for FiltersOfColumns {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|node| match node.downcast_ref::<SortExec>() {
            Some(sort) if sort.fetch().is_some() && !is_by_columns(sort) => {
                let filter = Arc::new(DynamicFilterPhysicalExpr::new(columns(sort), lit(true)));
                let sort = sort.clone().with_dynamic_filter_expr(filter)?;
                Ok(Transformed::yes(Arc::new(sort) as Arc<dyn ExecutionPlan>))
            }
            _ => Ok(Transformed::no(node)),
        });
        Ok(replaced?.data)
    }

    fn name(&self) -> &str {
        "FiltersOfColumns"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Tells scans below a union which rows come first. To be gone through when filters are with the scans.
#[derive(Debug)]
pub(crate) struct OrderOfUnions;

impl PhysicalOptimizerRule for OrderOfUnions {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let told = plan.transform_up(|node| match of_union(&node) {
            Some((sort, union)) => {
                let inputs = union.inputs().iter().map(|input| in_order(input, sort));
                let union = UnionExec::try_new(inputs.collect::<Result<_>>()?)?;
                let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                Ok(Transformed::yes(Arc::clone(&node).replace_children(vec![union], options)?))
            }
            None => Ok(Transformed::no(node)),
        });
        Ok(told?.data)
    }

    fn name(&self) -> &str {
        "OrderOfUnions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The sort of first rows that a node is, and the union that it takes its rows from.
fn of_union(node: &Arc<dyn ExecutionPlan>) -> Option<(&SortExec, &UnionExec)> {
    let sort = node.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_some())?;
    Some((sort, sort.input().downcast_ref::<UnionExec>()?))
}

/// The input that knows which rows are wanted first, where it can.
fn in_order(input: &Arc<dyn ExecutionPlan>, sort: &SortExec) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(input.try_pushdown_sort(sort.expr())?.into_inner().unwrap_or_else(|| Arc::clone(input)))
}

fn is_by_columns(sort: &SortExec) -> bool {
    sort.expr().iter().all(|key| key.expr.downcast_ref::<Column>().is_some())
}

/// The columns that the keys of the order are made of.
fn columns(sort: &SortExec) -> Vec<Arc<dyn PhysicalExpr>> {
    let mut columns: Vec<Column> =
        sort.expr().iter().flat_map(|key| collect_columns(&key.expr)).collect();
    columns.sort_by_key(Column::index);
    columns.dedup();
    columns.into_iter().map(|column| Arc::new(column) as Arc<dyn PhysicalExpr>).collect()
}
