//! When to flush which table.

use std::time::Duration;

use loglake_model::TableId;
use tokio::time::Instant;

use crate::IngestSettings;
use crate::buffer::Load;

/// The tables to flush now, the heaviest first: those that are heavy or old, and, when the whole
/// buffer is past half of its bound, the heaviest ones that bring it below again.
pub(crate) fn tables_to_flush(
    mut loads: Vec<Load>,
    now: Instant,
    settings: &IngestSettings,
) -> Vec<TableId> {
    loads.sort_by_key(|load| std::cmp::Reverse((load.bytes, load.table)));
    let mut excess = loads
        .iter()
        .map(|load| load.bytes)
        .sum::<usize>()
        .saturating_sub(settings.buffer_bytes_max / 2);
    let mut chosen = vec![];
    for load in loads {
        let age = now.saturating_duration_since(load.oldest);
        if excess > 0 || load.bytes >= settings.flush_bytes || age >= settings.flush_age {
            excess = excess.saturating_sub(load.bytes);
            chosen.push(load.table);
        }
    }
    chosen
}

/// How often the ages are looked at.
pub(crate) const TICK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    fn load(n: u128, bytes: usize, oldest: Instant) -> Load {
        Load { table: TableId::from_uuid(uuid::Uuid::from_u128(n)), bytes, oldest }
    }

    #[test]
    fn heavy_or_old_tables_are_flushed_and_small_young_ones_wait() {
        let settings = IngestSettings {
            flush_bytes: 100,
            flush_age: Duration::from_secs(60),
            buffer_bytes_max: 10_000,
            ..settings()
        };
        let start = Instant::now();
        let now = start + Duration::from_secs(60);
        let (heavy, old, young) = (load(1, 100, now), load(2, 1, start), load(3, 99, now));
        let chosen = tables_to_flush(vec![old, young, heavy], now, &settings);
        assert_eq!(chosen, vec![heavy.table, old.table]);
    }

    #[test]
    fn a_full_buffer_is_relieved_by_its_heaviest_tables() {
        let settings = IngestSettings {
            flush_bytes: 1_000,
            flush_age: Duration::from_secs(60),
            buffer_bytes_max: 200,
            ..settings()
        };
        let now = Instant::now();
        let loads = vec![load(1, 20, now), load(2, 70, now), load(3, 40, now)];
        let heaviest = loads[1].table;
        assert_eq!(tables_to_flush(loads, now, &settings), vec![heaviest]);
    }
}
