//! Listeners and their connections: HTTP and gRPC alike, Kafka beside them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::error::FlightError;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use loglake_query::QueryError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::auth::InvalidToken;
use crate::doors::{DoorSettings, Doors, NotOpened, OpenDoors};
use crate::flight;
use crate::kafka::{self, KafkaPort};

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error("fresh rows cannot be served: {0}")]
    Fresh(#[from] QueryError),
    #[error("the flight sql service cannot be built: {0}")]
    Flight(#[from] FlightError),
}

impl From<NotOpened> for ServeError {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::Token(error) => Self::Token(error),
            NotOpened::Fresh(error) => Self::Fresh(error),
        }
    }
}

/// Serves on the sockets (bound by the caller: see [`crate::check_exposure`]) until `stop` is
/// cancelled, then lets running requests end, for a bounded time. `/ready` says no from the first
/// moment of that.
///
/// # Errors
/// [`ServeError`] when a service cannot be built; nothing was served then.
pub async fn serve(
    http: TcpListener,
    grpc: TcpListener,
    kafka: Option<KafkaPort>,
    doors: Doors,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let settings = DoorSettings::default();
    let doors = OpenDoors::new(doors, settings.clone())?;
    let flight_router = flight::router(doors.clone())?;
    let readiness = doors.readiness.clone();
    let unready = async {
        stop.cancelled().await;
        readiness.set(false);
    };
    let kafka = async {
        if let Some(port) = kafka {
            kafka::listen(port, doors.clone(), stop.clone()).await;
        }
    };
    let http = listen(http, crate::http::router(doors.clone()), &settings, &stop);
    let grpc = listen(grpc, flight_router, &settings, &stop);
    tokio::join!(unready, http, grpc, kafka);
    Ok(())
}

async fn listen(
    listener: TcpListener,
    router: Router,
    settings: &DoorSettings,
    stop: &CancellationToken,
) {
    let server = connection_builder(settings);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(settings.connections_max));
    while let Some((stream, place)) = accept_next(&listener, &places, stop).await {
        let service = TowerToHyperService::new(router.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!("a connection ended early: {e}");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(settings.drain_max, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests still ran {} s after the stop", settings.drain_max.as_secs());
    }
}

/// Rest after a failed accept: most often the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The next connection, once there is a place for it; `None` once `stop` is cancelled.
pub(crate) async fn accept_next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    loop {
        match stop.run_until_cancelled(accept(listener, places)).await? {
            Ok(accepted) => return Some(accepted),
            Err(e) => {
                tracing::warn!("a connection could not be accepted: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// HTTP/1.1 and HTTP/2 (with prior knowledge) on one port. Slow heads and dead peers are let go.
fn connection_builder(settings: &DoorSettings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.idle_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.idle_max)
        .keep_alive_timeout(settings.idle_max)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(HTTP2_STREAMS_MAX);
    builder
}

/// HTTP/2's own 64 KiB would bound a result to one window a round trip.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 1 << 20;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const HTTP2_STREAMS_MAX: u32 = 256;
