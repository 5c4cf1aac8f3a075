//! A query's rows as the body of an answer.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use axum::body::Body;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use futures::{StreamExt, stream};
use loglake_model::{ErrorKind, TIMESTAMP};
use loglake_query::QueryError;
use loglake_receive::render_ndjson;

use super::formats::{Encoder, error_line};
use super::guard::Place;
use crate::failure::Failure;

/// Records as they were sent, from rows with the columns of a table.
///
/// # Errors
/// When the query did not keep the table's columns.
pub(super) fn records(schema: &Schema) -> Result<Box<dyn Encoder>, Failure> {
    if schema.column_with_name(TIMESTAMP).is_none() {
        return Err(Failure::invalid("records need the table's columns: SELECT * FROM …"));
    }
    Ok(Box::new(Records))
}

struct Records;

impl Encoder for Records {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut lines = String::new();
        render_ndjson(batch, &mut lines).map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
        Ok(lines.into_bytes())
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        Ok(vec![])
    }

    fn broken(&mut self, failure: &Failure) -> Option<Vec<u8>> {
        Some(error_line(failure))
    }
}

/// Rows on their way out. When the client goes away the body is dropped, and the query with it.
struct Sending {
    rows: SendableRecordBatchStream,
    encoder: Box<dyn Encoder>,
    next: Next,
    /// The request counts among those that run until its last byte is out.
    _place: Place,
}

/// What comes next in a body.
enum Next {
    Rows,
    /// The body ends early: its last frame is an error, so that HTTP/1.1 sends no end of its chunks
    /// and HTTP/2 resets the stream.
    Break(Failure),
    End,
}

/// A body that gives rows as they come. An error after the first bytes breaks it, after a last line
/// that says why where the form has one.
pub(super) fn body(
    rows: SendableRecordBatchStream,
    encoder: Box<dyn Encoder>,
    place: Place,
) -> Body {
    let sending = Sending { rows, encoder, next: Next::Rows, _place: place };
    Body::from_stream(stream::unfold(sending, |mut sending| async move {
        let frame = sending.frame().await?;
        Some((frame, sending))
    }))
}

impl Sending {
    async fn frame(&mut self) -> Option<Result<Bytes, Failure>> {
        match std::mem::replace(&mut self.next, Next::End) {
            Next::End => None,
            Next::Break(failure) => {
                // A turn for the connection to send what it has before it is torn down.
                tokio::task::yield_now().await;
                Some(Err(failure))
            }
            Next::Rows => Some(self.rows().await),
        }
    }

    async fn rows(&mut self) -> Result<Bytes, Failure> {
        loop {
            let encoded = match self.rows.next().await {
                Some(Ok(batch)) => self.encoder.batch(&batch),
                Some(Err(e)) => return self.broken(QueryError::from(e).into()),
                None => {
                    let end = self.encoder.finish().map(Bytes::from);
                    return end.or_else(|e| self.broken(not_encoded(&e)));
                }
            };
            match encoded {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.next = Next::Rows;
                    return Ok(bytes.into());
                }
                Err(e) => return self.broken(not_encoded(&e)),
            }
        }
    }

    fn broken(&mut self, failure: Failure) -> Result<Bytes, Failure> {
        tracing::info!("an answer ends early: {failure}");
        match self.encoder.broken(&failure) {
            Some(line) => {
                self.next = Next::Break(failure);
                Ok(line.into())
            }
            None => Err(failure),
        }
    }
}

fn not_encoded(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(ErrorKind::Internal, format!("the rows cannot be given in this form: {error}"))
}
