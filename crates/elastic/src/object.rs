//! JSON objects of requests, taken apart key by key: what nobody took is unknown, and said so.

use serde_json::{Map, Value};

use crate::ElasticError;

/// One object, with the name that errors call it by.
pub(crate) struct Object {
    /// `[match] query`, `[date_histogram]`.
    pub(crate) name: String,
    members: Map<String, Value>,
}

impl Object {
    /// # Errors
    /// When it is no object.
    pub(crate) fn new(name: impl Into<String>, value: &Value) -> Result<Self, ElasticError> {
        let name = name.into();
        match value {
            Value::Object(members) => Ok(Self { name, members: members.clone() }),
            other => Err(ElasticError::parsing(format!(
                "{name} malformed, expected an object but found {}",
                kind(other)
            ))),
        }
    }

    /// Of `[name] query`: an object of one field, whose value is an object or one value, which then is
    /// its member `short`.
    pub(crate) fn of_field(
        query: &str,
        value: &Value,
        short: &str,
        beside: &[&str],
    ) -> Result<(String, Self, Map<String, Value>), ElasticError> {
        let mut outer = Self::new(format!("[{query}] query"), value)?;
        let mut extra = Map::new();
        for key in beside {
            if let Some(value) = outer.members.remove(*key) {
                extra.insert((*key).to_owned(), value);
            }
        }
        let mut fields = outer.members.into_iter();
        let (field, value) = fields.next().ok_or_else(|| {
            ElasticError::illegal_argument(format!("[{query}] query: field name is null or empty"))
        })?;
        if let Some((other, _)) = fields.next() {
            return Err(ElasticError::parsing(format!(
                "[{query}] query doesn't support multiple fields, found [{field}] and [{other}]"
            )));
        }
        let inner = match value {
            Value::Object(members) => members,
            Value::Array(_) if short != "[]" => {
                return Err(ElasticError::parsing(format!(
                    "[{query}] unknown token [START_ARRAY] after [{field}]"
                )));
            }
            value => Map::from_iter([(short.to_owned(), value)]),
        };
        Ok((field, Self { name: format!("[{query}] query"), members: inner }, extra))
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.members.remove(key).filter(|value| !value.is_null())
    }

    /// A text, or a number or truth as one.
    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, ElasticError> {
        self.take(key)
            .map(|value| scalar_text(&value).ok_or_else(|| self.wrong(key, &value)))
            .transpose()
    }

    pub(crate) fn needed(&mut self, key: &str) -> Result<String, ElasticError> {
        let name = self.name.clone();
        self.text(key)?.ok_or_else(|| ElasticError::parsing(format!("{name} requires [{key}]")))
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<Option<f64>, ElasticError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        number.map(Some).ok_or_else(|| self.wrong(key, &value))
    }

    pub(crate) fn whole(&mut self, key: &str) -> Result<Option<i64>, ElasticError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        number.map(Some).ok_or_else(|| self.wrong(key, &value))
    }

    pub(crate) fn truth(&mut self, key: &str) -> Result<Option<bool>, ElasticError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let truth = match &value {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            _ => None,
        };
        truth.map(Some).ok_or_else(|| self.wrong(key, &value))
    }

    /// Texts: an array of them, or one.
    pub(crate) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, ElasticError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let texts: Option<Vec<String>> = match &value {
            Value::Array(items) => items.iter().map(scalar_text).collect(),
            one => scalar_text(one).map(|text| vec![text]),
        };
        texts.map(Some).ok_or_else(|| self.wrong(key, &value))
    }

    /// Takes keys that say nothing here: `_name`, `rewrite`.
    pub(crate) fn pass_over(&mut self, keys: &[&str]) {
        for key in keys {
            self.members.remove(*key);
        }
    }

    pub(crate) fn wrong(&self, key: &str, value: &Value) -> ElasticError {
        ElasticError::parsing(format!("{} [{key}] cannot be {value}", self.name))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        self.members.keys()
    }

    /// # Errors
    /// When something is left: a key that is not known here.
    pub(crate) fn finish(self) -> Result<(), ElasticError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(key) => {
                Err(ElasticError::parsing(format!("{} does not support [{key}]", self.name)))
            }
        }
    }
}

pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
