//! A request's aggregations over the fields of an index: what each level needs of its rows.

use super::grouping::{Cut, Grouping};
use super::metrics::MetricPlan;
use super::request::{Agg, Aggs, Kind, TopHits};
use super::states::{State, place};
use crate::{Context, ElasticError, Fields};

type Result<T> = std::result::Result<T, ElasticError>;

/// The buckets of one aggregation, or the whole query as the bucket that all others are in.
pub(super) struct Node<'a> {
    pub id: usize,
    /// `None` for the whole query.
    pub agg: Option<&'a Agg>,
    /// Those of each bucket.
    pub aggs: &'a Aggs,
    pub grouping: Grouping,
    pub metrics: Vec<PlacedMetric<'a>>,
    /// Of all metrics together.
    pub states: Vec<State>,
    pub tops: Vec<Tops<'a>>,
    pub children: Vec<Node<'a>>,
}

pub(super) struct PlacedMetric<'a> {
    pub name: &'a str,
    pub plan: MetricPlan,
    /// Where its states are in those of its node.
    pub places: Vec<usize>,
}

pub(super) struct Tops<'a> {
    pub id: usize,
    pub name: &'a str,
    pub top: &'a TopHits,
}

/// Numbers for nodes and top hits.
#[derive(Default)]
pub(super) struct Ids(usize);

impl Ids {
    fn next(&mut self) -> usize {
        self.0 += 1;
        self.0
    }
}

impl<'a> Node<'a> {
    /// The whole query.
    ///
    /// # Errors
    /// When an aggregation does not suit its fields.
    pub fn whole(aggs: &'a Aggs, fields: &Fields, context: &Context) -> Result<Self> {
        Self::new(None, aggs, Grouping::whole(), fields, context, &mut Ids::default())
    }

    fn new(
        agg: Option<&'a Agg>,
        aggs: &'a Aggs,
        grouping: Grouping,
        fields: &Fields,
        context: &Context,
        ids: &mut Ids,
    ) -> Result<Self> {
        let id = ids.next();
        let (mut metrics, mut states) = (vec![], vec![]);
        let (mut tops, mut children) = (vec![], vec![]);
        for inner in &aggs.0 {
            let name = inner.name.as_str();
            match &inner.kind {
                Kind::Metric(metric) => {
                    let plan = MetricPlan::new(metric, fields)?;
                    let places = place(&mut states, &plan.states);
                    metrics.push(PlacedMetric { name, plan, places });
                }
                Kind::TopHits(top) => tops.push(Tops { id: ids.next(), name, top }),
                Kind::Buckets(buckets) => {
                    let grouping = Grouping::new(buckets, fields, context)?;
                    let node = Self::new(Some(inner), &inner.aggs, grouping, fields, context, ids)?;
                    children.push(node);
                }
                Kind::Pipeline(_) => {}
            }
        }
        Ok(Self { id, agg, aggs, grouping, metrics, states, tops, children })
    }

    /// This node and those below it whose buckets one plan's groups tell, each the child of the one
    /// before it: the groups of the last hold those of the others.
    pub fn chain(&self) -> Vec<&Self> {
        let mut chain = vec![self];
        let mut last = self;
        // Nobody asks how many rows the whole query has.
        while last.holds_together() && last.is_asked() {
            let Some(next) = last.children.iter().find(|child| child.splits()) else { break };
            chain.push(next);
            last = next;
        }
        chain
    }

    fn holds_together(&self) -> bool {
        self.grouping.holds_together() && self.states.iter().all(|state| state.fold.merges())
    }

    /// Whether its groups can be parts of those of its parent.
    fn splits(&self) -> bool {
        let grouping = &self.grouping;
        let [key] = &grouping.keys[..] else { return false };
        !key.is_list
            && match grouping.cut {
                Cut::All => true,
                Cut::Top { min_doc_count, .. } => min_doc_count <= 1,
                Cut::Page { .. } => false,
            }
    }

    /// Whether terms that only other rows of the index have are buckets too.
    pub fn wants_empty(&self) -> bool {
        matches!(self.grouping.cut, Cut::Top { min_doc_count: 0, .. })
    }

    /// Whether a plan is to be run for it.
    pub fn is_asked(&self) -> bool {
        self.agg.is_some() || !self.states.is_empty() || !self.tops.is_empty()
    }

    /// The metric that a path begins with, and which of its values it means.
    pub fn metric<'b>(&self, path: &'b str) -> Option<(&PlacedMetric<'a>, Option<&'b str>)> {
        self.metrics.iter().find_map(|metric| {
            let rest = path.strip_prefix(metric.name)?;
            match rest.strip_prefix('.') {
                Some(property) => Some((metric, Some(property))),
                None => rest.is_empty().then_some((metric, None)),
            }
        })
    }
}
