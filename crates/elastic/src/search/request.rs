//! Bodies of searches, and the URL's parameters that say the same.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::after::After;
use crate::aggs::Aggs;
use crate::hits::HitOptions;
use crate::object::Object;
use crate::query::{Bool, Query};
use crate::sort::{Sort, SortBy};
use crate::{ElasticError, aggs, dates, query};

/// `from` and `size` of a search, together.
const WINDOW_MAX: usize = 10_000;
const SIZE_USUAL: usize = 10;
/// Matching rows are counted up to here when nothing is said.
const TOTAL_USUAL: usize = 10_000;

/// Keys that Elasticsearch has and loglake does not.
const UNSUPPORTED: &[&str] = &[
    "collapse",
    "derived",
    "indices_boost",
    "knn",
    "min_compatible_shard_node",
    "rank",
    "rescore",
    "retriever",
    "slice",
    "sub_searches",
    "suggest",
];

/// Keys that only say something when they hold something.
const ONLY_EMPTY: &[&str] = &["script_fields", "runtime_mappings", "explain", "profile"];

/// Keys that say nothing here.
const PASSED_OVER: &[&str] = &["ext", "stats", "terminate_after", "include_named_queries_score"];

/// A search: its body and the URL's parameters together.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// As it came, for tokens of scrolls.
    pub body: Value,
    url: Vec<(String, String)>,
}

/// How many matching rows are counted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Total {
    Exact,
    UpTo(usize),
    None,
    /// By an earlier page.
    Known(Option<(u64, String)>),
}

/// A search that was understood.
pub(super) struct Search {
    /// What `lake.queries` shows.
    pub(super) text: String,
    pub(super) query: Query,
    /// Of the hits alone.
    pub(super) post_filter: Option<Query>,
    pub(super) sort: Sort,
    /// Whether the request says how hits are ordered.
    pub(super) is_sorted: bool,
    pub(super) from: usize,
    pub(super) size: usize,
    search_after: Option<Vec<Value>>,
    pub(super) hits: HitOptions,
    pub(super) total: Total,
    /// With their body.
    pub(super) aggs: Option<(Aggs, Value)>,
    pub(super) timeout: Option<Duration>,
    pub(super) min_score: Option<f64>,
    track_scores: bool,
    pub(super) typed_keys: bool,
    pub(super) total_as_int: bool,
    /// The id of a point in time.
    pub(super) pit: Option<String>,
    pub(super) is_scrolled: bool,
    /// Where the last page of a scroll ended.
    pub(super) continued: Option<After>,
}

impl SearchRequest {
    /// Of a body (`Value::Null` for none) and the URL's parameters, decoded. Parameters that say
    /// nothing about a search (`pretty`, `filter_path`, `ignore_unavailable`, `scroll`, `preference`)
    /// are passed over: the doors know them.
    ///
    /// Known: `q`, `df`, `default_operator`, `analyze_wildcard`, `lenient`, `size`, `from`, `sort`,
    /// `_source`, `_source_includes`, `_source_excludes`, `stored_fields`, `docvalue_fields`,
    /// `track_total_hits`, `track_scores`, `rest_total_hits_as_int`, `typed_keys`, `timeout`,
    /// `terminate_after`, `search_type`, `version`, `seq_no_primary_term`, `explain`.
    ///
    /// # Errors
    /// When something in it is unknown or not supported, as Elasticsearch says it.
    pub fn parse(body: Value, url: &[(String, String)]) -> Result<Self, ElasticError> {
        let request = Self { body, url: url.to_vec() };
        request.understood(0)?;
        Ok(request)
    }

    /// The id of a point in time when the body has one: then no index may be named in the URL, and
    /// the tables are in the id.
    pub fn point_in_time(&self) -> Option<&str> {
        self.body.get("pit")?.get("id")?.as_str()
    }

    pub(super) fn url(&self) -> &[(String, String)] {
        &self.url
    }

    pub(super) fn only_query(&self) -> Result<(), ElasticError> {
        let Value::Object(members) = &self.body else { return Ok(()) };
        match members.keys().find(|key| *key != "query") {
            None => Ok(()),
            Some(key) => Err(ElasticError::parsing(format!("request does not support [{key}]"))),
        }
    }

    /// The members of the body, with those of the URL in their places.
    fn members(&self) -> Result<Map<String, Value>, ElasticError> {
        let mut members = match &self.body {
            Value::Null => Map::new(),
            Value::Object(members) => members.clone(),
            _ => {
                return Err(ElasticError::parsing("Expected [START_OBJECT] in the request's body"));
            }
        };
        let mut words = Map::new();
        let list = |text: &str| json!(text.split(',').collect::<Vec<_>>());
        for (name, value) in &self.url {
            let key = name.as_str();
            match key {
                "q" => drop(words.insert("query".to_owned(), json!(value))),
                "df" => drop(words.insert("default_field".to_owned(), json!(value))),
                "default_operator" | "analyze_wildcard" | "lenient" => {
                    words.insert(name.clone(), json!(value));
                }
                "size" | "from" | "track_scores" | "timeout" | "track_total_hits" => {
                    members.insert(name.clone(), json!(value));
                }
                "version" | "seq_no_primary_term" | "explain" => {
                    members.insert(name.clone(), json!(value != "false"));
                }
                "_source" => {
                    let is_truth = value == "true" || value == "false";
                    members.insert(name.clone(), if is_truth { json!(value) } else { list(value) });
                }
                "_source_includes" | "_source_include" | "_source_excludes" | "_source_exclude" => {
                    let source = members.entry("_source").or_insert_with(|| json!({}));
                    if !source.is_object() {
                        *source = json!({ "includes": source.as_array() });
                    }
                    source[key.trim_start_matches("_source_")] = list(value);
                }
                "stored_fields" | "docvalue_fields" => {
                    drop(members.insert(name.clone(), list(value)))
                }
                _ => {}
            }
        }
        if words.contains_key("query") {
            members.insert("query".to_owned(), json!({ "query_string": words }));
        }
        Ok(members)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.url.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn is_set(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value != "false")
    }

    pub(super) fn understood(&self, _now_nanos: i64) -> Result<Search, ElasticError> {
        let mut members = self.members()?;
        for key in UNSUPPORTED {
            if members.get(*key).is_some_and(|value| !value.is_null()) {
                return Err(ElasticError::unsupported(format!("[{key}] of searches")));
            }
            members.remove(*key);
        }
        for key in ONLY_EMPTY {
            match members.remove(*key) {
                Some(Value::Object(held)) if !held.is_empty() => {
                    return Err(ElasticError::unsupported(format!("[{key}] of searches")));
                }
                Some(Value::Bool(true)) => {
                    return Err(ElasticError::unsupported(format!("[{key}] of searches")));
                }
                _ => {}
            }
        }
        let mut hits = HitOptions::take(&mut members)?;
        let mut object = Object::new("[search]", &Value::Object(members))?;
        object.pass_over(PASSED_OVER);
        let query = object.take("query");
        let query = query.as_ref().map_or(Ok(Query::MatchAll), query::parse)?;
        hits.mark(&query);
        let post_filter = object.take("post_filter");
        let body = object.take("aggs").or_else(|| object.take("aggregations"));
        let aggs = match body.filter(|body| body.as_object().is_none_or(|held| !held.is_empty())) {
            Some(body) => Some((aggs::parse(&body)?, body)),
            None => None,
        };
        let (sort, is_sorted) = self.sort(&mut object)?;
        let mut search = Search {
            text: format!("_search {}", self.body),
            query,
            post_filter: post_filter.as_ref().map(query::parse).transpose()?,
            sort,
            is_sorted,
            from: window(&mut object, "from")?.unwrap_or(0),
            size: window(&mut object, "size")?.unwrap_or(SIZE_USUAL),
            search_after: after_values(&mut object)?,
            hits,
            total: self.total(&mut object)?,
            aggs,
            timeout: timeout(&mut object)?,
            min_score: object.number("min_score")?,
            track_scores: object.truth("track_scores")?.unwrap_or(false),
            typed_keys: self.is_set("typed_keys"),
            total_as_int: self.is_set("rest_total_hits_as_int"),
            pit: pit(&mut object)?,
            is_scrolled: false,
            continued: None,
        };
        if let Some(key) = object.keys().next() {
            return Err(ElasticError::parsing(format!("Unknown key for a value in [{key}].")));
        }
        search.check()?;
        search.unscored_as_filters();
        Ok(search)
    }

    fn sort(&self, object: &mut Object) -> Result<(Sort, bool), ElasticError> {
        let body = object.take("sort");
        let sort = match (self.parameter("sort"), &body) {
            (Some(text), _) => Sort::of_url(text)?,
            (None, Some(body)) => Sort::parse(body)?,
            (None, None) => Sort::default(),
        };
        Ok(if sort.0.is_empty() { (Sort::newest(), false) } else { (sort, true) })
    }

    fn total(&self, object: &mut Object) -> Result<Total, ElasticError> {
        let total = match object.text("track_total_hits")?.as_deref() {
            None => Total::UpTo(TOTAL_USUAL),
            Some("true") => Total::Exact,
            Some("false") => Total::None,
            Some(number) => match number.parse::<i64>() {
                Ok(-1) => Total::None,
                Ok(number) if number >= 0 => {
                    Total::UpTo(usize::try_from(number).unwrap_or(usize::MAX - 1))
                }
                _ => {
                    return Err(ElasticError::illegal_argument(format!(
                        "[track_total_hits] parameter must be positive or equals to -1, got {number}"
                    )));
                }
            },
        };
        let as_int = self.is_set("rest_total_hits_as_int");
        Ok(if as_int && total != Total::None { Total::Exact } else { total })
    }
}

fn window(object: &mut Object, key: &str) -> Result<Option<usize>, ElasticError> {
    let Some(number) = object.whole(key)? else { return Ok(None) };
    usize::try_from(number).map(Some).map_err(|_| {
        ElasticError::illegal_argument(format!(
            "[{key}] parameter cannot be negative, found [{number}]"
        ))
    })
}

fn after_values(object: &mut Object) -> Result<Option<Vec<Value>>, ElasticError> {
    match object.take("search_after") {
        None => Ok(None),
        Some(Value::Array(values)) if !values.is_empty() => Ok(Some(values)),
        Some(Value::Array(_)) => {
            Err(ElasticError::illegal_argument("Values must contains at least one value."))
        }
        Some(other) => Err(object.wrong("search_after", &other)),
    }
}

fn timeout(object: &mut Object) -> Result<Option<Duration>, ElasticError> {
    let Some(text) = object.text("timeout")? else { return Ok(None) };
    if text == "-1" {
        return Ok(None);
    }
    let nanos = dates::fixed_interval(&text, "timeout")?;
    Ok(Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))))
}

fn pit(object: &mut Object) -> Result<Option<String>, ElasticError> {
    let Some(body) = object.take("pit") else { return Ok(None) };
    let mut pit = Object::new("[pit]", &body)?;
    let id = pit.needed("id")?;
    pit.pass_over(&["keep_alive"]);
    pit.finish()?;
    Ok(Some(id))
}

impl Search {
    fn check(&self) -> Result<(), ElasticError> {
        if self.from + self.size > WINDOW_MAX {
            return Err(ElasticError::illegal_argument(format!(
                "Result window is too large, from + size must be less than or equal to: [{WINDOW_MAX}] but \
                 was [{}]. See the scroll api for a more efficient way to request large data sets.",
                self.from + self.size
            )));
        }
        if self.search_after.is_some() && self.from > 0 {
            return Err(ElasticError::illegal_argument(
                "`from` parameter must be set to 0 when `search_after` is used.",
            ));
        }
        if self.search_after.is_some() && !self.is_sorted && self.pit.is_none() {
            return Err(ElasticError::illegal_argument(
                "Sort must contain at least one field when using search_after.",
            ));
        }
        Ok(())
    }

    /// Whether hits have scores.
    pub(super) fn is_scored(&self) -> bool {
        let by_score = self.sort.0.iter().any(|key| key.by == SortBy::Score);
        self.track_scores || self.min_score.is_some() || by_score
    }

    /// A clause that only adds to the score is none where nobody asks for it.
    fn unscored_as_filters(&mut self) {
        if self.is_scored() {
            return;
        }
        if let Query::Bool(query) = &mut self.query {
            let Bool { must, filter, should, minimum, .. } = query.as_mut();
            let only_scores = minimum.is_none() && !(must.is_empty() && filter.is_empty());
            if only_scores {
                should.clear();
            }
        }
    }

    /// Whether pages follow one after the other without a row lost or shown twice.
    pub(super) const fn is_paged(&self) -> bool {
        self.is_scrolled || self.pit.is_some()
    }

    /// How many rows match, if so many hits tell it: a page that is not full has the last of them.
    pub(super) fn total_of_page(&self, hits: usize) -> Option<(u64, String)> {
        let bound = match self.total {
            Total::Exact => usize::MAX,
            Total::UpTo(bound) => bound,
            Total::None | Total::Known(_) => return None,
        };
        let is_counted_from_start = self.search_after.is_none() && self.continued.is_none();
        let is_last = hits < self.size && (hits > 0 || self.from == 0);
        let count = self.from + hits;
        (is_counted_from_start && is_last).then(|| match count > bound {
            true => (bound as u64, "gte".to_owned()),
            false => (count as u64, "eq".to_owned()),
        })
    }

    /// Where this page begins, in the order of `sort`: the whole order with its ties.
    pub(super) fn after(&self, sort: &Sort) -> Result<Option<After>, ElasticError> {
        if let Some(place) = &self.continued {
            return Ok(Some(place.clone()));
        }
        let Some(values) = &self.search_after else { return Ok(None) };
        let mismatch = || {
            ElasticError::illegal_argument(format!(
                "search_after has {} value(s) but sort has {}.",
                values.len(),
                self.sort.0.len() + usize::from(self.is_paged())
            ))
        };
        if !self.is_paged() {
            return match values.len() == sort.0.len() {
                true => Ok(Some(After { values: values.clone(), inclusive: false, skip: 0 })),
                false => Err(mismatch()),
            };
        }
        if values.len() != self.sort.0.len() + 1 {
            return Err(mismatch());
        }
        let (tie, own) = values.split_last().ok_or_else(mismatch)?;
        let (time, seen, id) = super::answer::read_tie(tie).ok_or_else(mismatch)?;
        let values = own.iter().cloned().chain([json!(time), json!(id)]).collect();
        Ok(Some(After { values, inclusive: true, skip: seen + 1 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_not_full_tells_the_total() {
        let total = |body: Value, hits| {
            let request = SearchRequest::parse(body, &[]).unwrap();
            let total = request.understood(0).unwrap().total_of_page(hits);
            total.map(|(count, relation)| format!("{count} {relation}"))
        };
        assert_eq!(total(json!({ "size": 5 }), 4).as_deref(), Some("4 eq"));
        assert_eq!(total(json!({ "size": 5 }), 0).as_deref(), Some("0 eq"));
        assert_eq!(total(json!({ "size": 5, "from": 7 }), 1).as_deref(), Some("8 eq"));
        let bounded = json!({ "size": 5, "from": 7, "track_total_hits": 3 });
        assert_eq!(total(bounded, 1).as_deref(), Some("3 gte"));
        // There may be more, or fewer.
        for (body, hits) in [
            (json!({ "size": 5 }), 5),
            (json!({ "size": 0 }), 0),
            (json!({ "size": 5, "from": 7 }), 0),
            (json!({ "size": 5, "sort": "n", "search_after": [1] }), 1),
            (json!({ "size": 5, "track_total_hits": false }), 1),
        ] {
            assert_eq!(total(body.clone(), hits), None, "{body}");
        }
    }
}
