//! A table of the lake as DataFusion sees it: data files of one version, and its fresh rows.

use std::collections::BTreeSet;
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
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use futures::future::try_join_all;
use loglake_model::TableSchema;
use loglake_table::{DataFile, Snapshot, Table};
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::certain::Certain;
use crate::files::{FileToRead, Pruned, ScanOptions, ToRead};
use crate::fresh::{Selection, selection};
use crate::newest::times::{self, RowGroup};
use crate::newest::{self, Part};
use crate::partial::Leave;
use crate::runs::RunFilter;
use crate::snapshot::{BoundRows, BoundTable};
use crate::sparse::is_of_some_times;
use crate::spread::rows;
use crate::token_index::{Asked, IndexedFile, TokenIndexes};
use crate::{QueryError, certain, files, prune, search};

/// Files whose row groups are asked how new they are.
const OPENED_FOR_NEWEST_MAX: usize = 64;

/// Rows whose times are looked through in one go. Of more, a query does it with all cores.
const TIMES_READ_MAX: usize = 256 << 10;

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

    /// Bytes of the version's data files.
    pub(crate) fn bytes(&self) -> u64 {
        self.version.files().map(|file| file.bytes).sum()
    }

    /// The version's files, but for those that the query does without.
    fn files(&self) -> Vec<Arc<DataFile>> {
        let is_wanted = |file: &&Arc<DataFile>| {
            let location: Path = self.root.parts().chain(file.path.parts()).collect();
            !self.leave.leaves_out(location.as_ref())
        };
        self.version.files().filter(is_wanted).cloned().collect()
    }

    /// The number of its rows, which the log tells of files.
    pub(crate) async fn row_count(&self) -> std::result::Result<u64, QueryError> {
        let in_files: u64 = self.files().iter().map(|file| file.rows).sum();
        let Some(fresh) = &self.fresh else { return Ok(in_files) };
        let by = self.version.schema().partition_by();
        let nothing = Arc::new(Schema::empty());
        let selection = Selection::of_scan(&self.schema, &nothing, by, &[], None);
        let batches = fresh.select(&self.version, &selection).await?;
        Ok(in_files + batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>())
    }

    /// A time in microseconds since which there are so many rows for which the filters hold, and not many
    /// more; `None` where filters ask for more than times, services and levels, or files do not tell.
    pub(crate) async fn newest_since(
        &self,
        state: &dyn Session,
        rows: usize,
        filters: &[Expr],
    ) -> Result<Option<i64>> {
        let certain = Certain::of(filters, &self.schema);
        if !certain.is_by_time_and_runs(filters) {
            return Ok(None);
        }
        let runs = RunFilter::of_filters(state, filters)?;
        let mut files = prune::prune(self.files(), self.predicate(state, filters)?, &self.schema);
        files.sort_by_key(|file| std::cmp::Reverse(prune::newest_micros(file)));
        let (mut opened, mut parts, mut since) = (vec![], vec![], None);
        let (mut rest, mut at_once) = (files.as_slice(), 1);
        while let Some(next) = rest.first()
            && since.is_none_or(|since| prune::newest_micros(next) >= since)
        {
            // Mostly the first one tells. Where it does not, a store answers many as quickly as one.
            let (files, later) = rest.split_at(at_once.min(rest.len()));
            let is_foreign = |file: &Arc<DataFile>| file.checksum.is_none();
            if opened.len() + files.len() > OPENED_FOR_NEWEST_MAX || files.iter().any(is_foreign) {
                return Ok(None);
            }
            let groups = files.iter().map(|file| self.row_groups(file, runs.as_ref()));
            let Some(groups) = try_join_all(groups).await?.into_iter().collect::<Option<Vec<_>>>()
            else {
                return Ok(None);
            };
            parts.extend(groups.iter().flatten().map(|group| Part {
                oldest: group.oldest,
                newest: group.newest,
                rows: group.wanted.len(),
                is_sure: certain.holds_between(group.oldest, group.newest),
            }));
            opened.extend(files.iter().zip(groups));
            since = newest::since(&parts, rows);
            (rest, at_once) = (later, 2 * at_once);
        }
        match since {
            Some(since) if newest::are_few(&parts, since) => Ok(Some(since)),
            _ => self.newest_by_times(rows, &opened, since, &certain).await,
        }
    }

    /// The same by the times of the rows: of those that may be as new as `since`.
    async fn newest_by_times(
        &self,
        rows: usize,
        opened: &[(&Arc<DataFile>, Vec<RowGroup>)],
        since: Option<i64>,
        certain: &Certain,
    ) -> Result<Option<i64>> {
        let is_asked = |group: &&RowGroup| {
            !group.wanted.is_empty() && since.is_none_or(|since| group.newest >= since)
        };
        let all = opened.iter().flat_map(|(_, groups)| groups);
        if all.filter(is_asked).map(|group| group.wanted.len()).sum::<usize>() > TIMES_READ_MAX {
            return Ok(None);
        }
        let times = opened.iter().map(async |(file, groups)| {
            let groups: Vec<&RowGroup> = groups.iter().filter(is_asked).collect();
            if groups.is_empty() {
                return Ok(vec![]);
            }
            let object = files::object_meta(&self.root, file);
            let times = times::times(&self.indexes, &object, &groups).await;
            times.map_err(|error| of_file(&object, error))
        });
        let mut found = try_join_all(times).await?.concat();
        found.retain(|time| certain.holds_between(*time, *time));
        let Some(last) = rows.min(found.len()).checked_sub(1) else { return Ok(None) };
        Ok(Some(*found.select_nth_unstable_by(last, |a, b| b.cmp(a)).1))
    }

    async fn row_groups(
        &self,
        file: &DataFile,
        runs: Option<&RunFilter>,
    ) -> Result<Option<Vec<RowGroup>>> {
        let object = files::object_meta(&self.root, file);
        let groups = times::row_groups(&self.indexes, &object, runs).await;
        Ok(groups.map_err(|error| of_file(&object, error))?)
    }

    /// What is left of the version's files by what the log, then by what their indexes say of them.
    async fn files_to_read(
        &self,
        state: &dyn Session,
        filters: &[Expr],
        certain: &Certain,
    ) -> Result<ToRead> {
        let all = self.files();
        let mut pruned = Pruned { files_of_table: all.len(), ..Pruned::default() };
        let mut files = prune::prune(all, self.predicate(state, filters)?, &self.schema);
        pruned.files_by_statistics = pruned.files_of_table - files.len();
        // Logs are mostly asked for newest first, and a limit then stops the scan early.
        files.sort_by_key(|file| std::cmp::Reverse(prune::newest_micros(file)));

        // What only an index is sure of is tested, where its word does not go along.
        let by_rows = !rows::are_all_tested(state);
        let asked = Asked {
            search: search::of_filters(filters),
            wanted: certain.wanted().filter(|_| by_rows),
            runs: RunFilter::of_filters(state, filters)?,
            by_runs: certain.by_runs(),
        };
        let is_proved =
            |file: &DataFile| certain.is_proved_of(file) && (by_rows || !certain.is_by_rows());
        if asked.is_nothing() {
            let (sure, possible): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|file| is_proved(file));
            let [possible, sure] = [(possible, false), (sure, true)].map(|(files, is_sure)| {
                files.into_iter().map(|file| FileToRead::whole(file, is_sure)).collect()
            });
            return Ok(ToRead { possible, sure, pruned });
        }
        let indexed = files.iter().map(|file| IndexedFile {
            object: files::object_meta(&self.root, file),
            words: file.words.clone(),
            is_own: file.checksum.is_some(),
            is_proved: is_proved(file),
        });
        let left = self.indexes.narrow(indexed.collect(), &asked).await?;
        let (mut possible, mut sure) = (vec![], vec![]);
        for (file, left) in files.into_iter().zip(left) {
            let left = FileToRead::left(&file, left);
            let rows = left.each_ref().map(|read| read.as_ref().map_or(0, FileToRead::row_count));
            pruned.rows_found += rows[1];
            pruned.rows_by_index += file.rows as usize - rows[0] - rows[1];
            pruned.files_by_index += usize::from(rows == [0, 0]);
            let [of_possible, of_sure] = left;
            possible.extend(of_possible);
            sure.extend(of_sure);
        }
        Ok(ToRead { possible, sure, pruned })
    }

    /// The columns and those that the filters ask of beside, in the order of the table: a scan takes the
    /// columns of the partition last.
    fn with_columns_of(&self, filters: &[Expr], columns: &SchemaRef) -> Result<SchemaRef> {
        let asked = filters.iter().flat_map(Expr::column_refs).map(|column| column.name());
        let shown = columns.fields().iter().map(|field| field.name().as_str());
        let places = asked.chain(shown).map(|name| Ok(self.schema.index_of(name)?));
        let places = places.collect::<Result<BTreeSet<usize>>>()?;
        Ok(Arc::new(self.schema.project(&places.into_iter().collect::<Vec<_>>())?))
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

    /// Every filter serves to skip files, row groups and pages. Those that may be answered for good are
    /// applied here, so that columns that they alone ask of are not read; DataFusion applies the others.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let how = |filter: &&Expr| match certain::may_be(filter, &self.schema) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(how).collect())
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
        let certain = Certain::of(filters, &self.schema);
        let ToRead { possible, sure, pruned } =
            self.files_to_read(state, filters, &certain).await?;
        let here = certain.filters();
        let asked = match here.is_empty() {
            true => Arc::clone(&projected),
            false => self.with_columns_of(here, &projected)?,
        };

        let mut inputs = vec![];
        let partitions = state.config().target_partitions();
        let by = self.version.schema().partition_by();
        let selection = Selection::of_scan(&self.schema, &asked, by, filters, limit);
        inputs.extend(self.scan_fresh(selection, &asked, partitions).await?);
        let is_of_few = filters.iter().any(is_of_some_times);
        let scan = |files: Vec<FileToRead>, columns: &SchemaRef, pruned: Pruned| {
            let lookups = self.indexes.lookups();
            let options = ScanOptions { columns, limit, is_of_few };
            files::scan(state, &self.root, lookups, files, pruned, &options)
        };
        let of_sure = if possible.is_empty() { pruned } else { Pruned::default() };
        if !possible.is_empty() {
            inputs.push(scan(possible, &asked, pruned)?);
        }
        if !here.is_empty() {
            let all = inputs.into_iter().map(|input| filtered(state, input, here, &projected));
            inputs = all.collect::<Result<_>>()?;
        }
        if !sure.is_empty() {
            inputs.push(scan(sure, &projected, of_sure)?);
        }
        match inputs.len() {
            0 => Ok(Arc::new(EmptyExec::new(projected))),
            _ => UnionExec::try_new(inputs),
        }
    }
}

fn of_file(file: &ObjectMeta, error: ParquetError) -> QueryError {
    QueryError::of_file(file.location.to_string(), error)
}

/// The rows of a plan for which the filters hold, with the columns of `projected`, which are among its own.
fn filtered(
    state: &dyn Session,
    input: Arc<dyn ExecutionPlan>,
    filters: &[Expr],
    projected: &SchemaRef,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(input) };
    let columns = DFSchema::try_from(input.schema())?;
    let predicate = state.create_physical_expr(filter, &columns)?;
    let place = |field: &FieldRef| Ok(columns.as_arrow().index_of(field.name())?);
    let projection = projected.fields().iter().map(place).collect::<Result<_>>()?;
    let filter =
        FilterExecBuilder::new(predicate, input).apply_projection(Some(projection))?.build()?;
    Ok(Arc::new(filter))
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
