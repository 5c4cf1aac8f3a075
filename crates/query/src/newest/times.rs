//! When the rows of a data file are of: by its row groups, and row by row.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::parquet::arrow::ParquetRecordBatchStreamBuilder;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection,
};
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::RowGroupMetaData;
use datafusion::parquet::file::statistics::Statistics;
use datafusion::parquet::schema::types::ColumnDescriptor;
use futures::TryStreamExt;
use loglake_format::index::Rows;
use loglake_model::TIMESTAMP;
use object_store::ObjectMeta;

use crate::reader::BytesOfFile;
use crate::runs::RunFilter;
use crate::token_index::TokenIndexes;

/// A row group of a file of loglake's, and which of its rows are of the services and levels asked for.
#[derive(Clone, Debug)]
pub(crate) struct RowGroup {
    number: usize,
    /// The file's rows before it, and its own.
    start: usize,
    len: usize,
    /// Microseconds since the epoch, of all its rows.
    pub(crate) oldest: i64,
    pub(crate) newest: i64,
    /// By their numbers in the file.
    pub(crate) wanted: Rows,
}

/// The row groups of a file; `None` where it does not tell their times or where its services are.
///
/// # Errors
/// When the file cannot be read.
pub(crate) async fn row_groups(
    indexes: &TokenIndexes,
    file: &ObjectMeta,
    runs: Option<&RunFilter>,
) -> Result<Option<Vec<RowGroup>>> {
    let footer = indexes.footer(file).await?;
    let mut wanted = None;
    if let Some(filter) = runs {
        let directory = indexes.directory(file).await?;
        let runs = directory.as_ref().and_then(|directory| directory.runs.as_ref());
        let Some(rows) = runs.and_then(|runs| filter.rows(runs).ok()) else { return Ok(None) };
        wanted = Some(rows);
    }
    let mut start = 0;
    let groups = footer.row_groups().iter().enumerate().map(|(number, group)| {
        let len = group.num_rows() as usize;
        let all: Rows = std::iter::once(start..start + len).collect();
        let wanted = wanted.as_ref().map_or_else(|| all.clone(), |rows| rows.intersection(&all));
        let (oldest, newest) = bounds(group)?;
        let group = RowGroup { number, start, len, oldest, newest, wanted };
        start += len;
        Some(group)
    });
    Ok(groups.collect())
}

fn bounds(group: &RowGroupMetaData) -> Option<(i64, i64)> {
    let column = group.columns().iter().find(|column| is_time(column.column_descr()))?;
    match column.statistics() {
        Some(Statistics::Int64(times)) => Some((*times.min_opt()?, *times.max_opt()?)),
        _ => None,
    }
}

fn is_time(column: &ColumnDescriptor) -> bool {
    column.path().string() == TIMESTAMP
}

/// The times of the wanted rows of some row groups of a file, in microseconds since the epoch, in the order
/// of the file.
///
/// # Errors
/// When the file cannot be read.
pub(crate) async fn times(
    indexes: &TokenIndexes,
    file: &ObjectMeta,
    groups: &[&RowGroup],
) -> Result<Vec<i64>> {
    let footer = indexes.footer(file).await?;
    let (mut rows, mut before) = (vec![], 0);
    for group in groups {
        let at = |row: usize| row - group.start + before;
        rows.extend(group.wanted.ranges().iter().map(|range| at(range.start)..at(range.end)));
        before += group.len;
    }
    let rows = RowSelection::from_consecutive_ranges(rows.into_iter(), before);
    let reader = BytesOfFile { store: indexes.store(), location: file.location.clone() };
    let footer = ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::default())?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, footer);
    let schema = builder.parquet_schema();
    let time = schema.columns().iter().position(|column| is_time(column));
    let columns = ProjectionMask::leaves(schema, time);
    let batches = builder
        .with_row_groups(groups.iter().map(|group| group.number).collect())
        .with_projection(columns)
        .with_row_selection(rows)
        .build()?;
    let times = batches.try_fold(vec![], |mut times: Vec<i64>, batch| async move {
        times.extend(batch.column(0).as_primitive::<TimestampMicrosecondType>().values());
        Ok(times)
    });
    times.await
}
