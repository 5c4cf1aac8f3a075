//! What a search knows beside its body.

use datafusion::logical_expr::LogicalPlan;

use crate::hits::Index;

/// Buckets of one answer at most, as Elasticsearch's `search.max_buckets`.
pub const BUCKETS_MAX: usize = 65_536;

#[derive(Clone, Debug)]
pub struct Context {
    /// What `now` means.
    pub now_nanos: i64,
    pub index: Index,
    /// Names of aggregations in the answer are prefixed with their types (`date_histogram#x`).
    pub typed_keys: bool,
    pub buckets_max: usize,
    /// All rows of the index, for the aggregation `global`.
    pub all_rows: LogicalPlan,
}
