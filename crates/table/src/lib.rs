//! Delta tables: file lists, watermarks, the committer, the evolution of schemas.
//!
//! ```text
//! <tenant>/<table>/_delta_log/…          the Delta table (protocol of the Delta Lake specification)
//! <tenant>/<table>/date=…/hour=…/<uuid>.parquet
//! ```
//! Promises: a commit is one conditional create of the next log entry; a flush and its watermark
//! are one commit; what conflicts is given up, never merged by guess.
//!
//! | module | |
//! |---|---|
//! | `action`, `schema`, `stats`, `file` | the log's JSON and loglake's words for it: pure |
//! | `list`, `snapshot` | a table at one version, and the step to the next: pure |
//! | `intent` | what a commit is, and what others' commits mean for it: pure |
//! | `checkpoint` | a state as Parquet and back: pure |
//! | `log` | the folder `_delta_log` in the store |
//! | `commit`, `table`, `catalog` | the loops around them |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod action;
mod catalog;
mod checkpoint;
mod commit;
mod error;
mod file;
mod history;
mod intent;
mod list;
mod log;
mod schema;
mod snapshot;
mod stats;
mod table;

pub use catalog::Catalog;
pub use error::TableError;
pub use file::DataFile;
pub use history::Entry;
pub use intent::{Flush, Rewrite, RewriteKind};
pub use snapshot::Snapshot;
pub use table::{FlushOutcome, RewriteOutcome, Table, TableSettings};
