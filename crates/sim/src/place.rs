//! The place that all parties share: its objects, and what of its writes breaks a promise.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use parking_lot::Mutex;
use twox_hash::XxHash3_64;

use crate::bucket::{Bucket, LogWatch, Put};
use crate::ledger::Promise;
use crate::plan::StoreFaults;
use crate::sabotage::Sabotage;
use crate::world::{Party, World};

/// What kind of place the objects are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Flavour {
    /// Durable as soon as it is there.
    Bucket,
    /// A disk: what is not synced yet is forgotten by a power cut.
    Directory,
}

/// The place that all parties share.
pub struct Place {
    pub flavour: Flavour,
    pub state: Mutex<PlaceState>,
}

pub struct PlaceState {
    pub bucket: Bucket,
    pub watch: LogWatch,
    pub faults: StoreFaults,
    pub disk_full: bool,
    /// Since when a failed fsync keeps a directory from taking writes; until its process starts anew.
    pub unsafe_since: Option<u64>,
    /// Writes of senders that went away meanwhile, by the time at which they land.
    pub late: Vec<(u64, Party, Write)>,
}

#[derive(Clone, Debug)]
pub enum Write {
    Put { path: Path, bytes: Bytes, put: Put },
    Delete(Path),
}

impl Write {
    pub const fn path(&self) -> &Path {
        match self {
            Self::Put { path, .. } | Self::Delete(path) => path,
        }
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Done,
    Exists,
    Absent,
}

impl Place {
    pub fn new(flavour: Flavour, faults: StoreFaults) -> Arc<Self> {
        let (bucket, watch, late) = (Bucket::default(), LogWatch::default(), vec![]);
        let state =
            PlaceState { bucket, watch, faults, disk_full: false, unsafe_since: None, late };
        Arc::new(Self { flavour, state: Mutex::new(state) })
    }

    /// Does the writes whose time has come.
    pub fn land_late_writes(&self, world: &World) {
        let now = world.now_ms();
        let due: Vec<_> = self.state.lock().late.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, from, write) in due {
            let deed = self.perform(world, from, &write);
            world.event(format_args!("{from} late {} {deed:?}", write.path()));
            world.count("store: a write landed late");
        }
    }

    /// Does a write at once, and looks whether it breaks a promise.
    pub fn perform(&self, world: &World, from: Party, write: &Write) -> Deed {
        let mut state = self.state.lock();
        let PlaceState { bucket, watch, .. } = &mut *state;
        let (now, sabotage) = (world.now_ms(), world.sabotage);
        match write {
            Write::Put { path, bytes, put } => {
                let mut path = path.clone();
                let mut put = *put;
                if sabotage == Sabotage::ConditionalCreate {
                    put = Put::Overwrite;
                }
                let entry = log_entry_of(&path);
                if sabotage == Sabotage::ConflictCheck && entry.is_some() {
                    while put == Put::Create && bucket.get(&path).is_some() {
                        path = next_entry(&path);
                    }
                }
                if !bucket.put(&path, bytes.clone(), put, now) {
                    bucket.sync_folder_of(&path);
                    return Deed::Exists;
                }
                if self.flavour == Flavour::Bucket {
                    bucket.sync_folder_of(&path);
                }
                let is_there = |path: &Path| bucket.get(path).is_some();
                let wrong = entry.and_then(|table| watch.entry(&table, bytes, is_there));
                drop(state);
                let hash = XxHash3_64::oneshot(bytes);
                world.event(format_args!("{from} put {path} {} {hash:x}", bytes.len()));
                if let Some((promise, wrong)) = wrong {
                    world.broken(promise, wrong);
                }
                Deed::Done
            }
            Write::Delete(path) => {
                if !bucket.delete(path) {
                    return Deed::Absent;
                }
                if self.flavour == Flavour::Bucket {
                    bucket.sync_folder_of(path);
                }
                let live = watch.is_live(path);
                drop(state);
                world.event(format_args!("{from} delete {path}"));
                if live {
                    world.broken(Promise::FilesStay, format!("{path} was removed"));
                }
                Deed::Done
            }
        }
    }
}

impl PlaceState {
    /// After a power cut: entries may be gone.
    pub fn read_logs_anew(&mut self) {
        self.watch = LogWatch::default();
        for (path, object) in self.bucket.list(None, None) {
            if let Some(table) = log_entry_of(path) {
                // What is wrong was noticed when it was written.
                let _ = self.watch.entry(&table, &object.bytes, |_| true);
            }
        }
    }
}

/// The table of a path that is an entry of its Delta log.
pub fn log_entry_of(path: &Path) -> Option<String> {
    let (table, entry) = path.as_ref().split_once("/_delta_log/")?;
    entry.ends_with(".json").then(|| table.to_owned())
}

fn next_entry(path: &Path) -> Path {
    let (folder, entry) = path.as_ref().rsplit_once('/').unwrap_or_default();
    let number: u64 = entry.trim_end_matches(".json").parse().unwrap_or(0);
    Path::from(format!("{folder}/{:020}.json", number + 1))
}
