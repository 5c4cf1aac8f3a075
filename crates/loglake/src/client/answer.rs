//! The answer to a query: an Arrow stream (IPC) taken apart as it arrives.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamDecoder;
use reqwest::Response;

use super::ClientError;

/// Batches of one query, in order. Dropping it ends the query.
pub(crate) struct Answer {
    response: Response,
    decoder: StreamDecoder,
    /// Received and not decoded yet.
    received: Buffer,
    /// Decoded while the schema was waited for.
    first: Option<RecordBatch>,
}

impl Answer {
    /// Waits for the schema.
    pub(super) async fn start(response: Response) -> Result<Self, ClientError> {
        let received = Buffer::from(bytes::Bytes::new());
        let mut answer = Self { response, decoder: StreamDecoder::new(), received, first: None };
        while answer.decoder.schema().is_none() {
            match answer.decode_next().await? {
                Step::Batch(batch) => answer.first = Some(batch),
                Step::More => {}
                Step::End => break,
            }
        }
        Ok(answer)
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.decoder.schema().unwrap_or_else(|| Schema::empty().into())
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError`] when the query fails midway or its answer is cut.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, ClientError> {
        if let Some(batch) = self.first.take() {
            return Ok(Some(batch));
        }
        loop {
            match self.decode_next().await? {
                Step::Batch(batch) => return Ok(Some(batch)),
                Step::More => {}
                Step::End => return Ok(None),
            }
        }
    }

    async fn decode_next(&mut self) -> Result<Step, ClientError> {
        if self.received.is_empty() {
            match self.response.chunk().await.map_err(ClientError::Connection)? {
                Some(chunk) => self.received = Buffer::from(chunk),
                None => {
                    self.decoder.finish()?;
                    return Ok(Step::End);
                }
            }
        }
        Ok(match self.decoder.decode(&mut self.received)? {
            Some(batch) => Step::Batch(batch),
            None => Step::More,
        })
    }
}

enum Step {
    Batch(RecordBatch),
    More,
    End,
}
