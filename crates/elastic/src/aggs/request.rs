//! The aggregations of a request, as they were understood: plain data, not yet of any index.

use loglake_query::Interval;
use serde_json::Value;

use crate::dates::{DateFormat, Zone};
use crate::hits::HitOptions;
use crate::query::Query;
use crate::sort::Sort;

/// The aggregations of a level, by name.
#[derive(Clone, Debug, Default)]
pub struct Aggs(pub(super) Vec<Agg>);

#[derive(Clone, Debug)]
pub(super) struct Agg {
    pub name: String,
    /// Given back as it came.
    pub meta: Option<Value>,
    pub kind: Kind,
    /// Those of each of its buckets.
    pub aggs: Aggs,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Buckets(Buckets),
    Metric(Metric),
    TopHits(Box<TopHits>),
    Pipeline(Pipeline),
}

#[derive(Clone, Debug)]
pub(super) enum Buckets {
    Terms(Box<Terms>),
    Histogram(Box<Histogram>),
    DateHistogram(Box<DateHistogram>),
    Ranges(Box<Ranges>),
    Filters(Filters),
    Single(Single),
    Composite(Box<Composite>),
}

/// What an aggregation takes its values from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub field: String,
    /// Stands for the value of rows without the field.
    pub missing: Option<Value>,
    pub format: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum OrderBy {
    Count,
    Key,
    /// A metric of each bucket, `name` or `name.value`.
    Metric(String),
}

pub(super) type Order = Vec<(OrderBy, Direction)>;

#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Several for `multi_terms`.
    pub sources: Vec<Source>,
    pub is_multi: bool,
    pub size: usize,
    pub min_doc_count: u64,
    pub order: Order,
    pub include: Option<Choice>,
    pub exclude: Option<Choice>,
}

/// Which terms are meant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    Values(Vec<Value>),
    Regex(String),
}

#[derive(Clone, Debug)]
pub(super) struct Histogram {
    pub source: Source,
    pub interval: f64,
    pub offset: f64,
    pub min_doc_count: u64,
    pub order: Order,
    pub keyed: bool,
    pub extended_bounds: Option<(Option<f64>, Option<f64>)>,
    pub hard_bounds: Option<(Option<f64>, Option<f64>)>,
}

#[derive(Clone, Debug)]
pub(super) struct DateHistogram {
    pub source: Source,
    pub interval: Interval,
    pub zone: Zone,
    /// Microseconds.
    pub offset: i64,
    pub min_doc_count: u64,
    pub order: Order,
    pub keyed: bool,
    /// Dates, with date math.
    pub extended_bounds: Option<(Option<Value>, Option<Value>)>,
    pub hard_bounds: Option<(Option<Value>, Option<Value>)>,
    pub format: DateFormat,
}

#[derive(Clone, Debug)]
pub(super) struct Ranges {
    pub source: Source,
    pub ranges: Vec<RangeOf>,
    pub keyed: bool,
    /// Of a `date_range`.
    pub dates: Option<(DateFormat, Zone)>,
}

#[derive(Clone, Debug)]
pub(super) struct RangeOf {
    pub key: Option<String>,
    pub from: Option<Value>,
    pub to: Option<Value>,
}

#[derive(Clone, Debug)]
pub(super) struct Filters {
    /// With names, unless they are an anonymous list.
    pub filters: Vec<(Option<String>, Query)>,
    /// The name of the bucket of rows that match none.
    pub other: Option<String>,
    pub keyed: bool,
}

/// Aggregations of one bucket.
#[derive(Clone, Debug)]
pub(super) enum Single {
    Filter(Query),
    Missing(String),
    /// All rows of the index, whatever the query.
    Global,
}

#[derive(Clone, Debug)]
pub(super) struct Composite {
    pub sources: Vec<CompositeSource>,
    pub size: usize,
    pub after: Option<serde_json::Map<String, Value>>,
}

#[derive(Clone, Debug)]
pub(super) struct CompositeSource {
    pub name: String,
    pub source: Source,
    pub by: CompositeBy,
    pub direction: Direction,
    /// Rows without the field have the key null.
    pub missing_bucket: bool,
    /// Where that key is sorted; as the smallest by default.
    pub missing_last: Option<bool>,
}

#[derive(Clone, Debug)]
pub(super) enum CompositeBy {
    Terms,
    Histogram { interval: f64 },
    DateHistogram { interval: Interval, zone: Zone, offset: i64, format: Option<DateFormat> },
}

#[derive(Clone, Debug)]
pub(super) struct Metric {
    pub source: Source,
    pub by: MetricBy,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum MetricBy {
    Avg,
    Sum,
    Min,
    Max,
    ValueCount,
    Stats,
    ExtendedStats { sigma: f64 },
    Cardinality { precise_up_to: u64 },
    Percentiles { percents: Vec<f64>, keyed: bool, hdr: bool },
    PercentileRanks { values: Vec<f64>, keyed: bool, hdr: bool },
    WeightedAvg { weight: String, weight_missing: Option<f64> },
}

#[derive(Clone, Debug)]
pub(super) struct TopHits {
    pub from: usize,
    pub size: usize,
    pub sort: Sort,
    pub options: HitOptions,
}

#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub path: Path,
    pub by: PipelineBy,
    /// What a bucket without documents stands for: left out, zero, or the value before it.
    pub gaps: Gaps,
    pub format: Option<String>,
}

/// The way to a value: names of aggregations; the last may have one of its values after a dot, or is
/// `_count` or `_key`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Path(pub Vec<PathStep>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathStep {
    pub name: String,
    /// Of a bucket with a name: `filters['errors']`.
    pub bucket: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gaps {
    Skip,
    Zeros,
    Keep,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum PipelineBy {
    /// Over the buckets of an aggregation beside.
    AvgBucket,
    SumBucket,
    MinBucket,
    MaxBucket,
    StatsBucket,
    ExtendedStatsBucket {
        sigma: f64,
    },
    PercentilesBucket {
        percents: Vec<f64>,
        keyed: bool,
    },
    /// Over the buckets that it is in.
    Derivative {
        unit_millis: Option<f64>,
    },
    CumulativeSum,
    SerialDiff {
        lag: usize,
    },
    BucketSort {
        sort: Vec<(Path, Direction)>,
        from: usize,
        size: Option<usize>,
    },
}

impl PipelineBy {
    /// Whether it is over the buckets of an aggregation beside it, and not those it is in.
    pub const fn is_beside(&self) -> bool {
        matches!(
            self,
            Self::AvgBucket
                | Self::SumBucket
                | Self::MinBucket
                | Self::MaxBucket
                | Self::StatsBucket
                | Self::ExtendedStatsBucket { .. }
                | Self::PercentilesBucket { .. }
        )
    }
}
