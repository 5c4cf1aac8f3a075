//! How long things take that are not over yet.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<Begun>);

/// By the order in which they began.
#[derive(Debug, Default)]
struct Begun {
    next: u64,
    at: BTreeMap<u64, Instant>,
}

/// One of them, until dropped.
#[derive(Debug)]
pub(crate) struct One<'a> {
    all: &'a UnderWay,
    number: u64,
}

impl UnderWay {
    pub(crate) fn begin(&self) -> One<'_> {
        let mut begun = self.0.lock();
        let number = begun.next;
        begun.next += 1;
        begun.at.insert(number, Instant::now());
        One { all: self, number }
    }

    /// For how long the oldest has been under way; zero when there is none.
    pub(crate) fn oldest(&self, now: Instant) -> Duration {
        let begun = self.0.lock();
        begun
            .at
            .first_key_value()
            .map_or(Duration::ZERO, |(_, at)| now.saturating_duration_since(*at))
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.all.0.lock().at.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_counts_until_it_is_over() {
        let all = UnderWay::default();
        assert_eq!(all.oldest(Instant::now()), Duration::ZERO);
        let first = all.begin();
        tokio::time::advance(Duration::from_secs(2)).await;
        let second = all.begin();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(all.oldest(Instant::now()), Duration::from_secs(3));
        drop(first);
        assert_eq!(all.oldest(Instant::now()), Duration::from_secs(1));
        drop(second);
        assert_eq!(all.oldest(Instant::now()), Duration::ZERO);
    }
}
