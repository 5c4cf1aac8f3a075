//! The bucket: a directory, an S3 bucket, a folder of HDFS, or memory. All that differs between them ends here; the
//! other crates see [`ObjectStore`].

mod cached;
pub mod conformance;
mod counted;
mod directory;
mod hdfs;
mod s3;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use object_store::ObjectStore;
use object_store::memory::InMemory;

pub use cached::{CacheReads, CacheSettings, Cached, DISK_BYTES_MIN, DiskSettings};
pub use counted::{Counted, StoreRequests};
use directory::Directory;

/// An opened bucket. A directory is this process's alone for as long as its store lives.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub store: Arc<dyn ObjectStore>,
    /// Whether ranges of an object are read as one request, whatever lies between them.
    pub is_directory: bool,
}

impl Bucket {
    fn remote(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, is_directory: false }
    }
}

/// The bucket of a URL: `s3://bucket/prefix` (credentials, region and endpoint come from the
/// `AWS_*` variables), `hdfs://host:port/path` or `hdfs://name/path` (of a name service in the files of
/// `HADOOP_CONF_DIR`), `file:///directory`, a path of a directory, or `memory://`, which is empty and
/// gone with the process.
///
/// # Errors
/// When the URL is of another kind, or as [`open_directory`].
pub async fn open_url(url: &str) -> anyhow::Result<Bucket> {
    match url.split_once("://") {
        Some(("memory", _)) => Ok(Bucket::remote(Arc::new(InMemory::new()))),
        Some(("s3" | "s3a", rest)) => Ok(Bucket::remote(s3::open(rest)?)),
        Some(("hdfs", rest)) => Ok(Bucket::remote(Arc::new(hdfs::open(rest)?))),
        Some(("file", path)) if path.starts_with('/') => open_directory(Path::new(path)).await,
        None if !url.is_empty() => open_directory(Path::new(url)).await,
        _ => bail!(
            "{url:?} is no bucket: expected s3://bucket/prefix, hdfs://host:port/path, \
             file:///directory, a directory or memory://"
        ),
    }
}

/// A directory as the bucket, made if it is not there. A second process is kept out.
///
/// # Errors
/// When another process has it, or it cannot be made or written.
pub async fn open_directory(root: &Path) -> anyhow::Result<Bucket> {
    let root = root.to_owned();
    let directory = tokio::task::spawn_blocking(move || Directory::open(&root)).await;
    let directory = directory.context("opening the directory did not end")??;
    Ok(Bucket { store: Arc::new(directory), is_directory: true })
}

/// A directory to read from, also while another process has it. Writes are refused.
///
/// # Errors
/// When it is not there.
pub async fn read_directory(root: &Path) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let root = root.to_owned();
    let directory = tokio::task::spawn_blocking(move || Directory::read(&root)).await;
    Ok(Arc::new(directory.context("opening the directory did not end")??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_bucket_is_said() {
        for url in ["", "http://host/x", "file://relative", "s3://", "hdfs://", "hdfs:///path"] {
            assert!(open_url(url).await.is_err(), "{url:?}");
        }
        assert!(open_url("memory://").await.is_ok());
    }

    #[tokio::test]
    async fn memory_keeps_to_the_rules() {
        let bucket = open_url("memory://").await.unwrap();
        conformance::check(bucket.store.as_ref()).await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_keeps_to_the_rules() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = open_directory(&folder.path().join("new/lake")).await.unwrap();
        conformance::check(bucket.store.as_ref()).await.unwrap();
    }

    #[tokio::test]
    async fn a_bucket_of_s3_keeps_to_the_rules() {
        let Ok(url) = std::env::var("LOGLAKE_TEST_S3_URL") else {
            eprintln!("skipped: LOGLAKE_TEST_S3_URL names no bucket");
            return;
        };
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bucket = open_url(&url).await.unwrap();
        conformance::check(bucket.store.as_ref()).await.unwrap();
    }
}
