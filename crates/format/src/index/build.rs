//! The index of a file while its rows are written.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;

use super::dictionary::{DictionaryBuilder, Form, Seen};
use super::directory::{ColumnIndex, INDEX_KEY, IndexDirectory, Section};
use super::filters::FiltersBuilder;
use super::numbers::ShortNumbers;
use super::runs::RunsBuilder;
use super::text::{fold_into, hash, hash_of_number, is_kept_stem, stems, words};
use super::{INDEX_SHARE_MAX, IndexKind, file_words, postings};
use crate::FormatError;

/// The index of one column, whose rows come in the order of the file.
#[derive(Debug)]
pub(crate) struct IndexBuilder {
    kind: IndexKind,
    page_rows: usize,
    page: usize,
    rows_in_page: usize,
    dictionary: DictionaryBuilder,
    /// Of all texts so far.
    text_bytes: usize,
    filters: FiltersBuilder,
    /// Of the page so far, without its short numbers.
    keys: Vec<u64>,
    short_numbers: ShortNumbers,
    /// The last text, folded.
    folded: Vec<u8>,
    guesses: Guesses,
}

/// The numbers of the words of the last text in their order. Texts of one shape follow each other, and have
/// mostly the same words at the same places.
#[derive(Debug, Default)]
struct Guesses {
    numbers: Vec<usize>,
    /// The place of the next word.
    place: usize,
}

impl Guesses {
    fn begin(&mut self) {
        self.place = 0;
    }

    fn next(&mut self) -> &mut usize {
        if self.place == self.numbers.len() {
            self.numbers.push(0);
        }
        self.place += 1;
        &mut self.numbers[self.place - 1]
    }
}

impl IndexBuilder {
    /// Of so many bytes of different words at most.
    pub(crate) fn new(kind: IndexKind, words_bytes_max: usize, page_rows: usize) -> Self {
        Self {
            kind,
            page_rows,
            page: 0,
            rows_in_page: 0,
            dictionary: DictionaryBuilder::new(words_bytes_max),
            text_bytes: 0,
            filters: FiltersBuilder::default(),
            keys: vec![],
            short_numbers: ShortNumbers::new(),
            folded: vec![],
            guesses: Guesses::default(),
        }
    }

    /// Takes the next rows of the column in.
    pub(crate) fn add(&mut self, values: &ArrayRef) {
        let mut from = 0;
        while from < values.len() {
            let rows = (values.len() - from).min(self.page_rows - self.rows_in_page);
            self.add_to_page(&values.slice(from, rows));
            self.rows_in_page += rows;
            from += rows;
            if self.rows_in_page == self.page_rows {
                self.end_page();
            }
        }
    }

    fn add_to_page(&mut self, values: &ArrayRef) {
        match (self.kind, values.data_type()) {
            (IndexKind::Words, DataType::Utf8) => {
                let first = (self.page * self.page_rows + self.rows_in_page) as u32;
                for (row, text) in (first..).zip(values.as_string::<i32>()) {
                    text.into_iter().for_each(|text| self.add_text(text, row));
                }
            }
            (IndexKind::Values, DataType::Utf8) => {
                let keys = values.as_string::<i32>().iter().flatten();
                self.keys.extend(keys.map(|text| hash(text.as_bytes())));
            }
            (IndexKind::Values, DataType::Int64) => {
                let keys = values.as_primitive::<Int64Type>().iter().flatten();
                self.keys.extend(keys.map(hash_of_number));
            }
            // No layout asks for the index of another type.
            _ => {}
        }
    }

    fn add_text(&mut self, text: &str, row: u32) {
        self.text_bytes += text.len();
        self.folded.clear();
        fold_into(text, &mut self.folded);
        self.guesses.begin();
        let page = self.page;
        // Where folding has changed characters, words are not where they are in the text.
        let as_written = self.folded.len() == text.len();
        let written = if as_written { text.as_bytes() } else { &self.folded };
        for word in words(&self.folded) {
            let Range { start, end } = word.range;
            if !word.has_digit {
                let form = match as_written {
                    true if is_part(text, start..end) => Form::Part,
                    true => Form::Word,
                    false => Form::Folded,
                };
                let (seen, guess) = (Seen { page, row, form }, self.guesses.next());
                if !self.dictionary.add(&written[start..end], seen, guess) {
                    self.keys.push(hash(word.text));
                }
                continue;
            }
            if self.short_numbers.add(word.text) {
                continue;
            }
            self.keys.push(hash(word.text));
            let form = if as_written { Form::Part } else { Form::Folded };
            for (_, stem) in stems(word.text).filter(|(stem, _)| is_kept_stem(stem)) {
                let stem = &written[start + stem.start..start + stem.end];
                let (seen, guess) = (Seen { page, row, form }, self.guesses.next());
                self.dictionary.add(stem, seen, guess);
            }
        }
    }

    fn end_page(&mut self) {
        self.short_numbers.take_into(&mut self.keys);
        self.filters.page(&mut self.keys);
        self.page += 1;
        self.rows_in_page = 0;
    }

    /// How many bytes its sections have.
    #[cfg(feature = "stages")]
    pub(crate) fn bytes(self) -> Result<usize, FormatError> {
        let Parts { dictionary, filters, .. } = self.finish()?;
        Ok([dictionary, filters].into_iter().flatten().map(|part| part.len()).sum())
    }

    /// The sections of the column; filters only where a page has something for them.
    pub(super) fn finish(mut self) -> Result<Parts, FormatError> {
        if self.rows_in_page > 0 {
            self.end_page();
        }
        let (dictionary, words) = match self.kind {
            IndexKind::Words => {
                let words = self.dictionary.encode_as_one_page()?;
                let rows_bytes_max = postings::room(self.page * self.page_rows, self.text_bytes);
                (Some(self.dictionary.encode(self.page, rows_bytes_max)?), words)
            }
            IndexKind::Values => (None, None),
        };
        let filters = (!self.filters.is_empty()).then(|| self.filters.encode());
        Ok(Parts { dictionary, words, filters })
    }
}

/// Whether a letter or a digit of another script stands beside a longest run of ASCII ones.
fn is_part(text: &str, run: Range<usize>) -> bool {
    let is_beyond_ascii = |byte: Option<&u8>| byte.is_some_and(|byte| !byte.is_ascii());
    let before = &text.as_bytes()[..run.start];
    let after = &text.as_bytes()[run.end..];
    is_beyond_ascii(before.last())
        && text[..run.start].chars().next_back().is_some_and(char::is_alphanumeric)
        || is_beyond_ascii(after.first())
            && text[run.end..].chars().next().is_some_and(char::is_alphanumeric)
}

/// The bytes of a column's index.
pub(super) struct Parts {
    pub(super) dictionary: Option<Vec<u8>>,
    /// The dictionary as of one page, if it has all words.
    pub(super) words: Option<Vec<u8>>,
    pub(super) filters: Option<Vec<u8>>,
}

/// Writes the indexes after the file's last row group, texts first, as long as they fit, and the
/// directory into its metadata. Gives the file's words for the list of files.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write(
    file: &mut ArrowWriter<Vec<u8>>,
    mut indexes: Vec<(&str, IndexBuilder)>,
    runs: RunsBuilder,
    rows: usize,
    page_rows: usize,
) -> Result<Option<String>, FormatError> {
    file.flush()?;
    let data_bytes = file.bytes_written();
    let mut room = Room((data_bytes as f64 * INDEX_SHARE_MAX) as usize);
    let mut words_of_file = vec![];
    let mut directory = IndexDirectory::new(page_rows as u64, rows as u64);
    indexes.sort_by_key(|(_, index)| index.kind == IndexKind::Values);
    for (name, index) in indexes {
        let Parts { dictionary, words, filters } = index.finish()?;
        words_of_file.extend(words.map(|words| (name, words)));
        let mut put = |part: Option<Vec<u8>>| {
            let part = part.filter(|part| room.take(part.len()));
            part.map(|part| section(file, &part)).transpose()
        };
        let index = match dictionary {
            Some(dictionary) => match put(Some(dictionary))? {
                Some(dictionary) => Some(ColumnIndex::Words { dictionary, filters: put(filters)? }),
                None => None,
            },
            None => put(filters)?.map(|filters| ColumnIndex::Values { filters }),
        };
        directory.columns.extend(index.map(|index| (name.to_owned(), index)));
    }
    directory.runs = runs.finish();
    if !directory.columns.is_empty() || directory.runs.is_some() {
        file.append_key_value_metadata(KeyValue::new(INDEX_KEY.to_owned(), directory.to_json()?));
    }
    Ok(file_words::to_text(&words_of_file, data_bytes))
}

/// The bytes that an index may still take.
struct Room(usize);

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.0;
        if fits {
            self.0 -= bytes;
        }
        fits
    }
}

fn section(file: &mut ArrowWriter<Vec<u8>>, bytes: &[u8]) -> Result<Section, FormatError> {
    let offset = file.bytes_written() as u64;
    file.write_all(bytes).map_err(parquet::errors::ParquetError::from)?;
    Ok(Section::of(offset, bytes))
}
