//! Every record once, whatever stage of its life it is in and whatever moves meanwhile.

use std::sync::Arc;

use loglake_model::SegmentSeq;
use loglake_wal::testing::{Fault, FaultyStore, Operation};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use super::{integers, rows, small_lake};
use crate::testing::{RECORDS, SmallLake, writer_id};

const ALL: &str = "select seq from logs order by seq";

#[tokio::test]
async fn every_stage_is_seen_once() {
    let lake = small_lake().await;
    assert_eq!(integers(&lake.engine(), ALL).await, (0..RECORDS).collect::<Vec<_>>());
}

#[tokio::test]
async fn rows_in_memory_alone() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(1)));
    let logs = lake.table("logs").await;
    lake.hold(&logs, 0, 0..5);
    assert_eq!(integers(&lake.engine(), ALL).await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn rows_in_segments_alone_until_after_they_are_committed_and_trimmed() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), None);
    let logs = lake.table("logs").await;
    lake.segments(&logs, writer_id(1), &[0..2, 2..4, 4..6]).await;
    let engine = lake.engine();
    let expected: Vec<_> = (0..6).collect();
    assert_eq!(integers(&engine, ALL).await, expected);
    lake.commit(&logs, writer_id(1), None, 1, 0..4).await;
    assert_eq!(integers(&engine, ALL).await, expected, "committed in part, not trimmed");
    lake.trim(writer_id(1), 1).await;
    assert_eq!(integers(&engine, ALL).await, expected, "trimmed in part");
    lake.commit(&logs, writer_id(1), Some(1), 2, 4..6).await;
    lake.trim(writer_id(1), 2).await;
    assert_eq!(integers(&engine, ALL).await, expected, "all in files");
}

#[tokio::test]
async fn a_table_read_twice_is_the_same_table() {
    let lake = small_lake().await;
    let sql = "select count(*) from logs a full join logs b on a.seq = b.seq
               where a.seq is null or b.seq is null";
    assert_eq!(integers(&lake.engine(), sql).await, [0]);
}

/// Does something once, just before an object or folder whose path holds a text is first asked for.
fn before_first(
    wanted: Operation,
    inner: Arc<dyn ObjectStore>,
    path_part: &'static str,
    act: impl FnOnce() + Send + 'static,
) -> Arc<dyn ObjectStore> {
    let act = Mutex::new(Some(act));
    let script = move |operation, path: &Path| {
        if operation == wanted
            && path.as_ref().contains(path_part)
            && let Some(act) = act.lock().take()
        {
            act();
        }
        Fault::None
    };
    Arc::new(FaultyStore::new(inner, Box::new(script)))
}

#[tokio::test]
async fn memory_that_let_rows_go_after_a_commit_is_read_from_the_newer_version() {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let lake = SmallLake::empty(Arc::clone(&bucket), Some(writer_id(1)));
    let logs = lake.table("logs").await;
    lake.hold(&logs, 0, 0..3);
    lake.hold(&logs, 1, 3..6);
    let engine = lake.engine();
    // The commit is there, this engine's catalog hears of it by its refresh, and the memory is gone.
    lake.commit(&logs, writer_id(1), None, 0, 0..3).await;
    lake.fresh.let_go(SegmentSeq(0));
    assert_eq!(integers(&engine, ALL).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn memory_that_never_comes_back_ends_the_query_as_one_to_repeat() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(1)));
    let logs = lake.table("logs").await;
    lake.hold(&logs, 1, 0..3);
    lake.fresh.let_go(SegmentSeq(0));
    let error = rows(&lake.engine(), ALL).await.expect_err("rows that nobody has");
    assert_eq!(error.kind(), loglake_model::ErrorKind::Retry, "{error}");
}

/// A dead writer's rows are committed and trimmed by somebody else at the worst moment.
async fn recovered_before_first(wanted: Operation) -> Vec<i64> {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let lake = Arc::new(SmallLake::empty(Arc::clone(&bucket), None));
    let logs = lake.table("logs").await;
    lake.segments(&logs, writer_id(1), &[0..2, 2..3]).await;
    let mover = Arc::clone(&lake);
    let store = before_first(wanted, bucket, "_wal", move || {
        futures::executor::block_on(async {
            let logs = mover.table("logs").await;
            mover.commit(&logs, writer_id(1), None, 1, 0..3).await;
            mover.trim(writer_id(1), 1).await;
        });
    });
    let watched = SmallLake::empty(store, None);
    // The querier knows the version before the recovery.
    watched.table("logs").await;
    integers(&watched.engine(), ALL).await
}

#[tokio::test]
async fn a_segment_that_is_trimmed_under_the_query_is_read_from_the_table() {
    assert_eq!(recovered_before_first(Operation::Get).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_segment_that_is_gone_before_the_logs_are_listed_is_in_the_version_looked_for_after() {
    assert_eq!(recovered_before_first(Operation::List).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_data_file_that_is_gone_is_an_error_to_repeat_and_not_a_shorter_answer() {
    let lake = small_lake().await;
    let engine = lake.engine();
    let logs = lake.table("logs").await;
    let first = logs.current().files().next().map(|file| file.path.clone()).unwrap();
    let location: Path = logs.root().parts().chain(first.parts()).collect();
    lake.store.delete(&location).await.unwrap();
    let error = rows(&engine, ALL).await.expect_err("a file is gone");
    assert_eq!(error.kind(), loglake_model::ErrorKind::Retry, "{error}");
}

#[tokio::test]
async fn a_writer_that_succeeds_itself_leaves_nothing_out() {
    let lake = small_lake().await;
    let engine = lake.engine();
    // Writer 3 is another one now: its rows are read from its segments.
    lake.fresh.succeed(writer_id(4));
    assert_eq!(integers(&engine, ALL).await, (0..RECORDS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_store_that_is_away_is_a_passing_fault() {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    SmallLake::in_every_stage(Arc::clone(&bucket)).await;
    let away = |operation, _: &Path| match operation {
        Operation::List => Fault::LostRequest,
        _ => Fault::None,
    };
    let store = Arc::new(FaultyStore::new(bucket, Box::new(away)));
    let lake = SmallLake::empty(store, None);
    let error = rows(&lake.engine(), ALL).await.expect_err("no listing");
    assert_eq!(error.kind(), loglake_model::ErrorKind::Retry, "{error}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_for_a_footer_is_no_damaged_file() {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    SmallLake::in_every_stage(Arc::clone(&bucket)).await;
    let away = |operation, path: &Path| match operation {
        Operation::Get if path.as_ref().ends_with(".parquet") => Fault::LostRequest,
        _ => Fault::None,
    };
    let store = Arc::new(FaultyStore::new(bucket, Box::new(away)));
    let lake = SmallLake::empty(store, None);
    let error = rows(&lake.engine(), ALL).await.expect_err("no footer");
    assert_eq!(error.kind(), loglake_model::ErrorKind::Retry, "{error}");
}
