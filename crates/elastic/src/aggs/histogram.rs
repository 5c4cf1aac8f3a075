//! Histograms of numbers and of times: their buckets in a row, those between others filled in.

use loglake_query::Rounding;
use serde_json::Value;

use super::request::{DateHistogram, Histogram};
use super::values;
use crate::ElasticError;

type Result<T> = std::result::Result<T, ElasticError>;

/// The numbers of the intervals from the first bucket to the last, and of the bounds that the request
/// has.
///
/// # Errors
/// When there are more than there may be.
pub(super) fn filled(by: &Histogram, found: &[i64], buckets_max: usize) -> Result<Vec<i64>> {
    let number = |bound: f64| ((bound - by.offset) / by.interval).floor() as i64;
    let (min, max) = by.extended_bounds.unwrap_or_default();
    let first = found.iter().copied().chain(min.map(number)).min();
    let last = found.iter().copied().chain(max.map(number)).max();
    if by.min_doc_count > 0 {
        return Ok(sorted(found));
    }
    let (Some(first), Some(last)) = (first, last) else { return Ok(vec![]) };
    // Of one bound alone there is no row of buckets.
    if found.is_empty() && (min.is_none() || max.is_none()) {
        return Ok(vec![]);
    }
    if last.saturating_sub(first) >= i64::try_from(buckets_max).unwrap_or(i64::MAX) {
        return Err(ElasticError::too_many_buckets(buckets_max));
    }
    Ok((first..=last).collect())
}

/// The same of times: the milliseconds at which buckets begin.
///
/// # Errors
/// As [`filled`]; when a bound is no date.
pub(super) fn filled_times(
    by: &DateHistogram,
    rounding: &Rounding,
    found: &[i64],
    now_nanos: i64,
    buckets_max: usize,
) -> Result<Vec<i64>> {
    let mut all = sorted(found);
    if by.min_doc_count > 0 {
        return Ok(all);
    }
    let bound = |value: &Option<Value>| -> Result<Option<i64>> {
        let Some(value) = value else { return Ok(None) };
        let nanos = values::date(value, &by.format, by.zone, now_nanos)?;
        Ok(Some(rounding.floor(nanos.div_euclid(1_000)).div_euclid(1_000)))
    };
    let (min, max) = match &by.extended_bounds {
        Some((min, max)) => (bound(min)?, bound(max)?),
        None => (None, None),
    };
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(ElasticError::illegal_argument(format!(
            "[extended_bounds.min] [{min}] cannot be greater than [extended_bounds.max] [{max}]"
        )));
    }
    let first = all.first().copied().into_iter().chain(min).min();
    let last = all.last().copied().into_iter().chain(max).max();
    let (Some(first), Some(last)) = (first, last) else { return Ok(all) };
    if found.is_empty() && (min.is_none() || max.is_none()) {
        return Ok(all);
    }
    let mut at = first;
    while at <= last {
        all.push(at);
        if all.len() > buckets_max.saturating_mul(2) {
            return Err(ElasticError::too_many_buckets(buckets_max));
        }
        let next = at.checked_mul(1_000).and_then(|micros| rounding.next(micros));
        let Some(next) = next.map(|micros| micros.div_euclid(1_000)).filter(|next| *next > at)
        else {
            break;
        };
        at = next;
    }
    Ok(sorted(&all))
}

fn sorted(keys: &[i64]) -> Vec<i64> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    keys
}
