//! The door to threads for work that takes the processor for long.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinError, spawn_blocking};

/// Runs work off the threads that answer others. A runtime of one thread has nobody else to answer:
/// there the work runs at once, so that the simulation, whose runtimes are such, has no second
/// thread that would be ahead or behind by chance.
///
/// # Errors
/// [`JoinError`] when the work panicked or the runtime shuts down.
pub async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Ok(work()),
        _ => spawn_blocking(work).await,
    }
}
