//! The token index of a file: which of its rows may hold a word, or an id, and where its services are.
//!
//! ```text
//! text column  → words → letters: dictionary (exact: word → pages, and rows where they are few runs)
//!                      → words with digits: one filter a page (hashes, 1 in 256 is a false hit)
//! id column    → values:                    one filter a page
//! service and level → runs:                 how many rows of each pair follow each other
//! ```
//! Sections, one a column and kind, lie in the file after its last row group, where readers that do
//! not know them skip them; the file's metadata says where ([`IndexDirectory`], under [`INDEX_KEY`]).
//! A page is [`EncoderSettings::page_rows_max`](crate::EncoderSettings) rows, as of the data.
//!
//! Promises: the rows that a [`Search`] gives are a superset of those that hold it, whatever the text and
//! whoever chose it, and the rows that a [`Wanted`] is sure of hold it; an index takes at most
//! [`INDEX_SHARE_MAX`] of its file, and one that would take more is left out by column.
//!
//! Words are runs of ASCII letters and digits, in lower case, so that one index serves `LIKE` and
//! `ILIKE`. Most distinct words of logs have digits (ids, numbers, addresses) and are asked for as a
//! whole; what is left are few words, and to look through all of those for a part is quick. So
//! `LIKE '%xception%'` is answered by the dictionary, exactly: texts of one shape lie together in a file, and
//! the words of the shape have their rows in a few runs.

mod build;
mod dictionary;
mod directory;
mod file_words;
mod filters;
mod needle;
mod numbers;
mod pages;
mod postings;
mod rows;
mod runs;
#[cfg(test)]
mod tests;
mod text;
mod wanted;

pub(crate) use build::{IndexBuilder, write};
pub(crate) use dictionary::words_bytes_max;
pub use dictionary::{Dictionary, Found};
pub use directory::{ColumnIndex, INDEX_KEY, IndexDirectory, Section};
pub use file_words::FileWords;
pub use filters::Filters;
pub use needle::{ColumnParts, Needle, Search};
pub use pages::Pages;
pub use rows::{Rows, Size};
pub use runs::Run;
pub(crate) use runs::RunsBuilder;
pub use wanted::Wanted;

/// The part of a file's bytes that its index may take.
pub const INDEX_SHARE_MAX: f64 = 0.12;

/// What is indexed of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexKind {
    /// The words of texts.
    Words,
    /// Whole values.
    Values,
}
