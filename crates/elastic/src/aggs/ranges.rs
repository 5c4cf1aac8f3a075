//! `range` and `date_range`: intervals of numbers, of which each is a bucket.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::answer::Bucket;
use super::body;
use super::keys::Key;
use super::metrics::{Shown, nanos};
use super::numbers::plain;
use super::request::Ranges;
use super::values;
use crate::ElasticError;
use crate::dates::{DateFormat, Zone};

type Result<T> = std::result::Result<T, ElasticError>;

/// One interval: from here, up to but without there. Dates are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub key: Option<String>,
    pub from: Option<f64>,
    pub to: Option<f64>,
}

/// In the order of their beginnings, then of their ends, as answers have them.
///
/// # Errors
/// When a bound is no number or no date.
pub(super) fn spans(by: &Ranges, now_nanos: i64) -> Result<Vec<Span>> {
    let bound = |value: &Option<Value>, name: &str| -> Result<Option<f64>> {
        let Some(value) = value else { return Ok(None) };
        if let Some((format, zone)) = &by.dates {
            let nanos = values::date(value, format, *zone, now_nanos)?;
            return Ok(Some(nanos.div_euclid(1_000_000) as f64));
        }
        let number = body::number(value).filter(|number| !number.is_nan());
        number.map(Some).ok_or_else(|| {
            ElasticError::x_content(format!("[range] failed to parse field [{name}]: [{value}]"))
        })
    };
    let mut spans = vec![];
    for range in &by.ranges {
        let (from, to) = (bound(&range.from, "from")?, bound(&range.to, "to")?);
        spans.push(Span { key: range.key.clone(), from, to });
    }
    let lower = |bound: Option<f64>| bound.unwrap_or(f64::NEG_INFINITY);
    let upper = |bound: Option<f64>| bound.unwrap_or(f64::INFINITY);
    spans.sort_by(|a, b| {
        let starts = lower(a.from).total_cmp(&lower(b.from));
        match starts {
            Ordering::Equal => upper(a.to).total_cmp(&upper(b.to)),
            other => other,
        }
    });
    Ok(spans)
}

/// Whether no value is in two of them, which are in order.
pub(super) fn disjoint(spans: &[Span]) -> bool {
    spans.windows(2).all(|pair| match (pair[0].to, pair[1].from) {
        (Some(to), Some(from)) => to <= from,
        _ => false,
    })
}

impl Span {
    /// The bucket's head: its key and bounds.
    pub fn bucket(&self, by: &Ranges, shown: &Shown, number: usize) -> Bucket {
        let date = by.dates.as_ref();
        let text = |bound: f64| match date {
            Some((format, zone)) => date_text(format, *zone, bound),
            None => shown.text(bound).unwrap_or_else(|| plain(bound)),
        };
        let of_key = |bound: Option<f64>| bound.map_or_else(|| "*".to_owned(), text);
        let key = self.key.clone();
        let key = key.unwrap_or_else(|| format!("{}-{}", of_key(self.from), of_key(self.to)));
        let mut bucket =
            Bucket::new(key.clone(), vec![Key::Int(i64::try_from(number).unwrap_or(0))]);
        if !by.keyed {
            bucket.head.push(("key".to_owned(), Value::String(key)));
        }
        for (name, bound) in [("from", self.from), ("to", self.to)] {
            let Some(bound) = bound else { continue };
            bucket.head.push((name.to_owned(), json!(bound)));
            if date.is_some() || shown.text(bound).is_some() {
                bucket.head.push((format!("{name}_as_string"), Value::String(text(bound))));
            }
        }
        bucket
    }
}

fn date_text(format: &DateFormat, zone: Zone, millis: f64) -> String {
    format.format(nanos(millis), zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: Option<f64>, to: Option<f64>) -> Span {
        Span { key: None, from, to }
    }

    #[test]
    fn ranges_that_touch_do_not_overlap() {
        let (low, middle) = (span(None, Some(5.0)), span(Some(5.0), Some(9.0)));
        assert!(disjoint(&[low.clone(), middle.clone(), span(Some(9.0), None)]));
        assert!(!disjoint(&[low.clone(), span(Some(4.0), None)]));
        assert!(!disjoint(&[low, span(None, None)]));
        assert!(disjoint(&[middle]));
    }
}
