//! Bodies of the queries that look for words in texts.

use serde_json::Value;

use super::NAMES;
use crate::ElasticError;
use crate::lucene::{self, Flags};
use crate::object::Object;
use crate::query::{Bool, Edits, Fuzziness, Minimum, Operator, Query, Words};

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

pub(super) fn edits_of(text: &str) -> Result<Edits, ElasticError> {
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

pub(super) fn match_query(
    name: &str,
    body: &Value,
    last_is_prefix: bool,
) -> Result<Query, ElasticError> {
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

pub(super) fn phrase(
    name: &str,
    body: &Value,
    last_is_prefix: bool,
) -> Result<Query, ElasticError> {
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

pub(super) fn multi_match(body: &Value) -> Result<Query, ElasticError> {
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

pub(super) fn query_string(body: &Value) -> Result<Query, ElasticError> {
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

pub(super) fn simple_query_string(body: &Value) -> Result<Query, ElasticError> {
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
