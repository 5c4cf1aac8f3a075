//! The runs of a file: rows of one service and level lie together, so a few numbers tell where.

use arrow::array::{Array, StringArray};
use serde::{Deserialize, Serialize};

use crate::columns::text_at;

/// Runs of a file that are kept. With more, services are no few long runs.
const RUNS_MAX: usize = 1_024;
/// Bytes of a service or a level that are kept.
const TEXT_BYTES_MAX: usize = 256;

/// Neighbouring rows that have the same service and level: these, and how many rows they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run(pub Option<String>, pub Option<String>, pub u64);

/// The runs of a file while its rows are written.
#[derive(Debug, Default)]
pub(crate) struct RunsBuilder {
    runs: Vec<Run>,
    too_many: bool,
}

impl RunsBuilder {
    /// Takes the next rows in.
    pub(crate) fn add(&mut self, services: &StringArray, levels: &StringArray) {
        for row in 0..services.len() {
            if self.too_many {
                return;
            }
            let (service, level) = (text_at(services, row), text_at(levels, row));
            match self.runs.last_mut() {
                Some(Run(s, l, rows)) if s.as_deref() == service && l.as_deref() == level => {
                    *rows += 1;
                }
                _ => self.begin(service, level),
            }
        }
    }

    fn begin(&mut self, service: Option<&str>, level: Option<&str>) {
        let is_long = |text: Option<&str>| text.is_some_and(|text| text.len() > TEXT_BYTES_MAX);
        if self.runs.len() == RUNS_MAX || is_long(service) || is_long(level) {
            self.too_many = true;
            return;
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        self.runs.push(Run(owned(service), owned(level), 1));
    }

    /// All runs of the file in their order; `None` where they are too many.
    pub(super) fn finish(self) -> Option<Vec<Run>> {
        (!self.too_many).then_some(self.runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_service_and_level_are_a_run_across_slices() {
        let texts = |texts: &[Option<&str>]| StringArray::from(texts.to_vec());
        let mut runs = RunsBuilder::default();
        let (a, b) = (Some("a"), Some("b"));
        runs.add(&texts(&[a, a, a]), &texts(&[a, a, b]));
        runs.add(&texts(&[a, b, None, None]), &texts(&[b, b, b, None]));
        let run = |service: Option<&str>, level: Option<&str>, rows| {
            Run(service.map(str::to_owned), level.map(str::to_owned), rows)
        };
        let all = [run(a, a, 2), run(a, b, 2), run(b, b, 1), run(None, b, 1), run(None, None, 1)];
        assert_eq!(runs.finish().unwrap(), all);
    }

    #[test]
    fn many_short_runs_are_not_kept() {
        let mut runs = RunsBuilder::default();
        let services = (0..RUNS_MAX + 1).map(|n| Some(n.to_string())).collect::<StringArray>();
        runs.add(&services, &StringArray::new_null(services.len()));
        assert_eq!(runs.finish(), None);
        let mut runs = RunsBuilder::default();
        let long = StringArray::from(vec!["x".repeat(TEXT_BYTES_MAX + 1)]);
        runs.add(&long, &StringArray::new_null(1));
        assert_eq!(runs.finish(), None);
    }
}
