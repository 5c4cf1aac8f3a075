//! The answer of a query: a stream that ends at the deadline and stops the work when it is dropped.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::EmptyRecordBatchStream;
use futures::{Stream, StreamExt};
use tokio::time::{Sleep, sleep_until};

use crate::QueryError;
use crate::running::RunningQuery;
use crate::session::QuerySession;

/// Rows on their way. An error of the stream becomes a [`QueryError`] by `QueryError::from`.
pub struct QueryAnswer {
    /// The query's name in `lake.queries`.
    pub id: String,
    pub schema: SchemaRef,
    pub stream: SendableRecordBatchStream,
}

/// When a query must be over, and how long that was from its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: tokio::time::Instant,
    pub(crate) after: Duration,
}

impl Deadline {
    pub(crate) fn after(after: Duration) -> Self {
        Self { at: tokio::time::Instant::now() + after, after }
    }

    pub(crate) const fn error(&self) -> QueryError {
        QueryError::TimedOut(self.after)
    }
}

/// Rows of a query on several queriers that are held back before the first goes out: an answer of
/// fewer is whole, or the query is tried again, whichever querier is lost.
const HELD_BYTES: usize = 1 << 20;

/// A query that runs: its first batches were asked for, so that what fails early failed already.
pub(crate) struct Started {
    pub(crate) first: VecDeque<RecordBatch>,
    pub(crate) rest: SendableRecordBatchStream,
    /// What the query's names stand for, with the account of its rows' memory.
    pub(crate) bound: Arc<QuerySession>,
    /// Whether it runs on several queriers.
    pub(crate) was_spread: bool,
}

impl Started {
    /// Waits for the first batch, of a query on several queriers for [`HELD_BYTES`] or the end.
    pub(crate) async fn after_first_rows(
        mut rest: SendableRecordBatchStream,
        bound: Arc<QuerySession>,
        was_spread: bool,
    ) -> Result<Self> {
        let held_bytes = if was_spread { HELD_BYTES } else { 1 };
        let (mut first, mut bytes) = (VecDeque::new(), 0);
        while bytes < held_bytes {
            let Some(batch) = rest.next().await.transpose()? else {
                rest = Box::pin(EmptyRecordBatchStream::new(rest.schema()));
                break;
            };
            bytes += batch.get_array_memory_size().max(1);
            first.push_back(batch);
        }
        Ok(Self { first, rest, bound, was_spread })
    }
}

/// DataFusion's stream, after the batches that were asked for already, with a deadline and the count
/// of rows. Ends for good at its first error.
pub(crate) struct AnswerStream {
    schema: SchemaRef,
    first: VecDeque<RecordBatch>,
    /// Gone once the answer is over: the work behind it stops with it.
    rest: Option<SendableRecordBatchStream>,
    _bound: Arc<QuerySession>,
    was_spread: bool,
    deadline: Deadline,
    alarm: Pin<Box<Sleep>>,
    query: RunningQuery,
}

impl AnswerStream {
    pub(crate) fn new(started: Started, deadline: Deadline, query: RunningQuery) -> Self {
        let alarm = Box::pin(sleep_until(deadline.at));
        let Started { first, rest, bound, was_spread } = started;
        let schema = rest.schema();
        Self { schema, first, rest: Some(rest), _bound: bound, was_spread, deadline, alarm, query }
    }

    fn fail(&mut self, error: QueryError) -> Poll<Option<Result<RecordBatch>>> {
        self.rest = None;
        self.query.failed(&error);
        Poll::Ready(Some(Err(error.into())))
    }
}

impl Stream for AnswerStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        if this.alarm.as_mut().poll(cx).is_ready() {
            let error = this.deadline.error();
            return this.fail(error);
        }
        let next = match this.first.pop_front() {
            Some(first) => Some(Ok(first)),
            None => match rest.as_mut().poll_next(cx) {
                Poll::Ready(next) => next,
                Poll::Pending => return Poll::Pending,
            },
        };
        match next {
            Some(Ok(batch)) => {
                this.query.sent(batch.num_rows());
                Poll::Ready(Some(Ok(batch)))
            }
            Some(Err(error)) => {
                let error = QueryError::from(error);
                let was_spread = this.was_spread;
                this.fail(if was_spread { error.of_several_queriers() } else { error })
            }
            None => {
                this.rest = None;
                this.query.done();
                Poll::Ready(None)
            }
        }
    }
}

impl RecordBatchStream for AnswerStream {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use datafusion::error::DataFusionError;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::stream;

    use super::*;

    /// What starts from `good` batches of 8 kB each and then an error.
    async fn started(good: usize, was_spread: bool) -> Result<Started> {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let batch = RecordBatch::try_from_iter([("a", values)]).unwrap();
        let schema = batch.schema();
        let lost = Err(DataFusionError::Execution("a querier is lost".to_owned()));
        let rows = stream::iter(std::iter::repeat_n(batch, good).map(Ok).chain([lost]));
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
        let bound = Arc::new(QuerySession::of_nothing()?);
        Started::after_first_rows(rows, bound, was_spread).await
    }

    #[tokio::test]
    async fn a_spread_query_that_fails_within_the_held_rows_fails_before_it_starts() {
        assert!(started(20, true).await.is_err());
        let large = started(200, true).await.unwrap();
        let bytes: usize = large.first.iter().map(RecordBatch::get_array_memory_size).sum();
        assert!((HELD_BYTES..HELD_BYTES + 10_000).contains(&bytes), "{bytes}");
        // On one querier rows go out as they come.
        assert_eq!(started(20, false).await.unwrap().first.len(), 1);
    }
}
