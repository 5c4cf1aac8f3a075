//! Histograms, ranges, filters: which rows are in which bucket, and how buckets are called.

use serde_json::json;

use super::{DAY, HOUR, answer, counts, each, refusal};

#[tokio::test]
async fn days_of_utc_and_those_between() {
    let answer = answer(json!({
        "days": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d"}},
        "only": {"date_histogram": {"field": "timestamp", "calendar_interval": "day", "min_doc_count": 1}},
        "busy": {"date_histogram": {
            "field": "@timestamp", "calendar_interval": "day", "order": {"_count": "desc"}}},
    }))
    .await;
    let at = |days: i64| DAY + days * 24 * HOUR;
    assert_eq!(counts(&answer["days"]), json!([[at(0), 2], [at(1), 4], [at(2), 0], [at(3), 2]]));
    assert_eq!(counts(&answer["only"]), json!([[at(0), 2], [at(1), 4], [at(3), 2]]));
    assert_eq!(counts(&answer["busy"]), json!([[at(1), 4], [at(0), 2], [at(3), 2], [at(2), 0]]));
    assert_eq!(
        answer["days"]["buckets"][2],
        json!({
        "key": at(2), "key_as_string": "2026-10-26T00:00:00.000Z", "doc_count": 0})
    );
}

#[tokio::test]
async fn days_and_hours_where_a_clock_is_put_back() {
    let answer = answer(json!({
        "days": {"date_histogram": {
            "field": "@timestamp", "calendar_interval": "1d", "time_zone": "Europe/Berlin",
            "format": "yyyy-MM-dd", "keyed": true}},
        "hours": {"date_histogram": {
            "field": "@timestamp", "calendar_interval": "1h", "time_zone": "Europe/Berlin",
            "min_doc_count": 1}},
    }))
    .await;
    let days = answer["days"]["buckets"].as_object().unwrap();
    // The 25th has 25 hours there.
    for (name, hours, count) in
        [("2026-10-24", -2, 1), ("2026-10-25", 22, 4), ("2026-10-26", 47, 1), ("2026-10-27", 71, 2)]
    {
        let wanted = json!({"key": DAY + hours * HOUR, "key_as_string": name, "doc_count": count});
        assert_eq!(days[name], wanted);
    }
    assert_eq!(days.len(), 4);
    let hours = &answer["hours"]["buckets"];
    assert_eq!(hours[2]["key_as_string"], "2026-10-25T02:00:00.000+02:00");
    assert_eq!(hours[3]["key_as_string"], "2026-10-25T02:00:00.000+01:00");
    assert_eq!(
        (hours[2]["doc_count"].as_i64(), hours[3]["doc_count"].as_i64()),
        (Some(1), Some(1))
    );
}

#[tokio::test]
async fn weeks_months_offsets_and_bounds() {
    let answer = answer(json!({
        "weeks": {"date_histogram": {"field": "@timestamp", "calendar_interval": "week"}},
        "months": {"date_histogram": {"field": "@timestamp", "calendar_interval": "1M", "format": "yyyy-MM"}},
        "shifted": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d", "offset": "+12h"}},
        "wide": {"date_histogram": {
            "field": "@timestamp", "fixed_interval": "1d",
            "extended_bounds": {"min": "2026-10-23", "max": "now"}}},
        "narrow": {"date_histogram": {
            "field": "@timestamp", "fixed_interval": "1d",
            "hard_bounds": {"min": "2026-10-25", "max": DAY + 48 * HOUR}}},
    }))
    .await;
    let at = |hours: i64| DAY + hours * HOUR;
    assert_eq!(counts(&answer["weeks"]), json!([[at(-5 * 24), 6], [at(2 * 24), 2]]));
    assert_eq!(each(&answer["months"], "/key_as_string"), json!(["2026-10"]));
    assert_eq!(
        counts(&answer["shifted"]),
        json!([[at(12), 5], [at(36), 1], [at(60), 0], [at(84), 2]])
    );
    let wide = counts(&answer["wide"]);
    assert_eq!(wide[0], json!([at(-24), 0]));
    assert_eq!(wide.as_array().unwrap().len(), 7, "{wide}");
    assert_eq!(counts(&answer["narrow"]), json!([[at(24), 4]]));
}

#[tokio::test]
async fn histograms_of_numbers() {
    let answer = answer(json!({
        "h": {"histogram": {"field": "duration", "interval": 20}},
        "moved": {"histogram": {"field": "duration", "interval": 50, "offset": 10, "keyed": true}},
        "with": {"histogram": {
            "field": "duration", "interval": 50, "missing": 200, "min_doc_count": 1, "format": "0.0 ms"}},
        "wide": {"histogram": {
            "field": "duration", "interval": 50, "extended_bounds": {"min": -60, "max": 120}}},
    }))
    .await;
    assert_eq!(counts(&answer["h"]), json!([[0.0, 1], [20.0, 2], [40.0, 2], [60.0, 2]]));
    assert_eq!(
        answer["moved"]["buckets"],
        json!({
        "10.0": {"key": 10.0, "doc_count": 5}, "60.0": {"key": 60.0, "doc_count": 2}})
    );
    assert_eq!(counts(&answer["with"]), json!([[0.0, 4], [50.0, 3], [200.0, 1]]));
    assert_eq!(each(&answer["with"], "/key_as_string"), json!(["0.0 ms", "50.0 ms", "200.0 ms"]));
    assert_eq!(
        counts(&answer["wide"]),
        json!([[-100.0, 0], [-50.0, 0], [0.0, 4], [50.0, 3], [100.0, 0]])
    );
}

#[tokio::test]
async fn ranges_that_overlap_and_such_that_do_not() {
    let answer = answer(json!({
        "apart": {"range": {"field": "duration", "ranges": [{"from": 50}, {"to": 20}, {"from": 20, "to": 50, "key": "mid"}]}},
        "over": {"range": {"field": "duration", "keyed": true, "ranges": [{"to": 40}, {"from": 20}]},
            "aggs": {"s": {"sum": {"field": "duration"}}}},
        "dates": {"date_range": {
            "field": "@timestamp", "format": "yyyy-MM-dd",
            "ranges": [{"to": "2026-10-25"}, {"from": "2026-10-25", "to": "2026-10-25||+1d"}]}},
    }))
    .await;
    assert_eq!(
        answer["apart"]["buckets"],
        json!([
            {"key": "*-20.0", "to": 20.0, "doc_count": 1},
            {"key": "mid", "from": 20.0, "to": 50.0, "doc_count": 3},
            {"key": "50.0-*", "from": 50.0, "doc_count": 3},
        ])
    );
    assert_eq!(
        answer["over"]["buckets"],
        json!({
            "*-40.0": {"to": 40.0, "doc_count": 3, "s": {"value": 60.0}},
            "20.0-*": {"from": 20.0, "doc_count": 6, "s": {"value": 270.0}},
        })
    );
    let dates = &answer["dates"]["buckets"];
    assert_eq!(each(&answer["dates"], "/key"), json!(["*-2026-10-25", "2026-10-25-2026-10-26"]));
    assert_eq!(each(&answer["dates"], "/doc_count"), json!([2, 4]));
    assert_eq!(dates[1]["from"], json!((DAY + 24 * HOUR) as f64));
    assert_eq!(dates[1]["to_as_string"], "2026-10-26");
}

#[tokio::test]
async fn filters_and_missing() {
    let answer = answer(json!({
        "all": {"filter": {"match_all": {}}, "aggs": {"m": {"max": {"field": "duration"}}}},
        "none": {"filter": {"match_none": {}}, "aggs": {
            "m": {"max": {"field": "duration"}}, "t": {"terms": {"field": "service"}}}},
        "both": {"filters": {"other_bucket": true, "filters": {"all": {"match_all": {}}, "none": {"match_none": {}}}}},
        "list": {"filters": {"filters": [{"match_none": {}}, {"match_all": {}}]}},
        "lost": {"missing": {"field": "service"}, "aggs": {"m": {"max": {"field": "duration"}}}},
    }))
    .await;
    assert_eq!(answer["all"], json!({"doc_count": 8, "m": {"value": 70.0}}));
    assert_eq!(answer["none"]["doc_count"], 0);
    assert_eq!(answer["none"]["m"], json!({"value": null}));
    assert_eq!(answer["none"]["t"]["buckets"], json!([]));
    assert_eq!(
        answer["both"]["buckets"],
        json!({
        "all": {"doc_count": 8}, "none": {"doc_count": 0}, "_other_": {"doc_count": 0}})
    );
    assert_eq!(answer["list"]["buckets"], json!([{"doc_count": 0}, {"doc_count": 8}]));
    assert_eq!(answer["lost"], json!({"doc_count": 1, "m": {"value": 60.0}}));
}

#[tokio::test]
async fn too_many_buckets_are_refused() {
    for aggs in [
        json!({"m": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}}}),
        json!({"h": {"histogram": {"field": "duration", "interval": 0.001}}}),
        json!({"h": {"histogram": {"field": "duration", "interval": 10}, "aggs": {
            "again": {"histogram": {"field": "duration", "interval": 1}},
            "by": {"terms": {"field": "service"}},
            "codes": {"terms": {"field": "status"}}}}}),
    ] {
        let error = refusal(aggs.clone()).await;
        assert_eq!(error.error_type(), "too_many_buckets_exception", "{aggs}: {error}");
    }
}
