//! What a query seeks in texts, for who marks it in them.

use loglake_query::plan_functions as functions;

use super::{Pattern, Query};
use crate::lucene;

/// Something that is sought in a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    /// A word, or a whole value.
    Text(String),
    Words(Vec<String>),
    Beginning(String),
    /// A regular expression for a whole word.
    Regex(String),
}

/// All that a query seeks, with the names of its fields, which may be patterns.
pub(crate) fn marks(query: &Query) -> Vec<(String, Mark)> {
    let mut found = vec![];
    collect(query, &mut found);
    found
}

fn collect(query: &Query, found: &mut Vec<(String, Mark)>) {
    let mut add = |field: &str, mark| found.push((field.to_owned(), mark));
    match query {
        Query::Bool(parts) => {
            let sought = parts.must.iter().chain(&parts.filter).chain(&parts.should);
            sought.for_each(|query| collect(query, found));
        }
        Query::Match { field, words } => {
            let mut all = functions::words(&words.text);
            if words.last_is_prefix {
                all.pop().into_iter().for_each(|last| add(field, Mark::Beginning(last)));
            }
            all.into_iter().for_each(|word| add(field, Mark::Text(word)));
            add(field, Mark::Text(words.text.clone()));
        }
        Query::Phrase { field, text, .. } => add(field, Mark::Words(functions::words(text))),
        Query::Term { field, value, .. } => {
            crate::object::scalar_text(value)
                .into_iter()
                .for_each(|text| add(field, Mark::Text(text)));
        }
        Query::Terms { field, values } => {
            let texts = values.iter().filter_map(crate::object::scalar_text);
            texts.for_each(|text| add(field, Mark::Text(text)));
        }
        Query::Pattern { field, pattern, .. } => match pattern {
            Pattern::Wildcard(text) => {
                add(field, Mark::Regex(lucene::wildcard(&text.to_lowercase())))
            }
            Pattern::Prefix(text) => add(field, Mark::Beginning(text.clone())),
            Pattern::Regexp(text) => {
                lucene::regexp(text).into_iter().for_each(|regex| add(field, Mark::Regex(regex)));
            }
        },
        Query::Fuzzy { field, value, .. } => add(field, Mark::Text(value.clone())),
        Query::AnyField { fields, query, .. } => {
            fields.iter().for_each(|(name, _)| collect(&query.over(name), found));
        }
        Query::Constant(inner) | Query::Boost(inner, _) => collect(inner, found),
        Query::DisMax { queries, .. } => queries.iter().for_each(|query| collect(query, found)),
        Query::Boosting { positive, .. } => collect(positive, found),
        Query::MatchAll
        | Query::MatchNone
        | Query::Range { .. }
        | Query::Exists { .. }
        | Query::Ids(_) => {}
    }
}
