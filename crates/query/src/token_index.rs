//! The token indexes of files: which of their pages a search leaves.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::PageIndexPolicy;
use futures::stream::{self, StreamExt, TryStreamExt};
use loglake_format::FormatError;
use loglake_format::index::{
    ColumnIndex, ColumnParts, Dictionary, Filters, INDEX_KEY, IndexDirectory, Needle, Pages,
    Search, Section,
};
use lru::LruCache;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use crate::QueryError;
use crate::reader::{FOOTER_GUESS_BYTES, footer};

/// Files whose indexes are read at once by one scan.
const FILES_AT_ONCE: usize = 16;

/// Reads token indexes, and keeps what it read.
#[derive(Debug)]
pub(crate) struct TokenIndexes {
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    kept: Mutex<Kept>,
}

/// What a search leaves of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Left {
    Everything,
    Nothing,
    /// Some of its pages: their rows.
    Rows(RowSelection),
}

impl TokenIndexes {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        footers: Arc<FileMetadataCache>,
        bytes_max: usize,
    ) -> Self {
        Self { store, footers, kept: Mutex::new(Kept::new(bytes_max)) }
    }

    /// What the search leaves of each file, in their order.
    ///
    /// # Errors
    /// When a file cannot be read. An index that is not what was written leaves everything.
    pub(crate) async fn narrow(
        &self,
        files: Vec<ObjectMeta>,
        search: &Search,
    ) -> Result<Vec<Left>, QueryError> {
        let left = files.into_iter().map(|file| async move {
            let error = |error| QueryError::of_file(file.location.to_string(), error);
            self.left(&file, search).await.map_err(error)
        });
        stream::iter(left).buffered(FILES_AT_ONCE).try_collect().await
    }

    async fn left(&self, file: &ObjectMeta, search: &Search) -> ParquetResult<Left> {
        let Some(directory) = self.directory(file).await? else { return Ok(Left::Everything) };
        let mut columns = HashMap::new();
        for (column, needle) in search.needles() {
            if let Some(index) = directory.columns.get(column) {
                let read: &mut ColumnRead = columns.entry(column).or_default();
                self.read(file, index, needle, read).await?;
            }
        }
        let parts = |column: &str| Some(columns.get(column)?.parts());
        let pages = search.pages(&parts, directory.page_count());
        Ok(left(&pages, &directory))
    }

    async fn directory(&self, file: &ObjectMeta) -> ParquetResult<Option<Arc<IndexDirectory>>> {
        let key = Key { file: file.location.clone(), part: None };
        if let Some(Part::Directory(directory)) = self.kept.lock().get(&key) {
            return Ok(directory);
        }
        // As scans ask for it, so that it is read once.
        let policy = Some(PageIndexPolicy::Optional);
        let guess = Some(FOOTER_GUESS_BYTES);
        let footer = footer(self.store.as_ref(), &self.footers, file, guess, policy).await?;
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
        self.kept.lock().put(key, Part::Directory(directory.clone()), bytes);
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
        let filters = match index {
            ColumnIndex::Values { filters } => {
                read.is_values = true;
                needle.narrows_values().then_some(filters)
            }
            ColumnIndex::Words { dictionary, filters } => {
                if needle.needs_dictionary() && read.dictionary.is_none() {
                    read.dictionary = self.dictionary(file, dictionary).await?;
                }
                let needed = needle.needs_filters(read.dictionary.as_deref());
                filters.as_ref().filter(|_| needed)
            }
        };
        if let (Some(section), None) = (filters, &read.filters) {
            read.filters = self.filters(file, section).await?;
        }
        Ok(())
    }

    async fn dictionary(
        &self,
        file: &ObjectMeta,
        section: &Section,
    ) -> ParquetResult<Option<Arc<Dictionary>>> {
        let decode = |bytes: Bytes| Dictionary::decode(&bytes).map(Arc::new).map(Part::Dictionary);
        Ok(match self.part(file, section, decode).await? {
            Some(Part::Dictionary(dictionary)) => Some(dictionary),
            _ => None,
        })
    }

    async fn filters(
        &self,
        file: &ObjectMeta,
        section: &Section,
    ) -> ParquetResult<Option<Arc<Filters>>> {
        let decode = |bytes| Filters::decode(bytes).map(Arc::new).map(Part::Filters);
        Ok(match self.part(file, section, decode).await? {
            Some(Part::Filters(filters)) => Some(filters),
            _ => None,
        })
    }

    /// A section, decoded; `None` when it is not what was written.
    async fn part(
        &self,
        file: &ObjectMeta,
        section: &Section,
        decode: impl FnOnce(Bytes) -> Result<Part, FormatError>,
    ) -> ParquetResult<Option<Part>> {
        let key = Key { file: file.location.clone(), part: Some(section.offset) };
        if let Some(part) = self.kept.lock().get(&key) {
            return Ok(Some(part));
        }
        let bytes = self.store.get_range(&file.location, section.range()).await;
        let bytes = bytes.map_err(|error| ParquetError::External(Box::new(error)))?;
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
}

fn left(pages: &Pages, directory: &IndexDirectory) -> Left {
    match pages.len() {
        0 => Left::Nothing,
        count if count == directory.page_count() => Left::Everything,
        _ => {
            let (rows, page_rows) = (directory.rows as usize, directory.page_rows as usize);
            let ranges = pages.iter().map(|page| {
                let start = page * page_rows;
                start..(start + page_rows).min(rows)
            });
            Left::Rows(RowSelection::from_consecutive_ranges(ranges, rows))
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
    /// Where the section begins; `None` for the directory.
    part: Option<u64>,
}

#[derive(Clone, Debug)]
enum Part {
    Directory(Option<Arc<IndexDirectory>>),
    Dictionary(Arc<Dictionary>),
    Filters(Arc<Filters>),
}

impl Part {
    fn bytes(&self) -> usize {
        match self {
            Self::Directory(_) => 0,
            Self::Dictionary(dictionary) => dictionary.bytes(),
            Self::Filters(filters) => filters.bytes(),
        }
    }
}

/// The parts used last, up to a number of bytes.
#[derive(Debug)]
struct Kept {
    parts: LruCache<Key, (Part, usize)>,
    bytes: usize,
    bytes_max: usize,
}

/// What an entry takes beside its part.
const ENTRY_BYTES: usize = 256;

impl Kept {
    fn new(bytes_max: usize) -> Self {
        Self { parts: LruCache::unbounded(), bytes: 0, bytes_max }
    }

    fn get(&mut self, key: &Key) -> Option<Part> {
        self.parts.get(key).map(|(part, _)| part.clone())
    }

    fn put(&mut self, key: Key, part: Part, bytes: usize) {
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
