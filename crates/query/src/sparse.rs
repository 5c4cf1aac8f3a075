//! Scans of a few rows here and there.
//!
//! A reader of Parquet keeps what it decoded of a column for a filter, where the column is shown too. What it
//! keeps are whole batches, so it reads all pages of each batch that has a row to be looked at. Of long
//! texts those are many pages, where the rows are in one of them: then only the pages of the rows are read,
//! those of the rows that pass the filter twice. Rows are few where the index left few, or a filter that is
//! evaluated before one of texts lets few pass.

use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use loglake_model::TIMESTAMP;

/// Bytes of a file that have about as many rows as a page of its longest column, which is 128 KiB before
/// compression.
const FILE_BYTES_OF_A_PAGE: u64 = 64 << 10;

/// A file that is read.
pub(crate) struct Read<'a> {
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// `None` for all.
    pub(crate) selection: Option<&'a RowSelection>,
}

/// Whether reading the pages of the rows twice is less than reading all pages of their batches.
pub(crate) fn is_sparse<'a>(files: impl Iterator<Item = Read<'a>>, batch_rows: usize) -> bool {
    let (mut of_pages, mut of_batches) = (0, 0);
    for file in files {
        let page_rows = (file.rows * FILE_BYTES_OF_A_PAGE / file.bytes.max(1)).max(1) as usize;
        let rows_in = |block: usize| match file.selection {
            Some(selection) => blocks_of(selection, block) * block,
            None => file.rows as usize,
        };
        of_pages += rows_in(page_rows.min(batch_rows));
        of_batches += rows_in(batch_rows);
    }
    2 * of_pages < of_batches
}

/// Whether a filter asks for rows of a few times, as the second step of the newest rows does
/// ([`crate::newest`]): times are read before anything longer, and then few rows are left.
pub(crate) fn is_of_some_times(filter: &Expr) -> bool {
    let is_time = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == TIMESTAMP);
    match filter {
        Expr::InList(InList { expr, negated, .. }) => !negated && is_time(expr),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Eq => is_time(left) || is_time(right),
            Operator::Or => is_of_some_times(left) && is_of_some_times(right),
            Operator::And => is_of_some_times(left) || is_of_some_times(right),
            _ => false,
        },
        _ => false,
    }
}

/// How many blocks of so many rows have a selected row.
pub(crate) fn blocks_of(selection: &RowSelection, block: usize) -> usize {
    let (mut at, mut blocks, mut next) = (0, 0, 0);
    for run in selection.iter().filter(|run| run.row_count > 0) {
        let end = at + run.row_count;
        if !run.skip {
            let first = next.max(at / block);
            next = end.div_ceil(block);
            blocks += next.saturating_sub(first);
        }
        at = end;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn selection(ranges: &[std::ops::Range<usize>]) -> RowSelection {
        RowSelection::from_consecutive_ranges(ranges.iter().cloned(), 100_000)
    }

    #[test]
    fn blocks_are_counted_once() {
        let of = |ranges: &[std::ops::Range<usize>]| blocks_of(&selection(ranges), 10);
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[3..4, 5..6, 9..10]), 1);
        assert_eq!(of(&[3..4, 9..11, 12..13]), 2);
        assert_eq!(of(&[0..50_000, 50_000..100_000]), 10_000);
        assert_eq!(of(&[15..45, 49..51]), 5);
    }

    #[test]
    fn times_that_are_named_are_few() {
        let time = || col(TIMESTAMP);
        for (filter, expected) in [
            (time().eq(lit(1)), true),
            (lit(1).eq(time()).or(time().eq(lit(2))), true),
            (time().in_list(vec![lit(1)], false).and(col("a").eq(lit(1))), true),
            (time().eq(lit(1)).or(col("a").eq(lit(1))), false),
            (time().in_list(vec![lit(1)], true), false),
            (time().gt(lit(1)), false),
            (col("a").eq(lit(1)), false),
        ] {
            assert_eq!(is_of_some_times(&filter), expected, "{filter}");
        }
    }

    #[test]
    fn single_rows_of_long_records_are_sparse_and_whole_files_are_not() {
        let few = selection(&[40_000..40_001, 70_000..70_002]);
        let many: Vec<_> = (0..1_000).map(|n| 100 * n..100 * n + 1).collect();
        let many = selection(&many);
        let is = |files: &[(u64, Option<&RowSelection>)]| {
            let read = |(bytes, selection): &(u64, _)| Read {
                bytes: *bytes,
                rows: 100_000,
                selection: *selection,
            };
            is_sparse(files.iter().map(read), 8_192)
        };
        assert!(is(&[(1_000_000_000, Some(&few))]));
        assert!(is(&[(3_000_000, Some(&few))]));
        assert!(!is(&[(100_000, Some(&few))]), "one page has all rows of a batch");
        assert!(!is(&[(3_000_000, Some(&many))]), "each page has a row");
        assert!(is(&[(1_000_000_000, Some(&many))]));
        assert!(!is(&[(3_000_000, None)]));
        assert!(!is(&[(3_000_000, Some(&few)), (3_000_000, None)]));
        assert!(!is(&[]));
    }
}
