//! Listings: folders of HDFS as prefixes of a bucket.

use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use hdfs_native::client::FileStatus;
use hdfs_native::{Client, HdfsError};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};

use super::clients::{CALL_TIMEOUT, Patience};
use super::failure::Failure;
use super::{Hdfs, is_hidden, meta};

/// Folders looked into at once.
const LOOKS_AT_ONCE: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// All files below, and no folders.
    All,
    /// What the folder holds itself, folders too.
    Level,
    /// One file below, if there is any.
    First,
}

impl Hdfs {
    /// Objects below a prefix, in the order of their names.
    pub(super) async fn objects(&self, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        let found = self.walk(&self.root.path(prefix), Depth::All).await;
        let found = found.map_err(|failure| failure.into_read_error(prefix))?;
        let mut objects: Vec<_> = found.iter().filter_map(|file| self.object(file)).collect();
        objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    /// Objects and folders of one level. A folder that holds no object is none, as in a bucket.
    pub(super) async fn level(&self, prefix: &Path) -> Result<ListResult> {
        let found = self.walk(&self.root.path(prefix), Depth::Level).await;
        let found = found.map_err(|failure| failure.into_read_error(prefix))?;
        let (folders, files): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| one.isdir);
        let mut objects: Vec<_> = files.iter().filter_map(|file| self.object(file)).collect();
        let folders = folders.into_iter().filter_map(|folder| self.root.location(&folder.path));
        let held = stream::iter(folders.filter(|folder| !is_hidden(folder))).map(|folder| async {
            let inside = self.walk(&self.root.path(&folder), Depth::First).await;
            let inside = inside.map_err(|failure| failure.into_read_error(&folder))?;
            Ok::<_, object_store::Error>((!inside.is_empty()).then_some(folder))
        });
        let held: Vec<_> = held.buffered(LOOKS_AT_ONCE).try_collect().await?;
        let mut common_prefixes: Vec<_> = held.into_iter().flatten().collect();
        objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        common_prefixes.sort_unstable();
        Ok(ListResult { common_prefixes, objects })
    }

    fn object(&self, file: &FileStatus) -> Option<ObjectMeta> {
        let location = self.root.location(&file.path)?;
        (!is_hidden(&location)).then(|| meta(location, file))
    }

    /// What is below a folder; nothing, where there is none. A failed listing is made anew.
    pub(super) async fn walk(
        &self,
        folder: &str,
        depth: Depth,
    ) -> Result<Vec<FileStatus>, Failure> {
        let mut patience = Patience::new();
        loop {
            let (generation, client) = self.clients.current();
            match self.walk_once(generation, &client, folder, depth).await {
                Ok(found) => return Ok(found),
                Err(failure) if failure.is_final() => return Err(failure),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    async fn walk_once(
        &self,
        generation: u64,
        client: &Client,
        folder: &str,
        depth: Depth,
    ) -> Result<Vec<FileStatus>, Failure> {
        let listing = client.list_status_iter(folder, depth != Depth::Level);
        let mut found = vec![];
        let next =
            || self.clients.bounded(generation, CALL_TIMEOUT, async { Ok(listing.next().await) });
        while let Some(one) = next().await? {
            match one {
                // A file answers a listing of itself; it is below nothing.
                Ok(one) if one.path == folder => {}
                Ok(one) if one.isdir && depth != Depth::Level => {}
                Ok(one) => found.push(one),
                // It, or a folder below it, is gone.
                Err(HdfsError::FileNotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if depth == Depth::First && !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }
}
