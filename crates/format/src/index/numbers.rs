//! Short numbers, those of at most four digits, in the filters of pages.
//!
//! Logs that have numbers at all have thousands of different short ones in each page: every second page
//! has a given one, and they would take a third of the index. So a page that has many keeps none of them,
//! but one key that says so. Where they are few, each has its key like any other word.

use super::text::hash;

const DIGITS_MAX: usize = 4;
/// How many short numbers there are: `7`, `07` and `007` are three.
const ALL: usize = 10 + 100 + 1_000 + 10_000;
/// How many a page may have for each to be kept.
const KEPT_MAX: usize = 1_024;

/// The key of a page that has too many short numbers for theirs: no word is empty.
pub(super) fn key_of_many() -> u64 {
    hash(b"")
}

pub(super) fn is_short_number(word: &[u8]) -> bool {
    (1..=DIGITS_MAX).contains(&word.len()) && word.iter().all(u8::is_ascii_digit)
}

/// The short numbers of one page.
#[derive(Debug)]
pub(super) struct ShortNumbers {
    seen: Vec<bool>,
    count: usize,
}

impl ShortNumbers {
    pub(super) fn new() -> Self {
        Self { seen: vec![false; ALL], count: 0 }
    }

    /// Takes a word in; false when it is no short number.
    pub(super) fn add(&mut self, word: &[u8]) -> bool {
        let is_short = is_short_number(word);
        if is_short {
            let seen = &mut self.seen[place(word)];
            self.count += usize::from(!*seen);
            *seen = true;
        }
        is_short
    }

    /// Moves the keys of the page to `keys`.
    pub(super) fn take_into(&mut self, keys: &mut Vec<u64>) {
        match self.count {
            0 => return,
            1..=KEPT_MAX => {
                let seen = self.seen.iter().enumerate().filter(|(_, seen)| **seen);
                keys.extend(seen.map(|(place, _)| hash(word_at(place).as_bytes())));
            }
            _ => keys.push(key_of_many()),
        }
        self.seen.fill(false);
        self.count = 0;
    }
}

/// Where a short number has its place: those of fewer digits come first.
fn place(word: &[u8]) -> usize {
    let value = word.iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
    (1..word.len()).map(|digits| 10_usize.pow(digits as u32)).sum::<usize>() + value
}

fn word_at(place: usize) -> String {
    let (mut value, mut digits) = (place, 1);
    while value >= 10_usize.pow(digits) {
        value -= 10_usize.pow(digits);
        digits += 1;
    }
    format!("{value:0width$}", width = digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_short_number_has_its_own_place() {
        for at in 0..ALL {
            assert_eq!(place(word_at(at).as_bytes()), at);
        }
        assert_eq!((place(b"0"), place(b"00"), place(b"9999")), (0, 10, ALL - 1));
        assert!(!["", "10000", "1a", "a"].iter().any(|word| is_short_number(word.as_bytes())));
    }

    #[test]
    fn few_are_kept_one_by_one_and_many_as_one_key() {
        let keys_of = |count: usize| {
            let (mut numbers, mut keys) = (ShortNumbers::new(), vec![]);
            for number in (0..count).chain(0..count) {
                assert!(numbers.add(number.to_string().as_bytes()));
            }
            numbers.take_into(&mut keys);
            assert!(!numbers.add(b"x1"));
            let mut next = vec![];
            numbers.take_into(&mut next);
            assert!(next.is_empty());
            keys
        };
        assert_eq!(keys_of(KEPT_MAX).len(), KEPT_MAX);
        assert!(keys_of(20).contains(&hash(b"17")));
        assert_eq!(keys_of(KEPT_MAX + 1), [key_of_many()]);
    }
}
