//! What this process is and how it does.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use loglake_model::ErrorKind;
use serde_json::{Value, json};

use super::elasticsearch;
use crate::doors::OpenDoors;
use crate::failure::Failure;

/// The process lives.
pub(super) async fn health() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

/// The process takes calls: 503 while it starts and once it stops.
pub(super) async fn ready(State(doors): State<OpenDoors>) -> Response {
    if !doors.readiness.is_ready() {
        return Failure::new(ErrorKind::Retry, "starting or stopping").into_response();
    }
    let roles = json!({"ingest": doors.ingester().is_ok(), "query": doors.engine().is_ok()});
    Json(json!({"status": "ready", "roles": roles})).into_response()
}

/// Counters in the OpenMetrics text format.
pub(super) async fn metrics(State(doors): State<OpenDoors>) -> Result<Response, Failure> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &doors.registry)
        .map_err(|e| Failure::new(ErrorKind::Internal, format!("metrics: {e}")))?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

/// Everything acknowledged before becomes files of the tables.
pub(super) async fn flush(State(doors): State<OpenDoors>) -> Result<Json<Value>, Failure> {
    doors.ingester()?.flush().await?;
    Ok(Json(json!({"flushed": true})))
}

pub(super) async fn no_such_route(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if elasticsearch::is_path(path) {
        let text = format!("no handler found for uri [{path}] and method [{method}]");
        return elasticsearch::no_handler(&headers, StatusCode::BAD_REQUEST, &text);
    }
    Failure::new(ErrorKind::NotFound, format!("no route {method} {path}")).into_response()
}

pub(super) async fn no_such_method(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let (path, status) = (uri.path(), StatusCode::METHOD_NOT_ALLOWED);
    if elasticsearch::is_path(path) {
        let text = format!("Incorrect HTTP method for uri [{path}] and method [{method}]");
        return elasticsearch::no_handler(&headers, status, &text);
    }
    Failure::invalid(format!("{path} does not take {method}")).with_status(status).into_response()
}
