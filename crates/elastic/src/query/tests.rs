//! How bodies of queries are read, and what is refused.

use serde_json::json;

use super::*;

fn error(body: Value) -> String {
    match parse(&body) {
        Ok(query) => panic!("{body} is {query:?}"),
        Err(error) => format!("{}: {error}", error.error_type()),
    }
}

#[test]
fn short_and_long_forms_are_the_same() {
    for (short, long) in [
        (json!({"match": {"a": "x"}}), json!({"match": {"a": {"query": "x"}}})),
        (json!({"term": {"a": 1}}), json!({"term": {"a": {"value": 1}}})),
        (json!({"prefix": {"a": "x"}}), json!({"prefix": {"a": {"value": "x"}}})),
        (json!({"wildcard": {"a": "x*"}}), json!({"wildcard": {"a": {"wildcard": "x*"}}})),
        (
            json!({"fuzzy": {"a": "x"}}),
            json!({"fuzzy": {"a": {"value": "x", "fuzziness": "AUTO"}}}),
        ),
        (
            json!({"bool": {"must": {"match_all": {}}}}),
            json!({"bool": {"must": [{"match_all": {}}]}}),
        ),
        (
            json!({"range": {"a": {"gte": 1, "lt": 2}}}),
            json!({"range": {"a": {"from": 1, "to": 2, "include_upper": false}}}),
        ),
    ] {
        assert_eq!(parse(&short).unwrap(), parse(&long).unwrap(), "{short}");
    }
}

#[test]
fn mistakes_are_said_as_elasticsearch_says_them() {
    for (body, expected) in [
        (
            json!({"match": {"a": {"query": "x", "b": 1}}}),
            "parsing_exception: [match] query does not support [b]",
        ),
        (
            json!({"match": {"a": "x", "b": "y"}}),
            "parsing_exception: [match] query doesn't support multiple fields, found [a] and [b]",
        ),
        (json!({"nosuch": {}}), "parsing_exception: unknown query [nosuch]"),
        (json!({}), "illegal_argument_exception: query malformed, empty clause found"),
        (json!([]), "parsing_exception: [_na] query malformed, must start with start_object"),
        (
            json!({"match_all": {}, "match_none": {}}),
            "parsing_exception: [match_all] malformed query, expected [END_OBJECT] but found [FIELD_NAME]",
        ),
        (
            json!({"bool": {"nosuch": []}}),
            "parsing_exception: [bool] query does not support [nosuch]",
        ),
        (json!({"exists": {}}), "parsing_exception: [exists] must be provided with a [field]"),
        (
            json!({"terms": {"a": 1}}),
            "parsing_exception: [terms] query requires an array of values for [a]",
        ),
        (json!({"term": {"a": null}}), "illegal_argument_exception: value cannot be null"),
        (
            json!({"constant_score": {}}),
            "parsing_exception: [constant_score] query requires a 'filter' element",
        ),
        (
            json!({"geo_shape": {}}),
            "illegal_argument_exception: loglake does not support the query [geo_shape]",
        ),
        (
            json!({"match_phrase": {"a": {"query": "x y", "slop": 2}}}),
            "illegal_argument_exception: loglake does not support phrases with [slop] 2, only 0",
        ),
    ] {
        assert_eq!(error(body.clone()), expected, "{body}");
    }
    let mut deep = json!({"match_all": {}});
    for _ in 0..40 {
        deep = json!({"bool": {"must": deep}});
    }
    assert!(error(deep).contains("nested depth"));
}

#[test]
fn a_bool_needs_one_of_its_shoulds_unless_something_else_is_needed() {
    let needed = |body: Value| match parse(&json!({ "bool": body })).unwrap() {
        Query::Bool(query) => query.needed(),
        other => panic!("{other:?}"),
    };
    let all = json!({"match_all": {}});
    assert_eq!(needed(json!({"should": [all, all]})), 1);
    assert_eq!(needed(json!({"should": [all], "filter": all})), 0);
    assert_eq!(needed(json!({"should": [all, all], "must": all, "minimum_should_match": "-1"})), 1);
    assert_eq!(needed(json!({"should": [all], "minimum_should_match": "-1"})), 1);
    assert_eq!(needed(json!({})), 0);
}
