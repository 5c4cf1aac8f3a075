//! What a walk found.

use std::fmt;

/// The walk's findings and what it saw on the way.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub tables: u64,
    pub files: u64,
    pub rows: u64,
    pub writers: u64,
    pub segments: u64,
    /// Objects that belong to no table and are still within their grace.
    pub young_orphans: u64,
    /// Each is a broken promise, with the object that shows it.
    pub findings: Vec<String>,
    /// What no promise forbids, and its reader may want to know.
    pub notes: Vec<String>,
}

impl Report {
    pub fn found(&mut self, finding: impl Into<String>) {
        self.findings.push(finding.into());
    }

    pub fn noted(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.findings.iter().chain(&self.notes) {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "{} tables, {} files, {} rows; {} writers, {} segments; {} orphans within their grace: ",
            self.tables, self.files, self.rows, self.writers, self.segments, self.young_orphans
        )?;
        match self.findings.len() {
            0 => f.write_str("all is well"),
            n => write!(f, "{n} findings"),
        }
    }
}
