//! Binding tables to one version each, with exactly the rows that this version is missing.
//!
//! The order makes "acknowledged means visible" hold. A record that was acknowledged before the
//! query began is in a segment then, and leaves the segment only after it is in the table:
//!
//! 1. the writers, and the segments of those that are not this process's own (a look that began
//!    after the query did);
//! 2. the table's newest version: rows committed since the look are in it, and its watermark says
//!    which segments of the look they came from;
//! 3. the rows above the watermark. A segment that is gone by now was committed after step 2, and
//!    memory that let rows go did so after a commit too: the query begins again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use loglake_model::{SegmentSeq, TableName, TenantName, WriterId};
use loglake_table::{Catalog, Snapshot, Table};
use loglake_wal::{Log, Reader};

use crate::listing::SharedLook;
use crate::{FreshRows, QueryError};

/// Objects asked of the store at once by one query, for the logs and for one table's segments.
const REQUESTS_MAX: usize = 16;

/// A table as one query sees it.
#[derive(Debug)]
pub(crate) struct BoundTable {
    pub(crate) table: Arc<Table>,
    pub(crate) version: Arc<Snapshot>,
    /// The acknowledged rows that are not in `version`.
    pub(crate) fresh: Vec<RecordBatch>,
    /// Of the rows that were read from segments.
    pub(crate) memory: MemoryReservation,
}

/// The logs of all writers but this process's own.
#[derive(Debug)]
pub(crate) struct Logs {
    /// The writer of this process when the look began.
    own: Option<WriterId>,
    pub(crate) others: Vec<Log>,
}

/// Reads the lake: tables, segments, the fresh rows of this process.
pub(crate) struct LakeReader {
    catalog: Arc<Catalog>,
    wal: Reader,
    fresh: Arc<dyn FreshRows>,
    logs: SharedLook<Logs>,
}

impl LakeReader {
    pub(crate) fn new(catalog: Arc<Catalog>, wal: Reader, fresh: Arc<dyn FreshRows>) -> Self {
        Self { catalog, wal, fresh, logs: SharedLook::new() }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn own_writer(&self) -> Option<WriterId> {
        self.fresh.writer()
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
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<BTreeMap<TableName, BoundTable>, QueryError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let logs = self.logs.get(|| self.look()).await?;
        let bound = names.iter().map(|name| async {
            let Some(table) = self.catalog.table(tenant, name).await? else { return Ok(None) };
            Ok::<_, QueryError>(Some((name.clone(), self.bind_one(table, &logs, pool).await?)))
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

    async fn look(&self) -> Result<Logs, QueryError> {
        // The own writer first: one that starts later than this has nothing acknowledged yet.
        let own = self.fresh.writer();
        let mut writers = self.wal.writers().await?;
        writers.retain(|writer| Some(*writer) != own);
        Ok(Logs { own, others: self.logs_of(writers).await? })
    }

    async fn logs_of(&self, writers: Vec<WriterId>) -> Result<Vec<Log>, QueryError> {
        let logs = writers.into_iter().map(|writer| self.wal.log(writer));
        Ok(stream::iter(logs).buffered(REQUESTS_MAX).try_collect().await?)
    }

    async fn bind_one(
        &self,
        table: Arc<Table>,
        logs: &Logs,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<BoundTable, QueryError> {
        let version = table.refresh().await?;
        let memory = MemoryConsumer::new("fresh rows of segments").register(pool);
        let mut fresh = self.own_rows(&table, &version, logs)?;
        for batch in self.rows_of_others(&table, &version, logs).await? {
            memory.try_grow(batch.get_array_memory_size())?;
            fresh.push(batch);
        }
        has_only_known_columns(&version, &fresh)?;
        Ok(BoundTable { table, version, fresh, memory })
    }

    fn own_rows(
        &self,
        table: &Table,
        version: &Snapshot,
        logs: &Logs,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let Some(own) = logs.own else { return Ok(vec![]) };
        self.fresh.rows(own, table.id(), version.watermark(own)).ok_or_else(|| {
            QueryError::moved(format!("writer {own} let rows of table {} go", table.name()))
        })
    }

    async fn rows_of_others(
        &self,
        table: &Table,
        version: &Snapshot,
        logs: &Logs,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let missing = missing_segments(&logs.others, |writer| version.watermark(writer));
        let rows = missing.into_iter().map(|(writer, seq)| self.wal.rows(writer, seq, table.id()));
        let rows: Vec<Vec<RecordBatch>> =
            stream::iter(rows).buffered(REQUESTS_MAX).try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }
}

/// The segments whose rows a version of a table does not have: of each writer those above its
/// watermark in the table, of a writer without one all of them.
fn missing_segments(
    logs: &[Log],
    watermark: impl Fn(WriterId) -> Option<SegmentSeq>,
) -> Vec<(WriterId, SegmentSeq)> {
    let of_log = |log: &Log| {
        let (writer, committed) = (log.writer, watermark(log.writer));
        let above =
            log.segments.iter().map(|(seq, _)| *seq).filter(move |seq| Some(*seq) > committed);
        above.map(move |seq| (writer, seq)).collect::<Vec<_>>()
    };
    logs.iter().flat_map(of_log).collect()
}

/// A column is added to the table before any row has it, so rows with a column that the version
/// lacks came after the version.
fn has_only_known_columns(version: &Snapshot, fresh: &[RecordBatch]) -> Result<(), QueryError> {
    let schema = version.schema();
    let unknown = fresh
        .iter()
        .flat_map(|batch| batch.schema_ref().fields())
        .filter_map(|field| loglake_model::Column::of_field(field))
        .find(|column| schema.column(&column.name).is_none());
    match unknown {
        Some(column) => Err(QueryError::moved(format!("column {:?} is new", column.name))),
        None => Ok(()),
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
        let missing = missing_segments(logs, of).into_iter();
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
}
