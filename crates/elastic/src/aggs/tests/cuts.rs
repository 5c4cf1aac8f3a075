//! Aggregations that answer some of many buckets: terms, pages of composite; and top hits.

use serde_json::json;

use super::{DAY, HOUR, answer, base, counts, each, run};

#[tokio::test]
async fn the_first_terms_by_count_then_by_key() {
    let answer = answer(json!({
        "all": {"terms": {"field": "service.keyword"}},
        "two": {"terms": {"field": "service", "size": 1}},
        "named": {"terms": {"field": "service", "missing": "none", "order": {"_key": "desc"}}},
        "rare": {"terms": {"field": "service", "order": [{"_count": "asc"}, {"_key": "desc"}]}},
        "often": {"terms": {"field": "service", "min_doc_count": 2, "size": 1}},
        "only": {"terms": {"field": "service", "include": ["db", "web"], "size": 1}},
        "but": {"terms": {"field": "service", "exclude": "w.*|d"}},
    }))
    .await;
    assert_eq!(
        answer["all"],
        json!({
        "doc_count_error_upper_bound": 0, "sum_other_doc_count": 0,
        "buckets": [
            {"key": "api", "doc_count": 3}, {"key": "web", "doc_count": 3}, {"key": "db", "doc_count": 1},
        ]})
    );
    assert_eq!(counts(&answer["two"]), json!([["api", 3]]));
    assert_eq!(answer["two"]["sum_other_doc_count"], 4);
    assert_eq!(counts(&answer["named"]), json!([["web", 3], ["none", 1], ["db", 1], ["api", 3]]));
    assert_eq!(counts(&answer["rare"]), json!([["db", 1], ["web", 3], ["api", 3]]));
    assert_eq!(counts(&answer["often"]), json!([["api", 3]]));
    assert_eq!(answer["often"]["sum_other_doc_count"], 3);
    assert_eq!(counts(&answer["only"]), json!([["web", 3]]));
    assert_eq!(answer["only"]["sum_other_doc_count"], 1);
    assert_eq!(counts(&answer["but"]), json!([["api", 3], ["db", 1]]));
}

/// What is counted over the terms and what is over all rows are the same, where no row is without.
#[tokio::test]
async fn terms_that_are_never_missing_beside_a_sum_of_all() {
    let answer = answer(json!({
        "named": {
            "terms": {"field": "service", "missing": "none"},
            "aggs": {"n": {"value_count": {"field": "@timestamp"}}},
        },
        "all": {"value_count": {"field": "@timestamp"}},
    }))
    .await;
    assert_eq!(counts(&answer["named"]), json!([["api", 3], ["web", 3], ["db", 1], ["none", 1]]));
    assert_eq!(answer["named"]["buckets"][3]["n"]["value"], 1);
    assert_eq!(answer["all"]["value"], 8);
}

#[tokio::test]
async fn terms_of_numbers_flags_and_times() {
    let answer = answer(json!({
        "codes": {"terms": {"field": "status"}},
        "slow": {"terms": {"field": "duration", "size": 2}},
        "oks": {"terms": {"field": "ok"}},
        "times": {"terms": {"field": "@timestamp", "size": 1}},
        "both": {"multi_terms": {"terms": [{"field": "service"}, {"field": "status"}], "size": 2}},
    }))
    .await;
    assert_eq!(counts(&answer["codes"]), json!([[200, 5], [500, 2], [404, 1]]));
    assert_eq!(counts(&answer["slow"]), json!([[10.0, 1], [20.0, 1]]));
    assert_eq!(
        answer["oks"]["buckets"],
        json!([
            {"key": 1, "key_as_string": "true", "doc_count": 4},
            {"key": 0, "key_as_string": "false", "doc_count": 3},
        ])
    );
    assert_eq!(
        answer["times"]["buckets"],
        json!([
        {"key": DAY + 21 * HOUR + HOUR / 2, "key_as_string": "2026-10-24T21:30:00.000Z", "doc_count": 1}])
    );
    assert_eq!(
        answer["both"]["buckets"],
        json!([
            {"key": ["api", 200], "key_as_string": "api|200", "doc_count": 2},
            {"key": ["api", 500], "key_as_string": "api|500", "doc_count": 1},
        ])
    );
    assert_eq!(answer["both"]["sum_other_doc_count"], 4);
}

#[tokio::test]
async fn terms_of_other_rows_are_empty_buckets() {
    use crate::fields::col;
    use datafusion::logical_expr::{LogicalPlanBuilder, lit};
    let web = LogicalPlanBuilder::from(base()).filter(col("service").eq(lit("web"))).unwrap();
    let aggs = json!({
        "all": {"terms": {"field": "service", "min_doc_count": 0}},
        "last": {"terms": {"field": "service", "min_doc_count": 0, "size": 2, "order": {"_key": "desc"}}},
        "first": {"terms": {"field": "service", "min_doc_count": 0, "size": 1}},
        "codes": {"terms": {"field": "status"}, "aggs": {
            "by": {"terms": {"field": "service", "min_doc_count": 0, "size": 2}}}},
    });
    let (answer, _) = run(web.build().unwrap(), base(), &aggs, (false, 100)).await.unwrap();
    assert_eq!(counts(&answer["all"]), json!([["web", 3], ["api", 0], ["db", 0]]));
    assert_eq!(counts(&answer["last"]), json!([["web", 3], ["db", 0]]));
    assert_eq!(counts(&answer["first"]), json!([["web", 3]]));
    let by = counts(&answer["codes"]["buckets"][0]["by"]);
    assert_eq!(by, json!([["web", 1], ["api", 0]]));
}

#[tokio::test]
async fn terms_by_their_metrics() {
    let order = |by: &str, direction: &str| {
        json!({"terms": {"field": "service", "order": {by: direction}},
            "aggs": {
                "avg": {"avg": {"field": "duration"}}, "st": {"stats": {"field": "duration"}},
                "p": {"percentiles": {"field": "duration", "percents": [100]}},
                "n": {"cardinality": {"field": "status"}}}})
    };
    let answer = answer(json!({
        "avg": order("avg", "desc"),
        "max": order("st.max", "asc"),
        "p": order("p.100", "desc"),
        "n": order("n", "desc"),
    }))
    .await;
    // The average of db is none, which is last either way.
    assert_eq!(each(&answer["avg"], "/key"), json!(["web", "api", "db"]));
    assert_eq!(each(&answer["max"], "/key"), json!(["api", "web", "db"]));
    assert_eq!(each(&answer["p"], "/key"), json!(["web", "api", "db"]));
    assert_eq!(each(&answer["n"], "/n/value"), json!([3, 2, 1]));
    assert_eq!(each(&answer["max"], "/st/max"), json!([50.0, 70.0, null]));
}

#[tokio::test]
async fn composite_is_read_page_by_page() {
    let aggs = |after: serde_json::Value| {
        let mut composite = json!({"size": 2, "sources": [
            {"day": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d", "order": "desc"}}},
            {"svc": {"terms": {"field": "service", "missing_bucket": true}}},
        ]});
        if !after.is_null() {
            composite["after"] = after;
        }
        json!({"c": {"composite": composite, "aggs": {"m": {"max": {"field": "duration"}}}}})
    };
    let (mut after, mut seen) = (json!(null), vec![]);
    loop {
        let page = answer(aggs(after)).await;
        let buckets = page["c"]["buckets"].as_array().unwrap().clone();
        seen.extend(buckets.iter().map(|bucket| {
            json!([
                bucket["key"]["day"],
                bucket["key"]["svc"],
                bucket["doc_count"],
                bucket["m"]["value"]
            ])
        }));
        after = page["c"].get("after_key").cloned().unwrap_or_default();
        if after.is_null() {
            break;
        }
    }
    let at = |days: i64| DAY + days * 24 * HOUR;
    assert_eq!(
        json!(seen),
        json!([
            [at(3), null, 1, 60.0],
            [at(3), "web", 1, 70.0],
            [at(1), "api", 1, 50.0],
            [at(1), "db", 1, null],
            [at(1), "web", 2, 40.0],
            [at(0), "api", 2, 20.0],
        ])
    );
}

#[tokio::test]
async fn composite_of_numbers_and_formatted_days() {
    let answer = answer(json!({
        "c": {"composite": {"sources": [
            {"slow": {"histogram": {"field": "duration", "interval": 50}}},
            {"day": {"date_histogram": {"field": "@timestamp", "calendar_interval": "1d", "format": "yyyy-MM-dd"}}},
        ], "after": {"slow": 0.0, "day": "2026-10-24"}}},
    }))
    .await;
    assert_eq!(
        counts(&answer["c"]),
        json!([
            [{"slow": 0.0, "day": "2026-10-25"}, 2],
            [{"slow": 50.0, "day": "2026-10-25"}, 1],
            [{"slow": 50.0, "day": "2026-10-27"}, 2],
        ])
    );
}

#[tokio::test]
async fn top_hits_count_the_rows_of_their_bucket() {
    let answer = answer(json!({
        "newest": {"top_hits": {"size": 1}},
        "by": {"terms": {"field": "service"}, "aggs": {"newest": {"top_hits": {"size": 1}}}},
    }))
    .await;
    assert_eq!(answer["newest"]["hits"]["total"], json!({"value": 8, "relation": "eq"}));
    assert_eq!(each(&answer["by"], "/newest/hits/total/value"), json!([3, 3, 1]));
}
