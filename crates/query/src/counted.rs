//! `count(*)` of a whole table: the log tells it, without a look at the optimizer's rules and files.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, TableScan};
use datafusion::physical_plan::ExecutionPlan;

use crate::QueryError;
use crate::lake_table::LakeTable;

/// The plan of the answer, where a plan that was not optimized asks how many rows a table has and nothing else.
///
/// # Errors
/// When the table's fresh rows cannot be had.
pub(crate) async fn answer(
    plan: &LogicalPlan,
) -> Result<Option<Arc<dyn ExecutionPlan>>, QueryError> {
    let Some(scan) = counted_scan(plan) else { return Ok(None) };
    let provider = source_as_provider(&scan.source)?;
    let Some(table) = provider.downcast_ref::<LakeTable>() else { return Ok(None) };
    let count = i64::try_from(table.row_count().await?).unwrap_or(i64::MAX);
    Ok(Some(one_row(plan.schema().inner(), count)?))
}

/// The scan of a plan whose every column is the number of its rows.
fn counted_scan(plan: &LogicalPlan) -> Option<&TableScan> {
    let aggregate = match plan {
        LogicalPlan::Projection(projection) => {
            let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref() else { return None };
            // An aggregate without groups has counts alone, so that any of its columns is one.
            let is_column = |expr: &Expr| matches!(unnamed(expr), Expr::Column(_));
            projection.expr.iter().all(is_column).then_some(aggregate)?
        }
        LogicalPlan::Aggregate(aggregate) => aggregate,
        _ => return None,
    };
    let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
    let mut input = input.as_ref();
    while let LogicalPlan::SubqueryAlias(renamed) = input {
        input = &renamed.input;
    }
    match input {
        LogicalPlan::TableScan(scan)
            if group_expr.is_empty()
                && aggr_expr.iter().all(is_count_of_rows)
                && scan.filters.is_empty()
                && scan.fetch.is_none() =>
        {
            Some(scan)
        }
        _ => None,
    }
}

fn is_count_of_rows(expr: &Expr) -> bool {
    let Expr::AggregateFunction(function) = unnamed(expr) else { return false };
    let asked = &function.params;
    let is_value = |arg: &Expr| matches!(arg, Expr::Literal(value, _) if !value.is_null());
    function.func.name() == "count"
        && !asked.args.is_empty()
        && asked.args.iter().all(is_value)
        && !asked.distinct
        && asked.filter.is_none()
}

fn unnamed(mut expr: &Expr) -> &Expr {
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    expr
}

fn one_row(schema: &SchemaRef, value: i64) -> Result<Arc<dyn ExecutionPlan>> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
    let columns = vec![column; schema.fields().len()];
    let row = RecordBatch::try_new(Arc::clone(schema), columns)?;
    let scan = MemorySourceConfig::try_new_exec(&[vec![row]], Arc::clone(schema), None)?;
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::{MemTable, provider_as_source};
    use datafusion::execution::SessionState;
    use datafusion::functions_aggregate::count::count_all;
    use datafusion::logical_expr::LogicalPlanBuilder;
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn plan(state: &SessionState, sql: &str) -> LogicalPlan {
        state.create_logical_plan(sql).await.unwrap()
    }

    #[tokio::test]
    async fn plans_that_only_count_a_table_are_told_from_others() {
        let context = SessionContext::new();
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let table = Arc::new(MemTable::try_new(schema, vec![vec![]]).unwrap());
        context.register_table("t", Arc::clone(&table) as _).unwrap();
        let state = context.state();
        for sql in [
            "select count(*) from t",
            "select count(*) as rows from t",
            "select count(1), count(*) as n from t",
            "select count(*) from t as of_that_name",
        ] {
            assert!(counted_scan(&plan(&state, sql).await).is_some(), "{sql}");
        }
        for sql in [
            "select count(n) from t",
            "select count(null) from t",
            "select count(distinct 1) from t",
            "select count(*) filter (where n > 1) from t",
            "select count(*) from t where n > 1",
            "select count(*) from t group by n",
            "select count(*) from t limit 0",
            "select count(*) from t having count(*) > 1",
            "select count(*) + 1 from t",
            "select count(*), max(n) from t",
            "select count(*) from (select * from t limit 1)",
            "select count(*) from t a, t b",
            "select sum(1) from t",
        ] {
            assert!(counted_scan(&plan(&state, sql).await).is_none(), "{sql}");
        }
        let built = LogicalPlanBuilder::scan("t", provider_as_source(table), None).unwrap();
        let counted = built.aggregate(Vec::<Expr>::new(), vec![count_all()]);
        assert!(counted_scan(&counted.unwrap().build().unwrap()).is_some());
    }
}
