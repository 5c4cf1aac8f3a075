//! `_score`: BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
//! 2009; k1 = 1.2, b = 0.75), with how often words are, and how long texts are, counted over the rows
//! that match: the whole table is not read for it.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast as cast_array;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, cast, lit, when,
};
use datafusion::scalar::ScalarValue;
use loglake_query::plan_functions as functions;

use super::values::Scope;
use super::{Bool, Query, Words};
use crate::{ElasticError, Field, Fields, Kind};

const K1: f64 = 1.2;
const B: f64 = 0.75;

/// What is counted once for all rows.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Rows that have the word.
    rows: f64,
    /// Rows that have the field.
    rows_of_field: f64,
    /// Words of the field in all rows.
    words_of_field: f64,
}

/// A word or phrase in a field.
type Key = (String, String);

/// Scores of the rows that one query matches, in whatever tables they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scorer {
    keys: BTreeMap<Key, Counts>,
}

/// A scorer over the fields of one table.
struct Scoring<'a> {
    scope: Scope<'a>,
    counts: &'a BTreeMap<Key, Counts>,
}

impl Scorer {
    /// `fields` are those of all tables together.
    pub(crate) fn new(
        query: &Query,
        fields: &Fields,
        now_nanos: i64,
    ) -> Result<Self, ElasticError> {
        let scoring = Scoring { scope: Scope { fields, now_nanos }, counts: &BTreeMap::new() };
        // Once without counts: which words they are of is what it tells.
        let mut keys = vec![];
        scoring.of(query, &mut keys)?;
        Ok(Self { keys: keys.into_iter().map(|key| (key, Counts::default())).collect() })
    }

    /// The counts over the rows that match; `None` when there is nothing to count.
    pub(crate) fn counting(
        &self,
        matching: LogicalPlan,
        fields: &Fields,
    ) -> Result<Option<LogicalPlan>, ElasticError> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let mut counts = vec![];
        for (at, (field, text)) in self.keys.keys().enumerate() {
            let field = fields.field(field);
            let expr = field.expr.clone();
            let has_it = count(lit(1)).filter(has(&field, text)).build()?;
            counts.push(has_it.alias(format!("rows{at}")));
            counts.push(count(expr.clone()).alias(format!("of_field{at}")));
            let words = match field.kind {
                Kind::Text => sum(functions::word_count(expr)),
                _ => count(expr),
            };
            counts.push(words.alias(format!("words{at}")));
        }
        let plan = LogicalPlanBuilder::from(matching);
        Ok(Some(plan.aggregate(Vec::<Expr>::new(), counts)?.build()?))
    }

    /// Takes the answer of [`Self::counting`].
    pub(crate) fn counted(&mut self, rows: &[RecordBatch]) -> Result<(), ElasticError> {
        let Some(batch) = rows.iter().find(|batch| batch.num_rows() > 0) else { return Ok(()) };
        let mut numbers = vec![];
        for column in batch.columns() {
            let column = cast_array(column, &DataType::Float64)?;
            numbers
                .push(column.as_primitive::<Float64Type>().iter().next().flatten().unwrap_or(0.0));
        }
        for (counts, three) in self.keys.values_mut().zip(numbers.chunks(3)) {
            if let [rows, rows_of_field, words_of_field] = *three {
                *counts = Counts { rows, rows_of_field, words_of_field };
            }
        }
        Ok(())
    }

    /// The score of a row (`Float64`).
    pub(crate) fn score(
        &self,
        query: &Query,
        fields: &Fields,
        now_nanos: i64,
    ) -> Result<Expr, ElasticError> {
        let scoring = Scoring { scope: Scope { fields, now_nanos }, counts: &self.keys };
        scoring.of(query, &mut vec![])
    }
}

fn has(field: &Field, text: &str) -> Expr {
    match field.kind {
        Kind::Text => functions::match_phrase(field.expr.clone(), text),
        _ => field.expr.clone().eq(lit(text)),
    }
}

impl Scoring<'_> {
    /// `keys` takes the words whose counts are asked for.
    fn of(&self, query: &Query, keys: &mut Vec<Key>) -> Result<Expr, ElasticError> {
        Ok(match query {
            Query::MatchNone => lit(0.0),
            Query::MatchAll => lit(1.0),
            Query::Bool(query) => self.of_bool(query, keys)?,
            Query::Match { field, words } => self.of_words(query, field, words, keys)?,
            Query::Phrase { field, text, last_is_prefix: false, .. } => {
                self.of_text(query, field, &functions::words(text).join(" "), keys)?
            }
            Query::Term { field, value, any_case: false, .. } => {
                let text = crate::object::scalar_text(value).unwrap_or_default();
                self.of_text(query, field, &text, keys)?
            }
            Query::AnyField { fields, query, add_scores } => {
                let mut each = vec![];
                for (name, boost) in self.scope.expanded(fields) {
                    each.push(self.of(&query.over(&name), keys)? * lit(boost));
                }
                if *add_scores { total(each) } else { best(each, 0.0) }
            }
            Query::DisMax { queries, tie_breaker } => {
                let each = queries.iter().map(|query| self.of(query, keys));
                best(each.collect::<Result<_, _>>()?, *tie_breaker)
            }
            Query::Boosting { positive, negative, negative_boost } => {
                let score = self.of(positive, keys)?;
                when(self.scope.filter(negative)?, score.clone() * lit(*negative_boost))
                    .otherwise(score)?
            }
            Query::Boost(inner, boost) => self.of(inner, keys)? * lit(*boost),
            Query::Constant(inner) => one_where(self.scope.filter(inner)?)?,
            // Of patterns, ranges and the like Elasticsearch knows no more than that they match.
            _ => one_where(self.scope.filter(query)?)?,
        })
    }

    fn of_bool(&self, query: &Bool, keys: &mut Vec<Key>) -> Result<Expr, ElasticError> {
        let scored = query.must.iter().chain(&query.should);
        let each = scored.map(|query| self.of(query, keys)).collect::<Result<Vec<_>, _>>()?;
        Ok(total(each))
    }

    fn of_words(
        &self,
        query: &Query,
        field: &str,
        words: &Words,
        keys: &mut Vec<Key>,
    ) -> Result<Expr, ElasticError> {
        if self.scope.fields.field(field).kind != Kind::Text || words.fuzziness.is_some() {
            return match words.fuzziness {
                Some(_) => one_where(self.scope.filter(query)?),
                None => self.of_text(query, field, &words.text, keys),
            };
        }
        let all = functions::words(&words.text);
        let each = all.iter().map(|word| self.of_text(query, field, word, keys));
        Ok(total(each.collect::<Result<_, _>>()?))
    }

    fn of_text(
        &self,
        query: &Query,
        name: &str,
        text: &str,
        keys: &mut Vec<Key>,
    ) -> Result<Expr, ElasticError> {
        let field = self.scope.fields.field(name);
        if !matches!(field.kind, Kind::Text | Kind::Keyword | Kind::Attribute) {
            return one_where(self.scope.filter(query)?);
        }
        let key = (name.to_owned(), text.to_owned());
        let counts = self.counts.get(&key).copied().unwrap_or_default();
        keys.push(key);
        let rarity =
            ((counts.rows_of_field - counts.rows + 0.5).max(0.0) / (counts.rows + 0.5)).ln_1p();
        if field.kind != Kind::Text {
            // Once in a field of one value.
            return Ok(one_where(has(&field, text))? * lit(rarity));
        }
        let mean = (counts.words_of_field / counts.rows_of_field.max(1.0)).max(1.0);
        let often = cast(functions::phrase_count(field.expr.clone(), text), DataType::Float64);
        let length = cast(functions::word_count(field.expr.clone()), DataType::Float64);
        let norm = lit(K1 * (1.0 - B)) + length * lit(K1 * B / mean);
        let score = lit(rarity * (K1 + 1.0)) * often.clone() / (often + norm);
        Ok(datafusion::functions::core::expr_fn::coalesce(vec![score, lit(0.0)]))
    }
}

fn one_where(filter: Expr) -> Result<Expr, ElasticError> {
    Ok(when(filter, lit(1.0)).otherwise(lit(0.0))?)
}

fn total(parts: Vec<Expr>) -> Expr {
    parts.into_iter().reduce(|a, b| a + b).unwrap_or_else(|| lit(0.0))
}

/// The best one, and a part of the others.
fn best(parts: Vec<Expr>, tie_breaker: f64) -> Expr {
    if parts.is_empty() {
        return lit(ScalarValue::Float64(Some(0.0)));
    }
    let best = datafusion::functions::core::expr_fn::greatest(parts.clone());
    if tie_breaker == 0.0 {
        return best;
    }
    best.clone() + (total(parts) - best) * lit(tie_breaker)
}
