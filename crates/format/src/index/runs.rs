//! The runs of a file: rows of one service and level lie together, so a few numbers tell where.

use serde::{Deserialize, Serialize};

use crate::texts::Texts;

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
    pub(crate) fn add(&mut self, rows: usize, services: Texts<'_>, levels: Texts<'_>) {
        for row in 0..rows {
            if self.too_many {
                return;
            }
            let (service, level) = (services.get(row), levels.get(row));
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
    use arrow::array::{Array, StringArray};

    use super::*;

    #[test]
    fn neighbours_of_one_service_and_level_are_a_run_across_slices() {
        let texts = |texts: &[Option<&str>]| StringArray::from(texts.to_vec());
        let mut runs = RunsBuilder::default();
        let (a, b) = (Some("a"), Some("b"));
        let mut add = |services: &[Option<&str>], levels: &[Option<&str>]| {
            let (services, levels) = (texts(services), texts(levels));
            runs.add(services.len(), Texts::InFull(&services), Texts::InFull(&levels));
        };
        add(&[a, a, a], &[a, a, b]);
        add(&[a, b, None, None], &[b, b, b, None]);
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
        let none = StringArray::new_null(services.len());
        runs.add(services.len(), Texts::InFull(&services), Texts::InFull(&none));
        assert_eq!(runs.finish(), None);
        let mut runs = RunsBuilder::default();
        let long = StringArray::from(vec!["x".repeat(TEXT_BYTES_MAX + 1)]);
        runs.add(1, Texts::InFull(&long), Texts::InFull(&StringArray::new_null(1)));
        assert_eq!(runs.finish(), None);
    }
}
