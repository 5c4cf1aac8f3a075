//! A table in this process: its newest known version, looking for newer ones, and the public calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loglake_model::{Clock, Column, Partition, PartitionBy, TableId, TableName, TenantName};
use object_store::path::Path;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::TableError;
use crate::commit::Outcome;
use crate::file::{NewIds, new_path};
use crate::history::Entry;
use crate::intent::{Flush, Intent, Rewrite};
use crate::log::Log;
use crate::snapshot::Snapshot;

/// An absent next entry says "nothing new" only while the known one is there; that is looked at
/// again after this long. Log entries live for at least an hour after a checkpoint.
const TIP_TRUSTED: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct TableSettings {
    pub columns_max: usize,
    /// A checkpoint is written every so many commits.
    pub checkpoint_interval: u64,
    /// Of new tables.
    pub partition_by: PartitionBy,
}

/// What became of a flush.
#[derive(Debug, Clone, PartialEq)]
pub enum FlushOutcome {
    /// Committed (now, or before with an answer that was lost).
    Committed(Arc<Snapshot>),
    /// Somebody else moved this writer's watermark: the files are not part of the table. The
    /// snapshot says where the watermark is now.
    Superseded(Arc<Snapshot>),
}

/// What became of a rewrite.
#[derive(Debug, Clone, PartialEq)]
pub enum RewriteOutcome {
    /// Committed (now, or before with an answer that was lost).
    Committed(Arc<Snapshot>),
    /// A file to be removed is no longer part of the table; nothing of this is, or will be.
    Superseded(Arc<Snapshot>),
}

/// A Delta table of the lake. One in a process, shared.
#[derive(Debug)]
pub struct Table {
    id: TableId,
    tenant: TenantName,
    name: TableName,
    root: Path,
    pub(crate) settings: Arc<TableSettings>,
    pub(crate) clock: Arc<dyn Clock>,
    ids: NewIds,
    pub(crate) log: Log,
    current: RwLock<Arc<Snapshot>>,
    /// When the entry of the current version was last seen to be there.
    tip_seen: Mutex<Instant>,
    /// Commits of one process take turns: they would only lose numbers to each other.
    pub(crate) committing: tokio::sync::Mutex<()>,
    /// Whether a checkpoint is on its way.
    checkpointing: Arc<AtomicBool>,
}

/// What a table is called and where it is in the bucket.
pub(crate) struct TablePlace {
    pub(crate) tenant: TenantName,
    pub(crate) name: TableName,
    pub(crate) root: Path,
}

impl Table {
    pub(crate) fn new(
        TablePlace { tenant, name, root }: TablePlace,
        settings: Arc<TableSettings>,
        clock: Arc<dyn Clock>,
        ids: NewIds,
        log: Log,
        state: Arc<Snapshot>,
    ) -> Self {
        Self {
            id: state.id,
            tenant,
            name,
            root,
            settings,
            clock,
            ids,
            log,
            current: RwLock::new(state),
            tip_seen: Mutex::new(Instant::now()),
            committing: tokio::sync::Mutex::default(),
            checkpointing: Arc::default(),
        }
    }

    pub fn id(&self) -> TableId {
        self.id
    }

    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The folder of the table in the store: `<tenant>/<table>`. A file's path is relative to it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The log entry of a version, from the store's root.
    pub fn entry_path(&self, version: u64) -> Path {
        self.log.entry_path(version)
    }

    /// The newest version that this process knows. No I/O.
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read())
    }

    /// Makes `state` the current version unless a newer one is; answers with the newer of the two.
    pub(crate) fn learn(&self, state: Arc<Snapshot>) -> Arc<Snapshot> {
        let mut current = self.current.write();
        if state.version() > current.version() {
            *current = state;
            *self.tip_seen.lock() = Instant::now();
        }
        Arc::clone(&current)
    }

    /// The newest version there is: looks for log entries after the known one. One read when there
    /// is none.
    ///
    /// # Errors
    /// [`TableError::Store`] of reading; [`TableError::Corrupt`] and [`TableError::Unsupported`] of
    /// what was read.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, TableError> {
        let known = self.current();
        let found = self.log.tail(Arc::clone(&known)).await?;
        if found.version() == known.version() && self.tip_seen.lock().elapsed() > TIP_TRUSTED {
            if !self.log.has_entry(known.version()).await? {
                return self.reload().await;
            }
            *self.tip_seen.lock() = Instant::now();
        }
        Ok(self.learn(found))
    }

    /// The log's entries that are there, in order: all since the table was made, or since older ones
    /// were cleaned up.
    ///
    /// # Errors
    /// Of [`Self::refresh`].
    pub async fn history(&self) -> Result<Vec<Entry>, TableError> {
        self.log.history().await
    }

    /// The newest version, from the newest checkpoint.
    pub(crate) async fn reload(&self) -> Result<Arc<Snapshot>, TableError> {
        let path = self.log.entry_path(self.current().version());
        let gone = |problem| TableError::Corrupt { path, problem };
        match self.log.load().await? {
            Some(state) if state.id == self.id => Ok(self.learn(state)),
            Some(state) => Err(gone(format!("table {} became table {}", self.id, state.id))),
            None => Err(gone("the table's log is gone".into())),
        }
    }

    /// Adds what [`loglake_model::TableSchema::with`] takes of `proposed` in a metadata commit;
    /// retries on conflict until the newest schema has or refuses every proposal.
    ///
    /// # Errors
    /// Of [`Self::commit_flush`].
    pub async fn add_columns(&self, proposed: &[Column]) -> Result<Arc<Snapshot>, TableError> {
        let columns_max = self.settings.columns_max;
        match self.commit(Intent::Columns { proposed, columns_max }).await? {
            Outcome::Committed(state) | Outcome::Superseded(state) => Ok(state),
        }
    }

    /// Makes the files part of the table and moves the writer's watermark, as one commit.
    ///
    /// A call that failed may be made again with the same flush: what it did is found.
    ///
    /// # Errors
    /// Of kind `Retry`: [`TableError::Vacuumed`] when the rows must go into new files first;
    /// [`TableError::Unknown`], [`TableError::Contended`] and [`TableError::Store`] when the same
    /// call may be made again. [`TableError::Backwards`] and [`TableError::File`] are the caller's
    /// defects; [`TableError::Corrupt`] and [`TableError::Unsupported`] the table's.
    pub async fn commit_flush(&self, flush: &Flush) -> Result<FlushOutcome, TableError> {
        flush.check(&self.current())?;
        Ok(match self.commit(Intent::Flush(flush)).await? {
            Outcome::Committed(state) => FlushOutcome::Committed(state),
            Outcome::Superseded(state) => FlushOutcome::Superseded(state),
        })
    }

    /// Puts files in the place of others, as one commit.
    ///
    /// # Errors
    /// Of [`Self::commit_flush`].
    pub async fn commit_rewrite(&self, rewrite: &Rewrite) -> Result<RewriteOutcome, TableError> {
        Ok(match self.commit(Intent::Rewrite(rewrite)).await? {
            Outcome::Committed(state) => RewriteOutcome::Committed(state),
            Outcome::Superseded(state) => RewriteOutcome::Superseded(state),
        })
    }

    /// Commits a vacuum: files named before it can no longer be committed. What was listed before
    /// the call and is not part of the answered snapshot, nor was for as long as queries may run,
    /// can be deleted.
    ///
    /// # Errors
    /// Of [`Self::commit_flush`].
    pub async fn commit_vacuum(&self) -> Result<Arc<Snapshot>, TableError> {
        loop {
            let number = self.current().vacuum() + 1;
            if let Outcome::Committed(state) = self.commit(Intent::Vacuum(number)).await? {
                return Ok(state);
            }
        }
    }

    /// Where to put a new data file of a partition: `date=…/hour=…/<uuid>.parquet`, relative to
    /// root. Ask before the file is put: the name tells which vacuums cannot have taken it.
    pub fn new_file_path(&self, partition: &Partition) -> Path {
        new_path(self.ids.next(), partition, self.current().vacuum())
    }

    /// Writes a checkpoint when it is time for one. Never waited for, never an error of a commit:
    /// without it, the next opening reads more entries.
    pub(crate) fn checkpoint_if_due(&self, state: &Arc<Snapshot>) {
        let version = state.version();
        let interval = self.settings.checkpoint_interval.max(1);
        if version == 0
            || !version.is_multiple_of(interval)
            || self.checkpointing.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let (log, state, now) = (self.log.clone(), Arc::clone(state), self.clock.now());
        let (root, checkpointing) = (self.root.clone(), Arc::clone(&self.checkpointing));
        tokio::spawn(async move {
            if let Err(error) = log.write_checkpoint(state, now).await {
                tracing::warn!(table = %root, version, %error, "checkpoint not written");
            }
            checkpointing.store(false, Ordering::Release);
        });
    }
}
