//! The words of letters alone that a column's texts have, as they are written there, each with its pages,
//! and with its rows where those are few runs. A word that is both a whole one and a part of longer ones is
//! there twice, so that the rows of each are known.

mod builder;

use std::io::Read;
use std::ops::RangeInclusive;

use bytes::Buf;
use memchr::memmem;

pub(super) use self::builder::{DictionaryBuilder, Form, Seen};
use super::pages::Pages;
use super::postings::Postings;
use super::rows::{Rows, Size};
use crate::FormatError;

/// Bytes of the words of one dictionary at most, in short files and in long ones. Texts with more different
/// words are made of ids without digits; those that come later go to the filters.
const WORDS_BYTES: RangeInclusive<usize> = 256 << 10..=1 << 20;
/// Between those: bytes of the file's texts for each byte of words.
const WORDS_SHARE: usize = 32;
/// Longer words go to the filters.
const WORD_BYTES_MAX: usize = 64;

const ZSTD_LEVEL: i32 = 3;
/// Of a decoded section: 128 Ki words at most, over a million pages.
const DECODED_BYTES_MAX: u64 = 1 << 30;
const PARTER: u8 = b'\n';

/// The bytes that the different words of a column may have in a file whose texts are so long together.
pub(crate) fn words_bytes_max(text_bytes: usize) -> usize {
    (text_bytes / WORDS_SHARE).clamp(*WORDS_BYTES.start(), *WORDS_BYTES.end())
}

/// Words of letters and the pages and rows that they are in.
#[derive(Debug)]
pub struct Dictionary {
    /// The words in the order of their lower case, a line feed before and after each.
    text: Vec<u8>,
    /// The same in lower case.
    folded: Vec<u8>,
    /// Where each word begins in `text`.
    starts: Vec<u32>,
    /// A bitmap of pages a word.
    bitmaps: Vec<u8>,
    /// A bit a word: whether it is a part of longer ones, and never a whole one.
    parts: Pages,
    /// A bit a word: whether it is somewhere written otherwise than it is here.
    folded_ones: Pages,
    /// Pages with words that are in their filters only.
    partial: Pages,
    page_count: usize,
    postings: Postings,
}

/// A run of letters to be looked up, and whether it begins and ends where letters do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stem {
    /// In lower case.
    pub(super) text: Vec<u8>,
    pub(super) begins: bool,
    pub(super) ends: bool,
}

/// What a stem is that says all there is to say of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExactStem {
    pub(super) stem: Stem,
    /// As it has to be written; `None` for any case.
    pub(super) written: Option<Vec<u8>>,
}

/// The rows of a file that have what is looked for: those that do, and those that may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub sure: Rows,
    /// All of the sure ones among them.
    pub possible: Rows,
}

impl Dictionary {
    /// The pages with words that the dictionary does not have.
    pub(super) const fn partial(&self) -> &Pages {
        &self.partial
    }

    /// The rows that may have a known word that the stem is, or is a part of.
    pub(super) fn rows_of(&self, stem: &Stem, size: Size) -> Rows {
        self.rows_of_words(self.matching(stem), Pages::none(), size).possible
    }

    /// The rows that have the stem, in this very form, and those that may.
    pub(super) fn rows_with(&self, exact: &ExactStem, size: Size) -> Found {
        let ExactStem { stem, written } = exact;
        let is_whole = stem.begins && stem.ends;
        let mut words = self.matching(stem);
        words.retain(|word| {
            let may_be = |form: &Vec<u8>| {
                self.folded_ones.contains(*word) || self.is_written(*word, stem, form)
            };
            !(is_whole && self.parts.contains(*word)) && written.as_ref().is_none_or(may_be)
        });
        self.rows_of_words(words, self.partial.clone(), size)
    }

    /// The rows of any of these words; those of further pages are possible too.
    fn rows_of_words(&self, words: Vec<usize>, mut further: Pages, size: Size) -> Found {
        let mut sure = vec![];
        for word in words {
            match self.postings.rows(word) {
                Some(rows) => sure.push(rows),
                None => further.unite(&self.pages_of(word)),
            }
        }
        let sure = Rows::union(sure);
        let possible = Rows::union([sure.clone(), size.rows_of(&further)]);
        Found { sure, possible }
    }

    /// Whether a word has a stem of it in this very form.
    fn is_written(&self, word: usize, stem: &Stem, form: &[u8]) -> bool {
        let word = self.word(&self.text, word);
        match (stem.begins, stem.ends) {
            (true, true) => word == form,
            (true, false) => word.starts_with(form),
            (false, true) => word.ends_with(form),
            (false, false) => memmem::find(word, form).is_some(),
        }
    }

    fn matching(&self, stem: &Stem) -> Vec<usize> {
        let sought = stem.text.as_slice();
        let folded = |number: usize| self.word(&self.folded, number);
        let from = || self.starts.partition_point(|at| word_from(&self.folded, *at) < sought);
        match (stem.begins, stem.ends) {
            (true, true) => {
                (from()..self.starts.len()).take_while(|n| folded(*n) == sought).collect()
            }
            (true, false) => {
                (from()..self.starts.len()).take_while(|n| folded(*n).starts_with(sought)).collect()
            }
            (false, ends) => {
                let mut part = stem.text.clone();
                part.extend(ends.then_some(PARTER));
                let places = memmem::find_iter(&self.folded, &part);
                let mut words: Vec<usize> = places.map(|at| self.word_at(at)).collect();
                words.dedup();
                words
            }
        }
    }

    fn word<'a>(&self, text: &'a [u8], number: usize) -> &'a [u8] {
        word_from(text, self.starts[number])
    }

    /// The word that covers a place in the text.
    fn word_at(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start as usize <= at) - 1
    }

    fn pages_of(&self, word: usize) -> Pages {
        let stride = self.page_count.div_ceil(8);
        Pages::from_bytes(&self.bitmaps[word * stride..(word + 1) * stride])
    }

    /// # Errors
    /// When the bytes are no dictionary.
    pub fn decode(section: &[u8]) -> Result<Self, FormatError> {
        let wrong = || FormatError::Index { what: "the dictionary's bytes do not fit together" };
        // In a stream: one call would have to be given all the memory that it may need at most.
        let mut decoded = vec![];
        let read = zstd::Decoder::new(section)
            .and_then(|decoder| decoder.take(DECODED_BYTES_MAX).read_to_end(&mut decoded));
        read.map_err(|_| FormatError::Index { what: "the dictionary cannot be decompressed" })?;
        let mut rest = decoded.as_slice();
        if rest.len() < 12 {
            return Err(wrong());
        }
        let (words, page_count) = (rest.get_u32_le() as usize, rest.get_u32_le() as usize);
        let text_bytes = rest.get_u32_le() as usize;
        let stride = page_count.div_ceil(8);
        let bitmap_bytes = words.checked_mul(stride).ok_or_else(wrong)?;
        let mut part = |bytes: usize| {
            let (part, after) = rest.split_at_checked(bytes).ok_or_else(wrong)?;
            rest = after;
            Ok::<_, FormatError>(part)
        };
        let text = part(text_bytes)?;
        let partial = part(stride)?;
        let parts = part(words.div_ceil(8))?;
        let folded_ones = part(words.div_ceil(8))?;
        let bitmaps = part(bitmap_bytes)?;
        let postings = Postings::decode(rest, words).ok_or_else(wrong)?;
        let starts: Vec<u32> = match text.split_last() {
            Some((_, before)) => {
                memchr::memchr_iter(PARTER, before).map(|n| n as u32 + 1).collect()
            }
            None => vec![],
        };
        if starts.len() != words || text.last().is_some_and(|last| *last != PARTER) {
            return Err(wrong());
        }
        Ok(Self {
            text: text.to_vec(),
            folded: text.to_ascii_lowercase(),
            starts,
            bitmaps: bitmaps.to_vec(),
            parts: Pages::from_bytes(parts),
            folded_ones: Pages::from_bytes(folded_ones),
            partial: Pages::from_bytes(partial),
            page_count,
            postings,
        })
    }

    /// Bytes that it holds in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        2 * self.text.len()
            + self.starts.len() * size_of::<u32>()
            + self.bitmaps.len()
            + self.postings.bytes()
    }
}

fn word_from(text: &[u8], start: u32) -> &[u8] {
    let rest = &text[start as usize..];
    &rest[..memchr::memchr(PARTER, rest).unwrap_or(rest.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Size = Size { rows: 10, page_rows: 1 };

    /// Where a word is in pages of one row.
    fn seen(page: usize) -> Seen {
        Seen { page, row: page as u32, form: Form::Word }
    }

    fn dictionary(words: &[(&str, &[usize])], pages: usize) -> Dictionary {
        let mut builder = DictionaryBuilder::new(*WORDS_BYTES.start());
        for page in 0..pages {
            for (word, _) in words.iter().filter(|(_, at)| at.contains(&page)) {
                assert!(builder.add(word.as_bytes(), seen(page), &mut 0));
            }
        }
        Dictionary::decode(&builder.encode(pages, 1_000).unwrap()).unwrap()
    }

    fn rows(of: &Rows) -> Vec<usize> {
        of.ranges().iter().cloned().flatten().collect()
    }

    fn pages(dictionary: &Dictionary, text: &str, begins: bool, ends: bool) -> Vec<usize> {
        let stem = Stem { text: text.as_bytes().to_vec(), begins, ends };
        rows(&dictionary.rows_of(&stem, ROWS))
    }

    #[test]
    fn whole_words_beginnings_ends_and_parts() {
        let words: [(&str, &[usize]); 4] =
            [("error", &[0, 9]), ("terror", &[1]), ("errors", &[2]), ("zebra", &[3])];
        let of = dictionary(&words, 10);
        assert_eq!(pages(&of, "error", true, true), [0, 9]);
        assert_eq!(pages(&of, "error", true, false), [0, 2, 9]);
        assert_eq!(pages(&of, "error", false, true), [0, 1, 9]);
        assert_eq!(pages(&of, "rror", false, false), [0, 1, 2, 9]);
        assert_eq!(pages(&of, "zzz", true, false), Vec::<usize>::new());
        assert_eq!(pages(&of, "erro", true, true), Vec::<usize>::new());
        assert_eq!(pages(&of, "a", false, true), [3]);
    }

    #[test]
    fn rows_by_how_a_word_is_written() {
        let of = dictionary(&[("Error", &[0, 9]), ("error", &[1, 9]), ("terror", &[2])], 10);
        let found = |text: &str, is_whole: bool, written: bool| {
            let stem = Stem {
                text: text.to_ascii_lowercase().into_bytes(),
                begins: is_whole,
                ends: is_whole,
            };
            let written = written.then(|| text.as_bytes().to_vec());
            let found = of.rows_with(&ExactStem { stem, written }, ROWS);
            assert_eq!(found.sure, found.possible);
            rows(&found.sure)
        };
        assert_eq!(found("error", false, true), [1, 2, 9]);
        assert_eq!(found("Error", false, true), [0, 9]);
        assert_eq!(found("ERROR", false, true), Vec::<usize>::new());
        assert_eq!(found("ERROR", false, false), [0, 1, 2, 9]);
        assert_eq!(found("error", true, true), [1, 9]);
        assert_eq!(found("Error", true, false), [0, 1, 9]);
    }

    #[test]
    fn an_empty_one_has_nothing() {
        assert_eq!(pages(&dictionary(&[], 3), "a", false, false), Vec::<usize>::new());
    }

    #[test]
    fn past_its_size_words_are_left_to_the_filters() {
        let mut builder = DictionaryBuilder::new(*WORDS_BYTES.start());
        assert!(!builder.add(&[b'a'; WORD_BYTES_MAX + 1], seen(2), &mut 0));
        let many = *WORDS_BYTES.start() / 9; // of eight letters each
        let word = |n: usize| {
            let digits = (0..8).map(|at| b'a' + (n >> (4 * at) & 15) as u8);
            digits.collect::<Vec<u8>>()
        };
        assert!((0..many).all(|n| builder.add(&word(n), seen(0), &mut 0)));
        assert!(!builder.add(&word(many + 1), seen(1), &mut 0));
        assert!(builder.add(&word(0), seen(3), &mut 0));
        let decoded = Dictionary::decode(&builder.encode(4, 4).unwrap()).unwrap();
        assert_eq!(decoded.partial().iter().collect::<Vec<_>>(), [1, 2]);
        let known = Stem { text: word(0), begins: true, ends: true };
        assert_eq!(rows(&decoded.rows_of(&known, ROWS)), [0, 3]);
    }

    #[test]
    fn wrong_bytes_are_an_error() {
        let good = {
            let mut builder = DictionaryBuilder::new(*WORDS_BYTES.start());
            builder.add(b"word", seen(0), &mut 0);
            zstd::bulk::decompress(&builder.encode(1, 100).unwrap(), 1 << 20).unwrap()
        };
        for cut in 0..good.len() {
            let bytes = zstd::bulk::compress(&good[..cut], 1).unwrap();
            assert!(Dictionary::decode(&bytes).is_err(), "{cut}");
        }
        assert!(Dictionary::decode(b"no zstd").is_err());
    }
}
