//! What a query leaves closed: data files that cannot hold a row it asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use loglake_model::{Column, ColumnType, NameForm};
use loglake_wal::testing::{Fault, FaultyStore, Operation};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use parking_lot::Mutex;

use super::integers;
use crate::QueryEngine;
use crate::testing::{SmallLake, writer_id};

type Opened = Arc<Mutex<BTreeSet<String>>>;

/// Six files of ten records each, one after the other in time: three of each hour.
async fn watched() -> (QueryEngine, Opened) {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let lake = SmallLake::empty(Arc::clone(&bucket), None);
    let logs = lake.table("logs").await;
    for file in 0..6 {
        let from = (file > 0).then(|| file as u64 - 1);
        lake.commit(&logs, writer_id(1), from, file as u64, file * 10..file * 10 + 10).await;
    }
    let opened = Opened::default();
    let seen = Arc::clone(&opened);
    let script = move |operation, path: &Path| {
        if operation == Operation::Get && path.extension() == Some("parquet") {
            seen.lock().insert(path.to_string());
        }
        Fault::None
    };
    let store = Arc::new(FaultyStore::new(bucket, Box::new(script)));
    (SmallLake::empty(store, None).engine(), opened)
}

#[tokio::test]
async fn files_that_cannot_match_stay_closed() {
    for (filter, rows, files) in [
        ("true", 60, 0), // answered from the log
        ("seq >= 0 and message is not null", 60, 0),
        ("seq % 2 >= 0", 60, 6),
        ("hour = 12", 30, 0),
        ("date = '2026-11-01' and hour = 13", 30, 0),
        ("date > '2026-11-01'", 0, 0),
        ("timestamp >= '2026-11-01T13:40:00Z'", 10, 0),
        ("timestamp >= '2026-11-01T13:38:00Z'", 11, 2), // one of them lies across
        ("timestamp < '2026-11-01T12:00:00Z'", 0, 0),
        ("timestamp > now() - interval '20 minutes'", 9, 1),
        ("timestamp >= '2026-11-01T12:50:00Z' and timestamp < '2026-11-01T13:10:00Z'", 10, 2),
        ("seq = 17", 1, 1),
        ("seq in (3, 41)", 2, 2),
        ("service = 'nobody'", 0, 6), // between 'api' and 'web'
        ("service = 'zoo'", 0, 0),
        ("level = 'debug'", 0, 0),
        ("level = 'fatal' and seq > 5", 0, 6), // between 'error' and 'info'
        ("service = 'nobody' and seq < 20", 0, 2),
    ] {
        let (engine, opened) = watched().await;
        let found = integers(&engine, &format!("select count(*) from logs where {filter}")).await;
        assert_eq!((found[0], opened.lock().len()), (rows, files), "{filter}");
    }
}

/// The filter of the first rows reaches files that lie otherwise than the table: the older one lacks the
/// column that is read after others.
#[tokio::test]
async fn an_order_by_parts_of_another_key_reads_files_without_the_column() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), None);
    let logs = lake.table("logs").await;
    lake.commit(&logs, writer_id(1), None, 0, 0..10).await;
    let extra = Column::new("extra", ColumnType::String, NameForm::Nested);
    logs.add_columns(&[extra]).await.unwrap();
    lake.commit(&logs, writer_id(1), Some(0), 1, 10..20).await;
    let sql = "select seq from logs where seq >= 0
               order by ok, concat(ok, extra, service), seq limit 3";
    assert_eq!(integers(&lake.engine(), sql).await, [0, 9, 5]);
}

/// All footers may be read before the first rows say which time is too old; rows are not.
#[tokio::test]
async fn the_newest_rows_are_found_in_the_newest_files() {
    let (engine, _) = watched().await;
    let sql = "select seq from logs order by timestamp desc limit 3";
    assert_eq!(integers(&engine, sql).await, [59, 58, 57]);
    assert!(rows_of_files(&engine, sql).await <= 20);
}

/// Files are listed from the newest one on; who asks for the oldest rows begins at the other end, also where
/// there are rows in memory.
#[tokio::test]
async fn the_oldest_rows_are_found_in_the_oldest_files_beside_fresh_rows() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(2)));
    let logs = lake.table("logs").await;
    for file in 0..6 {
        let from = (file > 0).then(|| file as u64 - 1);
        lake.commit(&logs, writer_id(1), from, file as u64, file * 10..file * 10 + 10).await;
    }
    lake.hold(&logs, 0, 60..70);
    let engine = lake.engine();
    for (order, first) in [("timestamp", [0, 1, 2]), ("timestamp desc", [69, 68, 67])] {
        // The time alone is asked for in one step.
        let sql =
            |shown| format!("select {shown} from logs where seq >= 0 order by {order} limit 3");
        assert_eq!(integers(&engine, &sql("seq")).await, first);
        let read = rows_of_files(&engine, &sql("timestamp")).await;
        assert!(read <= 20, "{order}: {read}");
    }
}

/// The rows that a query takes from files.
async fn rows_of_files(engine: &QueryEngine, sql: &str) -> u64 {
    let plan = super::rows(engine, &format!("explain analyze {sql}")).await.unwrap();
    let plan = pretty_format_batches(&plan).unwrap().to_string();
    let scan = plan.lines().find(|line| line.contains("file_type=parquet")).unwrap();
    let (_, decoded) = scan.split_once("output_rows=").unwrap();
    decoded[..decoded.find(',').unwrap()].parse().unwrap()
}

/// Files that the log rules out are not asked how new their rows are.
#[tokio::test]
async fn the_newest_rows_before_a_time_are_found_without_newer_files() {
    let (engine, opened) = watched().await;
    let sql = "select seq from logs where timestamp < '2026-11-01T12:29:00Z'
               order by timestamp desc limit 3";
    assert_eq!(integers(&engine, sql).await, [14, 13, 12]);
    let opened = opened.lock().clone();
    assert_eq!(opened.len(), 2, "{opened:?}");
}

#[tokio::test]
async fn a_limit_alone_opens_no_more_files_than_it_needs() {
    let (engine, opened) = watched().await;
    assert_eq!(integers(&engine, "select seq from logs limit 2").await.len(), 2);
    assert!(opened.lock().len() < 6, "{:?}", opened.lock());
}
