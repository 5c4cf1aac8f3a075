//! When a table is looked at again for something to compact: at once when this process has seen it
//! change, which costs nothing to know, and else ever more seldom, so that an idle lake is hardly asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use loglake_model::TableId;
use loglake_table::Table;
use tokio::time::Instant;

/// A partition comes to rest ten minutes after its last change: then there is most to do.
const FIRST: Duration = Duration::from_secs(11 * 60);
const LAST: Duration = Duration::from_secs(24 * 3600);

/// What is remembered of each table.
#[derive(Default)]
pub(crate) struct Paces(HashMap<TableId, Pace>);

struct Pace {
    version: u64,
    wait: Duration,
    next: Instant,
}

impl Paces {
    /// The tables that are to be looked at now.
    pub(crate) fn due(&self, tables: Vec<Arc<Table>>, now: Instant) -> Vec<Arc<Table>> {
        let is_due = |table: &Arc<Table>| {
            let pace = self.0.get(&table.id());
            pace.is_none_or(|p| p.version != table.current().version() || p.next <= now)
        };
        tables.into_iter().filter(is_due).collect()
    }

    /// A table was looked at: the next time is later when nothing had changed.
    pub(crate) fn looked(&mut self, table: &Table, now: Instant) {
        let version = table.current().version();
        let wait = match self.0.get(&table.id()) {
            Some(pace) if pace.version == version => (pace.wait * 2).min(LAST),
            _ => FIRST,
        };
        self.0.insert(table.id(), Pace { version, wait, next: now + wait });
    }
}
