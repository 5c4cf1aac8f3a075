//! Compaction: the small files of a partition become few large ones, with the same rows.
//!
//! ```text
//! newest version ─▶ which files? (policy) ─▶ get ─▶ merge ─▶ put ─▶ commit: files in the place of files
//! ```
//! The commit is refused when a file that it replaces is no longer part of the table: whoever else
//! compacts, or deletes, at the same time wins or loses whole. What was put for nothing is vacuum's. The
//! files that were replaced stay until vacuum's grace is over, for queries that read an older version.

mod policy;

use std::collections::{BTreeMap, HashSet};
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use loglake_format::{EncoderSettings, Merge, MergeStep};
use loglake_model::{Clock, FileStats, Partition, Timestamp, off_the_loop};
use loglake_table::{DataFile, Rewrite, RewriteKind, RewriteOutcome, Snapshot, Table};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use twox_hash::XxHash3_64;

use crate::MaintainError;

/// A partition is at rest when its time is over, and no file came, for so long.
const REST: Duration = Duration::from_secs(10 * 60);
/// Files got at once.
const GETS_AT_ONCE: usize = 8;
/// Parts on their way to the store at once.
const PUTS_AT_ONCE: usize = 2;

/// What compaction works with.
#[derive(Clone)]
pub struct Compactor {
    pub store: Arc<dyn ObjectStore>,
    pub clock: Arc<dyn Clock>,
    pub encoder: EncoderSettings,
}

impl Compactor {
    /// Merges what is to be merged in a table; how many files it has less.
    ///
    /// # Errors
    /// When the store or a commit failed. What is left is taken by the next one.
    pub async fn compact(&self, table: &Table) -> Result<usize, MaintainError> {
        let (mut gone, mut damaged) = (0, HashSet::new());
        loop {
            let version = table.refresh().await?;
            let Some(group) = next_group(&version, &damaged, self.clock.now()) else {
                return Ok(gone);
            };
            match self.merge(table, &version, &group).await {
                Ok(true) => {
                    gone += group.len() - 1;
                    tracing::info!(table = %table.root(), files = group.len(), "compacted");
                }
                // Somebody else is at it.
                Ok(false) => return Ok(gone),
                Err(MaintainError::Damaged { path }) => {
                    tracing::warn!("{}", MaintainError::Damaged { path: path.clone() });
                    damaged.insert(path);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Replaces files of one partition by one; false when one of them is part of the table no more.
    ///
    /// # Errors
    /// When the store or the commit failed, or a file is damaged.
    pub async fn merge(
        &self,
        table: &Table,
        version: &Snapshot,
        files: &[Arc<DataFile>],
    ) -> Result<bool, MaintainError> {
        let partition = files[0].partition;
        let path = table.new_file_path(&partition);
        let gets = files.iter().cloned().map(|file| self.get(table, file));
        let got = stream::iter(gets).buffered(GETS_AT_ONCE).try_collect::<Vec<Bytes>>().await;
        let inputs = match got {
            Err(MaintainError::Store(object_store::Error::NotFound { .. })) => return Ok(false),
            got => got?,
        };
        let (schema, encoder) = (Arc::clone(version.schema()), self.encoder.clone());
        let merge = off_the_loop(move || Merge::new(inputs, &schema, encoder)).await??;
        let written = self.put(&absolute(table, &path), merge).await?;
        let add = written.file(path, partition, self.clock.now());
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        if add.rows != rows {
            let (table, merged) = (table.root().clone(), add.rows);
            return Err(MaintainError::Rows { table, rows, merged });
        }
        let (removes, adds) = (files.to_vec(), vec![add]);
        let rewrite = Rewrite { kind: RewriteKind::Compaction, removes, adds };
        let outcome = table.commit_rewrite(&rewrite).await?;
        Ok(matches!(outcome, RewriteOutcome::Committed(_)))
    }

    /// A file's bytes, as they were written.
    async fn get(&self, table: &Table, file: Arc<DataFile>) -> Result<Bytes, MaintainError> {
        let path = absolute(table, &file.path);
        let bytes = self.store.get(&path).await?.bytes().await?;
        match file.checksum == Some(XxHash3_64::oneshot(&bytes)) {
            true => Ok(bytes),
            false => Err(MaintainError::Damaged { path: file.path.clone() }),
        }
    }

    /// Puts what a merge gives, part by part when it is more than one. Parts of an object that came to
    /// nothing are taken back.
    async fn put(&self, path: &Path, merge: Merge) -> Result<Written, MaintainError> {
        let mut upload = None;
        let written = self.put_parts(path, merge, &mut upload).await;
        if let (Err(_), Some(upload)) = (&written, upload)
            && let Err(e) = upload.abort().await
        {
            tracing::warn!(%path, "parts of it may be left in the store: {e}");
        }
        written
    }

    async fn put_parts(
        &self,
        path: &Path,
        merge: Merge,
        upload: &mut Option<WriteMultipart>,
    ) -> Result<Written, MaintainError> {
        let mut seen = Seen::default();
        let mut step = off_the_loop(move || merge.step()).await??;
        loop {
            match step {
                MergeStep::Part { bytes, rest } => {
                    seen.saw(&bytes);
                    let upload = match upload {
                        Some(upload) => upload,
                        None => upload
                            .insert(WriteMultipart::new(self.store.put_multipart(path).await?)),
                    };
                    upload.wait_for_capacity(PUTS_AT_ONCE).await?;
                    upload.put(bytes);
                    step = off_the_loop(move || rest.step()).await??;
                }
                MergeStep::Last { bytes, rows, stats, words } => {
                    seen.saw(&bytes);
                    match upload.take() {
                        Some(mut upload) => {
                            upload.put(bytes);
                            upload.finish().await?;
                        }
                        None => drop(self.store.put(path, bytes.into()).await?),
                    }
                    let Seen { bytes, hash } = seen;
                    let checksum = hash.finish();
                    return Ok(Written { bytes, checksum, rows, stats, words });
                }
            }
        }
    }
}

/// The bytes that went by.
#[derive(Default)]
struct Seen {
    bytes: u64,
    hash: XxHash3_64,
}

impl Seen {
    fn saw(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.write(bytes);
    }
}

/// A file that is in the store, not yet part of its table.
struct Written {
    bytes: u64,
    checksum: u64,
    rows: u64,
    stats: FileStats,
    words: Option<String>,
}

impl Written {
    fn file(self, path: Path, partition: Partition, modified: Timestamp) -> DataFile {
        let Self { bytes, checksum, rows, stats, words } = self;
        let (checksum, words) = (Some(checksum), words.map(Into::into));
        DataFile { path, partition, bytes, rows, stats, modified, checksum, words }
    }
}

fn absolute(table: &Table, path: &Path) -> Path {
    table.root().parts().chain(path.parts()).collect()
}

/// The first group that any partition has, without damaged files.
fn next_group(
    version: &Snapshot,
    damaged: &HashSet<Path>,
    now: Timestamp,
) -> Option<Vec<Arc<DataFile>>> {
    let mut partitions: BTreeMap<Partition, Vec<Arc<DataFile>>> = BTreeMap::new();
    for file in version.files().filter(|file| !damaged.contains(&file.path)) {
        partitions.entry(file.partition).or_default().push(Arc::clone(file));
    }
    let mut partitions = partitions.into_iter();
    partitions.find_map(|(partition, files)| {
        policy::next_group(&files, is_at_rest(partition, &files, now))
    })
}

fn is_at_rest(partition: Partition, files: &[Arc<DataFile>], now: Timestamp) -> bool {
    let rested = |since| now.as_nanos().saturating_sub(since) >= REST.as_nanos() as i64;
    let over = partition.micros().1.saturating_mul(1_000);
    rested(over) && files.iter().all(|file| rested(file.modified.as_nanos()))
}

#[cfg(test)]
mod tests {
    use loglake_model::PartitionBy;

    use super::*;

    #[test]
    fn a_partition_rests_ten_minutes_after_its_end_and_its_last_file() {
        let minute = 60_000_000_000;
        let partition = Partition::of(0, PartitionBy::Hour);
        let file = |minutes: i64| {
            let modified = Timestamp::from_nanos(minutes * minute);
            let stats = FileStats::default();
            let written = Written { bytes: 1, checksum: 0, rows: 1, stats, words: None };
            Arc::new(written.file(Path::from("a"), partition, modified))
        };
        let rests = |files: &[Arc<DataFile>], minutes: i64| {
            is_at_rest(partition, files, Timestamp::from_nanos(minutes * minute))
        };
        assert!(!rests(&[file(30)], 69));
        assert!(rests(&[file(30)], 70));
        assert!(!rests(&[file(30), file(65)], 74));
        assert!(rests(&[file(30), file(65)], 75));
    }
}
