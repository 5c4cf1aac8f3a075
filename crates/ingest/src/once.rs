//! Requests with an idempotency key: stored once, however often and wherever they are sent.
//!
//! ```text
//! claim 0 ─┬─ made ─▶ log the rows, marked ─▶ answer ─▶ mark the key stored
//!          └─ there ─▶ stored? ─▶ answer
//!                └─ no: ask the last claim's writer, or seal and search its log
//!                     ├─ stored ─▶ answer
//!                     └─ not stored ─▶ the next claim ─ as above
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loglake_model::WriterId;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::IngestError;
use crate::claims::{Claimed, Claims, RequestKey};
use crate::fate::Fate;
use crate::generation::{CurrentGeneration, Generation};
use crate::peers::{KeyFate, Peers};
use crate::router::{Router, Rows, parts};
use crate::trim::TrimHold;

const MARK_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct Once {
    here: CurrentGeneration,
    peers: Arc<dyn Peers>,
    router: Arc<Router>,
    claims: Claims,
    /// Requests that are under way here.
    open: Arc<Mutex<HashMap<String, watch::Receiver<Progress>>>>,
    /// What became of those that are over, until the bucket says so; of the present writer.
    ended: Arc<Mutex<HashMap<String, (WriterId, Ended)>>>,
    attempts: AtomicU64,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    UnderWay,
    Over(Option<KeyFate>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Stored, and not yet marked so in the bucket.
    Stored,
    /// The log may hold the rows or not.
    Unsure,
}

/// A request that is under way here, until dropped.
struct Open {
    id: String,
    progress: watch::Sender<Progress>,
    all: Arc<Mutex<HashMap<String, watch::Receiver<Progress>>>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
        self.progress.send_if_modified(|progress| {
            let silent = *progress == Progress::UnderWay;
            if silent {
                *progress = Progress::Over(None);
            }
            silent
        });
    }
}

impl Open {
    fn over(self, fate: Option<KeyFate>) {
        self.progress.send_replace(Progress::Over(fate));
    }
}

impl Once {
    pub(crate) fn new(
        here: CurrentGeneration,
        peers: Arc<dyn Peers>,
        router: Arc<Router>,
        claims: Claims,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (open, ended, attempts) = (Arc::default(), Arc::default(), AtomicU64::new(0));
        Self { here, peers, router, claims, open, ended, attempts, tasks, stop }
    }

    /// Resolves when the request's rows are durable and visible, by this call or an earlier one.
    pub(crate) async fn store(&self, key: &RequestKey, rows: Vec<Rows>) -> Result<(), IngestError> {
        if self.router.others_are_quicker() {
            return Err(IngestError::Slow);
        }
        let open = loop {
            match self.begin(key.id()) {
                Ok(open) => break open,
                // Another call of the same request is under way here.
                Err(other) => {
                    over(other).await;
                }
            }
        };
        let generation = self.here.get();
        if !self.claim(key, generation.writer()).await? {
            open.over(Some(KeyFate::Stored));
            return Ok(());
        }
        let (id, hold) = (key.id().to_owned(), generation.hold_trimming());
        self.ended(&id, generation.writer(), Ended::Unsure);
        match generation.append(parts(rows), Some(key.mark())).await {
            Ok(()) => {
                self.ended(&id, generation.writer(), Ended::Stored);
                open.over(Some(KeyFate::Stored));
                self.mark(id, generation, hold);
                Ok(())
            }
            Err(e) if e.may_be_stored() => {
                open.over(None);
                Err(e)
            }
            Err(e) => {
                self.ended.lock().remove(&id);
                open.over(Some(KeyFate::NotStored));
                Err(e)
            }
        }
    }

    fn ended(&self, id: &str, writer: WriterId, how: Ended) {
        let mut ended = self.ended.lock();
        if ended.get(id).is_none_or(|(known, _)| *known != writer) {
            // Of an earlier writer only the bucket is asked.
            ended.retain(|_, (known, _)| *known == writer);
        }
        ended.insert(id.to_owned(), (writer, how));
    }

    fn begin(&self, id: &str) -> Result<Open, watch::Receiver<Progress>> {
        let mut all = self.open.lock();
        if let Some(other) = all.get(id) {
            return Err(other.clone());
        }
        let (progress, receiver) = watch::channel(Progress::UnderWay);
        all.insert(id.to_owned(), receiver);
        Ok(Open { id: id.to_owned(), progress, all: Arc::clone(&self.open) })
    }

    /// Whether this call may store the rows; if not, they are stored.
    async fn claim(&self, key: &RequestKey, own: WriterId) -> Result<bool, IngestError> {
        let attempt = format!("{own}-{}", self.attempts.fetch_add(1, Ordering::Relaxed));
        let mut n = 0;
        let Claimed::By(mut last) = self.claims.make(key, n, own, &attempt).await? else {
            return Ok(true);
        };
        if self.claims.is_stored(key.id()).await? {
            return Ok(false);
        }
        loop {
            if let Some(later) = self.claims.read(key, n + 1).await? {
                (last, n) = (later, n + 1);
                continue;
            }
            if self.is_stored_by(key, last.writer, own).await? {
                return Ok(false);
            }
            match self.claims.make(key, n + 1, own, &attempt).await? {
                Claimed::Ours => return Ok(true),
                Claimed::By(later) => (last, n) = (later, n + 1),
            }
        }
    }

    /// Whether the attempt of the last claim succeeded; if not, it never will.
    async fn is_stored_by(
        &self,
        key: &RequestKey,
        writer: WriterId,
        own: WriterId,
    ) -> Result<bool, IngestError> {
        let said = match writer == own {
            // No attempt is under way here but the one that asks.
            true => self.own_fate(key.id(), own).await?,
            false => self.ask(writer, key.id()).await,
        };
        if let Some(said) = said {
            return Ok(said == KeyFate::Stored);
        }
        let found = self.router.find_out(writer, &key.mark(), None).await?;
        // What is trimmed was marked before.
        let stored = found == Fate::Stored || self.claims.is_stored(key.id()).await?;
        if found == Fate::Stored {
            self.claims.set_stored(key.id()).await?;
        }
        Ok(stored)
    }

    /// Asks the claim's writer, as long as it is worth waiting for.
    async fn ask(&self, writer: WriterId, id: &str) -> Option<KeyFate> {
        let known = self.peers.peers().into_iter().find(|peer| peer.standing.writer == writer)?;
        tokio::select! {
            biased;
            said = self.peers.key_fate(writer, id) => said,
            reason = self.router.patience_ends(known) => {
                tracing::warn!(%writer, reason, "the fate of a request with a key is found out");
                None
            }
        }
    }

    /// What became of a request whose claim names this writer. Waits while it is under way. `None`
    /// when that cannot be said, or this is another writer: the log tells.
    pub(crate) async fn fate(&self, writer: WriterId, id: &str) -> Option<KeyFate> {
        if self.here.get().writer() != writer {
            return None;
        }
        let under_way = self.open.lock().get(id).cloned();
        match under_way {
            Some(progress) => over(progress).await,
            None => self.own_fate(id, writer).await.ok().flatten(),
        }
    }

    /// What became of a request that is not under way here any more. Each claim is for one attempt,
    /// which was registered before the claim: so what is not known here is not stored.
    async fn own_fate(&self, id: &str, own: WriterId) -> Result<Option<KeyFate>, IngestError> {
        let ended = self.ended.lock().get(id).copied();
        match ended.filter(|(writer, _)| *writer == own) {
            Some((_, Ended::Stored)) => Ok(Some(KeyFate::Stored)),
            Some((_, Ended::Unsure)) => Ok(None),
            None if self.claims.is_stored(id).await? => Ok(Some(KeyFate::Stored)),
            None => Ok(Some(KeyFate::NotStored)),
        }
    }

    /// Says in the bucket that the request is stored; its segment is not trimmed before.
    fn mark(&self, id: String, generation: Arc<Generation>, hold: TrimHold) {
        let (claims, ended) = (self.claims.clone(), Arc::clone(&self.ended));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            while let Err(e) = claims.set_stored(&id).await {
                tracing::warn!("an idempotency key is not marked as stored yet: {e}");
                let waited = stop.run_until_cancelled(sleep(MARK_AGAIN_AFTER)).await;
                if waited.is_none() || generation.is_fenced() {
                    // Whoever recovers the log does it; until then its segment stays.
                    return std::mem::forget(hold);
                }
            }
            ended.lock().remove(&id);
            drop(hold);
        });
    }
}

/// Waits for the end of a request that is under way.
async fn over(mut progress: watch::Receiver<Progress>) -> Option<KeyFate> {
    let ended = progress.wait_for(|progress| *progress != Progress::UnderWay).await;
    match ended.map(|progress| *progress) {
        Ok(Progress::Over(fate)) => fate,
        Ok(Progress::UnderWay) | Err(_) => None,
    }
}
