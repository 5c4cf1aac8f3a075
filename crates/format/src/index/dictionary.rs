//! The words of letters alone that a column's texts have, each with its pages.

use std::io::Read;

use bytes::{Buf, BufMut};
use hashbrown::HashMap;
use memchr::memmem;

use super::pages::Pages;
use crate::FormatError;

/// Bytes of the words of one dictionary. Texts with more different ones are made of ids without
/// digits; those that come later go to the filters.
pub(super) const TEXT_BYTES_MAX: usize = 256 << 10;
/// Longer words go to the filters.
const WORD_BYTES_MAX: usize = 64;

const ZSTD_LEVEL: i32 = 3;
/// Of a decoded section: 128 Ki words at most, over a million pages.
const DECODED_BYTES_MAX: u64 = 1 << 30;
const PARTER: u8 = b'\n';

/// Words of letters and the pages that they are in.
#[derive(Debug)]
pub struct Dictionary {
    /// The words in byte order, a line feed before and after each.
    text: Vec<u8>,
    /// Where each word begins in `text`.
    starts: Vec<u32>,
    /// A bitmap of pages a word.
    bitmaps: Vec<u8>,
    /// Pages with words that are in their filters only.
    partial: Pages,
    page_count: usize,
}

/// A run of letters to be looked up, and whether it begins and ends where letters do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stem {
    pub(super) text: Vec<u8>,
    pub(super) begins: bool,
    pub(super) ends: bool,
}

impl Dictionary {
    /// The pages with words that the dictionary does not have.
    pub(super) const fn partial(&self) -> &Pages {
        &self.partial
    }

    /// The pages of the known words that the stem is, or is a part of.
    pub(super) fn pages(&self, stem: &Stem) -> Pages {
        let mut pages = Pages::none();
        for word in self.matching(stem) {
            pages.unite(&self.pages_of(word));
        }
        pages
    }

    fn matching(&self, stem: &Stem) -> Vec<usize> {
        let from = || self.starts.partition_point(|at| self.word_from(*at) < stem.text.as_slice());
        match (stem.begins, stem.ends) {
            (true, true) => {
                let at = from();
                let is_it = at < self.starts.len() && self.word(at) == stem.text;
                is_it.then_some(at).into_iter().collect()
            }
            (true, false) => (from()..self.starts.len())
                .take_while(|n| self.word(*n).starts_with(&stem.text))
                .collect(),
            (false, ends) => {
                let mut part = stem.text.clone();
                part.extend(ends.then_some(PARTER));
                let places = memmem::find_iter(&self.text, &part);
                let mut words: Vec<usize> = places.map(|at| self.word_at(at)).collect();
                words.dedup();
                words
            }
        }
    }

    fn word(&self, number: usize) -> &[u8] {
        self.word_from(self.starts[number])
    }

    fn word_from(&self, start: u32) -> &[u8] {
        let rest = &self.text[start as usize..];
        &rest[..memchr::memchr(PARTER, rest).unwrap_or(rest.len())]
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
        if [text_bytes, stride, bitmap_bytes].into_iter().sum::<usize>() != rest.len() {
            return Err(wrong());
        }
        let (text, rest) = rest.split_at(text_bytes);
        let (partial, bitmaps) = rest.split_at(stride);
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
            starts,
            bitmaps: bitmaps.to_vec(),
            partial: Pages::from_bytes(partial),
            page_count,
        })
    }

    /// Bytes that it holds in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len() + self.starts.len() * size_of::<u32>() + self.bitmaps.len()
    }
}

/// A dictionary while its texts come.
#[derive(Debug)]
pub(super) struct DictionaryBuilder {
    text_bytes_max: usize,
    numbers: HashMap<Box<[u8]>, u32>,
    words: Vec<KnownWord>,
    text_bytes: usize,
    partial: Pages,
}

#[derive(Debug)]
struct KnownWord {
    pages: Pages,
    /// The last page that it was seen in.
    last: usize,
}

impl DictionaryBuilder {
    pub(super) fn new(text_bytes_max: usize) -> Self {
        Self {
            text_bytes_max,
            numbers: HashMap::new(),
            words: vec![],
            text_bytes: 0,
            partial: Pages::none(),
        }
    }

    /// Takes a word of letters in; false when it belongs into the page's filter instead.
    pub(super) fn add(&mut self, word: &[u8], page: usize) -> bool {
        if let Some(number) = self.numbers.get(word) {
            let known = &mut self.words[*number as usize];
            if known.last != page {
                known.pages.insert(page);
                known.last = page;
            }
            return true;
        }
        let bytes = word.len() + 1;
        if word.len() > WORD_BYTES_MAX || self.text_bytes + bytes > self.text_bytes_max {
            self.partial.insert(page);
            return false;
        }
        self.text_bytes += bytes;
        let mut pages = Pages::none();
        pages.insert(page);
        self.numbers.insert(word.into(), self.words.len() as u32);
        self.words.push(KnownWord { pages, last: page });
        true
    }

    pub(super) fn encode(&self, page_count: usize) -> Result<Vec<u8>, FormatError> {
        self.encode_pages(page_count, &self.partial, |word| &word.pages)
    }

    /// As if all pages were one.
    pub(super) fn encode_as_one_page(&self) -> Result<Vec<u8>, FormatError> {
        let one = Pages::all(1);
        let partial = if self.partial.is_empty() { &Pages::none() } else { &one };
        self.encode_pages(1, partial, |_| &one)
    }

    fn encode_pages<'a>(
        &'a self,
        page_count: usize,
        partial: &Pages,
        pages_of: impl Fn(&'a KnownWord) -> &'a Pages,
    ) -> Result<Vec<u8>, FormatError> {
        let mut sorted: Vec<(&[u8], &Pages)> = self
            .numbers
            .iter()
            .map(|(word, number)| (word.as_ref(), pages_of(&self.words[*number as usize])))
            .collect();
        sorted.sort_unstable_by_key(|(word, _)| *word);
        let text_bytes = if sorted.is_empty() { 0 } else { self.text_bytes + 1 };
        let mut out = Vec::with_capacity(text_bytes + 64);
        out.put_u32_le(sorted.len() as u32);
        out.put_u32_le(page_count as u32);
        out.put_u32_le(text_bytes as u32);
        if !sorted.is_empty() {
            out.put_u8(PARTER);
        }
        for (word, _) in &sorted {
            out.put_slice(word);
            out.put_u8(PARTER);
        }
        out.extend(partial.to_bytes(page_count));
        for (_, pages) in &sorted {
            out.extend(pages.to_bytes(page_count));
        }
        zstd::bulk::compress(&out, ZSTD_LEVEL)
            .map_err(|_| FormatError::Index { what: "the dictionary cannot be compressed" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(words: &[(&str, &[usize])], pages: usize) -> Dictionary {
        let mut builder = DictionaryBuilder::new(TEXT_BYTES_MAX);
        for page in 0..pages {
            for (word, _) in words.iter().filter(|(_, at)| at.contains(&page)) {
                assert!(builder.add(word.as_bytes(), page));
            }
        }
        Dictionary::decode(&builder.encode(pages).unwrap()).unwrap()
    }

    fn pages(dictionary: &Dictionary, text: &str, begins: bool, ends: bool) -> Vec<usize> {
        let stem = Stem { text: text.as_bytes().to_vec(), begins, ends };
        dictionary.pages(&stem).iter().collect()
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
    fn an_empty_one_has_nothing() {
        assert_eq!(pages(&dictionary(&[], 3), "a", false, false), Vec::<usize>::new());
    }

    #[test]
    fn past_its_size_words_are_left_to_the_filters() {
        let mut builder = DictionaryBuilder::new(TEXT_BYTES_MAX);
        assert!(!builder.add(&[b'a'; WORD_BYTES_MAX + 1], 2));
        let many = TEXT_BYTES_MAX / 9; // of eight letters each
        let word = |n: usize| {
            let digits = (0..8).map(|at| b'a' + (n >> (4 * at) & 15) as u8);
            digits.collect::<Vec<u8>>()
        };
        assert!((0..many).all(|n| builder.add(&word(n), 0)));
        assert!(!builder.add(&word(many + 1), 1));
        assert!(builder.add(&word(0), 3));
        let decoded = Dictionary::decode(&builder.encode(4).unwrap()).unwrap();
        assert_eq!(decoded.partial().iter().collect::<Vec<_>>(), [1, 2]);
        let known = Stem { text: word(0), begins: true, ends: true };
        assert_eq!(decoded.pages(&known).iter().collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn wrong_bytes_are_an_error() {
        let good = {
            let mut builder = DictionaryBuilder::new(TEXT_BYTES_MAX);
            builder.add(b"word", 0);
            zstd::bulk::decompress(&builder.encode(1).unwrap(), 1 << 20).unwrap()
        };
        for cut in 0..good.len() {
            let bytes = zstd::bulk::compress(&good[..cut], 1).unwrap();
            assert!(Dictionary::decode(&bytes).is_err(), "{cut}");
        }
        assert!(Dictionary::decode(b"no zstd").is_err());
    }
}
