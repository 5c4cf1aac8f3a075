//! What the tests stand on: a clock, a store that fails, and files that are only names.

#![allow(dead_code, clippy::unwrap_used)]

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use loglake_model::*;
use loglake_table::*;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

#[derive(Debug)]
pub struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(1_793_538_000_000_000_000) // 2026-11-01T13:00:00Z
    }
}

pub const PARTITION: Partition = Partition { day: 20_758, hour: Some(13) };

pub fn catalog(store: &Arc<dyn ObjectStore>, checkpoint_interval: u64) -> Catalog {
    let settings =
        TableSettings { columns_max: 1_000, checkpoint_interval, partition_by: PartitionBy::Hour };
    Catalog::new(Arc::clone(store), Arc::new(StillClock), settings)
}

pub fn writer(n: u128) -> WriterId {
    format!("{n:032x}").parse().unwrap()
}

pub fn logs() -> (TenantName, TableName) {
    (TenantName::unnamed(), TableName::unnamed())
}

pub fn file(table: &Table, rows: u64) -> DataFile {
    DataFile {
        path: table.new_file_path(&PARTITION),
        partition: PARTITION,
        bytes: rows * 7,
        rows,
        stats: FileStats::default(),
        modified: StillClock.now(),
        checksum: Some(7),
        words: Some("words".into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// Nothing happens, and an error says so.
    Before,
    /// It happens, and a time-out is reported.
    After,
}

/// Faults of its writes and reads, in order; none once they are used up.
#[derive(Debug)]
pub struct Faulty {
    pub inner: Arc<dyn ObjectStore>,
    pub faults: Vec<Fault>,
    pub next: AtomicUsize,
}

impl Faulty {
    fn fault(&self) -> Fault {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        self.faults.get(at).copied().unwrap_or(Fault::None)
    }
}

fn timeout() -> Error {
    Error::Generic { store: "faulty", source: "timed out".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, to: &Path, what: PutPayload, how: PutOptions) -> Result<PutResult> {
        // Others get a turn between any two calls.
        tokio::task::yield_now().await;
        match self.fault() {
            Fault::None => self.inner.put_opts(to, what, how).await,
            Fault::Before => Err(timeout()),
            Fault::After => {
                let _ = self.inner.put_opts(to, what, how).await;
                Err(timeout())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, how).await
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        tokio::task::yield_now().await;
        match self.fault() {
            Fault::None => self.inner.get_opts(from, how).await,
            _ => Err(timeout()),
        }
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(from, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, of: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(of)
    }

    async fn list_with_delimiter(&self, of: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(of).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}
