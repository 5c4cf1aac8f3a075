//! Functions over the words of a text beyond those of the parent module, each word in lower case.
//!
//! | | |
//! |---|---|
//! | `match_words(text, 'regex')` | one of the words matches as a whole |
//! | `match_phrase_prefix(text, 'two wor')` | the words one after the other, the last one begins so |
//! | `match_fuzzy(text, 'word', 2, 1)` | a word is at most two edits away and has its first letter |
//! | `is_fuzzy(text, 'word', 2, 1)` | the same of the whole text, letters as they are |
//! | `word_count(text)` | how many words there are |
//! | `phrase_count(text, 'two words')` | how often the words come one after the other |
//!
//! Edits are insertions, deletions, replacements and exchanges of two neighbours, each letter at most
//! once (optimal string alignment).

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::{folded_words, literal_number, literal_text, strings, whole_regex};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    Words,
    PhrasePrefix,
    Fuzzy,
    IsFuzzy,
    WordCount,
    PhraseCount,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TextFunction {
    ask: Ask,
    signature: Signature,
}

impl TextFunction {
    pub(super) const ALL: [Ask; 6] =
        [Ask::Words, Ask::PhrasePrefix, Ask::Fuzzy, Ask::IsFuzzy, Ask::WordCount, Ask::PhraseCount];

    pub(super) fn new(ask: Ask) -> Self {
        let signature = match ask {
            Ask::WordCount => Signature::string(1, Volatility::Immutable),
            Ask::Fuzzy | Ask::IsFuzzy => Signature::any(4, Volatility::Immutable),
            _ => Signature::string(2, Volatility::Immutable),
        };
        Self { ask, signature }
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        match self.ask {
            Ask::Words => "match_words",
            Ask::PhrasePrefix => super::MATCH_PHRASE_PREFIX,
            Ask::Fuzzy => "match_fuzzy",
            Ask::IsFuzzy => "is_fuzzy",
            Ask::WordCount => "word_count",
            Ask::PhraseCount => "phrase_count",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.ask {
            Ask::WordCount | Ask::PhraseCount => DataType::Int64,
            _ => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = strings(&args.args[0].to_array(args.number_rows)?)?;
        let sought = match args.args.get(1) {
            Some(sought) => literal_text(self.name(), sought)?,
            None => String::new(),
        };
        let truths = |test: &dyn Fn(&str) -> bool| -> ArrayRef {
            Arc::new(texts.iter().map(|text| text.map(test)).collect::<BooleanArray>())
        };
        let counts = |count: &dyn Fn(&str) -> usize| -> ArrayRef {
            let counts = texts.iter().map(|text| text.map(|text| count(text) as i64));
            Arc::new(counts.collect::<Int64Array>())
        };
        let answer = match self.ask {
            Ask::Words => {
                let regex = whole_regex(&sought)?;
                truths(&|text| folded_words(text).iter().any(|word| regex.is_match(word)))
            }
            Ask::PhrasePrefix => {
                let sought = folded_words(&sought);
                truths(&|text| begins_phrase(&folded_words(text), &sought))
            }
            Ask::Fuzzy | Ask::IsFuzzy => {
                let edits = literal_number(self.name(), &args.args[2])?;
                let prefix = literal_number(self.name(), &args.args[3])?;
                let sought: Vec<char> = sought.chars().collect();
                let near =
                    |word: &str| is_near(&word.chars().collect::<Vec<_>>(), &sought, edits, prefix);
                match self.ask {
                    Ask::IsFuzzy => truths(&near),
                    _ => truths(&|text| folded_words(text).iter().any(|word| near(word))),
                }
            }
            Ask::WordCount => counts(&|text| folded_words(text).len()),
            Ask::PhraseCount => {
                let sought = folded_words(&sought);
                counts(&|text| match sought.len() {
                    0 => 0,
                    n => folded_words(text).windows(n).filter(|run| *run == sought).count(),
                })
            }
        };
        Ok(ColumnarValue::Array(answer))
    }
}

/// Whether the words come one after the other, the last of them as the beginning of a word.
fn begins_phrase(words: &[String], sought: &[String]) -> bool {
    let Some((last, whole)) = sought.split_last() else { return true };
    words
        .windows(sought.len())
        .any(|run| run[..whole.len()] == *whole && run[whole.len()].starts_with(last.as_str()))
}

fn is_near(word: &[char], sought: &[char], edits: usize, prefix: usize) -> bool {
    let prefix = prefix.min(sought.len());
    if word.len().abs_diff(sought.len()) > edits || word.get(..prefix) != sought.get(..prefix) {
        return false;
    }
    distance(&word[prefix..], &sought[prefix..]) <= edits
}

/// Optimal string alignment, three rows at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = replaced.min(last[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, next);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_as_by_hand() {
        for (a, b, edits) in [
            ("", "", 0),
            ("error", "eror", 1),
            ("error", "reror", 1),
            ("ab", "cd", 2),
            ("", "abc", 3),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(distance(&chars(a), &chars(b)), edits, "{a} {b}");
        }
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert!(is_near(&chars("timeout"), &chars("timeuot"), 1, 3));
        assert!(!is_near(&chars("dimeout"), &chars("timeout"), 1, 1));
    }

    #[test]
    fn a_phrase_may_end_within_a_word() {
        let words = folded_words("Connection refused by peer");
        for (sought, there) in [
            ("refused b", true),
            ("connection REF", true),
            ("ref by", false),
            ("peer x", false),
            ("", true),
        ] {
            assert_eq!(begins_phrase(&words, &folded_words(sought)), there, "{sought}");
        }
    }
}
