//! `_source`: which parts of a record are shown.

use serde_json::{Map, Value};

use crate::ElasticError;
use crate::lucene::wildcard_is_match;
use crate::object::Object;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SourceFilter {
    is_shown: bool,
    includes: Vec<String>,
    excludes: Vec<String>,
}

impl Default for SourceFilter {
    fn default() -> Self {
        Self { is_shown: true, includes: vec![], excludes: vec![] }
    }
}

impl SourceFilter {
    pub(super) fn none() -> Self {
        Self { is_shown: false, ..Self::default() }
    }

    pub(super) fn parse(body: Option<&Value>) -> Result<Self, ElasticError> {
        let including = |includes| Self { includes, ..Self::default() };
        Ok(match body {
            None | Some(Value::Null | Value::Bool(true)) => Self::default(),
            Some(Value::Bool(false)) => Self::none(),
            Some(Value::String(text)) if text == "true" => Self::default(),
            Some(Value::String(text)) if text == "false" => Self::none(),
            Some(Value::String(pattern)) => including(vec![pattern.clone()]),
            Some(Value::Array(_)) => {
                let mut object = Object::new("[_source]", &serde_json::json!({ "a": body }))?;
                including(object.texts("a")?.unwrap_or_default())
            }
            Some(body) => {
                let mut object = Object::new("[_source]", body)?;
                let includes = object.texts("includes")?.or(object.texts("include")?);
                let excludes = object.texts("excludes")?.or(object.texts("exclude")?);
                object.pass_over(&["exclude_vectors"]);
                object.finish()?;
                let (includes, excludes) =
                    (includes.unwrap_or_default(), excludes.unwrap_or_default());
                Self { is_shown: true, includes, excludes }
            }
        })
    }

    /// Whether the value of this path is shown.
    pub(super) fn shows(&self, path: &str) -> bool {
        self.is_shown
            && !is_in(&self.excludes, path)
            && (self.includes.is_empty() || is_in(&self.includes, path))
    }

    pub(super) fn of(&self, source: Value) -> Option<Value> {
        if !self.is_shown {
            return None;
        }
        if self.includes.is_empty() && self.excludes.is_empty() {
            return Some(source);
        }
        match source {
            Value::Object(members) => Some(Value::Object(self.members("", members))),
            other => Some(other),
        }
    }

    fn members(&self, parent: &str, members: Map<String, Value>) -> Map<String, Value> {
        let mut kept = Map::new();
        for (name, value) in members {
            let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    let inner = self.members(&path, inner);
                    if !inner.is_empty() {
                        kept.insert(name, Value::Object(inner));
                    }
                }
                value if self.shows(&path) => {
                    kept.insert(name, value);
                }
                _ => {}
            }
        }
        kept
    }
}

/// Whether a path, or an object around it, is named.
fn is_in(patterns: &[String], path: &str) -> bool {
    let around = path.match_indices('.').map(|(at, _)| &path[..at]);
    around.chain([path]).any(|path| patterns.iter().any(|p| wildcard_is_match(p, path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_are_named_by_path_and_pattern() {
        let source = || json!({"a": 1, "b": {"c": 2, "d": {"e": 3}}, "x.y": 4});
        for (filter, expected) in [
            (json!(true), Some(source())),
            (json!(false), None),
            (json!("b"), Some(json!({"b": {"c": 2, "d": {"e": 3}}}))),
            (json!(["b.d.*", "a"]), Some(json!({"a": 1, "b": {"d": {"e": 3}}}))),
            (json!({"excludes": ["b.d", "x*"]}), Some(json!({"a": 1, "b": {"c": 2}}))),
            (json!({"includes": "b", "excludes": "b.c"}), Some(json!({"b": {"d": {"e": 3}}}))),
        ] {
            let parsed = SourceFilter::parse(Some(&filter)).unwrap();
            assert_eq!(parsed.of(source()), expected, "{filter}");
        }
        assert!(SourceFilter::parse(Some(&json!({"nosuch": 1}))).is_err());
    }
}
