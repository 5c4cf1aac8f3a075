//! A table at one version, and the pure step from one version to the next.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use loglake_model::{SegmentSeq, TableId, TableSchema, Timestamp, WriterId};
use object_store::path::Path;

use crate::TableError;
use crate::action::{Line, Metadata, Protocol, Txn};
use crate::file::{DataFile, Tombstone};
use crate::list::PathList;
use crate::schema;

/// The application id of vacuum's `txn`: one higher each time.
pub(crate) const VACUUM: &str = "vacuum";

/// How long a removed file stays in checkpoints: Delta's default of
/// `delta.deletedFileRetentionDuration`. Other engines' vacuums look at it.
const TOMBSTONE_MILLIS: i64 = 7 * 24 * 3_600 * 1_000;

/// A table at one version. Immutable.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) id: TableId,
    version: u64,
    protocol: Arc<Protocol>,
    metadata: Arc<Metadata>,
    schema: Arc<TableSchema>,
    files: PathList<DataFile>,
    tombstones: PathList<Tombstone>,
    rows: u64,
    bytes: u64,
    watermarks: Arc<HashMap<WriterId, SegmentSeq>>,
    /// All `txn` actions by application, those of the watermarks too, as they go into checkpoints.
    txns: Arc<BTreeMap<String, Txn>>,
}

// The schema is what the metadata says, the sums are the files'.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
            && self.protocol == other.protocol
            && self.metadata == other.metadata
            && self.txns == other.txns
            && self.files == other.files
            && self.tombstones == other.tombstones
    }
}

impl Snapshot {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The data files, oldest commit first.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Arc<DataFile>> + Clone + '_ {
        self.files.iter()
    }

    /// Whether the file of this path, relative to the table's root, is part of the table.
    pub fn contains(&self, path: &Path) -> bool {
        self.files.contains(path)
    }

    /// When the file of this path, relative to the table's root, was removed from the table; `None`
    /// when it never was, or so long ago that it is forgotten.
    pub fn removed_at(&self, path: &Path) -> Option<Timestamp> {
        let millis = self.tombstones.get(path)?.remove.deletion_timestamp?;
        Some(Timestamp::from_nanos(millis.saturating_mul(1_000_000)))
    }

    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The last segment of the writer whose rows are in the files.
    pub fn watermark(&self, writer: WriterId) -> Option<SegmentSeq> {
        self.watermarks.get(&writer).copied()
    }

    pub fn watermarks(&self) -> &HashMap<WriterId, SegmentSeq> {
        &self.watermarks
    }

    /// The offset up to which, this one not included, the records of a queue are in the files.
    pub fn offset(&self, source: &str) -> Option<u64> {
        self.txns.get(source).map(|txn| txn.version.unsigned_abs())
    }

    /// All queues that have rows in the files, each with [`Self::offset`].
    pub fn offsets(&self) -> impl Iterator<Item = (&str, u64)> {
        let queues = self.txns.values().filter(|txn| txn.app_id.contains('/'));
        queues.map(|txn| (txn.app_id.as_str(), txn.version.unsigned_abs()))
    }

    /// How many times the table was vacuumed.
    pub fn vacuum(&self) -> u64 {
        self.txns.get(VACUUM).map_or(0, |txn| txn.version.unsigned_abs())
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The table as an entry or a checkpoint with these actions begins it.
    ///
    /// # Errors
    /// [`TableError::Corrupt`] and [`TableError::Unsupported`], of the file `source`.
    pub(crate) fn begin(source: &Path, version: u64, lines: Vec<Line>) -> Result<Self, TableError> {
        let corrupt =
            |problem: &str| TableError::Corrupt { path: source.clone(), problem: problem.into() };
        let unsupported = |what| TableError::Unsupported { path: source.clone(), what };
        let protocol = lines.iter().find_map(|line| line.protocol.as_ref());
        let metadata = lines.iter().find_map(|line| line.metadata.as_ref());
        let protocol = protocol.ok_or_else(|| corrupt("it has no protocol"))?;
        let metadata = metadata.ok_or_else(|| corrupt("it has no metadata"))?;
        protocol.check().map_err(unsupported)?;
        let schema = schema::from_json(&metadata.schema_string, &metadata.partition_columns);
        let empty = Self {
            id: metadata.id.parse().map_err(|_| corrupt("its table id is no UUID"))?,
            version,
            protocol: Arc::new(protocol.clone()),
            metadata: Arc::new(metadata.clone()),
            schema: Arc::new(schema.map_err(unsupported)?),
            files: PathList::default(),
            tombstones: PathList::default(),
            rows: 0,
            bytes: 0,
            watermarks: Arc::default(),
            txns: Arc::default(),
        };
        empty.take(source, lines, Known::Nothing)
    }

    /// The next version: this one with the actions of the next entry. What the snapshots share is
    /// not copied.
    ///
    /// # Errors
    /// [`TableError::Corrupt`] and [`TableError::Unsupported`], of the file `source`.
    pub(crate) fn apply(mut self, source: &Path, lines: Vec<Line>) -> Result<Self, TableError> {
        self.version += 1;
        self.take(source, lines, Known::Files)
    }

    /// The same version, with more actions of the checkpoint that began it.
    pub(crate) fn more(self, source: &Path, lines: Vec<Line>) -> Result<Self, TableError> {
        self.take(source, lines, Known::Nothing)
    }

    fn take(mut self, source: &Path, lines: Vec<Line>, known: Known) -> Result<Self, TableError> {
        let unsupported = |what| TableError::Unsupported { path: source.clone(), what };
        let (mut adds, mut removes, mut txns) = (vec![], vec![], vec![]);
        for line in lines {
            if let Some(protocol) = line.protocol {
                protocol.check().map_err(unsupported)?;
                self.protocol = Arc::new(protocol);
            }
            if let Some(metadata) = line.metadata {
                self.replace_metadata(source, metadata)?;
            }
            adds.extend(line.add);
            removes.extend(line.remove);
            txns.extend(line.txn);
        }
        let tombstones: Result<Vec<_>, _> = removes.into_iter().map(Tombstone::new).collect();
        let files: Result<Vec<_>, _> =
            adds.iter().map(|add| DataFile::from_add(add, &self.schema)).collect();
        self.bury(tombstones.map_err(unsupported)?, known);
        self.insert(files.map_err(unsupported)?, known);
        self.move_watermarks(txns);
        Ok(self)
    }

    fn replace_metadata(&mut self, source: &Path, metadata: Metadata) -> Result<(), TableError> {
        if *self.metadata == metadata {
            return Ok(());
        }
        if metadata.id != self.metadata.id {
            let problem = format!("table {} became table {}", self.metadata.id, metadata.id);
            return Err(TableError::Corrupt { path: source.clone(), problem });
        }
        let schema = schema::from_json(&metadata.schema_string, &metadata.partition_columns)
            .map_err(|what| TableError::Unsupported { path: source.clone(), what })?;
        self.schema = Arc::new(schema);
        self.metadata = Arc::new(metadata);
        Ok(())
    }

    fn bury(&mut self, tombstones: Vec<Tombstone>, known: Known) {
        if tombstones.is_empty() {
            return;
        }
        if known == Known::Files {
            let paths = tombstones.iter().map(|t| crate::list::HasPath::path(t).clone()).collect();
            self.forget(&paths);
            self.tombstones.remove(&paths);
            let newest = tombstones.iter().filter_map(|t| t.remove.deletion_timestamp).max();
            self.expire_tombstones(newest.unwrap_or(i64::MIN));
        }
        for tombstone in tombstones {
            self.tombstones.push(Arc::new(tombstone));
        }
    }

    fn expire_tombstones(&mut self, now_millis: i64) {
        let expired = self
            .tombstones
            .iter()
            .filter(|t| !is_fresh(t, now_millis))
            .map(|t| crate::list::HasPath::path(t.as_ref()).clone())
            .collect();
        self.tombstones.remove(&expired);
    }

    fn insert(&mut self, files: Vec<DataFile>, known: Known) {
        if known == Known::Files {
            // An `add` of a known path replaces it; of a removed one brings it back.
            let again = |file: &&DataFile| {
                self.files.contains(&file.path) || self.tombstones.contains(&file.path)
            };
            let again: HashSet<Path> =
                files.iter().filter(again).map(|file| file.path.clone()).collect();
            if !again.is_empty() {
                self.forget(&again);
                self.tombstones.remove(&again);
            }
        }
        for file in files {
            self.rows += file.rows;
            self.bytes += file.bytes;
            self.files.push(Arc::new(file));
        }
    }

    fn forget(&mut self, paths: &HashSet<Path>) {
        for file in self.files.remove(paths) {
            self.rows -= file.rows;
            self.bytes -= file.bytes;
        }
    }

    fn move_watermarks(&mut self, txns: Vec<Txn>) {
        for txn in txns {
            if let (Some(writer), Ok(seq)) = (writer_of(&txn.app_id), u64::try_from(txn.version)) {
                Arc::make_mut(&mut self.watermarks).insert(writer, SegmentSeq(seq));
            }
            Arc::make_mut(&mut self.txns).insert(txn.app_id.clone(), txn);
        }
    }

    /// The whole state as the actions of a checkpoint: the reverse of [`Self::begin`].
    pub(crate) fn lines(&self, now: Timestamp) -> impl Iterator<Item = Line> + '_ {
        let head = [self.protocol.as_ref().clone().into(), self.metadata.as_ref().clone().into()];
        let tombstones = self.tombstones.iter().filter(move |t| is_fresh(t, now.millis()));
        head.into_iter()
            .chain(self.txns.values().map(|txn| txn.clone().into()))
            .chain(tombstones.map(|t| t.remove.clone().into()))
            .chain(self.files.iter().map(|file| file.add(false).into()))
    }
}

/// Whether actions may speak of files that the snapshot has. Those of a checkpoint do not, and
/// there are too many of them to look each up.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    Files,
    Nothing,
}

fn is_fresh(tombstone: &Tombstone, now_millis: i64) -> bool {
    let deleted = tombstone.remove.deletion_timestamp.unwrap_or(0);
    deleted >= now_millis.saturating_sub(TOMBSTONE_MILLIS)
}

/// The writer whose watermark a `txn` holds: its id as text, and nothing else that parses as one.
fn writer_of(app_id: &str) -> Option<WriterId> {
    let writer: WriterId = app_id.parse().ok()?;
    (writer.to_string() == app_id).then_some(writer)
}
