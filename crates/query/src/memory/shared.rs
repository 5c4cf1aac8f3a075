//! The memory of all queries: whoever asks first has it, but for a part that is kept for those that have little.
//!
//! DataFusion's own fair pool gives each consumer that can spill the same part, also while the others hold
//! nothing: of a dozen of them one spills, or fails, at a twelfth of the memory.

use std::fmt;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use parking_lot::Mutex;

/// The part that is kept: an eighth.
const KEPT_PART: usize = 8;

/// Bytes for consumers as they come. The last eighth is for those that hold less than an even part of it, so
/// that each has some room, however much others took before.
#[derive(Debug)]
pub(crate) struct SharedPool {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// Consumers that can spill.
    spilling: usize,
}

impl SharedPool {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, state: Mutex::default() }
    }
}

impl State {
    /// Bytes that a consumer which holds `held` may get.
    fn room(&self, max: usize, can_spill: bool, held: usize) -> usize {
        let kept = max / KEPT_PART;
        let part = kept / self.spilling.max(1);
        let free = max.saturating_sub(self.used);
        if !can_spill {
            return free;
        }
        let most = free.saturating_sub(kept);
        most.max(part.saturating_sub(held).min(free))
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.state.lock().used, self.max)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.state.lock().spilling += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.state.lock().spilling -= 1;
        }
    }

    fn grow(&self, _reservation: &MemoryReservation, additional: usize) {
        self.state.lock().used += additional;
    }

    fn shrink(&self, _reservation: &MemoryReservation, shrink: usize) {
        self.state.lock().used -= shrink;
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let (consumer, held) = (reservation.consumer(), reservation.size());
        let mut state = self.state.lock();
        let room = state.room(self.max, consumer.can_spill(), held);
        if additional > room {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} asked for {additional} bytes beside its {held}, and {room} of {} are free for it",
                consumer.name(),
                self.max,
            )));
        }
        state.used += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.state.lock().used
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.max)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn consumer(pool: &Arc<dyn MemoryPool>, can_spill: bool) -> MemoryReservation {
        MemoryConsumer::new("one").with_can_spill(can_spill).register(pool)
    }

    #[test]
    fn one_has_what_others_leave_and_each_has_some() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(800));
        let [first, second, third] = [true, true, false].map(|spills| consumer(&pool, spills));
        // An eighth is kept for those that have little.
        first.try_grow(700).unwrap();
        assert!(first.try_grow(1).is_err());
        second.try_grow(50).unwrap();
        let refused = second.try_grow(1).unwrap_err().to_string();
        assert!(refused.contains("0 of 800 are free for it"), "{refused}");
        // Who cannot spill has all that is free.
        third.try_grow(50).unwrap();
        assert!(third.try_grow(1).is_err());
        first.shrink(650);
        second.try_grow(550).unwrap();
        assert_eq!(pool.reserved(), 700);
        drop((first, second, third));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn an_even_part_counts_those_that_are_there() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(800));
        let large = consumer(&pool, true);
        large.try_grow(700).unwrap();
        let small: Vec<_> = (0..3).map(|_| consumer(&pool, true)).collect();
        for one in &small {
            one.try_grow(25).unwrap();
            assert!(one.try_grow(1).is_err());
        }
        drop(large);
        small[0].try_grow(600).unwrap();
    }
}
