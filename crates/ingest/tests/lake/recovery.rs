//! Recovery under everything that can go wrong with it: it dies after any operation of the store, two
//! are at it at once, the backlog is large, a table is gone, a lease ends.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use loglake_coord::{Coordinator, InProcess, Member};
use loglake_ingest::{RequestKey, recover_orphans};
use loglake_wal::testing::{Fault, FaultyStore, Operation};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio_util::sync::CancellationToken;

use super::*;

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// The numbers in the table's files, in order, each as often as it is there.
async fn numbers(store: &Arc<dyn ObjectStore>, name: &str) -> Vec<i64> {
    let catalog = dependencies(store).catalog;
    let name = TableName::new(name).expect("a name");
    let table = catalog.table(&TenantName::unnamed(), &name).await.expect("opened");
    let Some(table) = table else { return vec![] };
    let mut numbers = vec![];
    for file in table.refresh().await.expect("a version").files() {
        let path = Path::from_iter(table.root().parts().chain(file.path.parts()));
        let bytes = store.get(&path).await.expect("a file").bytes().await.expect("its bytes");
        for batch in
            ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").build().expect("rows")
        {
            let batch = batch.expect("a batch");
            let column = batch.column_by_name("number").expect("the column number");
            numbers.extend(column.as_primitive::<Int64Type>().values());
        }
    }
    numbers.sort_unstable();
    numbers
}

async fn append_to(ingester: &Ingester, name: &str, numbers: &[i64]) {
    let name = TableName::new(name).expect("a name");
    let table = ingester.table(&TenantName::unnamed(), &name).await.expect("a table");
    ingester.append(vec![(table, rows(numbers))]).await.expect("taken in");
}

/// A writer that died with rows of two tables in its log, some of them committed. The first table
/// has 0 to 5, the second 10 to 12.
async fn dead_writer(store: &Arc<dyn ObjectStore>) -> WriterId {
    let dead = start(&dependencies(store)).await;
    append_to(&dead, "one", &[0, 1]).await;
    append_to(&dead, "two", &[10]).await;
    dead.flush().await.expect("a flush");
    append_to(&dead, "one", &[2]).await;
    append_to(&dead, "two", &[11, 12]).await;
    append_to(&dead, "one", &[3, 4]).await;
    append_to(&dead, "one", &[5]).await;
    dead.writer()
}

async fn assert_recovered(store: &Arc<dyn ObjectStore>, writer: WriterId, what: &str) {
    assert_eq!(numbers(store, "one").await, [0, 1, 2, 3, 4, 5], "{what}");
    assert_eq!(numbers(store, "two").await, [10, 11, 12], "{what}");
    let reader = Reader::new(Arc::clone(store));
    assert!(!reader.writers().await.expect("writers").contains(&writer), "{what}");
    let log = reader.log(writer).await.expect("a log");
    assert!(log.segments.is_empty() && log.seal.is_some(), "{what}: {log:?}");
    let left = store.list_with_delimiter(Some(&Path::from(format!("_wal/{writer}")))).await;
    let left = left.expect("a listing").objects;
    assert_eq!(left.len(), 2, "{what}: only seal and floor stay: {left:?}");
}

/// Small enough that there is a file for nearly every segment.
fn tight() -> IngestSettings {
    IngestSettings { flush_bytes: 1, ..settings() }
}

/// From its n-th operation on nothing reaches the store any more; the n-th itself ends as `last`.
fn dies_after(store: &Arc<dyn ObjectStore>, n: usize, last: Fault) -> Arc<dyn ObjectStore> {
    let mut count = 0;
    let script = move |_: Operation, _: &Path| {
        count += 1;
        match count.cmp(&n) {
            std::cmp::Ordering::Less => Fault::None,
            std::cmp::Ordering::Equal => last,
            std::cmp::Ordering::Greater => Fault::LostRequest,
        }
    };
    Arc::new(FaultyStore::new(Arc::clone(store), Box::new(script)))
}

#[tokio::test(start_paused = true)]
async fn a_recoverer_that_dies_after_any_operation_is_followed_by_one_that_ends_well() {
    for (settings, least) in [(settings(), 15), (tight(), 25)] {
        for last in [Fault::LostRequest, Fault::LostAnswer] {
            let mut deaths = 0;
            for n in 1.. {
                let store = memory();
                let writer = dead_writer(&store).await;
                let dying = dies_after(&store, n, last);
                let ended = recover(&dependencies(&dying), &settings, writer).await;
                deaths += usize::from(ended.is_err());
                recover(&dependencies(&store), &settings, writer).await.expect("recovered");
                assert_recovered(&store, writer, &format!("{last:?} at operation {n}")).await;
                if ended.is_ok() {
                    break;
                }
            }
            assert!(deaths >= least, "only {deaths} operations to die at");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_recoverers_at_once_commit_every_row_once_however_they_interleave() {
    let mut moved = 0;
    for seed in 0..60 {
        let store = memory();
        let writer = dead_writer(&store).await;
        // Both take their time. In every other round the second begins late and overtakes the first,
        // which stops for long before its second commit.
        let overtaken = seed % 2 == 1;
        let slow = |state: u64, stops: bool| -> Arc<dyn ObjectStore> {
            let (mut state, mut commits) = (state, 0);
            let script = move |operation: Operation, path: &Path| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed | 1);
                let is_commit = operation == Operation::Put && path.as_ref().ends_with(".json");
                commits += usize::from(is_commit);
                let stops = stops && is_commit && commits == 2;
                let ms = if stops { 20_000 } else { (state >> 33) % 100 };
                Fault::Slow(Duration::from_millis(ms))
            };
            Arc::new(FaultyStore::new(Arc::clone(&store), Box::new(script)))
        };
        let (one, two) = (slow(seed * 2 + 1, overtaken), slow(seed * 2 + 2, false));
        let (one, two) = (dependencies(&one), dependencies(&two));
        let settings = if seed % 4 == 0 { settings() } else { tight() };
        let later = async {
            tokio::time::sleep(Duration::from_secs(if overtaken { 10 } else { 0 })).await;
            recover(&two, &settings, writer).await
        };
        let (first, second) = tokio::join!(recover(&one, &settings, writer), later);
        let (first, second) = (first.expect("recovered"), second.expect("recovered"));
        moved += usize::from(first.commits > 0 && second.commits > 0);
        assert_recovered(&store, writer, &format!("seed {seed}")).await;
    }
    assert!(moved >= 30, "only in {moved} rounds did both commit something");
}

#[tokio::test]
async fn a_recovery_holds_no_more_than_its_bound_and_a_batch() {
    let store = memory();
    let dead = start(&dependencies(&store)).await;
    let all: Vec<i64> = (0..40_000).collect();
    for (n, numbers) in all.chunks(100).enumerate() {
        append_to(&dead, if n % 3 == 0 { "two" } else { "one" }, numbers).await;
    }
    let settings = IngestSettings { flush_bytes: 100 << 10, ..settings() };
    let recovered =
        recover(&dependencies(&store), &settings, dead.writer()).await.expect("recovered");
    assert_eq!(recovered.segments, 400);
    assert!(recovered.rows_bytes_most < 120 << 10, "{recovered:?}");
    assert!(recovered.commits > 10, "{recovered:?}");
    let mut found = numbers(&store, "one").await;
    found.extend(numbers(&store, "two").await);
    found.sort_unstable();
    assert_eq!(found, all);
}

#[tokio::test(start_paused = true)]
async fn the_log_is_trimmed_while_the_recovery_goes_on() {
    let store = memory();
    let dead = start(&dependencies(&store)).await;
    for n in 0..100 {
        append_to(&dead, "one", &[n]).await;
    }
    // It dies somewhere after most of the work.
    let commits = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&commits);
    let script = move |operation: Operation, path: &Path| {
        let mut commits = counted.lock();
        *commits += u32::from(operation == Operation::Put && path.as_ref().ends_with(".json"));
        if *commits > 70 { Fault::LostRequest } else { Fault::None }
    };
    let dying: Arc<dyn ObjectStore> =
        Arc::new(FaultyStore::new(Arc::clone(&store), Box::new(script)));
    recover(&dependencies(&dying), &tight(), dead.writer()).await.expect_err("it dies");
    let log = Reader::new(Arc::clone(&store)).log(dead.writer()).await.expect("a log");
    assert_eq!((log.floor, log.segments.len()), (Some(SegmentSeq(63)), 36));
    let rest = recover(&dependencies(&store), &tight(), dead.writer()).await.expect("recovered");
    assert_eq!(rest.segments, 36);
    assert_eq!(numbers(&store, "one").await, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn rows_of_a_table_that_is_gone_are_dropped_and_no_others() {
    let store = memory();
    let dead = start(&dependencies(&store)).await;
    for n in 0..3 {
        append_to(&dead, "kept", &[n]).await;
        append_to(&dead, "dropped", &[n]).await;
    }
    let folder = Path::from("default/dropped");
    let objects = store.list_with_delimiter(Some(&folder.join("_delta_log"))).await;
    for object in objects.expect("a listing").objects {
        store.delete(&object.location).await.expect("deleted");
    }
    // Another of its name is another table.
    let later = start(&dependencies(&store)).await;
    append_to(&later, "dropped", &[100]).await;
    later.shutdown().await.expect("a good end");
    recover(&dependencies(&store), &settings(), dead.writer()).await.expect("recovered");
    assert_eq!(numbers(&store, "kept").await, [0, 1, 2]);
    assert_eq!(numbers(&store, "dropped").await, [100]);
    assert!(Reader::new(store).writers().await.expect("writers").is_empty());
}

#[tokio::test]
async fn keys_of_requests_are_marked_as_stored_before_their_segment_goes() {
    let store = memory();
    let dead = start(&dependencies(&store)).await;
    let key = RequestKey::new(&TenantName::unnamed(), "a", [b"body".as_slice()]);
    let table = logs(&dead).await;
    dead.append_once(key.clone(), vec![(table, rows(&[1]))]).await.expect("stored");
    let mark = Path::from(format!("_keys/{}-stored", key.id()));
    // As if its process had died between the two.
    while store.head(&mark).await.is_err() {
        tokio::task::yield_now().await;
    }
    store.delete(&mark).await.expect("deleted");
    recover(&dependencies(&store), &settings(), dead.writer()).await.expect("recovered");
    store.head(&mark).await.expect("marked");
}

fn member(id: &str, writer: WriterId) -> Member {
    Member {
        id: id.to_owned(),
        roles: vec![],
        http: String::new(),
        grpc: String::new(),
        writer: Some(writer),
        version: String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn within_a_second_of_a_lease_s_end_the_writer_is_recovered() {
    let store = memory();
    let here = InProcess::new();
    let (dead_member, living_member) = (here.beside(), here.beside());
    let living = start(&dependencies(&store)).await;
    append_to(&living, "one", &[7]).await;
    living_member.register(member("living", living.writer())).await.expect("registered");
    let dead = start(&dependencies(&store)).await;
    append_to(&dead, "one", &[1, 2]).await;
    dead_member.register(member("dead", dead.writer())).await.expect("registered");

    let stop = CancellationToken::new();
    let coordinator: Arc<dyn Coordinator> = Arc::new(here);
    let looking =
        tokio::spawn(recover_orphans(dependencies(&store), settings(), coordinator, stop.clone()));
    tokio::time::sleep(Duration::from_secs(100)).await;
    let reader = Reader::new(Arc::clone(&store));
    let both: BTreeSet<_> = [living.writer(), dead.writer()].into();
    let listed = async || reader.writers().await.expect("writers").into_iter().collect();
    let now: BTreeSet<_> = listed().await;
    assert_eq!(now, both, "the living are left alone");

    let ended = tokio::time::Instant::now();
    drop(dead_member);
    while listed().await == both {
        assert!(ended.elapsed() < Duration::from_secs(1), "not recovered yet");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(numbers(&store, "one").await, [1, 2]);
    let log = reader.log(living.writer()).await.expect("a log");
    assert_eq!((log.seal, log.segments.len()), (None, 1));
    stop.cancel();
    looking.await.expect("a good end");
}

/// A store that is asked for nothing but what it must be asked for.
#[tokio::test(start_paused = true)]
async fn an_idle_lake_is_listed_once_a_minute_and_never_written() {
    let store = memory();
    let asked: Arc<Mutex<Vec<Operation>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let script = move |operation: Operation, _: &Path| {
        noted.lock().push(operation);
        Fault::None
    };
    let counting: Arc<dyn ObjectStore> =
        Arc::new(FaultyStore::new(Arc::clone(&store), Box::new(script)));
    store
        .put_opts(&Path::from("x"), Bytes::new().into(), PutMode::Create.into())
        .await
        .expect("put");
    let stop = CancellationToken::new();
    let looking = tokio::spawn(recover_orphans(
        dependencies(&counting),
        settings(),
        Arc::new(InProcess::new()),
        stop.clone(),
    ));
    tokio::time::sleep(Duration::from_secs(3601)).await;
    stop.cancel();
    looking.await.expect("a good end");
    let asked = asked.lock();
    assert!(asked.iter().all(|operation| *operation == Operation::List));
    assert!((60..=62).contains(&asked.len()), "{} listings in an hour", asked.len());
}
