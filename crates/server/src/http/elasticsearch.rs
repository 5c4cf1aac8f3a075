//! The parts of Elasticsearch's HTTP manners that its clients insist on: the product header and the
//! media type of the answer (Elasticsearch reference, "REST API compatibility").

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::failure::Failure;

/// Clients since 7.14 refuse servers whose answers lack it.
const PRODUCT: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-elastic-product"), HeaderValue::from_static("Elasticsearch"));

/// The version that is spoken. Clients of 8 and 9 take it.
pub(super) const VERSION: &str = "9.0.0";

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
