//! `search_after`: the rows that come after one in an order.

use datafusion::logical_expr::{Expr, lit};
use datafusion::scalar::ScalarValue;
use serde_json::Value;

use crate::dates::{DateFormat, Round, Zone};
use crate::object::scalar_text;
use crate::sort::{Order, Sort, SortBy, SortKey};
use crate::{ElasticError, Fields, Kind};

/// A place in an order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct After {
    /// A value for each key of the order.
    pub(super) values: Vec<Value>,
    /// Whether rows that are equal in all keys come again: `skip` of them were seen.
    pub(super) inclusive: bool,
    pub(super) skip: usize,
}

/// Numbers from here on are nanoseconds since the epoch and not milliseconds.
const NANOS_FROM: i64 = 1_000_000_000_000_000;

struct Part {
    expr: Expr,
    is_ascending: bool,
    missing_first: bool,
    /// `None` for a row without the field.
    value: Option<Expr>,
}

pub(super) fn filter(
    sort: &Sort,
    after: &After,
    fields: &Fields,
    score: Option<&Expr>,
) -> Result<Expr, ElasticError> {
    let mut parts = vec![];
    for (key, value) in sort.0.iter().zip(&after.values) {
        let exprs = key.exprs(fields, score)?;
        let values = literals(key, value, fields, exprs.len())?;
        parts.extend(exprs.into_iter().zip(values).map(|(expr, value)| Part {
            expr,
            is_ascending: key.order == Order::Ascending,
            missing_first: key.missing_first,
            value,
        }));
    }
    let whole = parts.iter().rev().fold(lit(after.inclusive), |rest, part| {
        let beyond = part.beyond();
        if rest == lit(false) { beyond } else { beyond.or(part.equal().and(rest)) }
    });
    // The first key alone, for statistics.
    Ok(match parts.first() {
        Some(first) if parts.len() > 1 && first.value.is_some() => {
            first.beyond().or(first.equal()).and(whole)
        }
        _ => whole,
    })
}

impl Part {
    fn beyond(&self) -> Expr {
        let expr = || self.expr.clone();
        let Some(value) = &self.value else {
            return if self.missing_first { expr().is_not_null() } else { lit(false) };
        };
        let beyond = match self.is_ascending {
            true => expr().gt(value.clone()),
            false => expr().lt(value.clone()),
        };
        if self.missing_first { beyond } else { beyond.or(expr().is_null()) }
    }

    fn equal(&self) -> Expr {
        match &self.value {
            Some(value) => self.expr.clone().eq(value.clone()),
            None => self.expr.clone().is_null(),
        }
    }
}

fn literals(
    key: &SortKey,
    value: &Value,
    fields: &Fields,
    count: usize,
) -> Result<Vec<Option<Expr>>, ElasticError> {
    if value.is_null() {
        return Ok(vec![None; count]);
    }
    let wrong = || {
        ElasticError::illegal_argument(format!("Failed to parse search_after value for [{value}]"))
    };
    let text = scalar_text(value).ok_or_else(wrong)?;
    let kind = match &key.by {
        SortBy::Score => Kind::Double,
        SortBy::Doc => Kind::Date,
        SortBy::Field(name) => fields.field(name).kind,
    };
    let one = |value: Expr| Ok(vec![Some(value)]);
    match kind {
        Kind::Date => {
            let nanos = nanos(key, &text)?;
            let micros = nanos.div_euclid(1_000);
            let time = lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
            let rest = lit(nanos.rem_euclid(1_000) as i16);
            Ok([Some(time), Some(rest)].into_iter().take(count).collect())
        }
        Kind::Long => one(lit(text.parse::<i64>().map_err(|_| wrong())?)),
        Kind::Double => one(lit(text.parse::<f64>().map_err(|_| wrong())?)),
        Kind::Boolean => one(lit(text == "true" || text == "1")),
        Kind::Text | Kind::Keyword | Kind::Attribute => one(lit(text)),
    }
}

fn nanos(key: &SortKey, text: &str) -> Result<i64, ElasticError> {
    if let Ok(number) = text.parse::<i64>() {
        let is_nanos = number.abs() >= NANOS_FROM;
        return Ok(if is_nanos { number } else { number.saturating_mul(1_000_000) });
    }
    let format = match &key.format {
        Some(format) => DateFormat::parse(format)?,
        None => DateFormat::default(),
    };
    let read = format.moment(text, Zone::UTC, 0, Round::Down);
    read.or_else(|_| DateFormat::default().moment(text, Zone::UTC, 0, Round::Down))
}
