//! As Elasticsearch: what its clients ask before, around and after `_bulk`.

use super::*;

async fn call(router: &Router, method: &str, path: &str, body: Value) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
    send(router, request.body(body).unwrap()).await
}

/// A lake with ten records in the table `logs`.
async fn filled() -> Router {
    let router = lake().await;
    let mut body = String::new();
    for n in 0..10 {
        let level = if n % 5 == 0 { "ERROR" } else { "INFO" };
        body += &format!("{{\"create\":{{\"_id\":\"d{n}\"}}}}\n");
        body += &format!(
            "{{\"@timestamp\":\"2026-11-01T00:00:0{n}Z\",\"n\":{n},\"level\":\"{level}\",\"message\":\"line {n}\"}}\n"
        );
    }
    let stored = post(&router, "/logs/_bulk", body).await;
    assert_eq!(stored.json()["errors"], false, "{}", stored.text());
    router
}

#[tokio::test]
async fn everything_that_is_asked_before_is_answered() {
    let router = filled().await;
    for (path, pointer, expected) in [
        ("/_license", "/license/status", json!("active")),
        ("/_xpack", "/features/ilm/available", json!(false)),
        ("/_cluster/health", "/status", json!("green")),
        ("/_cluster/health/logs", "/active_shards", json!(1)),
        ("/_cluster/settings", "/persistent", json!({})),
        ("/_cluster/state/metadata/logs", "/metadata/indices/logs/state", json!("open")),
        ("/_cluster/stats", "/indices/count", json!(1)),
        ("/_nodes/http", "/_nodes/total", json!(1)),
        ("/_nodes/_all/stats", "/_nodes/failed", json!(0)),
        ("/_index_template", "/index_templates", json!([])),
        ("/_data_stream/logs", "/data_streams/0/name", json!("logs")),
        ("/logs/_refresh", "/_shards/failed", json!(0)),
        ("/logs/_alias", "/logs/aliases", json!({})),
        ("/_resolve/index/lo*", "/indices/0/name", json!("logs")),
        ("/logs/_mapping", "/logs/mappings/properties/n/type", json!("long")),
        ("/logs/_mapping/field/n", "/logs/mappings/n/full_name", json!("n")),
        ("/logs/_field_caps?fields=n", "/fields/n/long/aggregatable", json!(true)),
        ("/_cat/count/logs?format=json", "/0/count", json!("10")),
        ("/_cat/indices?format=json", "/0/docs.count", json!("10")),
        ("/logs", "/logs/settings/index/provided_name", json!("logs")),
    ] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        assert_eq!(answer.headers["x-elastic-product"], "Elasticsearch", "{path}");
        assert_eq!(answer.json().pointer(pointer), Some(&expected), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_shippers_set_up_is_acknowledged_or_refused() {
    let router = lake().await;
    let body = || json!({"index_patterns": ["a*"]});
    for (method, path, status) in [
        ("HEAD", "/_index_template/x", 404),
        ("PUT", "/_index_template/x", 200),
        ("HEAD", "/_index_template/x", 404),
        ("PUT", "/_template/x", 200),
        ("GET", "/_template/x", 404),
        ("PUT", "/_component_template/x", 200),
        ("PUT", "/_ilm/policy/x", 200),
        ("GET", "/_ilm/policy/x", 404),
        ("PUT", "/_ingest/pipeline/x", 400),
        ("GET", "/_ingest/pipeline/x", 404),
        ("HEAD", "/shop", 404),
        ("PUT", "/shop", 200),
        ("HEAD", "/shop", 200),
        ("PUT", "/shop", 400),
        ("PUT", "/.hidden", 400),
        ("DELETE", "/shop", 400),
        ("PUT", "/shop/_settings", 200),
        ("PUT", "/nothing/_settings", 404),
        ("PUT", "/_data_stream/stream", 200),
        ("POST", "/_aliases", 400),
        ("POST", "/shop/_update/1", 400),
        ("POST", "/_sql", 400),
        ("GET", "/_nothing", 400),
        ("GET", "/shop/_nothing", 400),
        ("DELETE", "/_search", 405),
    ] {
        let answer =
            call(&router, method, path, if method == "PUT" { body() } else { Value::Null }).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text());
        if method != "HEAD"
            && status >= 400
            && !path.contains("template")
            && !path.contains("pipeline/x")
        {
            assert_eq!(answer.json()["status"], status, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_unknown_index_is_not_found_in_elasticsearchs_words() {
    let router = lake().await;
    for path in ["/no/_search", "/no/_count", "/no", "/no/_mapping", "/no/_doc/1", "/no/_refresh"] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "index_not_found_exception", "{path}: {}", answer.text());
        assert_eq!(error["index"], "no", "{path}");
    }
    let ignored = get(&router, "/no/_count?ignore_unavailable=true").await;
    assert_eq!(ignored.json()["count"], 0, "{}", ignored.text());
}

#[tokio::test]
async fn searches_are_answered_as_they_are_asked() {
    let router = filled().await;
    let body = json!({"query": {"term": {"level": "ERROR"}}, "sort": ["n"], "aggs": {"l": {"terms": {"field": "level"}}}});
    let found = call(&router, "POST", "/logs/_search?typed_keys", body.clone()).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.text());
    let found = found.json();
    assert_eq!(found["hits"]["total"], json!({"value": 2, "relation": "eq"}));
    assert_eq!(found["hits"]["hits"][1]["_source"]["n"], 5);
    assert_eq!(found["aggregations"]["sterms#l"]["buckets"][0]["doc_count"], 2);
    let filtered = get(&router, "/logs/_search?q=level:ERROR&filter_path=hits.total.value").await;
    assert_eq!(filtered.json(), json!({"hits": {"total": {"value": 2}}}));
    let counted = call(&router, "POST", "/logs/_count", json!({"query": body["query"]})).await;
    assert_eq!(counted.json()["count"], 2);
    let at_once = call(&router, "POST", "/logs/_async_search", body).await;
    assert_eq!(at_once.json()["response"]["hits"]["total"]["value"], 2);
    let document = get(&router, "/logs/_doc/d7?_source=n").await;
    assert_eq!(document.json()["_source"], json!({"n": 7}), "{}", document.text());
    let many = call(&router, "POST", "/logs/_mget", json!({"ids": ["d1", "nothing"]})).await;
    assert_eq!(many.json()["docs"][0]["found"], true);
    assert_eq!(many.json()["docs"][1]["found"], false);
    let lines = "{}\n{\"size\":0}\n{\"index\":\"no\"}\n{}\n{}\n{\"query\":{\"nonsense\":{}}}\n";
    let several = post(&router, "/logs/_msearch", lines).await.json();
    let statuses: Vec<_> =
        several["responses"].as_array().unwrap().iter().map(|r| r["status"].clone()).collect();
    assert_eq!(statuses, [json!(200), json!(404), json!(400)]);
    let bad = get(&router, "/logs/_search?szie=3").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_scroll_and_a_point_in_time_lead_through_all_records() {
    let router = filled().await;
    let mut page = call(&router, "POST", "/logs/_search?scroll=1m&size=4", json!({})).await.json();
    let mut seen = 0;
    while let Some(hits) = page["hits"]["hits"].as_array().filter(|hits| !hits.is_empty()) {
        seen += hits.len();
        let next = json!({"scroll": "1m", "scroll_id": page["_scroll_id"]});
        page = call(&router, "POST", "/_search/scroll", next).await.json();
    }
    assert_eq!(seen, 10);
    let opened = call(&router, "POST", "/logs/_pit?keep_alive=1m", Value::Null).await.json();
    let body = json!({"pit": {"id": opened["id"], "keep_alive": "1m"}, "size": 0});
    let found = call(&router, "POST", "/_search", body.clone()).await;
    assert_eq!(found.json()["hits"]["total"]["value"], 10, "{}", found.text());
    let named = call(&router, "POST", "/logs/_search", body).await;
    assert_eq!(named.status, StatusCode::BAD_REQUEST);
    let foreign = json!({"scroll_id": "nonsense"});
    let foreign = call(&router, "POST", "/_search/scroll", foreign).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{}", foreign.text());
}

#[tokio::test]
async fn one_document_in_is_there() {
    let router = lake().await;
    let pretty = "{\n  \"message\": \"a\",\r\n  \"n\": 1\n}";
    let stored = call_raw(&router, "PUT", "/logs/_doc/x", pretty).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.text());
    assert_eq!(stored.json()["result"], "created");
    let source = get(&router, "/logs/_source/x").await;
    // Every record has its time.
    let time = &source.json()["@timestamp"];
    assert_eq!(source.json(), json!({"@timestamp": time, "message": "a", "n": 1}));
    // A line break in a string is no JSON, and what stands behind it is no action.
    let several = "{\"message\": \"b\n{\"create\":{}}\n{\"message\":\"c\"}";
    for document in ["noise", "{\"message\": \"a\nb\"}", several] {
        let refused = call_raw(&router, "POST", "/logs/_doc", document).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{document}");
        assert_eq!(refused.json()["error"]["type"], "document_parsing_exception");
    }
    assert_eq!(get(&router, "/logs/_count").await.json()["count"], 1);
}

async fn call_raw(router: &Router, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    send(router, request.body(body.to_owned().into()).unwrap()).await
}
