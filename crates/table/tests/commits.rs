//! Committers against each other and against a store that fails.

#![allow(clippy::unwrap_used)]

mod store;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures::future::join_all;
use loglake_model::*;
use loglake_table::*;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;
use store::*;

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// Calls again while the error says so, as ingesters do.
async fn flush_until_known(table: &Table, flush: &Flush) -> FlushOutcome {
    loop {
        match table.commit_flush(flush).await {
            Ok(outcome) => return outcome,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
    }
}

async fn open(catalog: &Catalog) -> Arc<Table> {
    let (tenant, name) = logs();
    loop {
        match catalog.table_or_create(&tenant, &name).await {
            Ok(table) => return table,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
    }
}

/// The rows of flush `n` of a writer: a number that tells sums apart.
fn rows(writer: u64, n: u64) -> u64 {
    1 + writer * 100 + n
}

/// One process that commits `flushes` flushes of its writer, with an added column in between.
async fn process(catalog: Catalog, number: u64, flushes: u64) {
    let table = open(&catalog).await;
    let mut from = None;
    for n in 0..flushes {
        let to = SegmentSeq(n * 3);
        let files = vec![file(&table, rows(number, n))];
        let flush = Flush { writer: writer(number.into()), from, to, files, offsets: vec![] };
        match flush_until_known(&table, &flush).await {
            FlushOutcome::Committed(state) => {
                assert_eq!(state.watermark(flush.writer), Some(to));
                assert!(state.contains(&flush.files[0].path));
            }
            FlushOutcome::Superseded(state) => panic!("superseded at {:?}", state.watermarks()),
        }
        from = Some(to);
        let column = Column::new(&format!("c{number}.{n}"), ColumnType::Int64, NameForm::Nested);
        while table.add_columns(std::slice::from_ref(&column)).await.is_err() {}
        assert!(table.current().schema().column(&column.name).is_some());
    }
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        6 => Just(Fault::None), 1 => Just(Fault::Before), 1 => Just(Fault::After)
    ];
    prop::collection::vec(fault, 0..120)
}

/// Every entry's watermark, read without the crate's own reader.
async fn watermarks_in_log(store: &Arc<dyn ObjectStore>) -> Vec<(String, u64)> {
    let mut found = vec![];
    for version in 0.. {
        let path = Path::from(format!("default/logs/_delta_log/{version:020}.json"));
        let Ok(entry) = store.get(&path).await else { return found };
        for line in String::from_utf8(entry.bytes().await.unwrap().to_vec()).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(txn) = line.get("txn") {
                let app = txn["appId"].as_str().unwrap().to_owned();
                found.push((app, txn["version"].as_u64().unwrap()));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_flush_is_committed_exactly_once(
        faults in prop::collection::vec(faults(), 2..5), flushes in 1u64..6, interval in 1u64..7,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let inner = memory();
            let processes = faults.iter().enumerate().map(|(number, faults)| {
                let (inner, next) = (Arc::clone(&inner), AtomicUsize::new(0));
                let store: Arc<dyn ObjectStore> =
                    Arc::new(Faulty { inner, faults: faults.clone(), next });
                process(catalog(&store, interval), number as u64, flushes)
            });
            let count = processes.len() as u64;
            join_all(processes).await;

            let state = open(&catalog(&inner, interval)).await.current();
            let expected: u64 =
                (0..count).flat_map(|w| (0..flushes).map(move |n| rows(w, n))).sum();
            assert_eq!(state.rows(), expected);
            assert_eq!(state.files().len() as u64, count * flushes);
            assert_eq!(state.schema().columns().len() as u64, 3 + count * flushes);
            assert_eq!(state.watermarks().len() as u64, count);
            let log = watermarks_in_log(&inner).await;
            assert_eq!(log.len() as u64, count * flushes);
            for number in 0..count {
                let app = writer(number.into()).to_string();
                let marks = log.iter().filter(|(a, _)| *a == app).map(|(_, v)| *v);
                assert!(marks.eq((0..flushes).map(|n| n * 3)));
            }
        });
    }

    #[test]
    fn of_two_who_flush_the_same_rows_one_commits(a in faults(), b in faults()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let inner = memory();
            let rivals = [a, b].map(|faults| {
                let (inner, next) = (Arc::clone(&inner), AtomicUsize::new(0));
                let store: Arc<dyn ObjectStore> = Arc::new(Faulty { inner, faults, next });
                async move {
                    let catalog = catalog(&store, 100);
                    let table = open(&catalog).await;
                    let files = vec![file(&table, 5)];
                    let flush =
                        Flush { writer: writer(1), from: None, to: SegmentSeq(4), files, offsets: vec![] };
                    matches!(flush_until_known(&table, &flush).await, FlushOutcome::Committed(_))
                }
            });
            let committed = join_all(rivals).await;
            assert_eq!(committed.iter().filter(|won| **won).count(), 1);
            assert_eq!(open(&catalog(&inner, 100)).await.current().rows(), 5);
        });
    }
}

/// Waits for checkpoints that are on their way.
async fn settle(store: &Arc<dyn ObjectStore>, version: u64) {
    let path = Path::from(format!("default/logs/_delta_log/{version:020}.checkpoint.parquet"));
    while store.head(&path).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn flush_times(table: &Table, number: u128, times: std::ops::Range<u64>) {
    for n in times {
        let files = vec![file(table, n + 1), file(table, 1)];
        let from = n.checked_sub(1).map(SegmentSeq);
        let flush =
            Flush { writer: writer(number), from, to: SegmentSeq(n), files, offsets: vec![] };
        assert!(matches!(flush_until_known(table, &flush).await, FlushOutcome::Committed(_)));
    }
}

#[tokio::test]
async fn a_checkpoint_is_the_same_as_the_log() {
    let store = memory();
    let table = open(&catalog(&store, 10)).await;
    table.add_columns(&[Column::new("a.b", ColumnType::Bool, NameForm::Literal)]).await.unwrap();
    flush_times(&table, 1, 0..4).await;
    let removes = table.current().files().take(3).cloned().collect();
    let adds = vec![file(&table, 6)];
    let rewrite = Rewrite { kind: RewriteKind::Compaction, removes, adds };
    let compacted = table.commit_rewrite(&rewrite).await.unwrap();
    assert!(matches!(compacted, RewriteOutcome::Committed(_)), "{compacted:?}");
    table.commit_vacuum().await.unwrap();
    flush_times(&table, 2, 0..4).await;
    assert_eq!(table.current().version(), 11);
    let by_replay = open(&catalog(&store, 1_000)).await.current();
    settle(&store, 10).await;
    for version in 0..=10 {
        let path = Path::from(format!("default/logs/_delta_log/{version:020}.json"));
        store.delete(&path).await.unwrap();
    }
    let by_checkpoint = open(&catalog(&store, 1_000)).await.current();
    assert_eq!(by_checkpoint, by_replay);
    assert_eq!(by_checkpoint.rows(), by_replay.rows());
    assert_eq!(*table.current(), *by_replay);
    assert_eq!(by_checkpoint.vacuum(), 1);
    let column = by_checkpoint.schema().column("a.b").cloned().unwrap();
    assert_eq!((column.kind, column.form), (ColumnType::Bool, NameForm::Literal));
}

#[tokio::test(start_paused = true)]
async fn who_slept_through_a_clean_up_neither_reads_nor_commits_into_the_past() {
    let store = memory();
    let sleeper = open(&catalog(&store, 1_000)).await;
    let second = open(&catalog(&store, 1_000)).await;
    let table = open(&catalog(&store, 5)).await;
    flush_times(&table, 1, 0..6).await;
    settle(&store, 5).await;
    for version in 0..5 {
        let path = Path::from(format!("default/logs/_delta_log/{version:020}.json"));
        store.delete(&path).await.unwrap();
    }
    // Number 1 is free again: the create succeeds and must not count.
    assert_eq!(sleeper.current().version(), 0);
    flush_times(&sleeper, 2, 0..1).await;
    assert_eq!(sleeper.current().version(), 7);
    assert_eq!(table.refresh().await.unwrap().watermarks().len(), 2);
    store.delete(&Path::from("default/logs/_delta_log/00000000000000000001.json")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    assert_eq!(*second.refresh().await.unwrap(), *table.current());
}

#[tokio::test]
async fn the_catalog_finds_tables_by_name_id_and_listing() {
    let store = memory();
    let (ours, others) = (catalog(&store, 10), catalog(&store, 10));
    let (tenant, name) = logs();
    assert!(ours.table(&tenant, &name).await.unwrap().is_none());
    let made = others.table_or_create(&tenant, &name).await.unwrap();
    let found = ours.table(&tenant, &name).await.unwrap().unwrap();
    assert_eq!(found.id(), made.id());
    assert!(Arc::ptr_eq(&found, &open(&ours).await));
    let late = catalog(&store, 10);
    assert_eq!(late.by_id(made.id()).await.unwrap().unwrap().name(), &name);
    assert!(late.by_id(TableId::from_uuid(*writer(7).as_uuid())).await.unwrap().is_none());
    store.put(&Path::from("_wal/x/y"), "z".into()).await.unwrap();
    let other = TableName::new("a.b").unwrap();
    ours.table_or_create(&TenantName::new("acme").unwrap(), &other).await.unwrap();
    let tenants = ours.tenants().await.unwrap();
    assert_eq!(tenants.iter().map(|t| t.as_str()).collect::<Vec<_>>(), ["acme", "default"]);
    assert_eq!(ours.tables(&tenants[0]).await.unwrap(), [other]);
    assert!(ours.tables(&TenantName::new("none").unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn tables_that_were_opened_together_need_no_store_any_more() {
    let store = memory();
    let (tenant, name) = (TenantName::new("acme").unwrap(), TableName::new("a.b").unwrap());
    let made = catalog(&store, 10);
    open(&made).await;
    made.table_or_create(&tenant, &name).await.unwrap();
    let late = catalog(&store, 10);
    assert_eq!(late.open_all().await.unwrap(), 2);
    for folder in ["default/logs", "acme/a.b"] {
        let entry = format!("{folder}/_delta_log/00000000000000000000.json");
        store.delete(&Path::from(entry)).await.unwrap();
    }
    assert!(late.table(&tenant, &name).await.unwrap().is_some());
    open(&late).await;
}

#[tokio::test]
async fn those_who_open_at_once_share_a_table() {
    let catalog = catalog(&memory(), 10);
    let opened = join_all((0..8).map(|_| open(&catalog))).await;
    assert!(opened.iter().all(|table| Arc::ptr_eq(table, &opened[0])));
}

#[tokio::test]
async fn a_table_of_a_newer_protocol_is_refused_by_name() {
    let store = memory();
    let table = open(&catalog(&store, 10)).await;
    let upgrade = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,
        "readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#;
    let path = Path::from("default/logs/_delta_log/00000000000000000001.json");
    store.put(&path, upgrade.replace('\n', "").into()).await.unwrap();
    let (tenant, name) = logs();
    let opened = catalog(&store, 10).table(&tenant, &name).await;
    for error in [opened.unwrap_err(), table.refresh().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("deletionVectors"), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_checkpoint_is_passed_over_while_the_log_is_whole() {
    let store = memory();
    let table = open(&catalog(&store, 2)).await;
    flush_times(&table, 1, 0..5).await;
    settle(&store, 2).await;
    let path = Path::from("default/logs/_delta_log/00000000000000000004.checkpoint.parquet");
    store.put(&path, "PAR1 not".into()).await.unwrap();
    assert_eq!(*open(&catalog(&store, 2)).await.current(), *table.current());
}
