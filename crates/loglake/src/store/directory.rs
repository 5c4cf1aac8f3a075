//! A directory as the bucket: [`LocalFileSystem`] for what may have to wait for the disk, listings and writes of
//! our own; writes survive a power cut.
//!
//! A write answers once its bytes, its name and every folder above it are synced. It goes to a file
//! in `_tmp/` first, so that an object is whole or absent; the name is given by a hard link (create:
//! one winner) or a rename (overwrite). Whoever finds that an object exists syncs its folder before
//! saying so, because the one who made it may not have come so far. After one failed fsync nothing
//! is written any more: the kernel may have dropped the pages, and a later fsync would not say so.
//!
//! Errors of writes say whether the object may be there: [`StoreFault`].

mod at_hand;
mod files;
mod list;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use futures::{TryFutureExt, TryStreamExt};
use loglake_wal::StoreFault;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use files::{Files, Placing};
use upload::Upload;

const STORE: &str = "directory";
/// Held locked by the process that has the directory. Cannot be a tenant's name, as `_tmp`.
const LOCK: &str = "_lock";
const STAGING: &str = "_tmp";

#[derive(Debug)]
pub(super) struct Directory {
    inner: LocalFileSystem,
    root: PathBuf,
    access: Access,
}

#[derive(Debug)]
enum Access {
    Writes {
        files: Arc<Files>,
        /// Locked until it is closed.
        _lock: File,
    },
    Reads,
}

impl Directory {
    /// Makes the directory if need be, keeps others out, and sweeps what writes of a dead process
    /// left behind.
    pub(super) fn open(root: &FsPath) -> anyhow::Result<Self> {
        let place = || format!("directory {}", root.display());
        let is_new = !root.exists();
        fs::create_dir_all(root).with_context(|| format!("{} cannot be made", place()))?;
        let root = root.canonicalize().with_context(place)?;
        if is_new {
            for above in root.ancestors().skip(1) {
                // A folder that we may not read was not made just now.
                if let Ok(folder) = File::open(above) {
                    folder.sync_all().with_context(|| format!("fsync of {}", above.display()))?;
                }
            }
        }
        let lock = lock(&root)?;
        let staging = root.join(STAGING);
        // Only ours are there: whoever wrote them held the lock.
        match fs::remove_dir_all(&staging) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("{} cannot be swept", staging.display()));
            }
            _ => {}
        }
        fs::create_dir(&staging)
            .with_context(|| format!("{} cannot be made", staging.display()))?;
        let inner = LocalFileSystem::new_with_prefix(&root)?;
        let files = Arc::new(Files::new(root.clone(), staging));
        Ok(Self { inner, root, access: Access::Writes { files, _lock: lock } })
    }

    /// To read only, whoever else has it.
    pub(super) fn read(root: &FsPath) -> anyhow::Result<Self> {
        let inner = LocalFileSystem::new_with_prefix(root)
            .with_context(|| format!("directory {} cannot be read", root.display()))?;
        Ok(Self { inner, root: root.to_owned(), access: Access::Reads })
    }

    fn files(&self, location: &Path) -> Result<&Arc<Files>> {
        match &self.access {
            Access::Writes { files, .. } => Ok(files),
            Access::Reads => Err(Error::PermissionDenied {
                path: location.to_string(),
                source: format!("{self} was opened to be read only").into(),
            }),
        }
    }
}

fn lock(root: &FsPath) -> anyhow::Result<File> {
    let path = root.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another process has directory {root}: stop the loglake that serves it, or choose \
             another directory ({path} is locked)",
            root = root.display(),
            path = path.display(),
        ),
        Err(TryLockError::Error(e)) => {
            Err(e).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// Whether an object is ours and not for others to see.
fn is_hidden(location: &Path) -> bool {
    location.parts().next().is_some_and(|first| matches!(first.as_ref(), LOCK | STAGING))
}

/// Work on files belongs on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(source) => Err(Error::JoinError { source }),
    }
}

fn not_supported(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "directory {}", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for Directory {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let files = Arc::clone(self.files(location)?);
        let placing = match options.mode {
            PutMode::Create => Placing::Create,
            PutMode::Overwrite => Placing::Overwrite,
            PutMode::Update(_) => return Err(not_supported("conditional update")),
        };
        if !options.attributes.is_empty() {
            return Err(not_supported("attributes of an object"));
        }
        let target = self.inner.path_to_filesystem(location)?;
        blocking(move || files.put(&target, &payload, placing)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let files = Arc::clone(self.files(location)?);
        if !options.attributes.is_empty() {
            return Err(not_supported("attributes of an object"));
        }
        let target = self.inner.path_to_filesystem(location)?;
        Ok(Box::new(blocking(move || Upload::begin(files, target)).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if at_hand::is_absent(&self.inner.path_to_filesystem(location)?) {
            let source = io::Error::from(io::ErrorKind::NotFound).into();
            return Err(Error::NotFound { path: location.to_string(), source });
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match at_hand::ranges(&self.inner.path_to_filesystem(location)?, ranges) {
            Some(read) => Ok(read),
            None => self.inner.get_ranges(location, ranges).await,
        }
    }

    /// Not synced: what comes back after a power cut is deleted again by whoever meant to.
    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.files(&Path::default()) {
            Ok(_) => self.inner.delete_stream(locations),
            Err(e) => stream::iter([Err(e)]).boxed(),
        }
    }

    /// In the order of names, as S3 lists: readers of the Delta log count on it.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let location = prefix.cloned().unwrap_or_default();
        let folder = match prefix {
            Some(prefix) => self.inner.path_to_filesystem(prefix),
            None => Ok(self.root.clone()),
        };
        let listed = async move {
            let folder = folder?;
            let objects = blocking(move || list::objects(folder, location)).await?;
            Ok::<_, Error>(stream::iter(objects.into_iter().map(Ok)))
        };
        listed.try_flatten_stream().boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        let after = move |object: &ObjectMeta| {
            let seen = object.location > offset;
            async move { seen }
        };
        self.list(prefix).try_filter(after).boxed()
    }

    /// A folder that holds no object is none, as in a bucket.
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects.retain(|object| !is_hidden(&object.location));
        listed.objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        let mut folders = vec![];
        for folder in listed.common_prefixes {
            let mut inside = self.inner.list(Some(&folder));
            if !is_hidden(&folder) && inside.next().await.transpose()?.is_some() {
                folders.push(folder);
            }
        }
        folders.sort_unstable();
        Ok(ListResult { common_prefixes: folders, objects: listed.objects })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let bytes = self.inner.get_opts(from, GetOptions::default()).await?.bytes().await?;
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.put_opts(to, bytes.into(), mode.into()).await.map(drop)
    }
}

/// The error of a write that definitely made no object.
fn not_stored(error: io::Error, what: &str, path: &FsPath) -> Error {
    let told = io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()));
    StoreFault::NotStored(told).into_store_error(STORE)
}
