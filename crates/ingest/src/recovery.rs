//! Recovery of a writer that is gone: its log is sealed, what its tables lack is committed with the
//! watermark, its segments are trimmed. Any number of recoverers of one writer, at any point of
//! each other's work, do no harm: the seal is one conditional create, and every commit names the
//! watermark it starts from. Who finds that another was quicker begins again with what is left.
//!
//! Memory is bounded whatever the backlog: rows are read a batch at a time and written to files past
//! a bound; a table is committed between two segments, and the log is trimmed as it goes.

mod backlog;
mod read_ahead;

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use loglake_model::{SegmentSeq, TableId, WriterId, off_the_loop};
use loglake_table::{Flush, FlushOutcome, Table, TableError};
use loglake_wal::{Log, Reader, Recoverer, Segment, WalError};

use crate::claims::Claims;
use crate::files::FileWriter;
use crate::{IngestDependencies, IngestError, IngestSettings};
use backlog::{Backlog, When};
use read_ahead::ReadAhead;

/// Rows held in memory at most, beside one batch. Sorting and encoding them takes several times as much
/// again.
const ROWS_BYTES_MAX: usize = 16 << 20;
/// Tables committed side by side; together they hold no more than one alone may.
const COMMITS_AT_ONCE: usize = 8;
/// Each trim lists the log: it waits for this many segments.
const TRIM_EVERY: u64 = 32;
/// Keys marked as stored at once.
const MARKS_AT_ONCE: usize = 16;

/// What a recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments of the dead writer's log that were read.
    pub segments: usize,
    /// Bytes of them, as they are in the store.
    pub segment_bytes: u64,
    /// Commits made.
    pub commits: usize,
    /// The most bytes of rows that were in memory at once.
    pub rows_bytes_most: usize,
}

/// Recovers one writer. Safe to run twice, at once or after a failure halfway.
///
/// # Errors
/// When the store fails or a segment is corrupt; what was committed stays, and another call goes on.
pub async fn recover(
    dependencies: &IngestDependencies,
    settings: &IngestSettings,
    writer: WriterId,
) -> Result<Recovered, IngestError> {
    let recoverer = Recoverer::new(Arc::clone(&dependencies.store));
    let mut recovered = Recovered::default();
    loop {
        let log = recoverer.seal(writer).await?;
        let pass = Pass {
            dependencies: dependencies.clone(),
            files: dependencies.files(settings),
            claims: Claims::new(Arc::clone(&dependencies.store)),
            recoverer: recoverer.clone(),
            rows_bytes_max: settings.flush_bytes.min(ROWS_BYTES_MAX),
            backlog: Backlog::default(),
            gone: HashSet::new(),
            trimmed: log.floor,
            log,
            done: recovered,
        };
        let (done, ended) = pass.run().await;
        recovered = done;
        match ended {
            Ok(()) => break,
            Err(Stopped::Moved(why)) => tracing::debug!(%writer, why, "recovery begins again"),
            Err(Stopped::Failed(e)) => return Err(e),
        }
    }
    recoverer.forget(writer).await?;
    Ok(recovered)
}

/// Why a pass over the log ended early.
enum Stopped {
    /// Somebody else recovers the writer too, or a vacuum came between: what is left is other than
    /// what this pass began with. Each such end is progress of theirs.
    Moved(&'static str),
    Failed(IngestError),
}

impl From<IngestError> for Stopped {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Wal(WalError::Gone { .. }) => Self::Moved("a segment is trimmed"),
            IngestError::Table(TableError::Vacuumed { .. }) => Self::Moved("a table was vacuumed"),
            error => Self::Failed(error),
        }
    }
}

impl From<WalError> for Stopped {
    fn from(error: WalError) -> Self {
        IngestError::from(error).into()
    }
}

impl From<TableError> for Stopped {
    fn from(error: TableError) -> Self {
        IngestError::from(error).into()
    }
}

impl From<tokio::task::JoinError> for Stopped {
    fn from(error: tokio::task::JoinError) -> Self {
        IngestError::from(error).into()
    }
}

/// One pass over a sealed log.
struct Pass {
    dependencies: IngestDependencies,
    files: FileWriter,
    claims: Claims,
    recoverer: Recoverer,
    rows_bytes_max: usize,
    log: Log,
    backlog: Backlog,
    /// Tables that are not in the lake any more.
    gone: HashSet<TableId>,
    trimmed: Option<SegmentSeq>,
    done: Recovered,
}

impl Pass {
    /// What all passes so far did, and how this one ended.
    async fn run(mut self) -> (Recovered, Result<(), Stopped>) {
        let ended = self.go().await;
        (self.done, ended)
    }

    async fn go(&mut self) -> Result<(), Stopped> {
        let reader = Reader::new(Arc::clone(&self.dependencies.store));
        let mut segments = ReadAhead::new(reader, &self.log);
        while let Some((seq, segment)) = segments.next().await? {
            self.take(seq, &segment).await?;
            drop(segment);
            self.commit(When::After(seq)).await?;
            let trim_from = self.trimmed.map_or(0, |seq| seq.0 + 1);
            let point = self.backlog.trim_point(seq);
            if let Some(up_to) = point.filter(|up_to| up_to.0 + 1 >= trim_from + TRIM_EVERY) {
                self.trim(up_to).await?;
            }
        }
        self.commit(When::AtTheEnd).await?;
        // Also when there is nothing left: who trimmed last may have died over the deletes.
        let last = self.log.segments.last().map(|(seq, _)| *seq);
        match last.or(self.log.floor) {
            Some(up_to) => self.trim(up_to).await,
            None => Ok(()),
        }
    }

    /// Takes in what the tables lack of a segment, and writes files whenever it is too much to hold.
    async fn take(&mut self, seq: SegmentSeq, segment: &Segment) -> Result<(), Stopped> {
        let index = segment.index();
        self.mark_stored(&index.idempotency_keys).await?;
        for part in &index.parts {
            let table = part.table;
            self.know(table).await?;
            if !self.backlog.lacks(table, seq) {
                continue;
            }
            let mut batches = segment.batches(table)?;
            loop {
                let decode = move || (batches.next(), batches);
                let (batch, rest) = off_the_loop(decode).await?;
                batches = rest;
                let Some(batch) = batch else { break };
                self.backlog.add(table, seq, batch?);
                while let Some(heaviest) = self.backlog.heaviest_past(self.rows_bytes_max) {
                    self.write(heaviest).await?;
                }
            }
            self.backlog.complete(table, seq, &part.offsets);
        }
        self.done.segments += 1;
        self.done.segment_bytes += segment.bytes();
        self.done.rows_bytes_most = self.done.rows_bytes_most.max(self.backlog.bytes_most());
        Ok(())
    }

    /// Their rows are in a sealed log, so they are stored for good; the log, which says so as well,
    /// is about to be trimmed.
    async fn mark_stored(&self, keys: &[String]) -> Result<(), IngestError> {
        let mark = |key: String| {
            let claims = self.claims.clone();
            async move { claims.set_stored(&key).await }
        };
        stream::iter(keys.iter().cloned().map(mark).collect::<Vec<_>>())
            .buffer_unordered(MARKS_AT_ONCE)
            .try_collect()
            .await
    }

    /// Looks the table up at its first sight, with the watermark that it has now. Rows of a table
    /// that is gone are dropped.
    async fn know(&mut self, id: TableId) -> Result<(), IngestError> {
        if self.gone.contains(&id) || self.backlog.knows(id) {
            return Ok(());
        }
        match self.dependencies.catalog.by_id(id).await? {
            Some(table) => {
                let watermark = table.refresh().await?.watermark(self.log.writer);
                self.backlog.know(table, watermark);
            }
            None => {
                tracing::warn!(table = %id, writer = %self.log.writer, "rows of a table that is gone");
                self.gone.insert(id);
            }
        }
        Ok(())
    }

    async fn write(&mut self, table: TableId) -> Result<(), IngestError> {
        if let Some((target, batches)) = self.backlog.take_rows(table) {
            let files = self.files.write(&target, batches).await?;
            self.backlog.wrote(table, files);
        }
        Ok(())
    }

    async fn commit(&mut self, when: When) -> Result<(), Stopped> {
        let mut commits = vec![];
        for id in self.backlog.to_commit(when) {
            let rows = self.backlog.take_rows(id).map(|(_, batches)| batches).unwrap_or_default();
            if let Some((table, flush)) = self.backlog.flush(id, self.log.writer) {
                commits.push(commit(self.files.clone(), table, rows, flush));
            }
        }
        let mut commits = stream::iter(commits).buffer_unordered(COMMITS_AT_ONCE);
        while let Some((table, to)) = commits.try_next().await? {
            self.backlog.committed(table, to);
            self.done.commits += 1;
        }
        Ok(())
    }

    async fn trim(&mut self, up_to: SegmentSeq) -> Result<(), Stopped> {
        self.recoverer.trim(self.log.writer, up_to).await?;
        self.trimmed = Some(up_to);
        Ok(())
    }
}

/// Writes the rows that are left in memory and commits them with the files there are.
async fn commit(
    files: FileWriter,
    table: Arc<Table>,
    rows: Vec<arrow::array::RecordBatch>,
    mut flush: Flush,
) -> Result<(TableId, SegmentSeq), Stopped> {
    if !rows.is_empty() {
        flush.files.extend(files.write(&table, rows).await?);
    }
    match table.commit_flush(&flush).await? {
        FlushOutcome::Committed(_) => Ok((table.id(), flush.to)),
        FlushOutcome::Superseded(_) => Err(Stopped::Moved("another process commits its rows")),
    }
}
