//! SQL over files and fresh rows, with DataFusion. Read-only by construction: it holds readers of
//! tables and segments, never a writer.
//!
//! ```text
//! front door → plan → snapshot and prune → scan (files ∪ fresh rows) → stream out
//! ```
//! Promises: a query sees every record that was acknowledged before it began, exactly once, in one
//! version of each table, however often it names the table; it ends at its deadline, within its
//! memory; nothing but the lake's own store can be reached from SQL.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod catalog;
mod certain;
mod counted;
mod dialect;
mod engine;
mod error;
mod facts;
mod files;
mod fresh;
mod functions;
mod json_results;
mod lake_table;
mod listing;
mod lookups;
mod memory;
mod newest;
mod partial;
pub mod plan_functions;
mod plan_rules;
mod prune;
mod queues;
mod read_only;
mod reader;
mod repeated_orders;
mod running;
mod runs;
mod search;
mod session;
mod snapshot;
mod sparse;
mod spread;
mod statement;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod text_filters;
mod text_groups;
mod token_index;
mod top_rows;
mod views;

pub use answer::QueryAnswer;
pub use engine::{
    Described, PlanQuery, PlanSnapshot, PlansRequest, QueryDeps, QueryEngine, QueryRequest,
    QuerySettings, Relation, RelationKind,
};
pub use error::QueryError;
pub use fresh::{
    Filter, FreshAnswer, FreshAnswerer, FreshBatches, FreshError, FreshHead, FreshRows, FreshScan,
    InvalidMessage, NoFreshRows, Selection, Unanswered, UpTo, decode_head, encode_scan,
};
pub use functions::{Interval, Rounding, percentile};
pub use lookups::{CacheLookups, Lookups};
pub use partial::PartialAnswer;
pub use queues::{NoQueues, QueuePart, Queues};
pub use spread::{Queriers, QueryWorker, SpreadSettings};
pub use views::{VIEWS, View};
