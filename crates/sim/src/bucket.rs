//! The objects themselves: plain state, with what a power cut forgets, and an eye on the Delta log.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use object_store::path::Path;

use crate::ledger::Promise;

/// What is at a path.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Bytes,
    pub modified_ms: u64,
}

#[derive(Debug, Default)]
pub struct Bucket {
    objects: BTreeMap<Path, Object>,
    /// Names whose change is not durable, with what a power cut brings back.
    unsynced: BTreeMap<Path, Option<Object>>,
}

/// How a put meets an object that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Create,
    Overwrite,
}

impl Bucket {
    pub fn get(&self, path: &Path) -> Option<&Object> {
        self.objects.get(path)
    }

    /// Objects below a folder after a name, in order.
    pub fn list<'a>(
        &'a self,
        prefix: Option<&'a Path>,
        after: Option<&'a Path>,
    ) -> impl Iterator<Item = (&'a Path, &'a Object)> {
        let later = self.objects.iter().filter(move |(path, _)| after.is_none_or(|a| *path > a));
        later.filter(move |(path, _)| {
            prefix.is_none_or(|prefix| *path != prefix && path.prefix_matches(prefix))
        })
    }

    /// False when it is a create and something is there.
    pub fn put(&mut self, path: &Path, bytes: Bytes, put: Put, now_ms: u64) -> bool {
        if put == Put::Create && self.objects.contains_key(path) {
            return false;
        }
        let object = Object { bytes, modified_ms: now_ms };
        let before = self.objects.insert(path.clone(), object);
        self.changed(path, before);
        true
    }

    /// False when there was nothing to remove.
    pub fn delete(&mut self, path: &Path) -> bool {
        let Some(before) = self.objects.remove(path) else { return false };
        self.changed(path, Some(before));
        true
    }

    fn changed(&mut self, path: &Path, before: Option<Object>) {
        self.unsynced.entry(path.clone()).or_insert(before);
    }

    /// Makes the names in a path's folder durable, as they are. (What they name was synced before.)
    pub fn sync_folder_of(&mut self, path: &Path) {
        let folder =
            |path: &Path| path.as_ref().rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let synced = folder(path);
        self.unsynced.retain(|path, _| folder(path) != synced);
    }

    /// Forgets changes that are not synced, each if `forgets` says so. Answers with their paths.
    pub fn power_cut(&mut self, mut forgets: impl FnMut() -> bool) -> Vec<Path> {
        let mut forgotten = vec![];
        for (path, before) in std::mem::take(&mut self.unsynced) {
            if !forgets() {
                continue;
            }
            match before {
                Some(before) => self.objects.insert(path.clone(), before),
                None => self.objects.remove(&path),
            };
            forgotten.push(path);
        }
        forgotten
    }
}

/// What the log of each table says, followed entry by entry.
#[derive(Debug, Default)]
pub struct LogWatch {
    watermarks: BTreeMap<(String, String), i64>,
    live: BTreeSet<String>,
}

impl LogWatch {
    /// Takes in a new log entry of a table; answers with what is wrong about it. `is_there` tells
    /// whether there is an object of a path.
    pub fn entry(
        &mut self,
        table: &str,
        json: &[u8],
        is_there: impl Fn(&Path) -> bool,
    ) -> Option<(Promise, String)> {
        for line in json.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(action) = serde_json::from_slice::<serde_json::Value>(line) else {
                return Some((Promise::FilesStay, format!("an entry of {table} is no JSON")));
            };
            if let Some(txn) = action.get("txn") {
                let writer = txn["appId"].as_str().unwrap_or_default().to_owned();
                let version = txn["version"].as_i64().unwrap_or(-1);
                let known = self.watermarks.insert((table.to_owned(), writer.clone()), version);
                if known.is_some_and(|known| known >= version) {
                    let what = format!("{table}: {writer} from {known:?} to {version}");
                    return Some((Promise::WatermarksRise, what));
                }
            }
            if let Some(path) = action["add"]["path"].as_str() {
                let path = format!("{table}/{path}");
                if !is_there(&Path::from(path.as_str())) {
                    return Some((Promise::FilesStay, format!("{path} was committed and is gone")));
                }
                self.live.insert(path);
            }
            if let Some(path) = action["remove"]["path"].as_str() {
                self.live.remove(&format!("{table}/{path}"));
            }
        }
        None
    }

    /// Whether an object is a file of the present version of its table.
    pub fn is_live(&self, path: &Path) -> bool {
        self.live.contains(path.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(bucket: &mut Bucket, path: &str, text: &'static str, put: Put) -> bool {
        bucket.put(&Path::from(path), Bytes::from_static(text.as_bytes()), put, 0)
    }

    #[test]
    fn a_power_cut_brings_back_what_was_synced_last() {
        let mut bucket = Bucket::default();
        assert!(put(&mut bucket, "a", "1", Put::Create));
        bucket.sync_folder_of(&Path::from("a"));
        assert!(!put(&mut bucket, "a", "2", Put::Create));
        put(&mut bucket, "a", "2", Put::Overwrite);
        put(&mut bucket, "b", "1", Put::Create);
        assert_eq!(bucket.power_cut(|| true), [Path::from("a"), Path::from("b")]);
        assert_eq!(bucket.get(&Path::from("a")).map(|o| o.bytes.as_ref()), Some(b"1".as_ref()));
        assert!(bucket.get(&Path::from("b")).is_none());
        bucket.delete(&Path::from("a"));
        bucket.power_cut(|| true);
        assert!(bucket.get(&Path::from("a")).is_some(), "the removal was not synced");
    }

    #[test]
    fn a_watermark_that_does_not_rise_is_noticed() {
        let mut watch = LogWatch::default();
        let entry = |version| format!(r#"{{"txn":{{"appId":"w","version":{version}}}}}"#);
        assert_eq!(watch.entry("t", entry(3).as_bytes(), |_| true), None);
        assert_eq!(watch.entry("u", entry(1).as_bytes(), |_| true), None);
        assert!(watch.entry("t", entry(3).as_bytes(), |_| true).is_some());
    }

    #[test]
    fn a_file_that_is_committed_and_not_there_is_noticed() {
        let mut watch = LogWatch::default();
        let entry = br#"{"add":{"path":"date=2026-11-01/hour=13/a.parquet"}}"#;
        let there = Path::from("t/date=2026-11-01/hour=13/a.parquet");
        assert_eq!(watch.entry("t", entry, |path| *path == there), None);
        assert!(watch.is_live(&there));
        assert!(watch.entry("u", entry, |path| *path == there).is_some());
    }
}
