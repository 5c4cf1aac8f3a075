//! Values of queries as literals of their fields' types, and the comparisons with them.

use arrow::datatypes::DataType;
use datafusion::functions::expr_fn::lower;
use datafusion::functions_nested::expr_fn::array_has;
use datafusion::logical_expr::{Expr, cast, lit};
use datafusion::scalar::ScalarValue;
use loglake_model::NANOS;
use loglake_query::plan_functions as functions;
use serde_json::Value;

use super::Range;
use crate::dates::{DateFormat, Round, Zone};
use crate::fields::col;
use crate::object::scalar_text;
use crate::{ElasticError, Field, Fields, Kind};

/// What values are compared in: the fields, and what `now` means.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) fields: &'a Fields,
    pub(super) now_nanos: i64,
}

pub(super) fn not_a(kind: &str, field: &str, value: &str) -> ElasticError {
    ElasticError::query_shard(format!(
        "failed to create query: the field [{field}] is a {kind} and [{value}] is none"
    ))
}

impl Scope<'_> {
    /// The rows whose field is exactly this.
    pub(super) fn equals(
        &self,
        field: &Field,
        value: &Value,
        any_case: bool,
    ) -> Result<Expr, ElasticError> {
        let text = scalar_text(value).unwrap_or_default();
        let expr = field.expr.clone();
        Ok(match field.kind {
            Kind::Text => {
                let text = if any_case { text.to_lowercase() } else { text };
                // Words are kept in lower case: what is no such word is nowhere.
                match functions::words(&text).as_slice() {
                    [word] if *word == text => functions::match_all_words(expr, word),
                    _ => lit(false),
                }
            }
            Kind::Keyword if any_case => lower(expr).eq(lit(text.to_lowercase())),
            Kind::Keyword if field.name == crate::fields::ID => {
                self.fields.has_id(std::slice::from_ref(&text))
            }
            Kind::Keyword => expr.eq(lit(text)),
            Kind::Long => match number(&field.name, &text)? {
                Number::Whole(number) => expr.eq(lit(number)),
                Number::Other(_) => lit(false),
            },
            Kind::Double => expr.eq(lit(number(&field.name, &text)?.as_f64())),
            Kind::Boolean => match text.as_str() {
                "true" => expr.eq(lit(true)),
                "false" | "" => expr.eq(lit(false)),
                _ => return Err(not_a("boolean", &field.name, &text)),
            },
            Kind::Date => {
                let range = Range {
                    gte: Some(Value::String(text.clone())),
                    lte: Some(Value::String(text)),
                    ..Range::default()
                };
                self.in_range(field, &range)?
            }
            Kind::Attribute => {
                let attributes = self.fields.attributes();
                let is_text = match any_case {
                    true => {
                        let pattern = format!("(?i:{})", crate::lucene::literal(&text));
                        functions::attribute_matches(attributes.clone(), &field.name, &pattern)
                    }
                    false => {
                        let values = functions::attribute_values(attributes.clone(), &field.name);
                        array_has(values, lit(text.clone()))
                    }
                };
                match value.as_f64() {
                    // 5 and 5.0 are one number.
                    Some(number) => {
                        is_text
                            .or(functions::attribute_number(attributes, &field.name)
                                .eq(lit(number)))
                    }
                    None => is_text,
                }
            }
        })
    }

    /// The rows whose field lies between the ends.
    pub(super) fn in_range(&self, field: &Field, range: &Range) -> Result<Expr, ElasticError> {
        match field.kind {
            Kind::Date => self.time_range(field, range),
            Kind::Long | Kind::Double => number_range(field, field.expr.clone(), range),
            Kind::Boolean => {
                let number = cast(field.expr.clone(), DataType::Int64);
                number_range(
                    field,
                    number,
                    &range.map(|text| match text {
                        "true" => "1".to_owned(),
                        "false" => "0".to_owned(),
                        other => other.to_owned(),
                    }),
                )
            }
            Kind::Keyword => Ok(text_range(&field.expr, range)),
            Kind::Text => Err(ElasticError::unsupported(format!(
                "a range of words of the field [{}]; [{}.keyword] has whole values",
                field.name, field.name
            ))),
            Kind::Attribute => self.attribute_range(field, range),
        }
    }

    fn attribute_range(&self, field: &Field, range: &Range) -> Result<Expr, ElasticError> {
        let ends = || range.ends().filter_map(|(_, value)| value.as_ref());
        let attributes = self.fields.attributes();
        if ends().all(|value| scalar_text(value).is_some_and(|text| text.parse::<f64>().is_ok())) {
            return number_range(
                field,
                functions::attribute_number(attributes, &field.name),
                range,
            );
        }
        let is_time = range.format.is_some()
            || ends()
                .all(|v| v.as_str().is_some_and(|v| self.moment(v, range, Round::Down).is_ok()));
        match is_time {
            true => self
                .time_range(&Field { expr: self.fields.time(&field.name), ..field.clone() }, range),
            false => Ok(text_range(&field.expr, range)),
        }
    }

    fn moment(&self, text: &str, range: &Range, round: Round) -> Result<i64, ElasticError> {
        let format = match &range.format {
            Some(format) => DateFormat::parse(format)?,
            None => DateFormat::default(),
        };
        let zone = range.zone.as_deref().map_or(Ok(Zone::UTC), Zone::parse)?;
        format.moment(text, zone, self.now_nanos, round)
    }

    fn time_range(&self, field: &Field, range: &Range) -> Result<Expr, ElasticError> {
        let mut both = lit(true);
        for (end, value) in range.ends() {
            let Some(value) = value else { continue };
            let Some(text) = scalar_text(value) else { return Err(no_end(field, value)) };
            let round = match end {
                End::Gt | End::Lte => Round::Up,
                End::Gte | End::Lt => Round::Down,
            };
            let nanos = self.moment(&text, range, round)?;
            both = and(both, self.time_end(field, end, nanos));
        }
        Ok(both)
    }

    /// One end of a range of times. Times are microseconds and, of `timestamp`, nanoseconds beside.
    fn time_end(&self, field: &Field, end: End, nanos: i64) -> Expr {
        let (micros, rest) = (nanos.div_euclid(1_000), nanos.rem_euclid(1_000));
        let at = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        let time = || field.expr.clone();
        let is_timestamp =
            field.kind == Kind::Date && self.fields.schema().field_with_name(NANOS).is_ok();
        let parts = |whole: Expr, compare: fn(Expr, Expr) -> Expr| {
            let within = time().eq(at(micros)).and(compare(col(NANOS), lit(rest as i16)));
            // The whole range first: statistics know it.
            whole.and(time().not_eq(at(micros)).or(within))
        };
        match end {
            End::Gte if rest == 0 => time().gt_eq(at(micros)),
            End::Gt if rest == 999 => time().gt(at(micros)),
            End::Lte if rest == 999 => time().lt_eq(at(micros)),
            End::Lt if rest == 0 => time().lt(at(micros)),
            End::Gte if is_timestamp => parts(time().gt_eq(at(micros)), Expr::gt_eq),
            End::Gt if is_timestamp => parts(time().gt_eq(at(micros)), Expr::gt),
            End::Lte if is_timestamp => parts(time().lt_eq(at(micros)), Expr::lt_eq),
            End::Lt if is_timestamp => parts(time().lt_eq(at(micros)), Expr::lt),
            End::Gte | End::Gt => time().gt(at(micros)),
            End::Lte | End::Lt => time().lt_eq(at(micros)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Gt,
    Gte,
    Lt,
    Lte,
}

impl End {
    fn compare(self, left: Expr, right: Expr) -> Expr {
        match self {
            Self::Gt => left.gt(right),
            Self::Gte => left.gt_eq(right),
            Self::Lt => left.lt(right),
            Self::Lte => left.lt_eq(right),
        }
    }
}

impl Range {
    fn ends(&self) -> impl Iterator<Item = (End, &Option<Value>)> {
        [(End::Gt, &self.gt), (End::Gte, &self.gte), (End::Lt, &self.lt), (End::Lte, &self.lte)]
            .into_iter()
            .filter(|(_, value)| value.as_ref().is_some_and(|value| !value.is_null()))
    }

    fn map(&self, change: impl Fn(&str) -> String) -> Self {
        let end = |value: &Option<Value>| {
            value.as_ref().and_then(scalar_text).map(|text| Value::String(change(&text)))
        };
        Self {
            gt: end(&self.gt),
            gte: end(&self.gte),
            lt: end(&self.lt),
            lte: end(&self.lte),
            ..self.clone()
        }
    }
}

fn no_end(field: &Field, value: &Value) -> ElasticError {
    ElasticError::parsing(format!("[range] query of [{}]: {value} is no end", field.name))
}

/// Both, without what says nothing.
pub(super) fn and(left: Expr, right: Expr) -> Expr {
    let is_true = |expr: &Expr| *expr == lit(true);
    match (is_true(&left), is_true(&right)) {
        (true, _) => right,
        (_, true) => left,
        _ => left.and(right),
    }
}

pub(super) enum Number {
    Whole(i64),
    Other(f64),
}

impl Number {
    pub(super) fn as_f64(&self) -> f64 {
        match self {
            Self::Whole(number) => *number as f64,
            Self::Other(number) => *number,
        }
    }
}

pub(super) fn number(field: &str, text: &str) -> Result<Number, ElasticError> {
    let text = text.trim();
    if let Ok(whole) = text.parse() {
        return Ok(Number::Whole(whole));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => {
            Ok(match number.fract() == 0.0 && number.abs() < 9e15 {
                true => Number::Whole(number as i64),
                false => Number::Other(number),
            })
        }
        _ => Err(not_a("number", field, text)),
    }
}

fn number_range(field: &Field, expr: Expr, range: &Range) -> Result<Expr, ElasticError> {
    let mut both = lit(true);
    for (end, value) in range.ends() {
        let Some(value) = value else { continue };
        let Some(text) = scalar_text(value) else { return Err(no_end(field, value)) };
        let expr = expr.clone();
        let compared = match (field.kind, number(&field.name, &text)?) {
            (Kind::Long | Kind::Boolean, Number::Whole(number)) => end.compare(expr, lit(number)),
            // Between two whole numbers either one of them bounds.
            (Kind::Long | Kind::Boolean, Number::Other(number)) => match end {
                End::Gt | End::Gte => expr.gt_eq(lit(number.ceil() as i64)),
                End::Lt | End::Lte => expr.lt_eq(lit(number.floor() as i64)),
            },
            (_, number) => end.compare(expr, lit(number.as_f64())),
        };
        both = and(both, compared);
    }
    Ok(both)
}

fn text_range(expr: &Expr, range: &Range) -> Expr {
    range.ends().fold(lit(true), |both, (end, value)| {
        let text = value.as_ref().and_then(scalar_text).unwrap_or_default();
        and(both, end.compare(expr.clone(), lit(text)))
    })
}
