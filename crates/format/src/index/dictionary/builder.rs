//! A dictionary while its texts come.

use std::hash::BuildHasher;

use bytes::BufMut;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::{PARTER, WORD_BYTES_MAX, ZSTD_LEVEL};
use crate::FormatError;
use crate::index::pages::Pages;
use crate::index::postings::{self, PostingsBuilder};

/// The words of the texts so far. A word as a whole one and the same as a part of longer ones are two.
#[derive(Debug)]
pub(in crate::index) struct DictionaryBuilder {
    text_bytes_max: usize,
    hasher: DefaultHashBuilder,
    /// Finds the numbers of words: their places in `words`.
    numbers: HashTable<u32>,
    words: Vec<KnownWord>,
    /// The words, one after the other.
    text: Vec<u8>,
    postings: PostingsBuilder,
    partial: Pages,
}

#[derive(Debug)]
struct KnownWord {
    /// Where it is in the text.
    start: u32,
    bytes: u8,
    is_part: bool,
    is_folded: bool,
    /// The last page that it was seen in.
    last: u32,
    pages: Pages,
}

const _: () = assert!(WORD_BYTES_MAX <= u8::MAX as usize);

/// Where a word of letters was seen, and as what.
#[derive(Clone, Copy, Debug)]
pub(in crate::index) struct Seen {
    pub(in crate::index) page: usize,
    pub(in crate::index) row: u32,
    pub(in crate::index) form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::index) enum Form {
    Word,
    /// A letter or a digit is beside it.
    Part,
    /// It is in lower case, and written in whatever way: which rows have it in which way is not known.
    Folded,
}

impl KnownWord {
    fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start as usize..][..usize::from(self.bytes)]
    }
}

impl DictionaryBuilder {
    pub(in crate::index) fn new(text_bytes_max: usize) -> Self {
        Self {
            text_bytes_max,
            hasher: DefaultHashBuilder::default(),
            numbers: HashTable::new(),
            words: vec![],
            text: vec![],
            postings: PostingsBuilder::default(),
            partial: Pages::none(),
        }
    }

    /// Takes a word of letters in, as it is written; false when it belongs into the page's filter instead.
    /// `guess` is a number that it may have, and has its own after.
    pub(in crate::index) fn add(&mut self, word: &[u8], seen: Seen, guess: &mut usize) -> bool {
        let is_part = seen.form == Form::Part;
        let number = match self.is_number(*guess, word, is_part) {
            true => *guess,
            false => match self.number_or_new(word, is_part) {
                Some(number) => number,
                None => {
                    self.partial.insert(seen.page);
                    return false;
                }
            },
        };
        *guess = number;
        let known = &mut self.words[number];
        if known.last != seen.page as u32 {
            known.pages.insert(seen.page);
            known.last = seen.page as u32;
        }
        self.postings.add(number, seen.row);
        if seen.form == Form::Folded {
            known.is_folded = true;
            self.postings.forget(number);
        }
        true
    }

    /// `None` when there is no room for it.
    fn number_or_new(&mut self, word: &[u8], is_part: bool) -> Option<usize> {
        let hash = self.hasher.hash_one((word, is_part));
        match self.number(hash, word, is_part) {
            Some(number) => Some(number),
            None => self.has_room_for(word).then(|| self.add_new(hash, word, is_part)),
        }
    }

    fn number(&self, hash: u64, word: &[u8], is_part: bool) -> Option<usize> {
        let is_it = |number: &u32| self.is_number(*number as usize, word, is_part);
        self.numbers.find(hash, is_it).map(|number| *number as usize)
    }

    fn is_number(&self, number: usize, word: &[u8], is_part: bool) -> bool {
        let known = self.words.get(number);
        known.is_some_and(|known| known.is_part == is_part && known.of(&self.text) == word)
    }

    /// With a line feed after each.
    fn has_room_for(&self, word: &[u8]) -> bool {
        let text_bytes = self.text.len() + self.words.len();
        word.len() <= WORD_BYTES_MAX && text_bytes + word.len() < self.text_bytes_max
    }

    fn add_new(&mut self, hash: u64, word: &[u8], is_part: bool) -> usize {
        let number = self.words.len();
        let start = self.text.len() as u32;
        self.text.extend_from_slice(word);
        let (bytes, is_folded) = (word.len() as u8, false);
        // No page is the last one so far.
        self.words.push(KnownWord {
            start,
            bytes,
            is_part,
            is_folded,
            last: u32::MAX,
            pages: Pages::none(),
        });
        let Self { numbers, hasher, words, text, .. } = self;
        let again = |number: &u32| {
            let known = &words[*number as usize];
            hasher.hash_one((known.of(text), known.is_part))
        };
        numbers.insert_unique(hash, number as u32, again);
        number
    }

    /// Of a file with so many pages and rows.
    pub(in crate::index) fn encode(
        &self,
        page_count: usize,
        rows: usize,
    ) -> Result<Vec<u8>, FormatError> {
        let words = self.sorted(|_| true);
        let order: Vec<u32> = words.iter().map(|(_, number)| *number).collect();
        let postings = self.postings.encode(&order, postings::room(rows));
        self.encode_pages(&words, page_count, &self.partial, |word| &word.pages, &postings)
    }

    /// As if all pages were one, without rows, each word once.
    pub(in crate::index) fn encode_as_one_page(&self) -> Result<Vec<u8>, FormatError> {
        let one = Pages::all(1);
        let partial = if self.partial.is_empty() { &Pages::none() } else { &one };
        let words = self.sorted(|word| {
            let hash = self.hasher.hash_one((word, false));
            self.number(hash, word, false).is_none()
        });
        let postings = PostingsBuilder::without_rows(words.len());
        self.encode_pages(&words, 1, partial, |_| &one, &postings)
    }

    /// The words and their numbers in the order in which they are written, with those of their parts that
    /// are to be there.
    fn sorted(&self, has_part: impl Fn(&[u8]) -> bool) -> Vec<(&[u8], u32)> {
        let mut all: Vec<(Vec<u8>, &[u8], u32)> = vec![];
        for (number, known) in (0..).zip(&self.words) {
            let word = known.of(&self.text);
            if !known.is_part || has_part(word) {
                all.push((word.to_ascii_lowercase(), word, number));
            }
        }
        all.sort_unstable();
        all.into_iter().map(|(_, word, number)| (word, number)).collect()
    }

    fn encode_pages<'a>(
        &'a self,
        sorted: &[(&[u8], u32)],
        page_count: usize,
        partial: &Pages,
        pages_of: impl Fn(&'a KnownWord) -> &'a Pages,
        postings: &[u8],
    ) -> Result<Vec<u8>, FormatError> {
        let mut text = vec![];
        if !sorted.is_empty() {
            text.put_u8(PARTER);
        }
        for (word, _) in sorted {
            text.put_slice(word);
            text.put_u8(PARTER);
        }
        let mut out = Vec::with_capacity(text.len() + postings.len() + 64);
        out.put_u32_le(sorted.len() as u32);
        out.put_u32_le(page_count as u32);
        out.put_u32_le(text.len() as u32);
        out.extend(text);
        let words = || sorted.iter().map(|(_, number)| &self.words[*number as usize]);
        let those = |is: fn(&KnownWord) -> bool| {
            let mut those = Pages::none();
            words().enumerate().filter(|(_, word)| is(word)).for_each(|(at, _)| those.insert(at));
            those
        };
        out.extend(partial.to_bytes(page_count));
        out.extend(those(|word| word.is_part).to_bytes(sorted.len()));
        out.extend(those(|word| word.is_folded).to_bytes(sorted.len()));
        words().for_each(|word| out.extend(pages_of(word).to_bytes(page_count)));
        out.put_slice(postings);
        zstd::bulk::compress(&out, ZSTD_LEVEL)
            .map_err(|_| FormatError::Index { what: "the dictionary cannot be compressed" })
    }
}
