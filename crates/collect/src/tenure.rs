//! Taking and giving up partitions: the effects around [`crate::claims`].
//!
//! ```text
//!            last claim                                     from where
//! nobody ─┬─ none ─────────────────────────────────────────▶ the tables' count, else where to start
//!         ├─ given up ─────────────────────────────────────▶ its offset
//!         └─ of a writer ─┬─ this one: flush ──────────────┐
//!                         └─ another: wait for it to give  ├▶ the tables' count, at least its offset
//!                            up or go; else end its log ───┘
//!                                        ─▶ the next claim ─▶ the right to log, until this writer ends
//! ```
//! Waiting is for kindness alone: ending the log of a writer that lives costs it its place, never a row.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use loglake_coord::Coordinator;
use loglake_ingest::Ingester;
use loglake_model::{Clock, TableName, TenantName, WriterId};
use loglake_receive::kafka::DEAD_LETTERS;
use loglake_table::{Catalog, Table};
use loglake_wal::Reader;
use object_store::ObjectStore;
use tokio::time::{Instant, sleep};

use crate::claims::Made;
use crate::{Claim, Claims, CollectError};

/// How long a living holder is waited for to give a partition up.
const LIVING: Duration = Duration::from_secs(10);
/// The same for a writer that no member has: it is being ended well, or its recovery is on its way.
const GONE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What consumers work with.
#[derive(Clone)]
pub struct CollectDependencies {
    pub store: Arc<dyn ObjectStore>,
    pub catalog: Arc<Catalog>,
    pub ingester: Arc<Ingester>,
    pub coordinator: Arc<dyn Coordinator>,
    pub clock: Arc<dyn Clock>,
    pub tenant: TenantName,
}

/// A partition and the table that its records go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub topic: Arc<str>,
    pub partition: i32,
    pub table: TableName,
}

/// What a queue says of itself.
#[async_trait]
pub trait Queue: Send + Sync {
    /// The first offset that is there, and the one after the last.
    ///
    /// # Errors
    /// [`CollectError::Queue`] when it does not answer.
    async fn bounds(&self, topic: &str, partition: i32) -> Result<(u64, u64), CollectError>;

    /// Where to begin when nothing was read yet.
    ///
    /// # Errors
    /// When that cannot be said.
    async fn beginning(
        &self,
        topic: &str,
        partition: i32,
        bounds: (u64, u64),
    ) -> Result<u64, CollectError>;
}

/// The right to log a partition's records, as long as the writer is the one that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    pub partition: Partition,
    /// As the tables count it.
    pub queue: String,
    pub writer: WriterId,
    /// The number of its claim.
    pub number: u64,
    /// The first record to log.
    pub from: u64,
    /// The first record that is still there, if that is a later one.
    pub gap_to: Option<u64>,
}

/// Takes and gives up partitions of one cluster.
pub struct Tenures {
    pub(crate) deps: CollectDependencies,
    claims: Claims,
    /// One recovery at a time: the partitions of a dead writer are claimed side by side.
    recovering: tokio::sync::Mutex<()>,
    attempts: AtomicU64,
}

impl Tenures {
    /// `source`: `<system>/<cluster>`.
    pub fn new(deps: CollectDependencies, source: &str) -> Self {
        let claims = Claims::new(Arc::clone(&deps.store), source);
        Self {
            deps,
            claims,
            recovering: tokio::sync::Mutex::default(),
            attempts: AtomicU64::new(0),
        }
    }

    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Takes a partition, from whoever had it. The caller has no append of it under way.
    ///
    /// # Errors
    /// When the store or the queue does not answer, or the offset to go on with is beyond its end.
    /// Another call begins anew.
    pub async fn acquire(
        &self,
        queue: &dyn Queue,
        partition: &Partition,
    ) -> Result<Tenure, CollectError> {
        let Partition { topic, partition: index, table } = partition;
        let name = self.claims.queue(topic, *index);
        let tables = vec![table.clone(), dead_letters()];
        loop {
            let writer = self.deps.ingester.writer();
            let last = self.claims.last(topic, *index).await?;
            let number = last.as_ref().map_or(0, |(number, _)| number + 1);
            let known = match &last {
                None => self.committed(&name, &tables).await?,
                Some((_, Claim { writer: None, from, .. })) => Some(*from),
                Some((_, claim @ Claim { writer: Some(holder), .. })) => {
                    if !self.end(*holder, writer, partition, number - 1, claim).await? {
                        continue;
                    }
                    let committed = self.committed(&name, &claim.tables).await?;
                    Some(committed.unwrap_or(0).max(claim.from))
                }
            };
            let bounds = queue.bounds(topic, *index).await?;
            let from = match known {
                Some(from) => from,
                None => queue.beginning(topic, *index, bounds).await?,
            };
            let (first, end) = bounds;
            if from > end {
                return Err(CollectError::PastTheEnd { from, end });
            }
            let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
            let attempt = format!("{writer}-{attempt}");
            let claim = Claim { writer: Some(writer), from, tables: tables.clone(), attempt };
            if self.claims.make(topic, *index, number, &claim).await? == Made::Ours {
                let gap_to = (first > from).then_some(first);
                let partition = partition.clone();
                return Ok(Tenure { partition, queue: name, writer, number, from, gap_to });
            }
        }
    }

    /// Gives a partition up, with everything before `next` in the lake. The caller has no append of it
    /// under way and begins none.
    ///
    /// # Errors
    /// When its rows could not be committed or the store does not answer: whoever comes next ends this
    /// writer's log.
    pub async fn give_up(&self, tenure: &Tenure, next: u64) -> Result<(), CollectError> {
        let Partition { topic, partition, table } = &tenure.partition;
        let tables = vec![table.clone(), dead_letters()];
        self.flush(tenure.writer, &tables).await?;
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        let attempt = format!("{}-{attempt}", tenure.writer);
        let claim = Claim { writer: None, from: next, tables, attempt };
        // When it is taken somebody has ended this writer's log, and knows how far it came.
        self.claims.make(topic, *partition, tenure.number + 1, &claim).await.map(drop)
    }

    /// Makes sure that a holder logs nothing more and that all it logged is committed. `false` when
    /// there is a newer claim meanwhile.
    async fn end(
        &self,
        holder: WriterId,
        own: WriterId,
        partition: &Partition,
        number: u64,
        claim: &Claim,
    ) -> Result<bool, CollectError> {
        if holder == own {
            self.flush(own, &claim.tables).await?;
            return Ok(true);
        }
        let patience = if self.lives(holder) { LIVING } else { GONE };
        let began = Instant::now();
        while self.is_listed(holder).await? {
            let last = self.claims.last(&partition.topic, partition.partition).await?;
            if last.is_some_and(|(last, _)| last > number) {
                return Ok(false);
            }
            if began.elapsed() >= patience {
                return self.recover(holder).await.map(|()| true);
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(true)
    }

    /// Ends a writer's log, whoever it is, and commits its rows.
    ///
    /// # Errors
    /// When the store fails: another call goes on.
    pub async fn recover(&self, holder: WriterId) -> Result<(), CollectError> {
        let _one = self.recovering.lock().await;
        if self.is_listed(holder).await? {
            tracing::info!(writer = %holder, "ending the log of a writer that holds partitions");
            self.deps.ingester.recover(holder).await?;
        }
        Ok(())
    }

    fn lives(&self, writer: WriterId) -> bool {
        let members = Arc::clone(&self.deps.coordinator.members().borrow());
        members.iter().any(|member| member.writer == Some(writer))
    }

    /// Whether the writer is registered: once it is not, its log is sealed and committed.
    async fn is_listed(&self, writer: WriterId) -> Result<bool, CollectError> {
        let reader = Reader::new(Arc::clone(&self.deps.store));
        Ok(reader.writers().await?.contains(&writer))
    }

    async fn flush(&self, writer: WriterId, tables: &[TableName]) -> Result<(), CollectError> {
        let mut ids = vec![];
        for name in tables {
            ids.extend(self.table(name).await?.map(|table| table.id()));
        }
        Ok(self.deps.ingester.flush_tables(writer, ids).await?)
    }

    /// How far the newest versions of the tables count a queue.
    async fn committed(
        &self,
        queue: &str,
        tables: &[TableName],
    ) -> Result<Option<u64>, CollectError> {
        let mut most = None;
        for name in tables {
            if let Some(table) = self.table(name).await? {
                most = most.max(table.refresh().await?.offset(queue));
            }
        }
        Ok(most)
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<Table>>, CollectError> {
        Ok(self.deps.catalog.table(&self.deps.tenant, name).await?)
    }
}

/// The table of what could not be decoded.
pub(crate) fn dead_letters() -> TableName {
    TableName::new(DEAD_LETTERS).expect("a constant that is a name")
}
