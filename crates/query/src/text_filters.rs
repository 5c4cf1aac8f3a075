//! Filters of one text, asked together.
//!
//! The Parquet reader decodes a column once for each filter that stands alone, and long texts take most of a scan's
//! time. Those of one text that no statistics can answer become one, so that its texts are decoded once:
//!
//! ```text
//! message LIKE '%a%' AND message LIKE '%b%'  ─▶  CASE WHEN message LIKE '%a%' THEN message LIKE '%b%' ELSE false END
//! ```
//! As with `AND`, the second is asked of the rows for which the first holds.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::{Column, case, lit};
use datafusion::physical_expr::utils::{collect_columns, conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

type Filter = Arc<dyn PhysicalExpr>;

/// To be gone through when filters are in their scans.
#[derive(Debug)]
pub(crate) struct TextFilters;

impl PhysicalOptimizerRule for TextFilters {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|node| match of_scan(&node)? {
            Some(scan) => Ok(Transformed::yes(scan)),
            None => Ok(Transformed::no(node)),
        });
        Ok(replaced?.data)
    }

    fn name(&self) -> &str {
        "TextFilters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan with fewer filters; `None` where it has none to join.
fn of_scan(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let scan = node.downcast_ref::<DataSourceExec>();
    let parquet = scan.and_then(DataSourceExec::downcast_to_file_source::<ParquetSource>);
    let Some((config, source)) = parquet else { return Ok(None) };
    let columns = config.file_source().table_schema().table_schema();
    let Some(filter) = source.filter() else { return Ok(None) };
    let Some(joined) = joined(&filter, columns)? else { return Ok(None) };
    let source = Arc::new(source.with_predicate(joined));
    let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// The filter with its parts of one text in one; `None` where no text has two.
fn joined(filter: &Filter, columns: &SchemaRef) -> Result<Option<Filter>> {
    let parts = split_conjunction(filter);
    let texts: Vec<_> = parts.iter().map(|part| text_of(part, columns)).collect();
    let mut left: Vec<Filter> = vec![];
    for (at, part) in parts.iter().enumerate() {
        let is_mine = |other: &usize| texts[at].is_some() && texts[*other] == texts[at];
        if (0..at).any(|before| is_mine(&before)) {
            continue;
        }
        let later = (at + 1..parts.len()).filter(is_mine).map(|other| parts[other]);
        left.push(one_after_the_other(part, &later.collect::<Vec<_>>())?);
    }
    Ok((left.len() < parts.len()).then(|| conjunction(left)))
}

/// The one column that a filter asks of, where it is a text and statistics say nothing of the filter.
fn text_of(filter: &Filter, columns: &SchemaRef) -> Option<Column> {
    let mut asked = collect_columns(filter).into_iter();
    let (Some(column), None) = (asked.next(), asked.next()) else { return None };
    if !columns.field_with_name(column.name()).ok()?.data_type().is_string() {
        return None;
    }
    let by_statistics = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(columns))
        .try_build(Arc::clone(filter));
    match by_statistics {
        Ok(predicate) if predicate.always_true() => Some(column),
        _ => None,
    }
}

fn one_after_the_other(first: &Filter, later: &[&Filter]) -> Result<Filter> {
    let Some((next, rest)) = later.split_first() else { return Ok(Arc::clone(first)) };
    let then = one_after_the_other(next, rest)?;
    case(None, vec![(Arc::clone(first), then)], Some(lit(false)))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{binary, col, like};

    use super::*;

    fn columns() -> SchemaRef {
        let field = |name, kind| Field::new(name, kind, true);
        let texts = ["message", "host"].map(|name| field(name, DataType::Utf8View));
        Arc::new(Schema::new(
            texts.into_iter().chain([field("n", DataType::Int64)]).collect::<Vec<_>>(),
        ))
    }

    fn has(column: &str, letters: &str) -> Filter {
        let pattern = lit(ScalarValue::Utf8View(Some(format!("%{letters}%"))));
        like(false, false, col(column, &columns()).unwrap(), pattern, &columns()).unwrap()
    }

    fn compared(column: &str, op: Operator, value: ScalarValue) -> Filter {
        binary(col(column, &columns()).unwrap(), op, lit(value), &columns()).unwrap()
    }

    #[test]
    fn filters_of_one_text_become_one() {
        let (a, b, c) = (has("message", "a"), has("message", "b"), has("message", "c"));
        let number = compared("n", Operator::Gt, ScalarValue::Int64(Some(1)));
        let all = [&a, &number, &b, &c].map(Arc::clone);
        let joined = joined(&conjunction(all), &columns()).unwrap().unwrap();
        assert_eq!(
            joined.to_string(),
            format!(
                "CASE WHEN {a} THEN CASE WHEN {b} THEN {c} ELSE false END ELSE false END AND {number}"
            )
        );
    }

    #[test]
    fn what_statistics_answer_stays_alone() {
        let view = |text: &str| ScalarValue::Utf8View(Some(text.to_owned()));
        let range = [(Operator::GtEq, "a"), (Operator::Lt, "b")];
        let [from, to] = range.map(|(op, text)| compared("host", op, view(text)));
        let numbers =
            [Operator::Gt, Operator::Lt].map(|op| compared("n", op, ScalarValue::Int64(Some(1))));
        let of_two = compared("host", Operator::NotEq, view("a"));
        for filters in [
            vec![from, to],
            numbers.to_vec(),
            vec![has("message", "a"), has("host", "a")],
            vec![has("message", "a"), of_two],
        ] {
            assert!(joined(&conjunction(filters), &columns()).unwrap().is_none());
        }
    }
}
