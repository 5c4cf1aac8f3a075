//! The ingester: takes rows, keeps a writer alive, flushes by policy.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use loglake_model::{Clock, SegmentSeq, TableId, TableName, TenantName, WriterId, shape};
use loglake_table::{Catalog, Table};
use loglake_wal::TablePart;
use object_store::ObjectStore;
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::flush::Flushed;
use crate::generation::Generation;
use crate::memory::{MemoryBudget, bytes_of};
use crate::policy::TICK;
use crate::{IngestError, IngestSettings};

/// What the ingester works with.
#[derive(Clone)]
pub struct IngestDependencies {
    pub store: Arc<dyn ObjectStore>,
    pub catalog: Arc<Catalog>,
    pub clock: Arc<dyn Clock>,
    /// Makes the id of a new writer: a version 7 UUID.
    pub new_writer_id: Arc<dyn Fn() -> WriterId + Send + Sync>,
}

/// Takes rows in and brings them into the tables.
pub struct Ingester {
    dependencies: IngestDependencies,
    settings: IngestSettings,
    budget: Arc<MemoryBudget>,
    current: RwLock<Arc<Generation>>,
    writer: watch::Sender<WriterId>,
    wake: Arc<Notify>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Ingester {
    /// Starts a writer and the flush loop.
    ///
    /// # Errors
    /// When the store does not take the new writer's mark.
    pub async fn start(
        dependencies: IngestDependencies,
        settings: IngestSettings,
    ) -> Result<Arc<Self>, IngestError> {
        let budget = Arc::new(MemoryBudget::new(settings.buffer_bytes_max));
        let wake = Arc::new(Notify::new());
        let first =
            Generation::start(&dependencies, &settings, Arc::clone(&budget), Arc::clone(&wake))
                .await?;
        let ingester = Arc::new(Self {
            dependencies,
            settings,
            budget,
            writer: watch::Sender::new(first.writer()),
            current: RwLock::new(Arc::new(first)),
            wake,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let looping = Arc::clone(&ingester);
        ingester.tasks.spawn(async move { looping.run().await });
        Ok(ingester)
    }

    fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read())
    }

    /// The table, made if it is not there.
    ///
    /// # Errors
    /// When the store cannot say whether it is there.
    pub async fn table(
        &self,
        tenant: &TenantName,
        name: &TableName,
    ) -> Result<Arc<Table>, IngestError> {
        Ok(self.dependencies.catalog.table_or_create(tenant, name).await?)
    }

    /// Resolves when every row is durable and visible to queries. Shapes the batches first: adds
    /// their new columns to the tables, moves what does not fit into `attributes`. All rows of one
    /// call share one segment.
    ///
    /// # Errors
    /// [`IngestError::Overloaded`] when the buffer is full; an error of kind `Fenced` or `Retry`
    /// when the rows may not have been stored. A caller that gives up waiting does not stop the
    /// rows from being stored.
    pub async fn append(&self, rows: Vec<(Arc<Table>, RecordBatch)>) -> Result<(), IngestError> {
        if self.stop.is_cancelled() {
            return Err(IngestError::ShuttingDown);
        }
        let mut parts: Vec<(Arc<Table>, TablePart)> = vec![];
        for (table, batch) in rows.into_iter().filter(|(_, batch)| batch.num_rows() > 0) {
            let batch = shaped(&table, batch).await?;
            match parts.iter_mut().find(|(known, _)| known.id() == table.id()) {
                Some((_, part)) => part.batches.push(batch),
                None => {
                    let part = TablePart { table: table.id(), batches: vec![batch] };
                    parts.push((table, part));
                }
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        let bytes = parts.iter().map(|(_, part)| bytes_of(&part.batches)).sum();
        self.budget.take(bytes, self.settings.buffer_wait_max).await?;
        // In a task of its own: a sender that goes away must not leave the accounts half done.
        let (generation, budget) = (self.generation(), Arc::clone(&self.budget));
        let appended = self.tasks.spawn(async move {
            let outcome = generation.append(parts).await;
            // The buffer has counted what it holds by now.
            budget.give_back(bytes);
            outcome
        });
        appended.await?
    }

    /// Flushes and commits everything that was acknowledged before the call.
    ///
    /// # Errors
    /// When the store or a commit failed; the rows stay durable and are flushed later.
    pub async fn flush(&self) -> Result<(), IngestError> {
        self.generation().flush_all().await
    }

    /// The writer of this process, now.
    pub fn writer(&self) -> WriterId {
        self.generation().writer()
    }

    /// Follows the changes of the writer: a fenced or aged one is replaced.
    pub fn watch_writer(&self) -> watch::Receiver<WriterId> {
        self.writer.subscribe()
    }

    /// Bytes of rows that wait for their flush.
    pub fn buffered_bytes(&self) -> usize {
        self.budget.used()
    }

    /// The rows of a table above a watermark that are durable now. `None` when rows above it were
    /// let go already, or `writer` is not this process's writer any more: look at a newer version
    /// of the table.
    pub fn fresh_rows(
        &self,
        writer: WriterId,
        table: TableId,
        above: Option<SegmentSeq>,
    ) -> Option<Vec<RecordBatch>> {
        let generation = self.generation();
        (generation.writer() == writer).then(|| generation.rows_above(table, above)).flatten()
    }

    /// Takes nothing more, commits what is durable and ends the writer.
    ///
    /// # Errors
    /// When the last flush failed: the rows are durable, and the next start recovers them.
    pub async fn shutdown(&self) -> Result<(), IngestError> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.generation().retire().await
    }

    async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        let mut delay_until = Instant::now();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.wake.notified(), if Instant::now() >= delay_until => {}
                _ = tick.tick() => {}
            }
            let generation = self.generation();
            if generation.is_fenced()
                || generation.age(Instant::now()) > self.settings.writer_age_max
            {
                self.replace(generation).await;
            } else if let Err(e) = self.flush_due(&generation).await {
                tracing::warn!("a flush failed and is tried again: {e}");
                delay_until = Instant::now() + Duration::from_secs(1);
            }
        }
    }

    async fn flush_due(&self, generation: &Generation) -> Result<(), IngestError> {
        let due = generation.due(&self.settings);
        let mut flushes: FuturesUnordered<_> =
            due.into_iter().take(FLUSHES_AT_ONCE).map(|table| generation.flush(table)).collect();
        while let Some(flushed) = flushes.next().await {
            if flushed? == Flushed::Superseded {
                tracing::warn!(writer = %generation.writer(), "another process recovers this writer");
            }
        }
        Ok(())
    }

    /// Puts a new writer in the old one's place. The old one, if it still has its place, is retired;
    /// a fenced one is left to recovery, which finds it in the bucket.
    async fn replace(self: &Arc<Self>, old: Arc<Generation>) {
        let (budget, wake) = (Arc::clone(&self.budget), Arc::clone(&self.wake));
        let next = match Generation::start(&self.dependencies, &self.settings, budget, wake).await {
            Ok(next) => Arc::new(next),
            Err(e) => return tracing::warn!("no new writer yet, tried again: {e}"),
        };
        tracing::info!(old = %old.writer(), new = %next.writer(), fenced = old.is_fenced(), "new writer");
        let writer = next.writer();
        *self.current.write() = next;
        self.writer.send_replace(writer);
        if !old.is_fenced() {
            self.tasks.spawn(async move {
                if let Err(e) = old.retire().await {
                    tracing::warn!(writer = %old.writer(), "left to recovery: {e}");
                }
            });
        }
    }
}

/// Tables flushed side by side; encoding takes a core each.
const FLUSHES_AT_ONCE: usize = 2;

/// The batch in the table's decided shape, its new columns added to the table first.
async fn shaped(table: &Table, batch: RecordBatch) -> Result<RecordBatch, IngestError> {
    let mut schema = Arc::clone(table.current().schema());
    let proposed = shape::proposals(&batch, &schema);
    if !proposed.is_empty() {
        schema = Arc::clone(table.add_columns(&proposed).await?.schema());
    }
    Ok(shape::conform(batch, &schema)?)
}
