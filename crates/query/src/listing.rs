//! What the logs of the other writers hold, by a look into the bucket that queries share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// A look at something that changes, shared by those who ask while it is on its way. Whoever asks
/// gets the result of a look that *began after they asked*: what was there when they asked is in it.
#[derive(Debug, Default)]
pub(crate) struct SharedLook<T> {
    /// Looks begun so far.
    begun: AtomicU64,
    /// The last look that ended well, with its number.
    latest: Mutex<Option<(u64, Arc<T>)>>,
}

impl<T> SharedLook<T> {
    pub(crate) const fn new() -> Self {
        Self { begun: AtomicU64::new(0), latest: Mutex::const_new(None) }
    }

    pub(crate) async fn get<E, F>(&self, look: impl FnOnce() -> F) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let begun_before = self.begun.load(Ordering::SeqCst);
        let mut latest = self.latest.lock().await;
        if let Some((number, seen)) = &*latest
            && *number > begun_before
        {
            return Ok(Arc::clone(seen));
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let seen = Arc::new(look().await?);
        *latest = Some((number, Arc::clone(&seen)));
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_look_that_began_before_the_question_is_not_its_answer() {
        let (shared, go) = (SharedLook::<u32>::new(), Notify::new());
        let looks = AtomicU64::new(0);
        let ask = || async {
            let look = || async {
                let number = looks.fetch_add(1, Ordering::SeqCst) as u32 + 1;
                go.notified().await;
                Ok::<_, Infallible>(number)
            };
            shared.get(look).await.map(|seen| *seen)
        };
        // The first look is on its way when the second and third ask: they share a second one.
        let release = async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
                go.notify_one();
            }
        };
        let (first, second, third, ()) = tokio::join!(ask(), ask(), ask(), release);
        assert_eq!((first, second, third), (Ok(1), Ok(2), Ok(2)));
        go.notify_one();
        assert_eq!(ask().await, Ok(3));
    }

    #[tokio::test]
    async fn a_failed_look_is_nobody_elses_answer() {
        let shared = SharedLook::<u32>::new();
        let failed = shared.get(|| async { Err::<u32, _>("away") }).await;
        assert_eq!(failed, Err("away"));
        let next = shared.get(|| async { Ok::<_, &str>(7) }).await;
        assert_eq!(next.map(|seen| *seen), Ok(7));
    }
}
