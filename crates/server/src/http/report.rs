//! What became of a body's records: how many were stored, and each that was not, by line.

use axum::http::StatusCode;
use loglake_model::Rejection;
use serde::Serialize;
use serde_json::{Map, Value};

/// The answer about a body.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) stored: u64,
    pub(super) rejected: u64,
    errors: Vec<Refused>,
}

/// One refused line, or a run of consecutive ones with the same reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Refused {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_line: Option<u64>,
    reason: String,
}

/// Entries of `errors` in one answer. A body with more is not read further: so what is refused is
/// always said, and a body of noise cannot fill the memory.
const ERRORS_MAX: usize = 10_000;

impl Report {
    /// Adds refused lines, which come in order.
    pub(super) fn reject(&mut self, rejections: impl IntoIterator<Item = Rejection>) {
        for Rejection { line, reason } in rejections {
            self.rejected += 1;
            match self.errors.last_mut() {
                Some(run) if run.end() + 1 == line && run.reason == reason => {
                    run.last_line = Some(line);
                }
                _ => self.errors.push(Refused { line, last_line: None, reason }),
            }
        }
    }

    /// Whether no further refused line can be named.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= ERRORS_MAX
    }

    /// 400 when something was refused and nothing stored.
    pub(super) const fn status(&self) -> StatusCode {
        match (self.stored, self.rejected) {
            (0, 1..) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        }
    }

    /// The members of the answer and one more, to stand beside `error`.
    pub(super) fn members_and(&self, name: &str, line: u64) -> Map<String, Value> {
        let mut members = match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        members.insert(name.to_owned(), line.into());
        members
    }
}

impl Refused {
    fn end(&self) -> u64 {
        self.last_line.unwrap_or(self.line)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rejections(lines: &[(u64, &str)]) -> Vec<Rejection> {
        lines
            .iter()
            .map(|(line, reason)| Rejection { line: *line, reason: (*reason).to_owned() })
            .collect()
    }

    #[test]
    fn runs_of_equal_reasons_are_one_entry_also_across_blocks() {
        let mut report = Report { stored: 4, ..Report::default() };
        report.reject(rejections(&[(2, "a"), (3, "a")]));
        report.reject(rejections(&[(4, "a"), (6, "a"), (7, "b")]));
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            json!({"stored": 4, "rejected": 5, "errors": [
                {"line": 2, "last_line": 4, "reason": "a"},
                {"line": 6, "reason": "a"},
                {"line": 7, "reason": "b"},
            ]})
        );
        assert_eq!(report.status(), StatusCode::OK);
    }

    #[test]
    fn nothing_stored_and_something_refused_is_a_bad_request() {
        let mut report = Report::default();
        assert_eq!(report.status(), StatusCode::OK);
        report.reject(rejections(&[(1, "no object")]));
        assert_eq!(report.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn entries_are_bounded_and_runs_count_once() {
        let mut report = Report::default();
        let run = (1..50_000).map(|line| Rejection { line, reason: "same".to_owned() });
        report.reject(run);
        assert!(!report.is_full());
        let apart = (1..=ERRORS_MAX as u64)
            .map(|n| Rejection { line: 60_000 + 2 * n, reason: String::new() });
        report.reject(apart);
        assert!(report.is_full());
    }
}
