//! Wildcards and Lucene's regular expressions (class `RegExp` of its documentation) as patterns of the
//! `regex` crate and of `LIKE`.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

use crate::ElasticError;

/// A text as a regular expression that matches it alone.
pub(crate) fn literal(text: &str) -> String {
    let mut regex = String::with_capacity(text.len());
    text.chars().for_each(|c| push_literal(c, &mut regex));
    regex
}

fn push_literal(c: char, regex: &mut String) {
    if c.is_ascii_punctuation() && c != '_' {
        regex.push('\\');
    }
    regex.push(c);
}

enum Part {
    Any,
    One,
    Char(char),
}

fn parts(text: &str) -> impl Iterator<Item = Part> {
    let mut chars = text.chars();
    std::iter::from_fn(move || {
        Some(match chars.next()? {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Char(chars.next().unwrap_or('\\')),
            c => Part::Char(c),
        })
    })
}

pub(crate) fn wildcard(text: &str) -> String {
    let mut regex = String::new();
    for part in parts(text) {
        match part {
            Part::Any => regex.push_str(".*"),
            Part::One => regex.push('.'),
            Part::Char(c) => push_literal(c, &mut regex),
        }
    }
    regex
}

/// A wildcard as a pattern of `LIKE`, whose escape is a backslash.
pub(crate) fn like(text: &str) -> Option<String> {
    let mut like = String::new();
    for part in parts(text) {
        match part {
            Part::Any => like.push('%'),
            Part::One => like.push('_'),
            // Escapes end the parts that the index is asked for, and readers differ about them.
            Part::Char('%' | '_' | '\\') => return None,
            Part::Char(c) => like.push(c),
        }
    }
    Some(like)
}

/// The longest part without wildcards.
pub(crate) fn longest_literal(text: &str) -> String {
    let (mut longest, mut part) = (String::new(), String::new());
    for piece in parts(text) {
        match piece {
            Part::Char(c) => part.push(c),
            _ => part.clear(),
        }
        if part.len() > longest.len() {
            longest.clone_from(&part);
        }
    }
    longest
}

/// Whether a name, as of a field or an index, is like a pattern of `*`.
pub(crate) fn wildcard_is_match(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// # Errors
/// For the operators that regular expressions elsewhere do not have: complement, intersection, ranges
/// of numbers; and for what is none.
pub(crate) fn regexp(text: &str) -> Result<String, ElasticError> {
    let mut regex = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(class @ ('d' | 'D' | 'w' | 'W' | 's' | 'S')) => {
                    regex.push('\\');
                    regex.push(class);
                }
                Some(c) => push_literal(c, &mut regex),
                None => return Err(wrong(text, "ends within an escape")),
            },
            '"' => quoted(&mut chars, &mut regex).ok_or_else(|| wrong(text, "a quote is open"))?,
            '[' => class(&mut chars, &mut regex).ok_or_else(|| wrong(text, "a class is open"))?,
            '@' => regex.push_str(".*"),
            '#' => regex.push_str("[a&&b]"),
            '~' | '&' | '<' => {
                return Err(ElasticError::unsupported(format!(
                    "the operator [{c}] of regular expressions; escape it with \\ for the character"
                )));
            }
            // A comma stands between the numbers of `{1,2}`; elsewhere it needs no escape.
            '.' | '?' | '+' | '*' | '|' | '(' | ')' | '{' | '}' | ',' => regex.push(c),
            c => push_literal(c, &mut regex),
        }
    }
    Regex::new(&regex).map_err(|_| wrong(text, "it is none"))?;
    Ok(regex)
}

fn quoted(chars: &mut Peekable<Chars<'_>>, regex: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            c => push_literal(c, regex),
        }
    }
}

fn class(chars: &mut Peekable<Chars<'_>>, regex: &mut String) -> Option<()> {
    regex.push('[');
    if chars.next_if_eq(&'^').is_some() {
        regex.push('^');
    }
    loop {
        match chars.next()? {
            ']' => {
                regex.push(']');
                return Some(());
            }
            '-' => regex.push('-'),
            '\\' => match chars.next()? {
                class @ ('d' | 'D' | 'w' | 'W' | 's' | 'S') => {
                    regex.push('\\');
                    regex.push(class);
                }
                c => push_literal(c, regex),
            },
            c => push_literal(c, regex),
        }
    }
}

fn wrong(text: &str, why: &str) -> ElasticError {
    ElasticError::illegal_argument(format!("regular expression [{text}]: {why}"))
}
