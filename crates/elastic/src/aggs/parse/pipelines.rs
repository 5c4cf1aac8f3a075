//! Aggregations over other aggregations' answers.

use serde_json::Value;

use super::{Result, metrics};
use crate::ElasticError;
use crate::aggs::body::{Body, direction, refused};
use crate::aggs::request::{
    Aggs, Buckets, Direction, Gaps, Kind, Path, PathStep, Pipeline, PipelineBy,
};
use crate::dates::duration;

pub(super) const KNOWN: [&str; 11] = [
    "avg_bucket",
    "bucket_sort",
    "cumulative_sum",
    "derivative",
    "extended_stats_bucket",
    "max_bucket",
    "min_bucket",
    "percentiles_bucket",
    "serial_diff",
    "stats_bucket",
    "sum_bucket",
];

pub(super) fn parse(mut body: Body<'_>) -> Result<Pipeline> {
    if body.kind == "bucket_sort" {
        return bucket_sort(body);
    }
    let path = match body.take("buckets_path") {
        Some(Value::String(path)) => path,
        Some(Value::Array(paths)) if paths.len() == 1 => {
            paths[0].as_str().ok_or_else(|| body.failed("buckets_path"))?.to_owned()
        }
        Some(_) => return Err(body.failed("buckets_path")),
        None => {
            return Err(ElasticError::illegal_argument(format!(
                "Missing required field [buckets_path] for {} aggregation [{}]",
                body.kind, body.name
            )));
        }
    };
    let path = self::path(&path).ok_or_else(|| {
        ElasticError::illegal_argument(format!("Invalid path [{path}] in [{}]", body.name))
    })?;
    let by = match body.kind {
        "avg_bucket" => PipelineBy::AvgBucket,
        "sum_bucket" => PipelineBy::SumBucket,
        "min_bucket" => PipelineBy::MinBucket,
        "max_bucket" => PipelineBy::MaxBucket,
        "stats_bucket" => PipelineBy::StatsBucket,
        "extended_stats_bucket" => {
            PipelineBy::ExtendedStatsBucket { sigma: metrics::sigma(&mut body)? }
        }
        "percentiles_bucket" => {
            let percents = body.numbers("percents")?;
            let percents = percents.unwrap_or_else(|| vec![1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0]);
            metrics::check_percents(&percents, body.name)?;
            PipelineBy::PercentilesBucket { percents, keyed: body.flag("keyed", true)? }
        }
        "derivative" => PipelineBy::Derivative { unit_millis: unit(&mut body)? },
        "cumulative_sum" => PipelineBy::CumulativeSum,
        _ => PipelineBy::SerialDiff { lag: body.size("lag", 1)? },
    };
    let gaps = gaps(&mut body)?;
    let format = body.text("format")?;
    body.end()?;
    Ok(Pipeline { path, by, gaps, format })
}

fn gaps(body: &mut Body<'_>) -> Result<Gaps> {
    Ok(match body.text("gap_policy")?.as_deref() {
        None | Some("skip") => Gaps::Skip,
        Some("insert_zeros") => Gaps::Zeros,
        Some("keep_values") => Gaps::Keep,
        Some(other) => {
            return Err(ElasticError::illegal_argument(format!(
                "Invalid gap policy: [{other}], accepted values: [insert_zeros, skip, keep_values]"
            )));
        }
    })
}

/// Milliseconds.
fn unit(body: &mut Body<'_>) -> Result<Option<f64>> {
    let Some(text) = body.text("unit")? else { return Ok(None) };
    let text = match text.as_str() {
        "second" => "1s",
        "minute" => "1m",
        "hour" => "1h",
        "day" => "1d",
        "week" => "1w",
        other => other,
    };
    let nanos = duration(text).filter(|nanos| *nanos > 0);
    let nanos = nanos.ok_or_else(|| body.failed("unit"))?;
    Ok(Some(nanos as f64 / 1e6))
}

fn bucket_sort(mut body: Body<'_>) -> Result<Pipeline> {
    let keys = match body.take("sort") {
        None => vec![],
        Some(Value::Array(keys)) => keys,
        Some(key) => vec![key],
    };
    let sort = keys.iter().map(|key| sort_key(&body, key)).collect::<Result<Vec<_>>>()?;
    let from = body.not_negative("from")?.unwrap_or(0);
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let size = match body.size("size", 0)? {
        0 => None,
        size => Some(size),
    };
    if sort.is_empty() && size.is_none() && from == 0 {
        return Err(ElasticError::illegal_argument(format!(
            "[{}] is configured to perform nothing. Please set either of [sort, size, from] to use \
             bucket_sort",
            body.name
        )));
    }
    let gaps = gaps(&mut body)?;
    body.end()?;
    let by = PipelineBy::BucketSort { sort, from, size };
    Ok(Pipeline { path: Path::default(), by, gaps, format: None })
}

fn sort_key(body: &Body<'_>, key: &Value) -> Result<(Path, Direction)> {
    let failed = || body.failed("sort");
    let (by, order) = match key {
        Value::String(by) => (by.clone(), Direction::Ascending),
        Value::Object(keys) if keys.len() == 1 => {
            let (by, order) = keys.iter().next().ok_or_else(failed)?;
            let order = match order {
                Value::Object(order) => order.get("order").cloned(),
                order => Some(order.clone()),
            };
            let order = match order {
                None => Direction::Ascending,
                Some(order) => direction(order.as_str().ok_or_else(failed)?)?,
            };
            (by.clone(), order)
        }
        _ => return Err(failed()),
    };
    Ok((path(&by).ok_or_else(failed)?, order))
}

/// `histogram>bucket_filter['a']>metric.value`.
fn path(text: &str) -> Option<Path> {
    let step = |text: &str| {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('[') else {
            return (!text.is_empty()).then(|| PathStep { name: text.to_owned(), bucket: None });
        };
        let (inner, after) = rest.rsplit_once(']')?;
        let bare = inner.trim_matches(['\'', '"']);
        // `percentiles[99.0]` is one of its values, `filters['errors']` one of its buckets.
        let step = match inner == bare && after.is_empty() {
            true => PathStep { name: format!("{name}.{inner}"), bucket: None },
            false => PathStep { name: format!("{name}{after}"), bucket: Some(bare.to_owned()) },
        };
        (!name.is_empty()).then_some(step)
    };
    let steps = text.split('>').map(step);
    steps.collect::<Option<Vec<_>>>().map(Path)
}

/// Whether a step names an aggregation, or one of its values.
pub(in crate::aggs) fn is_or_has(step: &str, name: &str) -> bool {
    step.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Each is where its kind can be, and its path begins with something that is there.
pub(super) fn check(aggs: &Aggs, under: Option<&Kind>) -> Result<()> {
    for agg in &aggs.0 {
        check(&agg.aggs, Some(&agg.kind))?;
        let Kind::Pipeline(pipeline) = &agg.kind else { continue };
        let in_buckets = under.is_some_and(
            |kind| matches!(kind, Kind::Buckets(buckets) if !matches!(buckets, Buckets::Single(_))),
        );
        let in_histogram =
            matches!(under, Some(Kind::Buckets(Buckets::Histogram(_) | Buckets::DateHistogram(_))));
        let fits = match &pipeline.by {
            by if by.is_beside() => true,
            PipelineBy::BucketSort { .. } => in_buckets,
            _ => in_histogram,
        };
        if !fits {
            return Err(invalid(format!(
                "aggregation [{}] must be in the buckets of a histogram or date_histogram \
                 (bucket_sort: in any buckets)",
                agg.name
            )));
        }
        let starts = std::iter::once(&pipeline.path).chain(match &pipeline.by {
            PipelineBy::BucketSort { sort, .. } => sort.iter().map(|(path, _)| path).collect(),
            _ => vec![],
        });
        for first in starts.filter_map(|path| path.0.first()) {
            let known = aggs.0.iter().any(|other| is_or_has(&first.name, &other.name));
            if !known && !matches!(first.name.as_str(), "_count" | "_key") {
                return Err(invalid(format!(
                    "No aggregation found for path [{}] of [{}]",
                    first.name, agg.name
                )));
            }
        }
        if pipeline.by.is_beside() {
            check_beside(agg, pipeline, aggs)?;
        }
    }
    Ok(())
}

fn check_beside(agg: &crate::aggs::request::Agg, pipeline: &Pipeline, aggs: &Aggs) -> Result<()> {
    let first = pipeline.path.0.first();
    let over = aggs.0.iter().find(|other| first.is_some_and(|first| first.name == other.name));
    match over.map(|other| &other.kind) {
        Some(Kind::Buckets(_)) if pipeline.path.0.len() > 1 => Ok(()),
        _ => Err(invalid(format!(
            "The first aggregation in [buckets_path] must be a multi-bucket aggregation for \
             aggregation [{}], with a value after it: buckets>value",
            agg.name
        ))),
    }
}

fn invalid(reason: String) -> ElasticError {
    refused("action_request_validation_exception", format!("Validation Failed: 1: {reason};"))
}
