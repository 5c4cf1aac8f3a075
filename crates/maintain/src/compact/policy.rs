//! Which files of a partition are merged: a pure function of them.
//!
//! While files still come, many small ones are merged into a middling one; once a partition is at rest,
//! what is not large of it becomes few large files. So a row is written three times: when it is flushed,
//! with a hundred flushes, and for good.

use std::sync::Arc;

use loglake_table::DataFile;

/// A file of this many bytes is left as it is.
const ENOUGH_BYTES: u64 = 256 << 20;
/// What is merged at a time once a partition is at rest, and about the largest file that is made. It is
/// held in memory meanwhile.
pub(super) const LARGE_BYTES_MAX: u64 = 320 << 20;
/// The same while files still come: no more than lies between the two above, so that large files come
/// out full.
const MIDDLING_BYTES_MAX: u64 = 64 << 20;
/// While files still come, a merge has to make at least this much of its largest input.
const GROWTH_MIN: u64 = 8;
/// Files that are merged at a time.
pub(super) const INPUTS_MAX: usize = 100;
/// Rows of all of them that are decoded at once: a page of each.
const OPEN_ROWS_MAX: u64 = 1 << 20;
const PAGE_ROWS: u64 = 16 << 10;

/// The files of one partition to be merged next; `None` when it is well as it is. Files that another
/// program wrote are left alone: nothing is known of their order.
pub(super) fn next_group(files: &[Arc<DataFile>], at_rest: bool) -> Option<Vec<Arc<DataFile>>> {
    let is_open = |file: &&Arc<DataFile>| file.bytes < ENOUGH_BYTES && file.checksum.is_some();
    let mut open: Vec<Arc<DataFile>> = files.iter().filter(is_open).cloned().collect();
    open.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
    let count = match at_rest {
        true => large(&open),
        false => middling(&open),
    };
    (count > 1).then(|| open[..count].to_vec())
}

/// How many of the smallest files make a middling one: as many as can be merged, or none.
fn middling(open: &[Arc<DataFile>]) -> usize {
    let count = fitting(open, MIDDLING_BYTES_MAX);
    let is_full = count == INPUTS_MAX || count < open.len();
    let largest = open[..count].last().map_or(0, |file| file.bytes);
    match is_full && total(&open[..count]) >= GROWTH_MIN * largest {
        true => count,
        false => 0,
    }
}

/// How many of the smallest files make a large one. A file is not written again for others that are
/// together less than half of it.
fn large(open: &[Arc<DataFile>]) -> usize {
    let mut count = fitting(open, LARGE_BYTES_MAX);
    while count > 1 && open[count - 1].bytes > 2 * total(&open[..count - 1]) {
        count -= 1;
    }
    count
}

/// How many of the first files can be merged at once.
fn fitting(files: &[Arc<DataFile>], bytes_max: u64) -> usize {
    let (mut bytes, mut open_rows) = (0, 0);
    let fits = |file: &&Arc<DataFile>| {
        bytes += file.bytes;
        open_rows += file.rows.min(PAGE_ROWS);
        bytes <= bytes_max && open_rows <= OPEN_ROWS_MAX
    };
    files.iter().take(INPUTS_MAX).take_while(fits).count()
}

fn total(files: &[Arc<DataFile>]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

#[cfg(test)]
mod tests {
    use loglake_model::{FileStats, Partition, PartitionBy, Timestamp};
    use object_store::path::Path;

    use super::*;

    const MB: u64 = 1 << 20;

    fn file(number: usize, bytes: u64) -> Arc<DataFile> {
        Arc::new(DataFile {
            path: Path::from(format!("{number:06}.parquet")),
            partition: Partition::of(0, PartitionBy::Hour),
            bytes,
            rows: bytes / 30,
            stats: FileStats::default(),
            modified: Timestamp::from_nanos(0),
            checksum: Some(0),
            words: None,
        })
    }

    /// Files, and the bytes written so far.
    struct Hour {
        files: Vec<Arc<DataFile>>,
        next: usize,
        written: u64,
    }

    impl Hour {
        fn add(&mut self, bytes: u64) {
            self.files.push(file(self.next, bytes));
            self.next += 1;
            self.written += bytes;
        }

        fn merge_all(&mut self, at_rest: bool) {
            while let Some(group) = next_group(&self.files, at_rest) {
                assert!(group.len() <= INPUTS_MAX);
                let bytes = group.iter().map(|file| file.bytes).sum();
                assert!(bytes <= LARGE_BYTES_MAX);
                self.files.retain(|file| !group.contains(file));
                self.add(bytes);
            }
        }
    }

    #[test]
    fn an_hour_of_flushes_ends_in_few_files_written_three_times_at_most() {
        for (flushes, bytes) in [
            (6_000, 170 << 10),
            (6_000, 10 << 10),
            (600, 20 * MB),
            (60, 200 << 10),
            (6_000, 2 * MB),
        ] {
            let mut hour = Hour { files: vec![], next: 0, written: 0 };
            for flush in 0..flushes {
                hour.add(bytes);
                if flush % 100 == 0 {
                    hour.merge_all(false);
                    // More only where they are not small.
                    let files_max = 200 + flush * bytes / (8 * MB);
                    assert!(hour.files.len() as u64 <= files_max, "{}", hour.files.len());
                }
            }
            hour.merge_all(true);
            let all = flushes * bytes;
            let files_max = 4 * all.div_ceil(1 << 30);
            let context = format!("{flushes} of {bytes}: {} files", hour.files.len());
            assert!(hour.files.len() as u64 <= files_max, "{context}");
            assert!(
                hour.written <= 3 * all,
                "{context}: {} times",
                hour.written as f64 / all as f64
            );
        }
    }

    #[test]
    fn a_partition_that_is_well_is_left() {
        let left = |files: &[Arc<DataFile>], at_rest| next_group(files, at_rest).is_none();
        assert!(left(&[], true));
        assert!(left(&[file(0, MB)], true));
        assert!(left(&[file(0, 260 * MB), file(1, 300 * MB)], true));
        assert!(left(&[file(0, 100 * MB), file(1, MB)], true), "for a hundredth");
        let small = |count| (0..count).map(|n| file(n, MB)).collect::<Vec<_>>();
        assert!(left(&small(50), false), "not yet");
        assert!(!left(&small(70), false));
        let foreign = |n| Arc::new(DataFile { checksum: None, ..file(n, MB).as_ref().clone() });
        assert!(left(&[foreign(0), foreign(1)], true));
        assert!(!left(&[file(0, MB), file(1, MB)], true));
    }

    #[test]
    fn late_rows_do_not_make_an_hour_be_written_again_and_again() {
        let mut hour = Hour { files: vec![], next: 0, written: 0 };
        hour.add(100 * MB);
        for _ in 0..1_000 {
            hour.add(10 << 10);
            hour.merge_all(true);
        }
        assert!(hour.files.len() <= 12, "{}", hour.files.len());
        assert!(hour.written < 400 * MB, "{}", hour.written / MB);
    }
}
