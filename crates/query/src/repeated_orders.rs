//! `first_value(a ORDER BY n, n)`, `SELECT DISTINCT ON (n) … ORDER BY n, n`: what rows are already ordered by
//! changes nothing, and DataFusion's functions by group panic at it.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Takes out of the orders of aggregate functions what is there before.
#[derive(Debug)]
pub(crate) struct RepeatedOrders;

impl OptimizerRule for RepeatedOrders {
    fn name(&self) -> &'static str {
        "repeated_orders"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Aggregate(_)) {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(without_repeats)?.update_data(|expr| name.restore(expr)))
        })
    }
}

fn without_repeats(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::AggregateFunction(mut function) = expr else { return Ok(Transformed::no(expr)) };
    let before = function.params.order_by.len();
    let mut seen = HashSet::new();
    function.params.order_by.retain(|sort| seen.insert(sort.expr.clone()));
    let is_shorter = function.params.order_by.len() < before;
    Ok(Transformed::new_transformed(Expr::AggregateFunction(function), is_shorter))
}
