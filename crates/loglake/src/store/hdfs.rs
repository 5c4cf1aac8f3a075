//! HDFS as the bucket, through `hdfs-native`: files that are whole and on disks before they have a
//! name that anybody looks for.
//!
//! A write goes to a file of its own in `_tmp/`. When that is closed, every DataNode that has a part
//! of it was told to sync it, its checksums and its folder, and has said so. Then a rename gives it
//! its name: one atomic step in the NameNode, whose journal is synced before it answers, and which
//! one of many wins where nothing may be overwritten ([`place`]).
//!
//! The rooms: [`clients`] holds the connections and gives up what hangs, [`stage`] writes files
//! without a name and sweeps old ones, [`place`] names them, [`read`] and [`upload`] are the rest.
//! Errors of writes say whether the object may be there: [`loglake_wal::StoreFault`].

mod clients;
mod failure;
mod list;
mod place;
mod read;
mod stage;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail};
use async_trait::async_trait;
use chrono::DateTime;
use futures::TryFutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use hdfs_native::client::FileStatus;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

use clients::Clients;
use failure::Failure;
use place::{Placed, Placing};
use stage::Lately;
use upload::Upload;

const STORE: &str = "hdfs";
/// Files that have no name yet. Cannot be a tenant's name.
const STAGING: &str = "_tmp";
const DELETES_AT_ONCE: usize = 10;

#[derive(Clone, Debug)]
pub(super) struct Hdfs {
    clients: Arc<Clients>,
    root: Root,
    lately: Arc<Mutex<Lately>>,
}

/// `place` is `host:port/path`, or `name/path` with the name of a service that the files in
/// `HADOOP_CONF_DIR` know. Nothing is asked of a NameNode yet.
pub(super) fn open(place: &str) -> anyhow::Result<Hdfs> {
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    if authority.is_empty() || authority.contains('@') {
        bail!(
            "hdfs://{place} names no NameNode: expected hdfs://host:port/path or hdfs://name/path"
        );
    }
    let root = Root::parse(path)
        .with_context(|| format!("hdfs://{place} has a path that cannot be one"))?;
    let clients = Clients::new(authority).with_context(|| {
        format!(
            "hdfs://{place} cannot be used: without a port, {authority} has to be a name service in \
             the core-site.xml or hdfs-site.xml of HADOOP_CONF_DIR"
        )
    })?;
    Ok(Hdfs { clients: Arc::new(clients), root, lately: Arc::default() })
}

/// The folder of HDFS that is the bucket: empty, or `/a/b`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Root(Arc<str>);

impl Root {
    fn parse(path: &str) -> anyhow::Result<Self> {
        let path = Path::parse(path.trim_matches('/'))?;
        let text = if path.as_ref().is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self(text.into()))
    }

    /// Where an object or a folder is in HDFS.
    fn path(&self, location: &Path) -> String {
        match (self.0.is_empty(), location.as_ref().is_empty()) {
            (true, true) => "/".to_owned(),
            (false, true) => self.0.to_string(),
            _ => format!("{}/{location}", self.0),
        }
    }

    /// What a path of HDFS is in the bucket; `None` where others put what cannot be an object.
    fn location(&self, path: &str) -> Option<Path> {
        let below = path.strip_prefix(&*self.0)?;
        Path::parse(below.trim_start_matches('/')).ok()
    }

    fn staging(&self) -> String {
        format!("{}/{STAGING}", self.0)
    }
}

/// Whether an object is ours and not for others to see.
fn is_hidden(location: &Path) -> bool {
    location.parts().next().is_some_and(|first| first.as_ref() == STAGING)
}

fn not_supported(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

impl Hdfs {
    /// What is at a path, asked for as long as patience lasts.
    async fn status(&self, path: &str) -> Result<FileStatus, Failure> {
        let ask = |client: hdfs_native::Client| {
            let path = path.to_owned();
            async move { Ok(client.get_file_info(&path).await?) }
        };
        self.clients.ask(ask).await
    }

    async fn remove(&self, location: Path) -> Result<Path> {
        if location.as_ref().is_empty() {
            return Err(not_supported("deleting the bucket"));
        }
        let path = self.root.path(&location);
        let delete = |client: hdfs_native::Client| {
            let path = path.clone();
            async move { Ok(client.delete(&path, false).await?) }
        };
        match self.clients.ask(delete).await {
            // Whether it was there is not known: a client repeats a call whose answer was lost.
            Ok(_) => Ok(location),
            Err(failure) if failure.is_full_folder() => Ok(location),
            Err(failure) => Err(failure.into_read_error(&location)),
        }
    }

    /// Names a staged file. `ours` is what it holds.
    async fn place(
        &self,
        staged: &str,
        location: &Path,
        placing: Placing,
        ours: Ours<'_>,
    ) -> Result<()> {
        let target = self.root.path(location);
        match place::place(self.clients.as_ref(), staged, &target, placing).await {
            Placed::Stored => Ok(()),
            Placed::Exists => Err(taken(location)),
            Placed::NotStored(failure) => Err(failure.into_not_stored(location)),
            Placed::Unknown(failure) => Err(in_doubt(location, failure)),
            Placed::Compare(failure) => match self.holds(location, ours).await {
                Ok(true) => Ok(()),
                Ok(false) if placing == Placing::Create => Err(taken(location)),
                _ => Err(in_doubt(location, failure)),
            },
        }
    }

    async fn holds(&self, location: &Path, ours: Ours<'_>) -> Result<bool> {
        match ours {
            Ours::Length(bytes) => Ok(self.head(location).await?.size == bytes),
            Ours::Bytes(payload) => {
                if self.head(location).await?.size != payload.content_length() as u64 {
                    return Ok(false);
                }
                let there = self.get(location).await?.bytes().await?;
                let mut rest = &there[..];
                Ok(payload.iter().all(|bytes| {
                    let same = rest.starts_with(bytes);
                    rest = rest.get(bytes.len()..).unwrap_or_default();
                    same
                }))
            }
        }
    }
}

/// What is known of a staged file's content, to recognise it by.
#[derive(Clone, Copy, Debug)]
enum Ours<'a> {
    Bytes(&'a PutPayload),
    Length(u64),
}

fn taken(location: &Path) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: "somebody else made it".into() }
}

/// The error of a write that may have happened.
fn in_doubt(location: &Path, failure: Failure) -> Error {
    let told = format!("{location} may have been stored: {failure}");
    Error::Generic { store: STORE, source: told.into() }
}

fn meta(location: Path, status: &FileStatus) -> ObjectMeta {
    let (modified, size) = (status.modification_time, status.length as u64);
    ObjectMeta {
        location,
        last_modified: DateTime::from_timestamp_millis(modified.cast_signed()).unwrap_or_default(),
        size,
        e_tag: Some(format!("{modified:x}-{size:x}")),
        version: None,
    }
}

impl fmt::Display for Hdfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hdfs://{}{}", self.clients.authority(), self.root.0)
    }
}

#[async_trait]
impl ObjectStore for Hdfs {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let placing = match options.mode {
            PutMode::Create => Placing::Create,
            PutMode::Overwrite => Placing::Overwrite,
            PutMode::Update(_) => return Err(not_supported("conditional update")),
        };
        if !options.attributes.is_empty() {
            return Err(not_supported("attributes of an object"));
        }
        let staged = self.stage(&payload).await.map_err(|e| e.into_not_stored(location))?;
        self.place(&staged, location, placing, Ours::Bytes(&payload)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            return Err(not_supported("attributes of an object"));
        }
        Ok(Box::new(Upload::begin(self.clone(), location.clone()).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.read(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let hdfs = self.clone();
        let remove = move |location: Result<Path>| {
            let hdfs = hdfs.clone();
            async move { hdfs.remove(location?).await }
        };
        locations.map(remove).buffered(DELETES_AT_ONCE).boxed()
    }

    /// In the order of names, as S3 lists: readers of the Delta log count on it.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (hdfs, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let listing = async move { hdfs.objects(&prefix).await };
        listing
            .map_ok(|objects| stream::iter(objects.into_iter().map(Ok)))
            .try_flatten_stream()
            .boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        let after = move |object: &Result<ObjectMeta>| {
            let seen = object.as_ref().map_or(true, |object| object.location > offset);
            async move { seen }
        };
        self.list(prefix).filter(after).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.level(&prefix.cloned().unwrap_or_default()).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let bytes = self.get(from).await?.bytes().await?;
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.put_opts(to, bytes.into(), mode.into()).await.map(drop)
    }
}
