//! What is looked for, and the rows in which it may be.

use super::dictionary::{Dictionary, Stem};
use super::filters::{Filters, Sought};
use super::numbers::{is_short_number, key_of_many};
use super::rows::{Rows, Size};
use super::text::{fold, hash, hash_of_number, is_kept_stem, stems, words};

/// Conditions on the columns of a row, as far as indexes can narrow them: a row for which they do
/// not hold is none that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// Any row, for all that is known.
    Anything,
    All(Vec<Self>),
    Any(Vec<Self>),
    Has {
        column: String,
        needle: Needle,
    },
}

/// A condition on one column that an index can narrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    /// Of words without digits, and the letters of those with digits.
    stems: Vec<SoughtStem>,
    /// Words with digits.
    words: Vec<Sought>,
    /// The hash of the value, where it is asked for as a whole.
    value: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SoughtStem {
    stem: Stem,
    /// Its hash, where it is a whole word.
    word: Option<u64>,
}

/// The index of one column of a file, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub enum ColumnParts<'a> {
    Words { dictionary: Option<&'a Dictionary>, filters: Option<&'a Filters> },
    Values { filters: Option<&'a Filters> },
}

impl Search {
    /// Each column with what is looked for in it.
    pub fn needles(&self) -> Vec<(&str, &Needle)> {
        match self {
            Self::Anything => vec![],
            Self::All(searches) | Self::Any(searches) => {
                searches.iter().flat_map(Self::needles).collect()
            }
            Self::Has { column, needle } => vec![(column, needle)],
        }
    }

    /// The rows of a file that may be looked for. Columns of which `index` gives nothing say nothing.
    pub fn rows<'a>(&self, index: &impl Fn(&str) -> Option<ColumnParts<'a>>, size: Size) -> Rows {
        let all = || Rows::all(size.rows);
        match self {
            Self::Anything => all(),
            Self::All(searches) => {
                let rows = searches.iter().map(|search| search.rows(index, size));
                rows.reduce(|all, rows| all.intersection(&rows)).unwrap_or_else(all)
            }
            Self::Any(searches) => {
                Rows::union(searches.iter().map(|search| search.rows(index, size)))
            }
            Self::Has { column, needle } => {
                index(column).map_or_else(all, |parts| needle.rows(parts, size))
            }
        }
    }
}

impl Needle {
    /// A text that is this one.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self { value: Some(hash(text.as_bytes())), ..Self::part(text, true, true) }
    }

    /// A number that is this one.
    #[must_use]
    pub fn number(number: i64) -> Self {
        Self { stems: vec![], words: vec![], value: Some(hash_of_number(number)) }
    }

    /// A text with this part, in upper or lower case; `begins` and `ends` where it is known that no
    /// word goes on before it or after it.
    #[must_use]
    pub fn part(text: &str, begins: bool, ends: bool) -> Self {
        let folded = fold(text);
        let (mut sought, mut whole_words) = (vec![], vec![]);
        for word in words(&folded) {
            let begins = begins || word.range.start > 0;
            let ends = ends || word.range.end < folded.len();
            let whole = (begins && ends).then(|| hash(word.text));
            if word.has_digit {
                let or = is_short_number(word.text).then(key_of_many);
                whole_words.extend(whole.map(|key| Sought { key, or }));
            }
            let letters_only = !word.has_digit;
            for (stem, at) in stems(word.text) {
                let stem = Stem {
                    text: stem.to_vec(),
                    begins: begins || at.start > 0,
                    ends: ends || at.end < word.text.len(),
                };
                // Others are in the dictionary only where they are a word.
                if is_kept_stem(&stem.text) || (letters_only && whole.is_some()) {
                    sought.push(SoughtStem { stem, word: whole.filter(|_| letters_only) });
                }
            }
        }
        Self { stems: sought, words: whole_words, value: None }
    }

    /// Whether an index of words can narrow it.
    #[must_use]
    pub fn narrows_words(&self) -> bool {
        !(self.stems.is_empty() && self.words.is_empty())
    }

    /// Whether an index of values can narrow it.
    #[must_use]
    pub const fn narrows_values(&self) -> bool {
        self.value.is_some()
    }

    #[must_use]
    pub const fn needs_dictionary(&self) -> bool {
        !self.stems.is_empty()
    }

    /// Whether the filters say more than the dictionary.
    #[must_use]
    pub fn needs_filters(&self, dictionary: Option<&Dictionary>) -> bool {
        let in_filters = dictionary.is_some_and(|known| !known.partial().is_empty())
            && self.stems.iter().any(|sought| sought.word.is_some());
        in_filters || !self.words.is_empty()
    }

    fn rows(&self, parts: ColumnParts<'_>, size: Size) -> Rows {
        let mut found = vec![];
        match parts {
            ColumnParts::Values { filters } => {
                if let (Some(filters), Some(value)) = (filters, self.value) {
                    found.push(size.rows_of(&filters.pages(&[Sought::key(value)])));
                }
            }
            ColumnParts::Words { dictionary, filters } => {
                if let Some(dictionary) = dictionary {
                    found
                        .extend(self.stems.iter().map(|stem| stem.rows(dictionary, filters, size)));
                }
                if let (Some(filters), false) = (filters, self.words.is_empty()) {
                    found.push(size.rows_of(&filters.pages(&self.words)));
                }
            }
        }
        let both = |all: Rows, rows: Rows| all.intersection(&rows);
        found.into_iter().reduce(both).unwrap_or_else(|| Rows::all(size.rows))
    }
}

impl SoughtStem {
    fn rows(&self, dictionary: &Dictionary, filters: Option<&Filters>, size: Size) -> Rows {
        let mut others = dictionary.partial().clone();
        if let (Some(word), Some(filters), false) = (self.word, filters, others.is_empty()) {
            others.intersect(&filters.pages(&[Sought::key(word)]));
        }
        Rows::union([dictionary.rows_of(&self.stem, size), size.rows_of(&others)])
    }
}
