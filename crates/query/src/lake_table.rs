//! A table of the lake as DataFusion sees it: data files of one version, and its fresh rows.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use loglake_model::TableSchema;
use loglake_table::{DataFile, Snapshot, Table};
use object_store::path::Path;

use crate::files::{FileToRead, Pruned, ToRead};
use crate::fresh::{Selection, selection};
use crate::partial::Leave;
use crate::runs::RunFilter;
use crate::snapshot::{BoundRows, BoundTable};
use crate::token_index::{Asked, IndexedFile, Left, TokenIndexes};
use crate::{files, prune, search};

/// One table, bound to one version for one query.
pub(crate) struct LakeTable {
    root: Path,
    version: Arc<Snapshot>,
    /// The acknowledged rows that are not in the version's files; `None` for the columns alone.
    fresh: Option<BoundRows>,
    /// What the query may do without.
    leave: Arc<Leave>,
    indexes: Arc<TokenIndexes>,
    /// What is scanned: the columns of files, strings as views, then the partition columns.
    schema: SchemaRef,
}

impl LakeTable {
    pub(crate) fn new(bound: BoundTable, indexes: Arc<TokenIndexes>) -> Self {
        let BoundTable { table, version, fresh, leave } = bound;
        let schema = scan_schema(version.schema());
        Self { root: table.root().clone(), version, fresh: Some(fresh), leave, indexes, schema }
    }

    /// For its columns alone: what `information_schema` and metadata calls show.
    pub(crate) fn shape(table: &Table, version: Arc<Snapshot>, indexes: Arc<TokenIndexes>) -> Self {
        let schema = scan_schema(version.schema());
        let (root, leave) = (table.root().clone(), Arc::default());
        Self { root, version, fresh: None, leave, indexes, schema }
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

    /// What is left of the version's files by what the log, then by what their indexes say of them.
    async fn files_to_read(&self, state: &dyn Session, filters: &[Expr]) -> Result<ToRead> {
        let is_wanted = |file: &&Arc<DataFile>| {
            let location: Path = self.root.parts().chain(file.path.parts()).collect();
            !self.leave.leaves_out(location.as_ref())
        };
        let all: Vec<Arc<DataFile>> = self.version.files().filter(is_wanted).cloned().collect();
        let mut pruned = Pruned { files_of_table: all.len(), ..Pruned::default() };
        let mut files = prune::prune(all, self.predicate(state, filters)?, &self.schema);
        pruned.files_by_statistics = pruned.files_of_table - files.len();
        // Logs are mostly asked for newest first, and a limit then stops the scan early.
        files.sort_by_key(|file| std::cmp::Reverse(prune::newest_micros(file)));

        let search = search::of_filters(filters);
        let asked = Asked { search, runs: RunFilter::of_filters(state, filters)? };
        if asked.is_nothing() {
            let files = files.into_iter().map(|file| FileToRead { file, rows: None }).collect();
            return Ok(ToRead { files, pruned });
        }
        let indexed = files.iter().map(|file| IndexedFile {
            object: files::object_meta(&self.root, file),
            words: file.words.clone(),
            is_own: file.checksum.is_some(),
        });
        let left = self.indexes.narrow(indexed.collect(), &asked).await?;
        let mut to_read = vec![];
        for (file, left) in files.into_iter().zip(left) {
            match left {
                Left::Nothing => {
                    pruned.files_by_index += 1;
                    pruned.rows_by_index += file.rows as usize;
                }
                Left::Everything => to_read.push(FileToRead { file, rows: None }),
                Left::Rows(rows) => {
                    pruned.rows_by_index += rows.skipped_row_count();
                    to_read.push(FileToRead { file, rows: Some(rows) });
                }
            }
        }
        Ok(ToRead { files: to_read, pruned })
    }

    /// The plan over fresh rows; `None` when there are none.
    async fn scan_fresh(
        &self,
        selection: Selection,
        projected: &SchemaRef,
        partitions: usize,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(fresh) = &self.fresh else { return Ok(None) };
        let batches = fresh.select(&self.version, &selection).await?;
        if batches.is_empty() {
            return Ok(None);
        }
        let by = self.version.schema().partition_by();
        let mut parts = vec![vec![]; partitions.clamp(1, batches.len())];
        let count = parts.len();
        for (at, batch) in batches.iter().enumerate() {
            parts[at % count].push(selection::project(batch, projected, by)?);
        }
        let scan = MemorySourceConfig::try_new_exec(&parts, Arc::clone(projected), None)?;
        Ok(Some(scan))
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
        let to_read = self.files_to_read(state, filters).await?;

        let mut inputs = vec![];
        let partitions = state.config().target_partitions();
        let by = self.version.schema().partition_by();
        let selection = Selection::of_scan(&self.schema, &projected, by, filters, limit);
        inputs.extend(self.scan_fresh(selection, &projected, partitions).await?);
        if !to_read.files.is_empty() {
            let lookups = self.indexes.lookups();
            inputs.push(files::scan(state, &self.root, lookups, to_read, &projected, limit)?);
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
