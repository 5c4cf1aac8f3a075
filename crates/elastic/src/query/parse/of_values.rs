//! Bodies of the queries that compare whole values.

use serde_json::Value;

use super::NAMES;
use super::of_texts::edits_of;
use crate::ElasticError;
use crate::object::{Object, scalar_text};
use crate::query::{Fuzziness, Pattern, Query, Range};

/// Values of one `terms`.
const TERMS_MAX: usize = 65_536;

pub(super) fn term(body: &Value) -> Result<Query, ElasticError> {
    let (field, mut object, beside) = Object::of_field("term", body, "value", &["boost", "_name"])?;
    let boost = match object.number("boost")? {
        None => beside.get("boost").and_then(Value::as_f64),
        some => some,
    };
    let any_case = object.truth("case_insensitive")?.unwrap_or(false);
    let value = object.take("value").or_else(|| object.take("term"));
    object.pass_over(NAMES);
    object.finish()?;
    let value = value
        .filter(|value| scalar_text(value).is_some())
        .ok_or_else(|| ElasticError::illegal_argument("value cannot be null"))?;
    Ok(Query::Term { field, value, any_case, lenient: false }.boosted(boost))
}

pub(super) fn terms(body: &Value) -> Result<Query, ElasticError> {
    let (field, mut object, beside) = Object::of_field("terms", body, "[]", &["boost", "_name"])?;
    let Some(Value::Array(values)) = object.take("[]") else {
        if object.keys().any(|key| key == "index") {
            return Err(ElasticError::unsupported("[terms] that are looked up in an index"));
        }
        return Err(ElasticError::parsing(format!(
            "[terms] query requires an array of values for [{field}]"
        )));
    };
    if values.len() > TERMS_MAX {
        return Err(ElasticError::illegal_argument(format!(
            "The number of terms [{}] used in the Terms Query request has exceeded the allowed \
             maximum of [{TERMS_MAX}]",
            values.len()
        )));
    }
    if values.iter().any(|value| scalar_text(value).is_none()) {
        return Err(ElasticError::illegal_argument("No value specified for terms query"));
    }
    Ok(Query::Terms { field, values }.boosted(beside.get("boost").and_then(Value::as_f64)))
}

pub(super) fn range(body: &Value) -> Result<Query, ElasticError> {
    let (field, mut object, _) = Object::of_field("range", body, "", &["boost", "_name"])?;
    let boost = object.number("boost")?;
    let mut range = Range {
        gt: object.take("gt"),
        gte: object.take("gte"),
        lt: object.take("lt"),
        lte: object.take("lte"),
        format: object.text("format")?,
        zone: object.text("time_zone")?,
        lenient: false,
    };
    // The forms before version 8, which dashboards still send.
    let include_lower = object.truth("include_lower")?.unwrap_or(true);
    let include_upper = object.truth("include_upper")?.unwrap_or(true);
    if let Some(from) = object.take("from") {
        *(if include_lower { &mut range.gte } else { &mut range.gt }) = Some(from);
    }
    if let Some(to) = object.take("to") {
        *(if include_upper { &mut range.lte } else { &mut range.lt }) = Some(to);
    }
    object.pass_over(&["relation", "_name"]);
    object.finish()?;
    Ok(Query::Range { field, range }.boosted(boost))
}

pub(super) fn exists(body: &Value) -> Result<Query, ElasticError> {
    let mut object = Object::new("[exists] query", body)?;
    let field = object
        .text("field")?
        .filter(|field| !field.is_empty())
        .ok_or_else(|| ElasticError::parsing("[exists] must be provided with a [field]"))?;
    let boost = object.number("boost")?;
    object.pass_over(NAMES);
    object.finish()?;
    Ok(Query::Exists { field }.boosted(boost))
}

pub(super) fn ids(body: &Value) -> Result<Query, ElasticError> {
    let mut object = Object::new("[ids] query", body)?;
    let values = object.texts("values")?.unwrap_or_default();
    let boost = object.number("boost")?;
    object.pass_over(&["type", "_name"]);
    object.finish()?;
    Ok(Query::Ids(values).boosted(boost))
}

pub(super) fn pattern(
    name: &str,
    body: &Value,
    keys: &[&str],
    make: fn(String) -> Pattern,
) -> Result<Query, ElasticError> {
    let (field, mut object, _) = Object::of_field(name, body, keys[0], &[])?;
    let mut value = None;
    for key in keys {
        value = value.or(object.text(key)?);
    }
    let value = value.ok_or_else(|| ElasticError::illegal_argument("value cannot be null"))?;
    let boost = object.number("boost")?;
    let any_case = object.truth("case_insensitive")?.unwrap_or(false);
    object.pass_over(&["flags", "flags_value", "max_determinized_states"]);
    object.pass_over(NAMES);
    object.finish()?;
    Ok(Query::Pattern { field, pattern: make(value), any_case, lenient: false }.boosted(boost))
}

pub(super) fn fuzzy(body: &Value) -> Result<Query, ElasticError> {
    let (field, mut object, _) = Object::of_field("fuzzy", body, "value", &[])?;
    let (value, boost) = (object.needed("value")?, object.number("boost")?);
    let prefix = object.whole("prefix_length")?.unwrap_or(0);
    let edits = object.text("fuzziness")?.unwrap_or_else(|| "AUTO".to_owned());
    object.pass_over(&["max_expansions", "transpositions"]);
    object.pass_over(NAMES);
    object.finish()?;
    let prefix = u64::try_from(prefix).unwrap_or(0);
    let fuzziness = Fuzziness { edits: edits_of(&edits)?, prefix };
    Ok(Query::Fuzzy { field, value, fuzziness }.boosted(boost))
}
