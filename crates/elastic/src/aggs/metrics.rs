//! Aggregations of values: which numbers they need of each bucket's rows, and what they make of them.

use datafusion::logical_expr::{Expr, cast, lit, when};
use serde_json::{Map, Value, json};

use super::numbers::{NumberFormat, plain};
use super::request::{Metric, MetricBy, Source};
use super::states::{Fold, State};
use super::values;
use crate::dates::{DateFormat, Zone};
use crate::{ElasticError, Fields, Kind};

type Result<T> = std::result::Result<T, ElasticError>;

/// A metric over the fields of an index.
#[derive(Clone, Debug)]
pub(super) struct MetricPlan {
    pub by: MetricBy,
    pub states: Vec<State>,
    pub shown: Shown,
}

/// How values are shown beside the plain numbers.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    Plain,
    Number(NumberFormat),
    Date(DateFormat),
}

impl Shown {
    /// # Errors
    /// When the format is none for what the field holds.
    pub fn of(source: &Source, kind: Kind) -> Result<Self> {
        let date = || {
            source.format.as_deref().map_or_else(|| Ok(DateFormat::default()), DateFormat::parse)
        };
        if kind == Kind::Date {
            return date().map(Self::Date);
        }
        Self::number(source.format.as_deref())
    }

    pub fn number(format: Option<&str>) -> Result<Self> {
        let Some(format) = format else { return Ok(Self::Plain) };
        match NumberFormat::parse(format) {
            Some(format) => Ok(Self::Number(format)),
            None => Err(ElasticError::illegal_argument(format!(
                "invalid format of numbers: [{format}]"
            ))),
        }
    }

    pub fn text(&self, number: f64) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Number(format) => Some(format.format(number)),
            Self::Date(format) => Some(format.format(nanos(number), Zone::UTC)),
        }
    }

    /// Sets a value, and how it is shown.
    pub fn set(&self, object: &mut Map<String, Value>, key: &str, number: Option<f64>) {
        let number = number.filter(|number| number.is_finite());
        object.insert(key.to_owned(), json!(number));
        if let Some(text) = number.and_then(|number| self.text(number)) {
            object.insert(format!("{key}_as_string"), Value::String(text));
        }
    }
}

/// Of milliseconds.
pub(super) fn nanos(millis: f64) -> i64 {
    (millis * 1e6) as i64
}

impl MetricPlan {
    /// # Errors
    /// When the field has no such values.
    pub fn new(metric: &Metric, fields: &Fields) -> Result<Self> {
        let source = &metric.source;
        let field = fields.field(&source.field);
        let shown = Shown::of(source, field.kind)?;
        let states = match &metric.by {
            MetricBy::ValueCount => {
                vec![State { fold: Fold::Count, input: values::any(source, fields)? }]
            }
            MetricBy::Cardinality { precise_up_to } => {
                let fold = Fold::Distinct { precise_up_to: *precise_up_to };
                vec![State { fold, input: distinct_input(source, fields)? }]
            }
            MetricBy::WeightedAvg { weight, weight_missing } => {
                let value = values::number(source, fields, "weighted_avg")?;
                let weight = Source {
                    field: weight.clone(),
                    missing: weight_missing.map(Value::from),
                    format: None,
                };
                let weight = values::number(&weight, fields, "weighted_avg")?;
                let both = value.clone().is_not_null().and(weight.clone().is_not_null());
                let weight = when(both, weight).end()?;
                vec![sum_of(value * weight.clone()), sum_of(weight)]
            }
            by => number_states(by, values::number(source, fields, by.name())?)?,
        };
        let shown = match metric.by {
            MetricBy::ValueCount | MetricBy::Cardinality { .. } => Shown::Plain,
            _ => shown,
        };
        Ok(Self { by: metric.by.clone(), states, shown })
    }

    /// One of its values as an expression over the columns of its states, for sorting by it.
    pub fn sorted_by(&self, property: Option<&str>, columns: &[Expr]) -> Option<Expr> {
        let at = |at: usize| columns.get(at).cloned();
        let average = |sum: usize, count: usize| Some(at(sum)? / cast_number(at(count)?));
        match (&self.by, property) {
            (MetricBy::Avg, None | Some("value")) => average(0, 1),
            (MetricBy::WeightedAvg { .. }, None | Some("value")) => Some(at(0)? / at(1)?),
            (
                MetricBy::Sum
                | MetricBy::Min
                | MetricBy::Max
                | MetricBy::ValueCount
                | MetricBy::Cardinality { .. },
                None | Some("value"),
            ) => at(0),
            (MetricBy::Stats | MetricBy::ExtendedStats { .. }, Some(property)) => match property {
                "count" => at(0),
                "sum" => at(1),
                "min" => at(2),
                "max" => at(3),
                "avg" => average(1, 0),
                "sum_of_squares" => at(4),
                "variance"
                | "std_deviation"
                | "variance_population"
                | "std_deviation_population" => {
                    let (count, mean) = (cast_number(at(0)?), average(1, 0)?);
                    Some(at(4)? / count - mean.clone() * mean)
                }
                _ => None,
            },
            (MetricBy::Percentiles { percents, .. }, Some(property)) => {
                let wanted: f64 = property.parse().ok()?;
                at(percents.iter().position(|percent| *percent == wanted)?)
            }
            (MetricBy::PercentileRanks { values, .. }, Some(property)) => {
                let wanted: f64 = property.parse().ok()?;
                let at_most = at(1 + values.iter().position(|value| *value == wanted)?)?;
                Some(cast_number(at_most) / cast_number(at(0)?))
            }
            _ => None,
        }
    }

    /// The answer for one bucket.
    pub fn answer(&self, states: &[Option<f64>]) -> Value {
        let at = |at: usize| states.get(at).copied().flatten();
        let mut object = Map::new();
        let mut value = |number: Option<f64>| self.shown.set(&mut object, "value", number);
        match &self.by {
            MetricBy::Avg => value(average(at(0), at(1))),
            MetricBy::Sum => value(Some(at(0).unwrap_or(0.0))),
            MetricBy::Min | MetricBy::Max => value(at(0)),
            MetricBy::WeightedAvg { .. } => value(average(at(0), at(1))),
            MetricBy::ValueCount | MetricBy::Cardinality { .. } => {
                object.insert("value".to_owned(), json!(whole(at(0))));
            }
            MetricBy::Stats => stats(&mut object, &self.shown, states),
            MetricBy::ExtendedStats { sigma } => {
                stats(&mut object, &self.shown, states);
                extended(&mut object, &self.shown, states, *sigma);
            }
            MetricBy::Percentiles { percents, keyed, .. } => {
                let found =
                    percents.iter().enumerate().map(|(place, percent)| (*percent, at(place)));
                object.insert("values".to_owned(), self.points(found, *keyed));
            }
            MetricBy::PercentileRanks { values, keyed, .. } => {
                let rank = |place: usize| match at(0) {
                    Some(count) if count > 0.0 => Some(100.0 * at(1 + place)? / count),
                    _ => None,
                };
                let found = values.iter().enumerate().map(|(place, value)| (*value, rank(place)));
                object.insert("values".to_owned(), self.points(found, *keyed));
            }
        }
        Value::Object(object)
    }

    fn points(&self, points: impl Iterator<Item = (f64, Option<f64>)>, keyed: bool) -> Value {
        points_of(points, keyed, &self.shown)
    }
}

/// Values by their percents: an object, or a list.
pub(super) fn points_of(
    points: impl Iterator<Item = (f64, Option<f64>)>,
    keyed: bool,
    shown: &Shown,
) -> Value {
    if keyed {
        let mut object = Map::new();
        points.for_each(|(key, value)| shown.set(&mut object, &plain(key), value));
        return Value::Object(object);
    }
    let point = |(key, value): (f64, Option<f64>)| {
        let mut object = Map::new();
        object.insert("key".to_owned(), json!(key));
        shown.set(&mut object, "value", value);
        Value::Object(object)
    };
    points.map(point).collect()
}

fn sum_of(input: Expr) -> State {
    State { fold: Fold::Sum, input }
}

fn number_states(by: &MetricBy, number: Expr) -> Result<Vec<State>> {
    let of = |fold| State { fold, input: number.clone() };
    let stats = || vec![of(Fold::Count), of(Fold::Sum), of(Fold::Min), of(Fold::Max)];
    Ok(match by {
        MetricBy::Avg => vec![of(Fold::Sum), of(Fold::Count)],
        MetricBy::Sum => vec![of(Fold::Sum)],
        MetricBy::Min => vec![of(Fold::Min)],
        MetricBy::Max => vec![of(Fold::Max)],
        MetricBy::ExtendedStats { .. } => {
            let mut states = stats();
            states.push(sum_of(number.clone() * number));
            states
        }
        MetricBy::Percentiles { percents, .. } => {
            percents.iter().map(|percent| of(Fold::Percentile(percent / 100.0))).collect()
        }
        MetricBy::PercentileRanks { values, .. } => {
            let mut states = vec![of(Fold::Count)];
            for value in values {
                let at_most = when(number.clone().lt_eq(lit(*value)), lit(1_i64)).end()?;
                states.push(State { fold: Fold::Count, input: at_most });
            }
            states
        }
        _ => stats(),
    })
}

/// Distinct values of doubles and flags are counted by their texts.
fn distinct_input(source: &Source, fields: &Fields) -> Result<Expr> {
    match fields.field(&source.field).kind {
        Kind::Double | Kind::Boolean => {
            Ok(cast(values::any(source, fields)?, arrow::datatypes::DataType::Utf8View))
        }
        _ => values::any(source, fields),
    }
}

fn cast_number(count: Expr) -> Expr {
    cast(count, arrow::datatypes::DataType::Float64)
}

pub(super) fn average(sum: Option<f64>, count: Option<f64>) -> Option<f64> {
    match count {
        Some(count) if count != 0.0 => Some(sum? / count),
        _ => None,
    }
}

fn whole(number: Option<f64>) -> u64 {
    number.unwrap_or(0.0) as u64
}

/// Of count, sum, min and max.
pub(super) fn stats(object: &mut Map<String, Value>, shown: &Shown, states: &[Option<f64>]) {
    let at = |at: usize| states.get(at).copied().flatten();
    object.insert("count".to_owned(), json!(whole(at(0))));
    let has_values = at(0).is_some_and(|count| count > 0.0);
    let set = |object: &mut Map<String, Value>, key: &str, number: Option<f64>| match has_values {
        true => shown.set(object, key, number),
        false => Shown::Plain.set(object, key, number),
    };
    set(object, "min", at(2));
    set(object, "max", at(3));
    set(object, "avg", average(at(1), at(0)));
    set(object, "sum", Some(at(1).unwrap_or(0.0)));
}

/// Of count, sum, min, max and the sum of squares.
pub(super) fn extended(
    object: &mut Map<String, Value>,
    shown: &Shown,
    states: &[Option<f64>],
    sigma: f64,
) {
    let at = |at: usize| states.get(at).copied().flatten();
    let count = at(0).unwrap_or(0.0);
    let (sum, squares) = (at(1).unwrap_or(0.0), at(4));
    let mean = average(Some(sum), Some(count));
    // Rounding must not make it negative.
    let spread = squares.map(|squares| (squares - sum * sum / count).max(0.0));
    let population = spread.filter(|_| count > 0.0).map(|spread| spread / count);
    let sampling = spread.filter(|_| count > 1.0).map(|spread| spread / (count - 1.0));
    let root = |variance: Option<f64>| variance.map(f64::sqrt);
    shown.set(object, "sum_of_squares", squares.or(Some(0.0)).filter(|_| count > 0.0));
    for (key, number) in [
        ("variance", population),
        ("variance_population", population),
        ("variance_sampling", sampling),
        ("std_deviation", root(population)),
        ("std_deviation_population", root(population)),
        ("std_deviation_sampling", root(sampling)),
    ] {
        shown.set(object, key, number);
    }
    let bound = |deviation: Option<f64>, sign: f64| Some(mean? + sign * sigma * deviation?);
    let mut bounds = Map::new();
    for (key, number) in [
        ("upper", bound(root(population), 1.0)),
        ("lower", bound(root(population), -1.0)),
        ("upper_population", bound(root(population), 1.0)),
        ("lower_population", bound(root(population), -1.0)),
        ("upper_sampling", bound(root(sampling), 1.0)),
        ("lower_sampling", bound(root(sampling), -1.0)),
    ] {
        bounds.insert(key.to_owned(), json!(number.filter(|number| number.is_finite())));
    }
    object.insert("std_deviation_bounds".to_owned(), Value::Object(bounds));
}

impl MetricBy {
    /// As requests name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::ValueCount => "value_count",
            Self::Stats => "stats",
            Self::ExtendedStats { .. } => "extended_stats",
            Self::Cardinality { .. } => "cardinality",
            Self::Percentiles { .. } => "percentiles",
            Self::PercentileRanks { .. } => "percentile_ranks",
            Self::WeightedAvg { .. } => "weighted_avg",
        }
    }

    /// As answers with `typed_keys` name it.
    pub const fn typed(&self) -> &'static str {
        match self {
            Self::Percentiles { hdr: false, .. } => "tdigest_percentiles",
            Self::Percentiles { hdr: true, .. } => "hdr_percentiles",
            Self::PercentileRanks { hdr: false, .. } => "tdigest_percentile_ranks",
            Self::PercentileRanks { hdr: true, .. } => "hdr_percentile_ranks",
            other => other.name(),
        }
    }
}
