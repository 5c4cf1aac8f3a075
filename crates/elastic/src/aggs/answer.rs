//! The answers as a tree, and as the JSON that Elasticsearch has for them.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::keys::Key;
use super::request::{Direction, Order, OrderBy};

/// The answer of one aggregation.
#[derive(Clone, Debug)]
pub(super) struct Sub {
    pub name: String,
    pub meta: Option<Value>,
    /// As `typed_keys` name it.
    pub typed: &'static str,
    pub answer: Answer,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A metric's object.
    Metric(Value),
    Single(Bucket),
    Many(Many),
}

#[derive(Clone, Debug)]
pub(super) struct Many {
    pub buckets: Vec<Bucket>,
    /// Whether buckets are an object by their names.
    pub keyed: bool,
    /// What is beside the buckets.
    pub beside: Vec<(&'static str, Value)>,
}

#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Where buckets are an object.
    pub name: String,
    pub keys: Vec<Key>,
    /// `key`, `key_as_string`, `from`, ….
    pub head: Vec<(String, Value)>,
    pub count: u64,
    pub subs: Vec<Sub>,
}

impl Bucket {
    pub fn new(name: String, keys: Vec<Key>) -> Self {
        Self { name, keys, head: vec![], count: 0, subs: vec![] }
    }

    fn json(&self, typed: bool) -> Value {
        let mut object = Map::new();
        for (key, value) in &self.head {
            object.insert(key.clone(), value.clone());
        }
        object.insert("doc_count".to_owned(), json!(self.count));
        put(&mut object, &self.subs, typed);
        Value::Object(object)
    }

    pub fn sub(&self, name: &str) -> Option<&Sub> {
        self.subs.iter().find(|sub| sub.name == name)
    }

    /// A number of it: `_count`, `_key`, a metric or one of its values, also deeper, below a bucket
    /// that is the only one of its aggregation.
    pub fn number(&self, path: &str) -> Option<f64> {
        match path {
            "_count" | "doc_count" => return Some(self.count as f64),
            "_key" => return self.keys.first()?.number(),
            _ => {}
        }
        let (step, rest) = match path.split_once('>') {
            Some((step, rest)) => (step, Some(rest)),
            None => (path, None),
        };
        if let Some(rest) = rest {
            return match &self.sub(step)?.answer {
                Answer::Single(bucket) => bucket.number(rest),
                _ => None,
            };
        }
        if let Some(sub) = self.sub(step) {
            return sub.number(None);
        }
        let dots = step.match_indices('.').map(|(at, _)| at);
        let mut splits = dots.map(|at| (&step[..at], &step[at + 1..]));
        splits.find_map(|(name, property)| self.sub(name)?.number(Some(property)))
    }
}

impl Sub {
    fn number(&self, property: Option<&str>) -> Option<f64> {
        match &self.answer {
            Answer::Metric(value) => metric_number(value, property),
            Answer::Single(bucket) => match property {
                None | Some("_count" | "doc_count") => Some(bucket.count as f64),
                Some(_) => None,
            },
            // `histogram._bucket_count`
            Answer::Many(many) => {
                (property == Some("_bucket_count")).then_some(many.buckets.len() as f64)
            }
        }
    }
}

/// One of a metric's numbers; of percentiles by their percent.
fn metric_number(value: &Value, property: Option<&str>) -> Option<f64> {
    let Some(property) = property else { return value.get("value")?.as_f64() };
    if let Some(found) = value.get(property).and_then(Value::as_f64) {
        return Some(found);
    }
    let wanted: f64 = property.parse().ok()?;
    match value.get("values")? {
        Value::Object(values) => values
            .iter()
            .find(|(key, _)| key.parse::<f64>().is_ok_and(|key| key == wanted))
            .and_then(|(_, value)| value.as_f64()),
        Value::Array(values) => values
            .iter()
            .find(|point| point.get("key").and_then(Value::as_f64) == Some(wanted))
            .and_then(|point| point.get("value")?.as_f64()),
        _ => None,
    }
}

/// The answers by name, `type#name` when keys are typed.
pub(super) fn json_of(subs: &[Sub], typed: bool) -> Value {
    let mut object = Map::new();
    put(&mut object, subs, typed);
    Value::Object(object)
}

fn put(object: &mut Map<String, Value>, subs: &[Sub], typed: bool) {
    for sub in subs {
        let name = if typed { format!("{}#{}", sub.typed, sub.name) } else { sub.name.clone() };
        let mut answer = match &sub.answer {
            Answer::Metric(value) => value.clone(),
            Answer::Single(bucket) => bucket.json(typed),
            Answer::Many(many) => many.json(typed),
        };
        if let (Some(meta), Value::Object(answer)) = (&sub.meta, &mut answer) {
            answer.insert("meta".to_owned(), meta.clone());
        }
        object.insert(name, answer);
    }
}

impl Many {
    pub fn new(buckets: Vec<Bucket>, keyed: bool) -> Self {
        Self { buckets, keyed, beside: vec![] }
    }

    fn json(&self, typed: bool) -> Value {
        let mut object = Map::new();
        for (key, value) in &self.beside {
            object.insert((*key).to_owned(), value.clone());
        }
        let buckets = match self.keyed {
            true => {
                let named = self.buckets.iter();
                Value::Object(
                    named.map(|bucket| (bucket.name.clone(), bucket.json(typed))).collect(),
                )
            }
            false => self.buckets.iter().map(|bucket| bucket.json(typed)).collect(),
        };
        object.insert("buckets".to_owned(), buckets);
        Value::Object(object)
    }
}

/// Sorts by an order; what has no number comes last either way.
pub(super) fn sort(buckets: &mut [Bucket], order: &Order) {
    buckets.sort_by(|a, b| {
        let mut found = Ordering::Equal;
        for (by, direction) in order {
            let descending = *direction == Direction::Descending;
            found = match by {
                OrderBy::Count => turned(a.count.cmp(&b.count), descending),
                OrderBy::Key => turned(a.keys.cmp(&b.keys), descending),
                OrderBy::Metric(path) => by_number(a.number(path), b.number(path), descending),
            };
            if found != Ordering::Equal {
                break;
            }
        }
        found
    });
}

pub(super) fn by_number(a: Option<f64>, b: Option<f64>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => turned(a.total_cmp(&b), descending),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

fn turned(ordering: Ordering, descending: bool) -> Ordering {
    if descending { ordering.reverse() } else { ordering }
}
