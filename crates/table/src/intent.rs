//! What a committer wants, and the decisions about it: pure functions of the log.
//!
//! A commit's rivals are the entries that took numbers since the version it was made from. Each is
//! judged by [`Intent::judge`], each state by [`Intent::standing`]:
//!
//! | what the log says | flush | rewrite | columns | vacuum |
//! |---|---|---|---|---|
//! | an entry with our commit id | done | done | done | done |
//! | a `txn` of the same writer | superseded | – | – | – |
//! | a watermark other than the one flushed from | superseded | – | – | – |
//! | a file that we remove is gone | – | superseded | – | – |
//! | records of a queue that the flush holds too | overlap | – | – | – |
//! | a vacuum after our files were named | vacuumed | vacuumed | – | superseded |
//! | columns changed otherwise than by new ones | superseded | superseded | – | – |
//! | anything else | next number | next number | next number | next number |

use loglake_model::{Column, Offsets, SegmentSeq, Timestamp, WriterId};

use crate::TableError;
use crate::action::{CommitInfo, Line, Metadata, Txn};
use crate::file::{DataFile, vacuum_of};
use crate::schema;
use crate::snapshot::{Snapshot, VACUUM};

/// A flush to commit: files that hold exactly the writer's rows of this table in `(from, to]`.
#[derive(Debug, Clone)]
pub struct Flush {
    pub writer: WriterId,
    /// The watermark these rows begin above; `None` when the writer has none in this table: then
    /// the caller has confirmed that the writer's log is unsealed (or recovers it).
    pub from: Option<SegmentSeq>,
    pub to: SegmentSeq,
    /// Their paths are from [`crate::Table::new_file_path`], asked for before they were put.
    pub files: Vec<DataFile>,
    /// The stretches of other systems' queues that the rows are of, one a queue. The table's own count
    /// of each queue moves to the end in the same commit; none may begin before it.
    pub offsets: Vec<Offsets>,
}

/// Files in the place of others.
#[derive(Debug, Clone)]
pub struct Rewrite {
    pub kind: RewriteKind,
    /// Files of the table, as its snapshot has them.
    pub removes: Vec<std::sync::Arc<DataFile>>,
    /// Their paths are from [`crate::Table::new_file_path`], asked for before they were put.
    pub adds: Vec<DataFile>,
}

/// What a rewrite does to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewriteKind {
    /// The same rows in other files.
    Compaction,
    /// Some rows are gone.
    Deletion,
}

/// What somebody wants to commit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Intent<'a> {
    Flush(&'a Flush),
    Rewrite(&'a Rewrite),
    Columns {
        proposed: &'a [Column],
        columns_max: usize,
    },
    /// To be the vacuum of this number.
    Vacuum(u64),
}

/// Where an intent stands in a state of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may be committed on top.
    Clear,
    /// The state has it.
    Done,
    /// The state has something else in its place.
    Superseded,
    /// Its files may be gone.
    Vacuumed,
    /// The table has some of its records of a queue already. Never seen unless a defect let two
    /// consumers log the same records: then this keeps them from the table twice.
    Overlap,
}

/// What another entry means for an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The entry is ours: an answer was lost.
    Ours,
    /// The entry took our place for good.
    Superseded,
    /// No conflict by itself: the state after it decides.
    Pass,
}

impl Intent<'_> {
    /// The commit's own id: the same for the same work, so that a call that is made again finds
    /// what an earlier one committed without knowing it. Data files have names that are used once.
    pub(crate) fn commit_id(&self) -> String {
        let first = |files: &[DataFile]| files.first().map(|f| f.path.to_string());
        match self {
            Self::Flush(Flush { writer, from, to, files, .. }) => {
                let from = from.map_or("-".into(), |seq| seq.to_string());
                format!("flush {writer} {from} {to} {}", first(files).unwrap_or_default())
            }
            Self::Rewrite(rewrite) => {
                let removed = || rewrite.removes.first().map(|f| f.path.to_string());
                let name = first(&rewrite.adds).or_else(removed).unwrap_or_default();
                format!("rewrite {name}")
            }
            // Whoever commits these, the outcome is the same.
            Self::Columns { proposed, .. } => {
                let names: Vec<&str> = proposed.iter().map(|c| c.name.as_ref()).collect();
                format!("columns {}", names.join(" "))
            }
            Self::Vacuum(number) => format!("vacuum {number}"),
        }
    }

    /// Where the intent stands in a state.
    pub(crate) fn standing(&self, state: &Snapshot) -> Standing {
        let vacuumed =
            |files: &[DataFile]| files.iter().any(|f| vacuum_of(&f.path) < state.vacuum());
        let has_all = |files: &[DataFile]| files.iter().all(|f| state.contains(&f.path));
        match self {
            Self::Flush(flush) => {
                let watermark = state.watermark(flush.writer);
                let passed = match flush.files.is_empty() {
                    true => watermark == Some(flush.to),
                    false => watermark >= Some(flush.to),
                };
                if passed && has_all(&flush.files) {
                    Standing::Done
                } else if watermark != flush.from {
                    Standing::Superseded
                } else if vacuumed(&flush.files) {
                    Standing::Vacuumed
                } else if flush.overlap(state).is_some() {
                    Standing::Overlap
                } else {
                    Standing::Clear
                }
            }
            Self::Rewrite(rewrite) => {
                let removable = rewrite.removes.iter().all(|f| state.contains(&f.path));
                if !rewrite.adds.is_empty() && has_all(&rewrite.adds) {
                    Standing::Done
                } else if !removable {
                    Standing::Superseded
                } else if vacuumed(&rewrite.adds) {
                    Standing::Vacuumed
                } else {
                    Standing::Clear
                }
            }
            Self::Columns { proposed, columns_max } => {
                match state.schema().with(proposed, *columns_max) {
                    Some(_) => Standing::Clear,
                    None => Standing::Done,
                }
            }
            Self::Vacuum(number) if state.vacuum() + 1 == *number => Standing::Clear,
            Self::Vacuum(_) => Standing::Superseded,
        }
    }

    /// What an entry that took a number since `before` means; `after` is the state with it.
    pub(crate) fn judge(&self, entry: &[Line], before: &Snapshot, after: &Snapshot) -> Verdict {
        let id = self.commit_id();
        let infos = entry.iter().filter_map(|line| line.commit_info.as_ref());
        if infos.filter_map(|info| info.txn_id.as_deref()).any(|theirs| theirs == id) {
            return Verdict::Ours;
        }
        let reshaped = !schema::extends(after.schema(), before.schema());
        let superseded = match self {
            Self::Flush(flush) => {
                let writer = flush.writer.to_string();
                let mut txns = entry.iter().filter_map(|line| line.txn.as_ref());
                reshaped || txns.any(|txn| txn.app_id == writer)
            }
            Self::Rewrite(_) => reshaped,
            Self::Columns { .. } | Self::Vacuum(_) => false,
        };
        if superseded { Verdict::Superseded } else { Verdict::Pass }
    }

    /// The entry's actions, on top of `base`.
    ///
    /// # Errors
    /// When the intent is none: a defect of the caller.
    pub(crate) fn lines(&self, base: &Snapshot, now: Timestamp) -> Result<Vec<Line>, TableError> {
        let mut lines = vec![self.info(now).into()];
        match self {
            Self::Flush(flush) => {
                flush.check(base)?;
                lines.push(txn(flush.writer.to_string(), flush.to.0, now).into());
                lines.extend(flush.offsets.iter().map(|o| txn(o.source.clone(), o.to, now).into()));
                lines.extend(flush.files.iter().map(|f| f.add(true).into()));
            }
            Self::Rewrite(rewrite) => {
                let data_change = rewrite.kind == RewriteKind::Deletion;
                lines.extend(rewrite.removes.iter().map(|f| f.remove(now, data_change).into()));
                lines.extend(rewrite.adds.iter().map(|f| f.add(data_change).into()));
            }
            Self::Columns { proposed, columns_max } => {
                if let Some(schema) = base.schema().with(proposed, *columns_max) {
                    let schema_string = schema_string(&schema)?;
                    lines.push(Metadata { schema_string, ..base.metadata().clone() }.into());
                }
            }
            Self::Vacuum(number) => lines.push(txn(VACUUM.to_owned(), *number, now).into()),
        }
        Ok(lines)
    }

    fn info(&self, now: Timestamp) -> CommitInfo {
        let (operation, parameters) = match self {
            Self::Flush(_) => ("WRITE", vec![("mode", "Append")]),
            Self::Rewrite(Rewrite { kind: RewriteKind::Compaction, .. }) => ("OPTIMIZE", vec![]),
            Self::Rewrite(Rewrite { kind: RewriteKind::Deletion, .. }) => ("DELETE", vec![]),
            Self::Columns { .. } => ("ADD COLUMNS", vec![]),
            Self::Vacuum(_) => ("VACUUM START", vec![]),
        };
        info(operation, &parameters, Some(self.commit_id()), now)
    }
}

pub(crate) fn info(
    operation: &str,
    parameters: &[(&str, &str)],
    txn_id: Option<String>,
    now: Timestamp,
) -> CommitInfo {
    CommitInfo {
        timestamp: now.millis(),
        operation: operation.into(),
        operation_parameters: parameters.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        engine_info: concat!("loglake/", env!("CARGO_PKG_VERSION")).into(),
        txn_id,
    }
}

fn txn(app_id: String, version: u64, now: Timestamp) -> Txn {
    Txn { app_id, version: version.cast_signed(), last_updated: Some(now.millis()) }
}

pub(crate) fn schema_string(schema: &loglake_model::TableSchema) -> Result<String, TableError> {
    schema::to_json(schema).map_err(|e| TableError::Corrupt {
        path: object_store::path::Path::default(),
        problem: e.to_string(),
    })
}

impl Flush {
    /// A stretch that begins before what the table has of its queue, and how far that is.
    pub(crate) fn overlap(&self, state: &Snapshot) -> Option<(&Offsets, u64)> {
        let committed = |offsets: &Offsets| state.offset(&offsets.source);
        let found = self.offsets.iter().find(|o| committed(o).is_some_and(|count| count > o.from));
        found.and_then(|offsets| Some((offsets, committed(offsets)?)))
    }

    /// # Errors
    /// [`TableError::Backwards`] and [`TableError::File`].
    pub(crate) fn check(&self, base: &Snapshot) -> Result<(), TableError> {
        if self.from >= Some(self.to) {
            let from = self.from.map(|seq| seq.0);
            return Err(TableError::Backwards { from, to: self.to.0 });
        }
        let by_hour = base.schema().partition_by() == loglake_model::PartitionBy::Hour;
        match self.files.iter().find(|f| f.partition.hour.is_some() != by_hour) {
            Some(file) => Err(TableError::File {
                path: file.path.clone(),
                problem: "its partition is not of the table's kind",
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "intent_tests.rs"]
mod tests;
