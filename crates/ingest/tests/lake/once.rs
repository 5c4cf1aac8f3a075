//! Requests with an idempotency key, repeated at the worst moments and at other ingesters.

use std::time::Duration;

use loglake_ingest::{IngestError, RequestKey};
use loglake_model::ErrorKind;
use loglake_wal::testing::{Fault, FaultyStore, Operation};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::routing::{Cluster, Way, cluster, memory};
use super::*;

fn key(name: &str) -> RequestKey {
    RequestKey::new(&TenantName::unnamed(), name, [b"body".as_slice()])
}

impl Cluster {
    async fn once(&self, at: usize, name: &str, number: i64) -> Result<(), IngestError> {
        let ingester = &self.ingesters[at];
        ingester.append_once(key(name), vec![(logs(ingester).await, rows(&[number]))]).await
    }

    /// How often the number is in any log.
    async fn count(&self, number: i64) -> usize {
        self.all_logged().await.into_iter().filter(|n| *n == number).count()
    }

    async fn mark(&self, name: &str) -> Path {
        Path::from(format!("_keys/{}-stored", key(name).id()))
    }

    async fn is_marked(&self, name: &str) -> bool {
        self.store.head(&self.mark(name).await).await.is_ok()
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_adds_nothing_wherever_it_comes() {
    let cluster = cluster(memory(), 2).await;
    cluster.once(0, "a", 1).await.unwrap();
    for at in [0, 1, 0, 1] {
        cluster.once(at, "a", 1).await.unwrap();
    }
    cluster.once(1, "b", 2).await.unwrap();
    assert_eq!(cluster.all_logged().await, [1, 2]);
    assert!(cluster.is_marked("a").await);
}

#[tokio::test(start_paused = true)]
async fn repeats_at_once_store_it_once() {
    let slow = Arc::new(FaultyStore::puts(memory(), []));
    let cluster = cluster(Arc::clone(&slow) as _, 2).await;
    logs(&cluster.ingesters[0]).await;
    slow.set_script(Box::new(|operation, _| match operation {
        Operation::Put => Fault::Slow(Duration::from_millis(50)),
        _ => Fault::None,
    }));
    let all = futures::future::join_all((0..6).map(|n| cluster.once(n % 2, "a", 1))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(cluster.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_for_one_body() {
    let cluster = cluster(memory(), 2).await;
    cluster.once(0, "a", 1).await.unwrap();
    let ingester = &cluster.ingesters[1];
    let another = RequestKey::new(&TenantName::unnamed(), "a", [b"another body".as_slice()]);
    let refused = ingester.append_once(another, vec![(logs(ingester).await, rows(&[2]))]).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
}

/// The mark is not made; the ingester that stored the request is cut off.
async fn stored_and_cut_off(before: impl AsyncFn(&Cluster)) -> Cluster {
    let unmarked = Arc::new(FaultyStore::puts(memory(), []));
    let cluster = cluster(Arc::clone(&unmarked) as _, 2).await;
    before(&cluster).await;
    unmarked.set_script(Box::new(|operation, path| {
        let mark = operation == Operation::Put && path.as_ref().ends_with("-stored");
        if mark { Fault::NotStored } else { Fault::None }
    }));
    cluster.once(0, "a", 1).await.unwrap();
    unmarked.set_script(Box::new(|_, _| Fault::None));
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_repeat_asks_the_writer_while_the_bucket_does_not_say() {
    let cluster = stored_and_cut_off(async |_| {}).await;
    assert!(!cluster.is_marked("a").await);
    cluster.once(1, "a", 1).await.unwrap();
    cluster.once(0, "a", 1).await.unwrap();
    assert_eq!(cluster.count(1).await, 1);
    let log = Reader::new(Arc::clone(&cluster.store)).log(cluster.ingesters[0].writer()).await;
    assert_eq!(log.unwrap().seal, None, "nobody had to seal the log");
}

#[tokio::test(start_paused = true)]
async fn a_repeat_finds_it_in_the_log_of_a_writer_that_does_not_answer() {
    let cluster = stored_and_cut_off(async |_| {}).await;
    cluster.hub.set(0, Way::Swallows);
    cluster.once(1, "a", 1).await.unwrap();
    assert_eq!(cluster.count(1).await, 1);
    assert!(cluster.is_marked("a").await);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_writer_died_before_logging_it_is_stored_by_the_repeat() {
    let store = Arc::new(FaultyStore::puts(memory(), []));
    let cluster = cluster(Arc::clone(&store) as _, 2).await;
    logs(&cluster.ingesters[0]).await;
    // The claim is made, the segment hangs; the ingester is cut off for good.
    store.set_script(Box::new(|operation, path| {
        let segment = operation == Operation::Put && path.as_ref().starts_with("_wal");
        if segment { Fault::LostRequest } else { Fault::None }
    }));
    let first = tokio::time::timeout(Duration::from_secs(1), cluster.once(0, "a", 1));
    assert!(first.await.is_err(), "it waits for its segment");
    store.set_script(Box::new(|_, _| Fault::None));
    cluster.hub.set(0, Way::Swallows);
    // The first comes through after all, before or after the log is sealed: one of them is stored.
    cluster.once(1, "a", 1).await.unwrap();
    cluster.once(1, "a", 1).await.unwrap();
    assert_eq!(cluster.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_stored_by_its_repeat() {
    let full = Arc::new(FaultyStore::puts(memory(), []));
    let cluster = cluster(Arc::clone(&full) as _, 2).await;
    logs(&cluster.ingesters[0]).await;
    full.set_script(Box::new(|operation, path| {
        let segment = operation == Operation::Put && path.as_ref().starts_with("_wal");
        if segment { Fault::NotStored } else { Fault::None }
    }));
    let refused = cluster.once(0, "a", 1).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    // Its log still waits for the store, and the other ingester's does not.
    let refused = cluster.once(0, "a", 1).await.unwrap_err();
    assert!(matches!(refused, IngestError::Slow), "{refused}");
    full.set_script(Box::new(|_, _| Fault::None));
    cluster.once(1, "a", 1).await.unwrap();
    cluster.once(1, "a", 1).await.unwrap();
    assert_eq!(cluster.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_claim_is_no_obstacle() {
    let lossy = Arc::new(FaultyStore::puts(memory(), []));
    let cluster = cluster(Arc::clone(&lossy) as _, 1).await;
    logs(&cluster.ingesters[0]).await;
    lossy.set_script(Box::new(|operation, path| {
        let claim = operation == Operation::Put && path.as_ref().starts_with("_keys");
        if claim { Fault::LostAnswer } else { Fault::None }
    }));
    cluster.once(0, "a", 1).await.unwrap();
    cluster.once(0, "a", 1).await.unwrap();
    assert_eq!(cluster.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_segment_with_a_key_stays_until_the_bucket_says_that_it_is_stored() {
    let unmarked = Arc::new(FaultyStore::puts(memory(), []));
    let cluster = cluster(Arc::clone(&unmarked) as _, 1).await;
    logs(&cluster.ingesters[0]).await;
    let no_marks = |operation, path: &Path| {
        let mark = operation == Operation::Put && path.as_ref().ends_with("-stored");
        if mark { Fault::NotStored } else { Fault::None }
    };
    unmarked.set_script(Box::new(no_marks));
    cluster.once(0, "a", 1).await.unwrap();
    cluster.ingesters[0].flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let floor = async || {
        let reader = Reader::new(Arc::clone(&cluster.store));
        reader.log(cluster.ingesters[0].writer()).await.unwrap().floor
    };
    assert_eq!(floor().await, None);
    unmarked.set_script(Box::new(|_, _| Fault::None));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(cluster.is_marked("a").await);
    assert_eq!(floor().await, Some(SegmentSeq(0)));
}
