//! `fields` and `docvalue_fields`: values of a record by the names of its fields, each in an array.

use std::collections::BTreeMap;

use loglake_receive::aliases::alias_of;
use serde_json::{Map, Value, json};

use crate::ElasticError;
use crate::dates::{DateFormat, Round, Zone};
use crate::lucene::wildcard_is_match;
use crate::object::Object;

/// The time of a record, as a field.
pub(super) const TIME: &str = "@timestamp";

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FieldsWanted(Vec<Wanted>);

#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    pattern: String,
    format: Option<DateFormat>,
}

impl FieldsWanted {
    pub(super) fn parse(
        fields: Option<&Value>,
        docvalue_fields: Option<&Value>,
    ) -> Result<Self, ElasticError> {
        let mut wanted = vec![];
        for list in [fields, docvalue_fields].into_iter().flatten() {
            match list {
                Value::Array(items) => {
                    for item in items {
                        wanted.push(one(item)?);
                    }
                }
                item => wanted.push(one(item)?),
            }
        }
        Ok(Self(wanted))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of(&self, source: &Value) -> Result<Option<Value>, ElasticError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let flat = flat(source);
        let mut shown = Map::new();
        for wanted in &self.0 {
            if wanted.pattern.contains('*') {
                let fitting =
                    flat.iter().filter(|(name, _)| wildcard_is_match(&wanted.pattern, name));
                for (name, values) in fitting {
                    shown.insert(name.clone(), wanted.values(name, values));
                }
            } else if let Some((name, values)) = find(&flat, &wanted.pattern) {
                shown.insert(wanted.pattern.clone(), wanted.values(name, values));
            }
        }
        Ok((!shown.is_empty()).then_some(Value::Object(shown)))
    }
}

fn one(item: &Value) -> Result<Wanted, ElasticError> {
    match item {
        Value::String(pattern) => Ok(Wanted { pattern: pattern.clone(), format: None }),
        body => {
            let mut object = Object::new("[fields]", body)?;
            let pattern = object.needed("field")?;
            let format = object.text("format")?.filter(|format| format != "use_field_mapping");
            object.pass_over(&["include_unmapped"]);
            object.finish()?;
            // Formats of numbers are none of dates.
            let format = match &format {
                Some(format) if format.contains(['#', '0']) => None,
                Some(format) => Some(DateFormat::parse(format)?),
                None => None,
            };
            Ok(Wanted { pattern, format })
        }
    }
}

impl Wanted {
    fn values(&self, name: &str, values: &[Value]) -> Value {
        let format = self.format.as_ref().filter(|_| name == TIME);
        let shown = values.iter().map(|value| match (format, value.as_str()) {
            (Some(format), Some(text)) => {
                match DateFormat::default().moment(text, Zone::UTC, 0, Round::Down) {
                    Ok(nanos) => json!(format.format(nanos, Zone::UTC)),
                    Err(_) => value.clone(),
                }
            }
            _ => value.clone(),
        });
        Value::Array(shown.collect())
    }
}

/// A field by its name, by another name of its column, or as `.keyword`.
pub(super) fn find<'f>(
    flat: &'f BTreeMap<String, Vec<Value>>,
    name: &str,
) -> Option<(&'f str, &'f [Value])> {
    let plain = name.strip_suffix(".keyword").unwrap_or(name);
    let column = alias_of(plain).map(|(canonical, _)| match canonical.column() {
        loglake_model::TIMESTAMP => TIME,
        column => column,
    });
    let names = [Some(name), Some(plain), column];
    let found = names.into_iter().flatten().find_map(|name| flat.get_key_value(name));
    found.map(|(name, values)| (name.as_str(), values.as_slice()))
}

/// All values by their fields' names.
pub(super) fn flat(source: &Value) -> BTreeMap<String, Vec<Value>> {
    let mut found = BTreeMap::new();
    if let Value::Object(members) = source {
        for (name, value) in members {
            flatten(name, value, &mut found);
        }
    }
    found
}

fn flatten(name: &str, value: &Value, found: &mut BTreeMap<String, Vec<Value>>) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().for_each(|item| flatten(name, item, found)),
        Value::Object(members) => {
            for (inner, value) in members {
                flatten(&format!("{name}.{inner}"), value, found);
            }
        }
        value => found.entry(name.to_owned()).or_default().push(value.clone()),
    }
}
