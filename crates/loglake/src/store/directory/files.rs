//! Files that are whole, named once and synced before anybody hears of them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use loglake_wal::StoreFault;
use object_store::{Error, PutPayload, Result};

use super::{STORE, not_stored};

/// Folders remembered as synced; past it they are forgotten and synced once more.
const SYNCED_FOLDERS_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placing {
    /// Only where nothing is: one of many wins.
    Create,
    Overwrite,
}

#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    staging: PathBuf,
    next: AtomicU64,
    /// Folders whose own names are known to be durable, up to the root.
    synced: Mutex<HashSet<PathBuf>>,
    /// What the first failed fsync said.
    broken: OnceLock<String>,
}

/// A file that has no name yet that anybody looks for; removed unless it is placed.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    file: File,
}

impl Staged {
    pub(super) const fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What stays is swept when the directory is opened next. Gone already after a rename.
        let _ = fs::remove_file(&self.path);
    }
}

impl Files {
    pub(super) fn new(root: PathBuf, staging: PathBuf) -> Self {
        let (next, synced, broken) = (AtomicU64::new(0), Mutex::default(), OnceLock::new());
        Self { root, staging, next, synced, broken }
    }

    pub(super) fn put(
        &self,
        target: &FsPath,
        payload: &PutPayload,
        placing: Placing,
    ) -> Result<()> {
        let staged = self.stage()?;
        let written = payload.iter().try_for_each(|bytes| (&staged.file).write_all(bytes));
        written.map_err(|e| not_stored(e, "cannot write", target))?;
        self.place(staged, target, placing)
    }

    pub(super) fn stage(&self) -> Result<Staged> {
        self.check()?;
        // `#` and digits at the end: listings of `LocalFileSystem` leave such names out.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.staging.join(format!("write#{number}"));
        match File::options().create_new(true).write(true).open(&path) {
            Ok(file) => Ok(Staged { path, file }),
            Err(e) => Err(not_stored(e, "cannot create", &path)),
        }
    }

    /// Makes the staged bytes the object at `target`, for good.
    pub(super) fn place(&self, staged: Staged, target: &FsPath, placing: Placing) -> Result<()> {
        self.check()?;
        match staged.file.sync_all() {
            Ok(()) => {}
            // The bytes found no room; nothing has their name.
            Err(e) if is_no_room(&e) => return Err(not_stored(e, "cannot write", target)),
            Err(e) => return Err(self.sync_failed(&e, target)),
        }
        let folder = target.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        let placed = match placing {
            Placing::Create => fs::hard_link(&staged.path, target),
            Placing::Overwrite => fs::rename(&staged.path, target),
        };
        let answer = match placed {
            Ok(()) => Ok(()),
            Err(source) if source.kind() == ErrorKind::AlreadyExists => Err(Error::AlreadyExists {
                path: target.display().to_string(),
                source: source.into(),
            }),
            Err(e) => return Err(not_stored(e, "cannot name", target)),
        };
        // Also when it was there already: who finds it counts on it.
        self.sync(folder)?;
        answer
    }

    /// Makes the folder and those above it, down from the root, each name synced. A folder that
    /// this process did not sync may be from one that died before it could.
    fn make_folder(&self, folder: &FsPath) -> Result<()> {
        if folder == self.root || (self.synced().contains(folder) && folder.is_dir()) {
            return Ok(());
        }
        let above = match folder.parent() {
            Some(above) if folder.starts_with(&self.root) => above,
            _ => {
                return Err(not_stored(ErrorKind::InvalidInput.into(), "outside: ", folder));
            }
        };
        self.make_folder(above)?;
        match fs::create_dir(folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists || !folder.is_dir() => {
                return Err(not_stored(e, "cannot make folder", folder));
            }
            _ => {}
        }
        self.sync(above)?;
        let mut synced = self.synced();
        if synced.len() >= SYNCED_FOLDERS_MAX {
            synced.clear();
        }
        synced.insert(folder.to_owned());
        Ok(())
    }

    fn synced(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names in a folder.
    fn sync(&self, folder: &FsPath) -> Result<()> {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| self.sync_failed(&e, folder))
    }

    fn sync_failed(&self, error: &io::Error, path: &FsPath) -> Error {
        let told = format!("fsync of {}: {error}", path.display());
        tracing::error!("{told}; nothing is written any more, check the disk and start again");
        let told = self.broken.get_or_init(|| told);
        StoreFault::SyncFailed(io::Error::new(error.kind(), told.clone())).into_store_error(STORE)
    }

    fn check(&self) -> Result<()> {
        match self.broken.get() {
            None => Ok(()),
            Some(told) => {
                let told = io::Error::other(format!("since an earlier error: {told}"));
                Err(StoreFault::SyncFailed(told).into_store_error(STORE))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn break_as_if_by_fsync(&self) {
        let _ = self.sync_failed(&io::Error::other("made to fail"), &self.root);
    }
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}
