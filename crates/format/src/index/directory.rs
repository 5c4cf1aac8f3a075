//! Where in a file which part of its index is.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaDataReader;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use super::rows::Size;
use super::runs::Run;
use crate::FormatError;

/// The key of the file's metadata whose value is its directory, in JSON.
pub const INDEX_KEY: &str = "loglake.index";

/// Version 4 has words that are parts of longer ones apart from whole ones. Version 3 has words as they are
/// written, and their rows. Since version 2 a filter may leave the short numbers of
/// its page out, and a dictionary the letters of ids: who knows version 1 alone would miss them.
const VERSION: u32 = 4;

/// The parts of a file's index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDirectory {
    version: u32,
    /// Rows of every page but the last.
    pub page_rows: u64,
    /// Rows of the file.
    pub rows: u64,
    pub columns: BTreeMap<String, ColumnIndex>,
    /// Of `service` and `level`, all of them; `None` where they would be too many.
    #[serde(default)]
    pub runs: Option<Vec<Run>>,
}

/// What is indexed of a column. A part that is not there says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnIndex {
    /// The words of its texts.
    Words { dictionary: Section, filters: Option<Section> },
    /// Its values as wholes.
    Values { filters: Section },
}

/// Bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Section {
    pub offset: u64,
    pub bytes: u64,
    /// XXH3, 64 bits.
    checksum: u64,
}

impl IndexDirectory {
    pub(super) fn new(page_rows: u64, rows: u64) -> Self {
        Self { version: VERSION, page_rows, rows, columns: BTreeMap::new(), runs: None }
    }

    /// From the value of [`INDEX_KEY`]; `None` where it is of another version, or none at all:
    /// such a file is read as if it had no index.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut directory: Self = serde_json::from_str(value).ok()?;
        let rows = directory.rows;
        let covered = |runs: &[Run]| runs.iter().map(|run| run.2).try_fold(0, u64::checked_add);
        directory.runs.take_if(|runs| covered(runs) != Some(rows));
        (directory.version == VERSION && directory.page_rows > 0).then_some(directory)
    }

    /// The directory of a file that is at hand as a whole, if it has one.
    #[must_use]
    pub fn of_file(file: &Bytes) -> Option<Self> {
        let footer = ParquetMetaDataReader::new().parse_and_finish(file).ok()?;
        let mut pairs = footer.file_metadata().key_value_metadata().into_iter().flatten();
        Self::parse(pairs.find(|pair| pair.key == INDEX_KEY)?.value.as_ref()?)
    }

    /// Where the parts of all columns are.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        self.columns.values().flat_map(|index| match index {
            ColumnIndex::Words { dictionary, filters } => {
                [Some(dictionary), filters.as_ref()].into_iter().flatten()
            }
            ColumnIndex::Values { filters } => [Some(filters), None].into_iter().flatten(),
        })
    }

    #[must_use]
    pub const fn size(&self) -> Size {
        Size { rows: self.rows as usize, page_rows: self.page_rows as usize }
    }

    pub(super) fn to_json(&self) -> Result<String, FormatError> {
        serde_json::to_string(self)
            .map_err(|_| FormatError::Index { what: "the directory cannot be written" })
    }
}

impl Section {
    pub(super) fn of(offset: u64, bytes: &[u8]) -> Self {
        Self { offset, bytes: bytes.len() as u64, checksum: XxHash3_64::oneshot(bytes) }
    }

    #[must_use]
    pub const fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes)
    }

    /// # Errors
    /// When these are not the bytes that were written.
    pub fn check(&self, bytes: &[u8]) -> Result<(), FormatError> {
        match XxHash3_64::oneshot(bytes) == self.checksum {
            true => Ok(()),
            false => Err(FormatError::Index { what: "the bytes are not those that were written" }),
        }
    }
}
