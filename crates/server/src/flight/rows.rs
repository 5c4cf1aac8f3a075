//! Rows that somebody puts, read with care. Arrow's reader believes what it reads: the length in front of a
//! compressed buffer reserves as much memory, which ends the process, and what does not fit together panics.

use std::task::Poll;

use arrow::array::RecordBatch;
use arrow::ipc::{MessageHeader, root_as_message};
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use tonic::Status;

use crate::caught::caught;

/// Bytes of one message's buffers after decompression, and rows of one of its columns.
const UNPACKED_MAX: u64 = 256 << 20;

/// The batches of a put.
///
/// # Errors
/// `InvalidArgument` for what is no batch or would be too large.
pub(crate) fn batches(
    messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> BoxStream<'static, Result<RecordBatch, Status>> {
    let checked = messages.map(|message| {
        let message = message.and_then(|message| check(&message).map(|()| message));
        message.map_err(|status| FlightError::Tonic(Box::new(status)))
    });
    let mut read = Some(FlightRecordBatchStream::new_from_flight_data(checked));
    let batches = stream::poll_fn(move |context| {
        let Some(reader) = &mut read else { return Poll::Ready(None) };
        match caught(|| reader.poll_next_unpin(context)) {
            Some(batch) => batch,
            None => {
                read = None;
                let error = unreadable("their parts do not fit together");
                Poll::Ready(Some(Err(FlightError::Tonic(Box::new(error)))))
            }
        }
    });
    let plain = |error| match error {
        FlightError::Tonic(status) => *status,
        error => unreadable(&error.to_string()),
    };
    batches.map(move |batch| batch.map_err(plain)).boxed()
}

fn unreadable(why: &str) -> Status {
    Status::invalid_argument(format!("the rows cannot be read: {why}"))
}

/// Whether a message asks for no more memory than it may (Arrow's columnar format, "Encapsulated message
/// format": each compressed buffer begins with its length).
fn check(message: &FlightData) -> Result<(), Status> {
    if message.data_header.is_empty() {
        return Ok(());
    }
    let head = root_as_message(&message.data_header).map_err(|e| unreadable(&e.to_string()))?;
    let batch = match head.header_type() {
        MessageHeader::RecordBatch => head.header_as_record_batch(),
        MessageHeader::DictionaryBatch => head.header_as_dictionary_batch().and_then(|d| d.data()),
        _ => None,
    };
    let Some(batch) = batch else { return Ok(()) };
    let nodes = batch.nodes().into_iter().flatten().map(|node| node.length());
    let rows = nodes.chain([batch.length()]).map(|rows| u64::try_from(rows).unwrap_or(u64::MAX));
    if rows.max().is_some_and(|rows| rows > UNPACKED_MAX) {
        return Err(unreadable("a column has more rows than a message may have"));
    }
    if batch.compression().is_none() {
        return Ok(());
    }
    let mut unpacked = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let from = usize::try_from(buffer.offset()).ok();
        let length = from.and_then(|from| message.data_body.get(from..)?.first_chunk::<8>());
        // -1 says that the buffer is not compressed; one without bytes has no length.
        let length = length.map_or(0, |bytes| i64::from_le_bytes(*bytes).max(0));
        unpacked = unpacked.saturating_add(length.cast_unsigned());
    }
    if unpacked > UNPACKED_MAX {
        return Err(unreadable(&format!(
            "a message has at most {UNPACKED_MAX} bytes after decompression, not {unpacked}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::IpcWriteOptions;
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use futures::{TryStreamExt, stream};

    use super::*;

    async fn messages(compression: Option<CompressionType>) -> Vec<FlightData> {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
        let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let encoder = FlightDataEncoderBuilder::new().with_options(options);
        encoder.build(stream::iter([Ok(rows)])).try_collect().await.unwrap()
    }

    async fn read(messages: Vec<FlightData>) -> Result<usize, Status> {
        let batches = batches(stream::iter(messages.into_iter().map(Ok)));
        let batches: Vec<RecordBatch> = batches.try_collect().await?;
        Ok(batches.iter().map(RecordBatch::num_rows).sum())
    }

    #[tokio::test]
    async fn what_is_well_formed_is_read() {
        for compression in [None, Some(CompressionType::LZ4_FRAME)] {
            assert_eq!(read(messages(compression).await).await.unwrap(), 1_000);
        }
    }

    #[tokio::test]
    async fn lengths_are_not_believed() {
        let mut claims_much = messages(Some(CompressionType::LZ4_FRAME)).await;
        let body = &mut claims_much.last_mut().unwrap().data_body;
        let mut bytes = body.to_vec();
        bytes[..8].copy_from_slice(&i64::MAX.to_le_bytes());
        *body = bytes.into();
        let refused = read(claims_much).await.unwrap_err();
        assert!(refused.message().contains("after decompression"), "{refused:?}");

        let mut has_no_body = messages(None).await;
        has_no_body.last_mut().unwrap().data_body.clear();
        assert_eq!(read(has_no_body).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }

    #[tokio::test]
    async fn each_byte_of_a_header_may_be_wrong() {
        let sent = messages(None).await;
        let header = sent.last().unwrap().data_header.clone();
        for at in 0..header.len() {
            let mut changed = header.to_vec();
            changed[at] ^= 0x55;
            let mut sent = sent.clone();
            sent.last_mut().unwrap().data_header = changed.into();
            if let Err(refused) = read(sent).await {
                assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{at}: {refused:?}");
            }
        }
    }
}
