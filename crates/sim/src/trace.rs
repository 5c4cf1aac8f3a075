//! What happened, in order: a hash that two runs of one seed must share, and counts.

use std::collections::BTreeMap;
use std::fmt::Display;

use twox_hash::XxHash3_64;

#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    /// Kept when asked for: the last ones, as text.
    lines: Option<Vec<String>>,
    counts: BTreeMap<&'static str, u64>,
}

impl Trace {
    pub fn new(keep_lines: bool) -> Self {
        Self { lines: keep_lines.then(Vec::new), ..Self::default() }
    }

    pub fn event(&mut self, at_ms: u64, what: impl Display) {
        let line = format!("{at_ms:>6} {what}");
        self.hash = XxHash3_64::oneshot_with_seed(self.hash, line.as_bytes());
        self.events += 1;
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub const fn hash(&self) -> u64 {
        self.hash
    }

    pub const fn events(&self) -> u64 {
        self.events
    }

    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}
