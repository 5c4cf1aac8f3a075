//! `highlight`: the words that were sought, marked in their texts.

use std::ops::Range;

use loglake_query::plan_functions as functions;
use loglake_receive::aliases::alias_of;
use regex::Regex;
use serde_json::{Map, Value, json};

use super::fields::flat;
use crate::ElasticError;
use crate::lucene::wildcard_is_match;
use crate::object::Object;
use crate::query::{Mark, marks};

/// Regular expressions of one highlight that are compiled.
const REGEX_BYTES_MAX: usize = 1 << 18;

#[derive(Clone, Debug, PartialEq)]
struct Style {
    before: String,
    after: String,
    fragments: usize,
    characters: usize,
    any_field: bool,
    none_characters: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Highlight {
    fields: Vec<(String, Style)>,
    marks: Vec<(String, Mark)>,
    has_query: bool,
}

impl Highlight {
    pub(super) fn parse(body: &Value) -> Result<Self, ElasticError> {
        let mut object = Object::new("[highlight]", body)?;
        let usual = Style {
            before: "<em>".to_owned(),
            after: "</em>".to_owned(),
            fragments: 5,
            characters: 100,
            any_field: false,
            none_characters: 0,
        };
        let style = style(&mut object, &usual)?;
        let query = object.take("highlight_query");
        let bodies: Vec<(String, Value)> = match object.take("fields") {
            Some(Value::Object(members)) => members.into_iter().collect(),
            Some(Value::Array(items)) => {
                let members = items.into_iter().filter_map(|item| match item {
                    Value::Object(members) => Some(members),
                    _ => None,
                });
                members.flatten().collect()
            }
            _ => return Err(ElasticError::parsing("[highlight] requires [fields]")),
        };
        object.finish()?;
        let mut fields = vec![];
        for (name, body) in bodies {
            let mut object = Object::new("[highlight_field]", &body)?;
            let style = self::style(&mut object, &style)?;
            object.pass_over(&["highlight_query", "matched_fields"]);
            object.finish()?;
            fields.push((name, style));
        }
        let marks = match &query {
            Some(query) => marks(&crate::query::parse(query)?),
            None => vec![],
        };
        Ok(Self { fields, marks, has_query: query.is_some() })
    }

    pub(super) fn mark(&mut self, marks: Vec<(String, Mark)>) {
        if !self.has_query {
            self.marks = marks;
        }
    }

    /// By field; `None` when nothing is marked.
    pub(super) fn of(&self, source: &Value) -> Option<Value> {
        let mut shown = Map::new();
        for (name, values) in flat(source) {
            let style = self.fields.iter().find(|(pattern, _)| is_field(pattern, &name));
            let Some((pattern, style)) = style else { continue };
            let marks: Vec<&Mark> = self
                .marks
                .iter()
                .filter(|(field, _)| style.any_field || is_field(field, &name))
                .map(|(_, mark)| mark)
                .collect();
            let texts = values.iter().filter_map(Value::as_str);
            let fragments: Vec<String> =
                texts.flat_map(|text| fragments(text, &name, &marks, style)).collect();
            if !fragments.is_empty() {
                let shown_as = if pattern.contains('*') { &name } else { pattern };
                shown.insert(shown_as.clone(), json!(fragments));
            }
        }
        (!shown.is_empty()).then_some(Value::Object(shown))
    }
}

/// Whether a pattern, or another name of the column, means a field of the record.
fn is_field(pattern: &str, name: &str) -> bool {
    let plain = pattern.strip_suffix(".keyword").unwrap_or(pattern);
    wildcard_is_match(plain, name)
        || alias_of(plain).is_some_and(|(canonical, _)| canonical.column() == name)
}

fn style(object: &mut Object, usual: &Style) -> Result<Style, ElasticError> {
    let first = |tags: Option<Vec<String>>, usual: &str| {
        tags.and_then(|tags| tags.into_iter().next()).unwrap_or_else(|| usual.to_owned())
    };
    let size = |number: Option<i64>, usual: usize| {
        number.map_or(usual, |number| usize::try_from(number).unwrap_or(0))
    };
    let style = Style {
        before: first(object.texts("pre_tags")?, &usual.before),
        after: first(object.texts("post_tags")?, &usual.after),
        fragments: size(object.whole("number_of_fragments")?, usual.fragments),
        characters: size(object.whole("fragment_size")?, usual.characters),
        any_field: match object.truth("require_field_match")? {
            Some(must) => !must,
            None => usual.any_field,
        },
        none_characters: size(object.whole("no_match_size")?, usual.none_characters),
    };
    object.pass_over(&[
        "boundary_chars",
        "boundary_max_scan",
        "boundary_scanner",
        "boundary_scanner_locale",
        "encoder",
        "force_source",
        "fragmenter",
        "fragment_offset",
        "max_analyzed_offset",
        "max_fragment_length",
        "order",
        "phrase_limit",
        "tags_schema",
        "type",
    ]);
    Ok(style)
}

/// Where the words of a text lie.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = vec![];
    for (at, c) in text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
        match found.last_mut() {
            Some(last) if last.end == at => last.end = at + c.len_utf8(),
            _ => found.push(at..at + c.len_utf8()),
        }
    }
    found
}

/// What of a text is to be marked.
fn marked(text: &str, name: &str, marks: &[&Mark]) -> Vec<Range<usize>> {
    if name != loglake_model::MESSAGE {
        let is_whole = |mark: &&Mark| match mark {
            Mark::Text(sought) => sought == text,
            Mark::Beginning(sought) => text.starts_with(sought.as_str()),
            Mark::Regex(regex) => whole(regex).is_some_and(|regex| regex.is_match(text)),
            Mark::Words(_) => false,
        };
        return marks.iter().any(is_whole).then_some(0..text.len()).into_iter().collect();
    }
    let places = words(text);
    let folded: Vec<String> = places
        .iter()
        .map(|place| functions::words(&text[place.clone()]).into_iter().next().unwrap_or_default())
        .collect();
    let mut hit = vec![false; places.len()];
    for mark in marks {
        match mark {
            Mark::Text(sought) => set(&mut hit, &folded, |word| word == sought),
            Mark::Beginning(sought) => {
                set(&mut hit, &folded, |word| word.starts_with(sought.as_str()))
            }
            Mark::Regex(regex) => {
                whole(regex)
                    .into_iter()
                    .for_each(|regex| set(&mut hit, &folded, |w| regex.is_match(w)));
            }
            Mark::Words(phrase) if !phrase.is_empty() => {
                for at in 0..folded.len().saturating_sub(phrase.len() - 1) {
                    if folded[at..at + phrase.len()] == **phrase {
                        hit[at..at + phrase.len()].fill(true);
                    }
                }
            }
            Mark::Words(_) => {}
        }
    }
    places.into_iter().zip(hit).filter(|(_, hit)| *hit).map(|(place, _)| place).collect()
}

fn set(hit: &mut [bool], words: &[String], test: impl Fn(&str) -> bool) {
    hit.iter_mut().zip(words).for_each(|(hit, word)| *hit |= test(word));
}

fn whole(regex: &str) -> Option<Regex> {
    let whole = format!("^(?s:{regex})$");
    regex::RegexBuilder::new(&whole).size_limit(REGEX_BYTES_MAX).build().ok()
}

/// Parts of a text around what is marked.
fn fragments(text: &str, name: &str, marks: &[&Mark], style: &Style) -> Vec<String> {
    let marked = marked(text, name, marks);
    if marked.is_empty() {
        let none = text.char_indices().nth(style.none_characters).map_or(text.len(), |(at, _)| at);
        return if style.none_characters > 0 { vec![text[..none].to_owned()] } else { vec![] };
    }
    if style.fragments == 0 {
        return vec![with_marks(text, 0..text.len(), &marked, style)];
    }
    let pieces = pieces(text, style.characters);
    let hit = pieces.into_iter().filter(|piece| {
        marked.iter().any(|mark| mark.start >= piece.start && mark.start < piece.end)
    });
    hit.take(style.fragments)
        .map(|piece| with_marks(text, piece, &marked, style).trim().to_owned())
        .collect()
}

/// A text cut between words into pieces of about so many characters.
fn pieces(text: &str, characters: usize) -> Vec<Range<usize>> {
    let (mut pieces, mut begin, mut count) = (vec![], 0, 0);
    for (at, c) in text.char_indices() {
        if count >= characters && c.is_whitespace() {
            pieces.push(begin..at);
            (begin, count) = (at, 0);
        }
        count += 1;
    }
    pieces.push(begin..text.len());
    pieces
}

fn with_marks(text: &str, piece: Range<usize>, marked: &[Range<usize>], style: &Style) -> String {
    let (mut shown, mut at) = (String::new(), piece.start);
    for mark in marked.iter().filter(|mark| mark.start >= piece.start && mark.end <= piece.end) {
        shown.push_str(&text[at..mark.start]);
        shown.push_str(&style.before);
        shown.push_str(&text[mark.clone()]);
        shown.push_str(&style.after);
        at = mark.end;
    }
    shown.push_str(&text[at..piece.end]);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sought_is_marked() {
        let source =
            json!({"message": "Connection refused by peer, connection closed", "level": "error"});
        let shown = |query: Value, highlight: Value| {
            let mut parsed = Highlight::parse(&highlight).unwrap();
            parsed.mark(marks(&crate::query::parse(&query).unwrap()));
            parsed.of(&source)
        };
        let all = json!({"fields": {"*": {}}});
        assert_eq!(
            shown(json!({"match": {"message": "CONNECTION"}}), all.clone()),
            Some(
                json!({"message": ["<em>Connection</em> refused by peer, <em>connection</em> closed"]})
            )
        );
        assert_eq!(
            shown(
                json!({"match_phrase": {"message": "by peer"}}),
                json!({"pre_tags": ["["], "post_tags": ["]"], "fields": {"message": {}}})
            ),
            Some(json!({"message": ["Connection refused [by] [peer], connection closed"]}))
        );
        assert_eq!(
            shown(json!({"term": {"log.level": "error"}}), all.clone()),
            Some(json!({"level": ["<em>error</em>"]}))
        );
        assert_eq!(
            shown(
                json!({"wildcard": {"message": "clos*"}}),
                json!({"fields": {"message": {"fragment_size": 20}}})
            ),
            Some(json!({"message": ["peer, connection <em>closed</em>"]}))
        );
        assert_eq!(shown(json!({"match_all": {}}), all), None);
    }
}
