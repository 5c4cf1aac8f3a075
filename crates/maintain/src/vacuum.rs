//! Vacuum: removes data files that a table does not name.
//!
//! ```text
//! list the folder ─▶ anything to remove? ─▶ commit a higher `txn` of `vacuum` ─▶ delete
//! ```
//! What is deleted was listed before the commit and is not part of the version that the commit made.
//! A file that was on its way then was named before it, its name says so, and no commit takes it any
//! more: whoever wrote it writes its rows again. So no file of the table can be deleted, whatever any
//! clock says, however long this process slept between two steps, and whoever else vacuums.
//!
//! The grace is for others' sake: a query that still reads an older version need not begin again, and
//! another engine, which knows nothing of our `txn`, can end what it began.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use loglake_model::Timestamp;
use loglake_table::{Snapshot, Table};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::MaintainError;
use crate::age::StoreTime;

/// How long a file that no version names any more stays. Longer than any query; other engines may take
/// as long for a commit of theirs.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);

/// Vacuums a table once; how many files were removed. Without one that is due nothing is written.
///
/// # Errors
/// When the store or the commit failed. What is left is taken by the next one.
pub async fn vacuum(
    store: &dyn ObjectStore,
    table: &Table,
    now: Timestamp,
    grace: Duration,
) -> Result<usize, MaintainError> {
    let listed = list(store, table).await?;
    let version = table.refresh().await?;
    // By this process's clock: if it is wrong, a vacuum is made for nothing, or later.
    let guess = DateTime::from_timestamp_nanos(now.as_nanos());
    let may_be_due = |file: &ObjectMeta| match relative(table, file) {
        Some(path) if !version.contains(&path) => since(&version, &path, file) + grace <= guess,
        _ => false,
    };
    if !listed.iter().any(may_be_due) {
        return Ok(0);
    }
    let version = table.commit_vacuum().await?;
    let mut time = StoreTime::default();
    time.saw(&store.head(&table.entry_path(version.version())).await?);
    let due = |file: &ObjectMeta| match relative(table, file) {
        Some(path) if !version.contains(&path) => time.is_past(since(&version, &path, file), grace),
        _ => false,
    };
    let due: Vec<Path> = listed.into_iter().filter(due).map(|file| file.location).collect();
    let removed = due.len();
    delete(store, due).await?;
    tracing::info!(table = %table.root(), files = removed, vacuum = version.vacuum(), "vacuumed");
    Ok(removed)
}

/// Since when nobody needs a file that the version does not name: since its removal from the table,
/// or since it was made, if it never was part of it.
fn since(version: &Snapshot, path: &Path, file: &ObjectMeta) -> DateTime<Utc> {
    let removed = version.removed_at(path).map(|at| DateTime::from_timestamp_nanos(at.as_nanos()));
    removed.map_or(file.last_modified, |removed| removed.max(file.last_modified))
}

/// All that is in the table's folder except what other engines call hidden: the log, and folders and
/// files of their own that begin with `_` or `.`.
async fn list(store: &dyn ObjectStore, table: &Table) -> Result<Vec<ObjectMeta>, MaintainError> {
    let objects: Vec<ObjectMeta> = store.list(Some(table.root())).try_collect().await?;
    let is_data = |file: &ObjectMeta| {
        let parts = file.location.prefix_match(table.root());
        parts.is_some_and(|mut parts| {
            parts.all(|part| !part.as_ref().starts_with('_') && !part.as_ref().starts_with('.'))
        })
    };
    Ok(objects.into_iter().filter(is_data).collect())
}

fn relative(table: &Table, file: &ObjectMeta) -> Option<Path> {
    Some(Path::from_iter(file.location.prefix_match(table.root())?))
}

/// Deletes; what is gone already is as good.
pub(crate) async fn delete(store: &dyn ObjectStore, paths: Vec<Path>) -> Result<(), MaintainError> {
    let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
    let mut deleted = store.delete_stream(paths);
    while let Some(deleted) = deleted.next().await {
        match deleted {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
