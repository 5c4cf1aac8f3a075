//! The scan of a table's data files: Parquet, newest first, with what the Delta log knows of each.

use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use chrono::DateTime;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema as ScanSchema;
use datafusion::error::Result;
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use loglake_model::{DATE, HOUR};
use loglake_table::DataFile;
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::CacheLookups;
use crate::prune::statistics;
use crate::reader::{FOOTER_GUESS_BYTES, ReaderFactory};
use crate::session::store_url;
use crate::sparse::{Read, is_sparse};
use crate::spread::rows::SureRows;
use crate::token_index::{Left, Part};

/// Statistics of columns kept for one scan, files times columns. With more, only the rows of each
/// file are told to the planner, so that a wide table of many files does not fill the memory.
const STATISTICS_MAX: usize = 400_000;

/// A data file, and which of its rows are read; `None` for all.
pub(crate) struct FileToRead {
    file: Arc<DataFile>,
    rows: Option<RowSelection>,
    /// Whether filters are left out because they are known to hold.
    is_sure: bool,
}

impl FileToRead {
    pub(crate) const fn whole(file: Arc<DataFile>, is_sure: bool) -> Self {
        Self { file, rows: None, is_sure }
    }

    /// What is left of a file: what is possible, and what is sure.
    pub(crate) fn left(file: &Arc<DataFile>, left: Left) -> [Option<Self>; 2] {
        let of = |part, is_sure| {
            let rows = match part {
                Part::Nothing => return None,
                Part::Everything => None,
                Part::Rows(rows) => Some(rows),
            };
            Some(Self { file: Arc::clone(file), rows, is_sure })
        };
        [of(left.possible, false), of(left.sure, true)]
    }

    fn read(&self) -> Read<'_> {
        let DataFile { bytes, rows, .. } = *self.file;
        Read { bytes, rows, selection: self.rows.as_ref() }
    }

    pub(crate) fn row_count(&self) -> usize {
        self.rows.as_ref().map_or(self.file.rows as usize, RowSelection::row_count)
    }
}

/// The files that a query reads of a table, the newest first, and what it does not for which reason.
pub(crate) struct ToRead {
    /// Of whose rows the filters are asked.
    pub(crate) possible: Vec<FileToRead>,
    /// Those for whose rows the wanted filters hold.
    pub(crate) sure: Vec<FileToRead>,
    pub(crate) pruned: Pruned,
}

/// What a scan leaves closed before it begins: shown by `EXPLAIN ANALYZE`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pruned {
    pub(crate) files_of_table: usize,
    pub(crate) files_by_statistics: usize,
    pub(crate) files_by_index: usize,
    /// Those of files that are not read at all among them.
    pub(crate) rows_by_index: usize,
    /// Rows whose texts need not be read to know that they have what is looked for.
    pub(crate) rows_found: usize,
}

impl Pruned {
    fn count_in(self, metrics: &ExecutionPlanMetricsSet) {
        for (name, count) in [
            ("files_of_table", self.files_of_table),
            ("files_pruned_by_log", self.files_by_statistics),
            ("files_pruned_by_index", self.files_by_index),
            ("rows_pruned_by_index", self.rows_by_index),
            ("rows_found_by_index", self.rows_found),
        ] {
            MetricBuilder::new(metrics).global_counter(name).add(count);
        }
    }
}

/// Where the store finds a file of the table at `root`.
pub(crate) fn object_meta(root: &Path, file: &DataFile) -> ObjectMeta {
    ObjectMeta {
        location: root.parts().chain(file.path.parts()).collect(),
        last_modified: DateTime::from_timestamp_nanos(file.modified.as_nanos()),
        size: file.bytes,
        e_tag: None,
        version: None,
    }
}

/// What is asked of the rows of a scan.
pub(crate) struct ScanOptions<'a> {
    /// Those that it gives, in their order.
    pub(crate) columns: &'a SchemaRef,
    pub(crate) limit: Option<usize>,
    /// Whether a filter of short values lets few rows pass ([`crate::sparse`]).
    pub(crate) is_of_few: bool,
}

/// A scan of files below `root`.
pub(crate) fn scan(
    state: &dyn Session,
    root: &Path,
    lookups: Arc<CacheLookups>,
    files: Vec<FileToRead>,
    pruned: Pruned,
    options: &ScanOptions<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let columns = ScanColumns::new(options.columns);
    let with_statistics = files.len() * options.columns.fields().len() <= STATISTICS_MAX;
    let is_sparse = options.is_of_few
        || is_sparse(files.iter().map(FileToRead::read), state.config().batch_size());
    let files: Vec<_> =
        files.iter().map(|file| columns.file(root, file, with_statistics)).collect();
    let known = files.iter().filter_map(|file| file.statistics.as_deref());
    let statistics = Statistics::try_merge_iter(known, columns.schema.table_schema())?;

    let groups = state.config().target_partitions().clamp(1, files.len().max(1));
    let mut file_groups = vec![FileGroup::default(); groups];
    for (at, file) in files.into_iter().enumerate() {
        file_groups[at % groups].push(file);
    }
    let source = parquet_source(state, lookups, &columns.schema, is_sparse)?;
    pruned.count_in(source.metrics());
    let config = FileScanConfigBuilder::new(store_url()?, Arc::new(source))
        .with_file_groups(file_groups)
        .with_statistics(statistics)
        .with_limit(options.limit)
        .with_projection_indices(Some(columns.order))?
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

fn parquet_source(
    state: &dyn Session,
    lookups: Arc<CacheLookups>,
    schema: &ScanSchema,
    is_sparse: bool,
) -> Result<ParquetSource> {
    let mut options = TableParquetOptions {
        global: state.config_options().execution.parquet.clone(),
        ..TableParquetOptions::default()
    };
    if is_sparse {
        options.global.max_predicate_cache_size = Some(0);
    }
    let runtime = state.runtime_env();
    let store = runtime.object_store(store_url()?)?;
    let footers = runtime.cache_manager.get_file_metadata_cache();
    let readers = ReaderFactory::new(store, footers, lookups);
    Ok(ParquetSource::new(schema.clone())
        .with_table_parquet_options(options)
        .with_metadata_size_hint(FOOTER_GUESS_BYTES)
        .with_parquet_file_reader_factory(Arc::new(readers)))
}

/// The columns of one scan: those in the files first, then those of the partition, as DataFusion
/// wants them, and where each projected column is among these.
struct ScanColumns {
    schema: ScanSchema,
    order: Vec<usize>,
}

impl ScanColumns {
    fn new(projected: &SchemaRef) -> Self {
        let is_partition = |field: &Field| [DATE, HOUR].contains(&field.name().as_str());
        let (partition, in_file): (Vec<_>, Vec<_>) =
            projected.fields().iter().cloned().partition(|field| is_partition(field));
        let (mut next_in_file, mut next_partition) = (0..in_file.len(), in_file.len()..);
        let order = projected.fields().iter().filter_map(|field| match is_partition(field) {
            true => next_partition.next(),
            false => next_in_file.next(),
        });
        let order = order.collect();
        let in_file = Arc::new(arrow::datatypes::Schema::new(in_file));
        let schema = ScanSchema::builder(in_file).with_table_partition_cols(partition).build();
        Self { schema, order }
    }

    fn file(&self, root: &Path, to_read: &FileToRead, with_statistics: bool) -> PartitionedFile {
        let file = &to_read.file;
        let values =
            self.schema.table_partition_cols().iter().map(|field| match field.name().as_str() {
                DATE => ScalarValue::Date32(Some(file.partition.day)),
                _ => ScalarValue::Int32(file.partition.hour.map(i32::from)),
            });
        let fields = self.schema.file_schema().fields();
        let statistics = match with_statistics {
            true => statistics(file, fields.iter().map(AsRef::as_ref)),
            false => rows_only(file, self.schema.file_schema()),
        };
        let statistics = match to_read.rows {
            Some(_) => Statistics {
                num_rows: Precision::Exact(to_read.row_count()),
                ..statistics.to_inexact()
            },
            None => statistics,
        };
        let piece = PartitionedFile::new_from_meta(object_meta(root, file))
            .with_partition_values(values.collect())
            .with_statistics(Arc::new(statistics));
        let Some(rows) = &to_read.rows else { return piece };
        let piece = if to_read.is_sure { piece.with_extension(SureRows) } else { piece };
        piece.with_extension(ParquetRowSelection::new(rows.clone()))
    }
}

fn rows_only(file: &DataFile, schema: &SchemaRef) -> Statistics {
    let unknown = Statistics::new_unknown(schema);
    Statistics { num_rows: statistics(file, std::iter::empty()).num_rows, ..unknown }
}
