//! The indexes in files: which of their rows a query leaves.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use futures::stream::{self, StreamExt, TryStreamExt};
use loglake_format::FormatError;
use loglake_format::index::{
    ColumnIndex, ColumnParts, Dictionary, FileWords, Filters, INDEX_KEY, IndexDirectory, Needle,
    Rows, Search, Section, Wanted,
};
use lru::LruCache;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parking_lot::Mutex;

use crate::QueryError;
use crate::lookups::CacheLookups;
use crate::reader::{FOOTER_GUESS_BYTES, footer};
use crate::runs::RunFilter;

/// Files whose indexes are read at once by one scan.
const FILES_AT_ONCE: usize = 16;

/// Files that are opened only to ask where their services are; those whose runs are at hand are asked
/// anyway. A limit may end the query before it comes to the others.
const OPENED_FOR_RUNS_MAX: usize = 128;

/// What is asked of the indexes.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) search: Search,
    /// What indexes may answer for good; `search` has it too.
    pub(crate) wanted: Option<Wanted>,
    pub(crate) runs: Option<RunFilter>,
    /// Whether it is for the runs to answer for good, too.
    pub(crate) by_runs: bool,
}

impl Asked {
    pub(crate) fn is_nothing(&self) -> bool {
        self.search == Search::Anything && self.runs.is_none()
    }

    /// A file whose index is not asked.
    fn without_index(&self, file: &IndexedFile) -> Left {
        let is_sure = file.is_proved && self.wanted.is_none() && !self.by_runs;
        let (possible, sure) = match is_sure {
            true => (Part::Nothing, Part::Everything),
            false => (Part::Everything, Part::Nothing),
        };
        Left { possible, sure }
    }
}

/// Reads token indexes, and keeps what it read.
#[derive(Debug)]
pub(crate) struct TokenIndexes {
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    lookups: Arc<CacheLookups>,
    kept: Mutex<Kept>,
}

/// A file to be asked, and its words where the list of files has them.
pub(crate) struct IndexedFile {
    pub(crate) object: ObjectMeta,
    pub(crate) words: Option<Arc<str>>,
    /// Whether it is as loglake wrote it. What another program made of it may have the same metadata and
    /// its rows elsewhere.
    pub(crate) is_own: bool,
    /// Whether its statistics prove the filters of which its index is not asked, where an answer for good
    /// is wanted.
    pub(crate) is_proved: bool,
}

/// What is left of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Left {
    /// Rows of which the filters are yet to be asked.
    pub(crate) possible: Part,
    /// Rows for which it is sure that what is wanted of them holds.
    pub(crate) sure: Part,
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Everything,
    Nothing,
    Rows(RowSelection),
}

impl Left {
    const NOTHING: Self = Self { possible: Part::Nothing, sure: Part::Nothing };
}

impl Part {
    fn of(rows: &Rows, count: usize) -> Self {
        match rows.len() {
            0 => Self::Nothing,
            all if all == count => Self::Everything,
            _ => {
                let ranges = rows.ranges().iter().cloned();
                Self::Rows(RowSelection::from_consecutive_ranges(ranges, count))
            }
        }
    }
}

impl TokenIndexes {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        footers: Arc<FileMetadataCache>,
        bytes_max: usize,
    ) -> Self {
        Self { store, footers, lookups: Arc::default(), kept: Mutex::new(Kept::new(bytes_max)) }
    }

    /// How often it, and whoever reads files with it, found footers and indexes decoded.
    pub(crate) fn lookups(&self) -> Arc<CacheLookups> {
        Arc::clone(&self.lookups)
    }

    /// What is left of each file, in their order: the newest first.
    ///
    /// # Errors
    /// When a file cannot be read. An index that is not what was written leaves everything.
    pub(crate) async fn narrow(
        &self,
        files: Vec<IndexedFile>,
        asked: &Asked,
    ) -> Result<Vec<Left>, QueryError> {
        let is_search = asked.search != Search::Anything;
        let mut opened = 0;
        let left = files.into_iter().map(|file| {
            let is_near = is_search || self.knows(&file) || opened < OPENED_FOR_RUNS_MAX;
            opened += usize::from(is_near && !is_search);
            async move {
                if !self.may_have(&file, &asked.search) {
                    return Ok(Left::NOTHING);
                }
                if !is_near {
                    return Ok(asked.without_index(&file));
                }
                let object = &file.object;
                let error = |error| QueryError::of_file(object.location.to_string(), error);
                self.left(&file, asked).await.map_err(error)
            }
        });
        stream::iter(left).buffered(FILES_AT_ONCE).try_collect().await
    }

    fn knows(&self, file: &IndexedFile) -> bool {
        self.kept.lock().parts.contains(&Key::new(&file.object, Which::Directory))
    }

    /// Whether the words of a file, which the list of files has, leave anything of it.
    fn may_have(&self, file: &IndexedFile, search: &Search) -> bool {
        let (Some(text), false) = (&file.words, search == &Search::Anything) else { return true };
        let key = Key::new(&file.object, Which::Words);
        let known = self.kept.lock().get(&key);
        let words = match known {
            Some(Known::Words(words)) => words,
            _ => {
                let words = FileWords::parse(text).map(Arc::new);
                let bytes = words.as_ref().map_or(0, |words| words.bytes());
                self.kept.lock().put(key, Known::Words(words.clone()), bytes);
                words
            }
        };
        words.is_none_or(|words| words.may_have(search))
    }

    async fn left(&self, file: &IndexedFile, asked: &Asked) -> ParquetResult<Left> {
        let object = &file.object;
        let Some(directory) = self.directory(object).await? else {
            return Ok(asked.without_index(file));
        };
        let size = directory.size();
        let runs = match (&asked.runs, &directory.runs) {
            // What it cannot say of a run, as of a text that is no number, is told of the rows.
            (Some(filter), Some(runs)) if file.is_own => filter.rows(runs).ok(),
            _ => None,
        };
        // Rows are where they were written only in files as they were written.
        let is_sure = file.is_proved
            && (runs.is_some() || !asked.by_runs)
            && (file.is_own || asked.wanted.is_none());
        let rows = runs.unwrap_or_else(|| Rows::all(size.rows));
        if rows.is_empty() {
            return Ok(Left::NOTHING);
        }
        let columns = self.columns(object, &directory, &asked.search).await?;
        let parts = |column: &str| Some(columns.get(column)?.parts());
        let rows = rows.intersection(&asked.search.rows(&parts, size));
        let (possible, sure) = match asked.wanted.as_ref().filter(|_| file.is_own) {
            Some(wanted) => {
                let found = wanted.rows(&parts, size);
                (rows.intersection(&found.possible), rows.intersection(&found.sure))
            }
            None => (rows.clone(), rows),
        };
        let sure = if is_sure { sure } else { Rows::none() };
        let possible = possible.without(&sure);
        Ok(Left { possible: Part::of(&possible, size.rows), sure: Part::of(&sure, size.rows) })
    }

    /// What the search needs of the indexes of a file.
    async fn columns<'a>(
        &self,
        file: &ObjectMeta,
        directory: &IndexDirectory,
        search: &'a Search,
    ) -> ParquetResult<HashMap<&'a str, ColumnRead>> {
        let mut columns = HashMap::new();
        for (column, needle) in search.needles() {
            if let Some(index) = directory.columns.get(column) {
                let read: &mut ColumnRead = columns.entry(column).or_default();
                self.read(file, index, needle, read).await?;
            }
        }
        Ok(columns)
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// As scans ask for it, so that it is read once.
    pub(crate) async fn footer(&self, file: &ObjectMeta) -> ParquetResult<Arc<ParquetMetaData>> {
        let policy = Some(PageIndexPolicy::Optional);
        let guess = Some(FOOTER_GUESS_BYTES);
        footer(self.store.as_ref(), &self.footers, &self.lookups, file, guess, policy).await
    }

    /// Where in a file of loglake's its index is; `None` where it has none of its own.
    pub(crate) async fn directory(
        &self,
        file: &ObjectMeta,
    ) -> ParquetResult<Option<Arc<IndexDirectory>>> {
        let key = Key::new(file, Which::Directory);
        if let Some(Known::Directory(directory)) = self.kept(&key) {
            return Ok(directory);
        }
        let footer = self.footer(file).await?;
        let pairs = footer.file_metadata().key_value_metadata().into_iter().flatten();
        let value = pairs.filter(|pair| pair.key == INDEX_KEY).find_map(|pair| pair.value.as_ref());
        let bytes = value.map_or(0, String::len);
        // Programs that copy a file may copy its metadata too: the index is that of other bytes then.
        let is_its_own = |directory: &IndexDirectory| {
            let mut ends = directory.sections().map(|section| section.range().end);
            directory.rows as i64 == footer.file_metadata().num_rows()
                && ends.all(|end| end <= file.size)
        };
        let directory = value.and_then(|value| IndexDirectory::parse(value));
        let directory = directory.filter(is_its_own).map(Arc::new);
        self.kept.lock().put(key, Known::Directory(directory.clone()), bytes);
        Ok(directory)
    }

    /// Reads what the needle needs of a column's index, and is not read yet.
    async fn read(
        &self,
        file: &ObjectMeta,
        index: &ColumnIndex,
        needle: &Needle,
        read: &mut ColumnRead,
    ) -> ParquetResult<()> {
        let (mut near, mut filters) = (None, None);
        match index {
            ColumnIndex::Values { filters: values } => {
                read.is_values = true;
                filters = needle.narrows_values().then_some(values);
            }
            ColumnIndex::Words { dictionary, filters: of_words } => {
                if needle.needs_dictionary() && read.dictionary.is_none() {
                    if let (Some(of_words), true) = (of_words, needle.needs_filters(None)) {
                        near = self.both(file, dictionary, of_words).await?;
                    }
                    read.dictionary = self.dictionary(file, dictionary, near.as_ref()).await?;
                }
                let needed = needle.needs_filters(read.dictionary.as_deref());
                filters = of_words.as_ref().filter(|_| needed).or(filters);
            }
        }
        if let (Some(section), None) = (filters, &read.filters) {
            read.filters = self.filters(file, section, near.as_ref()).await?;
        }
        Ok(())
    }

    /// The bytes of two sections at once, where they follow each other and none is kept: the store is
    /// asked once then.
    async fn both(
        &self,
        file: &ObjectMeta,
        first: &Section,
        second: &Section,
    ) -> ParquetResult<Option<Near>> {
        let kept = |section: &Section| {
            self.kept.lock().parts.contains(&Key::new(file, Which::Section(section.offset)))
        };
        if first.range().end != second.offset || kept(first) || kept(second) {
            return Ok(None);
        }
        let range = first.offset..second.range().end;
        Ok(Some(Near { start: first.offset, bytes: self.get(file, range).await? }))
    }

    async fn dictionary(
        &self,
        file: &ObjectMeta,
        section: &Section,
        near: Option<&Near>,
    ) -> ParquetResult<Option<Arc<Dictionary>>> {
        let decode = |bytes: Bytes| Dictionary::decode(&bytes).map(Arc::new).map(Known::Dictionary);
        Ok(match self.part(file, section, near, decode).await? {
            Some(Known::Dictionary(dictionary)) => Some(dictionary),
            _ => None,
        })
    }

    async fn filters(
        &self,
        file: &ObjectMeta,
        section: &Section,
        near: Option<&Near>,
    ) -> ParquetResult<Option<Arc<Filters>>> {
        let decode = |bytes| Filters::decode(bytes).map(Arc::new).map(Known::Filters);
        Ok(match self.part(file, section, near, decode).await? {
            Some(Known::Filters(filters)) => Some(filters),
            _ => None,
        })
    }

    /// A section, decoded; `None` when it is not what was written.
    async fn part(
        &self,
        file: &ObjectMeta,
        section: &Section,
        near: Option<&Near>,
        decode: impl FnOnce(Bytes) -> Result<Known, FormatError>,
    ) -> ParquetResult<Option<Known>> {
        let key = Key::new(file, Which::Section(section.offset));
        if let Some(part) = self.kept(&key) {
            return Ok(Some(part));
        }
        let bytes = match near {
            Some(near) => near.section(section),
            None => self.get(file, section.range()).await?,
        };
        match section.check(&bytes).and_then(|()| decode(bytes)) {
            Ok(part) => {
                let bytes = part.bytes();
                self.kept.lock().put(key, part.clone(), bytes);
                Ok(Some(part))
            }
            Err(error) => {
                tracing::warn!(file = %file.location, "{error}: its pages are not narrowed");
                Ok(None)
            }
        }
    }

    /// What is kept of a file, and counted.
    fn kept(&self, key: &Key) -> Option<Known> {
        let part = self.kept.lock().get(key);
        self.lookups.indexes.count(part.is_some());
        part
    }

    async fn get(&self, file: &ObjectMeta, range: Range<u64>) -> ParquetResult<Bytes> {
        // As scans ask for theirs: a store with a cache answers from it.
        let bytes = self.store.get_ranges(&file.location, &[range]).await;
        let bytes = bytes.map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(bytes.into_iter().next().unwrap_or_default())
    }
}

/// Bytes of a file that were read together.
struct Near {
    /// Where in the file they begin.
    start: u64,
    bytes: Bytes,
}

impl Near {
    /// A section among them; nothing where they are fewer than was asked for.
    fn section(&self, section: &Section) -> Bytes {
        let from = (section.offset - self.start) as usize;
        let to = from + section.bytes as usize;
        match to <= self.bytes.len() {
            true => self.bytes.slice(from..to),
            false => Bytes::new(),
        }
    }
}

/// What was read of one column's index.
#[derive(Default)]
struct ColumnRead {
    is_values: bool,
    dictionary: Option<Arc<Dictionary>>,
    filters: Option<Arc<Filters>>,
}

impl ColumnRead {
    fn parts(&self) -> ColumnParts<'_> {
        let (dictionary, filters) = (self.dictionary.as_deref(), self.filters.as_deref());
        match self.is_values {
            true => ColumnParts::Values { filters },
            false => ColumnParts::Words { dictionary, filters },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    file: Path,
    which: Which,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Which {
    Directory,
    /// Of the file, from the list of files.
    Words,
    /// That which begins there.
    Section(u64),
}

impl Key {
    fn new(file: &ObjectMeta, which: Which) -> Self {
        Self { file: file.location.clone(), which }
    }
}

#[derive(Clone, Debug)]
enum Known {
    Directory(Option<Arc<IndexDirectory>>),
    Words(Option<Arc<FileWords>>),
    Dictionary(Arc<Dictionary>),
    Filters(Arc<Filters>),
}

impl Known {
    fn bytes(&self) -> usize {
        match self {
            Self::Directory(_) | Self::Words(_) => 0,
            Self::Dictionary(dictionary) => dictionary.bytes(),
            Self::Filters(filters) => filters.bytes(),
        }
    }
}

/// The parts used last, up to a number of bytes.
#[derive(Debug)]
struct Kept {
    parts: LruCache<Key, (Known, usize)>,
    bytes: usize,
    bytes_max: usize,
}

/// What an entry takes beside its part.
const ENTRY_BYTES: usize = 256;

impl Kept {
    fn new(bytes_max: usize) -> Self {
        Self { parts: LruCache::unbounded(), bytes: 0, bytes_max }
    }

    fn get(&mut self, key: &Key) -> Option<Known> {
        self.parts.get(key).map(|(part, _)| part.clone())
    }

    fn put(&mut self, key: Key, part: Known, bytes: usize) {
        let bytes = bytes + ENTRY_BYTES;
        self.bytes += bytes;
        if let Some((_, before)) = self.parts.put(key, (part, bytes)) {
            self.bytes -= before;
        }
        while self.bytes > self.bytes_max {
            let Some((_, (_, bytes))) = self.parts.pop_lru() else { break };
            self.bytes -= bytes;
        }
    }
}
