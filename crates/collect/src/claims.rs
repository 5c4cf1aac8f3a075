//! Claims: who may log the records of a partition, from which offset on.
//!
//! ```text
//! _collect/<system>/<cluster>/<topic>/<partition>/<20-digit number>
//! ```
//! The claim with the highest number holds; each is one conditional create and is never changed. It names
//! the one writer whose log may come to hold records from its offset on, or nobody: then the partition was
//! given up well, everything before the offset is committed, and anybody may make the next claim. The next
//! claim after one that names a writer is made only when that writer's log is sealed and committed, so
//! that its tables say how far it came.
//!
//! A claim counts only if a listing begun after its creation shows none above it: older claims are
//! deleted, and somebody who is late by several could find its number free again.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use loglake_model::{TableName, WriterId};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};

use crate::CollectError;

/// Attempts to reach the store before the caller is told to come back.
const ATTEMPTS_MAX: u32 = 5;
/// Claims that stay below the one that holds, to be looked at by people.
const KEPT: u64 = 4;

/// One claim of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The only writer that may log records from `from` on; nobody when the partition was given up.
    pub writer: Option<WriterId>,
    /// All records before it are in the lake, or are gone and said to be.
    pub from: u64,
    /// The tables whose counts of the partition say how far the writer came.
    pub tables: Vec<TableName>,
    /// Tells this claim from every other.
    pub attempt: String,
}

/// What became of an attempt to claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    Ours,
    /// Somebody else was quicker.
    Taken,
}

/// The claims of the partitions of one cluster.
#[derive(Clone, Debug)]
pub struct Claims {
    store: Arc<dyn ObjectStore>,
    /// `<system>/<cluster>`
    source: String,
}

impl Claims {
    pub fn new(store: Arc<dyn ObjectStore>, source: impl Into<String>) -> Self {
        Self { store, source: source.into() }
    }

    /// The name of a partition as tables count it: `<system>/<cluster>/<topic>/<partition>`.
    pub fn queue(&self, topic: &str, partition: i32) -> String {
        format!("{}/{topic}/{partition}", self.source)
    }

    fn folder(&self, topic: &str, partition: i32) -> Path {
        Path::from(format!("_collect/{}", self.queue(topic, partition)))
    }

    fn path(&self, topic: &str, partition: i32, number: u64) -> Path {
        self.folder(topic, partition).join(format!("{number:020}"))
    }

    /// The claim that holds, and its number.
    ///
    /// # Errors
    /// When the store does not answer, or what is there is no claim.
    pub async fn last(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Option<(u64, Claim)>, CollectError> {
        loop {
            let Some(number) = self.numbers(topic, partition).await?.into_iter().max() else {
                return Ok(None);
            };
            // One that is gone was followed by several others.
            if let Some(claim) = self.read(topic, partition, number).await? {
                return Ok(Some((number, claim)));
            }
        }
    }

    /// Makes the claim of this number, unless there is one, or one above it.
    ///
    /// # Errors
    /// When the store does not answer: whether the claim was made is not known then, and it counts if
    /// it was.
    pub async fn make(
        &self,
        topic: &str,
        partition: i32,
        number: u64,
        claim: &Claim,
    ) -> Result<Made, CollectError> {
        if !self.create(topic, partition, number, claim).await? {
            return Ok(Made::Taken);
        }
        let numbers = self.numbers(topic, partition).await?;
        if numbers.iter().any(|other| *other > number) {
            return Ok(Made::Taken);
        }
        for old in numbers.into_iter().filter(|old| old + KEPT < number) {
            // The next claim tries again.
            let _ = self.store.delete(&self.path(topic, partition, old)).await;
        }
        Ok(Made::Ours)
    }

    /// Whether the object is ours now.
    async fn create(
        &self,
        topic: &str,
        partition: i32,
        number: u64,
        claim: &Claim,
    ) -> Result<bool, CollectError> {
        let path = self.path(topic, partition, number);
        let content = Bytes::from(serde_json::to_vec(claim).map_err(|e| not_one(&path, &e))?);
        let mut failed = 0;
        loop {
            let create = self.store.put_opts(&path, content.clone().into(), PutMode::Create.into());
            let Err(error) = create.await else { return Ok(true) };
            // The answer to an attempt of ours may have been lost: what stands there tells.
            match self.read(topic, partition, number).await {
                Ok(Some(there)) => return Ok(there == *claim),
                Ok(None) | Err(CollectError::Store(_)) if failed < ATTEMPTS_MAX => failed += 1,
                Ok(None) => return Err(error.into()),
                Err(e) => return Err(e),
            }
            tokio::time::sleep(std::time::Duration::from_millis(20 << failed)).await;
        }
    }

    async fn numbers(&self, topic: &str, partition: i32) -> Result<Vec<u64>, CollectError> {
        let folder = self.folder(topic, partition);
        let objects: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
        let number = |path: &Path| path.filename()?.parse().ok();
        Ok(objects.iter().filter_map(|object| number(&object.location)).collect())
    }

    async fn read(
        &self,
        topic: &str,
        partition: i32,
        number: u64,
    ) -> Result<Option<Claim>, CollectError> {
        let path = self.path(topic, partition, number);
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| not_one(&path, &e))
    }

    /// What of the cluster was there when it was first consumed with [`crate::Start::Latest`]: how many
    /// partitions each topic had. The first who says it is believed for good.
    ///
    /// # Errors
    /// When the store does not answer, or what is there is something else.
    pub async fn beginning(&self, seen: &Beginning) -> Result<Beginning, CollectError> {
        let path = Path::from(format!("_collect/beginnings/{}", self.source));
        let content = serde_json::to_vec(seen).map_err(|e| not_one(&path, &e))?;
        let created = self.store.put_opts(&path, content.into(), PutMode::Create.into()).await;
        if created.is_ok() {
            return Ok(seen.clone());
        }
        let bytes = self.store.get(&path).await?.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|e| not_one(&path, &e))
    }
}

/// See [`Claims::beginning`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    pub partitions: std::collections::BTreeMap<String, i32>,
}

impl Beginning {
    pub fn has(&self, topic: &str, partition: i32) -> bool {
        self.partitions.get(topic).is_some_and(|count| partition < *count)
    }
}

fn not_one(path: &Path, error: &serde_json::Error) -> CollectError {
    CollectError::Claim { path: path.to_string(), problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use loglake_wal::testing::{Fault, FaultyStore, Operation};
    use object_store::memory::InMemory;

    use super::*;

    fn claim(n: u128, from: u64) -> Claim {
        let writer = WriterId::from_uuid(uuid::Uuid::from_u128(n));
        Claim { writer: Some(writer), from, tables: vec![], attempt: format!("{n}-{from}") }
    }

    #[tokio::test]
    async fn each_number_has_one_winner_and_the_highest_claim_holds() {
        let claims = Claims::new(Arc::new(InMemory::new()), "kafka/c");
        assert_eq!(claims.last("t", 0).await.unwrap(), None);
        let (a, b) = (claim(1, 5), claim(2, 5));
        let (one, two) = tokio::join!(claims.make("t", 0, 0, &a), claims.make("t", 0, 0, &b));
        let made = [one.unwrap(), two.unwrap()];
        assert_eq!(made.iter().filter(|made| **made == Made::Ours).count(), 1, "{made:?}");
        for n in 1..20 {
            assert_eq!(claims.make("t", 0, n, &claim(n.into(), n)).await.unwrap(), Made::Ours);
        }
        assert_eq!(claims.last("t", 0).await.unwrap(), Some((19, claim(19, 19))));
        assert_eq!(claims.last("t", 1).await.unwrap(), None);
        // Number 3 is free again by now, and nobody wins it.
        assert!(claims.numbers("t", 0).await.unwrap().len() < 8);
        assert_eq!(claims.make("t", 0, 3, &claim(9, 9)).await.unwrap(), Made::Taken);
        assert_eq!(claims.last("t", 0).await.unwrap(), Some((19, claim(19, 19))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_whose_answer_was_lost_is_ours() {
        let store = Arc::new(FaultyStore::puts(Arc::new(InMemory::new()), []));
        let mut first = true;
        store.set_script(Box::new(move |operation, _| match operation {
            Operation::Put if std::mem::take(&mut first) => Fault::LostAnswer,
            _ => Fault::None,
        }));
        let claims = Claims::new(store, "kafka/c");
        assert_eq!(claims.make("t", 0, 0, &claim(1, 5)).await.unwrap(), Made::Ours);
        assert_eq!(claims.make("t", 0, 0, &claim(2, 5)).await.unwrap(), Made::Taken);
    }

    #[tokio::test]
    async fn the_first_look_at_a_cluster_stays() {
        let claims = Claims::new(Arc::new(InMemory::new()), "kafka/c");
        let first = Beginning { partitions: [("t".to_owned(), 2)].into() };
        let later = Beginning { partitions: [("t".to_owned(), 9)].into() };
        assert_eq!(claims.beginning(&first).await.unwrap(), first);
        assert_eq!(claims.beginning(&later).await.unwrap(), first);
        assert!(first.has("t", 1) && !first.has("t", 2) && !first.has("u", 0));
    }
}
