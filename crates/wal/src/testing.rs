//! A store that fails on purpose, for tests: a decorator that fails, is slow, or *does the work and
//! then reports a time-out*, by a script or by a seed.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::StoreFault;

const STORE: &str = "faulty";

/// What becomes of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Done, after a while.
    Slow(Duration),
    /// Not done, and a time-out is reported: nobody can tell.
    LostRequest,
    /// Done, and a time-out is reported.
    LostAnswer,
    /// A write is not done and the store says so (disk full); a read is done.
    NotStored,
    /// A write is done, and its fsync fails; a read is done.
    SyncFailed,
}

/// Which operation a fault is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Put,
    Get,
    List,
    Delete,
}

/// Decides the faults, one operation after the other.
pub type Script = Box<dyn FnMut(Operation, &Path) -> Fault + Send>;

/// The decorator.
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    script: Arc<Mutex<Script>>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn ObjectStore>, script: Script) -> Self {
        Self { inner, script: Arc::new(Mutex::new(script)) }
    }

    /// These faults for the next writes, then none.
    pub fn puts(inner: Arc<dyn ObjectStore>, faults: impl IntoIterator<Item = Fault>) -> Self {
        let mut faults: VecDeque<Fault> = faults.into_iter().collect();
        let script = move |operation, _: &Path| match operation {
            Operation::Put => faults.pop_front().unwrap_or(Fault::None),
            _ => Fault::None,
        };
        Self::new(inner, Box::new(script))
    }

    /// Of 100 operations about `percent` fail, in a way that follows from `seed`. Never
    /// [`Fault::SyncFailed`], which ends a writer.
    pub fn seeded(inner: Arc<dyn ObjectStore>, seed: u64, percent: u64) -> Self {
        let mut random = SplitMix(seed);
        let script = move |_, _: &Path| match random.next() % 100 < percent {
            false => Fault::None,
            true => match random.next() % 4 {
                0 => Fault::Slow(Duration::from_millis(random.next() % 2_000)),
                1 => Fault::LostRequest,
                2 => Fault::LostAnswer,
                _ => Fault::NotStored,
            },
        };
        Self::new(inner, Box::new(script))
    }

    /// From now on.
    pub fn set_script(&self, script: Script) {
        *lock(&self.script) = script;
    }

    fn fault(&self, operation: Operation, path: &Path) -> Fault {
        lock(&self.script)(operation, path)
    }

    async fn write<T>(
        &self,
        operation: Operation,
        path: &Path,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let sync_failed = || StoreFault::SyncFailed(io::Error::other("made to fail"));
        match self.fault(operation, path) {
            Fault::None => work.await,
            Fault::Slow(delay) => {
                tokio::time::sleep(delay).await;
                work.await
            }
            Fault::LostRequest => Err(timed_out()),
            Fault::LostAnswer => work.await.and(Err(timed_out())),
            Fault::NotStored => {
                let full = io::Error::from(io::ErrorKind::StorageFull);
                Err(StoreFault::NotStored(full).into_store_error(STORE))
            }
            Fault::SyncFailed => work.await.and(Err(sync_failed().into_store_error(STORE))),
        }
    }

    async fn read<T>(
        &self,
        operation: Operation,
        path: &Path,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.fault(operation, path) {
            Fault::LostRequest | Fault::LostAnswer => Err(timed_out()),
            Fault::Slow(delay) => {
                tokio::time::sleep(delay).await;
                work.await
            }
            Fault::None | Fault::NotStored | Fault::SyncFailed => work.await,
        }
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

fn timed_out() -> Error {
    Error::Generic { store: STORE, source: io::Error::from(io::ErrorKind::TimedOut).into() }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
struct SplitMix(u64);

impl SplitMix {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let work = self.inner.put_opts(location, payload, options);
        self.write(Operation::Put, location, work).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let work = self.inner.put_multipart_opts(location, options);
        self.write(Operation::Put, location, work).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.read(Operation::Get, location, self.inner.get_opts(location, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let script = Arc::clone(&self.script);
        let inner = Arc::clone(&self.inner);
        let one = move |location: Result<Path>| {
            let (script, inner) = (Arc::clone(&script), Arc::clone(&inner));
            async move {
                let location = location?;
                let fault = lock(&script)(Operation::Delete, &location);
                if fault == Fault::LostRequest {
                    return Err(timed_out());
                }
                let mut deleted = inner.delete_stream(stream::iter([Ok(location)]).boxed());
                let deleted = deleted.next().await.unwrap_or_else(|| Err(timed_out()));
                if fault == Fault::LostAnswer { Err(timed_out()) } else { deleted }
            }
        };
        locations.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fault(Operation::List, prefix.unwrap_or(&Path::default())) {
            Fault::LostRequest | Fault::LostAnswer => stream::iter([Err(timed_out())]).boxed(),
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let work = self.inner.list_with_delimiter(prefix);
        self.read(Operation::List, prefix.unwrap_or(&Path::default()), work).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.write(Operation::Put, to, self.inner.copy_opts(from, to, options)).await
    }
}
