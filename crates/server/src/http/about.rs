//! What this process is and how it does.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use loglake_model::ErrorKind;
use serde_json::{Value, json};

use super::elasticsearch::{self, VERSION};
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

/// Name and version, in the form that Elasticsearch's clients look for.
pub(super) async fn root(headers: HeaderMap) -> Response {
    let body = json!({
        "name": "loglake",
        "cluster_name": "loglake",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "loglake": env!("CARGO_PKG_VERSION"),
        },
    });
    elasticsearch::answer(&headers, StatusCode::OK, &body)
}

/// Shippers ask before they send.
pub(super) async fn license(headers: HeaderMap) -> Response {
    let body = json!({"license": {"status": "active", "type": "basic"}});
    elasticsearch::answer(&headers, StatusCode::OK, &body)
}

/// Shippers ask before they send.
pub(super) async fn cluster_health(State(doors): State<OpenDoors>, headers: HeaderMap) -> Response {
    let status = if doors.readiness.is_ready() { "green" } else { "red" };
    let body = json!({"cluster_name": "loglake", "status": status, "timed_out": false});
    elasticsearch::answer(&headers, StatusCode::OK, &body)
}

pub(super) async fn no_such_route(method: Method, uri: Uri) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("no route {method} {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Failure {
    Failure::invalid(format!("{} does not take {method}", uri.path()))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}
