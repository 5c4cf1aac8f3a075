//! The same in searches over a lake of sixty records in every stage of their life, each a function of its
//! number: one every two minutes from 12:00.

use std::sync::Arc;

use loglake_model::{TableName, TenantName};
use loglake_query::testing::SmallLake;
use object_store::memory::InMemory;
use serde_json::{Value, json};

use super::{counts, each};
use crate::{Elastic, SearchRequest};

/// 2026-11-01T12:00:00Z in milliseconds.
const NOON: i64 = 1_793_534_400_000;
const HOUR: i64 = 3_600_000;

async fn aggregations(tables: &[&str], query: Value, aggs: Value) -> Value {
    let lake = SmallLake::in_every_stage(Arc::new(InMemory::new())).await;
    let (engine, tenant) = (lake.engine(), TenantName::unnamed());
    let now_nanos = (NOON + 2 * HOUR) * 1_000_000;
    let elastic = Elastic { engine: &engine, tenant: &tenant, now_nanos };
    let body = json!({"size": 0, "query": query, "aggs": aggs});
    let tables: Vec<TableName> = tables.iter().map(|name| TableName::new(name).unwrap()).collect();
    let request = SearchRequest::parse(body, &[]).unwrap();
    match elastic.search(&tables, &request).await {
        Ok(answer) => answer["aggregations"].clone(),
        Err(error) => panic!("{aggs}: {error}"),
    }
}

#[tokio::test]
async fn every_record_is_counted_once() {
    let answer = aggregations(
        &["logs"],
        json!({"match_all": {}}),
        json!({
            "hours": {
                "date_histogram": {"field": "@timestamp", "calendar_interval": "1h", "time_zone": "Asia/Kolkata"},
                "aggs": {
                    "by": {"terms": {"field": "service.name", "size": 2}},
                    "seq": {"sum": {"field": "seq"}},
                    "errors": {"filter": {"term": {"level": "error"}}}
                }
            },
            "p": {"percentiles": {"field": "seq", "percents": [50]}},
            "paths": {"cardinality": {"field": "http.path"}},
        }),
    )
    .await;
    // Hours of a zone of half an hour begin at half past.
    let half = HOUR / 2;
    assert_eq!(
        counts(&answer["hours"]),
        json!([[NOON - half, 15], [NOON + half, 30], [NOON + HOUR + half, 15]])
    );
    assert_eq!(each(&answer["hours"], "/seq/value"), json!([105.0, 885.0, 780.0]));
    assert_eq!(each(&answer["hours"], "/errors/doc_count"), json!([2, 3, 1]));
    let first = &answer["hours"]["buckets"][0]["by"];
    assert_eq!(counts(first), json!([["api", 5], ["db", 5]]));
    assert_eq!(first["sum_other_doc_count"], 5);
    assert_eq!(answer["paths"], json!({"value": 3}));
    let median = answer["p"]["values"]["50.0"].as_f64().unwrap();
    assert!((29.0..=30.0).contains(&median), "{median}");
}

#[tokio::test]
async fn what_is_no_column_is_found_in_attributes() {
    let answer = aggregations(
        &["logs"],
        json!({"range": {"seq": {"lt": 30}}}),
        json!({
            "names": {"terms": {"field": "user.name"}, "aggs": {
                "id": {"avg": {"field": "user.id"}}, "by": {"terms": {"field": "service"}}}},
            "tags": {"terms": {"field": "tags.keyword", "missing": "none"}},
            "only": {"terms": {"field": "user.name", "include": "u[1]"}},
            "not": {"missing": {"field": "user.name"}},
        }),
    )
    .await;
    // 0, 10, 20 are of u0 and 5, 15, 25 of u1.
    assert_eq!(counts(&answer["names"]), json!([["u0", 3], ["u1", 3]]));
    assert_eq!(each(&answer["names"], "/id/value"), json!([10.0, 15.0]));
    let by = counts(&answer["names"]["buckets"][1]["by"]);
    assert_eq!(by, json!([["api", 1], ["db", 1], ["web", 1]]));
    assert_eq!(counts(&answer["tags"]), json!([["none", 24], ["a", 6], ["b", 6]]));
    assert_eq!(counts(&answer["only"]), json!([["u1", 3]]));
    assert_eq!(answer["not"]["doc_count"], 24);
}

#[tokio::test]
async fn filters_are_queries_and_may_overlap() {
    let answer = aggregations(
        &["logs"],
        json!({"match_all": {}}),
        json!({
            "f": {"filters": {"other_bucket_key": "rest", "filters": {
                "bad": {"query_string": {"query": "level:(error OR warn)"}},
                "login": {"match_phrase": {"message": "answered login"}},
            }}, "aggs": {"by": {"terms": {"field": "level"}}}},
            "all": {"global": {}, "aggs": {"n": {"value_count": {"field": "seq"}}}},
        }),
    )
    .await;
    let level = |n: i64| match n {
        n if n % 10 == 0 => "error",
        n if n % 4 == 1 => "warn",
        _ => "info",
    };
    let (bad, login) = (|n: &i64| level(*n) != "info", |n: &i64| n / 3 % 3 == 1);
    let count = |test: &dyn Fn(&i64) -> bool| (0..60).filter(test).count();
    let buckets = &answer["f"]["buckets"];
    assert_eq!(buckets["bad"]["doc_count"], count(&bad));
    assert_eq!(buckets["login"]["doc_count"], count(&login));
    assert_eq!(buckets["rest"]["doc_count"], count(&|n| !bad(n) && !login(n)));
    assert_eq!(counts(&buckets["bad"]["by"]), json!([["warn", 15], ["error", 6]]));
    assert_eq!(answer["all"]["n"]["value"], 60);
}

#[tokio::test]
async fn top_hits_are_the_records_of_their_buckets() {
    let answer = aggregations(
        &["logs"],
        json!({"range": {"seq": {"lt": 50}}}),
        json!({
            "by": {"terms": {"field": "service", "order": {"_key": "asc"}}, "aggs": {
                "newest": {"top_hits": {"size": 2, "_source": ["seq"]}},
                "slow": {"top_hits": {"size": 1, "from": 1, "sort": [{"seq": "asc"}], "_source": "seq"}},
            }},
        }),
    )
    .await;
    let newest = each(&answer["by"], "/newest/hits/hits/1/_source/seq");
    // Of 48, 45, … and 47, 44, … and 49, 46, ….
    assert_eq!(newest, json!([45, 44, 46]));
    let slow = &answer["by"]["buckets"][0]["slow"]["hits"]["hits"];
    assert_eq!((&slow[0]["_source"], &slow[0]["sort"]), (&json!({"seq": 3}), &json!([3])));
    assert_eq!(slow[0]["_index"], "logs");
    assert_eq!(slow.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn several_tables_are_one() {
    let answer = aggregations(
        &["audit-log", "logs"],
        json!({"match_all": {}}),
        json!({
            "tables": {"terms": {"field": "_index"}, "aggs": {
                "last": {"top_hits": {"size": 1, "sort": [{"seq": "desc"}], "_source": "seq"}}}},
            "pages": {"composite": {"size": 2, "sources": [
                {"table": {"terms": {"field": "_index"}}}, {"service": {"terms": {"field": "service"}}}]}},
        }),
    )
    .await;
    assert_eq!(counts(&answer["tables"]), json!([["logs", 60], ["audit-log", 3]]));
    let last = |at: usize| &answer["tables"]["buckets"][at]["last"]["hits"]["hits"][0];
    assert_eq!((&last(1)["_source"]["seq"], &last(1)["_index"]), (&json!(2), &json!("audit-log")));
    assert_eq!(answer["pages"]["after_key"], json!({"table": "audit-log", "service": "db"}));
}
