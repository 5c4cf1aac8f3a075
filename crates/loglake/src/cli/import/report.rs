//! What became of the records, said at the end.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration};

use crate::client::{Outcome, RejectedLines, Sent};

/// Refused places that are named; the others are counted.
const REFUSALS_NAMED: usize = 20;

/// Where a body's lines are from.
#[derive(Debug)]
pub(super) struct Origin {
    file: Arc<str>,
    lines: Lines,
}

#[derive(Debug)]
enum Lines {
    /// The body is a piece of the file that begins with this line.
    From(u64),
    /// The file's line for each line of the body.
    Each(Vec<u64>),
}

impl Origin {
    pub(super) fn consecutive(file: Arc<str>, first_line: u64) -> Self {
        Self { file, lines: Lines::From(first_line) }
    }

    pub(super) fn each(file: Arc<str>, lines: Vec<u64>) -> Self {
        Self { file, lines: Lines::Each(lines) }
    }

    /// The file's line of a line of the body, both from 1.
    fn line(&self, in_body: u64) -> u64 {
        let index = in_body.saturating_sub(1);
        match &self.lines {
            Lines::From(first) => first + index,
            Lines::Each(lines) => {
                let known = usize::try_from(index).ok().and_then(|index| lines.get(index));
                known.copied().unwrap_or_default()
            }
        }
    }

    /// `app.log:17`, or `app.log:17-25` for a run of lines.
    fn place(&self, lines: &RejectedLines) -> String {
        let first = self.line(lines.line);
        match lines.last_line.filter(|last| *last > lines.line) {
            Some(last) => format!("{}:{first}-{}", self.file, self.line(last)),
            None => format!("{}:{first}", self.file),
        }
    }
}

/// Counts over all requests.
#[derive(Debug, Default)]
pub(super) struct Report {
    stored: u64,
    refused: u64,
    refusals: Vec<String>,
    bodies_maybe_doubled: u64,
    failure: Option<anyhow::Error>,
}

impl Report {
    pub(super) fn take(&mut self, outcome: Outcome<Origin>) {
        match outcome {
            Ok(Sent { ingested, origin }) => {
                self.stored += ingested.stored;
                self.refused += ingested.rejected;
                self.bodies_maybe_doubled += u64::from(ingested.maybe_doubled);
                for lines in &ingested.errors {
                    if self.refusals.len() < REFUSALS_NAMED {
                        self.refusals.push(format!("{}: {}", origin.place(lines), lines.reason));
                    }
                }
            }
            Err((e, origin)) => {
                let place = format!(
                    "the records from {}:{} on were not taken",
                    origin.file,
                    origin.line(1)
                );
                self.failure.get_or_insert(anyhow::Error::from(e).context(place));
            }
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn print(&self, took: Duration) {
        for refusal in &self.refusals {
            eprintln!("refused {refusal}");
        }
        if self.refusals.len() == REFUSALS_NAMED && self.refused > REFUSALS_NAMED as u64 {
            eprintln!("… only the first {REFUSALS_NAMED} are named");
        }
        if self.bodies_maybe_doubled > 0 {
            let requests = HumanCount(self.bodies_maybe_doubled);
            eprintln!(
                "{requests} requests were sent again after an answer that never came: their \
                 records may be stored twice"
            );
        }
        println!("{}", self.summary(took));
    }

    fn summary(&self, took: Duration) -> String {
        let each_second = self.stored as f64 / took.as_secs_f64().max(0.001);
        let took = match took.as_secs() {
            0..60 => format!("{:.1} s", took.as_secs_f64()),
            _ => HumanDuration(took).to_string(),
        };
        format!(
            "{} records stored, {} refused, in {took} ({} a second)",
            HumanCount(self.stored),
            HumanCount(self.refused),
            HumanCount(each_second as u64),
        )
    }

    /// # Errors
    /// When a request failed or a record was refused.
    pub(super) fn into_result(self) -> anyhow::Result<()> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        anyhow::ensure!(self.refused == 0, "{} records were refused", HumanCount(self.refused));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Ingested;

    fn rejected(line: u64, last_line: Option<u64>) -> RejectedLines {
        RejectedLines { line, last_line, reason: "no object".into() }
    }

    #[test]
    fn refused_lines_are_named_by_their_place_in_the_file() {
        let piece = Origin::consecutive("a.log".into(), 101);
        assert_eq!(piece.place(&rejected(3, None)), "a.log:103");
        assert_eq!(piece.place(&rejected(3, Some(9))), "a.log:103-109");
        let joined = Origin::each("b.log".into(), vec![7, 12, 13]);
        assert_eq!(joined.place(&rejected(2, Some(2))), "b.log:12");
    }

    #[test]
    fn any_refused_record_fails_the_command() {
        let mut report = Report::default();
        let origin = || Origin::consecutive("a.log".into(), 1);
        let ingested = Ingested { stored: 5, ..Ingested::default() };
        report.take(Ok(Sent { ingested: ingested.clone(), origin: origin() }));
        assert!(Report { ..Report::default() }.into_result().is_ok());
        let errors = (1..=30).map(|line| rejected(line, None)).collect();
        let refused = Ingested { rejected: 30, errors, ..ingested };
        report.take(Ok(Sent { ingested: refused, origin: origin() }));
        assert_eq!(report.refusals.len(), REFUSALS_NAMED);
        assert_eq!(
            report.summary(Duration::from_secs(2)),
            "10 records stored, 30 refused, in 2.0 s (5 a second)"
        );
        assert_eq!(report.into_result().unwrap_err().to_string(), "30 records were refused");
    }
}
