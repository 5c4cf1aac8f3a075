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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use datafusion::error::DataFusionError;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use tokio::sync::Semaphore;

    use super::super::formats::Format;
    use super::*;

    /// The frames of a body whose query fails after one row, and whether each is an error.
    async fn frames_of_a_failure(format: Format) -> Vec<(String, bool)> {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("a", values)]).unwrap();
        let schema = batch.schema();
        let encoder = format.encoder(&schema).unwrap();
        let rows = stream::iter([Ok(batch), Err(DataFusionError::Execution("no more".to_owned()))]);
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
        let places = Arc::new(Semaphore::new(1));
        let body = body(rows, encoder, Place::of(Arc::clone(&places)));
        assert_eq!(places.available_permits(), 0);
        let frames = body.into_data_stream().map(|frame| match frame {
            Ok(bytes) => (String::from_utf8_lossy(&bytes).into_owned(), false),
            Err(e) => (e.to_string(), true),
        });
        let frames = frames.collect().await;
        assert_eq!(places.available_permits(), 1);
        frames
    }

    #[tokio::test]
    async fn an_error_after_the_first_bytes_breaks_the_body() {
        let csv = frames_of_a_failure(Format::Csv).await;
        assert_eq!(csv, [("a\n1\n".to_owned(), false), ("no more".to_owned(), true)]);
        let json = frames_of_a_failure(Format::JsonArray).await;
        assert_eq!(json, [("[{\"a\":1}\n".to_owned(), false), ("no more".to_owned(), true)]);
    }

    #[tokio::test]
    async fn ndjson_says_why_before_it_breaks() {
        let frames = frames_of_a_failure(Format::Ndjson).await;
        let line = "{\"error\":{\"kind\":\"invalid\",\"message\":\"no more\"}}\n";
        assert_eq!(frames[0], ("{\"a\":1}\n".to_owned(), false));
        assert_eq!(frames[1], (line.to_owned(), false));
        assert_eq!(frames[2], ("no more".to_owned(), true));
        assert_eq!(frames.len(), 3);
    }
}
