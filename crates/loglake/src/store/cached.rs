//! Byte ranges of data files, kept in memory and on disk: what was read of a bucket once is not asked
//! for again.
//!
//! Data files never change and their names are never used again, so that what is kept of them is right
//! for ever. They are kept in pieces of one size ([`pieces`]): whoever asks for other rows of a page, or
//! another column beside, finds what is there already. Other objects are passed on as they are.
//!
//! Bounded by its settings. The pieces on disk outlive the process; each has a checksum, and one that is
//! not what was written counts as absent. Two processes cannot share a folder.

mod pieces;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use async_trait::async_trait;
use bytes::Bytes;
use foyer::{
    BlockEngineConfig, Code, Device, DeviceBuilder, FsDeviceBuilder, HybridCache,
    HybridCacheBuilder, HybridCachePolicy, S3FifoConfig, Source,
};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use pieces::{bytes_of, cut, missing, pieces_of};

/// Bytes of memory that a piece takes beside its own.
const ENTRY_BYTES: usize = 128;

/// Pieces that are looked for at once by one request.
const LOOKS_AT_ONCE: usize = 64;

/// The smallest folder: a few of the cache's blocks of 16 MiB.
pub const DISK_BYTES_MIN: u64 = 64 << 20;

/// Held locked by the process that has the folder.
const LOCK: &str = "lock";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    pub memory_bytes: usize,
    pub disk: Option<DiskSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSettings {
    pub folder: PathBuf,
    /// At least [`DISK_BYTES_MIN`].
    pub bytes: u64,
}

/// Bytes of data files that were read, by where they were found. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct CacheReads(Family<Labels, Counter>);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    from: &'static str,
}

impl CacheReads {
    /// Puts the counters into a registry whose prefix should be `loglake`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "cache_read",
            "Bytes of data files that queries read, from memory, disk or the store",
            Unit::Bytes,
            self.0.clone(),
        );
    }

    fn count(&self, from: &'static str, bytes: usize) {
        self.0.get_or_create(&Labels { from }).inc_by(bytes as u64);
    }
}

/// A piece of an object: the hash of the object's name, and the piece's number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PieceId {
    object: u128,
    piece: u64,
}

impl Code for PieceId {
    fn encode(&self, writer: &mut impl std::io::Write) -> foyer::Result<()> {
        self.object.encode(writer)?;
        self.piece.encode(writer)
    }

    fn decode(reader: &mut impl std::io::Read) -> foyer::Result<Self> {
        Ok(Self { object: u128::decode(reader)?, piece: u64::decode(reader)? })
    }

    fn estimated_size(&self) -> usize {
        size_of::<u128>() + size_of::<u64>()
    }
}

/// A store whose data files are read through a cache.
pub struct Cached {
    inner: Arc<dyn ObjectStore>,
    pieces: HybridCache<PieceId, Bytes>,
    reads: CacheReads,
    /// Locked until it is closed.
    _lock: Option<File>,
}

impl Cached {
    /// # Errors
    /// When the folder cannot be made or read, or another process has it.
    pub async fn open(
        inner: Arc<dyn ObjectStore>,
        settings: &CacheSettings,
        reads: CacheReads,
    ) -> anyhow::Result<Self> {
        let in_memory = HybridCacheBuilder::new()
            .with_name("loglake")
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .with_flush_on_close(false)
            .memory(settings.memory_bytes)
            // A scan of everything passes without pushing out what is asked for again and again.
            .with_eviction_config(S3FifoConfig::default())
            .with_weighter(|_, bytes: &Bytes| bytes.len() + ENTRY_BYTES)
            .storage();
        let (pieces, lock) = match &settings.disk {
            None => (in_memory.build().await, None),
            Some(disk) => {
                let (device, lock) = open_folder(disk)?;
                (in_memory.with_engine_config(BlockEngineConfig::new(device)).build().await, lock)
            }
        };
        Ok(Self {
            inner,
            pieces: pieces.context("the cache cannot be opened")?,
            reads,
            _lock: lock,
        })
    }

    /// Ends with everything on disk that is to be there.
    pub async fn close(&self) {
        if let Err(e) = self.pieces.close().await {
            tracing::warn!("the cache on disk may lack what was read last: {e}");
        }
    }

    /// The pieces that are kept of those asked for.
    async fn kept(&self, object: u128, wanted: &[u64]) -> BTreeMap<u64, Bytes> {
        let look = |piece: u64| async move {
            // A piece that cannot be read is read from the store.
            let entry = self.pieces.get(&PieceId { object, piece }).await.ok().flatten()?;
            let from = if entry.source() == Source::Disk { "disk" } else { "memory" };
            self.reads.count(from, entry.value().len());
            Some((piece, entry.value().clone()))
        };
        let looks = stream::iter(wanted.iter().copied()).map(look).buffered(LOOKS_AT_ONCE);
        looks.filter_map(std::future::ready).collect().await
    }

    async fn ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let object = twox_hash::XxHash3_128::oneshot(location.as_ref().as_bytes());
        let wanted = pieces_of(ranges);
        let mut found = self.kept(object, &wanted).await;
        let missing = missing(&wanted, &found);
        if !missing.is_empty() {
            let read = self.inner.get_ranges(location, &missing).await?;
            for (range, bytes) in missing.iter().zip(read) {
                self.reads.count("store", bytes.len());
                for (piece, bytes) in cut(range.start, &bytes) {
                    self.pieces.insert(PieceId { object, piece }, bytes.clone());
                    found.insert(piece, bytes);
                }
            }
        }
        Ok(ranges.iter().map(|range| bytes_of(range, &found)).collect())
    }
}

/// The folder as the cache sees it, which is this process's alone.
fn open_folder(disk: &DiskSettings) -> anyhow::Result<(Arc<dyn Device>, Option<File>)> {
    let folder: &FsPath = &disk.folder;
    let open = || -> anyhow::Result<_> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join(LOCK))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => bail!("another process has it"),
            locked => locked?,
        }
        let pieces = FsDeviceBuilder::new(folder.join("pieces"));
        Ok((pieces.with_capacity(disk.bytes as usize).build()?, Some(lock)))
    };
    open().with_context(|| format!("{} cannot be the cache's folder", folder.display()))
}

/// Whether an object never changes, and its name is never used again.
fn is_data_file(location: &Path) -> bool {
    location.extension() == Some("parquet")
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Cached {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match is_data_file(location) {
            true => self.ranges(location, ranges).await,
            false => self.inner.get_ranges(location, ranges).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
