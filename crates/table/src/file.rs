//! Data files: their names, and their place in the log's `add` and `remove`.

use std::fmt;
use std::sync::Arc;

use loglake_model::{DATE, FileStats, HOUR, Partition, PartitionBy, TableSchema, Timestamp};
use object_store::path::Path;
use uuid::Uuid;

use crate::action::{Add, Remove, Strings, decode_path, encode_path};
use crate::list::HasPath;
use crate::stats;

/// Where the ids of new files and tables come from: the door to randomness.
#[derive(Clone)]
pub(crate) struct NewIds(pub(crate) Arc<dyn Fn() -> Uuid + Send + Sync>);

impl NewIds {
    pub(crate) fn next(&self) -> Uuid {
        (self.0)()
    }
}

impl Default for NewIds {
    #[expect(clippy::disallowed_methods, reason = "the door itself")]
    fn default() -> Self {
        Self(Arc::new(Uuid::new_v4))
    }
}

impl fmt::Debug for NewIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewIds")
    }
}

/// A data file: the facts of Delta's `add` action.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Relative to the table's root.
    pub path: Path,
    pub partition: Partition,
    pub bytes: u64,
    pub rows: u64,
    pub stats: FileStats,
    pub modified: Timestamp,
    /// XXH3-64 of all the file's bytes; absent in tables that another program wrote.
    pub checksum: Option<u64>,
    /// The words of its texts, as the encoder gave them: a search asks them before it opens the file.
    pub words: Option<Arc<str>>,
}

/// The tag of an `add` that holds a file's words.
const WORDS: &str = "loglake.words";
/// The tag of an `add` that holds a file's checksum, as 16 hexadecimal digits. Other readers pass it
/// over.
const CHECKSUM: &str = "loglake.xxh3";

/// A file that is no longer part of the table and that vacuum may not have taken yet.
#[derive(Debug, PartialEq)]
pub(crate) struct Tombstone {
    path: Path,
    pub(crate) remove: Remove,
}

impl HasPath for DataFile {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl HasPath for Tombstone {
    fn path(&self) -> &Path {
        &self.path
    }
}

/// A name for a new file: `<folder>/<uuid>.parquet`, or `<folder>/<uuid>-<vacuum>.parquet` once
/// the table has been vacuumed. So a file tells which vacuums cannot have listed it.
pub(crate) fn new_path(id: Uuid, partition: &Partition, vacuum: u64) -> Path {
    let name = match vacuum {
        0 => format!("{id}.parquet"),
        vacuum => format!("{id}-{vacuum}.parquet"),
    };
    Path::from(format!("{partition}/{name}"))
}

/// The table's last vacuum when this file was named; 0 for none, and for a name of another make.
pub(crate) fn vacuum_of(path: &Path) -> u64 {
    let stem = path.filename().and_then(|name| name.strip_suffix(".parquet"));
    // A UUID has four dashes of its own; the fifth begins the number.
    stem.and_then(|stem| stem.splitn(6, '-').nth(5)?.parse().ok()).unwrap_or(0)
}

/// The values of the partition columns, as the log spells them.
fn partition_values(partition: &Partition) -> Strings {
    let mut values = Strings::from([(DATE.to_owned(), Some(partition.date()))]);
    if let Some(hour) = partition.hour {
        values.insert(HOUR.to_owned(), Some(hour.to_string()));
    }
    values
}

impl DataFile {
    pub(crate) fn add(&self, data_change: bool) -> Add {
        Add {
            path: encode_path(self.path.as_ref()),
            partition_values: partition_values(&self.partition),
            size: self.bytes.cast_signed(),
            modification_time: self.modified.millis(),
            data_change,
            stats: Some(stats::to_json(self.rows, &self.stats)),
            tags: self.tags(),
        }
    }

    fn tags(&self) -> Option<Strings> {
        let checksum = self.checksum.map(|checksum| (CHECKSUM, format!("{checksum:016x}")));
        let words = self.words.as_ref().map(|words| (WORDS, words.to_string()));
        let tags = checksum.into_iter().chain(words);
        let tags: Strings = tags.map(|(name, tag)| (name.to_owned(), Some(tag))).collect();
        (!tags.is_empty()).then_some(tags)
    }

    pub(crate) fn remove(&self, now: Timestamp, data_change: bool) -> Remove {
        Remove {
            path: encode_path(self.path.as_ref()),
            deletion_timestamp: Some(now.millis()),
            data_change,
            extended_file_metadata: Some(true),
            partition_values: Some(partition_values(&self.partition)),
            size: Some(self.bytes.cast_signed()),
        }
    }

    /// # Errors
    /// What of the action loglake does not know.
    pub(crate) fn from_add(add: &Add, schema: &TableSchema) -> Result<Self, String> {
        let text = |name| add.partition_values.get(name).and_then(Option::as_deref);
        let hour = match schema.partition_by() {
            PartitionBy::Hour => Some(text(HOUR)),
            PartitionBy::Day => None,
        };
        let partition = match (text(DATE), hour) {
            (None, _) | (_, Some(None)) => None,
            (Some(date), hour) => Partition::parse(date, hour.flatten()),
        };
        let of_file = |what: &str| format!("{what} of file {}", add.path);
        let partition = partition
            .ok_or_else(|| of_file(&format!("the partition {:?}", add.partition_values)))?;
        let (rows, stats) = add
            .stats
            .as_deref()
            .and_then(|json| stats::from_json(json, schema))
            .ok_or_else(|| of_file("the missing number of rows"))?;
        Ok(Self {
            path: read_path(&add.path)?,
            partition,
            bytes: u64::try_from(add.size).map_err(|_| of_file("the negative size"))?,
            rows,
            stats,
            modified: Timestamp::from_nanos(add.modification_time.saturating_mul(1_000_000)),
            checksum: tag(add, CHECKSUM).and_then(|digits| u64::from_str_radix(digits, 16).ok()),
            words: tag(add, WORDS).map(Arc::from),
        })
    }
}

fn tag<'a>(add: &'a Add, name: &str) -> Option<&'a str> {
    add.tags.as_ref()?.get(name)?.as_deref()
}

impl Tombstone {
    /// # Errors
    /// What of the action loglake does not know.
    pub(crate) fn new(remove: Remove) -> Result<Self, String> {
        Ok(Self { path: read_path(&remove.path)?, remove })
    }
}

fn read_path(encoded: &str) -> Result<Path, String> {
    let decoded = decode_path(encoded).ok_or_else(|| format!("the file name {encoded:?}"))?;
    if decoded.starts_with('/') || decoded.contains("://") {
        return Err(format!("file {encoded}, which lies outside the table"));
    }
    Path::parse(&decoded).map_err(|e| format!("the file name {encoded:?} ({e})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_the_vacuum_it_is_younger_than() {
        let partition = Partition::of(0, PartitionBy::Hour);
        for vacuum in [0, 1, 17] {
            let path = new_path(Uuid::from_u128(7), &partition, vacuum);
            assert_eq!(vacuum_of(&path), vacuum, "{path}");
            assert!(path.as_ref().starts_with("date=1970-01-01/hour=00/"));
        }
        assert_eq!(vacuum_of(&Path::from("part-00000-0-c000.snappy.parquet")), 0);
    }

    #[test]
    fn files_outside_the_table_are_refused() {
        for bad in ["s3://b/x.parquet", "/x.parquet", "file:%2F%2F/x", "a%2"] {
            assert!(read_path(bad).is_err(), "{bad}");
        }
        assert_eq!(read_path("a%20b/c").unwrap(), Path::parse("a b/c").unwrap());
    }
}
