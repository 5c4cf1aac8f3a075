//! The folder `_delta_log` in the store: entries, checkpoints, the hint at the last one. Effects
//! only; what the actions mean is `snapshot`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use loglake_model::{Timestamp, off_the_loop};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};

use crate::TableError;
use crate::action::{self, Line};
use crate::checkpoint::{self, Part};
use crate::history::Entry;
use crate::snapshot::Snapshot;

/// Entries that the first load reads at once.
const READS_AT_ONCE: usize = 16;

/// Times that the first load begins again because what it wanted to read was cleaned up.
const LOADS_MAX: u32 = 5;

/// The log of one table.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

/// The outcome of a conditional create.
#[derive(Debug)]
pub(crate) enum Created {
    Yes,
    /// Somebody's entry is there; ours perhaps.
    Taken,
    /// It may have happened, now or later.
    Unknown(Error),
}

/// `_last_checkpoint`: where a reader may begin to look.
#[derive(Debug, Serialize, Deserialize)]
struct Hint {
    version: u64,
    /// Actions in the checkpoint.
    size: u64,
}

/// A file of the folder, by its name.
#[derive(Debug, PartialEq)]
enum Name {
    Entry(u64),
    Checkpoint { version: u64, parts: u64 },
}

impl Name {
    /// `<20 digits>.json`, `<20 digits>.checkpoint.parquet` or
    /// `<20 digits>.checkpoint.<part>.<parts>.parquet`. Others are of no use here.
    fn parse(name: &str) -> Option<Self> {
        let (digits, rest) = name.split_once('.')?;
        let version = (digits.len() == 20).then(|| digits.parse().ok())??;
        match rest.split('.').collect::<Vec<_>>().as_slice() {
            ["json"] => Some(Self::Entry(version)),
            ["checkpoint", "parquet"] => Some(Self::Checkpoint { version, parts: 1 }),
            ["checkpoint", _part, parts, "parquet"] => {
                Some(Self::Checkpoint { version, parts: parts.parse().ok()? })
            }
            _ => None,
        }
    }
}

/// What a listing of the folder shows.
#[derive(Debug, Default)]
struct Listing {
    entries: Vec<u64>,
    /// Files of complete checkpoints, by version, in the order of their parts.
    checkpoints: BTreeMap<u64, Vec<Path>>,
}

impl Listing {
    fn of(metas: Vec<ObjectMeta>) -> Self {
        let mut listing = Self::default();
        let mut found: BTreeMap<(u64, u64), Vec<Path>> = BTreeMap::new();
        for meta in metas {
            match meta.location.filename().and_then(Name::parse) {
                Some(Name::Entry(version)) => listing.entries.push(version),
                Some(Name::Checkpoint { version, parts }) => {
                    found.entry((version, parts)).or_default().push(meta.location);
                }
                None => {}
            }
        }
        listing.entries.sort_unstable();
        for ((version, parts), mut files) in found {
            if files.len() as u64 == parts {
                files.sort_unstable();
                listing.checkpoints.insert(version, files);
            }
        }
        listing
    }
}

impl Log {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, root: &Path) -> Self {
        Self { store, folder: root.clone().join("_delta_log") }
    }

    pub(crate) fn entry_path(&self, version: u64) -> Path {
        self.folder.clone().join(format!("{version:020}.json"))
    }

    fn checkpoint_path(&self, version: u64) -> Path {
        self.folder.clone().join(format!("{version:020}.checkpoint.parquet"))
    }

    fn hint_path(&self) -> Path {
        self.folder.clone().join("_last_checkpoint")
    }

    /// Makes the entry, if nobody has.
    ///
    /// # Errors
    /// What cannot have made it and will not when it is tried again.
    pub(crate) async fn create(&self, version: u64, entry: Bytes) -> Result<Created, TableError> {
        let path = self.entry_path(version);
        match self.store.put_opts(&path, entry.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(Created::Yes),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Taken),
            Err(
                source @ (Error::NotImplemented { .. }
                | Error::NotSupported { .. }
                | Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. }
                | Error::InvalidPath { .. }),
            ) => Err(TableError::Store { what: "conditional create", path, source }),
            Err(source) => Ok(Created::Unknown(source)),
        }
    }

    async fn get(&self, path: &Path) -> Result<Option<Bytes>, TableError> {
        let read = async { self.store.get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(TableError::Store { what: "read", path: path.clone(), source }),
        }
    }

    /// An entry's actions; `None` when there is no such entry.
    pub(crate) async fn entry(&self, version: u64) -> Result<Option<Vec<Line>>, TableError> {
        let path = self.entry_path(version);
        let Some(bytes) = self.get(&path).await? else { return Ok(None) };
        let lines = action::decode(&bytes);
        lines.map(Some).map_err(|e| TableError::Corrupt { path, problem: e.to_string() })
    }

    /// All entries that are there, in order.
    pub(crate) async fn history(&self) -> Result<Vec<Entry>, TableError> {
        let versions = self.list(0).await?.entries;
        let read =
            |version| async move { Ok::<_, TableError>((version, self.entry(version).await?)) };
        let mut entries = vec![];
        let mut reads = stream::iter(versions).map(read).buffered(READS_AT_ONCE);
        while let Some((version, lines)) = reads.try_next().await? {
            entries.extend(lines.map(|lines| Entry::of(version, &lines)));
        }
        Ok(entries)
    }

    /// The state after the entry, which makes it one version newer.
    pub(crate) fn apply(&self, to: Snapshot, lines: Vec<Line>) -> Result<Snapshot, TableError> {
        let path = self.entry_path(to.version() + 1);
        to.apply(&path, lines)
    }

    /// Reads entries after `from` until there is none.
    pub(crate) async fn tail(&self, from: Arc<Snapshot>) -> Result<Arc<Snapshot>, TableError> {
        let mut state = from;
        while let Some(lines) = self.entry(state.version() + 1).await? {
            state = Arc::new(self.apply(Arc::unwrap_or_clone(state), lines)?);
        }
        Ok(state)
    }

    /// Whether the entry is still there: if it is not, it was cleaned up behind a checkpoint.
    pub(crate) async fn has_entry(&self, version: u64) -> Result<bool, TableError> {
        let path = self.entry_path(version);
        match self.store.head(&path).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(TableError::Store { what: "look", path, source }),
        }
    }

    /// Files whose names sort after those of `version - 1`. Sorted by nobody: a directory is not.
    async fn list(&self, version: u64) -> Result<Listing, TableError> {
        // "." sorts before any digit that could follow and after none of this version's files.
        let offset = self.folder.clone().join(format!("{version:020}"));
        let metas = self.store.list_with_offset(Some(&self.folder), &offset).try_collect().await;
        metas.map(Listing::of).map_err(|source| TableError::Store {
            what: "listing",
            path: self.folder.clone(),
            source,
        })
    }

    /// Whether there is a checkpoint at or above this version.
    pub(crate) async fn has_checkpoint_from(&self, version: u64) -> Result<bool, TableError> {
        Ok(!self.list(version).await?.checkpoints.is_empty())
    }

    async fn hint(&self) -> Result<Option<Hint>, TableError> {
        let bytes = self.get(&self.hint_path()).await?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// The newest version, from the newest checkpoint and the entries after it; `None` when there
    /// is no table.
    pub(crate) async fn load(&self) -> Result<Option<Arc<Snapshot>>, TableError> {
        for _ in 0..LOADS_MAX {
            let hinted = self.hint().await?.map_or(0, |hint| hint.version);
            let mut listing = self.list(hinted).await?;
            if hinted > 0 && listing.checkpoints.is_empty() {
                listing = self.list(0).await?;
            }
            if listing.entries.is_empty() && listing.checkpoints.is_empty() {
                return Ok(None);
            }
            if let Some(state) = self.load_listed(listing).await? {
                return self.tail(state).await.map(Some);
            }
        }
        let path = self.folder.clone();
        Err(TableError::Corrupt { path, problem: "its entries or checkpoints have gaps".into() })
    }

    /// `None` when what was listed has a gap or is gone.
    async fn load_listed(&self, listing: Listing) -> Result<Option<Arc<Snapshot>>, TableError> {
        let mut state = None;
        for (version, files) in listing.checkpoints.into_iter().rev() {
            match self.read_checkpoint(version, &files).await {
                Ok(None) => return Ok(None),
                Ok(read) => {
                    state = read;
                    break;
                }
                Err(error @ TableError::Corrupt { .. }) => {
                    tracing::warn!(%error, "an older checkpoint is tried");
                }
                Err(error) => return Err(error),
            }
        }
        let from = state.as_ref().map_or(0, |state: &Snapshot| state.version() + 1);
        let entries = listing.entries.into_iter().filter(|version| *version >= from);
        let mut read = stream::iter(entries)
            .map(
                |version| async move { Ok::<_, TableError>((version, self.entry(version).await?)) },
            )
            .buffered(READS_AT_ONCE);
        while let Some((version, lines)) = read.try_next().await? {
            let expected = state.as_ref().map_or(0, |state| state.version() + 1);
            let Some(lines) = lines.filter(|_| version == expected) else { return Ok(None) };
            state = Some(match state {
                Some(state) => self.apply(state, lines)?,
                None => Snapshot::begin(&self.entry_path(0), 0, lines)?,
            });
        }
        Ok(state.map(Arc::new))
    }

    async fn read_checkpoint(
        &self,
        version: u64,
        files: &[Path],
    ) -> Result<Option<Snapshot>, TableError> {
        let mut parts = vec![];
        for path in files {
            let Some(bytes) = self.get(path).await? else { return Ok(None) };
            parts.push((path.clone(), bytes));
        }
        blocking(move || decode_checkpoint(version, &parts)).await.map(Some)
    }

    /// Writes the state's checkpoint and the hint at it.
    pub(crate) async fn write_checkpoint(
        &self,
        state: Arc<Snapshot>,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let version = state.version();
        let path = self.checkpoint_path(version);
        let source = path.clone();
        let (file, size) = blocking(move || {
            checkpoint::encode(state.lines(now))
                .map_err(|e| TableError::Corrupt { path: source, problem: e.to_string() })
        })
        .await?;
        // Never replaced: somebody may be reading one that is there, range by range.
        match self.store.put_opts(&path, file.into(), PutMode::Create.into()).await {
            Ok(_) | Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(source) => return Err(TableError::Store { what: "write", path, source }),
        }
        if self.hint().await?.is_some_and(|hint| hint.version >= version) {
            return Ok(());
        }
        let path = self.hint_path();
        let hint = format!("{{\"version\":{version},\"size\":{size}}}");
        let put = self.store.put(&path, hint.into()).await;
        put.map(|_| ()).map_err(|source| TableError::Store { what: "write", path, source })
    }
}

fn decode_checkpoint(version: u64, parts: &[(Path, Bytes)]) -> Result<Snapshot, TableError> {
    let read = |part| {
        parts.iter().map(move |(path, bytes)| {
            let corrupt = |e: checkpoint::CheckpointError| TableError::Corrupt {
                path: path.clone(),
                problem: e.to_string(),
            };
            let batches = checkpoint::decode(bytes.clone(), part).map_err(corrupt)?;
            Ok((path, batches.map(move |lines| lines.map_err(corrupt))))
        })
    };
    let mut head = vec![];
    for file in read(Part::Head) {
        for lines in file?.1 {
            head.extend(lines?);
        }
    }
    let source = parts.first().map(|(path, _)| path.clone()).unwrap_or_default();
    let mut state = Snapshot::begin(&source, version, head)?;
    for file in read(Part::Rest) {
        let (path, batches) = file?;
        for lines in batches {
            state = state.more(path, lines?)?;
        }
    }
    Ok(state)
}

/// Runs what takes the processor for long off the threads that answer others.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match off_the_loop(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only when the runtime shuts down, which drops this task as well.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_folder_are_told_apart() {
        let zeros = "0".repeat(19);
        assert_eq!(Name::parse(&format!("{zeros}7.json")), Some(Name::Entry(7)));
        let one = Name::Checkpoint { version: 7, parts: 1 };
        assert_eq!(Name::parse(&format!("{zeros}7.checkpoint.parquet")), Some(one));
        let three = Name::Checkpoint { version: 7, parts: 3 };
        let name = format!("{zeros}7.checkpoint.0000000002.0000000003.parquet");
        assert_eq!(Name::parse(&name), Some(three));
        for other in
            ["_last_checkpoint", "7.json", &format!("{zeros}7.crc"), &format!("{zeros}7.json.tmp")]
        {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
