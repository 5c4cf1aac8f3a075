//! A query's bounds: its deadline, its memory, and what is left of it when nobody listens.

use std::time::Duration;

use futures::StreamExt;
use loglake_model::ErrorKind;

use super::{integers, request, rows, small_lake};
use crate::{QueryError, QueryRequest};

const ENDLESS: &str = "select count(*) from range(0, 100000000000) a, range(0, 1000000000) b";

#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_at_its_deadline() {
    let engine = small_lake().await.engine();
    let timeout = Some(Duration::from_millis(200));
    let started = tokio::time::Instant::now();
    let error = engine.run(QueryRequest { timeout, ..request(ENDLESS) }).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let sql = "select count(*) from lake.queries where state = 'failed' and error like '%200 ms'";
    assert_eq!(integers(&engine, sql).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_the_deadline_too() {
    let engine = small_lake().await.engine();
    let timeout = Some(Duration::from_millis(300));
    let sql = "select value from range(0, 100000000000)";
    let mut answer = engine.run(QueryRequest { timeout, ..request(sql) }).await.unwrap().stream;
    let error = loop {
        match answer.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break QueryError::from(error),
            None => panic!("the range ended"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn an_answer_that_is_let_go_is_a_cancelled_query() {
    let engine = small_lake().await.engine();
    drop(engine.run(request("select value from range(0, 100000000000)")).await.unwrap());
    let sql = "select count(*) from lake.queries where state = 'cancelled'";
    assert_eq!(integers(&engine, sql).await, [1]);
    let sql = "select count(*) from lake.queries where state = 'running' and sql like '%running%'";
    assert_eq!(integers(&engine, sql).await, [1], "the query itself runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_memory_than_there_is_is_refused_and_counted() {
    let engine = small_lake().await.engine();
    let sql = "select array_agg(value || repeat('x', 100)) from range(0, 3000000)";
    let error = rows(&engine, sql).await.expect_err("too much for 64 MiB");
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    let sql = "select count(*) from lake.queries where peak_memory_bytes > 1000000";
    assert_eq!(integers(&engine, sql).await, [1]);
}
