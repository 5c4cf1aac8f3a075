//! The router as clients see it, with a whole lake in memory behind it.

use std::io::Write;
use std::sync::Arc;

use arrow::ipc::reader::StreamReader;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::stream;
use loglake_model::Limits;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::router;
use crate::doors::{DoorSettings, OpenDoors};
use crate::test_lake;

mod elasticsearch;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn post(router: &Router, path: &str, body: impl Into<Body>) -> Answer {
    send(router, Request::post(path).body(body.into()).unwrap()).await
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn lake() -> Router {
    router(test_lake::open_doors(None).await)
}

async fn with_limits(limits: Limits) -> Router {
    let mut doors = test_lake::doors(None).await;
    doors.limits = limits;
    router(OpenDoors::new(doors, DoorSettings::default()).unwrap())
}

async fn count(router: &Router, table: &str) -> Value {
    let answer =
        post(router, "/api/v1/sql", format!("select count(*) as n from \"{table}\"")).await;
    answer.json()["n"].clone()
}

#[tokio::test]
async fn what_is_acknowledged_is_there_and_what_is_refused_is_named() {
    let router = lake().await;
    let body = "{\"message\":\"a\",\"code\":7}\nnoise\nnoise\n\n{\"message\":\"b\"}\n[1]";
    let answer = post(&router, "/api/v1/ingest/shop", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let report = answer.json();
    assert_eq!((&report["stored"], &report["rejected"]), (&json!(2), &json!(3)));
    assert_eq!(
        (&report["errors"][0]["line"], &report["errors"][0]["last_line"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(
        (&report["errors"][1]["line"], report["errors"].as_array().unwrap().len()),
        (&json!(6), 2)
    );
    let sql = "select message, code from shop order by message";
    let rows = post(&router, "/api/v1/sql", sql).await;
    assert_eq!(rows.text(), "{\"message\":\"a\",\"code\":7}\n{\"message\":\"b\",\"code\":null}\n");
    assert_eq!(rows.headers[header::CONTENT_TYPE], "application/x-ndjson");
    assert!(rows.headers.contains_key("x-loglake-query-id"));
}

#[tokio::test]
async fn nothing_stored_and_something_refused_is_400() {
    let router = lake().await;
    let answer = post(&router, "/api/v1/ingest/logs", "noise").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["rejected"], 1);
    let empty = post(&router, "/api/v1/ingest/logs", "").await;
    assert_eq!((empty.status, empty.json()["stored"].clone()), (StatusCode::OK, json!(0)));
}

#[tokio::test]
async fn arrays_and_compressed_bodies_are_taken() {
    let router = lake().await;
    let array = post(&router, "/api/v1/ingest/logs", "[{\"m\":1},{\"m\":2},3]").await;
    assert_eq!(
        (&array.json()["stored"], &array.json()["errors"][0]["line"]),
        (&json!(2), &json!(3))
    );
    let lines = b"{\"m\":3}\n{\"m\":4}\n";
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(lines).unwrap();
    let zstd = zstd::encode_all(&lines[..], 1).unwrap();
    for (encoding, body) in [("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
        let request =
            Request::put("/api/v1/ingest/logs").header(header::CONTENT_ENCODING, encoding);
        let answer = send(&router, request.body(body.into()).unwrap()).await;
        assert_eq!(answer.json()["stored"], 2, "{encoding}: {}", answer.text());
    }
    let request = Request::post("/api/v1/ingest/logs").header(header::CONTENT_ENCODING, "br");
    let answer = send(&router, request.body(Body::from("x")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(count(&router, "logs").await, 6);
}

#[tokio::test]
async fn a_long_body_streams_through_in_blocks() {
    let router = lake().await;
    let line = format!("{{\"message\":\"{}\"}}\n", "x".repeat(1_000));
    let piece = Bytes::from(line.repeat(64));
    let pieces = stream::iter((0..160).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let answer = post(&router, "/api/v1/ingest/logs", Body::from_stream(pieces)).await;
    assert_eq!(answer.json(), json!({"stored": 160 * 64, "rejected": 0, "errors": []}));
    assert_eq!(count(&router, "logs").await, 160 * 64);
}

#[tokio::test]
async fn a_body_past_the_limit_says_where_it_was_cut() {
    let limits = Limits { body_bytes_max: 6 << 20, ..Limits::default() };
    let router = with_limits(limits).await;
    let body = "{\"message\":\"0123456789\"}\n".repeat(400_000);
    let answer = post(&router, "/api/v1/ingest/logs", body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let json = answer.json();
    let stored = json["stored"].as_u64().unwrap();
    assert!(stored > 0, "{json}");
    assert_eq!(json["not_read_from_line"], stored + 1);
    assert_eq!(json["error"]["kind"], "invalid");
    assert_eq!(count(&router, "logs").await, stored);
}

#[tokio::test]
async fn a_table_name_that_is_no_folder_is_refused() {
    let router = lake().await;
    let answer = post(&router, "/api/v1/ingest/_wal", "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["error"]["kind"], "invalid");
}

#[tokio::test]
async fn bulk_answers_each_action_in_order() {
    let router = lake().await;
    let body = concat!(
        "{\"create\":{}}\n{\"message\":\"a\"}\n",
        "{\"index\":{\"_index\":\"audit\",\"_id\":\"17\"}}\n{\"message\":\"b\"}\n",
        "{\"create\":{}}\nnoise\n",
        "{\"delete\":{\"_id\":\"1\"}}\n",
        "{\"create\":{\"_index\":\".kibana\"}}\n{\"message\":\"c\"}\n",
    );
    let media_type = "application/vnd.elasticsearch+json;compatible-with=9";
    let request = Request::put("/logs/_bulk?refresh=true").header(header::ACCEPT, media_type);
    let answer = send(&router, request.body(body.into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.headers["x-elastic-product"], "Elasticsearch");
    assert_eq!(answer.headers[header::CONTENT_TYPE], media_type);
    let json = answer.json();
    assert_eq!(json["errors"], true);
    let items: Vec<_> = json["items"].as_array().unwrap().iter().collect();
    let shown = |at: usize, action: &str| {
        let item = &items[at][action];
        (item["status"].clone(), item["_index"].clone(), item["error"]["type"].clone())
    };
    assert_eq!(shown(0, "create"), (json!(201), json!("logs"), Value::Null));
    assert_eq!(shown(1, "index"), (json!(201), json!("audit"), Value::Null));
    assert_eq!(
        shown(2, "create"),
        (json!(400), json!("logs"), json!("document_parsing_exception"))
    );
    assert_eq!(
        shown(3, "delete"),
        (json!(400), json!("logs"), json!("illegal_argument_exception"))
    );
    assert_eq!(
        shown(4, "create"),
        (json!(400), json!(".kibana"), json!("invalid_index_name_exception"))
    );
    assert_eq!(items.len(), 5);
    assert_eq!(items[0]["create"]["_id"].as_str().unwrap().len(), 20);
    assert_eq!(items[1]["index"]["_id"], "17");
    assert_eq!(count(&router, "logs").await, 1);
    let audit = post(&router, "/api/v1/sql", "select \"_id\", message from audit").await;
    assert_eq!(audit.text(), "{\"_id\":\"17\",\"message\":\"b\"}\n");
}

#[tokio::test]
async fn bulk_without_an_index_is_refused_by_item() {
    let router = lake().await;
    let answer = post(&router, "/_bulk", "{\"index\":{}}\n{}\n").await;
    assert_eq!(answer.json()["items"][0]["index"]["error"]["type"], "invalid_index_name_exception");
    let limits = Limits { body_bytes_max: 10, ..Limits::default() };
    let answer = post(&with_limits(limits).await, "/_bulk", "{\"index\":{}}\n{}\n").await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["status"], 413);
}

#[tokio::test]
async fn clients_of_elasticsearch_find_product_and_version() {
    let router = lake().await;
    let info = get(&router, "/").await;
    assert_eq!(info.headers["x-elastic-product"], "Elasticsearch");
    assert!(info.json()["version"]["number"].as_str().unwrap().starts_with("9."));
    let head = send(&router, Request::head("/").body(Body::empty()).unwrap()).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.headers["x-elastic-product"], "Elasticsearch");
}

#[tokio::test]
async fn a_mistake_in_sql_is_told_with_its_place() {
    let router = lake().await;
    let answer = post(&router, "/api/v1/sql", "select 1\nfrom )").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!((&error["kind"], &error["line"]), (&json!("invalid"), &json!(2)));
    let write = post(&router, "/api/v1/sql", "create table t as select 1").await;
    assert_eq!(write.status, StatusCode::FORBIDDEN, "{}", write.text());
}

#[tokio::test]
async fn results_come_in_the_form_that_is_asked_for() {
    let router = lake().await;
    let body = r#"{"sql":"select $1 as a, $2 as b","parameters":["x",2]}"#;
    let request = |accept: &str| {
        Request::post("/api/v1/sql").header(header::ACCEPT, accept).body(Body::from(body)).unwrap()
    };
    let json = send(&router, request("application/json")).await;
    assert_eq!(json.json(), json!([{"a": "x", "b": 2}]));
    let csv = send(&router, request("text/csv")).await;
    assert_eq!(csv.text(), "a,b\nx,2\n");
    let arrow = send(&router, request("application/vnd.apache.arrow.stream")).await;
    assert_eq!(StreamReader::try_new(arrow.body.as_ref(), None).unwrap().flatten().count(), 1);
    let parquet = send(&router, request("application/vnd.apache.parquet")).await;
    assert_eq!(
        (&parquet.body[..4], &parquet.body[parquet.body.len() - 4..]),
        (&b"PAR1"[..], &b"PAR1"[..])
    );
    let html = send(&router, request("text/html")).await;
    assert_eq!(html.status, StatusCode::NOT_ACCEPTABLE);
    let get = get(&router, "/api/v1/sql?query=select%201%20as%20one").await;
    assert_eq!(get.text(), "{\"one\":1}\n");
}

#[tokio::test]
async fn records_come_back_as_they_were_sent() {
    let router = lake().await;
    let record = r#"{"timestamp":"2026-11-01T13:00:00.123456789Z","message":"a","http":{"status":200},"tags":[1,2]}"#;
    post(&router, "/api/v1/ingest/logs", record).await;
    let body = r#"{"sql":"select * from logs","shape":"record"}"#;
    let answer = post(&router, "/api/v1/sql", body).await;
    let (sent, back): (Value, Value) = (serde_json::from_str(record).unwrap(), answer.json());
    assert_eq!(back, sent);
    let partly = r#"{"sql":"select message from logs","shape":"record"}"#;
    assert_eq!(post(&router, "/api/v1/sql", partly).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn only_health_opens_without_the_token() {
    let router = router(test_lake::open_doors(Some("s3cret")).await);
    let routes = [
        ("GET", "/health", StatusCode::OK),
        ("GET", "/ready", StatusCode::UNAUTHORIZED),
        ("GET", "/metrics", StatusCode::UNAUTHORIZED),
        ("GET", "/", StatusCode::UNAUTHORIZED),
        ("GET", "/nowhere", StatusCode::UNAUTHORIZED),
        ("POST", "/api/v1/sql", StatusCode::UNAUTHORIZED),
        ("POST", "/api/v1/flush", StatusCode::UNAUTHORIZED),
        ("POST", "/api/v1/ingest/logs", StatusCode::UNAUTHORIZED),
        ("PUT", "/_bulk", StatusCode::UNAUTHORIZED),
        ("POST", "/logs/_bulk", StatusCode::UNAUTHORIZED),
        ("GET", "/_license", StatusCode::UNAUTHORIZED),
        ("GET", "/_cluster/health", StatusCode::UNAUTHORIZED),
    ];
    for (method, path, status) in routes {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let answer = send(&router, request).await;
        assert_eq!(answer.status, status, "{method} {path}");
        let challenged = answer.headers.contains_key(header::WWW_AUTHENTICATE);
        assert_eq!(challenged, status == StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    let basic = format!("Basic {}", BASE64_STANDARD.encode("elastic:s3cret"));
    for authorization in ["Bearer s3cret", "ApiKey s3cret", basic.as_str()] {
        let request = Request::get("/ready").header(header::AUTHORIZATION, authorization);
        let answer = send(&router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{authorization}");
    }
}

#[tokio::test]
async fn past_the_bound_requests_are_told_to_come_back() {
    let doors = test_lake::open_doors(None).await;
    let all = doors.settings.requests_max;
    let taken = Arc::clone(&doors.requests).acquire_many_owned(all as u32).await.unwrap();
    let router = router(doors);
    let answer = post(&router, "/api/v1/sql", "select 1").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    let bulk = post(&router, "/_bulk", "").await;
    assert_eq!(bulk.json()["error"]["type"], "es_rejected_execution_exception");
    assert_eq!(get(&router, "/ready").await.status, StatusCode::OK);
    drop(taken);
    assert_eq!(post(&router, "/api/v1/sql", "select 1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn flush_keeps_every_row_once_and_metrics_count() {
    let router = lake().await;
    post(&router, "/api/v1/ingest/logs", "{\"m\":1}\n{\"m\":2}\nnoise\n").await;
    let flushed = post(&router, "/api/v1/flush", "").await;
    assert_eq!(flushed.status, StatusCode::OK, "{}", flushed.text());
    assert_eq!(count(&router, "logs").await, 2);
    let metrics = get(&router, "/metrics").await;
    for line in [
        "loglake_ingest_rows_total 2\n",
        "loglake_ingest_rejected_total 1\n",
        "loglake_http_requests_total{route=\"/api/v1/ingest/{table}\",status=\"200\"} 1\n",
    ] {
        assert!(metrics.text().contains(line), "{line} is not in\n{}", metrics.text());
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let router = lake().await;
    let nowhere = get(&router, "/nowhere/at/all").await;
    assert_eq!(
        (nowhere.status, &nowhere.json()["error"]["kind"]),
        (StatusCode::NOT_FOUND, &json!("not_found"))
    );
    assert_eq!(get(&router, "/_bulk").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let table = post(&router, "/api/v1/sql", "select * from nothing_here").await;
    assert!(table.status.is_client_error(), "{}", table.text());
    assert!(table.text().contains("nothing_here"), "{}", table.text());
}

async fn post_once(router: &Router, path: &str, key: &str, body: &str) -> Answer {
    let request = Request::post(path).header("idempotency-key", key);
    send(router, request.body(body.to_owned().into()).unwrap()).await
}

#[tokio::test]
async fn a_repeat_with_the_same_key_adds_nothing_and_answers_as_the_first_time() {
    let router = lake().await;
    let body = "{\"message\":\"a\"}\nnoise\n{\"message\":\"b\"}\n";
    let first = post_once(&router, "/api/v1/ingest/shop", "k1", body).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    assert_eq!((&first.json()["stored"], &first.json()["rejected"]), (&json!(2), &json!(1)));
    let again = post_once(&router, "/api/v1/ingest/shop", "k1", body).await;
    assert_eq!((again.status, again.text()), (first.status, first.text()));
    assert_eq!(count(&router, "shop").await, json!(2));
    let other = post_once(&router, "/api/v1/ingest/shop", "k2", body).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(count(&router, "shop").await, json!(4));
}

#[tokio::test]
async fn a_key_of_another_request_is_refused() {
    let router = lake().await;
    post_once(&router, "/api/v1/ingest/shop", "k", "{\"message\":\"a\"}").await;
    for (path, body) in [
        ("/api/v1/ingest/shop", "{\"message\":\"b\"}"),
        ("/api/v1/ingest/other", "{\"message\":\"a\"}"),
        ("/shop/_bulk", "{\"create\":{}}\n{\"message\":\"a\"}\n"),
    ] {
        let refused = post_once(&router, path, "k", body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text());
    }
    assert_eq!(count(&router, "shop").await, json!(1));
}

#[tokio::test]
async fn a_bulk_with_a_key_is_stored_once_with_the_same_ids() {
    let router = lake().await;
    let body = "{\"create\":{\"_index\":\"a\"}}\n{\"message\":\"1\"}\n\
                {\"index\":{\"_index\":\"b\",\"_id\":\"x\"}}\n{\"message\":\"2\"}\n\
                {\"create\":{\"_index\":\"a\"}}\nnoise\n";
    let first = post_once(&router, "/_bulk", "k", body).await;
    let again = post_once(&router, "/_bulk", "k", body).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    assert_eq!(first.json()["items"], again.json()["items"]);
    let statuses: Vec<_> = first.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_object().unwrap().values().next().unwrap()["status"].clone())
        .collect();
    assert_eq!(statuses, [json!(201), json!(201), json!(400)]);
    assert_eq!((count(&router, "a").await, count(&router, "b").await), (json!(1), json!(1)));
}
