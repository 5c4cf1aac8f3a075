//! Texts to words.
//!
//! A *word* is a longest run of ASCII letters and digits, a *stem* a longest run of letters. Bytes
//! past ASCII part words, so texts of other scripts have fewer of them or none.

use std::ops::Range;

use twox_hash::XxHash3_64;

/// Shorter stems of words with digits (`a3f`, `v2beta`) are in every page anyway.
const STEM_MIN: usize = 3;

/// Whether a stem of a word with digits is a word of the dictionary. The letters of hexadecimal ids are
/// none: they would be most of it.
pub(super) fn is_kept_stem(stem: &[u8]) -> bool {
    stem.len() >= STEM_MIN && !stem.iter().all(|letter| (b'a'..=b'f').contains(letter))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Other,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphabetic() {
            classes[byte] = Class::Letter;
        } else if (byte as u8).is_ascii_digit() {
            classes[byte] = Class::Digit;
        }
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> Class {
    CLASSES[byte as usize]
}

/// Appends the text in the form in which all texts are compared: ASCII in lower case, and the two
/// other characters that have an ASCII letter for their lower case as that letter.
pub(super) fn fold_into(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    if text.is_ascii() {
        out.extend_from_slice(text.as_bytes());
    } else {
        for char in text.chars() {
            match char {
                '\u{212a}' => out.push(b'k'),
                '\u{17f}' => out.push(b's'),
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out[start..].make_ascii_lowercase();
}

pub(super) fn fold(text: &str) -> Vec<u8> {
    let mut folded = Vec::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// The words of a folded text, in their order.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += text[at..].iter().position(|b| class(*b) != Class::Other)?;
        let start = at;
        let mut has_digit = false;
        while let Some(found) = text.get(at).map(|b| class(*b)).filter(|c| *c != Class::Other) {
            has_digit |= found == Class::Digit;
            at += 1;
        }
        Some(Word { text: &text[start..at], range: start..at, has_digit })
    })
}

/// A word and where it is in its text.
#[derive(Debug)]
pub(super) struct Word<'a> {
    pub(super) text: &'a [u8],
    pub(super) range: Range<usize>,
    pub(super) has_digit: bool,
}

/// The stems of a word, each with its place in the word.
pub(super) fn stems(word: &[u8]) -> impl Iterator<Item = (&[u8], Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += word[at..].iter().position(|b| class(*b) == Class::Letter)?;
        let start = at;
        at += word[at..].iter().take_while(|b| class(**b) == Class::Letter).count();
        Some((&word[start..at], start..at))
    })
}

/// What a filter keeps of a word or a value.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// What a filter keeps of a number: that of its text, since a query may ask for either.
pub(super) fn hash_of_number(number: i64) -> u64 {
    hash(number.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let folded = fold(text);
        words(&folded).map(|w| String::from_utf8_lossy(w.text).into_owned()).collect()
    }

    #[test]
    fn words_end_at_whatever_is_neither_letter_nor_digit() {
        assert_eq!(of("GET /api/v2?id=7a_b"), ["get", "api", "v2", "id", "7a", "b"]);
        assert_eq!(of("überfällig, naïve"), ["berf", "llig", "na", "ve"]);
        assert_eq!(of(" -- "), Vec::<String>::new());
    }

    #[test]
    fn letters_with_an_ascii_lower_case_are_folded_to_it() {
        assert_eq!(of("O\u{212a} le\u{17f}\u{17f}"), ["ok", "less"]);
    }

    #[test]
    fn stems_are_the_letters_between_digits() {
        let found: Vec<_> = stems(b"12ab3cde").map(|(stem, at)| (stem.to_vec(), at)).collect();
        assert_eq!(found, [(b"ab".to_vec(), 2..4), (b"cde".to_vec(), 5..8)]);
    }
}
