//! Errors of queries: what the caller must do, and for a mistake in the SQL its place in the text.

use std::error::Error;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use loglake_format::FormatError;
use loglake_model::{ErrorKind, WriterId};
use loglake_table::TableError;
use loglake_wal::WalError;

/// Line and column of a place in a query's text, both from 1.
type Position = (u64, u64);

/// An error of a query; for a mistake in the SQL with its place in the text.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The query itself is wrong.
    #[error("{message}")]
    Sql { kind: ErrorKind, message: String, position: Option<(u64, u64)> },
    #[error("{what} is not allowed: SQL here only reads (SELECT, SHOW, DESCRIBE, EXPLAIN)")]
    ReadOnly { what: String },
    #[error("the query ran longer than its {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// Something the snapshot needs moved on: the query starts again on a newer version, and when
    /// rows went out already its caller does.
    #[error("the lake moved on below the query: {what}")]
    Moved { what: String },
    /// Processes that were asked for their fresh rows gave none: the query starts again with their
    /// segments.
    #[error("{what}")]
    Unanswered { writers: Vec<WriterId>, what: String },
    /// A data file that cannot be read.
    #[error("data file {path}: {message}")]
    File { path: String, kind: ErrorKind, message: String },
    #[error("{message}")]
    Failed { kind: ErrorKind, message: String },
}

impl QueryError {
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Sql { kind, .. } | Self::File { kind, .. } | Self::Failed { kind, .. } => *kind,
            Self::ReadOnly { .. } => ErrorKind::NotAllowed,
            Self::TimedOut(_) => ErrorKind::TimedOut,
            Self::Moved { .. } | Self::Unanswered { .. } => ErrorKind::Retry,
        }
    }

    /// Line and column, from 1, of a mistake in the SQL.
    pub const fn position(&self) -> Option<(u64, u64)> {
        match self {
            Self::Sql { position, .. } => *position,
            _ => None,
        }
    }

    pub(crate) fn moved(what: impl Into<String>) -> Self {
        Self::Moved { what: what.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Sql { kind: ErrorKind::Invalid, message: message.into(), position: None }
    }

    fn failed(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Failed { kind, message: message.into() }
    }

    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let message = format!(
            "an answer that is held until it is whole has at most {bytes_max} bytes of rows"
        );
        Self::failed(ErrorKind::Overloaded, message)
    }

    /// What a data file's reader failed with, as an error that names the file.
    pub(crate) fn of_file(path: String, error: ParquetError) -> Self {
        match Self::from(DataFusionError::ParquetError(Box::new(error))) {
            Self::Failed { kind, message } => Self::File { path, kind, message },
            other => other,
        }
    }

    /// The same as an error of a query that ran on several queriers: what nothing else explains, the
    /// loss of one of them does.
    pub(crate) fn of_several_queriers(self) -> Self {
        match self {
            Self::Failed { kind: ErrorKind::Internal, message } => Self::failed(
                ErrorKind::Retry,
                format!("a querier that worked on the query was lost: {message}"),
            ),
            other => other,
        }
    }

    /// The same mistake in the SQL as one about something that does not exist.
    pub(crate) fn not_found(mut self) -> Self {
        if let Self::Sql { kind, .. } = &mut self {
            *kind = ErrorKind::NotFound;
        }
        self
    }

    /// The same error with a hint after its message.
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        if let Self::Sql { message, .. } | Self::Failed { message, .. } = &mut self {
            message.push_str(hint);
        }
        self
    }
}

impl From<TableError> for QueryError {
    fn from(error: TableError) -> Self {
        Self::failed(error.kind(), error.to_string())
    }
}

/// A segment that is gone was trimmed: a newer version of the table has its rows.
impl From<WalError> for QueryError {
    fn from(error: WalError) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::moved(error.to_string()),
            kind => Self::failed(kind, error.to_string()),
        }
    }
}

impl From<FormatError> for QueryError {
    fn from(error: FormatError) -> Self {
        Self::failed(error.kind(), error.to_string())
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        with_position(&error)
    }
}

/// For streams of DataFusion, whose errors are its own; [`QueryError::from`] gives it back.
impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        Self::External(Box::new(error))
    }
}

/// What to do where the pool of all queries has no more: others may end, or it is this one that takes too much.
const OUT_OF_MEMORY: &str = "the query needs more memory than it may have: ask again when fewer run, ask for a \
     shorter time or fewer groups, or raise `query.memory_bytes_max`";

/// DataFusion's rule that finds the types in which values are compared. What it calls an internal error, such
/// as `timestamp BETWEEN '…' AND 1`, is a mistake in the query.
const TYPE_COERCION: &str = "type_coercion";

fn of_datafusion(error: &DataFusionError) -> QueryError {
    let sql =
        |position| QueryError::Sql { kind: ErrorKind::Invalid, message: message(error), position };
    match error {
        DataFusionError::Context(where_from, inner) => match inner.as_ref() {
            DataFusionError::Internal(what) if where_from == TYPE_COERCION => QueryError::Sql {
                kind: ErrorKind::Invalid,
                message: lowercase_first(what),
                position: None,
            },
            inner => of_datafusion(inner),
        },
        DataFusionError::Diagnostic(_, inner) => of_datafusion(inner),
        DataFusionError::Shared(inner) => of_datafusion(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => with_position(first),
            None => QueryError::failed(ErrorKind::Internal, message(error)),
        },
        DataFusionError::External(inner) => of_foreign(inner.as_ref()),
        DataFusionError::ObjectStore(inner) => of_foreign(inner.as_ref()),
        DataFusionError::ParquetError(inner) => of_foreign(inner.as_ref()),
        DataFusionError::ArrowError(inner, _) => of_foreign(inner.as_ref()),
        DataFusionError::SQL(parser, _) => of_parser(&parser.to_string()),
        DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::Execution(_) => sql(None),
        DataFusionError::ResourcesExhausted(detail) => {
            QueryError::failed(ErrorKind::Overloaded, format!("{OUT_OF_MEMORY}: {detail}"))
        }
        DataFusionError::IoError(_) => QueryError::failed(ErrorKind::Retry, message(error)),
        _ => QueryError::failed(ErrorKind::Internal, message(error)),
    }
}

fn with_position(error: &DataFusionError) -> QueryError {
    let mut converted = of_datafusion(error);
    if let QueryError::Sql { position: position @ None, .. } = &mut converted {
        let span = error.diagnostic().and_then(|d| d.span);
        *position = span.map(|s| (s.start.line, s.start.column));
    }
    converted
}

/// An error of a library below DataFusion: the first cause in its chain that says what to do.
fn of_foreign(error: &(dyn Error + Send + Sync + 'static)) -> QueryError {
    let mut cause: &(dyn Error + 'static) = error;
    loop {
        if let Some(known) = cause.downcast_ref::<QueryError>() {
            return known.clone();
        }
        if let Some(known) = cause.downcast_ref::<DataFusionError>() {
            return of_datafusion(known);
        }
        if let Some(store) = cause.downcast_ref::<object_store::Error>() {
            return of_store(store);
        }
        let inner = match (cause.downcast_ref::<ParquetError>(), cause.downcast_ref::<ArrowError>())
        {
            (Some(ParquetError::External(inner)), _) => {
                Some(inner.as_ref() as &(dyn Error + 'static))
            }
            (_, Some(ArrowError::ExternalError(inner))) => {
                Some(inner.as_ref() as &(dyn Error + 'static))
            }
            _ => cause.source(),
        };
        match inner {
            Some(inner) => cause = inner,
            None => return of_last_cause(cause),
        }
    }
}

fn of_last_cause(cause: &(dyn Error + 'static)) -> QueryError {
    if cause.is::<ParquetError>() {
        return QueryError::failed(ErrorKind::Corrupt, format!("a data file: {cause}"));
    }
    match cause.downcast_ref::<ArrowError>() {
        Some(ArrowError::ParquetError(_) | ArrowError::IpcError(_)) => {
            QueryError::failed(ErrorKind::Corrupt, cause.to_string())
        }
        // What is left of Arrow's errors are values that the query's expressions do not take:
        // a division by zero, a text that is no number.
        Some(_) => QueryError::invalid(lowercase_first(&cause.to_string())),
        None if cause.is::<regex_syntax::Error>() || cause.is::<regex::Error>() => {
            QueryError::invalid(cause.to_string())
        }
        None => QueryError::failed(ErrorKind::Internal, cause.to_string()),
    }
}

fn of_store(error: &object_store::Error) -> QueryError {
    use object_store::Error as Store;
    match error {
        Store::NotFound { path, .. } => QueryError::moved(format!("{path} is gone")),
        Store::NotSupported { .. }
        | Store::NotImplemented { .. }
        | Store::UnknownConfigurationKey { .. } => {
            QueryError::failed(ErrorKind::Internal, error.to_string())
        }
        _ => QueryError::failed(ErrorKind::Retry, error.to_string()),
    }
}

fn message(error: &DataFusionError) -> String {
    lowercase_first(DataFusionError::message(error).trim_start_matches("sql parser error: "))
}

/// Messages are fragments: `Schema error: …` begins small, `SELECT …` and `"x"` stay.
fn lowercase_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

fn of_parser(message: &str) -> QueryError {
    let message = message.trim_start_matches("sql parser error: ");
    let (what, position) = match split_position(message) {
        Some((what, position)) => (what, Some(position)),
        None => (message, None),
    };
    QueryError::Sql { kind: ErrorKind::Invalid, message: lowercase_first(what), position }
}

/// The place that sqlparser names at the end of its message, `… at Line: 1, Column: 8`, and the
/// message without it.
fn split_position(message: &str) -> Option<(&str, Position)> {
    let (before, column) = message.rsplit_once(", Column: ")?;
    let (what, line) = before.rsplit_once("at Line: ")?;
    let digits = |text: &str| -> Option<u64> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    Some((what.trim_end(), (digits(line)?, digits(column)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_mistake_is_read_from_the_parsers_message() {
        let place = |message| split_position(message);
        let expected = Some(("Expected: x, found: y", (3, 14)));
        assert_eq!(place("Expected: x, found: y at Line: 3, Column: 14"), expected);
        assert_eq!(place("Open literal at Line: 1, Column: 8."), Some(("Open literal", (1, 8))));
        assert_eq!(place("nothing of the kind"), None);
    }

    #[test]
    fn a_store_that_refuses_this_process_is_a_passing_fault_to_the_asker() {
        let refused =
            object_store::Error::PermissionDenied { path: "p".into(), source: "x".into() };
        assert_eq!(of_store(&refused).kind(), ErrorKind::Retry);
    }

    #[test]
    fn a_file_that_is_gone_is_found_however_deep_it_is_wrapped() {
        let gone = || object_store::Error::NotFound { path: "a/b".into(), source: "x".into() };
        let wrapped = [
            DataFusionError::ObjectStore(Box::new(gone())),
            DataFusionError::ParquetError(Box::new(ParquetError::External(Box::new(gone())))),
            DataFusionError::ArrowError(
                Box::new(ArrowError::ExternalError(Box::new(ParquetError::External(Box::new(
                    gone(),
                ))))),
                None,
            ),
            DataFusionError::External(Box::new(DataFusionError::ObjectStore(Box::new(gone())))),
        ];
        for error in wrapped {
            let shown = error.to_string();
            let converted = QueryError::from(error.context("while reading"));
            assert!(matches!(converted, QueryError::Moved { .. }), "{shown}");
            assert_eq!(converted.kind(), ErrorKind::Retry);
        }
    }

    #[test]
    fn an_error_keeps_its_kind_on_its_way_through_a_stream() {
        let error = QueryError::TimedOut(Duration::from_millis(5));
        let back = QueryError::from(DataFusionError::from(error).context("in a stream"));
        assert_eq!(back.kind(), ErrorKind::TimedOut);
        let full = QueryError::from(DataFusionError::ResourcesExhausted("no memory".into()));
        assert_eq!(full.kind(), ErrorKind::Overloaded);
        assert!(full.to_string().contains("query.memory_bytes_max"), "{full}");
    }
}
