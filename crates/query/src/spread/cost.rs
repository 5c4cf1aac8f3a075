//! What a plan reads, by which it is told whether it is worth sharing out.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::physical_plan::parquet::{CachedParquetMetaData, ParquetRowSelection};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;

use super::rows::SureRows;
use crate::sparse::blocks_of;

/// Rows of a page, about: as files are written when nothing else is set.
const PAGE_ROWS: usize = 8 << 10;

/// Bytes of the data files that a plan reads, with all of their columns.
pub(crate) fn bytes_to_read(plan: &Arc<dyn ExecutionPlan>) -> Result<u64> {
    sum(plan, |_, piece| bytes_of_piece(piece))
}

/// Bytes of the columns that a plan reads, and of the same files' columns where nothing is known of their rows.
/// Of files whose footers are not kept it counts all columns.
pub(super) struct Cost {
    pub(super) here: u64,
    /// By all queriers together: which rows an index left does not travel, nor which are sure, of which any
    /// column may have to be tested.
    pub(super) elsewhere: u64,
}

impl Cost {
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>, footers: &FileMetadataCache) -> Result<Self> {
        let part = |scan: &FileScanConfig, piece: &PartitionedFile| {
            let known = kept_footer(footers, piece).zip(columns_read(scan));
            known.map_or(1.0, |(footer, columns)| part_of_columns(&footer, &columns))
        };
        Ok(Self {
            here: sum(plan, |scan, piece| bytes_of_piece(piece) * part(scan, piece))?,
            elsewhere: sum(plan, |scan, piece| {
                let is_sure = piece.extensions.get::<SureRows>().is_some();
                piece.effective_size() as f64 * if is_sure { 1.0 } else { part(scan, piece) }
            })?,
        })
    }

    /// Whether each of so many queriers would read less than one does alone.
    pub(super) const fn falls_by(&self, queriers: usize) -> bool {
        self.here.saturating_mul(queriers as u64) >= self.elsewhere
    }
}

fn sum(
    plan: &Arc<dyn ExecutionPlan>,
    bytes: impl Fn(&FileScanConfig, &PartitionedFile) -> f64,
) -> Result<u64> {
    let mut all = 0.0;
    plan.apply(|node| {
        if let Some(scan) = node.downcast_ref::<DataSourceExec>().and_then(file_scan) {
            let pieces = scan.file_groups.iter().flat_map(|group| group.files());
            all += pieces.map(|piece| bytes(scan, piece)).sum::<f64>();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(all as u64)
}

pub(super) fn file_scan(node: &DataSourceExec) -> Option<&FileScanConfig> {
    node.data_source().downcast_ref::<FileScanConfig>()
}

/// The bytes of a piece of a file, less those of pages of which its token index ruled out all rows: for one
/// row the page around it is read.
fn bytes_of_piece(piece: &PartitionedFile) -> f64 {
    let bytes = piece.effective_size() as f64;
    match piece.extensions.get::<ParquetRowSelection>() {
        Some(rows) => bytes * part_of_pages(rows.selection()),
        None => bytes,
    }
}

/// The part of a file's pages in which rows are selected, from 0 to 1.
fn part_of_pages(rows: &RowSelection) -> f64 {
    let all = rows.row_count() + rows.skipped_row_count();
    blocks_of(rows, PAGE_ROWS) as f64 / all.div_ceil(PAGE_ROWS).max(1) as f64
}

/// The names of the columns that a scan shows or filters by; `None`: all.
fn columns_read(scan: &FileScanConfig) -> Option<HashSet<String>> {
    let source = scan.file_source();
    let shown = source.projection()?.iter().flat_map(|shown| collect_columns(&shown.expr));
    let asked = source.filter().into_iter().flat_map(|filter| collect_columns(&filter));
    Some(shown.chain(asked).map(|column| column.name().to_owned()).collect())
}

fn kept_footer(
    footers: &FileMetadataCache,
    piece: &PartitionedFile,
) -> Option<Arc<ParquetMetaData>> {
    let kept = footers.get(&piece.object_meta.location)?;
    let footer = kept.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()?;
    Some(Arc::clone(footer.parquet_metadata()))
}

/// The part that columns take of the bytes of all, from 0 to 1.
fn part_of_columns(footer: &ParquetMetaData, wanted: &HashSet<String>) -> f64 {
    let (mut of_wanted, mut of_all) = (0, 0);
    for column in footer.row_groups().iter().flat_map(|group| group.columns()) {
        of_all += column.compressed_size();
        // A column of a nested type is several here, of one root.
        if column.column_path().parts().first().is_some_and(|root| wanted.contains(root)) {
            of_wanted += column.compressed_size();
        }
    }
    of_wanted as f64 / of_all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use bytes::Bytes;
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

    use super::*;

    #[test]
    fn a_row_is_read_with_its_page() {
        let part = |rows: &[(usize, usize)]| {
            let rows = rows.iter().map(|(from, to)| *from..*to);
            part_of_pages(&RowSelection::from_consecutive_ranges(rows, 4 * PAGE_ROWS))
        };
        assert_eq!(part(&[]), 0.0);
        assert_eq!(part(&[(7, 8)]), 0.25);
        assert_eq!(part(&[(7, 8), (9, 10), (PAGE_ROWS - 1, PAGE_ROWS + 1)]), 0.5);
        assert_eq!(part(&[(PAGE_ROWS, 2 * PAGE_ROWS), (3 * PAGE_ROWS, 3 * PAGE_ROWS + 1)]), 0.5);
        assert_eq!(part(&[(0, 4 * PAGE_ROWS)]), 1.0);
    }

    #[test]
    fn what_an_index_left_is_read_where_it_is_known_unless_it_is_most() {
        let cost = |here, elsewhere| Cost { here, elsewhere };
        assert!(cost(100, 100).falls_by(2) && cost(26, 100).falls_by(4));
        assert!(!cost(49, 100).falls_by(2) && !cost(24, 100).falls_by(4));
    }

    #[test]
    fn a_column_counts_by_what_it_takes() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1; 1_000]));
        let texts = (0..1_000).map(|n| Some(format!("a text of its own, {n}")));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let batch = RecordBatch::try_from_iter([("number", numbers), ("text", texts)]).unwrap();
        let mut writer = ArrowWriter::try_new(vec![], batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let file = Bytes::from(writer.into_inner().unwrap());
        let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).unwrap();
        let part = |names: &[&str]| {
            part_of_columns(
                footer.metadata(),
                &names.iter().map(|name| (*name).to_owned()).collect(),
            )
        };
        assert_eq!((part(&[]), part(&["number", "text", "hour"])), (0.0, 1.0));
        assert!(part(&["number"]) < 0.1 && part(&["text"]) > 0.9);
    }
}
