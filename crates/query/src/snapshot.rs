//! Binding tables to one version each, with exactly the rows that this version is missing.
//!
//! The order makes "acknowledged means visible" hold. A record that was acknowledged before the
//! query began is in its writer's memory and in a segment then, and leaves both only after it is in
//! the table:
//!
//! 1. the writers, by a listing of their marks that began after the query did; of those whose
//!    process is not asked (it is not known, was silent lately, or its log is being sealed) the
//!    segments;
//! 2. the table's newest version: rows committed since the look are in it, and its watermark says
//!    which segments of the look they came from;
//! 3. the rows above the watermark. A segment that is gone by now was committed after step 2, and
//!    memory that let rows go did so after a commit too: the query begins again. So it does, with
//!    the writer's segments, when a process that was asked gives no whole answer.
//!
//! What makes the memory of a writer's process as good as its segments is in [`crate::fresh`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::future::{join_all, try_join_all};
use futures::stream::{self, StreamExt, TryStreamExt};
use loglake_model::{SegmentSeq, TableId, TableName, TenantName, WriterId};
use loglake_table::{Catalog, Snapshot, Table};
use loglake_wal::{Log, Reader, WriterMark};
use parking_lot::Mutex;

use crate::listing::SharedLook;
use crate::partial::Leave;
use crate::{FreshAnswer, FreshError, FreshRows, FreshScan, QueryError, Selection, UpTo};

/// Objects asked of the store at once by one query, for the logs and for one table's segments.
const REQUESTS_MAX: usize = 16;

/// A table as one query sees it.
pub(crate) struct BoundTable {
    pub(crate) table: Arc<Table>,
    pub(crate) version: Arc<Snapshot>,
    pub(crate) fresh: BoundRows,
    pub(crate) leave: Arc<Leave>,
}

/// On which terms a query binds its tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// Writers whose segments are read, even when their processes can be asked.
    pub(crate) shunned: &'a BTreeSet<WriterId>,
    pub(crate) leave: &'a Arc<Leave>,
}

/// What a look at the writers found.
#[derive(Debug)]
struct Writers {
    /// Their processes are asked.
    asked: Vec<WriterId>,
    /// The logs of all others.
    logs: Vec<Log>,
}

/// Reads the lake: tables, segments, fresh rows.
pub(crate) struct LakeReader {
    catalog: Arc<Catalog>,
    wal: Reader,
    fresh: Arc<dyn FreshRows>,
    writers: SharedLook<Writers>,
}

impl LakeReader {
    pub(crate) fn new(catalog: Arc<Catalog>, wal: Reader, fresh: Arc<dyn FreshRows>) -> Self {
        Self { catalog, wal, fresh, writers: SharedLook::new() }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn own_writer(&self) -> Option<WriterId> {
        self.fresh.own()
    }

    /// The logs of all writers, this process's own too: for `lake.segments` and `lake.writers`.
    pub(crate) async fn all_logs(&self) -> Result<Vec<Log>, QueryError> {
        self.logs_of(self.wal.writers().await?).await
    }

    /// The tables of these names that there are, each at its newest version with the rows this
    /// version is missing. Fails as [`QueryError::Moved`] when the lake moved on meanwhile.
    pub(crate) async fn bind(
        &self,
        tenant: &TenantName,
        names: &BTreeSet<TableName>,
        Terms { shunned, leave }: &Terms<'_>,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<BTreeMap<TableName, BoundTable>, QueryError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let seen = self.writers.get(|| self.look()).await?;
        let (asked, also) = seen.asked.iter().partition(|writer| !shunned.contains(writer));
        let (asked, also): (Vec<WriterId>, Vec<WriterId>) = (asked, also);
        let also = self.logs_of(also).await?;
        let logs: Vec<&Log> = seen.logs.iter().chain(&also).collect();
        let bound = names.iter().map(|name| async {
            let Some(table) = self.catalog.table(tenant, name).await? else { return Ok(None) };
            let bound = self.bind_one(table, &asked, &logs, leave, pool).await?;
            Ok::<_, QueryError>(Some((name.clone(), bound)))
        });
        Ok(try_join_all(bound).await?.into_iter().flatten().collect())
    }

    /// The tables of these names that there are at their newest version, without fresh rows.
    pub(crate) async fn shapes(
        &self,
        tenant: &TenantName,
        names: &BTreeSet<TableName>,
    ) -> Result<Vec<(Arc<Table>, Arc<Snapshot>)>, QueryError> {
        let shapes = names.clone().into_iter().map(|name| async move {
            let Some(table) = self.catalog.table(tenant, &name).await? else { return Ok(None) };
            let version = table.refresh().await?;
            Ok::<_, QueryError>(Some((table, version)))
        });
        let shapes: Vec<_> = stream::iter(shapes).buffered(REQUESTS_MAX).try_collect().await?;
        Ok(shapes.into_iter().flatten().collect())
    }

    async fn look(&self) -> Result<Writers, QueryError> {
        // The own writer first: one that starts later than this has nothing acknowledged yet.
        let own = self.fresh.own();
        let marks = self.wal.marks().await?;
        let (asked, others) = whom_to_ask(own, &marks, |writer| self.fresh.can_ask(writer));
        Ok(Writers { asked, logs: self.logs_of(others).await? })
    }

    async fn logs_of(&self, writers: Vec<WriterId>) -> Result<Vec<Log>, QueryError> {
        let logs = writers.into_iter().map(|writer| self.wal.log(writer));
        Ok(stream::iter(logs).buffered(REQUESTS_MAX).try_collect().await?)
    }

    async fn bind_one(
        &self,
        table: Arc<Table>,
        asked: &[WriterId],
        logs: &[&Log],
        leave: &Arc<Leave>,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<BoundTable, QueryError> {
        let version = table.refresh().await?;
        let memory = MemoryConsumer::new("fresh rows").register(pool);
        let from_segments = self.rows_of_segments(&table, &version, logs, leave).await?;
        for batch in &from_segments {
            memory.try_grow(batch.get_array_memory_size())?;
        }
        has_only_known_columns(&version, from_segments.iter())?;
        let asked = asked.iter().map(|writer| AskedWriter {
            writer: *writer,
            table: table.id(),
            above: version.watermark(*writer),
            up_to: tokio::sync::Mutex::new(UpTo::Newest),
        });
        let fresh = BoundRows {
            from_segments,
            asked: asked.collect(),
            rows: Arc::clone(&self.fresh),
            memory: Mutex::new(memory),
        };
        Ok(BoundTable { table, version, fresh, leave: Arc::clone(leave) })
    }

    async fn rows_of_segments(
        &self,
        table: &Table,
        version: &Snapshot,
        logs: &[&Log],
        leave: &Leave,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let missing = missing_segments(logs, |writer| version.watermark(writer));
        let rows = missing.into_iter().map(|(writer, seq)| async move {
            let read = self.wal.rows(writer, seq, table.id()).await;
            leave.or_without(|| format!("segment {seq} of writer {writer}"), read)
        });
        let rows: Vec<Vec<RecordBatch>> =
            stream::iter(rows).buffered(REQUESTS_MAX).try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }
}

/// The writers whose processes are asked, and those whose segments are read. This process's own is
/// asked also when it has no mark (any more): its memory says what it knows.
fn whom_to_ask(
    own: Option<WriterId>,
    marks: &[WriterMark],
    can_ask: impl Fn(WriterId) -> bool,
) -> (Vec<WriterId>, Vec<WriterId>) {
    let ask = |mark: &&WriterMark| !mark.sealing && can_ask(mark.writer);
    let (asked, others): (Vec<_>, Vec<_>) = marks.iter().partition(ask);
    let ids = |marks: Vec<&WriterMark>| -> Vec<WriterId> {
        marks.iter().map(|mark| mark.writer).collect()
    };
    let mut asked = ids(asked);
    asked.extend(own.filter(|own| marks.iter().all(|mark| mark.writer != *own)));
    (asked, ids(others))
}

/// The segments whose rows a version of a table does not have: of each writer those above its
/// watermark in the table, of a writer without one all of them.
fn missing_segments(
    logs: &[&Log],
    watermark: impl Fn(WriterId) -> Option<SegmentSeq>,
) -> Vec<(WriterId, SegmentSeq)> {
    let of_log = |log: &Log| {
        let (writer, committed) = (log.writer, watermark(log.writer));
        let above =
            log.segments.iter().map(|(seq, _)| *seq).filter(move |seq| Some(*seq) > committed);
        above.map(move |seq| (writer, seq)).collect::<Vec<_>>()
    };
    logs.iter().copied().flat_map(of_log).collect()
}

/// A column is added to the table before any row has it, so rows with a column that the version
/// lacks came after the version.
fn has_only_known_columns<'a>(
    version: &Snapshot,
    fresh: impl Iterator<Item = &'a RecordBatch>,
) -> Result<(), QueryError> {
    let fields = fresh.flat_map(|batch| batch.schema_ref().fields());
    let names = fields.filter_map(|field| Some(loglake_model::Column::of_field(field)?.name));
    knows_columns(version, names)
}

fn knows_columns(
    version: &Snapshot,
    mut names: impl Iterator<Item = impl AsRef<str>>,
) -> Result<(), QueryError> {
    let schema = version.schema();
    match names.find(|name| schema.column(name.as_ref()).is_none()) {
        Some(name) => Err(QueryError::moved(format!("column {:?} is new", name.as_ref()))),
        None => Ok(()),
    }
}

/// The rows that a version is missing.
pub(crate) struct BoundRows {
    from_segments: Vec<RecordBatch>,
    asked: Vec<AskedWriter>,
    rows: Arc<dyn FreshRows>,
    /// Of all rows but those in this process's memory anyway.
    memory: Mutex<MemoryReservation>,
}

/// A writer whose process is asked for its rows of one table at each scan.
struct AskedWriter {
    writer: WriterId,
    table: TableId,
    above: Option<SegmentSeq>,
    /// Fixed by the first answer, so that every scan of the query sees the same rows.
    up_to: tokio::sync::Mutex<UpTo>,
}

impl BoundRows {
    /// The rows, or at least those that a selection needs.
    pub(crate) async fn select(
        &self,
        version: &Snapshot,
        selection: &Selection,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let asked = self.asked.iter().map(|asked| asked.rows(self.rows.as_ref(), selection));
        let answers = join_all(asked).await;
        let mut batches = self.from_segments.clone();
        for (asked, answer) in self.asked.iter().zip(whole_answers(answers)?) {
            knows_columns(version, answer.columns.iter())?;
            if self.rows.own() != Some(asked.writer) {
                let bytes = answer.batches.iter().map(RecordBatch::get_array_memory_size).sum();
                self.memory.lock().try_grow(bytes)?;
            }
            batches.extend(answer.batches);
        }
        Ok(batches)
    }
}

impl AskedWriter {
    async fn rows(
        &self,
        rows: &dyn FreshRows,
        selection: &Selection,
    ) -> Result<FreshAnswer, (WriterId, FreshError)> {
        // Held while asking: of two scans at once the second one learns from the first.
        let mut up_to = self.up_to.lock().await;
        if *up_to == UpTo::Segment(None) {
            return Ok(FreshAnswer::default());
        }
        let (writer, table, above) = (self.writer, self.table, self.above);
        let selection = selection.clone();
        let scan = FreshScan { writer, table, above, up_to: *up_to, selection };
        let answer = rows.rows(&scan).await.map_err(|error| (writer, error))?;
        *up_to = UpTo::Segment(answer.up_to);
        Ok(answer)
    }
}

/// All answers, or why the query has to begin again.
fn whole_answers(
    answers: Vec<Result<FreshAnswer, (WriterId, FreshError)>>,
) -> Result<Vec<FreshAnswer>, QueryError> {
    let (mut whole, mut unanswered, mut what, mut let_go) = (vec![], vec![], vec![], None);
    for answer in answers {
        match answer {
            Ok(answer) => whole.push(answer),
            Err((writer, FreshError::LetGo)) => let_go = Some(writer),
            Err((writer, error)) => {
                what.push(format!("writer {writer}: {error}"));
                unanswered.push(writer);
            }
        }
    }
    if !unanswered.is_empty() {
        return Err(QueryError::Unanswered { writers: unanswered, what: what.join("; ") });
    }
    match let_go {
        Some(writer) => Err(QueryError::moved(format!("writer {writer} let rows go"))),
        None => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn log(writer: u128, floor: Option<u64>, segments: &[u64]) -> Log {
        Log {
            writer: WriterId::from_uuid(Uuid::from_u128(writer)),
            floor: floor.map(SegmentSeq),
            segments: segments.iter().map(|seq| (SegmentSeq(*seq), 1)).collect(),
            seal: None,
        }
    }

    fn missing(logs: &[Log], watermarks: &[(u128, u64)]) -> Vec<(u128, u64)> {
        let of = |writer: WriterId| {
            let known = watermarks.iter().find(|(w, _)| *w == writer.as_uuid().as_u128());
            known.map(|(_, seq)| SegmentSeq(*seq))
        };
        let logs: Vec<&Log> = logs.iter().collect();
        let missing = missing_segments(&logs, of).into_iter();
        missing.map(|(writer, seq)| (writer.as_uuid().as_u128(), seq.0)).collect()
    }

    #[test]
    fn a_writer_without_a_watermark_misses_everything() {
        assert_eq!(missing(&[log(1, None, &[0, 1])], &[]), [(1, 0), (1, 1)]);
    }

    #[test]
    fn segments_up_to_the_watermark_are_in_the_table() {
        let logs = [log(1, Some(4), &[5, 6, 7]), log(2, None, &[0, 1])];
        assert_eq!(missing(&logs, &[(1, 6), (2, 1)]), [(1, 7)]);
        assert_eq!(missing(&logs, &[(1, 9), (2, 0)]), [(2, 1)]);
    }

    #[test]
    fn a_watermark_of_the_first_segment_covers_it_alone() {
        assert_eq!(missing(&[log(1, None, &[0, 1])], &[(1, 0)]), [(1, 1)]);
    }

    #[test]
    fn an_empty_log_misses_nothing() {
        assert_eq!(missing(&[log(1, Some(9), &[])], &[(1, 3)]), []);
    }

    #[test]
    fn whoever_is_known_and_not_being_sealed_is_asked() {
        let id = |n: u128| WriterId::from_uuid(Uuid::from_u128(n));
        let mark = |n, sealing| WriterMark { writer: id(n), sealing };
        let marks = [mark(1, false), mark(2, false), mark(3, true), mark(4, true)];
        let known = |writer: WriterId| [1, 3].contains(&writer.as_uuid().as_u128());
        let (asked, others) = whom_to_ask(Some(id(4)), &marks, known);
        assert_eq!((asked, others), (vec![id(1)], vec![id(2), id(3), id(4)]));
        let (asked, _) = whom_to_ask(Some(id(9)), &marks, known);
        assert_eq!(asked, [id(1), id(9)]);
    }
}
