//! What a front door answers when it cannot do what was asked, before it is put into a protocol.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use loglake_ingest::IngestError;
use loglake_model::{ErrorKind, InvalidName};
use loglake_query::QueryError;
use serde_json::{Map, Value, json};
use tonic::Status;

use crate::codes;

/// A refused or failed call: its kind, its facts and, for SQL, the place of the mistake.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[error("{message}")]
pub(crate) struct Failure {
    kind: ErrorKind,
    message: String,
    /// Line and column, from 1, of a mistake in the SQL.
    position: Option<(u64, u64)>,
    /// Where HTTP has a finer code than the kind's.
    status: Option<StatusCode>,
    /// Further members of the answer, beside `error`.
    beside: Map<String, Value>,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message, position: None, status: None, beside: Map::new() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The same with another HTTP status than the kind's (413, 415, …).
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// The same with members beside `error` in the JSON answer: what was stored before it failed.
    pub(crate) fn beside(mut self, members: Map<String, Value>) -> Self {
        self.beside = members;
        self
    }

    pub(crate) const fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| codes::http_status(self.kind))
    }

    /// `{"error":{"kind":…,"message":…,"line":…,"column":…}}`, with what stands beside it.
    pub(crate) fn json(&self) -> Value {
        let mut error = json!({"kind": codes::kind_name(self.kind), "message": self.message});
        if let Some((line, column)) = self.position {
            error["line"] = line.into();
            error["column"] = column.into();
        }
        let mut answer = self.beside.clone();
        answer.insert("error".to_owned(), error);
        Value::Object(answer)
    }

    /// Elasticsearch's form: `{"error":{"type","reason","root_cause"},"status":…}`.
    pub(crate) fn elasticsearch_json(&self) -> Value {
        let cause = json!({"type": codes::elasticsearch_type(self.kind), "reason": self.message});
        let mut error = cause.clone();
        error["root_cause"] = json!([cause]);
        json!({"error": error, "status": self.status().as_u16()})
    }

    /// Sets `Retry-After` where a later call may help.
    pub(crate) fn retry_after(&self, response: &mut Response) {
        if let Some(seconds) = codes::retry_after_seconds(self.kind) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.json())).into_response();
        self.retry_after(&mut response);
        response
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let place =
            failure.position.map(|(line, column)| format!(" (line {line}, column {column})"));
        let message = failure.message + place.as_deref().unwrap_or_default();
        Self::new(codes::grpc_code(failure.kind), message)
    }
}

impl From<IngestError> for Failure {
    fn from(error: IngestError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let mut failure = Self::new(error.kind(), error.to_string());
        failure.position = error.position();
        failure
    }
}

impl From<InvalidName> for Failure {
    fn from(error: InvalidName) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_its_kind_place_and_what_stands_beside_it() {
        let mut failure = Failure::invalid("no column nam");
        failure.position = Some((2, 8));
        let beside = Map::from_iter([("stored".to_owned(), json!(7))]);
        assert_eq!(
            failure.clone().beside(beside).json(),
            json!({"stored": 7, "error": {"kind": "invalid", "message": "no column nam", "line": 2, "column": 8}})
        );
        assert_eq!(Status::from(failure).message(), "no column nam (line 2, column 8)");
    }

    #[test]
    fn back_pressure_names_when_to_come_back() {
        let response = Failure::new(ErrorKind::Overloaded, "full").into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let response = Failure::invalid("no").into_response();
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn elasticsearch_reads_type_reason_and_status() {
        let failure = Failure::new(ErrorKind::Overloaded, "the buffer is full");
        let json = failure.elasticsearch_json();
        assert_eq!(json["error"]["type"], "es_rejected_execution_exception");
        assert_eq!(json["error"]["root_cause"][0]["reason"], "the buffer is full");
        assert_eq!(json["status"], 429);
    }
}
