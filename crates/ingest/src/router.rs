//! The room between shaping and logging: each row goes to the ingester that should have it, in one
//! hop, or stays here.
//!
//! ```text
//! shaped rows ─▶ split by (tenant, table, service) ─┬─▶ this writer's log
//!                                                   └─▶ forward ─┬─ taken
//!                                                                ├─ not taken ─▶ this writer's log
//!                                                                └─ no answer ─▶ seal that log, search it
//!                                                                      ├─ there: stored
//!                                                                      └─ not there ─▶ this writer's log
//! ```
//! A row that may be in another writer's log is never logged here before that log is sealed and
//! searched: so whoever hangs or dies, it is stored once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use futures::future::join_all;
use loglake_model::{SERVICE, SegmentSeq, WriterId};
use loglake_table::Table;
use loglake_wal::{Mark, TablePart};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::IngestError;
use crate::fate::{Fate, Fates};
use crate::generation::CurrentGeneration;
use crate::memory::bytes_of;
use crate::peers::{Forward, ForwardError, Peer, Peers};
use crate::routing::{Candidate, Heat, LOOK_EVERY, Patience, ShardKey, choose};

/// How long the fate of rows is asked for before the sender is told that it is unknown.
const FIND_OUT_FOR: Duration = Duration::from_secs(20);

pub(crate) struct Router {
    here: CurrentGeneration,
    peers: Arc<dyn Peers>,
    fates: Fates,
    heat: Mutex<Heat>,
    batches: AtomicU64,
}

/// Rows of one table, in its shape.
pub(crate) type Rows = (Arc<Table>, RecordBatch);

impl Router {
    pub(crate) fn new(here: CurrentGeneration, peers: Arc<dyn Peers>, fates: Fates) -> Self {
        Self { here, peers, fates, heat: Mutex::default(), batches: AtomicU64::new(0) }
    }

    /// Resolves when all rows are durable and visible, here or at the peers they belong to.
    ///
    /// # Errors
    /// When some are not, or may not be.
    pub(crate) async fn store(&self, rows: Vec<Rows>) -> Result<(), IngestError> {
        let peers = self.peers.peers();
        if peers.is_empty() {
            return self.log_here(rows).await;
        }
        let (mut here, mut away) = (vec![], vec![]);
        for (to, rows) in self.split(rows, &peers)? {
            match peers.iter().find(|peer| peer.standing.writer == to) {
                Some(peer) => away.push((*peer, rows)),
                None => here.push(rows),
            }
        }
        let away = join_all(away.into_iter().map(|(peer, rows)| self.hand_over(peer, rows)));
        let (here, away) = tokio::join!(self.log_here(here), away);
        here?;
        away.into_iter().collect()
    }

    async fn log_here(&self, rows: Vec<Rows>) -> Result<(), IngestError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.here.get().append(parts(rows), None).await
    }

    /// The rows by the ingester that should take them; this one when no other is fit.
    fn split(&self, rows: Vec<Rows>, peers: &[Peer]) -> Result<Vec<(WriterId, Rows)>, IngestError> {
        let now = Instant::now();
        let standing = self.here.get().standing(now);
        let own = Peer { standing, heard: now };
        let mut candidates = vec![Candidate::of(&own, now)];
        candidates.extend(peers.iter().map(|peer| Candidate::of(peer, now)));
        let mut split = vec![];
        for (table, batch) in rows {
            let by_writer = by_writer(&batch, |service, share| {
                let key = ShardKey::new(table.tenant(), table.name(), service);
                let bytes =
                    bytes_of(std::slice::from_ref(&batch)) * share / batch.num_rows().max(1);
                let (spread, turn) = self.heat.lock().count(key, bytes, now);
                choose(key, spread, turn, &candidates).unwrap_or(standing.writer)
            })?;
            split.extend(by_writer.into_iter().map(|(to, rows)| (to, (Arc::clone(&table), rows))));
        }
        Ok(split)
    }

    async fn hand_over(&self, peer: Peer, rows: Rows) -> Result<(), IngestError> {
        let writer = peer.standing.writer;
        let n = self.batches.fetch_add(1, Ordering::Relaxed);
        let batch = format!("{}-{n}", self.here.get().writer());
        let (table, rows) = rows;
        let forward = Forward {
            batch: batch.clone(),
            writer,
            tenant: table.tenant().clone(),
            name: table.name().clone(),
            table: table.id(),
            rows: rows.clone(),
        };
        let answer = tokio::select! {
            biased;
            answer = self.peers.forward(forward) => answer,
            reason = self.patience_ends(peer) => Err(ForwardError::Unknown(reason.to_owned())),
        };
        match answer {
            Ok(()) => Ok(()),
            Err(ForwardError::NotTaken(reason)) => {
                tracing::debug!(%writer, reason, "rows stay here");
                self.log_here(vec![(table, rows)]).await
            }
            Err(ForwardError::Unknown(reason)) => {
                tracing::warn!(%writer, reason, "the fate of forwarded rows is found out");
                let mark = Mark::ForwardedBatch(batch);
                match self.find_out(writer, &mark, peer.standing.delivered).await? {
                    Fate::Stored => Ok(()),
                    Fate::NotStored => self.log_here(vec![(table, rows)]).await,
                    Fate::Trimmed => Err(IngestError::FateUnknown { writer }),
                }
            }
        }
    }

    /// Whether a request that can only be logged here had better go to another ingester.
    pub(crate) fn others_are_quicker(&self) -> bool {
        let now = Instant::now();
        let own = Peer { standing: self.here.get().standing(now), heard: now };
        !Candidate::of(&own, now).fit
            && self.peers.peers().iter().any(|peer| Candidate::of(peer, now).fit)
    }

    /// Resolves, with the reason, when a peer that has rows of ours should not be waited for longer.
    pub(crate) async fn patience_ends(&self, peer: Peer) -> &'static str {
        let mut patience = Patience::begin(&peer, Instant::now());
        loop {
            sleep(LOOK_EVERY).await;
            let peers = self.peers.peers();
            let now_known = peers.iter().find(|p| p.standing.writer == peer.standing.writer);
            let now = Instant::now();
            let own_waiting = self.here.get().standing(now).waiting;
            if let Some(reason) = patience.ends(now_known, own_waiting, now) {
                return reason;
            }
        }
    }

    /// Asks the log until it tells: while the store is away, nobody knows.
    pub(crate) async fn find_out(
        &self,
        writer: WriterId,
        mark: &Mark,
        after: Option<SegmentSeq>,
    ) -> Result<Fate, IngestError> {
        let asking = async {
            loop {
                match self.fates.find_out(writer, mark, after).await {
                    Ok(fate) => return fate,
                    Err(e) => tracing::warn!(%writer, "its log cannot be searched yet: {e}"),
                }
                sleep(ASK_AGAIN_AFTER).await;
            }
        };
        timeout(FIND_OUT_FOR, asking).await.map_err(|_| IngestError::FateUnknown { writer })
    }
}

const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Rows as parts of a segment, with their tables.
pub(crate) fn parts(rows: Vec<Rows>) -> Vec<(Arc<Table>, TablePart)> {
    let mut parts: Vec<(Arc<Table>, TablePart)> = vec![];
    for (table, batch) in rows {
        match parts.iter_mut().find(|(known, _)| known.id() == table.id()) {
            Some((_, part)) => part.batches.push(batch),
            None => {
                let part = TablePart::new(table.id(), vec![batch]);
                parts.push((table, part));
            }
        }
    }
    parts
}

/// The rows of a batch by the writer that is chosen for their service (`choose` is told the service
/// and how many rows it has), in the order of the writers; each keeps the order of its rows.
fn by_writer(
    batch: &RecordBatch,
    mut choose: impl FnMut(Option<&str>, usize) -> WriterId,
) -> Result<Vec<(WriterId, RecordBatch)>, IngestError> {
    let Some(services) = batch.column_by_name(SERVICE) else {
        return Ok(vec![(choose(None, batch.num_rows()), batch.clone())]);
    };
    let services = cast(services, &DataType::Utf8)?;
    let services = services.as_string::<i32>();
    let mut counts: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for service in services {
        *counts.entry(service).or_default() += 1;
    }
    let homes: BTreeMap<Option<&str>, WriterId> =
        counts.into_iter().map(|(service, rows)| (service, choose(service, rows))).collect();
    let mut writers: Vec<WriterId> = homes.values().copied().collect();
    writers.sort_unstable();
    writers.dedup();
    if let [only] = writers.as_slice() {
        return Ok(vec![(*only, batch.clone())]);
    }
    let share = |writer: WriterId| {
        let mask: BooleanArray =
            services.iter().map(|service| Some(homes.get(&service) == Some(&writer))).collect();
        Ok((writer, filter_record_batch(batch, &mask)?))
    };
    writers.into_iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use uuid::Uuid;

    use super::*;

    fn batch(services: Vec<Option<&str>>) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..services.len() as i64));
        let services: ArrayRef = Arc::new(StringArray::from(services));
        RecordBatch::try_from_iter_with_nullable([(SERVICE, services, true), ("n", numbers, false)])
            .unwrap()
    }

    fn writer(n: u128) -> WriterId {
        WriterId::from_uuid(Uuid::from_u128(n))
    }

    fn numbers(batch: &RecordBatch) -> Vec<i64> {
        batch["n"].as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn rows_go_where_their_service_goes_and_keep_their_order() {
        let batch = batch(vec![Some("a"), None, Some("b"), Some("a"), None]);
        let home = |service: Option<&str>, rows| match (service, rows) {
            (Some("a"), 2) => writer(2),
            (Some("b"), 1) => writer(1),
            (None, 2) => writer(1),
            unexpected => panic!("{unexpected:?}"),
        };
        let split = by_writer(&batch, home).unwrap();
        let split: Vec<_> = split.iter().map(|(writer, rows)| (*writer, numbers(rows))).collect();
        assert_eq!(split, [(writer(1), vec![1, 2, 4]), (writer(2), vec![0, 3])]);
    }

    #[test]
    fn texts_with_dictionaries_go_where_those_in_full_go() {
        let in_full = batch(vec![Some("a"), None, Some("b"), Some("a"), None]);
        let kind = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
        let services = cast(&in_full[SERVICE], &kind).unwrap();
        let numbered = RecordBatch::try_from_iter_with_nullable([
            (SERVICE, services, true),
            ("n", Arc::clone(&in_full["n"]), false),
        ]);
        let home = |service: Option<&str>, _| writer(if service == Some("a") { 2 } else { 1 });
        let expected = by_writer(&in_full, home).unwrap();
        let split = by_writer(&numbered.unwrap(), home).unwrap();
        assert_eq!(split.len(), expected.len());
        for ((to, rows), (expected_to, expected)) in split.iter().zip(&expected) {
            assert_eq!((to, numbers(rows)), (expected_to, numbers(expected)));
            assert_eq!(rows[SERVICE].data_type(), &kind);
            assert_eq!(&cast(&rows[SERVICE], &DataType::Utf8).unwrap(), &expected[SERVICE]);
        }
    }

    #[test]
    fn rows_without_a_service_column_stay_together() {
        let batch = batch(vec![None, None]).project(&[1]).unwrap();
        let split = by_writer(&batch, |service, rows| {
            assert_eq!((service, rows), (None, 2));
            writer(1)
        });
        assert_eq!(split.unwrap(), [(writer(1), batch)]);
    }
}
