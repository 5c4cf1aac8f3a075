//! The one place where a kind of error becomes a code of a protocol.

use axum::http::StatusCode;
use loglake_model::ErrorKind;
use tonic::Code;

use crate::kafka::Code as KafkaCode;

/// Every kind there is, for tables that must be complete.
#[cfg(test)]
pub(crate) const ALL_KINDS: [ErrorKind; 9] = [
    ErrorKind::Retry,
    ErrorKind::Overloaded,
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::NotAllowed,
    ErrorKind::TimedOut,
    ErrorKind::Fenced,
    ErrorKind::Corrupt,
    ErrorKind::Internal,
];

/// The word for a kind in answers (`error.kind`).
pub(crate) const fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Retry => "retry",
        ErrorKind::Overloaded => "overloaded",
        ErrorKind::Invalid => "invalid",
        ErrorKind::NotFound => "not_found",
        ErrorKind::NotAllowed => "not_allowed",
        ErrorKind::TimedOut => "timed_out",
        ErrorKind::Fenced => "fenced",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Internal => "internal",
    }
}

/// RFC 9110 status codes; 429 is RFC 6585.
pub(crate) const fn http_status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Retry | ErrorKind::Fenced => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::NotAllowed => StatusCode::FORBIDDEN,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Seconds for `Retry-After`, for the kinds that a later call may cure.
pub(crate) const fn retry_after_seconds(kind: ErrorKind) -> Option<u64> {
    match kind {
        ErrorKind::Retry | ErrorKind::Overloaded | ErrorKind::Fenced => Some(1),
        _ => None,
    }
}

/// gRPC codes, by the meanings in gRPC's `statuscodes.md`: `UNAVAILABLE` and `RESOURCE_EXHAUSTED`
/// are the ones that clients retry.
pub(crate) const fn grpc_code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Retry | ErrorKind::Fenced => Code::Unavailable,
        ErrorKind::Overloaded => Code::ResourceExhausted,
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::NotAllowed => Code::PermissionDenied,
        ErrorKind::TimedOut => Code::DeadlineExceeded,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

/// `error.type` of Elasticsearch's answers. Its shippers retry by status, so the type only names.
pub(crate) const fn elasticsearch_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Retry | ErrorKind::Fenced => "unavailable_shards_exception",
        ErrorKind::Overloaded => "es_rejected_execution_exception",
        ErrorKind::Invalid => "illegal_argument_exception",
        ErrorKind::NotFound => "index_not_found_exception",
        ErrorKind::NotAllowed => "security_exception",
        ErrorKind::TimedOut => "timeout_exception",
        ErrorKind::Corrupt => "corrupt_index_exception",
        ErrorKind::Internal => "exception",
    }
}

/// Kafka's codes. Producers send again after the two of replicas: the first says that nothing was stored,
/// the second that it may have been.
pub(crate) const fn kafka_code(kind: ErrorKind) -> KafkaCode {
    match kind {
        ErrorKind::Retry | ErrorKind::Overloaded => KafkaCode::NotEnoughReplicas,
        ErrorKind::Fenced => KafkaCode::NotEnoughReplicasAfterAppend,
        ErrorKind::Invalid => KafkaCode::InvalidRecord,
        ErrorKind::NotFound => KafkaCode::UnknownTopicOrPartition,
        ErrorKind::NotAllowed => KafkaCode::TopicAuthorizationFailed,
        ErrorKind::TimedOut => KafkaCode::RequestTimedOut,
        ErrorKind::Corrupt | ErrorKind::Internal => KafkaCode::UnknownServerError,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_its_codes() {
        let table: Vec<_> = ALL_KINDS
            .into_iter()
            .map(|kind| {
                let status = http_status(kind).as_u16();
                (kind_name(kind), status, retry_after_seconds(kind), grpc_code(kind))
            })
            .collect();
        assert_eq!(
            table,
            [
                ("retry", 503, Some(1), Code::Unavailable),
                ("overloaded", 429, Some(1), Code::ResourceExhausted),
                ("invalid", 400, None, Code::InvalidArgument),
                ("not_found", 404, None, Code::NotFound),
                ("not_allowed", 403, None, Code::PermissionDenied),
                ("timed_out", 504, None, Code::DeadlineExceeded),
                ("fenced", 503, Some(1), Code::Unavailable),
                ("corrupt", 500, None, Code::DataLoss),
                ("internal", 500, None, Code::Internal),
            ]
        );
        let names: HashSet<_> = ALL_KINDS.into_iter().map(kind_name).collect();
        assert_eq!(names.len(), ALL_KINDS.len());
    }

    #[test]
    fn elasticsearch_types_are_snake_case_exceptions() {
        for kind in ALL_KINDS {
            let name = elasticsearch_type(kind);
            assert!(name.ends_with("exception"), "{kind:?}: {name}");
        }
        assert_eq!(elasticsearch_type(ErrorKind::Overloaded), "es_rejected_execution_exception");
    }
}
