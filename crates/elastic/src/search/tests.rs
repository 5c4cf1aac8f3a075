//! Searches over a small lake of sixty records in every stage of their life: one every two minutes, each
//! a function of its number, which it has in `seq`. The expected numbers are worked out here from those
//! functions, without the lake.

use std::sync::Arc;

use loglake_model::{TableName, TenantName};
use loglake_query::testing::SmallLake;
use object_store::memory::InMemory;

use super::*;

/// 2026-11-01T14:00:00Z.
const NOW: i64 = 1_793_541_600_000_000_000;
const FIRST: i64 = 1_793_534_400_000_000_000;
const STEP: i64 = 120_000_000_000;

struct Lake {
    engine: QueryEngine,
    tenant: TenantName,
}

impl Lake {
    async fn new() -> Self {
        let lake = SmallLake::in_every_stage(Arc::new(InMemory::new())).await;
        Self { engine: lake.engine(), tenant: TenantName::unnamed() }
    }

    fn elastic(&self) -> Elastic<'_> {
        Elastic { engine: &self.engine, tenant: &self.tenant, now_nanos: NOW }
    }

    async fn ask(&self, tables: &[&str], body: Value, url: &str) -> Result<Value, ElasticError> {
        let request = SearchRequest::parse(body, &parameters(url))?;
        self.elastic().search(&names(tables), &request).await
    }

    async fn search(&self, body: Value) -> Value {
        let answer = self.ask(&["logs"], body.clone(), "").await;
        answer.unwrap_or_else(|e| panic!("{body}: {e}"))
    }

    /// The numbers of the records that a query finds, in order of their numbers.
    async fn found(&self, query: Value) -> Vec<i64> {
        let body = json!({ "query": query, "size": 100, "sort": "seq", "_source": "seq" });
        let answer = self.search(body).await;
        let found = seqs(&answer);
        assert_eq!(
            answer["hits"]["total"],
            json!({"value": found.len(), "relation": "eq"}),
            "{query}"
        );
        found
    }
}

fn parameters(url: &str) -> Vec<(String, String)> {
    let pairs = url.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn names(tables: &[&str]) -> Vec<TableName> {
    tables.iter().map(|name| TableName::new(name).unwrap()).collect()
}

fn hits(answer: &Value) -> &[Value] {
    answer["hits"]["hits"].as_array().map_or(&[], Vec::as_slice)
}

fn seqs(answer: &Value) -> Vec<i64> {
    hits(answer).iter().map(|hit| hit["_source"]["seq"].as_i64().unwrap()).collect()
}

fn numbers(test: impl Fn(i64) -> bool) -> Vec<i64> {
    (0..60).filter(|n| test(*n)).collect()
}

fn level(n: i64) -> &'static str {
    match n {
        n if n % 10 == 0 => "error",
        n if n % 4 == 1 => "warn",
        _ => "info",
    }
}

fn status(n: i64) -> i64 {
    [("error", 500), ("warn", 404), ("info", 200)].iter().find(|(l, _)| *l == level(n)).unwrap().1
}

fn path(n: i64) -> &'static str {
    ["/", "/login", "/items"][(n / 3 % 3) as usize]
}

fn service(n: i64) -> &'static str {
    ["api", "web", "db"][(n % 3) as usize]
}

#[tokio::test]
async fn queries_find_what_they_say() {
    let lake = Lake::new().await;
    let cases: Vec<(Value, Vec<i64>)> = vec![
        (json!({"match_all": {}}), numbers(|_| true)),
        (json!({"match_none": {}}), vec![]),
        (json!({"term": {"level": "error"}}), numbers(|n| level(n) == "error")),
        (
            json!({"term": {"log.level.keyword": {"value": "ERROR", "case_insensitive": true}}}),
            numbers(|n| level(n) == "error"),
        ),
        (json!({"terms": {"service.name": ["api", "db"]}}), numbers(|n| n % 3 != 1)),
        (
            json!({"match": {"message": "LOGIN 500"}}),
            numbers(|n| path(n) == "/login" || status(n) == 500),
        ),
        (
            json!({"match": {"message": {"query": "login 200", "operator": "and"}}}),
            numbers(|n| path(n) == "/login" && status(n) == 200),
        ),
        (
            json!({"match": {"message": {"query": "api login 404", "minimum_should_match": 2}}}),
            numbers(|n| {
                [service(n) == "api", path(n) == "/login", status(n) == 404]
                    .iter()
                    .filter(|b| **b)
                    .count()
                    >= 2
            }),
        ),
        (
            json!({"match": {"message": {"query": "logim", "fuzziness": "AUTO"}}}),
            numbers(|n| path(n) == "/login"),
        ),
        (
            json!({"match_phrase": {"message": "answered login with"}}),
            numbers(|n| path(n) == "/login"),
        ),
        (json!({"match_phrase": {"message": "login answered"}}), vec![]),
        (
            json!({"match_phrase_prefix": {"message": "answered log"}}),
            numbers(|n| path(n) == "/login"),
        ),
        (
            json!({"match_bool_prefix": {"message": "nosuch item"}}),
            numbers(|n| path(n) == "/items"),
        ),
        (
            json!({"multi_match": {"query": "api", "fields": ["service", "message"]}}),
            numbers(|n| n % 3 == 0),
        ),
        (
            json!({"multi_match": {"query": "error", "fields": ["*"]}}),
            numbers(|n| level(n) == "error"),
        ),
        (json!({"range": {"seq": {"gte": 10, "lt": "12.5"}}}), vec![10, 11, 12]),
        (json!({"range": {"duration_ms": {"gt": 60}}}), numbers(|n| n % 3 != 2 && n * 3 > 120)),
        (json!({"range": {"@timestamp": {"gte": "2026-11-01T13:00:00Z"}}}), numbers(|n| n >= 30)),
        (json!({"range": {"@timestamp": {"gt": "now-1h/h", "lte": "now"}}}), vec![]),
        (
            json!({"range": {"@timestamp": {"gte": "now-1h", "lt": "2026-11-01||+13h+10m"}}}),
            numbers(|n| (30..35).contains(&n)),
        ),
        (json!({"range": {"@timestamp": {"gte": "15:00", "format": "HH:mm"}}}), numbers(|_| true)),
        (json!({"range": {"timestamp": {"lte": 1_793_534_400_000_i64}}}), vec![0]),
        (json!({"exists": {"field": "host"}}), numbers(|n| n % 7 != 0)),
        (json!({"exists": {"field": "http"}}), numbers(|_| true)),
        (json!({"exists": {"field": "user.id"}}), numbers(|n| n % 5 == 0)),
        (json!({"exists": {"field": "nosuch"}}), vec![]),
        (json!({"term": {"tags": "b"}}), numbers(|n| n % 5 == 0)),
        (json!({"term": {"user.id": 35}}), vec![35]),
        (json!({"range": {"user.id": {"gte": 40}}}), numbers(|n| n % 5 == 0 && n >= 40)),
        (json!({"prefix": {"user.name": "u1"}}), numbers(|n| n % 5 == 0 && n % 2 == 1)),
        (json!({"term": {"ok": "false"}}), numbers(|n| status(n) >= 400)),
        (json!({"wildcard": {"http.path": {"value": "/?o*"}}}), numbers(|n| path(n) == "/login")),
        (json!({"wildcard": {"message": "LOG?n"}}), numbers(|n| path(n) == "/login")),
        (json!({"wildcard": {"message": "*OGi*"}}), numbers(|n| path(n) == "/login")),
        (json!({"prefix": {"host": "h"}}), numbers(|n| n % 7 != 0)),
        (
            json!({"regexp": {"host": "h[12]"}}),
            numbers(|n| n % 7 != 0 && (n % 4 == 1 || n % 4 == 2)),
        ),
        (json!({"regexp": {"message": "log.n|item."}}), numbers(|n| path(n) != "/")),
        (json!({"fuzzy": {"service": {"value": "abi"}}}), numbers(|n| n % 3 == 0)),
        (
            json!({"bool": {"must_not": [{"term": {"host": "h1"}}]}}),
            numbers(|n| n % 7 == 0 || n % 4 != 1),
        ),
        (
            json!({"bool": {"filter": {"term": {"service": "db"}}, "should": [{"match": {"message": "nosuch"}}]}}),
            numbers(|n| n % 3 == 2),
        ),
        (
            json!({"bool": {"should": [{"term": {"service": "db"}}, {"term": {"level": "warn"}}, {"range": {"seq": {"lt": 30}}}], "minimum_should_match": "66%"}}),
            numbers(|n| n % 3 == 2 || level(n) == "warn" || n < 30),
        ),
        (json!({"constant_score": {"filter": {"term": {"seq": 5}}, "boost": 2}}), vec![5]),
        (json!({"dis_max": {"queries": [{"term": {"seq": 5}}, {"term": {"seq": 6}}]}}), vec![5, 6]),
        (
            json!({"boosting": {"positive": {"term": {"seq": 5}}, "negative": {"match_all": {}}, "negative_boost": 0.5}}),
            vec![5],
        ),
        (
            json!({"query_string": {"query": "service:(api OR web) AND NOT level:info"}}),
            numbers(|n| n % 3 != 2 && level(n) != "info"),
        ),
        (json!({"query_string": {"query": "seq:[3 TO 5} OR seq:>=59"}}), vec![3, 4, 59]),
        (
            json!({"query_string": {"query": "login -web", "default_field": "message"}}),
            numbers(|n| path(n) == "/login" && n % 3 != 1),
        ),
        (
            json!({"query_string": {"query": "\"answered login\""}}),
            numbers(|n| path(n) == "/login"),
        ),
        (
            json!({"query_string": {"query": "db error", "default_operator": "AND"}}),
            numbers(|n| n % 3 == 2 && level(n) == "error"),
        ),
        (
            json!({"simple_query_string": {"query": "items + -api", "fields": ["message"]}}),
            numbers(|n| path(n) == "/items" && n % 3 != 0),
        ),
        (json!({"term": {"_index": "logs"}}), numbers(|_| true)),
    ];
    for (query, expected) in cases {
        assert_eq!(lake.found(query.clone()).await, expected, "{query}");
    }
}

#[tokio::test]
async fn hits_are_the_newest_records_as_they_came() {
    let lake = Lake::new().await;
    let answer = lake.search(json!({"size": 2})).await;
    assert_eq!(seqs(&answer), [59, 58]);
    assert_eq!(answer["hits"]["total"], json!({"value": 60, "relation": "eq"}));
    assert_eq!(answer["_shards"]["total"], 1);
    let hit = &hits(&answer)[0];
    assert_eq!(
        (hit["_index"].as_str(), hit["_id"].as_str().map(str::len)),
        (Some("logs"), Some(24))
    );
    assert_eq!((&hit["_score"], hit.get("sort")), (&Value::Null, None));
    assert_eq!(hit["_source"]["@timestamp"], "2026-11-01T13:58:00.000000413Z");
    assert_eq!(hit["_source"]["http"], json!({"status": 200, "path": "/login"}));
    let shown = lake
        .search(json!({
            "query": {"term": {"seq": 5}}, "_source": ["http.*"], "fields": ["tags", "log.level",
                {"field": "@timestamp", "format": "epoch_second"}],
            "highlight": {"fields": {"level": {}}}, "version": true, "sort": [{"@timestamp": "asc"}, "seq"]
        }))
        .await;
    let hit = &hits(&shown)[0];
    assert_eq!(hit["_source"], json!({"http": {"status": 404, "path": "/login"}}));
    assert_eq!(
        hit["fields"],
        json!({"tags": ["a", "b"], "log.level": ["warn"], "@timestamp": ["1793535000.000000035"]})
    );
    assert_eq!(hit["sort"], json!([FIRST + 5 * STEP + 35, 5]));
    assert_eq!(hit["_version"], 1);
}

#[tokio::test]
async fn the_order_is_what_was_asked_for() {
    let lake = Lake::new().await;
    let order = |sort: Value| json!({"size": 4, "sort": sort, "track_total_hits": false});
    let first = |answer: &Value| seqs(answer);
    let answer = lake.search(order(json!([{"duration_ms": "desc"}]))).await;
    assert_eq!(first(&answer), [58, 57, 55, 54]);
    assert_eq!(answer["hits"].get("total"), None);
    let missing = order(json!([{"host": {"order": "asc", "missing": "_first"}}, {"seq": "desc"}]));
    assert_eq!(first(&lake.search(missing).await), [56, 49, 42, 35]);
    let after = json!({"size": 2, "sort": [{"level": "asc"}, {"seq": "asc"}], "search_after": ["error", 40]});
    assert_eq!(first(&lake.search(after).await), [50, 2]);
    let past = json!({"size": 2, "sort": [{"@timestamp": "desc"}], "search_after": [FIRST + 9 * STEP + 63]});
    assert_eq!(first(&lake.search(past).await), [8, 7]);
    let millis =
        json!({"size": 1, "sort": ["@timestamp"], "search_after": ["2026-11-01T12:02:00Z"]});
    assert_eq!(first(&lake.search(millis).await), [1]);
    assert_eq!(first(&lake.search(json!({"from": 10, "size": 2})).await), [49, 48]);
    let url =
        lake.ask(&["logs"], Value::Null, "q=service:db&sort=seq:asc&size=2&_source=seq").await;
    assert_eq!(first(&url.unwrap()), [2, 5]);
}

#[tokio::test]
async fn totals_are_counted_as_far_as_asked() {
    let lake = Lake::new().await;
    let bounded = lake.search(json!({"size": 0, "track_total_hits": 7})).await;
    assert_eq!(bounded["hits"]["total"], json!({"value": 7, "relation": "gte"}));
    let url = lake.ask(&["logs"], json!({"size": 0}), "rest_total_hits_as_int=true").await.unwrap();
    assert_eq!(url["hits"]["total"], 60);
    let filtered = json!({"size": 0, "post_filter": {"term": {"service": "db"}}});
    assert_eq!(lake.search(filtered).await["hits"]["total"]["value"], 20);
    let request =
        SearchRequest::parse(json!({"query": {"term": {"level": "error"}}}), &[]).unwrap();
    let count = lake.elastic().count(&names(&["logs"]), &request).await.unwrap();
    assert_eq!(count["count"], 6);
}

#[tokio::test]
async fn rarer_words_and_shorter_texts_score_higher() {
    let lake = Lake::new().await;
    let body =
        json!({"query": {"match": {"message": "500 answered"}}, "sort": ["_score"], "size": 60});
    let answer = lake.search(body).await;
    let scores: Vec<f64> =
        hits(&answer).iter().map(|hit| hit["_score"].as_f64().unwrap()).collect();
    assert!(
        scores.is_sorted_by(|a, b| a >= b) && scores[5] > scores[6] && scores[6] > 0.0,
        "{scores:?}"
    );
    assert!(seqs(&answer)[..6].iter().all(|n| level(*n) == "error"));
    assert_eq!(answer["hits"]["max_score"].as_f64(), Some(scores[0]));
    let least =
        json!({"query": {"match": {"message": "500 answered"}}, "min_score": scores[5] - 1e-9});
    assert_eq!(lake.search(least).await["hits"]["total"]["value"], 6);
    let boosted = json!({"query": {"bool": {"must": {"match_all": {"boost": 3}}, "should": {"term": {"seq": 7}}}},
        "track_scores": true, "sort": ["seq"], "size": 8});
    let answer = lake.search(boosted).await;
    assert_eq!(
        (&hits(&answer)[0]["_score"], &hits(&answer)[7]["_score"]),
        (&json!(3.0), &json!(4.0))
    );
}

#[tokio::test]
async fn several_tables_are_one() {
    let lake = Lake::new().await;
    let both = ["audit-log", "logs"];
    let body = json!({"size": 6, "sort": [{"seq": "asc"}, {"_index": "asc"}]});
    let answer = lake.ask(&both, body, "").await.unwrap();
    let places: Vec<_> = hits(&answer).iter().map(|hit| hit["_index"].as_str().unwrap()).collect();
    assert_eq!(places, ["audit-log", "logs", "audit-log", "logs", "audit-log", "logs"]);
    assert_eq!(
        (&answer["hits"]["total"]["value"], &answer["_shards"]["total"]),
        (&json!(63), &json!(2))
    );
    let one = json!({"query": {"bool": {"must": [{"term": {"_index": "audit-log"}}, {"match": {"message": "login"}}]}}});
    assert_eq!(lake.ask(&both, one, "").await.unwrap()["hits"]["total"]["value"], 0);
    let none = lake.ask(&[], json!({}), "").await.unwrap();
    assert_eq!(
        none["hits"],
        json!({"total": {"value": 0, "relation": "eq"}, "max_score": null, "hits": []})
    );
}

#[tokio::test]
async fn a_document_is_found_by_its_id() {
    let lake = Lake::new().await;
    let ids = lake.search(json!({"query": {"range": {"seq": {"gte": 18, "lt": 22}}}})).await;
    let ids: Vec<_> = hits(&ids).iter().map(|hit| hit["_id"].clone()).collect();
    let found = lake.found(json!({"ids": {"values": [ids[0], ids[3], "nosuch"]}})).await;
    assert_eq!(found, [18, 21]);
    let id = ids[1].as_str().unwrap();
    let document = lake.elastic().document(&names(&["logs"])[0], id, &[]).await.unwrap();
    assert_eq!((&document["found"], &document["_source"]["seq"]), (&json!(true), &json!(20)));
    let none = lake.elastic().document(&names(&["logs"])[0], "nosuch", &[]).await.unwrap();
    assert_eq!(none["found"], false);
}

#[tokio::test]
async fn scrolls_and_points_in_time_show_every_row_once() {
    let lake = Lake::new().await;
    let (elastic, tables) = (lake.elastic(), names(&["audit-log", "logs"]));
    for body in [
        json!({"size": 7, "sort": ["_doc"]}),
        json!({"size": 7}),
        json!({"size": 7, "sort": [{"level": "desc"}]}),
    ] {
        let request = SearchRequest::parse(body.clone(), &[]).unwrap();
        let mut answer = elastic.search_scroll(&tables, &request, "1m").await.unwrap();
        let mut found = vec![];
        while !hits(&answer).is_empty() {
            assert_eq!(answer["hits"]["total"]["value"], 63);
            found.extend(seqs(&answer));
            answer =
                elastic.scroll(answer["_scroll_id"].as_str().unwrap(), Some("1m")).await.unwrap();
        }
        found.sort_unstable();
        let mut all: Vec<i64> = (0..60).chain(0..3).collect();
        all.sort_unstable();
        assert_eq!(found, all, "{body}");
    }
    let id = elastic.open_point_in_time(&tables, "1m").unwrap()["id"].clone();
    let (mut found, mut after) = (vec![], Value::Null);
    loop {
        let mut body = json!({"size": 11, "pit": {"id": id, "keep_alive": "1m"}, "sort": [{"service": "asc"}]});
        if !after.is_null() {
            body["search_after"] = after.clone();
        }
        let request = SearchRequest::parse(body, &[]).unwrap();
        assert_eq!(request.point_in_time(), id.as_str());
        let answer = elastic.search(&[], &request).await.unwrap();
        let Some(last) = hits(&answer).last() else { break };
        after = last["sort"].clone();
        found.extend(seqs(&answer));
    }
    assert_eq!(found.len(), 63);
    for wrong in ["nosuch", "e30"] {
        let error = elastic.scroll(wrong, None).await.unwrap_err();
        assert_eq!((error.status(), error.error_type()), (404, "search_context_missing_exception"));
    }
}

#[tokio::test]
async fn equal_records_are_paged_through_one_by_one() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), None);
    let logs = lake.table("logs").await;
    let writers = [1, 2, 3].map(loglake_query::testing::writer_id);
    for writer in writers {
        lake.commit(&logs, writer, None, 0, 0..3).await;
    }
    let (engine, tenant) = (lake.engine(), TenantName::unnamed());
    let elastic = Elastic { engine: &engine, tenant: &tenant, now_nanos: NOW };
    let request = SearchRequest::parse(json!({"size": 2, "sort": ["_doc"]}), &[]).unwrap();
    let mut answer = elastic.search_scroll(&names(&["logs"]), &request, "1m").await.unwrap();
    let mut found = vec![];
    while !hits(&answer).is_empty() {
        found.extend(seqs(&answer));
        answer = elastic.scroll(answer["_scroll_id"].as_str().unwrap(), None).await.unwrap();
    }
    assert_eq!(found, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_by_name() {
    let lake = Lake::new().await;
    for (body, error_type, part) in [
        (json!({"collapse": {"field": "host"}}), "illegal_argument_exception", "[collapse]"),
        (json!({"nosuch": 1}), "parsing_exception", "[nosuch]"),
        (
            json!({"query": {"match": {"message": {"query": "x", "nosuch": 1}}}}),
            "parsing_exception",
            "[match] query does not support [nosuch]",
        ),
        (json!({"query": {"nosuch": {}}}), "parsing_exception", "unknown query [nosuch]"),
        (json!({"query": {"script": {}}}), "illegal_argument_exception", "[script]"),
        (json!({"query": {"term": {"seq": "x"}}}), "query_shard_exception", "[seq]"),
        (
            json!({"query": {"range": {"@timestamp": {"gte": "yesterday"}}}}),
            "parse_exception",
            "failed to parse date field [yesterday]",
        ),
        (
            json!({"query": {"query_string": {"query": "(a"}}}),
            "query_shard_exception",
            "Failed to parse query [(a]",
        ),
        (
            json!({"from": 9_999, "size": 2}),
            "illegal_argument_exception",
            "Result window is too large",
        ),
        (json!({"size": -5}), "illegal_argument_exception", "cannot be negative"),
        (json!({"sort": ["message"]}), "illegal_argument_exception", "[message.keyword]"),
        (
            json!({"sort": ["seq"], "search_after": [1, 2]}),
            "illegal_argument_exception",
            "has 2 value(s) but sort has 1",
        ),
    ] {
        let error = lake.ask(&["logs"], body.clone(), "").await.expect_err(&body.to_string());
        assert_eq!((error.status(), error.error_type()), (400, error_type), "{body}: {error}");
        assert!(error.to_string().contains(part), "{body}: {error}");
        assert_eq!(error.body()["error"]["root_cause"][0]["type"], error_type);
    }
    let gone = lake.ask(&["nosuch"], json!({}), "").await.unwrap_err();
    assert_eq!((gone.status(), gone.error_type()), (404, "index_not_found_exception"));
    let invalid = json!({"query": {"term": {"seq": "x"}}});
    let tables = names(&["logs"]);
    let answer =
        lake.elastic().validate(&tables, &invalid, &parameters("explain=true")).await.unwrap();
    assert_eq!(
        (&answer["valid"], &answer["explanations"][0]["valid"]),
        (&json!(false), &json!(false))
    );
    let valid = json!({"query": {"term": {"seq": 3}}});
    assert_eq!(lake.elastic().validate(&tables, &valid, &[]).await.unwrap()["valid"], true);
}

#[tokio::test]
async fn a_histogram_over_time_tells_the_total() {
    let lake = Lake::new().await;
    let histogram = json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "30m", "min_doc_count": 1}});
    for (extra, expected) in [
        (json!({}), json!({"value": 60, "relation": "eq"})),
        (json!({"query": {"term": {"level": "error"}}}), json!({"value": 6, "relation": "eq"})),
        (json!({"track_total_hits": 20}), json!({"value": 20, "relation": "gte"})),
        (
            json!({"post_filter": {"term": {"level": "error"}}}),
            json!({"value": 6, "relation": "eq"}),
        ),
        (json!({"track_total_hits": false}), Value::Null),
    ] {
        let mut body = json!({"size": 0, "aggs": {"times": histogram}});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = lake.ask(&["logs"], body, "typed_keys=true").await.unwrap();
        assert_eq!(answer["hits"]["total"], expected, "{extra}");
        assert!(answer["aggregations"].get("date_histogram#times").is_some());
    }
}
