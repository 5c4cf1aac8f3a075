//! Aggregations over answers.

use serde_json::{Value, json};

use super::{answer, each};

fn days(aggs: Value) -> Value {
    json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "1d"}, "aggs": aggs})
}

#[tokio::test]
async fn over_the_buckets_beside() {
    let path = json!({"buckets_path": "days>sum"});
    let answer = answer(json!({
        "days": days(json!({"sum": {"sum": {"field": "duration"}}})),
        "avg": {"avg_bucket": path}, "sum": {"sum_bucket": path},
        "min": {"min_bucket": path}, "max": {"max_bucket": path},
        "stats": {"stats_bucket": {"buckets_path": "days>_count", "gap_policy": "insert_zeros"}},
        "zeros": {"avg_bucket": {"buckets_path": "days>sum", "gap_policy": "insert_zeros"}},
        "p": {"percentiles_bucket": {"buckets_path": "days>sum", "percents": [50]}},
        "ext": {"extended_stats_bucket": path},
    }))
    .await;
    // 30, 120, nothing, 130: the day without rows is left out.
    assert_eq!(answer["avg"], json!({"value": 280.0 / 3.0}));
    assert_eq!(answer["sum"], json!({"value": 280.0}));
    assert_eq!(answer["min"], json!({"value": 30.0, "keys": ["2026-10-24T00:00:00.000Z"]}));
    assert_eq!(answer["max"], json!({"value": 130.0, "keys": ["2026-10-27T00:00:00.000Z"]}));
    assert_eq!(answer["zeros"], json!({"value": 70.0}));
    let stats = json!({"count": 4, "min": 0.0, "max": 4.0, "avg": 2.0, "sum": 8.0});
    assert_eq!(answer["stats"], stats);
    assert_eq!(answer["p"]["values"]["50.0"], json!(120.0));
    assert_eq!(answer["ext"]["sum_of_squares"], json!(900.0 + 14_400.0 + 16_900.0));
}

#[tokio::test]
async fn over_the_buckets_around() {
    let answer = answer(json!({
        "days": days(json!({
            "sum": {"sum": {"field": "duration"}},
            "total": {"cumulative_sum": {"buckets_path": "sum"}},
            "rows": {"cumulative_sum": {"buckets_path": "_count"}},
            "step": {"derivative": {"buckets_path": "sum", "unit": "hour"}},
            "zstep": {"derivative": {"buckets_path": "sum", "gap_policy": "insert_zeros"}},
            "diff": {"serial_diff": {"buckets_path": "_count", "lag": 2}},
            "of_total": {"derivative": {"buckets_path": "total"}},
        })),
        "last": {"max_bucket": {"buckets_path": "days>total"}},
    }))
    .await;
    let days = &answer["days"];
    assert_eq!(each(days, "/total/value"), json!([30.0, 150.0, 150.0, 280.0]));
    assert_eq!(each(days, "/rows/value"), json!([2.0, 6.0, 6.0, 8.0]));
    assert_eq!(each(days, "/step/value"), json!(["none", 90.0, "none", 10.0]));
    assert_eq!(each(days, "/step/normalized_value")[1], json!(90.0 / 24.0));
    assert_eq!(each(days, "/zstep/value"), json!(["none", 90.0, -120.0, 130.0]));
    assert_eq!(each(days, "/diff/value"), json!(["none", "none", -2.0, -2.0]));
    assert_eq!(each(days, "/of_total/value")[1], json!(120.0));
    assert_eq!(answer["last"]["value"], json!(280.0));
}

#[tokio::test]
async fn buckets_are_sorted_and_cut() {
    let by = |sort: Value| json!({"terms": {"field": "service"}, "aggs": {"m": {"max": {"field": "duration"}}, "b": {"bucket_sort": sort}}});
    let answer = answer(json!({
        "best": by(json!({"sort": [{"m": {"order": "desc"}}], "size": 1})),
        "keys": by(json!({"sort": [{"_key": "desc"}]})),
        "cut": by(json!({"from": 1, "size": 1})),
        "over": {"filters": {"filters": {"all": {"match_all": {}}, "none": {"match_none": {}}}},
            "aggs": {"m": {"max": {"field": "duration"}}}},
        "one": {"sum_bucket": {"buckets_path": "over['all']>m"}},
    }))
    .await;
    assert_eq!(each(&answer["best"], "/key"), json!(["web"]));
    assert_eq!(each(&answer["keys"], "/key"), json!(["web", "db", "api"]));
    assert_eq!(each(&answer["cut"], "/key"), json!(["web"]));
    assert_eq!(answer["one"]["value"], json!(70.0));
}
