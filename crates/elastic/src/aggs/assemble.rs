//! What plans found, put together into the tree of answers.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::answer::{Answer, Bucket, Many, Sub, sort};
use super::keys::{Key, Real};
use super::metrics::{Shown, nanos};
use super::numbers::plain;
use super::request::{
    Agg, Buckets, Composite, DateHistogram, Filters, Histogram, Kind, OrderBy, Ranges, Source,
    Terms,
};
use super::table::{Found, Table, Within};
use super::tree::Node;
use super::{composite, grouping, histogram, pipeline, ranges};
use crate::dates::Zone;
use crate::{Context, ElasticError, Fields};

type Result<T> = std::result::Result<T, ElasticError>;

/// Hits by the buckets that they are in.
pub(super) type HitsWithin = HashMap<Within, Vec<Value>>;

/// All that was found, by the numbers of nodes and of top hits.
#[derive(Default)]
pub(super) struct Findings {
    pub tables: HashMap<usize, Table>,
    pub hits: HashMap<usize, HitsWithin>,
    /// Of terms that may be empty, the first of all rows of the index.
    pub all_keys: HashMap<usize, Vec<Key>>,
}

pub(super) struct Assembly<'a> {
    findings: &'a Findings,
    fields: &'a Fields,
    context: &'a Context,
    buckets: Cell<usize>,
}

impl<'a> Assembly<'a> {
    pub fn new(findings: &'a Findings, fields: &'a Fields, context: &'a Context) -> Self {
        Self { findings, fields, context, buckets: Cell::new(0) }
    }

    /// The answers of the whole query.
    ///
    /// # Errors
    /// When there are too many buckets.
    pub fn whole(&self, node: &Node<'_>) -> Result<Vec<Sub>> {
        let found = self.findings.tables.get(&node.id).and_then(|table| table.group(&[]));
        self.subs(node, &[], found.and_then(|group| group.buckets.first()))
    }

    /// The answers in one bucket of a node. `within`: the keys of all buckets around and its own.
    fn subs(&self, node: &Node<'_>, within: &[Key], found: Option<&Found>) -> Result<Vec<Sub>> {
        let mut subs = vec![];
        for agg in &node.aggs.0 {
            let answered = match &agg.kind {
                Kind::Pipeline(_) => continue,
                Kind::Metric(metric) => {
                    let Some(metric_plan) =
                        node.metrics.iter().find(|other| other.name == agg.name)
                    else {
                        continue;
                    };
                    let states = metric_plan.places.iter().map(|place| match found {
                        Some(found) => found.states.get(*place).copied().flatten(),
                        None => node.states[*place].fold.of_nothing(),
                    });
                    let states: Vec<Option<f64>> = states.collect();
                    (metric.by.typed(), Answer::Metric(metric_plan.plan.answer(&states)))
                }
                Kind::TopHits(_) => {
                    let top = node.tops.iter().find(|top| top.name == agg.name);
                    let hits = top.and_then(|top| self.findings.hits.get(&top.id)?.get(within));
                    let hits = json!({ "hits": {
                        "total": { "value": found.map_or(0, |found| found.count), "relation": "eq" },
                        "max_score": null,
                        "hits": hits.cloned().unwrap_or_default(),
                    }});
                    ("top_hits", Answer::Metric(hits))
                }
                Kind::Buckets(buckets) => {
                    let child = node
                        .children
                        .iter()
                        .find(|child| child.agg.is_some_and(|inner| inner.name == agg.name));
                    let Some(child) = child else { continue };
                    (self.typed(buckets), self.buckets(child, agg, buckets, within)?)
                }
            };
            let (typed, answer) = answered;
            subs.push(Sub { name: agg.name.clone(), meta: agg.meta.clone(), typed, answer });
        }
        pipeline::beside(&mut subs, node.aggs);
        Ok(subs)
    }

    fn buckets(
        &self,
        node: &Node<'_>,
        agg: &Agg,
        buckets: &Buckets,
        within: &[Key],
    ) -> Result<Answer> {
        let mut many = match buckets {
            Buckets::Single(_) => {
                let mut bucket = Bucket::new(agg.name.clone(), vec![]);
                self.fill(node, within, &mut bucket)?;
                return Ok(Answer::Single(bucket));
            }
            Buckets::Terms(by) => self.terms(node, by, within)?,
            Buckets::Histogram(by) => self.histogram(node, by, within)?,
            Buckets::DateHistogram(by) => self.date_histogram(node, by, within)?,
            Buckets::Ranges(by) => self.ranges(node, by, within)?,
            Buckets::Filters(by) => self.filters(node, by, within)?,
            Buckets::Composite(by) => self.composite(node, by, within)?,
        };
        pipeline::over(&mut many.buckets, &agg.aggs);
        Ok(Answer::Many(many))
    }

    /// The count and the answers of a bucket.
    fn fill(&self, node: &Node<'_>, within: &[Key], bucket: &mut Bucket) -> Result<()> {
        self.buckets.set(self.buckets.get() + 1);
        if self.buckets.get() > self.context.buckets_max {
            return Err(ElasticError::too_many_buckets(self.context.buckets_max));
        }
        let group = self.group(node, within);
        let found = group.and_then(|group| group.get(&bucket.keys));
        bucket.count = found.map_or(0, |found| found.count);
        let mut inner = match node.grouping.is_global {
            true => vec![],
            false => within.to_vec(),
        };
        inner.extend(bucket.keys.iter().cloned());
        bucket.subs = self.subs(node, &inner, found)?;
        Ok(())
    }

    fn group(&self, node: &Node<'_>, within: &[Key]) -> Option<&'a super::table::Group> {
        let within = if node.grouping.is_global { &[] } else { within };
        self.findings.tables.get(&node.id)?.group(within)
    }

    fn found(&self, node: &Node<'_>, within: &[Key]) -> &'a [Found] {
        self.group(node, within).map_or(&[], |group| &group.buckets)
    }

    /// The whole numbers that are keys of the buckets that were found, in no order.
    fn whole_keys(&self, node: &Node<'_>, within: &[Key]) -> Vec<i64> {
        let found = self.found(node, within).iter();
        let keys = found.filter(|found| found.count > 0).filter_map(|found| match found.keys[..] {
            [Key::Int(key)] => Some(key),
            _ => None,
        });
        keys.collect()
    }

    fn terms(&self, node: &Node<'_>, by: &Terms, within: &[Key]) -> Result<Many> {
        let shown: Vec<Shown> =
            by.sources.iter().map(|source| self.shown(source)).collect::<Result<_>>()?;
        let mut buckets = vec![];
        for found in self.found(node, within) {
            if found.count < by.min_doc_count {
                continue;
            }
            let mut bucket = Bucket::new(String::new(), found.keys.clone());
            bucket.head = term_head(by, &found.keys, &shown);
            self.fill(node, within, &mut bucket)?;
            buckets.push(bucket);
        }
        self.add_empty(node, by, within, &shown, &mut buckets)?;
        sort(&mut buckets, &by.order);
        buckets.truncate(by.size);
        let all = self.group(node, within).map_or(0, |group| group.all);
        let here: u64 = buckets.iter().map(|bucket| bucket.count).sum();
        let mut many = Many::new(buckets, false);
        many.beside.push(("doc_count_error_upper_bound", json!(0)));
        many.beside.push(("sum_other_doc_count", json!(all.saturating_sub(here))));
        Ok(many)
    }

    /// Buckets of terms that only rows have that the query does not match.
    fn add_empty(
        &self,
        node: &Node<'_>,
        by: &Terms,
        within: &[Key],
        shown: &[Shown],
        buckets: &mut Vec<Bucket>,
    ) -> Result<()> {
        let by_count = by.order.first().is_some_and(|(by, _)| *by == OrderBy::Count);
        // Those that were cut off are not empty, and come before all that are.
        if by_count && buckets.len() >= by.size {
            return Ok(());
        }
        for key in self.findings.all_keys.get(&node.id).into_iter().flatten() {
            if buckets.iter().any(|bucket| bucket.keys.first() == Some(key)) {
                continue;
            }
            let mut bucket = Bucket::new(String::new(), vec![key.clone()]);
            bucket.head = term_head(by, &bucket.keys, shown);
            self.fill(node, within, &mut bucket)?;
            buckets.push(bucket);
        }
        Ok(())
    }

    fn shown(&self, source: &Source) -> Result<Shown> {
        Shown::of(source, self.fields.field(&source.field).kind)
    }

    fn histogram(&self, node: &Node<'_>, by: &Histogram, within: &[Key]) -> Result<Many> {
        let shown = Shown::number(by.source.format.as_deref())?;
        let found = self.whole_keys(node, within);
        let mut buckets = vec![];
        for number in histogram::filled(by, &found, self.context.buckets_max)? {
            let value = number as f64 * by.interval + by.offset;
            let text = shown.text(value);
            let name = text.clone().unwrap_or_else(|| plain(value));
            let mut bucket = Bucket::new(name, vec![Key::Int(number)]);
            bucket.head.push(("key".to_owned(), json!(value)));
            bucket.head.extend(text.map(|text| ("key_as_string".to_owned(), Value::String(text))));
            self.fill(node, within, &mut bucket)?;
            bucket.keys = vec![Key::Real(Real(value))];
            if bucket.count >= by.min_doc_count {
                buckets.push(bucket);
            }
        }
        sort(&mut buckets, &by.order);
        Ok(Many::new(buckets, by.keyed))
    }

    fn date_histogram(&self, node: &Node<'_>, by: &DateHistogram, within: &[Key]) -> Result<Many> {
        let rounding = grouping::rounding(by)?;
        let found = self.whole_keys(node, within);
        let (now, max) = (self.context.now_nanos, self.context.buckets_max);
        let mut buckets = vec![];
        for millis in histogram::filled_times(by, &rounding, &found, now, max)? {
            let text = by.format.format(millis.saturating_mul(1_000_000), by.zone);
            let mut bucket = Bucket::new(text.clone(), vec![Key::Int(millis)]);
            bucket.head.push(("key_as_string".to_owned(), Value::String(text)));
            bucket.head.push(("key".to_owned(), json!(millis)));
            self.fill(node, within, &mut bucket)?;
            if bucket.count >= by.min_doc_count {
                buckets.push(bucket);
            }
        }
        sort(&mut buckets, &by.order);
        Ok(Many::new(buckets, by.keyed))
    }

    fn ranges(&self, node: &Node<'_>, by: &Ranges, within: &[Key]) -> Result<Many> {
        let shown = match by.dates {
            Some(_) => Shown::Plain,
            None => Shown::number(by.source.format.as_deref())?,
        };
        let mut buckets = vec![];
        for (number, span) in ranges::spans(by, self.context.now_nanos)?.iter().enumerate() {
            let mut bucket = span.bucket(by, &shown, number);
            self.fill(node, within, &mut bucket)?;
            buckets.push(bucket);
        }
        Ok(Many::new(buckets, by.keyed))
    }

    fn filters(&self, node: &Node<'_>, by: &Filters, within: &[Key]) -> Result<Many> {
        let names = by.filters.iter().map(|(name, _)| name.as_deref());
        let names = names.chain(by.other.as_deref().map(Some));
        let mut buckets = vec![];
        for (number, name) in (0_i64..).zip(names) {
            let name = name.map_or_else(|| number.to_string(), str::to_owned);
            let mut bucket = Bucket::new(name.clone(), vec![Key::Int(number)]);
            if !by.keyed && by.filters.iter().all(|(name, _)| name.is_some()) {
                bucket.head.push(("key".to_owned(), Value::String(name)));
            }
            self.fill(node, within, &mut bucket)?;
            buckets.push(bucket);
        }
        Ok(Many::new(buckets, by.keyed))
    }

    fn composite(&self, node: &Node<'_>, by: &Composite, within: &[Key]) -> Result<Many> {
        let mut buckets = vec![];
        for found in self.found(node, within) {
            let mut bucket = Bucket::new(String::new(), found.keys.clone());
            bucket.head.push(("key".to_owned(), composite::key(&by.sources, &found.keys)));
            self.fill(node, within, &mut bucket)?;
            buckets.push(bucket);
        }
        let last = buckets.last().map(|bucket| composite::key(&by.sources, &bucket.keys));
        let mut many = Many::new(buckets, false);
        many.beside.extend(last.map(|key| ("after_key", key)));
        Ok(many)
    }

    /// As answers with `typed_keys` name it.
    fn typed(&self, buckets: &Buckets) -> &'static str {
        let Buckets::Terms(by) = buckets else { return buckets.kind_name() };
        if by.is_multi {
            return "multi_terms";
        }
        match by.sources.first().map(|source| self.fields.field(&source.field).kind) {
            Some(crate::Kind::Long | crate::Kind::Date | crate::Kind::Boolean) => "lterms",
            Some(crate::Kind::Double) => "dterms",
            _ => "sterms",
        }
    }
}

/// `key` and `key_as_string` of a term, or of several.
fn term_head(by: &Terms, keys: &[Key], shown: &[Shown]) -> Vec<(String, Value)> {
    let text = |key: &Key, shown: &Shown| match (key, shown) {
        (Key::Bool(flag), _) => Some(flag.to_string()),
        (Key::Int(millis), Shown::Date(format)) => {
            Some(format.format(nanos(*millis as f64), Zone::UTC))
        }
        (key, shown) => key.number().and_then(|number| shown.text(number)),
    };
    if by.is_multi {
        let texts = keys.iter().zip(shown).map(|(key, shown)| match key {
            Key::Text(text) => text.clone(),
            Key::Int(number) => text(key, shown).unwrap_or_else(|| number.to_string()),
            key => text(key, shown).unwrap_or_else(|| key.number().map(plain).unwrap_or_default()),
        });
        let texts: Vec<String> = texts.collect();
        let values: Vec<Value> = keys
            .iter()
            .zip(&texts)
            .zip(shown)
            .map(|((key, as_text), shown)| match text(key, shown) {
                Some(_) => Value::String(as_text.clone()),
                None => key.json(),
            })
            .collect();
        return vec![
            ("key".to_owned(), Value::Array(values)),
            ("key_as_string".to_owned(), Value::String(texts.join("|"))),
        ];
    }
    let Some((key, shown)) = keys.first().zip(shown.first()) else { return vec![] };
    let mut head = vec![("key".to_owned(), key.json())];
    head.extend(text(key, shown).map(|text| ("key_as_string".to_owned(), Value::String(text))));
    head
}

impl Buckets {
    /// As requests name it.
    pub const fn kind_name(&self) -> &'static str {
        use super::request::Single;
        match self {
            Self::Terms(_) => "terms",
            Self::Histogram(_) => "histogram",
            Self::DateHistogram(_) => "date_histogram",
            Self::Ranges(by) if by.dates.is_some() => "date_range",
            Self::Ranges(_) => "range",
            Self::Filters(_) => "filters",
            Self::Single(Single::Filter(_)) => "filter",
            Self::Single(Single::Missing(_)) => "missing",
            Self::Single(Single::Global) => "global",
            Self::Composite(_) => "composite",
        }
    }
}
