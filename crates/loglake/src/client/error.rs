//! What can go wrong on the way to a lake.

use std::error::Error;
use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{url:?} is no address of a lake: {problem}")]
    Url { url: String, problem: String },
    /// The request or its answer did not get through.
    #[error("{}", chain(.0))]
    Connection(reqwest::Error),
    /// The lake answered that it will not.
    #[error("{0}")]
    Refused(Refusal),
    #[error("the answer is no Arrow stream")]
    Answer(#[from] arrow::error::ArrowError),
}

/// An error as the lake tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Line and column, from 1, of a mistake in the SQL.
    pub(crate) position: Option<(usize, usize)>,
}

impl Refusal {
    /// From an answer's text, which is not the lake's own when a proxy stands between.
    pub(crate) fn of_answer(status: StatusCode, text: &str) -> Self {
        match serde_json::from_str::<ErrorBody>(text) {
            Ok(ErrorBody { error }) => {
                Self { status, message: error.message, position: error.line.zip(error.column) }
            }
            Err(_) => Self { status, message: text.trim().to_owned(), position: None },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return write!(f, "the lake answered {}", self.status);
        }
        f.write_str(&self.message)?;
        match self.status {
            // The message says what is wrong with the request; the number would add nothing.
            StatusCode::BAD_REQUEST => Ok(()),
            status => write!(f, " ({status})"),
        }
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    message: String,
    line: Option<usize>,
    column: Option<usize>,
}

/// An error with its causes: the outermost alone does not say "connection refused".
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
