//! The door to rows that are durable and in no file yet: of this process and of other ingesters.
//!
//! A query reads them from the memory of the writer's process where it can, and from the writer's
//! segments in the bucket where it cannot. Both say the same of every record that was acknowledged
//! before the query began, and here is why:
//!
//! - Rows are in their process's memory before anybody is answered for them, and leave it only after
//!   the commit that holds them. So the process, asked after the query began, has the rows, or the
//!   query's version of the table has them, or it says [`FreshError::LetGo`]: a newer version does.
//! - One case is left, in which rows are acknowledged that their writer's memory does not have:
//!   somebody else ended the log (sealed it), found them in it and answered for them, while the
//!   writer still waited for the store's answer. Whoever seals a log marks it in `_writers/` first,
//!   and a query lists `_writers/` after it began: a writer so marked is never asked, its segments
//!   are read. A mark that is gone again was taken away after everything was committed, and the
//!   query takes the table's version after its look.
//! - A process that goes on as another writer, or that knows itself fenced, answers
//!   [`FreshError::NotCurrent`]. One that was cut off and knows nothing yet answers with rows that
//!   are durable: only segments that are stored for certain come into its memory, and a log's sealed
//!   part never changes.
//! - The first answer of a writer in a query fixes the last segment; later scans of the same table in
//!   the same query ask up to that one. Whoever does not answer in time, breaks off, or refuses, is
//!   not asked again by that query: it begins anew, with that writer's segments. Parts of an answer
//!   are thrown away.

pub(crate) mod selection;
mod serve;
mod wire;

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use loglake_model::{Column, SegmentSeq, TableId, WriterId};

pub use selection::{Filter, Selection};
pub use serve::{FreshAnswerer, FreshBatches, Unanswered};
pub use wire::{FreshHead, InvalidMessage, decode_head, encode_scan};

/// Fresh rows of whichever writer can be asked.
#[async_trait]
pub trait FreshRows: Send + Sync + 'static {
    /// The writer of this process; `None` in one that does not ingest.
    fn own(&self) -> Option<WriterId>;

    /// Whether it is worth asking this writer's process: it is this one, or its address is known and
    /// it answered lately. Of all other writers the segments are read.
    fn can_ask(&self, writer: WriterId) -> bool {
        self.own() == Some(writer)
    }

    /// The rows of one writer in one table that are durable now.
    ///
    /// # Errors
    /// See [`FreshError`]; nothing of a partial answer is given.
    async fn rows(&self, scan: &FreshScan) -> Result<FreshAnswer, FreshError>;
}

/// What is asked of a writer.
#[derive(Clone, Debug)]
pub struct FreshScan {
    pub writer: WriterId,
    pub table: TableId,
    /// The writer's watermark in the version that is read: rows at or below are in its files.
    pub above: Option<SegmentSeq>,
    pub up_to: UpTo,
    /// What of the rows is needed. It allows the one who answers to leave out the rest, and does not
    /// oblige: whoever asked selects again.
    pub selection: Selection,
}

/// The last segment whose rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpTo {
    /// The newest that is durable.
    Newest,
    /// One that an answer named before; `None`: the writer had none yet.
    Segment(Option<SegmentSeq>),
}

#[derive(Clone, Debug, Default)]
pub struct FreshAnswer {
    /// The last segment looked at.
    pub up_to: Option<SegmentSeq>,
    /// The names of the columns that the rows had before any was left out, fixed ones apart.
    pub columns: Vec<String>,
    pub batches: Vec<RecordBatch>,
}

impl FreshAnswer {
    /// Whole rows.
    pub fn whole(up_to: Option<SegmentSeq>, batches: Vec<RecordBatch>) -> Self {
        Self { up_to, columns: columns_of(&batches), batches }
    }
}

/// The columns that records brought in any of the batches, each once.
fn columns_of(batches: &[RecordBatch]) -> Vec<String> {
    let fields = batches.iter().flat_map(|batch| batch.schema_ref().fields());
    let names: BTreeSet<&str> = fields
        .filter(|field| Column::of_field(field).is_some())
        .map(|field| field.name().as_str())
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Why there are no rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FreshError {
    /// Rows above the watermark were let go, after a commit that has them: a newer version of the
    /// table has them.
    #[error("rows were let go")]
    LetGo,
    /// The process is not this writer any more: its segments have its rows.
    #[error("it is another writer by now")]
    NotCurrent,
    /// No answer, or none that is whole.
    #[error("it does not answer: {0}")]
    Silent(String),
}

/// For a process that does not ingest, alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFreshRows;

#[async_trait]
impl FreshRows for NoFreshRows {
    fn own(&self) -> Option<WriterId> {
        None
    }

    async fn rows(&self, _scan: &FreshScan) -> Result<FreshAnswer, FreshError> {
        Err(FreshError::NotCurrent)
    }
}
