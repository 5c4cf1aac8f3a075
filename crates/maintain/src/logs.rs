//! What stays of a writer's log after its recovery: the seal and the highest floor, so that the writer
//! can never come back.
//!
//! They are removed 30 days after the youngest of them was made. A writer older than a day replaces
//! itself, so no process lives then that could still write to the log, unless it was stopped for a
//! month and acknowledges something in the moment after; this is the one place where that matters. A
//! log that is listed among the writers, or has a segment, is never touched.

use std::collections::HashSet;
use std::time::Duration;

use futures::TryStreamExt;
use loglake_model::WriterId;
use loglake_wal::Reader;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::MaintainError;
use crate::age::StoreTime;
use crate::vacuum::delete;

pub const AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Removes the remains of logs that are due; of how many writers.
///
/// # Errors
/// When the store fails; what is left is taken by the next one.
pub async fn sweep(
    store: &dyn ObjectStore,
    reader: &Reader,
    age: Duration,
) -> Result<usize, MaintainError> {
    let folders = store.list_with_delimiter(Some(&Path::from("_wal"))).await?.common_prefixes;
    // After the folders: a writer's mark is made before its log.
    let listed: HashSet<WriterId> = reader.writers().await?.into_iter().collect();
    let time = StoreTime::of(store).await?;
    let mut removed = 0;
    for folder in folders {
        let writer = folder.filename().and_then(|name| name.parse::<WriterId>().ok());
        let Some(writer) = writer.filter(|writer| !listed.contains(writer)) else { continue };
        let objects: Vec<ObjectMeta> = store.list(Some(&folder)).try_collect().await?;
        let is_old = |object: &ObjectMeta| time.is_past(object.last_modified, age);
        if objects.iter().all(is_old) && reader.log(writer).await?.segments.is_empty() {
            // The floor last: as long as there is one, whoever looks sees a log that was trimmed.
            let (floors, others): (Vec<_>, Vec<_>) = objects
                .into_iter()
                .map(|object| object.location)
                .partition(|path| path.filename().is_some_and(|name| name.starts_with("floor-")));
            delete(store, others).await?;
            delete(store, floors).await?;
            removed += 1;
        }
    }
    Ok(removed)
}
