//! As Elasticsearch: its HTTP API, as far as shippers and clients need it before, around and after
//! `_bulk` (docs/protocols/elasticsearch.md).
//!
//! | module | |
//! |---|---|
//! | [`routes`] | which path is answered by what |
//! | [`cluster`], [`setup`] | what is asked before records are sent |
//! | [`indices`], [`mapping`], [`cat`] | tables as indices |
//! | [`search`], [`multi`], [`scroll`], [`documents`] | questions about records |
//! | [`ask`] | a search body on its way to the query engine and back |
//! | [`reply`], [`filter_path`] | answers, and how they are rendered for a client |
//!
//! Its clients insist on the product header and the media type of the answer (Elasticsearch reference,
//! "REST API compatibility"): [`answer`].

mod ask;
mod body;
mod cat;
mod cluster;
mod documents;
mod filter_path;
mod indices;
mod lake;
mod mapping;
mod multi;
mod parameters;
mod paths;
mod question;
mod reply;
mod routes;
mod scroll;
mod search;
mod setup;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::failure::Failure;

pub(super) use routes::routes;

/// Clients since 7.14 refuse servers whose answers lack it.
const PRODUCT: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-elastic-product"), HeaderValue::from_static("Elasticsearch"));

/// The version that is spoken. Clients of 8 and 9 take it.
const VERSION: &str = "9.0.0";

/// What the cluster and its one node are called.
const CLUSTER: &str = "loglake";

/// Ids in Elasticsearch's form. Every lake has the same: no client compares those of two clusters.
const CLUSTER_ID: &str = "bG9nbGFrZS1jbHVzdGVyMA";
const NODE_ID: &str = "bG9nbGFrZS1ub2RlLTAwMA";

/// Whether a route is of this protocol, so that refusals are in its form.
pub(super) fn is_route(route: &str) -> bool {
    route == "/" || route.starts_with("/_") || route.starts_with("/{index}")
}

/// Whether a path is of this protocol, also one that nothing answers.
pub(super) fn is_path(path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let mut begins = || parts.next().is_some_and(|part| part.starts_with('_'));
    begins() || begins()
}

/// Nothing answers the path, or not this method: Elasticsearch says both with a text alone.
pub(super) fn no_handler(headers: &HeaderMap, status: StatusCode, text: &str) -> Response {
    answer(headers, status, &serde_json::json!({"error": text, "status": status.as_u16()}))
}

/// An answer with the product header, in the media type that the client asked for.
pub(super) fn answer(headers: &HeaderMap, status: StatusCode, body: &impl Serialize) -> Response {
    let (status, bytes) = match serde_json::to_vec(body) {
        Ok(bytes) => (status, bytes),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, vec![]),
    };
    (status, [PRODUCT, (header::CONTENT_TYPE, media_type(headers))], bytes).into_response()
}

/// A whole request that failed.
pub(super) fn failed(headers: &HeaderMap, failure: &Failure) -> Response {
    let mut response = answer(headers, failure.status(), &failure.elasticsearch_json());
    failure.retry_after(&mut response);
    response
}

/// `application/vnd.elasticsearch+json;compatible-with=8` when the client speaks so, else
/// `application/json`.
fn media_type(headers: &HeaderMap) -> HeaderValue {
    let asked = headers.get(header::ACCEPT).or_else(|| headers.get(header::CONTENT_TYPE));
    let asked = asked.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let version = asked
        .strip_prefix("application/vnd.elasticsearch+")
        .and_then(|rest| rest.split_once("compatible-with=")?.1.chars().next());
    HeaderValue::from_static(match version {
        Some('7') => "application/vnd.elasticsearch+json;compatible-with=7",
        Some('8') => "application/vnd.elasticsearch+json;compatible-with=8",
        Some('9') => "application/vnd.elasticsearch+json;compatible-with=9",
        _ => "application/json",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_is_mirrored() {
        for (accept, expected) in [
            ("application/json", "application/json"),
            ("*/*", "application/json"),
            (
                "application/vnd.elasticsearch+json; compatible-with=9",
                "application/vnd.elasticsearch+json;compatible-with=9",
            ),
            (
                "application/vnd.elasticsearch+x-ndjson;compatible-with=8",
                "application/vnd.elasticsearch+json;compatible-with=8",
            ),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            let response = answer(&headers, StatusCode::OK, &1);
            assert_eq!(response.headers()[header::CONTENT_TYPE], expected);
            assert_eq!(response.headers()["x-elastic-product"], "Elasticsearch");
        }
    }
}
