//! A request's `aggs`, understood: their tree here, each kind in a file of its own. What is not
//! understood is refused as Elasticsearch does, and named.

mod buckets;
mod metrics;
mod pipelines;

use serde_json::{Map, Value};

pub(super) use self::pipelines::is_or_has;
use super::body::{Body, direction, refused, token};
use super::request::{Agg, Aggs, Buckets, Direction, Kind, Order, OrderBy, Single};
use crate::ElasticError;

type Result<T> = std::result::Result<T, ElasticError>;

/// Levels of aggregations within each other.
const DEPTH_MAX: usize = 16;

/// Aggregations of a request.
const AGGS_MAX: usize = 1_000;

/// Aggregations that Elasticsearch has and that are not here, with what does nearly the same.
const UNSUPPORTED: [&str; 40] = [
    "adjacency_matrix",
    "auto_date_histogram",
    "boxplot",
    "bucket_correlation",
    "bucket_count_ks_test",
    "categorize_text",
    "change_point",
    "children",
    "cumulative_cardinality",
    "diversified_sampler",
    "frequent_item_sets",
    "geo_bounds",
    "geo_centroid",
    "geo_distance",
    "geo_line",
    "geohash_grid",
    "geohex_grid",
    "geotile_grid",
    "inference",
    "ip_prefix",
    "ip_range",
    "matrix_stats",
    "median_absolute_deviation",
    "moving_percentiles",
    "nested",
    "normalize",
    "parent",
    "random_sampler",
    "rare_terms",
    "rate",
    "reverse_nested",
    "sampler",
    "scripted_metric",
    "significant_terms",
    "significant_text",
    "string_stats",
    "t_test",
    "time_series",
    "top_metrics",
    "variable_width_histogram",
];

/// Pipeline aggregations that run scripts.
const OF_SCRIPTS: [&str; 4] = ["bucket_script", "bucket_selector", "moving_fn", "moving_avg"];

/// Of `aggs` or `aggregations` in a body.
///
/// # Errors
/// When one is none, or one that loglake does not have.
pub fn parse(body: &Value) -> Result<Aggs> {
    let mut left = AGGS_MAX;
    let aggs = parse_level(body, "aggs", 0, &mut left)?;
    check_composite(&aggs, None)?;
    pipelines::check(&aggs, None)?;
    Ok(aggs)
}

fn parse_level(body: &Value, under: &str, depth: usize, left: &mut usize) -> Result<Aggs> {
    let Value::Object(named) = body else {
        return Err(ElasticError::parsing(format!(
            "Expected [START_OBJECT] under [{under}], but got a [{}]",
            token(body)
        )));
    };
    if depth >= DEPTH_MAX {
        return Err(ElasticError::illegal_argument(format!(
            "aggregations are within each other at most {DEPTH_MAX} deep"
        )));
    }
    *left = left.checked_sub(named.len()).ok_or_else(|| {
        ElasticError::illegal_argument(format!("a search has at most {AGGS_MAX} aggregations"))
    })?;
    let aggs = named.iter().map(|(name, body)| parse_one(name, body, depth, left));
    Ok(Aggs(aggs.collect::<Result<_>>()?))
}

fn parse_one(name: &str, body: &Value, depth: usize, left: &mut usize) -> Result<Agg> {
    if name.is_empty() || name.contains(['[', ']', '>']) {
        return Err(ElasticError::parsing(format!(
            "Invalid aggregation name [{name}]. Aggregation names can contain any character except \
             '[', ']', and '>'"
        )));
    }
    let Value::Object(keys) = body else {
        return Err(ElasticError::parsing(format!(
            "Aggregation definition for [{name} starts with a [{}], expected a [START_OBJECT].",
            token(body)
        )));
    };
    let (mut aggs, mut meta, mut found) = (None, None, None);
    for (key, value) in keys {
        match key.as_str() {
            "meta" => meta = Some(value.clone()),
            "aggs" | "aggregations" => {
                if aggs.is_some() {
                    return Err(ElasticError::parsing(format!(
                        "Found two sub aggregation definitions under [{name}]"
                    )));
                }
                aggs = Some(parse_level(value, key, depth + 1, left)?);
            }
            kind => {
                if let Some((before, _)) = found {
                    return Err(ElasticError::parsing(format!(
                        "Found two aggregation type definitions in [{name}]: [{before}] and [{kind}]"
                    )));
                }
                found = Some((kind, value));
            }
        }
    }
    let Some((kind_name, value)) = found else {
        return Err(ElasticError::parsing(format!("Missing definition for aggregation [{name}]")));
    };
    let kind = parse_kind(kind_name, name, value)?;
    let aggs = aggs.unwrap_or_default();
    if !matches!(kind, Kind::Buckets(_)) && !aggs.0.is_empty() {
        return Err(refused(
            "aggregation_initialization_exception",
            format!("Aggregator [{name}] of type [{kind_name}] cannot accept sub-aggregations"),
        ));
    }
    if let Kind::Buckets(buckets) = &kind {
        buckets::check_order(buckets, &aggs)?;
    }
    Ok(Agg { name: name.to_owned(), meta, kind, aggs })
}

fn parse_kind(kind: &str, name: &str, value: &Value) -> Result<Kind> {
    if UNSUPPORTED.contains(&kind) {
        return Err(ElasticError::unsupported(format!(
            "the aggregation type [{kind}] of [{name}]"
        )));
    }
    if OF_SCRIPTS.contains(&kind) {
        return Err(ElasticError::unsupported(format!(
            "scripts, which the aggregation type [{kind}] of [{name}] runs"
        )));
    }
    if kind == "filter" {
        return Ok(Kind::Buckets(Buckets::Single(Single::Filter(crate::query::parse(value)?))));
    }
    let of_kind = |known: &[&str]| known.contains(&kind);
    let empty = Value::Object(Map::new());
    let body = Body::new(kind, name, if value.is_null() { &empty } else { value });
    if of_kind(&buckets::KNOWN) {
        return buckets::parse(body?).map(Kind::Buckets);
    }
    if of_kind(&metrics::KNOWN) {
        return metrics::parse(body?);
    }
    if of_kind(&pipelines::KNOWN) {
        return pipelines::parse(body?).map(Kind::Pipeline);
    }
    Err(ElasticError::parsing(format!("Unknown aggregation type [{kind}]")))
}

/// `{"_count": "asc"}`, or a list of such.
fn order(value: &Value, name: &str) -> Result<Order> {
    let one = |value: &Value| -> Result<(OrderBy, Direction)> {
        let wrong = || {
            ElasticError::parsing(format!(
                "Must specify at least one field for [order] in [{name}], each as {{\"by\": \"asc\"}}"
            ))
        };
        let Value::Object(keys) = value else { return Err(wrong()) };
        let mut keys = keys.iter();
        let (Some((by, Value::String(text))), None) = (keys.next(), keys.next()) else {
            return Err(wrong());
        };
        let by = match by.as_str() {
            "_count" => OrderBy::Count,
            "_key" | "_term" | "_time" => OrderBy::Key,
            path => OrderBy::Metric(path.to_owned()),
        };
        Ok((by, direction(text)?))
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        one_value => Ok(vec![one(one_value)?]),
    }
}

/// `composite` is nowhere but at the top and in filters.
fn check_composite(aggs: &Aggs, under: Option<&str>) -> Result<()> {
    for agg in &aggs.0 {
        let Kind::Buckets(buckets) = &agg.kind else { continue };
        match buckets {
            Buckets::Composite(_) if under.is_some() => {
                return Err(ElasticError::illegal_argument(format!(
                    "[composite] aggregation cannot be used with a parentAggregation of type: [{}]",
                    under.unwrap_or_default()
                )));
            }
            Buckets::Single(Single::Global) if under.is_some() => {
                return Err(refused(
                    "aggregation_execution_exception",
                    format!(
                        "Aggregation [{}] cannot have a global sub-aggregation [{}]. Global \
                         aggregations can only be defined as top level aggregations",
                        under.unwrap_or_default(),
                        agg.name
                    ),
                ));
            }
            _ => {}
        }
        let inner = match buckets {
            Buckets::Single(Single::Filter(_)) => under,
            other => Some(other.kind_name()),
        };
        check_composite(&agg.aggs, inner)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
