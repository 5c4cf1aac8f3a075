//! Lines of log files to fields: syslog, access logs, dpkg's log, logfmt and plain lines.
//!
//! Pure like the rest of this crate: a line and a [`Context`] in, a [`Record`] out. Nothing is
//! lost: a line that its format's parser does not understand becomes a plain record, whose
//! `message` is the whole line; bytes that are not UTF-8 are replaced in the fields and kept as
//! they were in `raw_base64`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{NaiveDateTime, SecondsFormat};
use loglake_model::{TIMESTAMP, Timestamp};
use serde::ser::{Serialize, SerializeMap, Serializer};

mod access;
mod detect;
mod dpkg;
mod join;
mod logfmt;
mod plain;
mod syslog;
#[cfg(test)]
mod tests;
mod time;

pub use detect::{Detected, detect};
pub use join::{Before, begins, continues};

/// The field that keeps a line's bytes, in base64, when they are not UTF-8.
pub const RAW_BASE64: &str = "raw_base64";

/// How the lines of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// RFC 3164 and RFC 5424, with or without `<PRI>`, and rsyslog's files with ISO timestamps.
    Syslog,
    /// The common and the combined log format of Apache and nginx.
    Access,
    /// dpkg's log of package changes.
    Dpkg,
    /// `key=value` pairs, values quoted where needed.
    Logfmt,
    /// Anything: the line is the message; a time at its start and a level near it are taken.
    Plain,
}

/// What a line alone does not say.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// No line is later than this, but for a day's grace: the file's modification time. It gives
    /// the year to timestamps that have none.
    pub reference: Timestamp,
    /// The instant of a time written without its zone. `None` when it cannot be told.
    pub local: &'a dyn Fn(NaiveDateTime) -> Option<Timestamp>,
}

/// Takes times without a zone as UTC: a choice for [`Context::local`].
pub fn as_utc(naive: NaiveDateTime) -> Option<Timestamp> {
    naive.and_utc().timestamp_nanos_opt().map(Timestamp::from_nanos)
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    /// The values of a name that occurs more than once in a line, in order.
    List(Vec<Value<'a>>),
}

impl Value<'_> {
    fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Int(int) => Value::Int(int),
            Self::Float(float) => Value::Float(float),
            Self::List(list) => Value::List(list.into_iter().map(Value::into_owned).collect()),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Int(int) => serializer.serialize_i64(*int),
            Self::Float(float) => serializer.serialize_f64(*float),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

/// The fields of one line, in the order found. Serializes as one JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record<'a> {
    fields: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Record<'a> {
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// All fields, in the order found.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.fields.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// Adds a value; a second one of the same name makes a list of the two.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) {
        let (name, value) = (name.into(), value.into());
        match self.fields.iter_mut().find(|(n, _)| *n == name) {
            None => self.fields.push((name, value)),
            Some((_, Value::List(list))) => list.push(value),
            Some((_, first)) => {
                let one = std::mem::replace(first, Value::Int(0));
                *first = Value::List(vec![one, value]);
            }
        }
    }

    /// Adds a value where there is one; `-`, which most formats write for "none", is none.
    fn push_some(&mut self, name: &'static str, value: &'a str) {
        if !value.is_empty() && value != "-" {
            self.push(name, value);
        }
    }

    fn push_time(&mut self, time: Timestamp) {
        let time = chrono::DateTime::from_timestamp_nanos(time.as_nanos());
        self.push(TIMESTAMP, time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    }

    fn into_owned(self) -> Record<'static> {
        let own = |(name, value): (Cow<'a, str>, Value<'a>)| {
            (Cow::Owned(name.into_owned()), value.into_owned())
        };
        Record { fields: self.fields.into_iter().map(own).collect() }
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The fields of one line (without its end), or of several that [`continues`] joins. Every record
/// has a `message`.
pub fn parse<'a>(line: &'a [u8], format: Format, context: &Context<'_>) -> Record<'a> {
    match str::from_utf8(line) {
        Ok(text) => parse_text(text, format, context),
        Err(_) => {
            let text = String::from_utf8_lossy(line);
            let mut record = parse_text(&text, format, context).into_owned();
            record.push(RAW_BASE64, BASE64.encode(line));
            record
        }
    }
}

fn parse_text<'a>(text: &'a str, format: Format, context: &Context<'_>) -> Record<'a> {
    understood(text, format, context).unwrap_or_else(|| plain::parse(text, context))
}

/// `None` when the line is not written in the format.
fn understood<'a>(text: &'a str, format: Format, context: &Context<'_>) -> Option<Record<'a>> {
    match format {
        Format::Syslog => syslog::parse(text, context),
        Format::Access => access::parse(text),
        Format::Dpkg => dpkg::parse(text, context),
        Format::Logfmt => logfmt::parse(text, context),
        Format::Plain => Some(plain::parse(text, context)),
    }
}
