//! Aggregations in each other's buckets: what their answers are, and how many plans they take.

use serde_json::{Value, json};

use super::{DAY, HOUR, answer, base, counts, each, plans, run};

fn days(aggs: Value) -> Value {
    json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "1d"}, "aggs": aggs})
}

fn services(size: usize, aggs: Value) -> Value {
    json!({"terms": {"field": "service", "size": size}, "aggs": aggs})
}

#[tokio::test]
async fn a_histogram_with_terms_in_its_buckets_is_one_plan() {
    let sum = json!({"s": {"sum": {"field": "duration"}}});
    let aggs = json!({"days": days(json!({"by": services(1, sum.clone()), "all": {"sum": {"field": "duration"}}}))});
    assert_eq!(plans(aggs.clone()).await, 1);
    let answer = answer(aggs).await;
    let days = &answer["days"];
    // A day's own numbers are of all its rows, whether they have a service and which.
    assert_eq!(each(days, "/doc_count"), json!([2, 4, 0, 2]));
    assert_eq!(each(days, "/all/value"), json!([30.0, 120.0, 0.0, 130.0]));
    let by: Vec<Value> = (0..4).map(|day| counts(&days["buckets"][day]["by"])).collect();
    assert_eq!(json!(by), json!([[["api", 2]], [["web", 2]], [], [["web", 1]]]));
    assert_eq!(each(days, "/by/sum_other_doc_count"), json!([0, 2, 0, 0]));
    assert_eq!(each(days, "/by/buckets/0/s/value"), json!([30.0, 70.0, "none", 70.0]));
}

#[tokio::test]
async fn what_is_in_terms_is_of_the_first_terms_alone() {
    let per_day = json!({"days": days(json!({"m": {"max": {"field": "duration"}}}))});
    let aggs = json!({"by": services(2, per_day)});
    assert_eq!(plans(aggs.clone()).await, 2);
    let answer = answer(aggs).await;
    assert_eq!(counts(&answer["by"]), json!([["api", 3], ["web", 3]]));
    let at = |days: i64| DAY + days * 24 * HOUR;
    let api = &answer["by"]["buckets"][0]["days"];
    assert_eq!(counts(api), json!([[at(0), 2], [at(1), 1]]));
    assert_eq!(each(api, "/m/value"), json!([20.0, 50.0]));
    let web = &answer["by"]["buckets"][1]["days"];
    assert_eq!(counts(web), json!([[at(1), 2], [at(2), 0], [at(3), 1]]));
}

#[tokio::test]
async fn three_levels_and_metrics_that_do_not_merge() {
    let median = json!({"p": {"percentiles": {"field": "duration", "percents": [100]}}});
    let aggs = json!({
        "days": days(json!({
            "ok": {"terms": {"field": "ok"}, "aggs": {"by": services(5, median.clone()), "n": {"value_count": {"field": "status"}}}},
            "p": median["p"],
        })),
        "worst": {"max": {"field": "duration"}},
    });
    let answer = answer(aggs).await;
    assert_eq!(answer["worst"]["value"], json!(70.0));
    let second = &answer["days"]["buckets"][1];
    assert_eq!(second["p"]["values"]["100.0"], json!(50.0));
    assert_eq!(each(&second["ok"], "/key_as_string"), json!(["true", "false"]));
    assert_eq!(each(&second["ok"], "/n/value"), json!([3, 1]));
    let oks = &second["ok"]["buckets"][0]["by"];
    assert_eq!(counts(oks), json!([["api", 1], ["db", 1], ["web", 1]]));
    assert_eq!(each(oks, "/p/values/100.0"), json!([50.0, null, 30.0]));
}

#[tokio::test]
async fn rows_in_several_buckets_are_in_what_is_below_each() {
    let aggs = json!({
        "slow": {"range": {"field": "duration", "ranges": [{"to": 40}, {"from": 20, "to": 60}]}, "aggs": {
            "by": services(5, json!({"one": {"filter": {"match_all": {}}, "aggs": {"m": {"min": {"field": "duration"}}}}})),
        }},
    });
    let answer = answer(aggs).await;
    let buckets = &answer["slow"]["buckets"];
    assert_eq!(counts(&answer["slow"]), json!([["*-40.0", 3], ["20.0-60.0", 4]]));
    assert_eq!(counts(&buckets[0]["by"]), json!([["api", 2], ["web", 1]]));
    assert_eq!(counts(&buckets[1]["by"]), json!([["api", 2], ["web", 2]]));
    assert_eq!(each(&buckets[1]["by"], "/one/m/value"), json!([20.0, 30.0]));
    assert_eq!(each(&buckets[1]["by"], "/one/doc_count"), json!([2, 2]));
}

#[tokio::test]
async fn metrics_of_all_rows_come_with_the_histogram() {
    let aggs = json!({
        "last": {"max": {"field": "@timestamp"}},
        "days": days(json!({"m": {"avg": {"field": "duration"}}})),
    });
    assert_eq!(plans(aggs.clone()).await, 1);
    let answer = answer(aggs).await;
    assert_eq!(answer["last"]["value_as_string"], "2026-10-27T12:10:00.000Z");
    assert_eq!(each(&answer["days"], "/m/value"), json!([15.0, 40.0, null, 65.0]));
}

/// Whichever way a tree is cut into plans, each bucket has what a query for it alone would say.
#[tokio::test]
async fn a_bucket_has_what_a_query_for_it_alone_says() {
    use crate::fields::col;
    use datafusion::logical_expr::{LogicalPlanBuilder, lit};
    let inner = json!({
        "codes": {"terms": {"field": "status", "size": 1}, "aggs": {"s": {"stats": {"field": "duration"}}}},
        "h": {"histogram": {"field": "duration", "interval": 20}, "aggs": {"by": {"terms": {"field": "ok"}}}},
        "n": {"cardinality": {"field": "status"}},
    });
    let outer = answer(json!({"by": services(10, inner.clone())})).await;
    for (at, name) in ["api", "web", "db"].into_iter().enumerate() {
        let rows = LogicalPlanBuilder::from(base()).filter(col("service").eq(lit(name))).unwrap();
        let rows = rows.build().unwrap();
        let (alone, _) = run(rows.clone(), rows, &inner, (false, 1_000)).await.unwrap();
        let mut bucket = outer["by"]["buckets"][at].clone();
        for key in ["key", "doc_count"] {
            bucket.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(bucket, alone, "{name}");
    }
}
