//! The answer of a search as JSON.

use serde_json::{Map, Value, json};

use super::request::Search;
use super::token::Cursor;
use super::with_ties;
use crate::ElasticError;
use crate::dates::{DateFormat, Zone};
use crate::sort::{Sort, SortBy};

/// One page of hits, and what was counted.
#[derive(Default)]
pub(super) struct Page {
    pub(super) took: u64,
    pub(super) tables: usize,
    pub(super) total_as_int: bool,
    pub(super) total: Option<(u64, String)>,
    pub(super) hits: Vec<Value>,
    max_score: Option<f64>,
    aggs: Option<Value>,
    /// All keys of the last hit, and how many rows before it had the same ones.
    end: Option<(Vec<Value>, usize)>,
}

impl Page {
    /// Of hits whose `sort` has the values of all keys that they were ordered by.
    pub(super) fn new(
        search: &Search,
        hits: Vec<Value>,
        total: Option<(u64, String)>,
        aggs: Option<Value>,
    ) -> Result<Self, ElasticError> {
        let by_score = search.sort.0.iter().any(|key| key.by == SortBy::Score);
        let scores = hits.iter().filter_map(|hit| hit["_score"].as_f64());
        let max_score =
            scores.fold(None, |max: Option<f64>, score| Some(max.map_or(score, |m| m.max(score))));
        let mut page = Self {
            total,
            aggs,
            max_score: max_score.filter(|_| by_score || search.is_scored()),
            ..Self::default()
        };
        let mut seen = if search.is_paged() { Seen::before(search)? } else { Seen::default() };
        for mut hit in hits {
            let keys = match hit["sort"].take() {
                Value::Array(keys) => keys,
                _ => vec![],
            };
            let before = seen.same_as(&keys);
            show_sort(&mut hit, search, &keys, before)?;
            page.end = Some((keys, before));
            page.hits.push(hit);
        }
        Ok(page)
    }

    pub(super) fn answer(self) -> Value {
        let mut hits = Map::new();
        if let Some((count, relation)) = &self.total {
            let total = match self.total_as_int {
                true => json!(count),
                false => json!({ "value": count, "relation": relation }),
            };
            hits.insert("total".to_owned(), total);
        } else if self.total_as_int {
            hits.insert("total".to_owned(), json!(-1));
        }
        hits.insert("max_score".to_owned(), json!(self.max_score));
        hits.insert("hits".to_owned(), Value::Array(self.hits));
        let mut answer = json!({
            "took": self.took,
            "timed_out": false,
            "_shards": shards(self.tables),
            "hits": hits,
        });
        if let Some(aggs) = self.aggs {
            answer["aggregations"] = aggs;
        }
        answer
    }

    pub(super) fn answer_of_scroll(self, mut cursor: Cursor) -> Value {
        if let Some((values, before)) = &self.end {
            cursor.after.clone_from(values);
            cursor.skip = before + 1;
        }
        cursor.total.clone_from(&self.total);
        let mut answer = self.answer();
        answer["_scroll_id"] = json!(cursor.write());
        answer
    }
}

/// Every table is one shard.
pub(super) fn shards(tables: usize) -> Value {
    json!({ "total": tables, "successful": tables, "skipped": 0, "failed": 0 })
}

/// How many rows before one had the same keys.
#[derive(Default)]
struct Seen {
    keys: Vec<Value>,
    count: usize,
}

impl Seen {
    /// Those of the pages before.
    fn before(search: &Search) -> Result<Self, ElasticError> {
        let after = search.after(&with_ties(&search.sort))?;
        let seen = after.map(|after| Self { keys: after.values, count: after.skip });
        Ok(seen.unwrap_or_default())
    }

    fn same_as(&mut self, keys: &[Value]) -> usize {
        if self.keys != keys {
            self.keys = keys.to_vec();
            self.count = 0;
        }
        self.count += 1;
        self.count - 1
    }
}

fn show_sort(
    hit: &mut Value,
    search: &Search,
    keys: &[Value],
    before: usize,
) -> Result<(), ElasticError> {
    let Value::Object(members) = hit else { return Ok(()) };
    if !search.is_sorted && search.pit.is_none() {
        members.remove("sort");
        return Ok(());
    }
    let own = search.sort.0.len();
    let mut shown = shown_keys(&search.sort, keys)?;
    if let (true, Some([time, id])) = (search.pit.is_some(), keys.get(own..)) {
        shown.push(json!(tie(time.as_i64().unwrap_or(0), before, id.as_str().unwrap_or_default())));
    }
    members.insert("sort".to_owned(), Value::Array(shown));
    Ok(())
}

fn shown_keys(sort: &Sort, keys: &[Value]) -> Result<Vec<Value>, ElasticError> {
    let mut shown = vec![];
    for (key, value) in sort.0.iter().zip(keys) {
        shown.push(match (&key.format, &key.by, value.as_i64()) {
            (Some(format), SortBy::Field(_), Some(nanos)) => {
                json!(DateFormat::parse(format)?.format_full(nanos, Zone::UTC))
            }
            _ => value.clone(),
        });
    }
    Ok(shown)
}

/// What tells rows apart that are equal in all that they were sorted by.
fn tie(time: i64, before: usize, id: &str) -> String {
    format!("{time}:{before}:{id}")
}

pub(super) fn read_tie(value: &Value) -> Option<(i64, usize, String)> {
    let mut parts = value.as_str()?.splitn(3, ':');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.to_owned()))
}
