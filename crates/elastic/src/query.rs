//! Elasticsearch's query DSL: parsed, and as a filter over the fields of an index.
//!
//! Source of the forms: Elasticsearch's reference, "Query DSL".

mod filter;
mod minimum;
mod parse;
mod score;
mod terms;
#[cfg(test)]
mod tests;
mod values;

use serde_json::Value;

pub use self::filter::filter;
pub(crate) use self::minimum::Minimum;
pub use self::parse::parse;
pub(crate) use self::score::Scorer;
pub(crate) use self::terms::{Mark, marks};

/// How many words of a text must be in a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    #[default]
    Or,
    And,
}

/// How far words may be from those sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edits {
    /// By length: none below 3 letters, one below 6, else two; or with other lengths.
    Auto(usize, usize),
    Exactly(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuzziness {
    pub edits: Edits,
    /// Letters that must be the same.
    pub prefix: u64,
}

impl Fuzziness {
    pub(crate) fn edits_for(self, word: &str) -> u64 {
        match self.edits {
            Edits::Exactly(edits) => edits,
            Edits::Auto(low, high) => match word.chars().count() {
                n if n < low => 0,
                n if n < high => 1,
                _ => 2,
            },
        }
    }
}

/// A query over the words of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    pub text: String,
    pub operator: Operator,
    pub minimum: Option<Minimum>,
    pub fuzziness: Option<Fuzziness>,
    /// The last word may be the beginning of one.
    pub last_is_prefix: bool,
    /// A text that is no value of its field matches nothing instead of failing.
    pub lenient: bool,
    /// A text without words matches all.
    pub zero_is_all: bool,
}

impl Words {
    pub fn of(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            operator: Operator::Or,
            minimum: None,
            fuzziness: None,
            last_is_prefix: false,
            lenient: false,
            zero_is_all: false,
        }
    }
}

/// Both ends of a range as they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Range {
    pub gt: Option<Value>,
    pub gte: Option<Value>,
    pub lt: Option<Value>,
    pub lte: Option<Value>,
    pub format: Option<String>,
    pub zone: Option<String>,
    pub lenient: bool,
}

/// A pattern for a whole value, or for a word of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// `*` and `?`.
    Wildcard(String),
    Prefix(String),
    /// Lucene's.
    Regexp(String),
}

/// A query that was understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    MatchAll,
    MatchNone,
    Bool(Box<Bool>),
    /// `match` and its kin over one field.
    Match {
        field: String,
        words: Words,
    },
    Phrase {
        field: String,
        text: String,
        last_is_prefix: bool,
        lenient: bool,
    },
    Term {
        field: String,
        value: Value,
        any_case: bool,
        lenient: bool,
    },
    Terms {
        field: String,
        values: Vec<Value>,
    },
    Range {
        field: String,
        range: Range,
    },
    Exists {
        field: String,
    },
    Ids(Vec<String>),
    Pattern {
        field: String,
        pattern: Pattern,
        any_case: bool,
        lenient: bool,
    },
    Fuzzy {
        field: String,
        value: String,
        fuzziness: Fuzziness,
    },
    /// The same over each of several fields, whose names may be patterns; any may match. The score is
    /// the best one, or all of them together.
    AnyField {
        fields: Vec<(String, f64)>,
        query: Box<Query>,
        add_scores: bool,
    },
    Constant(Box<Query>),
    DisMax {
        queries: Vec<Query>,
        tie_breaker: f64,
    },
    Boosting {
        positive: Box<Query>,
        negative: Box<Query>,
        negative_boost: f64,
    },
    Boost(Box<Query>, f64),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bool {
    pub must: Vec<Query>,
    pub filter: Vec<Query>,
    pub should: Vec<Query>,
    pub must_not: Vec<Query>,
    pub minimum: Option<Minimum>,
}

impl Bool {
    /// How many of `should` must match: one, where nothing else has to.
    pub(crate) fn needed(&self) -> usize {
        let alone = self.must.is_empty() && self.filter.is_empty() && !self.should.is_empty();
        let least = usize::from(alone);
        match &self.minimum {
            Some(minimum) => minimum.of(self.should.len()).max(least),
            None => least,
        }
    }
}

impl Query {
    /// The same over another field, for [`Query::AnyField`].
    pub(crate) fn over(&self, name: &str) -> Self {
        let mut query = self.clone();
        match &mut query {
            Self::Match { field, .. }
            | Self::Phrase { field, .. }
            | Self::Term { field, .. }
            | Self::Terms { field, .. }
            | Self::Range { field, .. }
            | Self::Exists { field }
            | Self::Pattern { field, .. }
            | Self::Fuzzy { field, .. } => name.clone_into(field),
            _ => {}
        }
        query
    }

    pub(crate) fn boosted(self, boost: Option<f64>) -> Self {
        match boost {
            Some(boost) if boost != 1.0 => Self::Boost(Box::new(self), boost),
            _ => self,
        }
    }
}
