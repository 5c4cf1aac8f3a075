//! Queries as filters: expressions that are true of the rows that match.
//!
//! Where a field is missing an expression is null; a negation asks whether it is not true.

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, Operator as Op, binary_expr, cast, lit};
use loglake_query::plan_functions as functions;

use super::values::{Scope, and};
use super::{Bool, Fuzziness, Operator, Pattern, Query, Words};
use crate::{ElasticError, Field, Fields, Kind, lucene};

/// Letters of a pattern that are worth asking the index for.
const PART_MIN: usize = 3;

/// The rows that match. `now_nanos` is what `now` in dates means.
///
/// # Errors
/// When a value does not suit its field.
pub fn filter(query: &Query, fields: &Fields, now_nanos: i64) -> Result<Expr, ElasticError> {
    Scope { fields, now_nanos }.filter(query)
}

impl Scope<'_> {
    pub(super) fn filter(&self, query: &Query) -> Result<Expr, ElasticError> {
        Ok(match query {
            Query::MatchAll => lit(true),
            Query::MatchNone => lit(false),
            Query::Bool(query) => self.bool_filter(query)?,
            Query::Match { field, words } => {
                self.leaf(field, words.lenient, |f| self.words(f, words))?
            }
            Query::Phrase { field, text, last_is_prefix, lenient } => {
                self.leaf(field, *lenient, |field| self.phrase(field, text, *last_is_prefix))?
            }
            Query::Term { field, value, any_case, lenient } => {
                self.leaf(field, *lenient, |field| self.equals(field, value, *any_case))?
            }
            Query::Terms { field, values } => self.terms(&self.fields.field(field), values)?,
            Query::Range { field, range } => {
                self.leaf(field, range.lenient, |field| self.in_range(field, range))?
            }
            Query::Exists { field } => self.exists(field),
            Query::Ids(ids) => self.fields.has_id(ids),
            Query::Pattern { field, pattern, any_case, lenient } => {
                self.leaf(field, *lenient, |field| self.pattern(field, pattern, *any_case))?
            }
            Query::Fuzzy { field, value, fuzziness } => {
                self.fuzzy(&self.fields.field(field), value, *fuzziness)
            }
            Query::AnyField { fields, query, .. } => self.any_field(fields, query)?,
            Query::Constant(inner) | Query::Boost(inner, _) => self.filter(inner)?,
            Query::DisMax { queries, .. } => any(self.all(queries)?),
            Query::Boosting { positive, .. } => self.filter(positive)?,
        })
    }

    fn all(&self, queries: &[Query]) -> Result<Vec<Expr>, ElasticError> {
        queries.iter().map(|query| self.filter(query)).collect()
    }

    fn leaf(
        &self,
        field: &str,
        lenient: bool,
        make: impl FnOnce(&Field) -> Result<Expr, ElasticError>,
    ) -> Result<Expr, ElasticError> {
        match make(&self.fields.field(field)) {
            Err(_) if lenient => Ok(lit(false)),
            made => made,
        }
    }

    fn bool_filter(&self, query: &Bool) -> Result<Expr, ElasticError> {
        let mut whole = lit(true);
        for part in self.all(&query.must)?.into_iter().chain(self.all(&query.filter)?) {
            whole = and(whole, part);
        }
        let (should, needed) = (self.all(&query.should)?, query.needed());
        if needed > 0 {
            whole = and(whole, at_least(needed, should));
        }
        for part in self.all(&query.must_not)? {
            whole = and(whole, not_true(part));
        }
        Ok(whole)
    }

    pub(super) fn any_field(
        &self,
        fields: &[(String, f64)],
        query: &Query,
    ) -> Result<Expr, ElasticError> {
        let each =
            self.expanded(fields).into_iter().map(|(name, _)| self.filter(&query.over(&name)));
        Ok(any(each.collect::<Result<_, _>>()?))
    }

    /// The fields that names and patterns mean.
    pub(super) fn expanded(&self, fields: &[(String, f64)]) -> Vec<(String, f64)> {
        let mut expanded = vec![];
        for (name, boost) in fields {
            if name.contains('*') {
                let columns = self.fields.columns().into_iter().map(|(name, _)| name);
                let fitting = columns.filter(|column| lucene::wildcard_is_match(name, column));
                expanded.extend(fitting.map(|column| (column, *boost)));
            } else {
                expanded.push((name.clone(), *boost));
            }
        }
        expanded
    }

    fn words(&self, field: &Field, words: &Words) -> Result<Expr, ElasticError> {
        if field.kind != Kind::Text {
            return match words.fuzziness {
                Some(fuzziness) if matches!(field.kind, Kind::Keyword | Kind::Attribute) => {
                    Ok(self.fuzzy(field, &words.text, fuzziness))
                }
                _ if words.last_is_prefix
                    && matches!(field.kind, Kind::Keyword | Kind::Attribute) =>
                {
                    self.pattern(field, &Pattern::Prefix(words.text.clone()), false)
                }
                _ => self.equals(field, &words.text.clone().into(), false),
            };
        }
        let all = functions::words(&words.text);
        let expr = || field.expr.clone();
        if all.is_empty() {
            return Ok(lit(words.zero_is_all));
        }
        let is_plain =
            words.fuzziness.is_none() && !words.last_is_prefix && words.minimum.is_none();
        if is_plain && (words.operator == Operator::And || all.len() == 1) {
            return Ok(functions::match_all_words(expr(), &all.join(" ")));
        }
        let last = all.len() - 1;
        let each: Vec<Expr> = all
            .iter()
            .enumerate()
            .map(|(at, word)| match words.fuzziness {
                _ if words.last_is_prefix && at == last => {
                    functions::match_phrase_prefix(expr(), word)
                }
                Some(fuzziness) if fuzziness.edits_for(word) > 0 => functions::match_fuzzy(
                    expr(),
                    word,
                    fuzziness.edits_for(word),
                    fuzziness.prefix,
                ),
                _ => functions::match_all_words(expr(), word),
            })
            .collect();
        let needed = match (words.operator, &words.minimum) {
            (Operator::And, _) => each.len(),
            (Operator::Or, Some(minimum)) => minimum.of(each.len()).max(1),
            (Operator::Or, None) => 1,
        };
        Ok(at_least(needed, each))
    }

    fn phrase(
        &self,
        field: &Field,
        text: &str,
        last_is_prefix: bool,
    ) -> Result<Expr, ElasticError> {
        match field.kind {
            Kind::Text if functions::words(text).is_empty() => Ok(lit(false)),
            Kind::Text if last_is_prefix => {
                Ok(functions::match_phrase_prefix(field.expr.clone(), text))
            }
            Kind::Text => Ok(functions::match_phrase(field.expr.clone(), text)),
            Kind::Keyword | Kind::Attribute if last_is_prefix => {
                self.pattern(field, &Pattern::Prefix(text.to_owned()), false)
            }
            _ => self.equals(field, &text.into(), false),
        }
    }

    fn terms(&self, field: &Field, values: &[serde_json::Value]) -> Result<Expr, ElasticError> {
        let is_one_list =
            matches!(field.kind, Kind::Keyword | Kind::Long) && field.name != crate::fields::ID;
        let each = values.iter().map(|value| self.equals(field, value, false));
        let each: Vec<Expr> = each.collect::<Result<_, _>>()?;
        if !is_one_list || each.len() < 2 {
            return Ok(any(each));
        }
        // `a = 1 or a = 2` as `a in (1, 2)`.
        let literals = each.into_iter().filter_map(|each| match each {
            Expr::BinaryExpr(equal) => Some(*equal.right),
            _ => None,
        });
        Ok(field.expr.clone().in_list(literals.collect(), false))
    }

    fn exists(&self, name: &str) -> Expr {
        if ["_id", "_index", "_source"].contains(&name) {
            return lit(true);
        }
        let own = self.fields.field(name);
        let below = format!("{}.", own.name);
        let columns = self.fields.columns().into_iter().filter(|(column, _)| {
            if name.contains('*') {
                lucene::wildcard_is_match(name, column)
            } else {
                column.starts_with(&below)
            }
        });
        let columns = columns.map(|(column, _)| self.fields.field(&column).expr.is_not_null());
        any([own.expr.is_not_null()].into_iter().chain(columns).collect())
    }

    fn pattern(
        &self,
        field: &Field,
        pattern: &Pattern,
        any_case: bool,
    ) -> Result<Expr, ElasticError> {
        let (regex, part) = match pattern {
            Pattern::Wildcard(text) => (lucene::wildcard(text), lucene::longest_literal(text)),
            Pattern::Prefix(text) => (format!("{}.*", lucene::literal(text)), text.clone()),
            Pattern::Regexp(text) => (lucene::regexp(text)?, String::new()),
        };
        let expr = || field.expr.clone();
        let cased = |regex: &str| if any_case { format!("(?i:{regex})") } else { regex.to_owned() };
        Ok(match (field.kind, pattern) {
            (Kind::Text, _) => {
                // Words are in lower case. Elasticsearch makes wildcards so, and no others.
                let lowered = match pattern {
                    Pattern::Wildcard(text) => lucene::wildcard(&text.to_lowercase()),
                    _ => cased(&regex),
                };
                let matches = functions::match_words(expr(), &lowered);
                let is_within_a_word = !part.is_empty() && part.chars().all(char::is_alphanumeric);
                let has_part = || expr().ilike(lit(format!("%{part}%")));
                match pattern {
                    // No word more is asked for than one with this part.
                    Pattern::Wildcard(text) if is_within_a_word && *text == format!("*{part}*") => {
                        has_part()
                    }
                    // For the index, which knows parts of words.
                    _ if is_within_a_word && part.chars().count() >= PART_MIN => {
                        has_part().and(matches)
                    }
                    _ => matches,
                }
            }
            (Kind::Keyword, Pattern::Prefix(text)) if !any_case => {
                datafusion::functions::expr_fn::starts_with(expr(), lit(text.clone()))
            }
            (Kind::Keyword, Pattern::Wildcard(text)) if lucene::like(text).is_some() => {
                let like = lit(lucene::like(text).unwrap_or_default());
                if any_case { expr().ilike(like) } else { expr().like(like) }
            }
            (Kind::Keyword, _) => {
                binary_expr(expr(), Op::RegexMatch, lit(format!("^(?s:{})$", cased(&regex))))
            }
            (Kind::Attribute, _) => {
                functions::attribute_matches(self.fields.attributes(), &field.name, &cased(&regex))
            }
            _ => {
                return Err(ElasticError::query_shard(format!(
                    "Can only use wildcard, prefix and regexp queries on keyword and text fields - not \
                     on [{}] which is of type [{}]",
                    field.name,
                    field.kind.name()
                )));
            }
        })
    }

    fn fuzzy(&self, field: &Field, value: &str, fuzziness: Fuzziness) -> Expr {
        let edits = fuzziness.edits_for(value);
        match field.kind {
            Kind::Text => {
                functions::match_fuzzy(field.expr.clone(), value, edits, fuzziness.prefix)
            }
            _ => functions::is_fuzzy(self.fields.text(&field.name), value, edits, fuzziness.prefix),
        }
    }
}

/// At least one of them.
pub(super) fn any(parts: Vec<Expr>) -> Expr {
    parts.into_iter().reduce(Expr::or).unwrap_or_else(|| lit(false))
}

fn not_true(part: Expr) -> Expr {
    Expr::IsNotTrue(Box::new(part))
}

/// At least so many of them.
fn at_least(needed: usize, parts: Vec<Expr>) -> Expr {
    match needed {
        0 => lit(true),
        n if n > parts.len() => lit(false),
        1 => any(parts),
        n if n == parts.len() => parts.into_iter().reduce(and).unwrap_or_else(|| lit(true)),
        n => {
            let one = |part: &Expr| cast(Expr::IsTrue(Box::new(part.clone())), DataType::Int64);
            let sum = parts.iter().map(one).reduce(|a, b| a + b).unwrap_or_else(|| lit(0_i64));
            // Any of them, for the index.
            any(parts).and(sum.gt_eq(lit(n as i64)))
        }
    }
}
