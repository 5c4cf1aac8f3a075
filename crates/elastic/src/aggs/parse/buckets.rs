//! Aggregations that make buckets.

use loglake_query::Interval;
use serde_json::Value;

use super::{Result, order};
use crate::ElasticError;
use crate::aggs::body::{Body, refused};
use crate::aggs::request::{
    Aggs, Buckets, Choice, Composite, CompositeBy, CompositeSource, DateHistogram, Direction,
    Filters, Histogram, Kind, Order, OrderBy, RangeOf, Ranges, Single, Source, Terms,
};
use crate::dates::{CalendarUnit, DateFormat, Zone, duration, fixed_interval};

pub(super) const KNOWN: [&str; 10] = [
    "composite",
    "date_histogram",
    "date_range",
    "filters",
    "global",
    "histogram",
    "missing",
    "multi_terms",
    "range",
    "terms",
];

/// Buckets of a page of `composite` when it does not say.
const COMPOSITE_SIZE: usize = 10;

pub(super) fn parse(mut body: Body<'_>) -> Result<Buckets> {
    let buckets = match body.kind {
        "composite" => Buckets::Composite(Box::new(composite(&mut body)?)),
        "date_histogram" => Buckets::DateHistogram(Box::new(date_histogram(&mut body)?)),
        "histogram" => Buckets::Histogram(Box::new(histogram(&mut body)?)),
        "filters" => Buckets::Filters(filters(&mut body)?),
        "missing" => Buckets::Single(Single::Missing(body.source()?.field)),
        "range" | "date_range" => Buckets::Ranges(Box::new(ranges(&mut body)?)),
        "terms" | "multi_terms" => Buckets::Terms(Box::new(terms(&mut body)?)),
        _ => Buckets::Single(Single::Global),
    };
    body.end()?;
    Ok(buckets)
}

fn terms(body: &mut Body<'_>) -> Result<Terms> {
    body.pass_over(&[
        "collect_mode",
        "execution_hint",
        "shard_size",
        "shard_min_doc_count",
        "show_term_doc_count_error",
    ]);
    let is_multi = body.kind == "multi_terms";
    let sources = match is_multi {
        false => vec![body.source()?],
        true => match body.take("terms") {
            Some(Value::Array(terms)) if terms.len() > 1 => {
                let source = |term: &Value| {
                    let mut term = Body::new("multi_terms", body.name, term)?;
                    let source = term.source()?;
                    term.end()?;
                    Ok(source)
                };
                terms.iter().map(source).collect::<Result<_>>()?
            }
            _ => return Err(body.failed("terms")),
        },
    };
    let mut order = match body.take("order") {
        Some(value) => order(&value, body.name)?,
        None => vec![(OrderBy::Count, Direction::Descending)],
    };
    if !order.iter().any(|(by, _)| *by == OrderBy::Key) {
        order.push((OrderBy::Key, Direction::Ascending));
    }
    let min_doc_count = body.not_negative("min_doc_count")?.unwrap_or(1);
    // Of terms without documents is known which come first by their keys, and not which come last.
    let is_known =
        matches!(order.first(), Some((OrderBy::Key, _) | (OrderBy::Count, Direction::Descending)));
    if min_doc_count == 0 && (is_multi || !is_known) {
        return Err(ElasticError::unsupported(format!(
            "[min_doc_count] 0 in [{}] with several fields or another order than by [_key] or by \
             descending [_count]",
            body.name
        )));
    }
    Ok(Terms {
        sources,
        is_multi,
        size: body.size("size", 10)?,
        min_doc_count,
        order,
        include: choice(body, "include")?,
        exclude: choice(body, "exclude")?,
    })
}

fn choice(body: &mut Body<'_>, key: &str) -> Result<Option<Choice>> {
    Ok(Some(match body.take(key) {
        None => return Ok(None),
        Some(Value::String(regex)) => Choice::Regex(regex),
        Some(Value::Array(values)) => Choice::Values(values),
        Some(Value::Object(parts)) if parts.contains_key("num_partitions") => {
            return Err(ElasticError::unsupported(format!(
                "partitions of terms in [{}]: page through them with [composite]",
                body.name
            )));
        }
        Some(_) => return Err(body.failed(key)),
    }))
}

/// Every order that a bucket may be sorted by names something that its buckets have.
pub(super) fn check_order(buckets: &Buckets, aggs: &Aggs) -> Result<()> {
    let order = match buckets {
        Buckets::Terms(terms) => &terms.order,
        Buckets::Histogram(histogram) => &histogram.order,
        Buckets::DateHistogram(histogram) => &histogram.order,
        _ => return Ok(()),
    };
    for (by, _) in order {
        let OrderBy::Metric(path) = by else { continue };
        if path.contains('>') {
            return Err(ElasticError::unsupported(format!(
                "an order by what is two levels below: [{path}]"
            )));
        }
        let names = aggs.0.iter().filter(|agg| matches!(agg.kind, Kind::Metric(_)));
        if !names.clone().any(|agg| super::pipelines::is_or_has(path, &agg.name)) {
            return Err(refused(
                "aggregation_execution_exception",
                format!(
                    "Invalid aggregation order path [{path}]. The provided aggregation [{path}] either \
                     does not exist, or is a pipeline aggregation and cannot be used to sort the buckets."
                ),
            ));
        }
    }
    Ok(())
}

fn key_order(body: &mut Body<'_>) -> Result<Order> {
    let mut found = match body.take("order") {
        Some(value) => order(&value, body.name)?,
        None => vec![],
    };
    if !found.iter().any(|(by, _)| *by == OrderBy::Key) {
        found.push((OrderBy::Key, Direction::Ascending));
    }
    Ok(found)
}

fn histogram(body: &mut Body<'_>) -> Result<Histogram> {
    let interval = body.number("interval")?.unwrap_or(0.0);
    if interval <= 0.0 {
        return Err(ElasticError::illegal_argument(format!(
            "[interval] must be >0 for histogram aggregation [{}]",
            body.name
        )));
    }
    let bound = |value: Value| crate::aggs::body::number(&value);
    Ok(Histogram {
        source: body.source()?,
        interval,
        offset: body.number("offset")?.unwrap_or(0.0),
        min_doc_count: body.not_negative("min_doc_count")?.unwrap_or(0),
        order: key_order(body)?,
        keyed: body.flag("keyed", false)?,
        extended_bounds: bounds(body, "extended_bounds")?
            .map(|(min, max)| (min.and_then(bound), max.and_then(bound))),
        hard_bounds: bounds(body, "hard_bounds")?
            .map(|(min, max)| (min.and_then(bound), max.and_then(bound))),
    })
}

type Bounds = Option<(Option<Value>, Option<Value>)>;

fn bounds(body: &mut Body<'_>, key: &str) -> Result<Bounds> {
    let Some(value) = body.take(key) else { return Ok(None) };
    let mut bounds = Body::new(key, body.name, &value)?;
    let found = (bounds.take("min"), bounds.take("max"));
    bounds.end()?;
    Ok(Some(found))
}

fn date_histogram(body: &mut Body<'_>) -> Result<DateHistogram> {
    let source = body.source()?;
    Ok(DateHistogram {
        interval: interval(body)?,
        zone: zone(body)?,
        offset: offset(body)?,
        min_doc_count: body.not_negative("min_doc_count")?.unwrap_or(0),
        order: key_order(body)?,
        keyed: body.flag("keyed", false)?,
        extended_bounds: bounds(body, "extended_bounds")?,
        hard_bounds: bounds(body, "hard_bounds")?,
        format: date_format(&source)?.unwrap_or_default(),
        source,
    })
}

fn date_format(source: &Source) -> Result<Option<DateFormat>> {
    source.format.as_deref().map(DateFormat::parse).transpose()
}

fn zone(body: &mut Body<'_>) -> Result<Zone> {
    body.text("time_zone")?.map_or(Ok(Zone::UTC), |zone| Zone::parse(&zone))
}

/// Microseconds.
fn offset(body: &mut Body<'_>) -> Result<i64> {
    let Some(text) = body.text("offset")? else { return Ok(0) };
    // A number without a unit is of milliseconds.
    let nanos = duration(&text).or_else(|| text.parse::<i64>().ok()?.checked_mul(1_000_000));
    Ok(nanos.ok_or_else(|| body.failed("offset"))? / 1_000)
}

fn interval(body: &mut Body<'_>) -> Result<Interval> {
    let fixed = body.text("fixed_interval")?;
    let calendar = body.text("calendar_interval")?;
    let either = body.text("interval")?;
    match (fixed, calendar, either) {
        (Some(text), None, None) => fixed_of(&text, "fixed_interval"),
        (None, Some(text), None) => calendar_of(&text).ok_or_else(|| {
            ElasticError::illegal_argument(format!(
                "The supplied interval [{text}] could not be parsed as a calendar interval."
            ))
        }),
        (None, None, Some(text)) => match calendar_of(&text) {
            Some(interval) => Ok(interval),
            None => fixed_of(&text, "interval"),
        },
        (None, None, None) => Err(ElasticError::illegal_argument(
            "Invalid interval specified, must be non-null and non-empty",
        )),
        _ => Err(ElasticError::illegal_argument(
            "Cannot use [interval] with [fixed_interval] or [calendar_interval] configuration \
             options, nor those two together.",
        )),
    }
}

/// Buckets are told apart by milliseconds.
fn fixed_of(text: &str, setting: &str) -> Result<Interval> {
    let nanos = fixed_interval(text, setting)?;
    match nanos % 1_000_000 {
        0 => Ok(Interval::Fixed(nanos / 1_000)),
        _ => Err(ElasticError::illegal_argument(format!(
            "[{setting}] must be of whole milliseconds, not [{text}]"
        ))),
    }
}

fn calendar_of(text: &str) -> Option<Interval> {
    Some(match CalendarUnit::parse(text)? {
        CalendarUnit::Second => Interval::Fixed(1_000_000),
        CalendarUnit::Minute => Interval::Minute,
        CalendarUnit::Hour => Interval::Hour,
        CalendarUnit::Day => Interval::Day,
        CalendarUnit::Week => Interval::Week,
        CalendarUnit::Month => Interval::Month,
        CalendarUnit::Quarter => Interval::Quarter,
        CalendarUnit::Year => Interval::Year,
    })
}

fn ranges(body: &mut Body<'_>) -> Result<Ranges> {
    let source = body.source()?;
    let dates = match body.kind {
        "date_range" => Some((date_format(&source)?.unwrap_or_default(), zone(body)?)),
        _ => None,
    };
    let Some(Value::Array(values)) = body.take("ranges") else {
        return Err(ElasticError::illegal_argument(format!(
            "No [ranges] specified for the [{}] aggregation",
            body.name
        )));
    };
    if values.is_empty() {
        return Err(ElasticError::illegal_argument(format!(
            "No [ranges] specified for the [{}] aggregation",
            body.name
        )));
    }
    let range = |value: &Value| {
        let mut range = Body::new(body.kind, body.name, value)?;
        let found =
            RangeOf { key: range.text("key")?, from: range.take("from"), to: range.take("to") };
        range.end()?;
        Ok(found)
    };
    let ranges = values.iter().map(range).collect::<Result<_>>()?;
    Ok(Ranges { source, ranges, keyed: body.flag("keyed", false)?, dates })
}

fn filters(body: &mut Body<'_>) -> Result<Filters> {
    let (filters, mut keyed) = match body.take("filters") {
        Some(Value::Object(named)) => {
            let named = named
                .iter()
                .map(|(name, query)| Ok((Some(name.clone()), crate::query::parse(query)?)));
            (named.collect::<Result<Vec<_>>>()?, true)
        }
        Some(Value::Array(list)) => {
            let list = list.iter().map(|query| Ok((None, crate::query::parse(query)?)));
            (list.collect::<Result<Vec<_>>>()?, false)
        }
        _ => return Err(body.failed("filters")),
    };
    if filters.is_empty() {
        return Err(ElasticError::illegal_argument("[filters] cannot be empty"));
    }
    keyed = body.flag("keyed", keyed)?;
    let other_key = body.text("other_bucket_key")?;
    let wants_other = body.flag("other_bucket", other_key.is_some())?;
    let other = wants_other.then(|| other_key.unwrap_or_else(|| "_other_".to_owned()));
    Ok(Filters { filters, other, keyed })
}

fn composite(body: &mut Body<'_>) -> Result<Composite> {
    let size = body.size("size", COMPOSITE_SIZE)?;
    let after = match body.take("after") {
        None => None,
        Some(Value::Object(after)) => Some(after),
        Some(_) => return Err(body.failed("after")),
    };
    let Some(Value::Array(values)) = body.take("sources") else {
        return Err(ElasticError::illegal_argument(format!(
            "Required [sources] in the composite aggregation [{}]",
            body.name
        )));
    };
    let sources: Vec<CompositeSource> =
        values.iter().map(|value| composite_source(body, value)).collect::<Result<_>>()?;
    if sources.is_empty() {
        return Err(ElasticError::illegal_argument("Composite [sources] cannot be null or empty"));
    }
    for (at, source) in sources.iter().enumerate() {
        if sources[..at].iter().any(|before| before.name == source.name) {
            return Err(ElasticError::illegal_argument(format!(
                "Composite source names must be unique, found duplicates: [{}]",
                source.name
            )));
        }
    }
    if let Some(after) = &after
        && (after.len() != sources.len()
            || !sources.iter().all(|source| after.contains_key(&source.name)))
    {
        return Err(ElasticError::illegal_argument(format!(
            "[after] has {} value(s) but [sources] has {}",
            after.len(),
            sources.len()
        )));
    }
    Ok(Composite { sources, size, after })
}

fn composite_source(body: &Body<'_>, value: &Value) -> Result<CompositeSource> {
    let one = |value: &Value| match value {
        Value::Object(keys) if keys.len() == 1 => {
            keys.iter().next().map(|(key, value)| (key.clone(), value.clone()))
        }
        _ => None,
    };
    let (name, value) = one(value).ok_or_else(|| body.failed("sources"))?;
    let (kind, value) = one(&value).ok_or_else(|| body.failed("sources"))?;
    let mut of = Body::new(&kind, &name, &value)?;
    let source = of.source()?;
    let by = match kind.as_str() {
        "terms" => CompositeBy::Terms,
        "histogram" => CompositeBy::Histogram {
            interval: of.number("interval")?.filter(|interval| *interval > 0.0).ok_or_else(
                || {
                    ElasticError::illegal_argument(
                        "[interval] must be greater than 0 for [histogram] source",
                    )
                },
            )?,
        },
        "date_histogram" => CompositeBy::DateHistogram {
            interval: interval(&mut of)?,
            zone: zone(&mut of)?,
            offset: offset(&mut of)?,
            format: date_format(&source)?,
        },
        _ => {
            return Err(ElasticError::parsing(format!("invalid source type: {kind}")));
        }
    };
    let direction = of.direction("order")?.unwrap_or(Direction::Ascending);
    let missing_bucket = of.flag("missing_bucket", false)?;
    let missing_last = match of.text("missing_order")?.as_deref() {
        None | Some("default") => None,
        Some("first") => Some(false),
        Some("last") => Some(true),
        Some(_) => return Err(of.failed("missing_order")),
    };
    of.end()?;
    Ok(CompositeSource { name, source, by, direction, missing_bucket, missing_last })
}
