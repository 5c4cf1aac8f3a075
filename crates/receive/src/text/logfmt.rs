//! logfmt: `ts=2026-11-01T12:00:00Z level=info msg="it is up" port=80`.
//!
//! `msg` becomes `message` and `ts` or `time` becomes `timestamp`, where the line has no field of
//! that name and the time is one we read; all others keep their names. Numbers that are written as
//! JSON writes them become numbers. Without a `msg` the whole line is the `message`.

use std::borrow::Cow;

use loglake_model::{MESSAGE, TIMESTAMP};

use super::{Context, Record, Value, time};

/// Pairs a line needs to be taken for logfmt: prose may hold one or two.
const PAIRS_MIN: usize = 3;

/// `None` when the line is not pairs throughout.
pub(super) fn parse<'a>(line: &'a str, context: &Context<'_>) -> Option<Record<'a>> {
    let pairs = pairs(line)?;
    if pairs.len() < PAIRS_MIN {
        return None;
    }
    let has = |name: &str| pairs.iter().any(|(n, _)| *n == name);
    let (has_message, has_time) = (has(MESSAGE), has(TIMESTAMP));
    let mut record = Record::default();
    for (name, value) in pairs {
        match name {
            "msg" if !has_message => record.push(MESSAGE, Value::Text(value)),
            "ts" | "time" if !has_time && record.get(TIMESTAMP).is_none() => {
                match time::iso(&value, context) {
                    Some((at, "")) => record.push_time(at),
                    _ => record.push(name, Value::Text(value)),
                }
            }
            TIMESTAMP | MESSAGE => record.push(name, Value::Text(value)),
            _ => record.push(name, number(&value).unwrap_or(Value::Text(value))),
        }
    }
    if record.get(MESSAGE).is_none() {
        record.push(MESSAGE, line);
    }
    Some(record)
}

/// The number that is written exactly as `text`: `007` and `1e3` stay text.
fn number(text: &str) -> Option<Value<'static>> {
    if let Ok(int) = text.parse::<i64>()
        && int.to_string() == text
    {
        return Some(Value::Int(int));
    }
    let float: f64 = text.parse().ok()?;
    (float.is_finite() && float.to_string() == text).then_some(Value::Float(float))
}

fn pairs(line: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut pairs = vec![];
    let mut rest = line.trim_start_matches(' ');
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let usable = |c: char| c.is_alphanumeric() || "_-./@".contains(c);
        if name.is_empty() || !name.chars().all(usable) {
            return None;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (unescape(&quoted[..end])?, &quoted[end + 1..])
            }
            None => {
                let end = after.find(' ').unwrap_or(after.len());
                if after[..end].contains('"') {
                    return None;
                }
                (Cow::Borrowed(&after[..end]), &after[end..])
            }
        };
        if !after.is_empty() && !after.starts_with(' ') {
            return None;
        }
        pairs.push((name, value));
        rest = after.trim_start_matches(' ');
    }
    Some(pairs)
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Values are quoted as Go's and JSON's strings are; what neither reads is no logfmt.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    serde_json::from_str::<String>(&format!("\"{text}\"")).ok().map(Cow::Owned)
}
