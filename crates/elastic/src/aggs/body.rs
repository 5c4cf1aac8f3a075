//! The body of one aggregation, taken apart key by key: what is left over is an error.

use loglake_model::ErrorKind;
use serde_json::{Map, Value};

use super::request::{Direction, Source};
use crate::ElasticError;

type Result<T> = std::result::Result<T, ElasticError>;

pub(super) struct Body<'a> {
    /// The type of the aggregation, for errors.
    pub kind: &'a str,
    /// The aggregation's name.
    pub name: &'a str,
    keys: Map<String, Value>,
}

impl<'a> Body<'a> {
    /// # Errors
    /// When it is no object.
    pub fn new(kind: &'a str, name: &'a str, body: &Value) -> Result<Self> {
        match body {
            Value::Object(keys) => Ok(Self { kind, name, keys: keys.clone() }),
            other => Err(ElasticError::parsing(format!(
                "Expected [START_OBJECT] under [{kind}], but got a [{}] in [{name}]",
                token(other)
            ))),
        }
    }

    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.remove(key).filter(|value| !value.is_null())
    }

    /// Keys that change how it is computed and not what comes out.
    pub fn pass_over(&mut self, keys: &[&str]) {
        for key in keys {
            self.keys.remove(*key);
        }
    }

    pub fn keys(&mut self) -> &mut Map<String, Value> {
        &mut self.keys
    }

    /// # Errors
    /// When something was not taken.
    pub fn end(self) -> Result<()> {
        if self.keys.contains_key("script") {
            return Err(ElasticError::unsupported(format!(
                "scripts: [script] in the aggregation [{}]",
                self.name
            )));
        }
        match self.keys.keys().next() {
            None => Ok(()),
            Some(key) => Err(ElasticError::x_content(format!(
                "[{}] unknown field [{key}] in [{}]",
                self.kind, self.name
            ))),
        }
    }

    pub fn failed(&self, key: &str) -> ElasticError {
        ElasticError::x_content(format!(
            "[{}] failed to parse field [{key}] in [{}]",
            self.kind, self.name
        ))
    }

    pub fn text(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) if value.is_number() || value.is_boolean() => Ok(Some(value.to_string())),
            Some(_) => Err(self.failed(key)),
        }
    }

    pub fn number(&mut self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = number(&value).filter(|number| number.is_finite());
        Ok(Some(number.ok_or_else(|| self.failed(key))?))
    }

    pub fn count(&mut self, key: &str) -> Result<Option<i64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let count = match &value {
            Value::String(text) => text.parse().ok(),
            value => value.as_i64().or_else(|| value.as_f64().map(|number| number as i64)),
        };
        Ok(Some(count.ok_or_else(|| self.failed(key))?))
    }

    /// A count that may be none, as `min_doc_count`.
    pub fn not_negative(&mut self, key: &str) -> Result<Option<u64>> {
        let Some(count) = self.count(key)? else { return Ok(None) };
        let found = u64::try_from(count).map_err(|_| {
            ElasticError::illegal_argument(format!(
                "[{key}] must be greater than or equal to 0. Found [{count}] in [{}]",
                self.name
            ))
        });
        found.map(Some)
    }

    /// A size of at least one.
    pub fn size(&mut self, key: &str, default: usize) -> Result<usize> {
        let Some(count) = self.count(key)? else { return Ok(default) };
        usize::try_from(count).ok().filter(|size| *size > 0).ok_or_else(|| {
            ElasticError::illegal_argument(format!(
                "[{key}] must be greater than 0. Found [{count}] in [{}]",
                self.name
            ))
        })
    }

    pub fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.take(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(_) => Err(self.failed(key)),
        }
    }

    pub fn numbers(&mut self, key: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        let numbers: Option<Vec<f64>> = values.iter().map(number).collect();
        Ok(Some(numbers.ok_or_else(|| self.failed(key))?))
    }

    pub fn direction(&mut self, key: &str) -> Result<Option<Direction>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        direction(&text).map(Some)
    }

    /// `field`, `missing` and `format`.
    pub fn source(&mut self) -> Result<Source> {
        if self.keys.contains_key("script") {
            return Err(ElasticError::unsupported(format!(
                "scripts: [script] in the aggregation [{}]",
                self.name
            )));
        }
        self.pass_over(&["value_type"]);
        let field = self.text("field")?.ok_or_else(|| {
            ElasticError::illegal_argument(format!(
                "Required one of fields [field, script], but none were specified. ([{}] in [{}])",
                self.kind, self.name
            ))
        })?;
        Ok(Source { field, missing: self.take("missing"), format: self.text("format")? })
    }
}

pub(super) fn direction(text: &str) -> Result<Direction> {
    match text.to_ascii_lowercase().as_str() {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        _ => Err(ElasticError::parsing(format!("Unknown order direction [{text}]"))),
    }
}

/// A number, also as a text.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    }
}

/// What Elasticsearch's parser calls the beginning of a value.
pub(super) const fn token(value: &Value) -> &'static str {
    match value {
        Value::Null => "VALUE_NULL",
        Value::Bool(_) => "VALUE_BOOLEAN",
        Value::Number(_) => "VALUE_NUMBER",
        Value::String(_) => "VALUE_STRING",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    }
}

/// An error of a type that no part of a search but aggregations has.
pub(super) fn refused(error_type: &'static str, reason: String) -> ElasticError {
    ElasticError::Request { kind: ErrorKind::Invalid, error_type, reason }
}
