//! Answers without what cannot be read, for those who ask for that.

use std::sync::Arc;

use loglake_model::ErrorKind;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::{request, rows};
use crate::testing::{SmallLake, writer_id};
use crate::{PartialAnswer, QueryEngine};

const ALL: &str = "select seq from logs order by seq";

/// Four files of five records, and two segments of five more.
async fn lake() -> SmallLake {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), None);
    let logs = lake.table("logs").await;
    for file in 0..4 {
        let from = (file > 0).then(|| file - 1);
        let numbers = file as i64 * 5..file as i64 * 5 + 5;
        lake.commit(&logs, writer_id(1), from, file, numbers).await;
    }
    lake.segments(&logs, writer_id(2), &[20..25, 25..30]).await;
    lake
}

async fn data_file(lake: &SmallLake) -> Path {
    let logs = lake.table("logs").await;
    let file = logs.current().files().next().unwrap().path.clone();
    logs.root().parts().chain(file.parts()).collect()
}

async fn partial(engine: &QueryEngine) -> PartialAnswer {
    engine.run_partial(request(ALL)).await.unwrap()
}

fn count(answer: &PartialAnswer) -> usize {
    answer.batches.iter().map(|batch| batch.num_rows()).sum()
}

#[tokio::test]
async fn nothing_is_missing_when_all_can_be_read() {
    let answer = partial(&lake().await.engine()).await;
    assert_eq!((count(&answer), answer.missing), (30, vec![]));
}

#[tokio::test]
async fn a_file_of_garbage_is_left_out_by_name_and_only_on_demand() {
    let lake = lake().await;
    let path = data_file(&lake).await;
    let bytes = lake.store.get(&path).await.unwrap().bytes().await.unwrap();
    lake.store.put(&path, vec![7; bytes.len()].into()).await.unwrap();
    let engine = lake.engine();
    let error = rows(&engine, ALL).await.expect_err("a file is garbage");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(path.as_ref()), "{error}");
    let answer = partial(&engine).await;
    assert_eq!((count(&answer), answer.missing.len()), (25, 1));
    assert!(answer.missing[0].starts_with(path.as_ref()), "{:?}", answer.missing);
}

#[tokio::test]
async fn so_is_a_segment() {
    let lake = lake().await;
    let path = Path::from(format!("_wal/{}/{:020}", writer_id(2), 1));
    let mut bytes = lake.store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[20] ^= 1;
    lake.store.put(&path, bytes.into()).await.unwrap();
    let engine = lake.engine();
    assert_eq!(rows(&engine, ALL).await.expect_err("a bit flipped").kind(), ErrorKind::Corrupt);
    let answer = partial(&engine).await;
    assert_eq!((count(&answer), answer.missing.len()), (25, 1));
    assert!(answer.missing[0].contains("segment 1 of writer"), "{:?}", answer.missing);
}
