//! Ingesters over one bucket that hand rows to each other, and what becomes of the rows when one of
//! them falls silent at the worst moment.

use std::collections::BTreeSet;
use std::sync::Weak;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use loglake_ingest::{Forward, ForwardError, IngestError, KeyFate, Peer, Peers};
use loglake_model::ErrorKind;
use loglake_wal::testing::{Fault, FaultyStore, Operation};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;

/// How the way to an ingester is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    #[default]
    Open,
    /// What is sent arrives, and no word comes back.
    NoAnswers,
    /// Nothing arrives, and it is not known here.
    Swallows,
}

#[derive(Default)]
pub(super) struct Hub {
    ingesters: Mutex<Vec<(Weak<Ingester>, Way)>>,
    /// How often rows were forwarded.
    hops: AtomicU64,
}

/// The hub as one of its ingesters sees it.
struct Seen {
    hub: Arc<Hub>,
    own: usize,
    started: Instant,
}

impl Hub {
    pub(super) fn set(&self, of: usize, way: Way) {
        self.ingesters.lock()[of].1 = way;
    }

    fn find(&self, writer: WriterId) -> Option<(Arc<Ingester>, Way)> {
        let ingesters = self.ingesters.lock();
        let live = ingesters.iter().filter_map(|(ingester, way)| Some((ingester.upgrade()?, *way)));
        live.into_iter().find(|(ingester, _)| ingester.writer() == writer)
    }
}

#[async_trait]
impl Peers for Seen {
    fn peers(&self) -> Vec<Peer> {
        let ingesters = self.hub.ingesters.lock();
        let others = ingesters.iter().enumerate().filter(|(at, _)| *at != self.own);
        let peer = |(ingester, way): &(Weak<Ingester>, Way)| {
            let heard = if *way == Way::Open { Instant::now() } else { self.started };
            Some(Peer { standing: ingester.upgrade()?.standing(), heard })
        };
        others.filter_map(|(_, other)| peer(other)).collect()
    }

    async fn forward(&self, forward: Forward) -> Result<(), ForwardError> {
        self.hub.hops.fetch_add(1, Ordering::Relaxed);
        let Some((ingester, way)) = self.hub.find(forward.writer) else {
            return Err(ForwardError::NotTaken("gone".to_owned()));
        };
        if way == Way::Open {
            return ingester.take_forwarded(forward).await;
        }
        if way == Way::NoAnswers {
            let _ = ingester.take_forwarded(forward).await;
        }
        std::future::pending().await
    }

    async fn key_fate(&self, writer: WriterId, key: &str) -> Option<KeyFate> {
        match self.hub.find(writer)? {
            (ingester, Way::Open) => ingester.key_fate(writer, key).await,
            _ => None,
        }
    }
}

pub(super) struct Cluster {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) hub: Arc<Hub>,
    pub(super) ingesters: Vec<Arc<Ingester>>,
}

pub(super) async fn cluster(store: Arc<dyn ObjectStore>, size: usize) -> Cluster {
    let (hub, started) = (Arc::new(Hub::default()), Instant::now());
    let mut ingesters = vec![];
    for own in 0..size {
        let seen = Seen { hub: Arc::clone(&hub), own, started };
        let ingester =
            Ingester::start(dependencies(&store), settings(), Arc::new(seen)).await.unwrap();
        hub.ingesters.lock().push((Arc::downgrade(&ingester), Way::Open));
        ingesters.push(ingester);
    }
    Cluster { store, hub, ingesters }
}

/// Rows of one service each.
fn of_service(service: &str, numbers: &[i64]) -> RecordBatch {
    let batch = rows(numbers);
    let column = Column::new("service", ColumnType::String, NameForm::Nested).field();
    let services: ArrayRef =
        Arc::new(StringArray::from_iter_values(numbers.iter().map(|_| service)));
    let fields: Vec<_> =
        batch.schema_ref().fields().iter().cloned().chain([Arc::new(column)]).collect();
    let columns = batch.columns().iter().cloned().chain([services]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

impl Cluster {
    async fn append(&self, at: usize, service: &str, numbers: &[i64]) -> Result<(), IngestError> {
        let ingester = &self.ingesters[at];
        ingester.append(vec![(logs(ingester).await, of_service(service, numbers))]).await
    }

    /// The numbers in the segments of an ingester's present log, in the order of the log.
    async fn logged(&self, at: usize) -> Vec<i64> {
        let (reader, writer) = (Reader::new(Arc::clone(&self.store)), self.ingesters[at].writer());
        let table = logs(&self.ingesters[at]).await.id();
        let mut numbers = vec![];
        for (seq, _) in reader.log(writer).await.unwrap().segments {
            for batch in reader.rows(writer, seq, table).await.unwrap() {
                numbers.extend(batch["number"].as_primitive::<Int64Type>().values());
            }
        }
        numbers
    }

    /// Every number that is stored anywhere, once each segment of each log is counted.
    pub(super) async fn all_logged(&self) -> Vec<i64> {
        let mut all = vec![];
        for at in 0..self.ingesters.len() {
            all.extend(self.logged(at).await);
        }
        all.sort_unstable();
        all
    }

    /// A service whose home is the ingester at `at`.
    async fn service_of(&self, at: usize) -> String {
        for n in 0.. {
            let service = format!("service {n}");
            self.append(at, &service, &[-1]).await.unwrap();
            let hops = self.hub.hops.swap(0, Ordering::Relaxed);
            if hops == 0 {
                return service;
            }
        }
        unreachable!()
    }
}

pub(super) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_service_lie_together_wherever_they_come_in() {
    let cluster = cluster(memory(), 3).await;
    for n in 0..30 {
        let service = format!("service {}", n % 10);
        cluster.append((n / 10) as usize, &service, &[n]).await.unwrap();
    }
    let mut homes = BTreeSet::new();
    for at in 0..3 {
        let here: BTreeSet<_> = cluster.logged(at).await.into_iter().collect();
        for n in here.iter().map(|n| n % 10) {
            assert!(here.contains(&n) && here.contains(&(n + 10)) && here.contains(&(n + 20)));
            assert!(homes.insert((n, at)) || here.contains(&n));
        }
    }
    assert_eq!(homes.len(), 10, "each service has one home: {homes:?}");
    assert_eq!(cluster.all_logged().await, (0..30).collect::<Vec<_>>());
    let hops = cluster.hub.hops.load(Ordering::Relaxed);
    assert!((10..30).contains(&hops), "{hops} hops");
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_no_rows_or_is_silent_is_passed_over() {
    let cluster = cluster(memory(), 2).await;
    let service = cluster.service_of(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.hub.set(1, Way::Swallows);
    cluster.append(0, &service, &[1]).await.unwrap();
    assert!(cluster.logged(0).await.contains(&1));
    cluster.hub.set(1, Way::Open);
    cluster.append(0, &service, &[2]).await.unwrap();
    assert!(cluster.logged(1).await.contains(&2));
    // It stops: what is still sent to it is taken here.
    cluster.ingesters[1].shutdown().await.unwrap();
    cluster.append(0, &service, &[3]).await.unwrap();
    assert!(cluster.logged(0).await.contains(&3));
}

/// Rows go to an ingester that falls silent with them: it has logged them, or it has not.
async fn falls_silent(way: Way) -> (Cluster, Result<(), IngestError>) {
    let cluster = cluster(memory(), 2).await;
    let service = cluster.service_of(1).await;
    // Heard until just now, so rows still go there.
    cluster.hub.set(1, way);
    let started = Instant::now();
    let outcome = cluster.append(0, &service, &[7]).await;
    let took = started.elapsed();
    assert!(took <= Duration::from_millis(1_200), "the sender waited {took:?}");
    (cluster, outcome)
}

#[tokio::test(start_paused = true)]
async fn rows_that_a_silent_peer_has_are_acknowledged_and_not_logged_again() {
    let (cluster, outcome) = falls_silent(Way::NoAnswers).await;
    outcome.unwrap();
    let sevens = cluster.all_logged().await.into_iter().filter(|n| *n == 7).count();
    assert_eq!(sevens, 1);
    assert!(cluster.logged(1).await.contains(&7));
}

#[tokio::test(start_paused = true)]
async fn rows_that_a_silent_peer_does_not_have_are_logged_here_and_it_is_fenced() {
    let (cluster, outcome) = falls_silent(Way::Swallows).await;
    outcome.unwrap();
    assert!(cluster.logged(0).await.contains(&7));
    // What it may still have in its hands, it cannot log any more.
    let fenced = cluster.ingesters[1].writer();
    let log = Reader::new(Arc::clone(&cluster.store)).log(fenced).await.unwrap();
    assert!(log.seal.is_some());
    let late = Forward {
        batch: "late".to_owned(),
        writer: fenced,
        tenant: TenantName::unnamed(),
        name: TableName::unnamed(),
        table: logs(&cluster.ingesters[0]).await.id(),
        rows: of_service("any", &[7]),
    };
    let refused = cluster.ingesters[1].take_forwarded(late).await.unwrap_err();
    assert!(matches!(refused, ForwardError::Unknown(_)), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn when_the_log_cannot_tell_any_more_the_sender_is_told_so() {
    let cluster = cluster(memory(), 2).await;
    let service = cluster.service_of(1).await;
    cluster.hub.set(1, Way::NoAnswers);
    let waiting = cluster.append(0, &service, &[7]);
    // The peer commits and trims everything before its log is searched.
    let trimming = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (writer, store) = (cluster.ingesters[1].writer(), Arc::clone(&cluster.store));
        let log = Reader::new(Arc::clone(&store)).log(writer).await.unwrap();
        let (last, _) = *log.segments.last().unwrap();
        Recoverer::new(store).trim(writer, last).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(waiting, trimming);
    let unknown = outcome.unwrap_err();
    assert!(matches!(unknown, IngestError::FateUnknown { .. }), "{unknown}");
    assert_eq!(unknown.kind(), ErrorKind::Fenced);
}

#[tokio::test(start_paused = true)]
async fn one_whose_store_hangs_gives_its_rows_to_others_and_gets_none() {
    let hanging = Arc::new(FaultyStore::puts(memory(), []));
    let cluster = cluster(Arc::clone(&hanging) as _, 2).await;
    let (home, away) = (cluster.service_of(1).await, cluster.service_of(0).await);
    let stuck = cluster.ingesters[1].writer().to_string();
    hanging.set_script(Box::new(move |operation, path| {
        let of_stuck = matches!(operation, Operation::Put) && path.as_ref().contains(&stuck);
        if of_stuck { Fault::Slow(Duration::from_secs(30)) } else { Fault::None }
    }));
    let first = cluster.append(1, &home, &[1]);
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.append(1, &home, &[2]).await.unwrap();
        cluster.append(0, &home, &[3]).await.unwrap();
        cluster.append(0, &away, &[4]).await.unwrap();
        cluster.logged(0).await
    };
    let (first, here) = tokio::join!(first, later);
    first.unwrap();
    assert!([2, 3, 4].iter().all(|n| here.contains(n)), "{here:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_opens_a_table_for_long_is_given_up_and_gets_no_more_rows() {
    let store = Arc::new(FaultyStore::puts(memory(), []));
    let cluster = cluster(Arc::clone(&store) as _, 2).await;
    let here = &cluster.ingesters[0];
    let cold = here.table(&TenantName::unnamed(), &TableName::new("cold").unwrap()).await.unwrap();
    let send = |n: i64| {
        let rows = of_service(&format!("service {}", n % 20), &[n]);
        here.append(vec![(Arc::clone(&cold), rows)])
    };
    // The table gets its columns without the other one's looking at it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.hub.set(1, Way::Swallows);
    send(0).await.unwrap();
    cluster.hub.set(1, Way::Open);
    store.set_script(Box::new(|_, path| match path.as_ref().contains("cold") {
        true => Fault::Slow(Duration::from_secs(30)),
        false => Fault::None,
    }));
    let began = Instant::now();
    let first = futures::future::join_all((0..20).map(send));
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let hops = cluster.hub.hops.load(Ordering::Relaxed);
        assert!(hops > 3, "some rows went to it: {hops}");
        for n in 20..40 {
            send(n).await.unwrap();
        }
        assert_eq!(cluster.hub.hops.load(Ordering::Relaxed), hops);
    };
    let (first, ()) = tokio::join!(first, later);
    assert!(first.into_iter().all(|stored| stored.is_ok()));
    let took = began.elapsed();
    assert!(took < Duration::from_millis(2_500), "{took:?}");
}
