//! What of fresh rows a scan needs, and leaving out the rest.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, Int32Array, RecordBatch};
use arrow::array::{RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::common::{DFSchema, internal_datafusion_err};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_plan::PhysicalExpr;
use loglake_model::{DATE, HOUR, NANOS, Partition, PartitionBy, TIMESTAMP};

use crate::QueryError;

/// The rows and columns that a scan needs; by default all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Columns of the rows by name; `None`: all of them.
    pub columns: Option<Vec<String>>,
    pub filter: Option<Filter>,
    /// Any so many of the rows that pass the filter do.
    pub limit: Option<usize>,
}

/// What holds for the rows wanted.
#[derive(Clone, Debug)]
pub struct Filter {
    /// All of these.
    pub all: Vec<Expr>,
    /// The columns that they name, as they are scanned.
    pub schema: SchemaRef,
    /// From which the partition columns among them follow.
    pub partition_by: PartitionBy,
}

impl Selection {
    /// For a scan of `projected` columns of `schema` with filters and a limit.
    pub(crate) fn of_scan(
        schema: &SchemaRef,
        projected: &SchemaRef,
        partition_by: PartitionBy,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Self {
        let mut columns: Vec<String> = vec![];
        for field in projected.fields() {
            let name = if is_partition(field) { TIMESTAMP } else { field.name() };
            if !columns.iter().any(|known| known == name) {
                columns.push(name.to_owned());
            }
        }
        if columns.is_empty() {
            // Rows are counted: by the narrowest column that every row has.
            columns.push(NANOS.to_owned());
        }
        Self { columns: Some(columns), filter: Filter::of(schema, partition_by, filters), limit }
    }
}

impl Filter {
    /// `None` when there is nothing that another process could evaluate to the same end.
    fn of(schema: &SchemaRef, partition_by: PartitionBy, filters: &[Expr]) -> Option<Self> {
        let all: Vec<Expr> = filters.iter().filter(|f| !f.is_volatile()).map(unqualified).collect();
        let named: HashSet<&str> =
            all.iter().flat_map(|f| f.column_refs()).map(|column| column.name.as_str()).collect();
        let fields = schema.fields().iter().filter(|field| named.contains(field.name().as_str()));
        let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<FieldRef>>()));
        drop(named);
        (!all.is_empty()).then_some(Self { all, schema, partition_by })
    }
}

/// The filter with its columns' names alone: the one who evaluates it knows one table.
fn unqualified(filter: &Expr) -> Expr {
    use datafusion::common::Column;
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let plain = filter.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    });
    plain.map_or_else(|_| filter.clone(), |plain| plain.data)
}

/// Leaves out what a selection does not need, batch by batch.
pub(crate) struct Selector {
    predicate: Option<(Arc<dyn PhysicalExpr>, SchemaRef, PartitionBy)>,
    columns: Option<Vec<String>>,
    left: Option<usize>,
}

impl Selector {
    /// A filter that cannot be evaluated here leaves nothing out.
    pub(crate) fn new(selection: Selection, state: &SessionState) -> Self {
        let predicate = selection.filter.and_then(|filter| {
            let columns = DFSchema::try_from(Arc::clone(&filter.schema)).ok()?;
            let all = conjunction(filter.all)?;
            let predicate = state.create_physical_expr(all, &columns);
            let predicate = predicate.inspect_err(|e| tracing::debug!("a filter is not used: {e}"));
            Some((predicate.ok()?, filter.schema, filter.partition_by))
        });
        // A limit counts rows that pass the filter: without the filter it says nothing.
        Self { predicate, columns: selection.columns, left: selection.limit }
    }

    /// What is left of a batch; `None` once nothing more is wanted.
    pub(crate) fn select(&mut self, batch: RecordBatch) -> Option<Result<RecordBatch>> {
        if self.left == Some(0) {
            return None;
        }
        let selected = self.matching(batch);
        let selected = match self.left {
            Some(left) => selected.slice(0, left.min(selected.num_rows())),
            None => selected,
        };
        self.left = self.left.map(|left| left - selected.num_rows());
        Some(self.projected(&selected))
    }

    /// The rows that pass the filter. When it fails on a value all rows stay: whoever asked applies
    /// it again and reports the failure.
    fn matching(&self, batch: RecordBatch) -> RecordBatch {
        let Some((predicate, schema, by)) = &self.predicate else { return batch };
        let matching = || -> Result<RecordBatch> {
            let columns = project(&batch, schema, *by)?;
            let holds = predicate.evaluate(&columns)?.into_array(batch.num_rows())?;
            let holds = holds
                .as_boolean_opt()
                .ok_or_else(|| internal_datafusion_err!("a filter that is not true or false"))?;
            Ok(filter_record_batch(&batch, holds)?)
        };
        matching().unwrap_or_else(|_| batch.clone())
    }

    fn projected(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let Some(columns) = &self.columns else { return Ok(batch.clone()) };
        let schema = batch.schema_ref();
        let wanted: Vec<usize> =
            columns.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        Ok(batch.project(&wanted)?)
    }
}

fn is_partition(field: &Field) -> bool {
    [DATE, HOUR].contains(&field.name().as_str())
}

/// A batch of fresh rows in the columns of a scan: absent ones are null, partition columns follow
/// from the timestamps.
pub(crate) fn project(
    batch: &RecordBatch,
    scanned: &SchemaRef,
    by: PartitionBy,
) -> Result<RecordBatch> {
    let in_batch: Vec<FieldRef> =
        scanned.fields().iter().filter(|field| !is_partition(field)).cloned().collect();
    let aligned =
        loglake_format::align(batch, &Arc::new(Schema::new(in_batch))).map_err(QueryError::from)?;
    let columns = scanned.fields().iter().map(|field| match aligned.column_by_name(field.name()) {
        Some(column) => Ok(Arc::clone(column)),
        None => partition_column(batch, field.name(), by),
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(scanned), columns, &options)?)
}

/// `date` or `hour` of fresh rows, from their timestamps.
fn partition_column(batch: &RecordBatch, name: &str, by: PartitionBy) -> Result<ArrayRef> {
    let timestamps: &TimestampMicrosecondArray = batch
        .column_by_name(TIMESTAMP)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| internal_datafusion_err!("fresh rows without timestamps in microseconds"))?;
    let partitions = timestamps.values().iter().map(|micros| Partition::of(*micros, by));
    Ok(match name {
        DATE => Arc::new(Date32Array::from_iter_values(partitions.map(|p| p.day))),
        _ => Arc::new(Int32Array::from_iter(partitions.map(|p| p.hour.map(i32::from)))),
    })
}
