//! What may stand in the URL of a search. What it means is the crate `elastic`'s; what is in none of
//! these lists is refused, for a parameter that is passed over may have been meant to change the answer.

use axum::http::StatusCode;

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
pub(super) const FORM: [&str; 2] = ["rest_total_hits_as_int", "typed_keys"];

/// Where and how a cluster of shards would search: nothing that changes an answer here.
const MEANS: [&str; 19] = [
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
    "all_shards",
];

/// Of an asynchronous search, which is answered at once.
const ASYNCHRONOUS: [&str; 3] = ["wait_for_completion_timeout", "keep_on_completion", "keep_alive"];

/// # Errors
/// 400 that names a parameter that no search has.
pub(super) fn check_parameters(parameters: &Parameters, path: &str) -> Result<(), Refused> {
    let known = [&INDICES[..], &QUERY, &PARTS, &FORM, &MEANS, &ASYNCHRONOUS].concat();
    parameters.only(path, &known)
}

/// A request that misses something, as Elasticsearch has it.
pub(super) fn not_valid(problem: &str) -> Refused {
    let reason = format!("Validation Failed: 1: {problem};");
    Refused::new(StatusCode::BAD_REQUEST, "action_request_validation_exception", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_search_has_is_refused() {
        let check = |query: &str| {
            let uri = format!("/_search?{query}").parse().unwrap();
            check_parameters(&Parameters::of(&uri), "/_search")
        };
        assert!(check("q=a&size=3&preference=_local&pretty&filter_path=hits").is_ok());
        let refused = check("szie=3").unwrap_err();
        assert_eq!(refused.reason(), "request [/_search] contains unrecognized parameter: [szie]");
    }
}
