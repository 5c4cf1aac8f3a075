//! `composite`: pages of buckets with several keys. Which come after a page is said by its last key.

use serde_json::{Map, Value};

use super::body;
use super::grouping::format_of;
use super::keys::{Key, Real};
use super::request::{CompositeBy, CompositeSource};
use super::values;
use crate::dates::Zone;
use crate::{ElasticError, Fields, Kind};

type Result<T> = std::result::Result<T, ElasticError>;

/// The keys of `after`, as groups have them.
///
/// # Errors
/// When one is no value of its source.
pub(super) fn after(
    sources: &[CompositeSource],
    after: &Map<String, Value>,
    fields: &Fields,
) -> Result<Vec<Key>> {
    let keys = sources.iter().map(|source| {
        let value = after.get(&source.name).unwrap_or(&Value::Null);
        after_one(source, value, fields)
    });
    keys.collect()
}

fn after_one(source: &CompositeSource, value: &Value, fields: &Fields) -> Result<Key> {
    let failed = || {
        ElasticError::illegal_argument(format!(
            "invalid value for [after]: [{}] is no key of the source [{}]",
            value, source.name
        ))
    };
    if value.is_null() {
        return match source.missing_bucket {
            true => Ok(Key::Null),
            false => Err(failed()),
        };
    }
    match &source.by {
        CompositeBy::Histogram { .. } => {
            body::number(value).map(|number| Key::Real(Real(number))).ok_or_else(failed)
        }
        CompositeBy::DateHistogram { zone, format, .. } => match (format, value) {
            (Some(format), value @ Value::String(_)) => {
                let nanos = values::date(value, format, *zone, 0)?;
                Ok(Key::Int(nanos.div_euclid(1_000_000)))
            }
            (_, value) => {
                let millis = value.as_i64().or_else(|| value.as_f64().map(|millis| millis as i64));
                let of_text = || value.as_str()?.parse().ok();
                millis.or_else(of_text).map(Key::Int).ok_or_else(failed)
            }
        },
        CompositeBy::Terms => {
            let kind = fields.field(&source.source.field).kind;
            Ok(match kind {
                Kind::Text | Kind::Keyword | Kind::Attribute => Key::Text(match value {
                    Value::String(text) => text.clone(),
                    value => value.to_string(),
                }),
                Kind::Long | Kind::Date => Key::Int(match value {
                    value if value.is_i64() => value.as_i64().ok_or_else(failed)?,
                    value => body::number(value).ok_or_else(failed)? as i64,
                }),
                Kind::Double => Key::Real(Real(body::number(value).ok_or_else(failed)?)),
                Kind::Boolean => Key::Bool(match value {
                    Value::Bool(flag) => *flag,
                    value => body::number(value).ok_or_else(failed)? != 0.0,
                }),
            })
        }
    }
}

/// A bucket's key as an object.
pub(super) fn key(sources: &[CompositeSource], keys: &[Key]) -> Value {
    let parts = sources.iter().zip(keys).map(|(source, key)| {
        let zone = match &source.by {
            CompositeBy::DateHistogram { zone, .. } => *zone,
            _ => Zone::UTC,
        };
        let value = match (key, format_of(source)) {
            (Key::Int(millis), Some(format)) => {
                Value::String(format.format(millis.saturating_mul(1_000_000), zone))
            }
            (Key::Bool(flag), _) => Value::Bool(*flag),
            (key, _) => key.json(),
        };
        (source.name.clone(), value)
    });
    Value::Object(parts.collect())
}
