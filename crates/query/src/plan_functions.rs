//! Calls of functions for who builds plans instead of SQL.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, lit};

use crate::functions::{self, MATCH, MATCH_PHRASE, MATCH_PHRASE_PREFIX};

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let found = functions::scalar().into_iter().find(|function| function.name() == name);
    match found {
        Some(function) => Arc::new(function).call(args),
        // A name that is not there is no call: it finds nothing.
        None => lit(false),
    }
}

/// The first value of a key of `attributes` as text, whichever way its dots are spelled; null where
/// the row has none.
pub fn attribute_text(attributes: Expr, key: &str) -> Expr {
    call("attribute_text", vec![attributes, lit(key)])
}

/// The same as a number (`Float64`); null where it is none.
pub fn attribute_number(attributes: Expr, key: &str) -> Expr {
    call("attribute_number", vec![attributes, lit(key)])
}

/// All values of a key of `attributes`, as a list of texts; null where there is none.
pub fn attribute_values(attributes: Expr, key: &str) -> Expr {
    call("attribute_values", vec![attributes, lit(key)])
}

/// Whether a value of a key of `attributes` matches a regular expression as a whole.
pub fn attribute_matches(attributes: Expr, key: &str, regex: &str) -> Expr {
    call("attribute_matches", vec![attributes, lit(key), lit(regex)])
}

/// Whether a text has all of these words.
pub fn match_all_words(text: Expr, words: &str) -> Expr {
    call(MATCH, vec![text, lit(words)])
}

pub fn match_phrase(text: Expr, phrase: &str) -> Expr {
    call(MATCH_PHRASE, vec![text, lit(phrase)])
}

pub fn match_phrase_prefix(text: Expr, phrase: &str) -> Expr {
    call(MATCH_PHRASE_PREFIX, vec![text, lit(phrase)])
}

/// Whether one of a text's words, in lower case, matches a regular expression as a whole.
pub fn match_words(text: Expr, regex: &str) -> Expr {
    call("match_words", vec![text, lit(regex)])
}

/// Whether one of a text's words is at most so many edits from this one, after a common prefix.
pub fn match_fuzzy(text: Expr, word: &str, edits: u64, prefix: u64) -> Expr {
    call("match_fuzzy", vec![text, lit(word), lit(edits), lit(prefix)])
}

/// The same of a text as a whole.
pub fn is_fuzzy(text: Expr, value: &str, edits: u64, prefix: u64) -> Expr {
    call("is_fuzzy", vec![text, lit(value), lit(edits), lit(prefix)])
}

pub fn word_count(text: Expr) -> Expr {
    call("word_count", vec![text])
}

/// How often a text has these words one after the other.
pub fn phrase_count(text: Expr, phrase: &str) -> Expr {
    call("phrase_count", vec![text, lit(phrase)])
}

/// The id of a record by its columns, `timestamp` among them.
pub fn record_id<'a>(columns: impl IntoIterator<Item = (&'a str, Expr)>) -> Expr {
    let pairs = columns.into_iter().flat_map(|(name, value)| [lit(name), value]);
    call("record_id", pairs.collect())
}

/// Microseconds since the epoch of the record that an id names; `None` for what is no id.
pub fn record_time_micros(id: &str) -> Option<i64> {
    functions::record_id::time_micros(id)
}

/// The words of a text, in lower case, as searches take them.
pub fn words(text: &str) -> Vec<String> {
    functions::folded_words(text)
}
