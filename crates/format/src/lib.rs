//! The Parquet encoder: one for flush, compaction, recovery and deletion. Pure: batches in, bytes
//! out, on the caller's thread. No object store, no clock.
//!
//! ```text
//! batches → columns (typed, checked) → order (partition, service, level, shape, time)
//!         → a slice of rows at a time: gather → statistics, Parquet writer → bytes
//! ```
//! Promises:
//! - every row that goes in is in exactly one file, that of its own timestamp's partition, with
//!   every value as it came;
//! - a file is sorted by `service` and `level` (byte order, null last), which its metadata says, then by
//!   the shape of `message` and by time; rows that are equal there stay in the order in which they came;
//! - bounds in [`FileStats`](loglake_model::FileStats) are true of every value;
//! - any reader of Parquet reads it: plain types, no Arrow schema, no extension. A column that is
//!   null in all rows of a file is left out of it, save the fixed ones.
//!
//! How columns are encoded is decided per file from a sample of its rows ([`layout`]); why, and
//! what was measured, is in `docs/adr/0005-parquet-layout.md`.
//!
//! A file brings its token index with it ([`index`]), between the last row group and the footer,
//! where other readers skip it. Pages of all columns hold the same rows for its sake.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod align;
mod bounds;
mod columns;
mod encode;
mod error;
pub mod index;
mod layout;
mod merge;
mod order;
mod settings;
#[cfg(feature = "stages")]
pub mod stages;
mod texts;

#[cfg(test)]
mod tests;

pub use align::align;
pub use encode::{EncodedFile, encode};
pub use error::FormatError;
pub use merge::{Merge, MergeStep};
pub use settings::EncoderSettings;
