//! An answer before it is bytes, and how it becomes them: `filter_path`, `pretty`, the media type that
//! the client asked for. Handlers say what; [`render`] says how.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use loglake_elastic::ElasticError;
use serde_json::{Map, Value, json};

use super::filter_path::FilterPath;
use super::parameters::Parameters;
use super::{PRODUCT, media_type};
use crate::codes;
use crate::failure::Failure;

/// What a route answers. It travels in the extensions of an empty response until [`render`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Body,
    retry_after: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Json(Value),
    /// Of `_cat`.
    Text(String),
    /// Of HEAD.
    Nothing,
}

pub(super) type Answered = Result<Reply, Refused>;

/// A refusal in Elasticsearch's form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    status: StatusCode,
    /// `error`: an object, or, where Elasticsearch has it so, a text.
    error: Value,
    retry_after: Option<u64>,
}

impl Reply {
    pub(super) const fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body: Body::Json(body), retry_after: None }
    }

    pub(super) const fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    pub(super) const fn text(text: String) -> Self {
        Self { status: StatusCode::OK, body: Body::Text(text), retry_after: None }
    }

    /// The answer of HEAD.
    pub(super) const fn there(there: bool) -> Self {
        let status = if there { StatusCode::OK } else { StatusCode::NOT_FOUND };
        Self { status, body: Body::Nothing, retry_after: None }
    }

    pub(super) fn acknowledged() -> Self {
        Self::ok(json!({"acknowledged": true}))
    }
}

impl Refused {
    pub(super) fn new(status: StatusCode, kind: &str, reason: impl Into<String>) -> Self {
        Self::with(status, kind, reason, Map::new())
    }

    /// The same with members beside type and reason.
    pub(super) fn with(
        status: StatusCode,
        kind: &str,
        reason: impl Into<String>,
        more: Map<String, Value>,
    ) -> Self {
        let mut cause = json!({"type": kind, "reason": reason.into()});
        if let Some(cause) = cause.as_object_mut() {
            cause.extend(more);
        }
        let mut error = cause.clone();
        error["root_cause"] = json!([cause]);
        Self { status, error, retry_after: None }
    }

    /// A parameter or a name that cannot be used.
    pub(super) fn argument(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "illegal_argument_exception", reason)
    }

    /// What loglake does not do; the reason says what to do in its place.
    pub(super) fn unsupported(reason: impl Into<String>) -> Self {
        Self::argument(reason)
    }

    pub(super) fn no_such_index(index: &str) -> Self {
        let more = json!({
            "resource.type": "index_or_alias",
            "resource.id": index,
            "index_uuid": "_na_",
            "index": index,
        });
        let more = more.as_object().cloned().unwrap_or_default();
        let reason = format!("no such index [{index}]");
        Self::with(StatusCode::NOT_FOUND, "index_not_found_exception", reason, more)
    }

    /// Elasticsearch answers some mistakes with a text alone.
    pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, error: Value::String(text.into()), retry_after: None }
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) const fn error(&self) -> &Value {
        &self.error
    }

    #[cfg(test)]
    pub(super) fn reason(&self) -> &str {
        self.error["reason"].as_str().unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        json!({"error": self.error, "status": self.status.as_u16()})
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let mut json = failure.elasticsearch_json();
        Self {
            status: failure.status(),
            error: json["error"].take(),
            retry_after: codes::retry_after_seconds(failure.kind()),
        }
    }
}

impl From<ElasticError> for Refused {
    fn from(error: ElasticError) -> Self {
        // What a query fails with has its status in the one table of kinds.
        if let ElasticError::Query(error) = error {
            return Failure::from(error).into();
        }
        let status = StatusCode::from_u16(error.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = error.body();
        let retry_after = codes::retry_after_seconds(error.kind());
        Self { status, error: body["error"].take(), retry_after }
    }
}

impl From<Refused> for Reply {
    fn from(refused: Refused) -> Self {
        let body = Body::Json(refused.json());
        Self { status: refused.status, body, retry_after: refused.retry_after }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        Reply::from(self).into_response()
    }
}

/// Turns the reply of a route into bytes for this client.
pub(super) async fn render(request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let parameters = Parameters::of(request.uri());
    let head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Reply>() {
        Some(reply) => rendered(reply, &headers, &parameters, head),
        None => response,
    }
}

fn rendered(reply: Reply, headers: &HeaderMap, parameters: &Parameters, head: bool) -> Response {
    let (kind, bytes) = match reply.body {
        Body::Json(body) => {
            let body = match parameters.text("filter_path") {
                Some(paths) if reply.status.is_success() => FilterPath::parse(paths).apply(body),
                _ => body,
            };
            let pretty = matches!(parameters.text("pretty"), Some("" | "true"));
            (media_type(headers), json_bytes(&body, pretty))
        }
        Body::Text(text) => {
            (HeaderValue::from_static("text/plain; charset=UTF-8"), text.into_bytes())
        }
        Body::Nothing => (media_type(headers), vec![]),
    };
    let bytes = if head { vec![] } else { bytes };
    let mut response =
        (reply.status, [PRODUCT, (header::CONTENT_TYPE, kind)], bytes).into_response();
    if let Some(seconds) = reply.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A JSON value is always written: it has no keys but texts.
fn json_bytes(body: &Value, pretty: bool) -> Vec<u8> {
    if pretty { format!("{body:#}\n").into_bytes() } else { body.to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_index_is_told_as_elasticsearch_tells_it() {
        let json = Refused::no_such_index("shop").json();
        assert_eq!(json["status"], 404);
        assert_eq!(json["error"]["type"], "index_not_found_exception");
        assert_eq!(json["error"]["reason"], "no such index [shop]");
        assert_eq!(json["error"]["root_cause"][0]["resource.id"], "shop");
    }

    #[test]
    fn back_pressure_keeps_its_status() {
        let refused = Refused::from(Failure::new(loglake_model::ErrorKind::Overloaded, "full"));
        assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(1)));
        assert_eq!(refused.error["type"], "es_rejected_execution_exception");
    }
}
