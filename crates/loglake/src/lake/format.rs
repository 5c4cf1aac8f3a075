//! `_lake.json`: the version of the bucket's layout, written once.

use anyhow::{Context, bail};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};

/// The layout this program reads and writes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct LakeFormat {
    format: u32,
}

/// Marks an empty bucket as a lake, and refuses a bucket of a layout that is not known here.
pub async fn check_or_create(store: &dyn ObjectStore) -> anyhow::Result<()> {
    let path = Path::from("_lake.json");
    let ours = serde_json::to_vec(&LakeFormat { format: VERSION })?;
    match store.put_opts(&path, ours.into(), PutMode::Create.into()).await {
        Ok(_) => return Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(e) => return Err(e).context("the bucket cannot be written"),
    }
    let bytes = store.get(&path).await?.bytes().await?;
    let found: LakeFormat =
        serde_json::from_slice(&bytes).context("_lake.json of this bucket is not loglake's")?;
    if found.format != VERSION {
        bail!(
            "the bucket has layout {}, this loglake knows {VERSION}: use a newer one",
            found.format
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_bucket_of_a_newer_layout_is_left_alone() {
        let store = InMemory::new();
        check_or_create(&store).await.unwrap();
        check_or_create(&store).await.unwrap();
        store.put(&Path::from("_lake.json"), r#"{"format":2}"#.into()).await.unwrap();
        let error = check_or_create(&store).await.unwrap_err();
        assert!(error.to_string().contains("layout 2"), "{error}");
    }
}
