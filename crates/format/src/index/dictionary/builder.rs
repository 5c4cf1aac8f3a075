//! A dictionary while its texts come.

use std::hash::BuildHasher;

use bytes::BufMut;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::{PARTER, WORD_BYTES_MAX, ZSTD_LEVEL};
use crate::FormatError;
use crate::index::pages::Pages;
use crate::index::postings::{PostingsBuilder, WordRuns};

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

/// All that is touched of a word when it comes again, in one line of the processor's cache.
#[derive(Debug)]
#[repr(align(64))]
struct KnownWord {
    key: Key,
    /// Where it is in the text.
    start: u32,
    /// The last page that it was seen in.
    last: u32,
    pages: Pages,
    runs: WordRuns,
    is_folded: bool,
}

const _: () = assert!(size_of::<KnownWord>() == 64);
const _: () = assert!(WORD_BYTES_MAX < IS_PART as usize);

/// A word, whether it is a part of longer ones, and its length, in one number: words of at most
/// [`WHOLE_BYTES`] bytes are whole in it, of longer ones a hash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(u128);

const WHOLE_BYTES: usize = 15;
/// The bit of the highest byte, beside the length, that says that it is a part.
const IS_PART: u8 = 0x80;

impl Key {
    fn new(word: &[u8], is_part: bool, hasher: &DefaultHashBuilder) -> Self {
        let text = match word.len() {
            ..=WHOLE_BYTES => whole(word),
            _ => u128::from(hasher.hash_one(word)),
        };
        let top = word.len() as u8 | if is_part { IS_PART } else { 0 };
        Self(text | u128::from(top) << 120)
    }

    const fn is_part(self) -> bool {
        self.top() & IS_PART != 0
    }

    const fn len(self) -> usize {
        (self.top() & !IS_PART) as usize
    }

    const fn top(self) -> u8 {
        (self.0 >> 120) as u8
    }
}

/// The bytes of a word of at most 16 from the lowest on, read in two pieces that may overlap.
fn whole(word: &[u8]) -> u128 {
    let len = word.len();
    if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
        let [first, last] = [first, last].map(|eight| u128::from(u64::from_le_bytes(*eight)));
        return first | last << (8 * (len - 8));
    }
    if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
        let [first, last] = [first, last].map(|four| u128::from(u32::from_le_bytes(*four)));
        return first | last << (8 * (len - 4));
    }
    let byte = |at: usize| word.get(at).map_or(0, |byte| u128::from(*byte) << (8 * at));
    byte(0) | byte(1) | byte(2)
}

impl AsRef<WordRuns> for KnownWord {
    fn as_ref(&self) -> &WordRuns {
        &self.runs
    }
}

impl AsMut<WordRuns> for KnownWord {
    fn as_mut(&mut self) -> &mut WordRuns {
        &mut self.runs
    }
}

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
        &text[self.start as usize..][..self.key.len()]
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
        let key = Key::new(word, seen.form == Form::Part, &self.hasher);
        let number = match self.is_number(*guess, word, key) {
            true => *guess,
            false => match self.number_or_new(word, key) {
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
        if seen.form == Form::Folded {
            known.is_folded = true;
            known.runs.forget();
        }
        if self.postings.add(number as u32, &mut known.runs, seen.row) {
            self.postings.let_go(&mut self.words);
        }
        true
    }

    /// `None` when there is no room for it.
    fn number_or_new(&mut self, word: &[u8], key: Key) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        match self.number(hash, word, key) {
            Some(number) => Some(number),
            None => self.has_room_for(word).then(|| self.add_new(hash, word, key)),
        }
    }

    fn number(&self, hash: u64, word: &[u8], key: Key) -> Option<usize> {
        let is_it = |number: &u32| self.is_number(*number as usize, word, key);
        self.numbers.find(hash, is_it).map(|number| *number as usize)
    }

    /// Whether the word whose key this is has this number.
    fn is_number(&self, number: usize, word: &[u8], key: Key) -> bool {
        self.words.get(number).is_some_and(|known| {
            known.key == key && (word.len() <= WHOLE_BYTES || known.of(&self.text) == word)
        })
    }

    /// With a line feed after each.
    fn has_room_for(&self, word: &[u8]) -> bool {
        let text_bytes = self.text.len() + self.words.len();
        word.len() <= WORD_BYTES_MAX && text_bytes + word.len() < self.text_bytes_max
    }

    fn add_new(&mut self, hash: u64, word: &[u8], key: Key) -> usize {
        let number = self.words.len();
        let start = self.text.len() as u32;
        self.text.extend_from_slice(word);
        // No page is the last one so far.
        let (last, pages, runs) = (u32::MAX, Pages::none(), WordRuns::default());
        self.words.push(KnownWord { key, start, last, pages, runs, is_folded: false });
        let Self { numbers, hasher, words, .. } = self;
        let again = |number: &u32| hasher.hash_one(words[*number as usize].key);
        numbers.insert_unique(hash, number as u32, again);
        number
    }

    /// Of a file with so many pages; rows are known of words as long as these take so many bytes.
    pub(in crate::index) fn encode(
        &self,
        page_count: usize,
        rows_bytes_max: usize,
    ) -> Result<Vec<u8>, FormatError> {
        let words = self.sorted(|_| true);
        let order: Vec<u32> = words.iter().map(|(_, number)| *number).collect();
        let postings = self.postings.encode(&self.words, &order, rows_bytes_max);
        self.encode_pages(&words, page_count, &self.partial, |word| &word.pages, &postings)
    }

    /// As if all pages were one, without rows, each word once; `None` where words are missing.
    pub(in crate::index) fn encode_as_one_page(&self) -> Result<Option<Vec<u8>>, FormatError> {
        if !self.partial.is_empty() {
            return Ok(None);
        }
        let one = Pages::all(1);
        let words = self.sorted(|word| {
            let key = Key::new(word, false, &self.hasher);
            self.number(self.hasher.hash_one(key), word, key).is_none()
        });
        let postings = PostingsBuilder::without_rows(words.len());
        self.encode_pages(&words, 1, &Pages::none(), |_| &one, &postings).map(Some)
    }

    /// The words and their numbers in the order in which they are written, with those of their parts that
    /// are to be there.
    fn sorted(&self, has_part: impl Fn(&[u8]) -> bool) -> Vec<(&[u8], u32)> {
        let mut all: Vec<(Vec<u8>, &[u8], u32)> = vec![];
        for (number, known) in (0..).zip(&self.words) {
            let word = known.of(&self.text);
            if !known.key.is_part() || has_part(word) {
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
        out.extend(those(|word| word.key.is_part()).to_bytes(sorted.len()));
        out.extend(those(|word| word.is_folded).to_bytes(sorted.len()));
        words().for_each(|word| out.extend(pages_of(word).to_bytes(page_count)));
        out.put_slice(postings);
        zstd::bulk::compress(&out, ZSTD_LEVEL)
            .map_err(|_| FormatError::Index { what: "the dictionary cannot be compressed" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_where_words_do() {
        let hasher = DefaultHashBuilder::default();
        let word: Vec<u8> = (b'a'..=b'z').cycle().take(WORD_BYTES_MAX).collect();
        let mut seen = vec![];
        for len in 0..=word.len() {
            for changed in 0..=len {
                let mut word = word[..len].to_vec();
                if let Some(letter) = word.get_mut(changed) {
                    *letter = b'A';
                }
                for is_part in [false, true] {
                    let key = Key::new(&word, is_part, &hasher);
                    assert_eq!((key.len(), key.is_part()), (len, is_part));
                    seen.push(key.0);
                }
            }
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
