//! Bodies of queries as [`Query`]. Keys that Elasticsearch does not know are refused in its words.

mod of_texts;
mod of_values;

use serde_json::Value;

use self::of_texts::{match_query, multi_match, phrase, query_string, simple_query_string};
use self::of_values::{exists, fuzzy, ids, pattern, range, term, terms};
use super::{Bool, Minimum, Pattern, Query};
use crate::ElasticError;
use crate::object::Object;

/// Levels of queries within each other.
const DEPTH_MAX: usize = 30;

/// Queries that Elasticsearch has and loglake does not.
const UNSUPPORTED: &[&str] = &[
    "combined_fields",
    "common",
    "distance_feature",
    "function_score",
    "geo_bounding_box",
    "geo_distance",
    "geo_grid",
    "geo_polygon",
    "geo_shape",
    "has_child",
    "has_parent",
    "intervals",
    "knn",
    "more_like_this",
    "nested",
    "parent_id",
    "percolate",
    "pinned",
    "rank_feature",
    "rule",
    "script",
    "script_score",
    "semantic",
    "shape",
    "span_containing",
    "span_field_masking",
    "span_first",
    "span_multi",
    "span_near",
    "span_not",
    "span_or",
    "span_term",
    "span_within",
    "sparse_vector",
    "terms_set",
    "text_expansion",
    "weighted_tokens",
    "wrapper",
];

/// # Errors
/// When the query is none, or one that loglake does not have.
pub fn parse(body: &Value) -> Result<Query, ElasticError> {
    at_depth(body, 0)
}

fn at_depth(body: &Value, depth: usize) -> Result<Query, ElasticError> {
    if depth > DEPTH_MAX {
        return Err(ElasticError::illegal_argument(format!(
            "The nested depth of the query exceeds the maximum nested depth for queries set in \
             [{DEPTH_MAX}]"
        )));
    }
    let Value::Object(members) = body else {
        return Err(ElasticError::parsing("[_na] query malformed, must start with start_object"));
    };
    let mut members_left = members.iter();
    let Some((name, body)) = members_left.next() else {
        return Err(ElasticError::illegal_argument("query malformed, empty clause found"));
    };
    if members_left.next().is_some() {
        return Err(ElasticError::parsing(format!(
            "[{name}] malformed query, expected [END_OBJECT] but found [FIELD_NAME]"
        )));
    }
    match name.as_str() {
        "match_all" | "match_none" => all_or_none(name, body),
        "bool" => bool_query(body, depth),
        "match" => match_query(name, body, false),
        "match_bool_prefix" => match_query(name, body, true),
        "match_phrase" => phrase(name, body, false),
        "match_phrase_prefix" => phrase(name, body, true),
        "multi_match" => multi_match(body),
        "term" => term(body),
        "terms" => terms(body),
        "range" => range(body),
        "exists" => exists(body),
        "ids" => ids(body),
        "wildcard" => pattern(name, body, &["wildcard", "value"], Pattern::Wildcard),
        "prefix" => pattern(name, body, &["value", "prefix"], Pattern::Prefix),
        "regexp" => pattern(name, body, &["value"], Pattern::Regexp),
        "fuzzy" => fuzzy(body),
        "query_string" => query_string(body),
        "simple_query_string" => simple_query_string(body),
        "constant_score" => constant(body, depth),
        "dis_max" => dis_max(body, depth),
        "boosting" => boosting(body, depth),
        unsupported if UNSUPPORTED.contains(&unsupported) => {
            Err(ElasticError::unsupported(format!("the query [{unsupported}]")))
        }
        unknown => Err(ElasticError::parsing(format!("unknown query [{unknown}]"))),
    }
}

const NAMES: &[&str] = &["_name", "rewrite"];

fn all_or_none(name: &str, body: &Value) -> Result<Query, ElasticError> {
    let mut object = Object::new(format!("[{name}] query"), body)?;
    let boost = object.number("boost")?;
    object.pass_over(NAMES);
    object.finish()?;
    Ok(if name == "match_all" { Query::MatchAll } else { Query::MatchNone }.boosted(boost))
}

/// One query, or an array of them.
fn clauses(value: Option<Value>, depth: usize) -> Result<Vec<Query>, ElasticError> {
    match value {
        None => Ok(vec![]),
        Some(Value::Array(items)) => items.iter().map(|item| at_depth(item, depth + 1)).collect(),
        Some(one) => Ok(vec![at_depth(&one, depth + 1)?]),
    }
}

fn bool_query(body: &Value, depth: usize) -> Result<Query, ElasticError> {
    let mut object = Object::new("[bool] query", body)?;
    let minimum = object.text("minimum_should_match")?;
    let boost = object.number("boost")?;
    let query = Bool {
        must: clauses(object.take("must"), depth)?,
        filter: clauses(object.take("filter"), depth)?,
        should: clauses(object.take("should"), depth)?,
        must_not: clauses(object.take("must_not").or_else(|| object.take("mustNot")), depth)?,
        minimum: minimum.map(|text| Minimum::parse(&text)).transpose()?,
    };
    object.pass_over(&["_name", "adjust_pure_negative"]);
    object.finish()?;
    Ok(Query::Bool(Box::new(query)).boosted(boost))
}

fn inner(object: &mut Object, key: &str, depth: usize) -> Result<Query, ElasticError> {
    let name = object.name.clone();
    let body = object
        .take(key)
        .ok_or_else(|| ElasticError::parsing(format!("{name} requires a '{key}' element")))?;
    at_depth(&body, depth + 1)
}

fn constant(body: &Value, depth: usize) -> Result<Query, ElasticError> {
    let mut object = Object::new("[constant_score] query", body)?;
    let boost = object.number("boost")?;
    let filter = inner(&mut object, "filter", depth)?;
    object.pass_over(NAMES);
    object.finish()?;
    Ok(Query::Constant(Box::new(filter)).boosted(boost))
}

fn dis_max(body: &Value, depth: usize) -> Result<Query, ElasticError> {
    let mut object = Object::new("[dis_max] query", body)?;
    let (tie_breaker, boost) = (object.number("tie_breaker")?, object.number("boost")?);
    let queries = clauses(object.take("queries"), depth)?;
    object.pass_over(NAMES);
    object.finish()?;
    if queries.is_empty() {
        return Err(ElasticError::parsing(
            "[dis_max] requires 'queries' field with at least one clause",
        ));
    }
    Ok(Query::DisMax { queries, tie_breaker: tie_breaker.unwrap_or(0.0) }.boosted(boost))
}

fn boosting(body: &Value, depth: usize) -> Result<Query, ElasticError> {
    let mut object = Object::new("[boosting] query", body)?;
    let positive = Box::new(inner(&mut object, "positive", depth)?);
    let negative = Box::new(inner(&mut object, "negative", depth)?);
    let (negative_boost, boost) = (object.number("negative_boost")?, object.number("boost")?);
    object.pass_over(NAMES);
    object.finish()?;
    let negative_boost = negative_boost.filter(|boost| *boost >= 0.0).ok_or_else(|| {
        ElasticError::parsing(
            "[boosting] query requires 'negative_boost' to be set to be a positive value",
        )
    })?;
    Ok(Query::Boosting { positive, negative, negative_boost }.boosted(boost))
}
