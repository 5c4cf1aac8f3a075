//! The simulated bucket as one party sees it: an `ObjectStore` whose requests take time, get lost
//! before or after the deed, land when their sender is long dead, and are refused.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use futures::stream::{self, BoxStream, StreamExt};
use loglake_wal::StoreFault;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use tokio::time::sleep;

use crate::bucket::{Object, Put};
use crate::place::{Deed, Flavour, Place, Write, log_entry_of};
use crate::sabotage::Sabotage;
use crate::world::{Party, World};

const STORE: &str = "simulated";
/// How long a request without an answer is waited for.
const TIMEOUT: Duration = Duration::from_millis(1_500);

/// What becomes of one request, drawn when it is sent.
#[derive(Clone, Copy, Debug)]
struct Fate {
    there: Duration,
    back: Duration,
    fault: Fault,
    /// When it lands, after its sender went away.
    lands_after_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    LostRequest,
    LostAnswer,
    /// The sender hears of a time-out, and then the deed is done.
    Late,
    Refused,
    SyncFailed,
}

/// What a party's view leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Whole,
    /// Of log entries the watermarks are not seen.
    WithoutWatermarks,
    /// Of log entries the vacuums are not seen.
    WithoutVacuums,
}

/// The place as one party sees it.
pub struct SimStore {
    world: Arc<World>,
    place: Arc<Place>,
    party: Party,
    view: View,
}

impl SimStore {
    pub fn new(world: &Arc<World>, place: &Arc<Place>, party: Party, view: View) -> Arc<Self> {
        Arc::new(Self { world: Arc::clone(world), place: Arc::clone(place), party, view })
    }

    fn fate(&self, writes: bool) -> Fate {
        let faults = self.place.state.lock().faults;
        let directory = self.place.flavour == Flavour::Directory;
        let fate = self.world.dice(|dice| {
            let slow = dice.per_mille(faults.slow);
            let longest = if slow { 900 } else { faults.latency_ms };
            let mut fault = Fault::None;
            if dice.per_mille(faults.failing) {
                let kinds: &[Fault] = match (directory, writes) {
                    (false, true) => {
                        &[Fault::LostRequest, Fault::LostAnswer, Fault::Late, Fault::Refused]
                    }
                    (true, true) => &[Fault::SyncFailed],
                    (_, false) => &[Fault::LostRequest, Fault::Refused],
                };
                fault = *dice.pick(kinds);
                if directory && !dice.per_mille(100) {
                    fault = Fault::None;
                }
            }
            let lands = !directory && dice.per_mille(faults.lands_late);
            let fate = Fate {
                there: Duration::from_millis(dice.within(0..longest)),
                back: Duration::from_millis(dice.within(0..longest)),
                fault,
                lands_after_ms: lands.then(|| dice.within(1..4_000)),
            };
            (fate, slow)
        });
        if fate.1 {
            self.world.count("store: slow");
        }
        fate.0
    }

    /// The way of a read to the store. The deed follows; then [`Self::back`].
    async fn there(&self) -> Result<Fate> {
        let fate = self.fate(false);
        sleep(fate.there).await;
        match fate.fault {
            Fault::LostRequest => {
                self.world.count("store: read without an answer");
                sleep(TIMEOUT).await;
                Err(timed_out())
            }
            Fault::Refused => {
                self.world.count("store: read refused");
                Err(refused())
            }
            _ if !self.world.reaches(self.party, Party::Store) => {
                self.world.count("partition: store request lost");
                sleep(TIMEOUT).await;
                Err(timed_out())
            }
            _ => Ok(fate),
        }
    }

    async fn back(&self, fate: Fate) -> Result<()> {
        sleep(fate.back).await;
        if self.world.reaches(Party::Store, self.party) {
            return Ok(());
        }
        self.world.count("partition: store answer lost");
        sleep(TIMEOUT).await;
        Err(timed_out())
    }

    async fn write(&self, write: Write) -> Result<Deed> {
        let fate = self.fate(true);
        if self.world.sabotage == Sabotage::AckOrder && write.path().as_ref().starts_with("_wal/") {
            return Ok(self.say_done_before(write, fate));
        }
        let mut way = OnItsWay { store: self, write: Some(write), fate };
        sleep(fate.there).await;
        if !self.world.reaches(self.party, Party::Store) {
            way.write = None;
            self.world.count("partition: store request lost");
            sleep(TIMEOUT).await;
            return Err(timed_out());
        }
        match fate.fault {
            Fault::LostRequest => {
                way.write = None;
                self.world.count("store: request lost");
                sleep(TIMEOUT).await;
                return Err(timed_out());
            }
            Fault::Refused => {
                way.write = None;
                self.world.count("store: write refused");
                return Err(refused());
            }
            Fault::Late => {
                way.lands_in(900);
                sleep(TIMEOUT / 2).await;
                return Err(timed_out());
            }
            Fault::None | Fault::LostAnswer | Fault::SyncFailed => {}
        }
        let Some(write) = way.write.take() else { return Err(timed_out()) };
        drop(way);
        if self.place.state.lock().unsafe_since.is_some() {
            return Err(sync_failed());
        }
        if self.place.state.lock().disk_full && matches!(write, Write::Put { .. }) {
            self.world.count("store: disk full");
            let full = StoreFault::NotStored(io::ErrorKind::StorageFull.into());
            return Err(full.into_store_error(STORE));
        }
        let deed = self.place.perform(&self.world, self.party, &write);
        self.sync(&write, deed, fate).await?;
        if fate.fault == Fault::LostAnswer {
            self.world.count("store: answer lost");
            sleep(TIMEOUT).await;
            return Err(timed_out());
        }
        self.back(fate).await?;
        Ok(deed)
    }

    /// On a disk: the time until the change is durable.
    async fn sync(&self, write: &Write, deed: Deed, fate: Fate) -> Result<()> {
        if deed != Deed::Done || self.place.flavour == Flavour::Bucket {
            return Ok(());
        }
        if self.world.sabotage == Sabotage::Fsync || matches!(write, Write::Delete(_)) {
            // Nobody waits for it.
            let (place, path) = (Arc::clone(&self.place), write.path().clone());
            tokio::spawn(async move {
                sleep(Duration::from_secs(2)).await;
                place.state.lock().bucket.sync_folder_of(&path);
            });
            return Ok(());
        }
        sleep(fate.back).await;
        if fate.fault == Fault::SyncFailed {
            self.world.count("store: sync failed");
            self.place.state.lock().unsafe_since = Some(self.world.now_ms());
            return Err(sync_failed());
        }
        self.place.state.lock().bucket.sync_folder_of(write.path());
        Ok(())
    }

    /// Sabotage: the answer goes out before the deed.
    fn say_done_before(&self, write: Write, fate: Fate) -> Deed {
        let there = self.place.state.lock().bucket.get(write.path()).is_some();
        if there {
            return Deed::Exists;
        }
        let (world, place, party) = (Arc::clone(&self.world), Arc::clone(&self.place), self.party);
        tokio::spawn(async move {
            sleep(fate.there + Duration::from_millis(30)).await;
            place.perform(&world, party, &write);
        });
        Deed::Done
    }

    fn seen(&self, path: &Path, object: &Object) -> Bytes {
        let left_out: &[u8] = match self.view {
            View::WithoutWatermarks => br#"{"txn""#,
            View::WithoutVacuums => br#"{"txn":{"appId":"vacuum""#,
            View::Whole => return object.bytes.clone(),
        };
        if log_entry_of(path).is_none() {
            return object.bytes.clone();
        }
        let lines = object.bytes.split(|byte| *byte == b'\n');
        let kept: Vec<&[u8]> = lines.filter(|line| !line.starts_with(left_out)).collect();
        kept.join(&b'\n').into()
    }

    fn meta(&self, path: &Path, object: &Object) -> ObjectMeta {
        let at = 1_793_537_910_000 + object.modified_ms as i64;
        ObjectMeta {
            location: path.clone(),
            last_modified: DateTime::from_timestamp_millis(at).unwrap_or_default(),
            size: self.seen(path, object).len() as u64,
            e_tag: None,
            version: None,
        }
    }

    /// One page of a listing, after a name; and whether it is the last.
    async fn page(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
    ) -> Result<(Vec<ObjectMeta>, bool)> {
        let fate = self.there().await?;
        let most = self.world.dice(|dice| dice.within(3..60)) as usize;
        let (page, last) = {
            let state = self.place.state.lock();
            let mut found = state.bucket.list(prefix, after);
            let page: Vec<_> =
                found.by_ref().take(most).map(|(path, o)| self.meta(path, o)).collect();
            (page, found.next().is_none())
        };
        self.back(fate).await?;
        Ok((page, last))
    }
}

/// A write on its way: dropped with it, it may land nevertheless.
struct OnItsWay<'a> {
    store: &'a SimStore,
    write: Option<Write>,
    fate: Fate,
}

impl OnItsWay<'_> {
    fn lands_in(&mut self, ms: u64) {
        if let Some(write) = self.write.take() {
            let at = self.store.world.now_ms() + ms;
            self.store.place.state.lock().late.push((at, self.store.party, write));
        }
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if let Some(ms) = self.fate.lands_after_ms {
            self.lands_in(ms);
        }
    }
}

fn timed_out() -> Error {
    Error::Generic { store: STORE, source: io::Error::from(io::ErrorKind::TimedOut).into() }
}

fn sync_failed() -> Error {
    StoreFault::SyncFailed(io::Error::other("EIO")).into_store_error(STORE)
}

fn refused() -> Error {
    Error::Generic { store: STORE, source: "503 slow down".into() }
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE} store of {}", self.party)
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = match options.mode {
            PutMode::Create => Put::Create,
            PutMode::Overwrite => Put::Overwrite,
            PutMode::Update(_) => {
                let operation = "put_opts of an update".to_owned();
                return Err(Error::NotImplemented { operation, implementer: STORE.to_owned() });
            }
        };
        let path = location.clone();
        let left_out = match self.world.sabotage {
            Sabotage::Floor => path.as_ref().contains("/floor-"),
            Sabotage::SealingMark => path.as_ref().ends_with(".sealing"),
            _ => false,
        };
        if left_out {
            return Ok(PutResult { e_tag: None, version: None });
        }
        match self.write(Write::Put { path, bytes: payload.into(), put }).await? {
            Deed::Exists => {
                let (path, source) = (location.to_string(), "it is there".into());
                Err(Error::AlreadyExists { path, source })
            }
            _ => Ok(PutResult { e_tag: None, version: None }),
        }
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let operation = "put_multipart_opts".to_owned();
        Err(Error::NotImplemented { operation, implementer: STORE.to_owned() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fate = self.there().await?;
        let object = self.place.state.lock().bucket.get(location).cloned();
        self.back(fate).await?;
        let Some(object) = object else {
            let (path, source) = (location.to_string(), "it is not there".into());
            return Err(Error::NotFound { path, source });
        };
        let (bytes, meta) = (self.seen(location, &object), self.meta(location, &object));
        options.check_preconditions(&meta)?;
        let range: Range<u64> = match options.range {
            None => 0..meta.size,
            Some(range) => range
                .as_range(meta.size)
                .map_err(|e| Error::Generic { store: STORE, source: Box::new(e) })?,
        };
        let part = bytes.slice(range.start as usize..range.end as usize);
        let payload = GetResultPayload::Stream(stream::iter([Ok(part)]).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = Arc::new(Self {
            world: Arc::clone(&self.world),
            place: Arc::clone(&self.place),
            party: self.party,
            view: self.view,
        });
        let one = move |location: Result<Path>| {
            let store = Arc::clone(&store);
            async move {
                let path = location?;
                store.write(Write::Delete(path.clone())).await?;
                Ok(path)
            }
        };
        locations.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = Self {
            world: Arc::clone(&self.world),
            place: Arc::clone(&self.place),
            party: self.party,
            view: self.view,
        };
        let begin = (store, prefix.cloned(), None, false);
        let pages = stream::try_unfold(begin, |(store, prefix, after, over)| async move {
            if over {
                return Ok::<_, Error>(None);
            }
            let (page, last) = store.page(prefix.as_ref(), after.as_ref()).await?;
            let after = page.last().map(|meta| meta.location.clone()).or(after);
            Ok(Some((stream::iter(page.into_iter().map(Ok)), (store, prefix, after, last))))
        });
        futures::TryStreamExt::try_flatten(pages).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let fate = self.there().await?;
        let result = {
            let state = self.place.state.lock();
            let depth = prefix.map_or(0, |prefix| prefix.parts().count());
            let (mut objects, mut folders) = (vec![], vec![]);
            for (path, object) in state.bucket.list(prefix, None) {
                let parts: Vec<_> = path.parts().collect();
                if parts.len() == depth + 1 {
                    objects.push(self.meta(path, object));
                } else {
                    folders.push(Path::from_iter(parts.into_iter().take(depth + 1)));
                }
            }
            folders.dedup();
            ListResult { objects, common_prefixes: folders }
        };
        self.back(fate).await?;
        Ok(result)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        let operation = "copy_opts".to_owned();
        Err(Error::NotImplemented { operation, implementer: STORE.to_owned() })
    }
}
