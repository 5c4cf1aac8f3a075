//! A request's body as blocks of whole lines, read no faster than they are used.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use loglake_model::ErrorKind;
use loglake_receive::{Block, BodyError, BodyReader, Encoding};
use prometheus_client::metrics::counter::Counter;

use crate::doors::OpenDoors;
use crate::failure::Failure;

/// How a body is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    /// Lines, or one JSON array whose elements count as lines.
    LinesOrArray,
    Lines,
}

/// The body's blocks in order. The first error ends the stream; blocks before it stand.
///
/// # Errors
/// 415 for a `Content-Encoding` that is not understood.
pub(super) fn blocks(
    doors: &OpenDoors,
    headers: &HeaderMap,
    body: Body,
    form: BodyForm,
) -> Result<BoxStream<'static, Result<Block, Failure>>, Failure> {
    let encoding = encoding(headers)?;
    let reader = match form {
        BodyForm::LinesOrArray => BodyReader::new(encoding, &doors.limits),
        BodyForm::Lines => BodyReader::of_lines(encoding, &doors.limits),
    };
    let reading = Reading {
        pieces: body.into_data_stream(),
        reader: Some(reader),
        ended: false,
        compressed: encoding != Encoding::Identity,
        idle_max: doors.settings.idle_max,
        bytes: doors.metrics.bytes.clone(),
    };
    let blocks = stream::unfold(reading, |mut reading| async move {
        let block = reading.next().await.transpose()?;
        Some((block, reading))
    });
    Ok(blocks.boxed())
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Failure> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    value.to_str().ok().and_then(Encoding::of_header).ok_or_else(|| {
        let message = format!("content-encoding is {value:?}, not gzip, zstd or identity");
        Failure::invalid(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    })
}

struct Reading {
    pieces: BodyDataStream,
    /// `None` once the body is over or broken.
    reader: Option<BodyReader>,
    /// Whether the last piece was read.
    ended: bool,
    /// Whether unpacking is work worth another thread.
    compressed: bool,
    idle_max: Duration,
    bytes: Counter,
}

/// What the reader is fed with.
enum Feed {
    /// Nothing: there may be another block in what it has.
    Nothing,
    Piece(Bytes),
    End,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Block>, Failure> {
        let mut feed = Feed::Nothing;
        while let Some(reader) = self.reader.take() {
            let (reader, block) = match self.compressed {
                true => off_thread(move || fed(reader, feed)).await?,
                false => fed(reader, feed),
            };
            if let Some(block) = block.map_err(|e| refused(&e))? {
                self.bytes.inc_by(block.bytes.len() as u64);
                self.reader = Some(reader);
                return Ok(Some(block));
            }
            if self.ended {
                return Ok(None);
            }
            self.reader = Some(reader);
            feed = self.piece().await?;
        }
        Ok(None)
    }

    async fn piece(&mut self) -> Result<Feed, Failure> {
        match tokio::time::timeout(self.idle_max, self.pieces.next()).await {
            Ok(Some(Ok(piece))) => Ok(Feed::Piece(piece)),
            Ok(Some(Err(e))) => Err(Failure::invalid(format!("the body broke off: {e}"))),
            Ok(None) => {
                self.ended = true;
                Ok(Feed::End)
            }
            Err(_) => {
                let message = format!("the body was silent for {} s", self.idle_max.as_secs());
                Err(Failure::invalid(message).with_status(StatusCode::REQUEST_TIMEOUT))
            }
        }
    }
}

/// One step of the reader, which goes along with the work.
fn fed(mut reader: BodyReader, feed: Feed) -> (BodyReader, Result<Option<Block>, BodyError>) {
    match feed {
        Feed::Nothing => {}
        Feed::Piece(piece) => reader.push(&piece),
        Feed::End => reader.finish(),
    }
    let block = reader.next_block();
    (reader, block)
}

fn refused(error: &BodyError) -> Failure {
    let failure = Failure::new(error.kind(), error.to_string());
    match error {
        BodyError::TooLarge { .. } => failure.with_status(StatusCode::PAYLOAD_TOO_LARGE),
        BodyError::Corrupt { .. } => failure,
    }
}

/// Blocks of one body that are decoded or stored at once: one is read while one is decoded and one
/// waits for the log.
const BLOCKS_IN_FLIGHT: usize = 3;

/// What becomes of the blocks, in order, a few at once. The first is alone: a sender whose first block
/// was refused is told to come back with everything, so nothing of it may be stored by then.
pub(super) fn stored_in_order<F: Future>(
    blocks: impl Stream<Item = F>,
) -> impl Stream<Item = F::Output> {
    let blocks = Box::pin(blocks);
    let outcomes = async move {
        let (first, rest) = blocks.into_future().await;
        let first = match first {
            Some(first) => Some(first.await),
            None => None,
        };
        stream::iter(first).chain(rest.buffered(BLOCKS_IN_FLIGHT))
    };
    stream::once(outcomes).flatten()
}

/// Runs work of milliseconds where it holds up nobody else.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Failure::new(ErrorKind::Internal, format!("a decoder ended early: {e}")))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn nothing_is_begun_before_the_first_block_is_stored() {
        let begun = AtomicUsize::new(0);
        let blocks = stream::iter(0..5).map(|block| {
            let begun = &begun;
            async move {
                begun.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                (block, begun.load(Ordering::Relaxed))
            }
        });
        let outcomes: Vec<_> = stored_in_order(blocks).collect().await;
        assert_eq!(outcomes[0], (0, 1));
        assert_eq!(outcomes.iter().map(|(block, _)| *block).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
