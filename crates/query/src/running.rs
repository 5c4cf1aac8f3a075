//! Queries that run and the last ones that ran: what `lake.queries` shows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loglake_model::{Clock, TenantName, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::QueryError;
use crate::memory::Used;

/// Ended queries that are remembered.
const RECENT_MAX: usize = 256;

/// Bytes of a query's text that are remembered.
const SQL_BYTES_MAX: usize = 4 << 10;

/// How a query is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QueryState {
    Running,
    Done,
    /// The caller let go of the answer.
    Cancelled,
    Failed(String),
}

impl QueryState {
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
        }
    }
}

/// One query's facts, kept up to date while it runs.
#[derive(Debug)]
pub(crate) struct QueryFacts {
    number: u64,
    pub(crate) id: String,
    pub(crate) tenant: TenantName,
    pub(crate) sql: String,
    pub(crate) started: Timestamp,
    begun: Instant,
    rows: AtomicU64,
    pub(crate) memory: Arc<Used>,
    end: Mutex<Option<(QueryState, Duration)>>,
}

impl QueryFacts {
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn state(&self) -> (QueryState, Duration) {
        match &*self.end.lock() {
            Some((state, elapsed)) => (state.clone(), *elapsed),
            None => (QueryState::Running, self.begun.elapsed()),
        }
    }
}

/// All queries of this process.
#[derive(Debug)]
pub(crate) struct Queries {
    clock: Arc<dyn Clock>,
    number: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    running: BTreeMap<u64, Arc<QueryFacts>>,
    recent: VecDeque<Arc<QueryFacts>>,
}

impl Queries {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, number: AtomicU64::new(0), known: Mutex::default() })
    }

    /// A query begins; it ends when what is returned is dropped, at the latest.
    pub(crate) fn begin(self: &Arc<Self>, tenant: &TenantName, sql: &str) -> RunningQuery {
        let facts = self.unlisted(tenant, sql);
        self.known.lock().running.insert(facts.number, Arc::clone(&facts));
        RunningQuery { facts, queries: Arc::clone(self) }
    }

    /// For planning alone: nothing runs, so nothing is listed.
    pub(crate) fn unlisted(&self, tenant: &TenantName, sql: &str) -> Arc<QueryFacts> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let started = self.clock.now();
        Arc::new(QueryFacts {
            number,
            id: format!("{:x}-{number}", started.millis()),
            tenant: tenant.clone(),
            sql: sql[..sql.floor_char_boundary(SQL_BYTES_MAX)].to_owned(),
            started,
            begun: Instant::now(),
            rows: AtomicU64::new(0),
            memory: Arc::default(),
            end: Mutex::new(None),
        })
    }

    /// A tenant's queries, oldest first.
    pub(crate) fn of(&self, tenant: &TenantName) -> Vec<Arc<QueryFacts>> {
        let known = self.known.lock();
        let mut queries: Vec<_> = known
            .recent
            .iter()
            .chain(known.running.values())
            .filter(|q| q.tenant == *tenant)
            .cloned()
            .collect();
        queries.sort_by_key(|q| q.number);
        queries
    }

    fn end(&self, facts: &Arc<QueryFacts>, state: QueryState) {
        let mut end = facts.end.lock();
        if end.is_some() {
            return;
        }
        *end = Some((state, facts.begun.elapsed()));
        drop(end);
        let mut known = self.known.lock();
        known.running.remove(&facts.number);
        if known.recent.len() == RECENT_MAX {
            known.recent.pop_front();
        }
        known.recent.push_back(Arc::clone(facts));
    }
}

/// A query's place in the list of those that run. Dropped before it is told how the query ended,
/// the query was cancelled.
#[derive(Debug)]
pub(crate) struct RunningQuery {
    facts: Arc<QueryFacts>,
    queries: Arc<Queries>,
}

impl RunningQuery {
    pub(crate) fn facts(&self) -> &QueryFacts {
        &self.facts
    }

    pub(crate) fn sent(&self, rows: usize) {
        self.facts.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn done(&self) {
        self.queries.end(&self.facts, QueryState::Done);
    }

    pub(crate) fn failed(&self, error: &QueryError) {
        self.queries.end(&self.facts, QueryState::Failed(error.to_string()));
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        self.queries.end(&self.facts, QueryState::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Stopped;
    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH
        }
    }

    #[test]
    fn a_query_is_running_until_its_end_and_remembered_after_it() {
        let queries = Queries::new(Arc::new(Stopped));
        let (mine, other) = (TenantName::unnamed(), TenantName::new("other").unwrap());
        let running = queries.begin(&mine, "select 1");
        drop(queries.begin(&mine, "select 2"));
        let done = queries.begin(&other, "select 3");
        done.sent(7);
        done.done();
        drop(done);
        let states = |tenant| -> Vec<_> {
            queries.of(tenant).iter().map(|q| (q.state().0, q.rows())).collect()
        };
        assert_eq!(states(&mine), [(QueryState::Running, 0), (QueryState::Cancelled, 0)]);
        assert_eq!(states(&other), [(QueryState::Done, 7)]);
        drop(running);
    }

    #[test]
    fn only_so_many_ended_queries_are_remembered() {
        let queries = Queries::new(Arc::new(Stopped));
        let tenant = TenantName::unnamed();
        for _ in 0..RECENT_MAX + 10 {
            queries.begin(&tenant, "select 1").done();
        }
        assert_eq!(queries.of(&tenant).len(), RECENT_MAX);
    }
}
