//! The rows of a word, exactly: runs, since files are sorted so that texts of one shape lie together.
//!
//! ```text
//! a word:  count of runs + 1 (0: not known)   then for each: rows before it, rows of it − 1
//! ```
//! Numbers are LEB128. Not all words have theirs: those with the fewest bytes, while they fit.

use super::rows::Rows;

/// Runs of one word that are kept at first.
const RUNS_MAX: usize = 4_096;
/// Runs of all words that are kept: 8 MiB.
const RUNS_OF_ALL_MAX: usize = 1 << 20;
/// Bytes that the postings of a dictionary take at most, before compression, a row of the file.
const BYTES_PER_ROW: f64 = 0.25;
/// The same of small files.
const BYTES_MIN: usize = 4 << 10;

/// The bytes that the postings of a file of so many rows may take.
pub(super) fn room(rows: usize) -> usize {
    ((rows as f64 * BYTES_PER_ROW) as usize).max(BYTES_MIN)
}

/// The rows of the words of a dictionary, by the words' numbers, while its texts come.
#[derive(Debug)]
pub(super) struct PostingsBuilder {
    words: Vec<Option<Vec<Run>>>,
    runs_max: usize,
    runs: usize,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    start: u32,
    end: u32,
}

impl Default for PostingsBuilder {
    fn default() -> Self {
        Self { words: vec![], runs_max: RUNS_MAX, runs: 0 }
    }
}

impl PostingsBuilder {
    /// The word of this number, the next one if it is new, is in this row, which is the last one so far.
    pub(super) fn add(&mut self, word: usize, row: u32) {
        if word == self.words.len() {
            self.words.push(Some(vec![]));
        }
        let Some(runs) = &mut self.words[word] else { return };
        match runs.last_mut() {
            Some(last) if last.end > row => return,
            Some(last) if last.end == row => {
                last.end += 1;
                return;
            }
            _ => runs.push(Run { start: row, end: row + 1 }),
        }
        self.runs += 1;
        if runs.len() > self.runs_max {
            self.forget(word);
        }
        while self.runs > RUNS_OF_ALL_MAX {
            self.runs_max /= 2;
            self.let_go();
        }
    }

    /// No rows of this word are to be known.
    pub(super) fn forget(&mut self, word: usize) {
        self.runs -= self.words[word].take().map_or(0, |runs| runs.len());
    }

    /// The bytes of so many words of which no rows are known.
    pub(super) fn without_rows(words: usize) -> Vec<u8> {
        vec![NOT_KNOWN; words]
    }

    /// Lets the words go that have more runs than may be.
    fn let_go(&mut self) {
        for word in &mut self.words {
            if let Some(runs) = word.take_if(|runs| runs.len() > self.runs_max) {
                self.runs -= runs.len();
            }
        }
    }

    /// The bytes of the words in an order, with the rows of those that fit into so many bytes.
    pub(super) fn encode(&self, order: &[u32], mut room: usize) -> Vec<u8> {
        let encoded: Vec<Vec<u8>> =
            self.words.iter().map(|runs| of_word(runs.as_deref())).collect();
        let mut cheapest: Vec<usize> = (0..encoded.len()).collect();
        cheapest.sort_by_key(|word| (encoded[*word].len(), *word));
        let mut fits = vec![false; encoded.len()];
        for word in cheapest {
            let Some(left) = room.checked_sub(encoded[word].len()) else { break };
            room = left;
            fits[word] = true;
        }
        let mut out = vec![];
        for word in order {
            match fits[*word as usize] {
                true => out.extend_from_slice(&encoded[*word as usize]),
                false => out.push(NOT_KNOWN),
            }
        }
        out
    }
}

const NOT_KNOWN: u8 = 0;

fn of_word(runs: Option<&[Run]>) -> Vec<u8> {
    let Some(runs) = runs else { return vec![NOT_KNOWN] };
    let mut out = vec![];
    put(&mut out, runs.len() as u32 + 1);
    let mut end = 0;
    for run in runs {
        put(&mut out, run.start - end);
        put(&mut out, run.end - run.start - 1);
        end = run.end;
    }
    out
}

/// The rows of the words of a dictionary.
#[derive(Debug)]
pub(super) struct Postings {
    bytes: Vec<u8>,
    /// Where each word's begin; where they are not known, `u32::MAX`.
    starts: Vec<u32>,
}

impl Postings {
    /// Of so many words and rows; `None` when they are not.
    pub(super) fn decode(bytes: &[u8], words: usize) -> Option<Self> {
        let mut starts = Vec::with_capacity(words);
        let mut rest = bytes;
        for _ in 0..words {
            let start = (bytes.len() - rest.len()) as u32;
            let runs = take(&mut rest)?;
            starts.push(if runs == 0 { u32::MAX } else { start });
            let mut end = 0_u32;
            for _ in 1..runs {
                let (before, more) = (take(&mut rest)?, take(&mut rest)?);
                end = end.checked_add(before)?.checked_add(more)?.checked_add(1)?;
            }
        }
        rest.is_empty().then(|| Self { bytes: bytes.to_vec(), starts })
    }

    /// The rows of a word; `None` where they are not known.
    pub(super) fn rows(&self, word: usize) -> Option<Rows> {
        let start = *self.starts.get(word).filter(|start| **start != u32::MAX)?;
        let mut rest = &self.bytes[start as usize..];
        let runs = take(&mut rest)?;
        let mut end = 0_usize;
        (1..runs)
            .map(|_| {
                let start = end + take(&mut rest)? as usize;
                end = start + take(&mut rest)? as usize + 1;
                Some(start..end)
            })
            .collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + self.starts.len() * size_of::<u32>()
    }
}

fn put(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(postings: &Postings, word: usize) -> Option<Vec<usize>> {
        Some(postings.rows(word)?.ranges().iter().cloned().flatten().collect())
    }

    #[test]
    fn rows_there_and_back_in_the_order_of_the_dictionary() {
        let mut builder = PostingsBuilder::default();
        for (word, row) in [(0, 3), (0, 3), (1, 3), (0, 4), (1, 300), (0, 1_000)] {
            builder.add(word, row);
        }
        let bytes = builder.encode(&[1, 0], 2_000);
        let postings = Postings::decode(&bytes, 2).unwrap();
        assert_eq!(rows(&postings, 0).unwrap(), [3, 300]);
        assert_eq!(rows(&postings, 1).unwrap(), [3, 4, 1_000]);
        assert_eq!(rows(&postings, 2), None);
        for cut in 0..bytes.len() {
            assert!(Postings::decode(&bytes[..cut], 2).is_none(), "{cut}");
        }
        assert!(Postings::decode(&bytes, 1).is_none());
    }

    #[test]
    fn a_word_that_is_everywhere_and_nowhere_long_is_let_go() {
        let mut builder = PostingsBuilder::default();
        for row in 0..=RUNS_MAX as u32 {
            builder.add(0, 2 * row);
        }
        let bytes = builder.encode(&[0], 1 << 20);
        assert!(Postings::decode(&bytes, 1).unwrap().rows(0).is_none());
        assert_eq!(builder.runs, 0);
    }

    #[test]
    fn the_shortest_are_kept_while_they_fit() {
        let mut builder = PostingsBuilder::default();
        for row in 0..16 {
            builder.add(0, 2 * row);
            if row < 2 {
                builder.add(1, 2 * row);
            }
        }
        let postings = Postings::decode(&builder.encode(&[0, 1], 8), 2).unwrap();
        assert_eq!((rows(&postings, 0), rows(&postings, 1)), (None, Some(vec![0, 2])));
    }

    #[test]
    fn the_runs_of_all_words_are_bounded() {
        let mut builder = PostingsBuilder::default();
        let words = RUNS_OF_ALL_MAX / RUNS_MAX + 2;
        for row in 0..RUNS_MAX as u32 {
            (0..words).for_each(|word| builder.add(word, 2 * row));
        }
        assert!(builder.runs <= RUNS_OF_ALL_MAX);
        assert!(builder.runs_max < RUNS_MAX);
    }
}
