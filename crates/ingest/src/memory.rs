//! The bound on rows that wait: bytes are taken before rows are logged and given back when their
//! commit lets them go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayData, RecordBatch};
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

/// The memory that batches hold, in bytes: what several columns share counts once in a batch.
pub(crate) fn bytes_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(bytes_of_one).sum()
}

/// The columns of a decoded segment share its bytes where they were not worth compressing; each
/// alone holds all of them.
fn bytes_of_one(batch: &RecordBatch) -> usize {
    let mut allocations: Vec<(usize, usize)> = vec![];
    for column in batch.columns() {
        collect_allocations(&column.to_data(), &mut allocations);
    }
    allocations.sort_unstable();
    allocations.dedup_by_key(|(at, _)| *at);
    allocations.into_iter().map(|(_, bytes)| bytes).sum()
}

fn collect_allocations(data: &ArrayData, allocations: &mut Vec<(usize, usize)>) {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    for buffer in data.buffers().iter().chain(nulls) {
        allocations.push((buffer.data_ptr().as_ptr() as usize, buffer.capacity()));
    }
    for child in data.child_data() {
        collect_allocations(child, allocations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_columns_share_counts_once() {
        let shared = arrow::buffer::Buffer::from_vec((0..1_000i64).collect::<Vec<_>>());
        let column = |at: usize| -> arrow::array::ArrayRef {
            let values = arrow::buffer::ScalarBuffer::new(shared.clone(), at * 100, 100);
            std::sync::Arc::new(arrow::array::Int64Array::new(values, None))
        };
        let apart: arrow::array::ArrayRef =
            std::sync::Arc::new(arrow::array::Int64Array::from(vec![7; 100]));
        let batch = RecordBatch::try_from_iter([("a", column(0)), ("b", column(9)), ("c", apart)]);
        let bytes = bytes_of(&[batch.unwrap()]);
        assert!((8_800..9_000).contains(&bytes), "{bytes}");
    }

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
