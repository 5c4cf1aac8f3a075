//! What a route leaves of a request's body is read before its answer goes out.
//!
//! Over HTTP/1.1 a connection whose request was not read to its end cannot carry another one: it would be
//! closed after the answer, and the next request of a client that keeps connections fails. Many routes
//! need nothing of their bodies, as that of a template, and refusals come before a body is looked at.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::oneshot;

/// Bytes that are read to keep a connection; for more a new one is cheaper.
const BYTES_MAX: usize = 256 << 10;
/// How long they may take to come.
const WAIT_MAX: Duration = Duration::from_secs(1);

pub(super) async fn read_leftover(request: Request, next: Next) -> Response {
    // Who waits for word before the body is sent takes the refusal for it.
    let is_held_back = request.headers().contains_key(header::EXPECT);
    if is_held_back || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (to, mut left) = oneshot::channel();
    let request = request.map(|body| {
        let body = Watched { body: Some(body.into_data_stream()), left: Some(to) };
        Body::from_stream(body)
    });
    let response = next.run(request).await;
    // A body that still is with a task, or was read to its end, is not there.
    if let Ok(body) = left.try_recv() {
        let _ = tokio::time::timeout(WAIT_MAX, read(body)).await;
    }
    response
}

async fn read(mut body: BodyDataStream) {
    let mut bytes = 0;
    while bytes < BYTES_MAX
        && let Some(Ok(part)) = body.next().await
    {
        bytes += part.len();
    }
}

/// A body that is given back when it is dropped before its end.
struct Watched {
    body: Option<BodyDataStream>,
    left: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = body.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let (Some(body), Some(left)) = (self.body.take(), self.left.take()) {
            // The request was given up where nobody takes it.
            let _ = left.send(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::put;
    use futures::stream;
    use tower::ServiceExt;

    use super::*;

    const PART: &[u8] = &[b' '; 16 << 10];

    /// A body of that many parts, none of which is there at once, and how many of them were read.
    fn body_of(parts: usize) -> (Body, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let parts = stream::iter(0..parts).then(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::task::yield_now().await;
                Ok::<_, axum::Error>(Bytes::from_static(PART))
            }
        });
        (Body::from_stream(parts), read)
    }

    async fn send(body: Body, expect: Option<&str>) {
        let router = Router::new().route("/", put(async || "done")).layer(from_fn(read_leftover));
        let mut request = Request::put("/");
        if let Some(expect) = expect {
            request = request.header(header::EXPECT, expect);
        }
        let response = router.oneshot(request.body(body).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
    }

    #[tokio::test]
    async fn a_body_that_the_route_does_not_read_is_read() {
        let (body, read) = body_of(3);
        send(body, None).await;
        assert_eq!(read.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_long_body_is_left_and_one_that_was_not_sent_too() {
        let (body, read) = body_of(usize::MAX);
        send(body, None).await;
        assert_eq!(read.load(Ordering::Relaxed), BYTES_MAX / PART.len());
        let (body, read) = body_of(3);
        send(body, Some("100-continue")).await;
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        send(Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>()), None).await;
    }
}
