//! A search as the URL and the body say it together: what stands in the URL wins. Pure.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::parameters::Parameters;
use super::reply::Refused;

/// What says which indices, and what when one is not there.
const INDICES: [&str; 4] =
    ["ignore_unavailable", "allow_no_indices", "expand_wildcards", "ignore_throttled"];

/// What makes a query of the URL.
const QUERY: [&str; 6] = ["q", "df", "default_operator", "analyzer", "analyze_wildcard", "lenient"];

/// Further parts of a search in the URL.
const PARTS: [&str; 15] = [
    "size",
    "from",
    "sort",
    "_source",
    "_source_includes",
    "_source_excludes",
    "stored_fields",
    "docvalue_fields",
    "track_total_hits",
    "track_scores",
    "timeout",
    "terminate_after",
    "explain",
    "version",
    "seq_no_primary_term",
];

/// The form of the answer.
const FORM: [&str; 2] = ["rest_total_hits_as_int", "typed_keys"];

/// Where and how a cluster of shards would search: nothing that changes an answer here.
const MEANS: [&str; 18] = [
    "preference",
    "routing",
    "request_cache",
    "ccs_minimize_roundtrips",
    "max_concurrent_shard_requests",
    "max_concurrent_searches",
    "batched_reduce_size",
    "pre_filter_shard_size",
    "search_type",
    "allow_partial_search_results",
    "enable_fields_emulation",
    "min_compatible_shard_node",
    "include_named_queries_score",
    "force_synthetic_source",
    "cancel_after_time_interval",
    "phase_took",
    "scroll",
    "rewrite",
];

/// Of an asynchronous search, which is answered at once.
const ASYNCHRONOUS: [&str; 3] = ["wait_for_completion_timeout", "keep_on_completion", "keep_alive"];

/// # Errors
/// 400 that names a parameter that no search has.
pub(super) fn check_parameters(parameters: &Parameters, path: &str) -> Result<(), Refused> {
    let known =
        [&INDICES[..], &QUERY, &PARTS, &FORM, &MEANS, &ASYNCHRONOUS, &["all_shards"]].concat();
    parameters.only(path, &known)
}

/// The body of the search with what the URL says.
///
/// # Errors
/// 400 for a body that is no object, or a parameter that is not of its kind.
pub(super) fn with_parameters(
    body: Option<Value>,
    parameters: &Parameters,
) -> Result<Value, Refused> {
    let mut body = object(body)?;
    if let Some(query) = query(parameters)? {
        body.insert("query".to_owned(), query);
    }
    for name in ["size", "from", "terminate_after"] {
        if let Some(number) = parameters.number(name)? {
            body.insert(name.to_owned(), number.into());
        }
    }
    for name in ["track_scores", "explain", "version", "seq_no_primary_term"] {
        if let Some(flag) = parameters.flag(name)? {
            body.insert(name.to_owned(), flag.into());
        }
    }
    for name in ["stored_fields", "docvalue_fields"] {
        if let Some(fields) = parameters.list(name) {
            body.insert(name.to_owned(), json!(fields));
        }
    }
    if let Some(timeout) = parameters.text("timeout") {
        body.insert("timeout".to_owned(), timeout.into());
    }
    if let Some(total) = parameters.text("track_total_hits") {
        body.insert("track_total_hits".to_owned(), track_total_hits(total)?);
    }
    if let Some(keys) = parameters.list("sort") {
        body.insert("sort".to_owned(), keys.into_iter().map(sort_key).collect());
    }
    if let Some(source) = source(parameters) {
        body.insert("_source".to_owned(), source);
    }
    Ok(Value::Object(body))
}

fn object(body: Option<Value>) -> Result<Map<String, Value>, Refused> {
    match body {
        None => Ok(Map::new()),
        Some(Value::Object(members)) => Ok(members),
        Some(other) => {
            let reason = format!("Expected [START_OBJECT] but found [{other}]");
            Err(Refused::new(StatusCode::BAD_REQUEST, "parsing_exception", reason))
        }
    }
}

/// `q` and what belongs to it.
pub(super) fn query(parameters: &Parameters) -> Result<Option<Value>, Refused> {
    let Some(text) = parameters.text("q") else { return Ok(None) };
    let mut query = Map::from_iter([("query".to_owned(), Value::from(text))]);
    for (parameter, name) in [
        ("df", "default_field"),
        ("default_operator", "default_operator"),
        ("analyzer", "analyzer"),
    ] {
        if let Some(value) = parameters.text(parameter) {
            query.insert(name.to_owned(), value.into());
        }
    }
    for name in ["analyze_wildcard", "lenient"] {
        if let Some(flag) = parameters.flag(name)? {
            query.insert(name.to_owned(), flag.into());
        }
    }
    Ok(Some(json!({"query_string": query})))
}

fn track_total_hits(text: &str) -> Result<Value, Refused> {
    match text {
        "" | "true" => Ok(true.into()),
        "false" => Ok(false.into()),
        number => number.parse::<i64>().map(Value::from).map_err(|_| {
            let reason =
                format!("[track_total_hits] is neither true, false nor a number: [{text}]");
            Refused::argument(reason)
        }),
    }
}

fn sort_key(key: &str) -> Value {
    match key.rsplit_once(':') {
        Some((field, order @ ("asc" | "desc"))) => json!({field: {"order": order}}),
        _ => key.into(),
    }
}

/// `_source` and its companions; `None` when the URL says nothing of them.
pub(super) fn source(parameters: &Parameters) -> Option<Value> {
    let includes = parameters.list("_source_includes");
    let excludes = parameters.list("_source_excludes");
    if includes.is_some() || excludes.is_some() {
        return Some(json!({
            "includes": includes.unwrap_or_default(),
            "excludes": excludes.unwrap_or_default(),
        }));
    }
    match parameters.text("_source")? {
        "" | "true" => Some(true.into()),
        "false" => Some(false.into()),
        _ => Some(json!(parameters.list("_source").unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str, body: Value) -> Value {
        let parameters = Parameters::of(&format!("/_search?{query}").parse().unwrap());
        check_parameters(&parameters, "/_search").unwrap();
        with_parameters(Some(body), &parameters).unwrap()
    }

    #[test]
    fn what_stands_in_the_url_wins() {
        assert_eq!(
            asked(
                "size=3&from=1&sort=@timestamp:desc,level&_source=a,b",
                json!({"size": 10, "query": {}})
            ),
            json!({
                "size": 3, "from": 1, "query": {},
                "sort": [{"@timestamp": {"order": "desc"}}, "level"], "_source": ["a", "b"],
            })
        );
        assert_eq!(
            asked("q=level:ERROR&df=message&default_operator=AND&lenient", json!({})),
            json!({"query": {"query_string": {
                "query": "level:ERROR", "default_field": "message", "default_operator": "AND", "lenient": true,
            }}})
        );
        assert_eq!(
            asked("_source=false&track_total_hits=7", json!({})),
            json!({"_source": false, "track_total_hits": 7})
        );
        assert_eq!(
            asked("_source_excludes=a", json!({"_source": true})),
            json!({"_source": {"includes": [], "excludes": ["a"]}})
        );
    }

    #[test]
    fn what_no_search_has_is_refused() {
        let parameters = Parameters::of(&"/_search?szie=3".parse().unwrap());
        assert!(check_parameters(&parameters, "/_search").is_err());
        let none = Parameters::default();
        assert!(with_parameters(Some(json!([1])), &none).is_err());
        let bad = Parameters::of(&"/_search?size=many".parse().unwrap());
        assert!(with_parameters(None, &bad).is_err());
    }
}
