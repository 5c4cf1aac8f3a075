//! A table of the lake as DataFusion sees it: data files of one version, and its fresh rows.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int32Array, RecordBatch, RecordBatchOptions};
use arrow::array::{AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, internal_datafusion_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use loglake_model::{DATE, HOUR, Partition, PartitionBy, TIMESTAMP, TableSchema};
use loglake_table::{DataFile, Snapshot, Table};
use object_store::path::Path;

use crate::snapshot::BoundTable;
use crate::{QueryError, files, prune};

/// One table, bound to one version for one query.
pub(crate) struct LakeTable {
    root: Path,
    version: Arc<Snapshot>,
    /// The acknowledged rows that are not in the version's files.
    fresh: Vec<RecordBatch>,
    /// What is scanned: the columns of files, strings as views, then the partition columns.
    schema: SchemaRef,
    _memory: Option<MemoryReservation>,
}

impl LakeTable {
    pub(crate) fn new(bound: BoundTable) -> Self {
        let BoundTable { table, version, fresh, memory } = bound;
        let schema = scan_schema(version.schema());
        Self { root: table.root().clone(), version, fresh, schema, _memory: Some(memory) }
    }

    /// For its columns alone: what `information_schema` and metadata calls show.
    pub(crate) fn shape(table: &Table, version: Arc<Snapshot>) -> Self {
        let schema = scan_schema(version.schema());
        Self { root: table.root().clone(), version, fresh: vec![], schema, _memory: None }
    }

    fn predicate(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(None) };
        let columns = DFSchema::try_from(Arc::clone(&self.schema))?;
        state.create_physical_expr(filter, &columns).map(Some)
    }

    fn scan_fresh(
        &self,
        projected: &SchemaRef,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut parts = vec![vec![]; partitions.clamp(1, self.fresh.len().max(1))];
        let count = parts.len();
        for (at, batch) in self.fresh.iter().enumerate() {
            let by = self.version.schema().partition_by();
            parts[at % count].push(project_fresh(batch, projected, by)?);
        }
        Ok(MemorySourceConfig::try_new_exec(&parts, Arc::clone(projected), None)?)
    }
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.version();
        f.debug_struct("LakeTable").field("root", &self.root).field("version", &version).finish()
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Every filter serves to skip files, row groups and pages; DataFusion applies it to the rows.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projected = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        // A limit counts rows before the filter, so it says something only where there is none.
        let limit = limit.filter(|_| filters.is_empty());
        let files: Vec<Arc<DataFile>> = self.version.files().cloned().collect();
        let files = prune::prune(files, self.predicate(state, filters)?, &self.schema);

        let mut inputs = vec![];
        if !self.fresh.is_empty() {
            inputs.push(self.scan_fresh(&projected, state.config().target_partitions())?);
        }
        if !files.is_empty() {
            inputs.push(files::scan(state, &self.root, files, &projected, limit)?);
        }
        match inputs.len() {
            0 => Ok(Arc::new(EmptyExec::new(projected))),
            _ => UnionExec::try_new(inputs),
        }
    }
}

/// The columns of a table as they are scanned. Strings are views: that is how the Parquet reader
/// is quickest. The metadata of fields stays.
fn scan_schema(schema: &TableSchema) -> SchemaRef {
    let in_files = schema.file_schema();
    let viewed = in_files.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => Arc::clone(field),
    });
    let partition = schema.partition_fields().into_iter().map(Arc::new);
    Arc::new(Schema::new(viewed.chain(partition).collect::<Vec<FieldRef>>()))
}

/// A batch of fresh rows in the columns of a scan.
fn project_fresh(
    batch: &RecordBatch,
    projected: &SchemaRef,
    by: PartitionBy,
) -> Result<RecordBatch> {
    let is_partition = |field: &Field| [DATE, HOUR].contains(&field.name().as_str());
    let in_batch: Vec<FieldRef> =
        projected.fields().iter().filter(|field| !is_partition(field)).cloned().collect();
    let aligned =
        loglake_format::align(batch, &Arc::new(Schema::new(in_batch))).map_err(QueryError::from)?;
    let columns =
        projected.fields().iter().map(|field| match aligned.column_by_name(field.name()) {
            Some(column) => Ok(Arc::clone(column)),
            None => partition_column(batch, field.name(), by),
        });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(projected), columns, &options)?)
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
