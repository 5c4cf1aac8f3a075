//! Elasticsearch's search API over loglake's tables: requests become DataFusion plans, and their rows
//! the answers. No HTTP here: the doors hand in parsed bodies and the URL's parameters.
//!
//! ```text
//! body, URL → SearchRequest → plans over one snapshot → rows → the answer's JSON
//! ```
//! Promises: a search sees one version of each table; a body that cannot be answered as it asks is
//! refused by name and never answered in part; no plan gathers rows that are filtered here by hand.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod aggs;
pub mod context;
pub mod dates;
mod error;
pub mod fields;
pub mod hits;
pub mod indices;
mod lucene;
mod object;
pub mod query;
mod run;
mod search;
pub mod sort;

pub use context::Context;
pub use error::ElasticError;
pub use fields::{Field, Fields, Kind};
pub use indices::{IndexOptions, is_pattern, resolve};
pub use run::RunPlan;
pub use search::{Elastic, SearchRequest};
