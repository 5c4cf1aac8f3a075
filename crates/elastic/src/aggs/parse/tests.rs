//! What is refused, and how.

use serde_json::{Value, json};

use super::*;

fn refusal(body: Value) -> (String, String) {
    let error = parse(&body).unwrap_err();
    assert_eq!(error.status(), 400, "{error}");
    (error.error_type().to_owned(), error.to_string())
}

#[test]
fn what_is_no_aggregation_is_refused_as_elasticsearch_does() {
    for (body, error_type, reason) in [
        (
            json!([]),
            "parsing_exception",
            "Expected [START_OBJECT] under [aggs], but got a [START_ARRAY]",
        ),
        (json!({"a": {}}), "parsing_exception", "Missing definition for aggregation [a]"),
        (json!({"a": 1}), "parsing_exception", "starts with a [VALUE_NUMBER]"),
        (
            json!({"a>b": {"avg": {"field": "x"}}}),
            "parsing_exception",
            "Invalid aggregation name [a>b]",
        ),
        (json!({"a": {"nosuch": {}}}), "parsing_exception", "Unknown aggregation type [nosuch]"),
        (
            json!({"a": {"avg": {"field": "x"}, "max": {"field": "x"}}}),
            "parsing_exception",
            "Found two aggregation type definitions in [a]: [avg] and [max]",
        ),
        (
            json!({"a": {"terms": {"field": "x"}, "aggs": {}, "aggregations": {}}}),
            "parsing_exception",
            "Found two sub aggregation definitions under [a]",
        ),
        (
            json!({"a": {"avg": {"field": "x"}, "aggs": {"b": {"avg": {"field": "y"}}}}}),
            "aggregation_initialization_exception",
            "Aggregator [a] of type [avg] cannot accept sub-aggregations",
        ),
        (
            json!({"a": {"terms": {"field": "x", "sizes": 5}}}),
            "x_content_parse_exception",
            "[terms] unknown field [sizes]",
        ),
        (
            json!({"a": {"terms": {"field": "x", "size": "many"}}}),
            "x_content_parse_exception",
            "[terms] failed to parse field [size]",
        ),
        (
            json!({"a": {"terms": {"field": "x", "size": 0}}}),
            "illegal_argument_exception",
            "[size] must be greater than 0. Found [0] in [a]",
        ),
        (
            json!({"a": {"terms": {}}}),
            "illegal_argument_exception",
            "Required one of fields [field, script]",
        ),
        (
            json!({"a": {"terms": {"field": "x", "order": {"m": "asc"}}}}),
            "aggregation_execution_exception",
            "Invalid aggregation order path [m]",
        ),
        (
            json!({"a": {"terms": {"field": "x", "order": {"_count": "up"}}}}),
            "parsing_exception",
            "Unknown order direction [up]",
        ),
        (
            json!({"a": {"date_histogram": {"field": "x"}}}),
            "illegal_argument_exception",
            "Invalid interval specified, must be non-null and non-empty",
        ),
        (
            json!({"a": {"date_histogram": {"field": "x", "calendar_interval": "2d"}}}),
            "illegal_argument_exception",
            "The supplied interval [2d] could not be parsed as a calendar interval.",
        ),
        (
            json!({"a": {"date_histogram": {"field": "x", "fixed_interval": "1M"}}}),
            "illegal_argument_exception",
            "fixed_interval",
        ),
        (
            json!({"a": {"histogram": {"field": "x", "interval": 0}}}),
            "illegal_argument_exception",
            "[interval] must be >0",
        ),
        (
            json!({"a": {"range": {"field": "x"}}}),
            "illegal_argument_exception",
            "No [ranges] specified for the [a] aggregation",
        ),
        (
            json!({"a": {"percentiles": {"field": "x", "percents": [101]}}}),
            "illegal_argument_exception",
            "percent must be in [0,100], got [101.0]",
        ),
        (
            json!({"a": {"terms": {"field": "x"}, "aggs": {"c": {"composite": {"sources": [
                {"s": {"terms": {"field": "y"}}}]}}}}}),
            "illegal_argument_exception",
            "[composite] aggregation cannot be used with a parentAggregation of type: [terms]",
        ),
        (
            json!({"a": {"terms": {"field": "x"}, "aggs": {"g": {"global": {}}}}}),
            "aggregation_execution_exception",
            "Global aggregations can only be defined as top level aggregations",
        ),
    ] {
        let (found_type, found) = refusal(body.clone());
        assert_eq!(found_type, error_type, "{body}: {found}");
        assert!(found.contains(reason), "{body}: {found}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    for (body, named) in [
        (json!({"a": {"significant_terms": {"field": "x"}}}), "[significant_terms]"),
        (json!({"a": {"scripted_metric": {}}}), "[scripted_metric]"),
        (json!({"a": {"geohash_grid": {"field": "x"}}}), "[geohash_grid]"),
        (json!({"a": {"avg": {"script": "1"}}}), "script"),
        (json!({"a": {"moving_fn": {"buckets_path": "x", "window": 3, "script": "y"}}}), "scripts"),
        (json!({"a": {"bucket_script": {}}}), "scripts"),
        (json!({"a": {"bucket_selector": {}}}), "scripts"),
        (
            json!({"a": {"terms": {"field": "x", "min_doc_count": 0, "order": {"_count": "asc"}}}}),
            "min_doc_count",
        ),
        (
            json!({"a": {"terms": {"field": "x", "include": {"partition": 0, "num_partitions": 9}}}}),
            "partition",
        ),
    ] {
        let (_, reason) = refusal(body.clone());
        assert!(reason.contains("loglake does not support"), "{reason}");
        assert!(reason.contains(named), "{body}: {reason}");
    }
}

#[test]
fn pipelines_are_where_their_buckets_are() {
    let hour = json!({"field": "@timestamp", "fixed_interval": "1h"});
    for (body, reason) in [
        (
            json!({"d": {"derivative": {"buckets_path": "_count"}}}),
            "must be in the buckets of a histogram",
        ),
        (
            json!({"t": {"terms": {"field": "x"}, "aggs": {"c": {"cumulative_sum": {"buckets_path": "_count"}}}}}),
            "must be in the buckets of a histogram",
        ),
        (
            json!({"h": {"date_histogram": hour, "aggs": {"d": {"derivative": {"buckets_path": "nosuch"}}}}}),
            "No aggregation found for path [nosuch]",
        ),
        (
            json!({"s": {"sum_bucket": {"buckets_path": "h>m"}}}),
            "No aggregation found for path [h]",
        ),
        (
            json!({"m": {"avg": {"field": "x"}}, "s": {"sum_bucket": {"buckets_path": "m"}}}),
            "must be a multi-bucket aggregation",
        ),
        (json!({"s": {"sum_bucket": {}}}), "Missing required field [buckets_path]"),
        (
            json!({"t": {"terms": {"field": "x"}, "aggs": {"b": {"bucket_sort": {}}}}}),
            "configured to perform nothing",
        ),
    ] {
        let (_, found) = refusal(body.clone());
        assert!(found.contains(reason), "{body}: {found}");
    }
}

#[test]
fn nesting_has_an_end() {
    let mut body = json!({"field": "x"});
    body = json!({"a": {"avg": body}});
    for _ in 0..20 {
        body = json!({"a": {"terms": {"field": "x"}, "aggs": body}});
    }
    assert!(refusal(body).1.contains("16 deep"));
}

#[test]
fn what_kibana_sends_is_understood() {
    parse(&json!({
        "0": {
            "date_histogram": {
                "field": "@timestamp", "calendar_interval": "1d", "time_zone": "Europe/Berlin",
                "extended_bounds": {"min": 1793534400000_i64, "max": 1793620800000_i64},
                "min_doc_count": 0, "order": {"_key": "asc"}
            },
            "aggs": {
                "1": {
                    "terms": {
                        "field": "service.keyword", "order": {"2.95": "desc"}, "size": 5,
                        "shard_size": 25, "show_term_doc_count_error": true
                    },
                    "aggs": {"2": {"percentiles": {"field": "duration_ms", "percents": [95], "hdr": {}}}}
                },
                "3": {"cumulative_sum": {"buckets_path": "_count", "gap_policy": "skip"}}
            },
            "meta": {"type": "split"}
        },
        "4": {"max_bucket": {"buckets_path": "0>_count"}}
    }))
    .unwrap();
}
