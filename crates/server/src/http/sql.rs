//! `/api/v1/sql`: a query in, its rows out as they come.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use datafusion::scalar::ScalarValue;
use loglake_query::{PartialAnswer, QueryRequest};
use serde::Deserialize;
use serde_json::Value;

use super::formats::Format;
use super::guard::Place;
use super::results;
use crate::doors::OpenDoors;
use crate::failure::Failure;
use crate::metrics::QueryDoor;

/// A query may be this long, its parameters included.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Names the running query, as the view `lake.queries` does.
const QUERY_ID: HeaderName = HeaderName::from_static("x-loglake-query-id");

/// What a partial answer leaves out; absent when nothing is missing.
const MISSING: HeaderName = HeaderName::from_static("x-loglake-missing");

/// Things that are named in [`MISSING`].
const MISSING_MAX: usize = 20;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlRequest {
    sql: String,
    /// Values of `$1`, `$2`, ….
    #[serde(default)]
    parameters: Vec<Value>,
    timeout_ms: Option<u64>,
    #[serde(default)]
    shape: Shape,
    /// Whether an answer without what cannot be read is wanted: the header `x-loglake-missing` says
    /// what that is.
    #[serde(default)]
    allow_partial: bool,
}

/// What a line of the answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    /// The columns of the query.
    #[default]
    Row,
    /// The record as it was sent.
    Record,
}

/// `GET /api/v1/sql?query=…`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GetParameters {
    query: String,
    timeout_ms: Option<u64>,
    #[serde(default)]
    shape: Shape,
    #[serde(default)]
    allow_partial: bool,
}

pub(super) async fn get(
    State(doors): State<OpenDoors>,
    Extension(place): Extension<Place>,
    headers: HeaderMap,
    parameters: Result<Query<GetParameters>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Failure> {
    let Query(get) = parameters.map_err(|e| Failure::invalid(e.body_text()))?;
    let request = SqlRequest {
        sql: get.query,
        parameters: vec![],
        timeout_ms: get.timeout_ms,
        shape: get.shape,
        allow_partial: get.allow_partial,
    };
    answer(&doors, place, &headers, request).await
}

pub(super) async fn post(
    State(doors): State<OpenDoors>,
    Extension(place): Extension<Place>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let request = read(&doors, &parts.headers, body).await?;
    answer(&doors, place, &parts.headers, request).await
}

async fn read(doors: &OpenDoors, headers: &HeaderMap, body: Body) -> Result<SqlRequest, Failure> {
    let body = tokio::time::timeout(doors.settings.idle_max, to_bytes(body, REQUEST_BYTES_MAX));
    let body = body.await.map_err(|_| {
        Failure::invalid("the query did not arrive in time")
            .with_status(StatusCode::REQUEST_TIMEOUT)
    })?;
    let body = body.map_err(|e| {
        Failure::invalid(format!("a query has at most {REQUEST_BYTES_MAX} bytes: {e}"))
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    })?;
    parse(headers, &body)
}

/// JSON when the body says or looks so, else SQL: no statement begins with `{`.
fn parse(headers: &HeaderMap, body: &[u8]) -> Result<SqlRequest, Failure> {
    let media_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_json = media_type.starts_with(b"application/json");
    if is_json || body.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(body)
            .map_err(|e| Failure::invalid(format!("the request is not as documented: {e}")));
    }
    match std::str::from_utf8(body) {
        Ok(sql) if !sql.trim().is_empty() => {
            Ok(SqlRequest { sql: sql.to_owned(), ..SqlRequest::default() })
        }
        Ok(_) => Err(Failure::invalid("the request has no SQL")),
        Err(e) => Err(Failure::invalid(format!("the SQL is not UTF-8: {e}"))),
    }
}

async fn answer(
    doors: &OpenDoors,
    place: Place,
    headers: &HeaderMap,
    request: SqlRequest,
) -> Result<Response, Failure> {
    let format = Format::accepted(headers)?;
    if request.shape == Shape::Record && format != Format::Ndjson {
        return Err(Failure::invalid("records are given back as application/x-ndjson alone"));
    }
    let query = QueryRequest {
        tenant: doors.tenant.clone(),
        sql: request.sql,
        parameters: scalars(&request.parameters)?,
        timeout: request.timeout_ms.map(Duration::from_millis),
    };
    let engine = doors.engine()?;
    let answer = match request.allow_partial {
        true => engine.run_partial(query).await.map(PartialAnswer::into_parts),
        false => engine.run(query).await.map(|answer| (answer, vec![])),
    };
    doors.metrics.query(QueryDoor::Http, answer.is_ok());
    let (answer, missing) = answer?;
    let encoder = match request.shape {
        Shape::Row => format.encoder(&answer.schema)?,
        Shape::Record => results::records(&answer.schema)?,
    };
    let id = HeaderValue::from_str(&answer.id).unwrap_or(HeaderValue::from_static("unknown"));
    let head =
        [(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())), (QUERY_ID, id)];
    let mut response = (head, results::body(answer.stream, encoder, place)).into_response();
    if let Some(missing) = missing_header(&missing) {
        response.headers_mut().insert(MISSING, missing);
    }
    Ok(response)
}

/// What an answer leaves out, as a JSON array in ASCII; `None` when it is whole.
fn missing_header(missing: &[String]) -> Option<HeaderValue> {
    if missing.is_empty() {
        return None;
    }
    let mut shown: Vec<Value> =
        missing.iter().take(MISSING_MAX).map(|what| what.as_str().into()).collect();
    if let more @ 1.. = missing.len().saturating_sub(MISSING_MAX) {
        shown.push(format!("and {more} more").into());
    }
    let text: String = Value::Array(shown)
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect();
    HeaderValue::from_str(&text).ok()
}

/// JSON values as parameters. The planner gives them the types that the query needs.
fn scalars(parameters: &[Value]) -> Result<Vec<ScalarValue>, Failure> {
    parameters.iter().enumerate().map(|(at, value)| scalar(at + 1, value)).collect()
}

fn scalar(number: usize, value: &Value) -> Result<ScalarValue, Failure> {
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
        Value::String(value) => ScalarValue::Utf8(Some(value.clone())),
        Value::Number(value) => match (value.as_i64(), value.as_u64()) {
            (Some(int), _) => ScalarValue::Int64(Some(int)),
            (None, Some(int)) => ScalarValue::UInt64(Some(int)),
            (None, None) => ScalarValue::Float64(value.as_f64()),
        },
        Value::Array(_) | Value::Object(_) => {
            let message =
                format!("parameter {number} is neither text, number, truth value nor null");
            return Err(Failure::invalid(message));
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(media_type: &str, body: &str) -> Result<SqlRequest, Failure> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media_type.parse().unwrap())]);
        parse(&headers, body.as_bytes())
    }

    #[test]
    fn sql_comes_as_json_or_as_itself() {
        let plain = SqlRequest { sql: "select 1".to_owned(), ..SqlRequest::default() };
        assert_eq!(parsed("text/plain", "select 1"), Ok(plain));
        // What `curl -d` says of any body.
        let form = "application/x-www-form-urlencoded";
        assert_eq!(parsed(form, "select 1").unwrap().sql, "select 1");
        let body = r#" {"sql":"select $1","parameters":[1],"timeout_ms":5,"shape":"record"}"#;
        let full = parsed(form, body).unwrap();
        assert_eq!((full.timeout_ms, full.shape), (Some(5), Shape::Record));
        for (media_type, body) in [
            ("application/json", "select 1"),
            ("application/json", r#"{"sql":"select 1","tiemout_ms":5}"#),
            ("application/json", r#"{"query":"select 1"}"#),
            ("text/plain", "  "),
            ("text/plain", r#"{"sql":"x","shape":"tree"}"#),
        ] {
            assert!(parsed(media_type, body).is_err(), "{media_type} {body}");
        }
    }

    #[test]
    fn parameters_keep_their_types() {
        let values = [json!(null), json!(true), json!("x"), json!(-1), json!(u64::MAX), json!(0.5)];
        assert_eq!(
            scalars(&values).unwrap(),
            [
                ScalarValue::Null,
                ScalarValue::Boolean(Some(true)),
                ScalarValue::Utf8(Some("x".to_owned())),
                ScalarValue::Int64(Some(-1)),
                ScalarValue::UInt64(Some(u64::MAX)),
                ScalarValue::Float64(Some(0.5)),
            ]
        );
        let refused = scalars(&[json!(1), json!([])]).unwrap_err().to_string();
        assert!(refused.starts_with("parameter 2 "), "{refused}");
    }
}
