//! Words in a text of ASCII, in whatever case, found without a look at its other words.

use std::ops::Range;

use memchr::memchr2_iter;

/// Letters and digits from those that are rare in logs to the frequent ones.
const FROM_RARE: &[u8] = b"zqxjkvbwyhgfpumdclnoiarste9876543210";

/// Words one after the other, with anything but letters and digits between them.
pub(super) struct AsciiPhrase {
    /// In lower case.
    words: Vec<Box<[u8]>>,
    /// The word that is looked for first, and the place of its rarest letter.
    anchor: usize,
    rare: usize,
}

impl AsciiPhrase {
    /// `None` where a text of ASCII cannot have these words, which are in lower case.
    pub(super) fn new(words: &[String]) -> Option<Self> {
        let rarity = |byte: &u8| FROM_RARE.iter().position(|rare| rare == byte);
        let is_word = |word: &String| word.bytes().all(|byte| rarity(&byte).is_some());
        if !words.iter().all(is_word) {
            return None;
        }
        let places = words.iter().enumerate().flat_map(|(at, word)| {
            word.bytes().enumerate().map(move |(rare, byte)| (rarity(&byte), at, rare))
        });
        let (_, anchor, rare) = places.min()?;
        let words = words.iter().map(|word| word.as_bytes().into()).collect();
        Some(Self { words, anchor, rare })
    }

    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let word = &self.words[self.anchor];
        let byte = word[self.rare];
        memchr2_iter(byte, byte.to_ascii_uppercase(), text).any(|at| {
            let Some(start) = at.checked_sub(self.rare) else { return false };
            is_word_at(word, text, start) && self.goes_on_from(text, start..start + word.len())
        })
    }

    /// Whether the other words are before and after the one that was found.
    fn goes_on_from(&self, text: &[u8], found: Range<usize>) -> bool {
        let mut end = found.end;
        let after = self.words[self.anchor + 1..].iter().all(|word| {
            let between = text[end..].iter().take_while(|byte| !byte.is_ascii_alphanumeric());
            let start = end + between.count();
            end = start + word.len();
            is_word_at(word, text, start)
        });
        let mut start = found.start;
        after
            && self.words[..self.anchor].iter().rev().all(|word| {
                let before = text[..start].iter().rev();
                let between = before.take_while(|byte| !byte.is_ascii_alphanumeric()).count();
                let Some(at) = (start - between).checked_sub(word.len()) else { return false };
                start = at;
                is_word_at(word, text, at)
            })
    }
}

fn is_word_at(word: &[u8], text: &[u8], start: usize) -> bool {
    let end = start + word.len();
    let goes_on = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.get(start..end).is_some_and(|found| found.eq_ignore_ascii_case(word))
        && !goes_on(text.get(end))
        && !goes_on(start.checked_sub(1).and_then(|before| text.get(before)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::folded_words;
    use super::*;

    proptest! {
        /// As by a comparison with all words.
        #[test]
        fn a_phrase_is_found_where_its_words_follow_each_other(
            text in "[abAB1 .-]{0,20}",
            sought in proptest::collection::vec("[ab1]{1,2}", 1..4),
        ) {
            let words = folded_words(&text);
            let expected = words.windows(sought.len()).any(|run| run == sought);
            let found = AsciiPhrase::new(&sought).unwrap().is_in(text.as_bytes());
            prop_assert_eq!(found, expected, "{:?} in {:?}", sought, text);
        }
    }

    #[test]
    fn other_words_are_in_no_text_of_ascii() {
        assert!(AsciiPhrase::new(&["größe".to_owned()]).is_none());
        assert!(AsciiPhrase::new(&[]).is_none());
    }
}
