//! Values of JSON as results. `attributes->'user'` may be a number in one row and a text in the next:
//! a union in Arrow, which hardly any client and no file can take. So results have its JSON text, as
//! PostgreSQL's `json`; within a query it stays what it is.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion_functions_json::JSON_UNION_DATA_TYPE;
use datafusion_functions_json::functions::json_union_to_text;

use crate::QueryError;

/// The plan with its columns of JSON values as texts.
pub(crate) fn as_texts(plan: LogicalPlan) -> Result<LogicalPlan, QueryError> {
    if plan.schema().fields().iter().all(|field| *field.data_type() != *JSON_UNION_DATA_TYPE) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        match *field.data_type() == *JSON_UNION_DATA_TYPE {
            true => json_union_to_text(column).alias_qualified(qualifier.cloned(), field.name()),
            false => column,
        }
    });
    let columns: Vec<Expr> = columns.collect();
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}
