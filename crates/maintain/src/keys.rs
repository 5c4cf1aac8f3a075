//! Claims of idempotency keys that are older than the promise they hold: a repeat within a day adds
//! nothing.
//!
//! The objects of one key go together, a while after the youngest of them is a day old: a claim must
//! not be free again while another object still tells of a later attempt. Removing them twice, or only
//! some of them, is harmless then: nobody is promised anything any more.

use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use twox_hash::XxHash3_64;

use crate::MaintainError;
use crate::age::StoreTime;
use crate::vacuum::delete;

/// The promised day, and a margin.
pub const AGE: Duration = Duration::from_secs(26 * 3600);

/// Keys that are looked at in one pass over a tenant's claims: what bounds the memory.
const PASS_KEYS: u64 = 200_000;

/// Removes what is due under `_keys/`; how many objects that were.
///
/// # Errors
/// When the store fails; what is left is taken by the next one.
pub async fn sweep(store: &dyn ObjectStore, age: Duration) -> Result<usize, MaintainError> {
    let tenants = store.list_with_delimiter(Some(&Path::from("_keys"))).await?.common_prefixes;
    if tenants.is_empty() {
        return Ok(0);
    }
    let mut time = StoreTime::of(store).await?;
    let mut removed = 0;
    for tenant in tenants {
        let mut count = 0;
        let mut objects = store.list(Some(&tenant));
        while let Some(object) = objects.try_next().await? {
            time.saw(&object);
            count += 1;
        }
        let passes = count / PASS_KEYS + 1;
        for pass in 0..passes {
            let is_in_pass = |hash: &str| XxHash3_64::oneshot(hash.as_bytes()) % passes == pass;
            let due = due(store, &tenant, is_in_pass, &time, age).await?;
            removed += due.len();
            delete(store, due).await?;
        }
    }
    Ok(removed)
}

/// The objects of the keys in this pass of which every object is old.
async fn due(
    store: &dyn ObjectStore,
    tenant: &Path,
    is_in_pass: impl Fn(&str) -> bool,
    time: &StoreTime,
    age: Duration,
) -> Result<Vec<Path>, MaintainError> {
    // Nothing of a young key is kept but that it is young.
    let mut keys: HashMap<String, Option<Vec<Path>>> = HashMap::new();
    let mut objects = store.list(Some(tenant));
    while let Some(object) = objects.try_next().await? {
        let Some(hash) = hash(&object).filter(|hash| is_in_pass(hash)) else { continue };
        let old = keys.entry(hash).or_insert_with(|| Some(vec![]));
        match old.as_mut().filter(|_| time.is_past(object.last_modified, age)) {
            Some(old) => old.push(object.location),
            None => *old = None,
        }
    }
    Ok(keys.into_values().flatten().flatten().collect())
}

/// `<hash>-<what>`; nothing else is touched.
fn hash(object: &ObjectMeta) -> Option<String> {
    let (hash, _) = object.location.filename()?.rsplit_once('-')?;
    Some(hash.to_owned())
}
