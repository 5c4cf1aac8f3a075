//! The rows of a word, exactly: runs, since files are sorted so that texts of one shape lie together.
//!
//! ```text
//! a word:  count of runs + 1 (0: not known)   then for each: rows before it, rows of it − 1
//! ```
//! Numbers are LEB128. Not all words have theirs: those with the fewest bytes, while they fit.

use super::rows::Rows;

/// Runs of one word that are kept at first.
const RUNS_MAX: u32 = 4_096;
/// Runs of all words that are kept: 6 MiB, and at most twice as much before it is looked for what to let go.
const RUNS_OF_ALL_MAX: usize = 1 << 19;
/// Rows of the file for each byte that the postings of a dictionary may take, before compression.
const ROWS_PER_BYTE: usize = 4;
/// The same of bytes of the column's texts, where those are long.
const TEXT_BYTES_PER_BYTE: usize = 256;
/// Bytes that they may take in any file.
const BYTES_MIN: usize = 4 << 10;

/// The bytes that the postings of a file of so many rows, whose texts are so long together, may take.
pub(super) fn room(rows: usize, text_bytes: usize) -> usize {
    BYTES_MIN.max(rows / ROWS_PER_BYTE).max(text_bytes / TEXT_BYTES_PER_BYTE)
}

/// What is known of the rows of one word while texts come: its last run, which may go on. Those before it are
/// with the [`PostingsBuilder`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WordRuns {
    last: Run,
    count: u32,
}

/// Rows that follow each other.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    start: u32,
    end: u32,
}

impl WordRuns {
    /// The count of a word of which no rows are to be known.
    const FORGOTTEN: u32 = u32::MAX;

    pub(super) const fn forget(&mut self) {
        self.count = Self::FORGOTTEN;
    }

    const fn are_known(self) -> bool {
        self.count != Self::FORGOTTEN
    }
}

/// The rows of the words of a dictionary while its texts come: runs that are over, in the order of their ends.
/// A word that comes touches nothing but its own [`WordRuns`], most of the time.
#[derive(Debug)]
pub(super) struct PostingsBuilder {
    ended: Vec<(u32, Run)>,
    runs_max: u32,
}

impl Default for PostingsBuilder {
    fn default() -> Self {
        Self { ended: vec![], runs_max: RUNS_MAX }
    }
}

impl PostingsBuilder {
    /// The word of this number is in this row, which is the last one so far. True when there are so many runs
    /// now that [`Self::let_go`] is due.
    pub(super) fn add(&mut self, number: u32, word: &mut WordRuns, row: u32) -> bool {
        let WordRuns { last, count } = word;
        if *count == WordRuns::FORGOTTEN || (*count > 0 && last.end > row) {
            return false;
        }
        if *count > 0 && last.end == row {
            last.end += 1;
            return false;
        }
        if *count > 0 {
            self.ended.push((number, *last));
        }
        *last = Run { start: row, end: row + 1 };
        *count += 1;
        if *count > self.runs_max {
            word.forget();
        }
        self.ended.len() >= 2 * RUNS_OF_ALL_MAX
    }

    /// Lets go of the runs of words that are forgotten, and while there are too many, of those that have most.
    /// `words`: by their numbers.
    pub(super) fn let_go(&mut self, words: &mut [impl AsMut<WordRuns>]) {
        loop {
            let runs_max = self.runs_max;
            self.ended.retain(|(number, _)| {
                let word = words[*number as usize].as_mut();
                if word.count > runs_max {
                    word.forget();
                }
                word.are_known()
            });
            if self.ended.len() <= RUNS_OF_ALL_MAX {
                return;
            }
            self.runs_max /= 2;
        }
    }

    /// The bytes of so many words of which no rows are known.
    pub(super) fn without_rows(words: usize) -> Vec<u8> {
        vec![NOT_KNOWN; words]
    }

    /// The bytes of the words in an order, with the rows of those that fit into so many bytes. `words`: by
    /// their numbers.
    pub(super) fn encode(
        &self,
        words: &[impl AsRef<WordRuns>],
        order: &[u32],
        mut room: usize,
    ) -> Vec<u8> {
        let words: Vec<WordRuns> = words.iter().map(|word| *word.as_ref()).collect();
        let encoded = self.encoded(&words);
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

    /// The bytes of each word.
    fn encoded(&self, words: &[WordRuns]) -> Vec<Vec<u8>> {
        let mut encoded: Vec<Vec<u8>> = vec![vec![]; words.len()];
        for (word, out) in words.iter().zip(&mut encoded) {
            let runs = if word.are_known() { word.count + 1 } else { u32::from(NOT_KNOWN) };
            put(out, runs);
        }
        let mut ends = vec![0_u32; words.len()];
        let last = (0..).zip(words).filter(|(_, word)| word.count > 0);
        let last = last.map(|(number, word)| (number, word.last));
        for (number, run) in self.ended.iter().copied().chain(last) {
            let number = number as usize;
            if words[number].are_known() {
                put(&mut encoded[number], run.start - ends[number]);
                put(&mut encoded[number], run.end - run.start - 1);
                ends[number] = run.end;
            }
        }
        encoded
    }
}

const NOT_KNOWN: u8 = 0;

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

    #[derive(Clone, Default)]
    struct Word(WordRuns);

    impl AsRef<WordRuns> for Word {
        fn as_ref(&self) -> &WordRuns {
            &self.0
        }
    }

    impl AsMut<WordRuns> for Word {
        fn as_mut(&mut self) -> &mut WordRuns {
            &mut self.0
        }
    }

    /// Words by number, as a dictionary has them.
    #[derive(Default)]
    struct Words {
        builder: PostingsBuilder,
        words: Vec<Word>,
    }

    impl Words {
        fn add(&mut self, number: usize, row: u32) {
            self.words.resize(self.words.len().max(number + 1), Word::default());
            if self.builder.add(number as u32, self.words[number].as_mut(), row) {
                self.builder.let_go(&mut self.words);
            }
        }

        /// In a file of so many rows.
        fn encode(&self, order: &[u32], rows: usize) -> Vec<u8> {
            self.builder.encode(&self.words, order, room(rows, 0))
        }
    }

    #[test]
    fn rows_there_and_back_in_the_order_of_the_dictionary() {
        let mut words = Words::default();
        for (word, row) in [(0, 3), (0, 3), (1, 3), (0, 4), (1, 300), (0, 1_000)] {
            words.add(word, row);
        }
        let bytes = words.encode(&[1, 0], 2_000);
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
    fn the_rows_of_a_word_that_is_everywhere_and_nowhere_long_and_of_a_forgotten_one_are_not_known()
    {
        let mut words = Words::default();
        for row in 0..=RUNS_MAX {
            words.add(0, 2 * row);
            words.add(1, row);
            words.add(2, row);
        }
        words.words[2].as_mut().forget();
        words.add(2, RUNS_MAX + 7);
        let postings = Postings::decode(&words.encode(&[0, 1, 2], 1 << 20), 3).unwrap();
        assert_eq!(rows(&postings, 0), None);
        assert_eq!(rows(&postings, 1).unwrap().len(), RUNS_MAX as usize + 1);
        assert_eq!(rows(&postings, 2), None);
    }

    #[test]
    fn long_texts_leave_more_room() {
        assert_eq!(room(10, 1_000), BYTES_MIN);
        assert_eq!(room(1 << 20, 60 << 20), 1 << 18);
        assert_eq!(room(1 << 12, 1 << 30), 1 << 22);
    }

    #[test]
    fn the_shortest_are_kept_while_they_fit() {
        let mut words = Words::default();
        for row in 0..2_048 {
            words.add(0, 2 * row);
            if row < 2 {
                words.add(1, 2 * row);
            }
        }
        let postings = Postings::decode(&words.encode(&[0, 1], 8), 2).unwrap();
        assert_eq!((rows(&postings, 0), rows(&postings, 1)), (None, Some(vec![0, 2])));
    }

    #[test]
    fn the_runs_of_all_words_are_bounded_and_those_of_the_rarest_stay() {
        let mut words = Words::default();
        let many = 2 * RUNS_OF_ALL_MAX / RUNS_MAX as usize + 9;
        for row in 0..RUNS_MAX {
            (0..many).for_each(|word| words.add(word, 2 * row));
            if row < 3 {
                words.add(many, 2 * row);
            }
            assert!(words.builder.ended.len() < 2 * RUNS_OF_ALL_MAX);
        }
        assert!(words.builder.runs_max < RUNS_MAX);
        let order: Vec<u32> = (0..=many as u32).collect();
        let postings = Postings::decode(&words.encode(&order, 1 << 20), many + 1).unwrap();
        assert_eq!(rows(&postings, many).unwrap(), [0, 2, 4]);
        assert_eq!(rows(&postings, 0), None);
    }
}
