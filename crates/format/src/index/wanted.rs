//! Conditions that an index may answer for good: which rows they are true of, where it knows.

use super::dictionary::{ExactStem, Found, Stem};
use super::needle::ColumnParts;
use super::rows::{Rows, Size};
use super::text::{is_kept_stem, stems};

/// A condition on the words of texts, all of which words of letters can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    All(Vec<Self>),
    Any(Vec<Self>),
    Word(WantedWord),
}

/// A word, or a part of one, in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedWord {
    column: String,
    exact: ExactStem,
}

impl Wanted {
    /// A text that has these letters, in any case unless `as_written`; `None` where the dictionary does
    /// not have all there is to say of them.
    #[must_use]
    pub fn part(column: &str, letters: &str, as_written: bool) -> Option<Self> {
        let wanted = Self::new(column, letters, as_written, false);
        wanted.filter(|_| is_kept_stem(&letters.as_bytes().to_ascii_lowercase()))
    }

    /// A text that has this word of letters, and nothing that is a letter or a digit beside it.
    #[must_use]
    pub fn word(column: &str, letters: &str, as_written: bool) -> Option<Self> {
        Self::new(column, letters, as_written, true)
    }

    fn new(column: &str, letters: &str, as_written: bool, is_whole: bool) -> Option<Self> {
        let text = letters.as_bytes().to_ascii_lowercase();
        let is_one_stem = stems(&text).next().is_some_and(|(stem, _)| stem.len() == text.len());
        is_one_stem.then(|| {
            let stem = Stem { text, begins: is_whole, ends: is_whole };
            let written = as_written.then(|| letters.as_bytes().to_vec());
            Self::Word(WantedWord { column: column.to_owned(), exact: ExactStem { stem, written } })
        })
    }

    /// The rows of a file for which it holds and may hold. Columns of which `index` gives nothing say
    /// nothing.
    pub fn rows<'a>(&self, index: &impl Fn(&str) -> Option<ColumnParts<'a>>, size: Size) -> Found {
        match self {
            Self::All(parts) => {
                let mut found = parts.iter().map(|part| part.rows(index, size));
                let all = || Found { sure: Rows::all(size.rows), possible: Rows::all(size.rows) };
                let first = found.next().unwrap_or_else(all);
                found.fold(first, |all, part| Found {
                    sure: all.sure.intersection(&part.sure),
                    possible: all.possible.intersection(&part.possible),
                })
            }
            Self::Any(parts) => {
                let found: Vec<Found> = parts.iter().map(|part| part.rows(index, size)).collect();
                Found {
                    sure: Rows::union(found.iter().map(|found| found.sure.clone())),
                    possible: Rows::union(found.into_iter().map(|found| found.possible)),
                }
            }
            Self::Word(word) => match index(&word.column) {
                Some(ColumnParts::Words { dictionary: Some(dictionary), .. }) => {
                    dictionary.rows_with(&word.exact, size)
                }
                _ => Found { sure: Rows::none(), possible: Rows::all(size.rows) },
            },
        }
    }
}
