//! Filters on `service` and `level` alone, asked of the runs of a file: which rows it is about, exactly.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::Session;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::physical_plan::PhysicalExpr;
use loglake_format::index::{Rows, Run};
use loglake_model::{LEVEL, SERVICE};

/// What the filters of a query say of `service` and `level` and of nothing else.
#[derive(Clone, Debug)]
pub(crate) struct RunFilter {
    predicate: Arc<dyn PhysicalExpr>,
    schema: Arc<Schema>,
}

impl RunFilter {
    /// `None` where the filters say nothing of them.
    pub(crate) fn of_filters(state: &dyn Session, filters: &[Expr]) -> Result<Option<Self>> {
        let parts = filters.iter().flat_map(split_conjunction);
        let Some(filter) = conjunction(parts.filter(|part| is_of_runs(part)).cloned()) else {
            return Ok(None);
        };
        let column = |name| Field::new(name, DataType::Utf8View, true);
        let schema = Arc::new(Schema::new(vec![column(SERVICE), column(LEVEL)]));
        let columns = DFSchema::try_from(Arc::clone(&schema))?;
        let predicate = state.create_physical_expr(filter, &columns)?;
        Ok(Some(Self { predicate, schema }))
    }

    /// The rows of a file for which it is true.
    pub(crate) fn rows(&self, runs: &[Run]) -> Result<Rows> {
        let texts = |text: fn(&Run) -> Option<&str>| -> ArrayRef {
            Arc::new(runs.iter().map(text).collect::<StringViewArray>())
        };
        let columns = vec![texts(|run| run.0.as_deref()), texts(|run| run.1.as_deref())];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let holds = self.predicate.evaluate(&batch)?.into_array(runs.len())?;
        Ok(rows_of(runs, holds.as_boolean()))
    }
}

/// Whether a filter is about nothing but `service` and `level`.
pub(crate) fn is_of_runs(filter: &Expr) -> bool {
    let columns: HashSet<&str> =
        filter.column_refs().into_iter().map(|column| column.name()).collect();
    !columns.is_empty()
        && columns.iter().all(|name| [SERVICE, LEVEL].contains(name))
        && !filter.is_volatile()
}

fn rows_of(runs: &[Run], holds: &BooleanArray) -> Rows {
    let mut end = 0;
    let ranges: Vec<Range<usize>> = runs
        .iter()
        .map(|run| {
            let start = end;
            end += run.2 as usize;
            start..end
        })
        .collect();
    let wanted = ranges.into_iter().zip(holds).filter(|(_, holds)| *holds == Some(true));
    wanted.map(|(rows, _)| rows).collect()
}
