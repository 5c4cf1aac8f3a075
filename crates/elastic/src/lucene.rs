//! Lucene's syntaxes: `query_string`, `simple_query_string`, wildcards and regular expressions.

mod flags;
mod patterns;
mod query_string;
mod simple;
#[cfg(test)]
mod tests;

pub(crate) use self::flags::Flags;
pub(crate) use self::patterns::{
    like, literal, longest_literal, regexp, wildcard, wildcard_is_match,
};
pub(crate) use self::query_string::query_string;
pub(crate) use self::simple::simple_query_string;
use crate::query::{Edits, Fuzziness, Minimum, Operator, Query, Words};

/// How texts are read.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where terms without a field of their own are sought, with boosts.
    pub(crate) fields: Vec<(String, f64)>,
    pub(crate) operator: Operator,
    pub(crate) lenient: bool,
    pub(crate) minimum: Option<Minimum>,
    pub(crate) zone: Option<String>,
    /// Of `word~`.
    pub(crate) edits: Edits,
    pub(crate) prefix: u64,
    /// Of simple texts.
    pub(crate) flags: Flags,
}

impl Options {
    /// A query over the field that is named, or over the default ones.
    fn over(&self, field: Option<&str>, query: &Query) -> Query {
        match (field, self.fields.as_slice()) {
            (Some(field), _) if !field.contains('*') => query.over(field),
            (Some(field), _) => Query::AnyField {
                fields: vec![(field.to_owned(), 1.0)],
                query: Box::new(query.clone()),
                add_scores: false,
            },
            (None, [(field, 1.0)]) if !field.contains('*') => query.over(field),
            (None, fields) => Query::AnyField {
                fields: fields.to_vec(),
                query: Box::new(query.clone()),
                add_scores: false,
            },
        }
    }

    fn words(&self, text: &str) -> Query {
        let words = Words { operator: self.operator, lenient: self.lenient, ..Words::of(text) };
        Query::Match { field: String::new(), words }
    }

    fn phrase(&self, text: &str) -> Query {
        let (field, text) = (String::new(), text.to_owned());
        Query::Phrase { field, text, last_is_prefix: false, lenient: self.lenient }
    }

    fn fuzzy(&self, text: &str, edits: Edits) -> Query {
        let fuzziness = Some(Fuzziness { edits, prefix: self.prefix });
        let words = Words { fuzziness, lenient: true, ..Words::of(text) };
        Query::Match { field: String::new(), words }
    }
}
