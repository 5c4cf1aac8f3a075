//! Answers that may leave something out, for those who ask for that: what is missing is said.
//!
//! A data file or a segment that cannot be read ends a query. With leave to be partial the query begins
//! again without it, and its answer, which is held until it is whole, names it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use loglake_wal::WalError;
use parking_lot::Mutex;

use crate::QueryError;
use crate::answer::QueryAnswer;

/// The rows there are, and what they leave out.
pub struct PartialAnswer {
    pub id: String,
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// One text for each thing that could not be read; empty when nothing is missing.
    pub missing: Vec<String>,
}

impl PartialAnswer {
    /// As an answer like any other, and what is missing in it.
    pub fn into_parts(self) -> (QueryAnswer, Vec<String>) {
        let Self { id, schema, batches, missing } = self;
        let rows = stream::iter(batches.into_iter().map(Ok));
        let stream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rows));
        (QueryAnswer { id, schema, stream }, missing)
    }
}

/// What a query may do without.
#[derive(Debug, Default)]
pub(crate) enum Leave {
    /// Nothing.
    #[default]
    None,
    Taken(Taken),
}

#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Paths of data files.
    files: Mutex<BTreeSet<String>>,
    missing: Mutex<BTreeSet<String>>,
}

impl Leave {
    /// Goes on without what was to be read, or fails as it did.
    pub(crate) fn or_without<T: Default>(
        &self,
        what: impl FnOnce() -> String,
        read: Result<T, WalError>,
    ) -> Result<T, QueryError> {
        match (self, read) {
            (_, Ok(read)) => Ok(read),
            // Trimmed: a newer version has the rows.
            (_, Err(error @ WalError::Gone { .. })) | (Self::None, Err(error)) => Err(error.into()),
            (Self::Taken(taken), Err(error)) => {
                taken.missing.lock().insert(format!("{}: {error}", what()));
                Ok(T::default())
            }
        }
    }

    pub(crate) fn leaves_out(&self, path: &str) -> bool {
        matches!(self, Self::Taken(taken) if taken.files.lock().contains(path))
    }

    /// Whether the query can begin again without the file that failed it.
    pub(crate) fn without_file(&self, error: &QueryError) -> bool {
        match (self, error) {
            (Self::Taken(taken), QueryError::File { path, message, .. }) => {
                taken.missing.lock().insert(format!("{path}: {message}"));
                taken.files.lock().insert(path.clone())
            }
            _ => false,
        }
    }

    fn missing(&self) -> Vec<String> {
        match self {
            Self::None => vec![],
            Self::Taken(taken) => taken.missing.lock().iter().cloned().collect(),
        }
    }
}

/// Takes an answer to its end.
pub(crate) async fn hold(
    answer: QueryAnswer,
    leave: &Leave,
    bytes_max: usize,
) -> Result<PartialAnswer, QueryError> {
    let QueryAnswer { id, schema, mut stream } = answer;
    let (mut batches, mut bytes) = (vec![], 0);
    while let Some(batch) = stream.try_next().await? {
        bytes += batch.get_array_memory_size();
        if bytes > bytes_max {
            return Err(QueryError::too_large(bytes_max));
        }
        batches.push(batch);
    }
    Ok(PartialAnswer { id, schema, batches, missing: leave.missing() })
}
