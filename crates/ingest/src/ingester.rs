//! The ingester: takes rows, keeps a writer alive, flushes by policy.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use loglake_model::{Clock, Offsets, SegmentSeq, TableId, TableName, TenantName, WriterId, shape};
use loglake_table::{Catalog, Table};
use loglake_wal::Mark;
use object_store::ObjectStore;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::claims::{Claims, RequestKey};
use crate::fate::Fates;
use crate::files::FileWriter;
use crate::flush::Flushed;
use crate::generation::{CurrentGeneration, Generation};
use crate::memory::{MemoryBudget, bytes_of};
use crate::once::Once;
use crate::peers::{Forward, ForwardError, KeyFate, Peers, Standing};
use crate::policy::TICK;
use crate::recovery::{Recovered, recover};
use crate::router::{Router, Rows, parts};
use crate::under_way::UnderWay;
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

impl IngestDependencies {
    pub(crate) fn files(&self, settings: &IngestSettings) -> FileWriter {
        FileWriter {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            encoder: settings.encoder.clone(),
        }
    }
}

/// What an ingester says of fresh rows of a table.
#[derive(Clone, Debug)]
pub enum FreshRows {
    Held {
        /// The last segment looked at: rows of all segments up to it are here.
        up_to: Option<SegmentSeq>,
        batches: Vec<RecordBatch>,
    },
    /// Some were let go already: look at a newer version of the table.
    LetGo,
    /// The writer is not this process's any more, or lost its place: look at its segments. Nothing
    /// but them says what a writer has logged that somebody else has ended.
    NotCurrent,
}

/// Takes rows in and brings them into the tables.
pub struct Ingester {
    dependencies: IngestDependencies,
    settings: IngestSettings,
    budget: Arc<MemoryBudget>,
    current: CurrentGeneration,
    router: Arc<Router>,
    once: Arc<Once>,
    writer: watch::Sender<WriterId>,
    wake: Arc<Notify>,
    /// Forwarded rows that wait for their table to be opened or to get its columns.
    opening: UnderWay,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Ingester {
    /// Starts a writer and the flush loop. Rows that other ingesters should have go to `peers`.
    ///
    /// # Errors
    /// When the store does not take the new writer's mark.
    pub async fn start(
        dependencies: IngestDependencies,
        settings: IngestSettings,
        peers: Arc<dyn Peers>,
    ) -> Result<Arc<Self>, IngestError> {
        let budget = Arc::new(MemoryBudget::new(settings.buffer_bytes_max));
        let wake = Arc::new(Notify::new());
        let first =
            Generation::start(&dependencies, &settings, Arc::clone(&budget), Arc::clone(&wake))
                .await?;
        let writer = watch::Sender::new(first.writer());
        let current = CurrentGeneration::new(first);
        let fates = Fates::new(&dependencies.store);
        let router = Arc::new(Router::new(current.clone(), Arc::clone(&peers), fates));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let claims = Claims::new(Arc::clone(&dependencies.store));
        let once = Once::new(
            current.clone(),
            peers,
            Arc::clone(&router),
            claims,
            tasks.clone(),
            stop.clone(),
        );
        let ingester = Arc::new(Self {
            router,
            once: Arc::new(once),
            dependencies,
            settings,
            budget,
            writer,
            current,
            wake,
            opening: UnderWay::default(),
            tasks,
            stop,
        });
        ingester.tasks.spawn(Arc::clone(&ingester).keep_flushing());
        ingester.tasks.spawn(Arc::clone(&ingester).keep_a_writer());
        Ok(ingester)
    }

    fn generation(&self) -> Arc<Generation> {
        self.current.get()
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
        Ok(self.dependencies.catalog.table_or_create(tenant, name).boxed().await?)
    }

    /// Whether there is a table of this name.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn has_table(
        &self,
        tenant: &TenantName,
        name: &TableName,
    ) -> Result<bool, IngestError> {
        Ok(self.dependencies.catalog.table(tenant, name).boxed().await?.is_some())
    }

    /// Resolves when every row is durable and visible to queries, here or at the ingesters the rows
    /// belong to. Shapes the batches first: adds their new columns to the tables, moves what does
    /// not fit into `attributes`.
    ///
    /// # Errors
    /// [`IngestError::Overloaded`] when the buffer is full; an error of kind `Fenced` or `Retry`
    /// when the rows may not have been stored. A caller that gives up waiting does not stop the
    /// rows from being stored.
    pub async fn append(&self, rows: Vec<(Arc<Table>, RecordBatch)>) -> Result<(), IngestError> {
        let (rows, bytes) = self.shape(rows).boxed().await?;
        if rows.is_empty() {
            return Ok(());
        }
        let router = Arc::clone(&self.router);
        self.accounted(bytes, async move { router.store(rows).await }).await
    }

    /// Like [`append`](Self::append), once: when a request of this key was stored within the last
    /// day, by any ingester, this adds nothing. All rows come into one segment, here.
    ///
    /// # Errors
    /// Like [`append`](Self::append); [`IngestError::KeyReused`] when the key belongs to another
    /// request.
    pub async fn append_once(
        &self,
        key: RequestKey,
        rows: Vec<(Arc<Table>, RecordBatch)>,
    ) -> Result<(), IngestError> {
        let (rows, bytes) = self.shape(rows).boxed().await?;
        if rows.is_empty() {
            return Ok(());
        }
        let once = Arc::clone(&self.once);
        self.accounted(bytes, async move { once.store(&key, rows).await }).await
    }

    /// Stores rows of a stretch of another system's queue, all in one segment of this writer, which keeps
    /// the stretch: the commit of the rows moves the table's count of the queue. The caller has the
    /// right to log this stretch with `writer`, and logs each once.
    ///
    /// # Errors
    /// Like [`append`](Self::append); [`IngestError::Fenced`] when another writer is here by now. After
    /// an error whose [`IngestError::may_be_stored`] is false, the same rows may be appended again.
    pub async fn append_collected(
        &self,
        writer: WriterId,
        rows: Vec<(Arc<Table>, RecordBatch)>,
        offsets: Offsets,
    ) -> Result<(), IngestError> {
        let (rows, bytes) = self.shape(rows).boxed().await?;
        // Held to the end: should it be replaced meanwhile, its log refuses the rows.
        let generation = self.generation();
        if generation.writer() != writer || generation.is_fenced() {
            return Err(IngestError::Fenced);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut parts = parts(rows);
        for (_, part) in &mut parts {
            part.offsets.push(offsets.clone());
        }
        self.accounted(bytes, async move { generation.append(parts, None).await }).await
    }

    /// Commits what these tables have of `writer`, if that is still the writer here.
    ///
    /// # Errors
    /// [`IngestError::Fenced`] when it is not, or somebody else commits its rows; when the store or a
    /// commit failed.
    pub async fn flush_tables(
        &self,
        writer: WriterId,
        tables: impl IntoIterator<Item = TableId>,
    ) -> Result<(), IngestError> {
        let generation = self.generation();
        if generation.writer() != writer {
            return Err(IngestError::Fenced);
        }
        for table in tables {
            if generation.flush(table).await? == Flushed::Superseded {
                return Err(IngestError::Fenced);
            }
        }
        Ok(())
    }

    /// Ends the log of a writer and commits its rows, whoever it is; nothing is left to do when that was
    /// done before.
    ///
    /// # Errors
    /// When the store fails or a segment is corrupt: another call goes on.
    pub async fn recover(&self, writer: WriterId) -> Result<Recovered, IngestError> {
        recover(&self.dependencies, &self.settings, writer).await
    }

    /// What became of a request with an idempotency key (its [`RequestKey::id`]) that this writer
    /// claimed; waits while it is under way. `None` when its log must be asked.
    pub async fn key_fate(&self, writer: WriterId, id: &str) -> Option<KeyFate> {
        self.once.fate(writer, id).await
    }

    /// The rows in their tables' shapes, and the memory they take.
    async fn shape(
        &self,
        rows: Vec<(Arc<Table>, RecordBatch)>,
    ) -> Result<(Vec<Rows>, usize), IngestError> {
        if self.stop.is_cancelled() {
            return Err(IngestError::ShuttingDown);
        }
        let (mut shaped, mut bytes) = (vec![], 0);
        for (table, batch) in rows.into_iter().filter(|(_, batch)| batch.num_rows() > 0) {
            let batch = conformed(&table, batch).await?;
            bytes += bytes_of(slice::from_ref(&batch));
            shaped.push((table, batch));
        }
        Ok((shaped, bytes))
    }

    /// Takes rows that another ingester forwards to this writer. They go no further.
    ///
    /// # Errors
    /// [`ForwardError`]: whether the log of `forward.writer` may have the rows.
    pub async fn take_forwarded(&self, forward: Forward) -> Result<(), ForwardError> {
        let not_taken = |e: IngestError| ForwardError::NotTaken(e.to_string());
        if self.stop.is_cancelled() {
            return Err(not_taken(IngestError::ShuttingDown));
        }
        let opening = self.opening.begin();
        // Held to the end: should it be replaced meanwhile, its log refuses the rows.
        let generation = self.generation();
        if generation.writer() != forward.writer {
            let problem = format!("the writer here is {} by now", generation.writer());
            return Err(ForwardError::NotTaken(problem));
        }
        let Forward { tenant, name, .. } = &forward;
        let table = self.dependencies.catalog.table(tenant, name).boxed().await;
        let table = table.map_err(|e| not_taken(e.into()))?;
        let Some(table) = table.filter(|table| table.id() == forward.table) else {
            let problem = format!("{tenant}.{name} is not the table {}", forward.table);
            return Err(ForwardError::NotTaken(problem));
        };
        let batch = conformed(&table, forward.rows).boxed().await.map_err(not_taken)?;
        drop(opening);
        let bytes = bytes_of(slice::from_ref(&batch));
        let mark = Mark::ForwardedBatch(forward.batch);
        let appended =
            async move { generation.append(parts(vec![(table, batch)]), Some(mark)).await };
        self.accounted(bytes, appended).await.map_err(|e| match e.may_be_stored() {
            true => ForwardError::Unknown(e.to_string()),
            false => not_taken(e),
        })
    }

    /// Does the work with its bytes counted: waits for room first. In a task of its own, since a
    /// sender that goes away must not leave the accounts half done.
    async fn accounted(
        &self,
        bytes: usize,
        work: impl Future<Output = Result<(), IngestError>> + Send + 'static,
    ) -> Result<(), IngestError> {
        self.budget.take(bytes, self.settings.buffer_wait_max).await?;
        let budget = Arc::clone(&self.budget);
        let done = self.tasks.spawn(async move {
            let outcome = work.await;
            // The buffer has counted what it holds by now.
            budget.give_back(bytes);
            outcome
        });
        done.await?
    }

    /// How this ingester is, for the others to see.
    pub fn standing(&self) -> Standing {
        let now = Instant::now();
        let standing = self.generation().standing(now);
        Standing {
            waiting: standing.waiting.max(self.opening.oldest(now)),
            takes_rows: standing.takes_rows && !self.stop.is_cancelled(),
            ..standing
        }
    }

    /// Flushes and commits everything that was acknowledged before the call.
    ///
    /// # Errors
    /// When the store or a commit failed; the rows stay durable and are flushed later.
    pub async fn flush(&self) -> Result<(), IngestError> {
        self.generation().flush_all().boxed().await
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

    /// The rows of a table above a watermark that are durable now: all of them, or those at or
    /// below `up_to`.
    pub fn fresh_rows(
        &self,
        writer: WriterId,
        table: TableId,
        above: Option<SegmentSeq>,
        up_to: Option<Option<SegmentSeq>>,
    ) -> FreshRows {
        let generation = self.generation();
        match generation.writer() == writer {
            true => generation.fresh_rows(table, above, up_to),
            false => FreshRows::NotCurrent,
        }
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

    async fn keep_flushing(self: Arc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        let mut delay_until = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.wake.notified(), if Instant::now() >= delay_until => {}
                _ = tick.tick() => {}
            }
            let generation = self.generation();
            if generation.is_fenced() {
                continue;
            }
            if let Err(e) = self.flush_due(&generation).await {
                tracing::warn!("a flush failed and is tried again: {e}");
                delay_until = Instant::now() + Duration::from_secs(1);
            }
        }
    }

    /// Replaces a writer that lost its place or is old. Does not wait for flushes: one of a fenced
    /// writer may take long, and rows are refused until there is a new writer.
    async fn keep_a_writer(self: Arc<Self>) {
        let mut tick = tokio::time::interval(LOOK_AT_WRITER_EVERY);
        while self.stop.run_until_cancelled(tick.tick()).await.is_some() {
            let generation = self.generation();
            let is_old = generation.age(Instant::now()) > self.settings.writer_age_max;
            if generation.is_fenced() || is_old {
                self.replace(generation).await;
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
        generation.trim_due().await
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
        self.current.set(next);
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

/// How soon a writer that lost its place is replaced: rows are refused for so long.
const LOOK_AT_WRITER_EVERY: Duration = Duration::from_millis(100);

/// Tables flushed side by side; encoding takes a core each.
const FLUSHES_AT_ONCE: usize = 2;

/// The batch in the table's decided shape, its new columns added to the table first.
async fn conformed(table: &Table, batch: RecordBatch) -> Result<RecordBatch, IngestError> {
    let mut schema = Arc::clone(table.current().schema());
    let proposed = shape::proposals(&batch, &schema);
    if !proposed.is_empty() {
        schema = Arc::clone(table.add_columns(&proposed).await?.schema());
    }
    Ok(shape::conform(batch, &schema)?)
}
