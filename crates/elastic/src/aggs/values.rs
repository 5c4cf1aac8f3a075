//! The values that aggregations take from fields, with what stands for those that are missing.

use arrow::datatypes::DataType;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, cast, lit};
use datafusion::scalar::ScalarValue;
use serde_json::Value;

use super::body;
use super::request::Source;
use crate::dates::{DateFormat, Round, Zone};
use crate::{ElasticError, Fields, Kind};

type Result<T> = std::result::Result<T, ElasticError>;

fn unsuited(field: &str, kind: Kind, by: &str) -> ElasticError {
    ElasticError::illegal_argument(format!(
        "Field [{field}] of type [{}] is not supported for aggregation [{by}]",
        kind.name()
    ))
}

fn no_value(source: &Source, value: &Value) -> ElasticError {
    ElasticError::illegal_argument(format!(
        "[missing] of the field [{}] is no value of it: [{value}]",
        source.field
    ))
}

/// Numbers (`Float64`); of times their milliseconds.
///
/// # Errors
/// When the field is a text.
pub(super) fn number(source: &Source, fields: &Fields, by: &str) -> Result<Expr> {
    let field = fields.field(&source.field);
    if matches!(field.kind, Kind::Text | Kind::Keyword) {
        return Err(unsuited(&source.field, field.kind, by));
    }
    let value = fields.number(&source.field);
    let Some(missing) = &source.missing else { return Ok(value) };
    let missing = match field.kind {
        Kind::Date => moment(source, missing)?.div_euclid(1_000_000) as f64,
        _ => body::number(missing).ok_or_else(|| no_value(source, missing))?,
    };
    Ok(coalesce(vec![value, lit(missing)]))
}

/// Times (`Timestamp(µs, UTC)`).
///
/// # Errors
/// When the field is a text or a flag.
pub(super) fn time(source: &Source, fields: &Fields, by: &str) -> Result<Expr> {
    let field = fields.field(&source.field);
    if matches!(field.kind, Kind::Text | Kind::Keyword | Kind::Boolean) {
        return Err(unsuited(&source.field, field.kind, by));
    }
    let value = fields.time(&source.field);
    let Some(missing) = &source.missing else { return Ok(value) };
    let micros = moment(source, missing)?.div_euclid(1_000);
    Ok(coalesce(vec![value, time_literal(micros)]))
}

pub(super) fn time_literal(micros: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
}

/// A date of a request in nanoseconds: a text, or milliseconds.
fn moment(source: &Source, value: &Value) -> Result<i64> {
    let format =
        source.format.as_deref().map_or_else(|| Ok(DateFormat::default()), DateFormat::parse)?;
    date(value, &format, Zone::UTC, 0).map_err(|_| no_value(source, value))
}

/// A date of a request in nanoseconds: a text with date math, or milliseconds (in a format of
/// seconds, those).
///
/// # Errors
/// When it is none.
pub(super) fn date(value: &Value, format: &DateFormat, zone: Zone, now_nanos: i64) -> Result<i64> {
    let millis = |millis: f64| (millis * 1e6) as i64;
    match value {
        Value::String(text) => {
            let found = format.moment(text, zone, now_nanos, Round::Down);
            // Milliseconds may also come as a text, whatever the format.
            found.or_else(|error| text.parse().map(millis).map_err(|_| error))
        }
        value => value
            .as_f64()
            .map(millis)
            .ok_or_else(|| ElasticError::parse(format!("failed to parse date field [{value}]"))),
    }
}

/// Values of whatever type the field has: what counts and groups go by. Times are milliseconds.
///
/// # Errors
/// When what stands for missing ones is no such value.
pub(super) fn any(source: &Source, fields: &Fields) -> Result<Expr> {
    let field = fields.field(&source.field);
    let value = match field.kind {
        Kind::Date => millis(fields.time(&source.field)),
        Kind::Text | Kind::Keyword | Kind::Attribute => fields.text(&source.field),
        Kind::Long | Kind::Double | Kind::Boolean => field.expr,
    };
    match &source.missing {
        None => Ok(value),
        Some(missing) => Ok(coalesce(vec![value, literal(source, field.kind, missing)?])),
    }
}

/// Whole milliseconds of a time.
fn millis(time: Expr) -> Expr {
    // The greatest not after it also before 1970: integers are divided towards zero.
    let micros = cast(time, DataType::Int64);
    let rest = ((micros.clone() % lit(1_000_i64)) + lit(1_000_i64)) % lit(1_000_i64);
    (micros - rest) / lit(1_000_i64)
}

/// A value of a request as one that [`any`] has.
///
/// # Errors
/// When it is none.
pub(super) fn literal(source: &Source, kind: Kind, value: &Value) -> Result<Expr> {
    let failed = || no_value(source, value);
    Ok(match kind {
        Kind::Text | Kind::Keyword | Kind::Attribute => {
            let text = match value {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            lit(ScalarValue::Utf8View(Some(text)))
        }
        Kind::Date => lit(moment(source, value)?.div_euclid(1_000_000)),
        Kind::Long => lit(body::number(value).ok_or_else(failed)? as i64),
        Kind::Double => lit(body::number(value).ok_or_else(failed)?),
        Kind::Boolean => lit(match value {
            Value::Bool(flag) => *flag,
            Value::String(text) => text == "true",
            value => body::number(value).ok_or_else(failed)? != 0.0,
        }),
    })
}
