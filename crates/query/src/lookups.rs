//! How often the caches of queries had what was asked of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// The caches of one process, shared by its queries.
#[derive(Debug, Default)]
pub struct CacheLookups {
    /// Decoded footers of files.
    pub footers: Lookups,
    /// Decoded parts of token indexes.
    pub indexes: Lookups,
}

/// One cache. Numbers only grow.
#[derive(Debug, Default)]
pub struct Lookups {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Lookups {
    pub(crate) fn count(&self, is_hit: bool) {
        let counter = if is_hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }
}
