//! Bodies of queries as [`Query`]. Keys that Elasticsearch does not know are refused in its words.

use serde_json::Value;

use super::{Bool, Edits, Fuzziness, Minimum, Operator, Pattern, Query, Range, Words};
use crate::lucene::Flags;
use crate::object::{Object, scalar_text};
use crate::{ElasticError, lucene};

/// Levels of queries within each other.
const DEPTH_MAX: usize = 30;

/// Values of one `terms`.
const TERMS_MAX: usize = 65_536;

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

fn operator(object: &mut Object, key: &str) -> Result<Operator, ElasticError> {
    match object.text(key)?.as_deref() {
        None => Ok(Operator::Or),
        Some(text) if text.eq_ignore_ascii_case("or") => Ok(Operator::Or),
        Some(text) if text.eq_ignore_ascii_case("and") => Ok(Operator::And),
        Some(other) => Err(ElasticError::illegal_argument(format!(
            "No enum constant org.elasticsearch.index.query.Operator.{}",
            other.to_uppercase()
        ))),
    }
}

fn fuzziness(object: &mut Object) -> Result<Option<Fuzziness>, ElasticError> {
    let edits = object.text("fuzziness")?;
    let prefix = object.whole("prefix_length")?.unwrap_or(0);
    object.pass_over(&[
        "max_expansions",
        "fuzzy_transpositions",
        "fuzzy_rewrite",
        "transpositions",
    ]);
    let prefix = u64::try_from(prefix).unwrap_or(0);
    edits.map(|text| Ok(Fuzziness { edits: edits_of(&text)?, prefix })).transpose()
}

fn edits_of(text: &str) -> Result<Edits, ElasticError> {
    let wrong = || ElasticError::illegal_argument(format!("invalid fuzziness: [{text}]"));
    let upper = text.to_uppercase();
    if upper == "AUTO" {
        return Ok(Edits::Auto(3, 6));
    }
    if let Some(lengths) = upper.strip_prefix("AUTO:") {
        let (low, high) = lengths.split_once(',').ok_or_else(wrong)?;
        let length = |text: &str| text.trim().parse().map_err(|_| wrong());
        return Ok(Edits::Auto(length(low)?, length(high)?));
    }
    match text.parse::<f64>() {
        Ok(edits) if (0.0..=2.0).contains(&edits) => Ok(Edits::Exactly(edits as u64)),
        _ => Err(wrong()),
    }
}

/// What `match` and `multi_match` have in common.
fn words_of(object: &mut Object) -> Result<Words, ElasticError> {
    let text = object.needed("query")?;
    let minimum = object.text("minimum_should_match")?;
    let words = Words {
        operator: operator(object, "operator")?,
        minimum: minimum.map(|text| Minimum::parse(&text)).transpose()?,
        fuzziness: fuzziness(object)?,
        lenient: object.truth("lenient")?.unwrap_or(false),
        zero_is_all: zero_is_all(object)?,
        ..Words::of(text)
    };
    object.pass_over(&["analyzer", "auto_generate_synonyms_phrase_query", "cutoff_frequency"]);
    object.pass_over(NAMES);
    Ok(words)
}

fn zero_is_all(object: &mut Object) -> Result<bool, ElasticError> {
    Ok(object.text("zero_terms_query")?.is_some_and(|text| text.eq_ignore_ascii_case("all")))
}

fn match_query(name: &str, body: &Value, last_is_prefix: bool) -> Result<Query, ElasticError> {
    let (field, mut object, _) = Object::of_field(name, body, "query", &[])?;
    let boost = object.number("boost")?;
    let words = Words { last_is_prefix, ..words_of(&mut object)? };
    object.finish()?;
    Ok(Query::Match { field, words }.boosted(boost))
}

fn no_slop(object: &mut Object) -> Result<(), ElasticError> {
    match object.whole("slop")? {
        None | Some(0) => Ok(()),
        Some(slop) => Err(ElasticError::unsupported(format!("phrases with [slop] {slop}, only 0"))),
    }
}

fn phrase(name: &str, body: &Value, last_is_prefix: bool) -> Result<Query, ElasticError> {
    let (field, mut object, _) = Object::of_field(name, body, "query", &[])?;
    let (text, boost) = (object.needed("query")?, object.number("boost")?);
    no_slop(&mut object)?;
    zero_is_all(&mut object)?;
    object.pass_over(&["analyzer", "max_expansions"]);
    object.pass_over(NAMES);
    object.finish()?;
    Ok(Query::Phrase { field, text, last_is_prefix, lenient: false }.boosted(boost))
}

/// `message^3`.
fn field_boost(text: &str) -> Result<(String, f64), ElasticError> {
    match text.rsplit_once('^') {
        None => Ok((text.to_owned(), 1.0)),
        Some((field, boost)) => match boost.parse() {
            Ok(boost) => Ok((field.to_owned(), boost)),
            Err(_) => Err(ElasticError::illegal_argument(format!("no boost: [{text}]"))),
        },
    }
}

fn field_boosts(texts: Option<Vec<String>>) -> Result<Vec<(String, f64)>, ElasticError> {
    let texts = texts.filter(|texts| !texts.is_empty()).unwrap_or_else(|| vec!["*".to_owned()]);
    texts.iter().map(|text| field_boost(text)).collect()
}

fn multi_match(body: &Value) -> Result<Query, ElasticError> {
    let mut object = Object::new("[multi_match] query", body)?;
    let fields = field_boosts(object.texts("fields")?)?;
    let kind = object.text("type")?.unwrap_or_else(|| "best_fields".to_owned());
    let boost = object.number("boost")?;
    no_slop(&mut object)?;
    object.pass_over(&["tie_breaker"]);
    let mut words = words_of(&mut object)?;
    object.finish()?;
    if fields.iter().any(|(field, _)| field.contains('*')) {
        words.lenient = true;
    }
    let field = String::new();
    let phrase = |last_is_prefix, words: &Words| Query::Phrase {
        field: String::new(),
        text: words.text.clone(),
        last_is_prefix,
        lenient: words.lenient,
    };
    let (query, add_scores) = match kind.as_str() {
        "best_fields" => (Query::Match { field, words }, false),
        "most_fields" => (Query::Match { field, words }, true),
        "phrase" => (phrase(false, &words), false),
        "phrase_prefix" => (phrase(true, &words), false),
        "bool_prefix" => {
            (Query::Match { field, words: Words { last_is_prefix: true, ..words } }, true)
        }
        "cross_fields" => return Ok(cross_fields(&fields, &words).boosted(boost)),
        other => {
            return Err(ElasticError::parsing(format!(
                "[multi_match] query does not support type [{other}]"
            )));
        }
    };
    Ok(Query::AnyField { fields, query: Box::new(query), add_scores }.boosted(boost))
}

/// Each word in any of the fields.
fn cross_fields(fields: &[(String, f64)], words: &Words) -> Query {
    let each = loglake_query::plan_functions::words(&words.text);
    let each: Vec<Query> = each
        .into_iter()
        .map(|word| {
            let words = Words { text: word, minimum: None, ..words.clone() };
            let query = Box::new(Query::Match { field: String::new(), words });
            Query::AnyField { fields: fields.to_vec(), query, add_scores: false }
        })
        .collect();
    let minimum = words.minimum.clone();
    Query::Bool(Box::new(match words.operator {
        Operator::And => Bool { must: each, ..Bool::default() },
        Operator::Or => Bool { should: each, minimum, ..Bool::default() },
    }))
}

fn term(body: &Value) -> Result<Query, ElasticError> {
    let (field, mut object, beside) = Object::of_field("term", body, "value", &["boost", "_name"])?;
    let boost = match object.number("boost")? {
        None => beside.get("boost").and_then(Value::as_f64),
        some => some,
    };
    let any_case = object.truth("case_insensitive")?.unwrap_or(false);
    let value = object.take("value").or_else(|| object.take("term"));
    object.pass_over(NAMES);
    object.finish()?;
    let value = value
        .filter(|value| scalar_text(value).is_some())
        .ok_or_else(|| ElasticError::illegal_argument("value cannot be null"))?;
    Ok(Query::Term { field, value, any_case, lenient: false }.boosted(boost))
}

fn terms(body: &Value) -> Result<Query, ElasticError> {
    let (field, mut object, beside) = Object::of_field("terms", body, "[]", &["boost", "_name"])?;
    let Some(Value::Array(values)) = object.take("[]") else {
        if object.keys().any(|key| key == "index") {
            return Err(ElasticError::unsupported("[terms] that are looked up in an index"));
        }
        return Err(ElasticError::parsing(format!(
            "[terms] query requires an array of values for [{field}]"
        )));
    };
    if values.len() > TERMS_MAX {
        return Err(ElasticError::illegal_argument(format!(
            "The number of terms [{}] used in the Terms Query request has exceeded the allowed \
             maximum of [{TERMS_MAX}]",
            values.len()
        )));
    }
    if values.iter().any(|value| scalar_text(value).is_none()) {
        return Err(ElasticError::illegal_argument("No value specified for terms query"));
    }
    Ok(Query::Terms { field, values }.boosted(beside.get("boost").and_then(Value::as_f64)))
}

fn range(body: &Value) -> Result<Query, ElasticError> {
    let (field, mut object, _) = Object::of_field("range", body, "", &["boost", "_name"])?;
    let boost = object.number("boost")?;
    let mut range = Range {
        gt: object.take("gt"),
        gte: object.take("gte"),
        lt: object.take("lt"),
        lte: object.take("lte"),
        format: object.text("format")?,
        zone: object.text("time_zone")?,
        lenient: false,
    };
    // The forms before version 8, which dashboards still send.
    let include_lower = object.truth("include_lower")?.unwrap_or(true);
    let include_upper = object.truth("include_upper")?.unwrap_or(true);
    if let Some(from) = object.take("from") {
        *(if include_lower { &mut range.gte } else { &mut range.gt }) = Some(from);
    }
    if let Some(to) = object.take("to") {
        *(if include_upper { &mut range.lte } else { &mut range.lt }) = Some(to);
    }
    object.pass_over(&["relation", "_name"]);
    object.finish()?;
    Ok(Query::Range { field, range }.boosted(boost))
}

fn exists(body: &Value) -> Result<Query, ElasticError> {
    let mut object = Object::new("[exists] query", body)?;
    let field = object
        .text("field")?
        .filter(|field| !field.is_empty())
        .ok_or_else(|| ElasticError::parsing("[exists] must be provided with a [field]"))?;
    let boost = object.number("boost")?;
    object.pass_over(NAMES);
    object.finish()?;
    Ok(Query::Exists { field }.boosted(boost))
}

fn ids(body: &Value) -> Result<Query, ElasticError> {
    let mut object = Object::new("[ids] query", body)?;
    let values = object.texts("values")?.unwrap_or_default();
    let boost = object.number("boost")?;
    object.pass_over(&["type", "_name"]);
    object.finish()?;
    Ok(Query::Ids(values).boosted(boost))
}

fn pattern(
    name: &str,
    body: &Value,
    keys: &[&str],
    make: fn(String) -> Pattern,
) -> Result<Query, ElasticError> {
    let (field, mut object, _) = Object::of_field(name, body, keys[0], &[])?;
    let mut value = None;
    for key in keys {
        value = value.or(object.text(key)?);
    }
    let value = value.ok_or_else(|| ElasticError::illegal_argument("value cannot be null"))?;
    let boost = object.number("boost")?;
    let any_case = object.truth("case_insensitive")?.unwrap_or(false);
    object.pass_over(&["flags", "flags_value", "max_determinized_states"]);
    object.pass_over(NAMES);
    object.finish()?;
    Ok(Query::Pattern { field, pattern: make(value), any_case, lenient: false }.boosted(boost))
}

fn fuzzy(body: &Value) -> Result<Query, ElasticError> {
    let (field, mut object, _) = Object::of_field("fuzzy", body, "value", &[])?;
    let (value, boost) = (object.needed("value")?, object.number("boost")?);
    let prefix = object.whole("prefix_length")?.unwrap_or(0);
    let edits = object.text("fuzziness")?.unwrap_or_else(|| "AUTO".to_owned());
    object.pass_over(&["max_expansions", "transpositions"]);
    object.pass_over(NAMES);
    object.finish()?;
    let prefix = u64::try_from(prefix).unwrap_or(0);
    let fuzziness = Fuzziness { edits: edits_of(&edits)?, prefix };
    Ok(Query::Fuzzy { field, value, fuzziness }.boosted(boost))
}

/// What `query_string` and `simple_query_string` have in common.
fn string_options(object: &mut Object) -> Result<(String, lucene::Options), ElasticError> {
    let text = object.needed("query")?;
    let minimum = object.text("minimum_should_match")?;
    let default_field = object.text("default_field")?.map(|field| vec![field]);
    let fields = object.texts("fields")?.or(default_field);
    let every = fields.as_ref().is_none_or(|fields| fields.iter().any(|f| f.contains('*')));
    let options = lucene::Options {
        fields: field_boosts(fields)?,
        operator: operator(object, "default_operator")?,
        lenient: object.truth("lenient")?.unwrap_or(every),
        minimum: minimum.map(|text| Minimum::parse(&text)).transpose()?,
        zone: object.text("time_zone")?,
        edits: match object.text("fuzziness")? {
            Some(text) => edits_of(&text)?,
            None => Edits::Auto(3, 6),
        },
        prefix: u64::try_from(object.whole("fuzzy_prefix_length")?.unwrap_or(0)).unwrap_or(0),
        flags: Flags::default(),
    };
    object.pass_over(&[
        "analyze_wildcard",
        "analyzer",
        "auto_generate_synonyms_phrase_query",
        "allow_leading_wildcard",
        "enable_position_increments",
        "escape",
        "fuzzy_max_expansions",
        "fuzzy_transpositions",
        "max_determinized_states",
        "quote_analyzer",
        "quote_field_suffix",
        "type",
        "tie_breaker",
        "_name",
        "rewrite",
    ]);
    Ok((text, options))
}

fn query_string(body: &Value) -> Result<Query, ElasticError> {
    let mut object = Object::new("[query_string] query", body)?;
    match object.whole("phrase_slop")? {
        None | Some(0) => {}
        Some(_) => return Err(ElasticError::unsupported("phrases with [phrase_slop], only 0")),
    }
    let boost = object.number("boost")?;
    let (text, options) = string_options(&mut object)?;
    object.finish()?;
    Ok(lucene::query_string(&text, &options)?.boosted(boost))
}

fn simple_query_string(body: &Value) -> Result<Query, ElasticError> {
    let mut object = Object::new("[simple_query_string] query", body)?;
    let boost = object.number("boost")?;
    let flags = object.text("flags")?;
    let (text, mut options) = string_options(&mut object)?;
    if let Some(flags) = flags {
        options.flags = Flags::parse(&flags)?;
    }
    object.finish()?;
    Ok(lucene::simple_query_string(&text, &options).boosted(boost))
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
