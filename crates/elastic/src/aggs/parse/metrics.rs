//! Aggregations that compute values.

use serde_json::Value;

use super::Result;
use crate::ElasticError;
use crate::aggs::body::Body;
use crate::aggs::request::{Kind, Metric, MetricBy, Source, TopHits};
use crate::hits::HitOptions;
use crate::sort::Sort;

pub(super) const KNOWN: [&str; 12] = [
    "avg",
    "cardinality",
    "extended_stats",
    "max",
    "min",
    "percentile_ranks",
    "percentiles",
    "stats",
    "sum",
    "top_hits",
    "value_count",
    "weighted_avg",
];

const PERCENTS: [f64; 7] = [1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0];

/// Distinct values up to which `cardinality` is exact when it does not say.
const PRECISE_UP_TO: u64 = 3_000;
const PRECISE_UP_TO_MAX: u64 = 40_000;

/// Hits of a bucket at most (`index.max_inner_result_window`).
const HITS_MAX: usize = 100;

/// Percentiles of one aggregation.
const PERCENTS_MAX: usize = 100;

pub(super) fn parse(mut body: Body<'_>) -> Result<Kind> {
    if body.kind == "top_hits" {
        return top_hits(body).map(|top| Kind::TopHits(Box::new(top)));
    }
    if body.kind == "weighted_avg" {
        return weighted_avg(body).map(Kind::Metric);
    }
    let source = body.source()?;
    let by = match body.kind {
        "avg" => MetricBy::Avg,
        "sum" => MetricBy::Sum,
        "min" => MetricBy::Min,
        "max" => MetricBy::Max,
        "value_count" => MetricBy::ValueCount,
        "stats" => MetricBy::Stats,
        "extended_stats" => MetricBy::ExtendedStats { sigma: sigma(&mut body)? },
        "cardinality" => {
            body.pass_over(&["execution_hint", "rehash"]);
            let up_to = body.not_negative("precision_threshold")?.unwrap_or(PRECISE_UP_TO);
            MetricBy::Cardinality { precise_up_to: up_to.min(PRECISE_UP_TO_MAX) }
        }
        "percentiles" => {
            let percents = body.numbers("percents")?.unwrap_or_else(|| PERCENTS.to_vec());
            check_percents(&percents, body.name)?;
            let (keyed, hdr) = (body.flag("keyed", true)?, is_hdr(&mut body));
            MetricBy::Percentiles { percents, keyed, hdr }
        }
        _ => {
            let values = body.numbers("values")?.filter(|values| !values.is_empty());
            let values = values.ok_or_else(|| {
                ElasticError::illegal_argument(format!(
                    "[values] must not be an empty array: [{}]",
                    body.name
                ))
            })?;
            if values.len() > PERCENTS_MAX {
                return Err(too_many(body.name));
            }
            let (keyed, hdr) = (body.flag("keyed", true)?, is_hdr(&mut body));
            MetricBy::PercentileRanks { values, keyed, hdr }
        }
    };
    body.end()?;
    Ok(Kind::Metric(Metric { source, by }))
}

fn too_many(name: &str) -> ElasticError {
    ElasticError::illegal_argument(format!(
        "[{name}] asks for more than {PERCENTS_MAX} percentiles"
    ))
}

pub(super) fn check_percents(percents: &[f64], name: &str) -> Result<()> {
    if percents.is_empty() {
        return Err(ElasticError::illegal_argument(format!(
            "[percents] must not be empty: [{name}]"
        )));
    }
    if percents.len() > PERCENTS_MAX {
        return Err(too_many(name));
    }
    match percents.iter().find(|percent| !(0.0..=100.0).contains(*percent)) {
        None => Ok(()),
        Some(percent) => Err(ElasticError::illegal_argument(format!(
            "percent must be in [0,100], got [{percent:?}]: [{name}]"
        ))),
    }
}

pub(super) fn sigma(body: &mut Body<'_>) -> Result<f64> {
    let sigma = body.number("sigma")?.unwrap_or(2.0);
    match sigma >= 0.0 {
        true => Ok(sigma),
        false => Err(ElasticError::illegal_argument(format!(
            "[sigma] must be greater than or equal to 0. Found [{sigma:?}] in [{}]",
            body.name
        ))),
    }
}

/// Which algorithm is asked for changes how the answer is named alone.
fn is_hdr(body: &mut Body<'_>) -> bool {
    body.pass_over(&["tdigest", "compression"]);
    body.take("hdr").is_some()
}

fn weighted_avg(mut body: Body<'_>) -> Result<Metric> {
    body.pass_over(&["value_type"]);
    let format = body.text("format")?;
    let mut part = |key: &'static str| -> Result<Source> {
        let value = body.take(key).unwrap_or(Value::Null);
        let mut part = Body::new(key, body.name, &value)?;
        let source = part.source()?;
        part.end()?;
        Ok(source)
    };
    let (value, weight) = (part("value")?, part("weight")?);
    body.end()?;
    let weight_missing = weight.missing.as_ref().and_then(crate::aggs::body::number);
    let by = MetricBy::WeightedAvg { weight: weight.field, weight_missing };
    Ok(Metric { source: Source { format, ..value }, by })
}

fn top_hits(mut body: Body<'_>) -> Result<TopHits> {
    let from = body.not_negative("from")?.unwrap_or(0);
    let size = body.not_negative("size")?.unwrap_or(3);
    let (from, size) =
        (usize::try_from(from).unwrap_or(HITS_MAX), usize::try_from(size).unwrap_or(HITS_MAX));
    if from.saturating_add(size) > HITS_MAX {
        return Err(ElasticError::illegal_argument(format!(
            "Top hits result window is too large, the top hits aggregator [{}]'s from + size must be \
             less than or equal to: [{HITS_MAX}] but was [{}].",
            body.name,
            from.saturating_add(size)
        )));
    }
    let sort = body.take("sort").map_or_else(|| Ok(Sort::default()), |sort| Sort::parse(&sort))?;
    body.pass_over(&["track_scores", "version", "seq_no_primary_term", "explain"]);
    let options = HitOptions::take(body.keys())?;
    body.end()?;
    Ok(TopHits { from, size, sort, options })
}
