//! The bound on rows that wait: bytes are taken before rows are logged and given back when their
//! commit lets them go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use tokio::sync::Notify;

use crate::IngestError;

#[derive(Debug)]
pub(crate) struct MemoryBudget {
    max: usize,
    used: AtomicUsize,
    released: Notify,
}

impl MemoryBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, used: AtomicUsize::new(0), released: Notify::new() }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// Whether a sender would most likely not have to wait.
    pub(crate) fn has_room(&self) -> bool {
        self.used() < self.max / 10 * 9
    }

    /// Takes `bytes`, waiting at most `wait` for room. A single taking of more than the whole budget
    /// goes through when nothing else is held, so that it is slow and not impossible.
    pub(crate) async fn take(&self, bytes: usize, wait: Duration) -> Result<(), IngestError> {
        let room = async {
            loop {
                let released = self.released.notified();
                tokio::pin!(released);
                released.as_mut().enable();
                if self.try_take(bytes) {
                    return;
                }
                released.await;
            }
        };
        tokio::time::timeout(wait, room)
            .await
            .map_err(|_| IngestError::Overloaded { buffered: self.used(), max: self.max })
    }

    fn try_take(&self, bytes: usize) -> bool {
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                (used == 0 || used + bytes <= self.max).then_some(used + bytes)
            })
            .is_ok()
    }

    /// Counts bytes that are held already, whatever the bound says.
    pub(crate) fn hold(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.released.notify_waiters();
    }
}

/// The memory that batches hold, in bytes.
pub(crate) fn bytes_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::get_array_memory_size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn past_the_bound_a_sender_waits_for_room_and_then_is_told() {
        let budget = MemoryBudget::new(100);
        budget.take(150, Duration::ZERO).await.unwrap();
        let told = budget.take(1, Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(told, IngestError::Overloaded { buffered: 150, max: 100 }));
        let (taken, ()) =
            tokio::join!(budget.take(60, Duration::from_secs(9)), async { budget.give_back(150) });
        taken.unwrap();
        assert_eq!(budget.used(), 60);
    }
}
