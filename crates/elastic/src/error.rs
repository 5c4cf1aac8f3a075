//! Errors as Elasticsearch has them: a status, a type and a reason.

use loglake_model::ErrorKind;
use loglake_query::QueryError;
use serde_json::{Value, json};

/// What is wrong with a request, or what a query over the lake failed with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ElasticError {
    /// `kind` decides the status, `error_type` is Elasticsearch's name for it
    /// (`parsing_exception`).
    #[error("{reason}")]
    Request { kind: ErrorKind, error_type: &'static str, reason: String },
    #[error("{0}")]
    Query(#[from] QueryError),
}

impl ElasticError {
    fn invalid(error_type: &'static str, reason: impl Into<String>) -> Self {
        Self::Request { kind: ErrorKind::Invalid, error_type, reason: reason.into() }
    }

    /// The request has another form than the one it must have: an unknown key, a wrong type.
    pub fn parsing(reason: impl Into<String>) -> Self {
        Self::invalid("parsing_exception", reason)
    }

    /// The same in a part that is parsed by its fields (aggregations, `from`, `sort`).
    pub fn x_content(reason: impl Into<String>) -> Self {
        Self::invalid("x_content_parse_exception", reason)
    }

    pub fn illegal_argument(reason: impl Into<String>) -> Self {
        Self::invalid("illegal_argument_exception", reason)
    }

    /// A value of another type than its field, a date that is none.
    pub fn parse(reason: impl Into<String>) -> Self {
        Self::invalid("parse_exception", reason)
    }

    /// A query that cannot be made over its fields (`query_shard_exception`).
    pub fn query_shard(reason: impl Into<String>) -> Self {
        Self::invalid("query_shard_exception", reason)
    }

    /// Elasticsearch has it and loglake does not: the reason names it.
    pub fn unsupported(what: impl AsRef<str>) -> Self {
        Self::illegal_argument(format!("loglake does not support {}", what.as_ref()))
    }

    pub fn too_many_buckets(buckets_max: usize) -> Self {
        Self::invalid(
            "too_many_buckets_exception",
            format!(
                "Trying to create too many buckets. Must be less than or equal to: \
                 [{buckets_max}]. Ask for fewer: a longer interval, a smaller size or time range."
            ),
        )
    }

    pub fn index_not_found(index: &str) -> Self {
        Self::Request {
            kind: ErrorKind::NotFound,
            error_type: "index_not_found_exception",
            reason: format!("no such index [{index}]"),
        }
    }

    pub fn invalid_index_name(index: &str) -> Self {
        Self::Request {
            kind: ErrorKind::Invalid,
            error_type: "invalid_index_name_exception",
            reason: format!("Invalid index name [{index}], must not start with '_'."),
        }
    }

    /// A scroll or a point in time that is none of loglake's or has run out.
    pub fn context_missing(reason: impl Into<String>) -> Self {
        Self::Request {
            kind: ErrorKind::NotFound,
            error_type: "search_context_missing_exception",
            reason: reason.into(),
        }
    }

    /// Rows that are not as they were written.
    pub(crate) fn corrupt(reason: impl Into<String>) -> Self {
        let (kind, error_type) = (ErrorKind::Corrupt, "search_phase_execution_exception");
        Self::Request { kind, error_type, reason: reason.into() }
    }

    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Request { kind, .. } => *kind,
            Self::Query(error) => error.kind(),
        }
    }

    /// Elasticsearch's name for it.
    pub const fn error_type(&self) -> &'static str {
        match self {
            Self::Request { error_type, .. } => error_type,
            Self::Query(error) => match error.kind() {
                ErrorKind::Overloaded => "es_rejected_execution_exception",
                ErrorKind::NotFound => "resource_not_found_exception",
                ErrorKind::NotAllowed => "security_exception",
                ErrorKind::TimedOut => "timeout_exception",
                ErrorKind::Invalid => "illegal_argument_exception",
                _ => "search_phase_execution_exception",
            },
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self.kind() {
            ErrorKind::Invalid => 400,
            ErrorKind::NotAllowed => 403,
            ErrorKind::NotFound => 404,
            ErrorKind::Overloaded => 429,
            ErrorKind::TimedOut => 504,
            ErrorKind::Retry => 503,
            _ => 500,
        }
    }

    /// The body of the answer; also an item of `_msearch`.
    pub fn body(&self) -> Value {
        let cause = json!({ "type": self.error_type(), "reason": self.to_string() });
        let mut error = cause.clone();
        error["root_cause"] = json!([cause]);
        json!({ "error": error, "status": self.status() })
    }
}

impl From<datafusion::error::DataFusionError> for ElasticError {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::Query(error.into())
    }
}

impl From<arrow::error::ArrowError> for ElasticError {
    fn from(error: arrow::error::ArrowError) -> Self {
        datafusion::error::DataFusionError::from(error).into()
    }
}
