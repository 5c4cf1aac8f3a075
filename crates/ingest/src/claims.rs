//! Idempotency keys in the bucket: who may store a request's rows, and that they are stored.
//!
//! ```text
//! _keys/<tenant>/<hash>-<n>      claim n (from 0): one attempt of one writer to store the rows
//! _keys/<tenant>/<hash>-stored   some attempt has succeeded
//! ```
//! A claim is one conditional create, made before the rows are logged, and used for one attempt. Claim
//! n + 1 is made only when the attempt of claim n is known to have failed for good: its writer says so,
//! or that writer's log is sealed and does not hold the key. So at most one attempt succeeds. The mark
//! `stored` is made before the segment that holds the key is trimmed: from then on the log need not be
//! searched. All of it is removed a day after it was made.

use std::sync::Arc;

use bytes::Bytes;
use loglake_model::{TenantName, WriterId};
use loglake_wal::Mark;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::IngestError;

const STORED: &str = "stored";
/// Attempts to reach the store before the caller is told to come back.
const ATTEMPTS_MAX: u32 = 5;

/// A request that its sender has named, so that a repeat of it adds nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    id: String,
    hash: [u8; 32],
    body: String,
}

impl RequestKey {
    /// `key`: the sender's name for the request, one namespace a tenant. `body`: what tells this
    /// request from another one under the same name by mistake, in any number of pieces.
    pub fn new<'a>(
        tenant: &TenantName,
        key: &str,
        body: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let hash = sha256([key.as_bytes()]);
        Self { id: format!("{tenant}/{}", hex(&hash)), hash, body: hex(&sha256(body)) }
    }

    /// The tenant and the hash of the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The SHA-256 hash of the sender's name for the request.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark::IdempotencyKey(self.id.clone())
    }
}

fn sha256<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
    }
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The right to store a request's rows, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The only writer whose log may come to hold the rows.
    pub(crate) writer: WriterId,
    /// Tells this attempt from every other.
    pub(crate) attempt: String,
    body: String,
}

/// What stands at a claim's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    Ours,
    By(Claim),
}

/// The claims of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    store: Arc<dyn ObjectStore>,
}

impl Claims {
    pub(crate) const fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Makes claim `n` unless there is one.
    pub(crate) async fn make(
        &self,
        key: &RequestKey,
        n: u32,
        writer: WriterId,
        attempt: &str,
    ) -> Result<Claimed, IngestError> {
        let claim = Claim { writer, attempt: attempt.to_owned(), body: key.body.clone() };
        let content = Bytes::from(serde_json::to_vec(&claim)?);
        let path = path(&key.id, &n.to_string());
        let mut failed = 0;
        loop {
            let create = self.store.put_opts(&path, content.clone().into(), PutMode::Create.into());
            let Err(error) = create.await else { return Ok(Claimed::Ours) };
            // The answer to an attempt of ours may have been lost: what stands there tells.
            match self.read(key, n).await {
                Ok(Some(there)) if there == claim => return Ok(Claimed::Ours),
                Ok(Some(there)) => return Ok(Claimed::By(there)),
                Ok(None) | Err(IngestError::Store(_)) if failed < ATTEMPTS_MAX => failed += 1,
                Ok(None) => return Err(error.into()),
                Err(e) => return Err(e),
            }
            tokio::time::sleep(std::time::Duration::from_millis(20 << failed)).await;
        }
    }

    /// Claim `n`, if it was made.
    ///
    /// # Errors
    /// [`IngestError::KeyReused`] when it was made for another request.
    pub(crate) async fn read(
        &self,
        key: &RequestKey,
        n: u32,
    ) -> Result<Option<Claim>, IngestError> {
        let path = path(&key.id, &n.to_string());
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let claim: Claim = serde_json::from_slice(&bytes)?;
        if claim.body != key.body {
            return Err(IngestError::KeyReused);
        }
        Ok(Some(claim))
    }

    pub(crate) async fn is_stored(&self, id: &str) -> Result<bool, IngestError> {
        match self.store.head(&path(id, STORED)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Says that the rows of the request are stored. Harmless when it was said before.
    pub(crate) async fn set_stored(&self, id: &str) -> Result<(), IngestError> {
        self.store.put(&path(id, STORED), Bytes::from_static(b"{}\n").into()).await?;
        Ok(())
    }
}

/// `id` is `<tenant>/<hash>`.
fn path(id: &str, what: &str) -> Path {
    Path::from(format!("_keys/{id}-{what}"))
}
