//! OTLP logs into rows.
//!
//! ```text
//! bytes → Logs (protobuf or JSON, all of it checked) → Logs::add_to → rows
//! ```
//! Formats: OpenTelemetry protocol 1, `opentelemetry/proto/logs/v1/logs.proto` and its JSON form
//! (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! | of a log record | becomes |
//! |---|---|
//! | `time_unix_nano`, else `observed_time_unix_nano` | the row's time |
//! | `body` | `message`; an array or object is `body` |
//! | `severity_text`, else the name of the number's range | `level`; the number is `severity_number` |
//! | attributes | fields of their names; those of the resource too (`service.name` is `service`), as `resource.<name>` where the record has the same |
//! | scope | `scope.name`, `scope.version`, `scope.<attribute>` |
//! | `trace_id`, `span_id` | the same, hexadecimal |
//! | `flags`, `event_name` | the same, when set |

mod json;
mod protobuf;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use loglake_model::{LEVEL, MESSAGE, NameForm, Timestamp};

use crate::FieldValue;
use crate::record::{BatchBuilder, RecordBuilder};
use crate::timestamp::RANGE;

pub use json::parse_json;
pub use protobuf::parse_protobuf;

/// The last nanosecond that a table can hold (the end of 2261).
const NANOS_MAX: u64 = 9_214_646_399_999_999_999;
/// Levels of arrays and objects in a value.
const DEPTH_MAX: usize = 32;
/// What the attributes of a payload's resources and scopes, which come with each of their records, may
/// add to all rows together, bytes.
const SHARED_BYTES_MAX: usize = 64 << 20;
/// What a value costs besides its text, bytes.
const VALUE_BYTES: usize = 16;

type Text<'a> = Cow<'a, str>;
type Attributes<'a> = Vec<(Text<'a>, Any<'a>)>;

/// The content of an export request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs<'a> {
    resources: Vec<Resource<'a>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Resource<'a> {
    attributes: Attributes<'a>,
    scopes: Vec<Scope<'a>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Scope<'a> {
    name: Text<'a>,
    version: Text<'a>,
    attributes: Attributes<'a>,
    records: Vec<LogRecord<'a>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct LogRecord<'a> {
    /// Nanoseconds since the epoch; 0 for none.
    time: u64,
    observed: u64,
    severity: i64,
    severity_text: Text<'a>,
    body: Any<'a>,
    attributes: Attributes<'a>,
    flags: u64,
    /// Hexadecimal; empty for none.
    trace_id: Text<'a>,
    span_id: Text<'a>,
    event_name: Text<'a>,
}

/// A value of any kind.
#[derive(Clone, Debug, Default, PartialEq)]
enum Any<'a> {
    #[default]
    Absent,
    Text(Text<'a>),
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(Cow<'a, [u8]>),
    List(Vec<Any<'a>>),
    Map(Attributes<'a>),
}

impl<'a> Logs<'a> {
    /// # Errors
    /// Attributes of resources or scopes that would come to too much in all rows.
    fn checked(self) -> Result<Self, String> {
        let shared = self.resources.iter().flat_map(|resource| {
            let of_resource = size(&resource.attributes);
            resource.scopes.iter().map(move |scope| {
                let of_each = of_resource.saturating_add(size(&scope.attributes));
                of_each.saturating_mul(scope.records.len())
            })
        });
        let shared = shared.fold(0, usize::saturating_add);
        if shared <= SHARED_BYTES_MAX {
            return Ok(self);
        }
        Err(format!(
            "attributes of resources and scopes are {shared} bytes in all records together, the limit is \
             {SHARED_BYTES_MAX}: send fewer records at once"
        ))
    }

    /// How many log records there are.
    pub fn len(&self) -> usize {
        self.resources.iter().flat_map(|r| &r.scopes).map(|scope| scope.records.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row for each log record, or its rejection under the number `line`. `extra` fields come
    /// with each; a record without a time has that of `arrival`.
    pub fn add_to<'e>(
        &self,
        batch: &mut BatchBuilder<'_>,
        line: u64,
        extra: impl Iterator<Item = (&'e str, FieldValue<'e>)> + Clone,
        arrival: Timestamp,
    ) {
        for resource in &self.resources {
            for scope in &resource.scopes {
                for record in &scope.records {
                    match record.time(arrival) {
                        Ok(time) => {
                            let mut row = batch.record(line);
                            row.time(time);
                            for (name, value) in extra.clone() {
                                row.field(name, NameForm::Nested, value);
                            }
                            add(&mut row, resource, scope, record);
                            row.finish();
                        }
                        Err(reason) => batch.reject(line, reason),
                    }
                }
            }
        }
    }
}

fn add(
    row: &mut RecordBuilder<'_, '_>,
    resource: &Resource<'_>,
    scope: &Scope<'_>,
    record: &LogRecord<'_>,
) {
    let own: HashSet<&str> = record.attributes.iter().map(|(name, _)| name.as_ref()).collect();
    for (name, value) in &resource.attributes {
        match own.contains(name.as_ref()) {
            true => put(row, &format!("resource.{name}"), value),
            false => put(row, name, value),
        }
    }
    put_text(row, "scope.name", &scope.name);
    put_text(row, "scope.version", &scope.version);
    for (name, value) in &scope.attributes {
        put(row, &format!("scope.{name}"), value);
    }
    for (name, value) in &record.attributes {
        put(row, name, value);
    }
    match &record.body {
        body @ (Any::List(_) | Any::Map(_)) => put(row, "body", body),
        Any::Bool(_) | Any::Int(_) | Any::Float(_) => {
            put_text(row, MESSAGE, &json_of(&record.body))
        }
        body => put(row, MESSAGE, body),
    }
    match record.severity_text.is_empty() {
        true => put_text(row, LEVEL, level_of(record.severity)),
        false => put_text(row, LEVEL, &record.severity_text),
    }
    for (name, number) in [("severity_number", record.severity), ("flags", record.flags as i64)] {
        if number != 0 {
            row.field(name, NameForm::Nested, FieldValue::Int(number));
        }
    }
    put_text(row, "trace_id", &record.trace_id);
    put_text(row, "span_id", &record.span_id);
    put_text(row, "event_name", &record.event_name);
}

fn put_text(row: &mut RecordBuilder<'_, '_>, name: &str, text: &str) {
    if !text.is_empty() {
        row.field(name, NameForm::Literal, FieldValue::String(text));
    }
}

fn put(row: &mut RecordBuilder<'_, '_>, name: &str, value: &Any<'_>) {
    let mut field = |value: FieldValue<'_>| {
        row.field(name, NameForm::Literal, value);
    };
    match value {
        Any::Absent => {}
        Any::Text(text) => field(FieldValue::String(text)),
        Any::Bool(value) => field(FieldValue::Bool(*value)),
        Any::Int(value) => field(FieldValue::Int(*value)),
        Any::Float(value) if value.is_finite() => field(FieldValue::Float(*value)),
        Any::Float(value) => field(FieldValue::String(&value.to_string())),
        Any::Bytes(bytes) => field(FieldValue::String(&BASE64.encode(bytes))),
        Any::List(_) | Any::Map(_) => field(FieldValue::Json(&json_of(value))),
    }
}

/// About what attributes take in a row, bytes.
fn size(attributes: &Attributes<'_>) -> usize {
    attributes.iter().map(|(name, value)| name.len() + size_of_value(value)).sum()
}

fn size_of_value(value: &Any<'_>) -> usize {
    VALUE_BYTES
        + match value {
            Any::Text(text) => text.len(),
            Any::Bytes(bytes) => bytes.len(),
            Any::List(values) => values.iter().map(size_of_value).sum(),
            Any::Map(entries) => size(entries),
            Any::Absent | Any::Bool(_) | Any::Int(_) | Any::Float(_) => 0,
        }
}

fn json_of(value: &Any<'_>) -> String {
    to_json(value).to_string()
}

fn to_json(value: &Any<'_>) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Any::Absent => Value::Null,
        Any::Text(text) => Value::from(text.as_ref()),
        Any::Bool(value) => Value::from(*value),
        Any::Int(value) => Value::from(*value),
        Any::Float(value) if value.is_finite() => Value::from(*value),
        Any::Float(value) => Value::from(value.to_string()),
        Any::Bytes(bytes) => Value::from(BASE64.encode(bytes)),
        Any::List(values) => values.iter().map(to_json).collect(),
        Any::Map(entries) => {
            let entries = entries.iter().map(|(name, value)| (name.to_string(), to_json(value)));
            Value::Object(entries.collect())
        }
    }
}

/// The name of a severity number's range.
const fn level_of(severity: i64) -> &'static str {
    match severity {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "",
    }
}

impl LogRecord<'_> {
    fn time(&self, arrival: Timestamp) -> Result<Timestamp, String> {
        match [self.time, self.observed].into_iter().find(|nanos| *nanos > 0) {
            None => Ok(arrival),
            Some(nanos) if nanos <= NANOS_MAX => Ok(Timestamp::from_nanos(nanos as i64)),
            Some(nanos) => Err(format!("`time_unix_nano` is {nanos}, outside of {RANGE}")),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
