//! Many bodies to one table, a few requests at a time.

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::task::JoinHandle;

use super::{Client, ClientError, Ingested};

/// How bodies travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    /// zstd at level 1.
    Zstd,
}

/// NDJSON for one request, and what its lines are to the sender.
#[derive(Debug)]
pub(crate) struct Body<O> {
    pub(crate) ndjson: Bytes,
    /// Given back with the answer.
    pub(crate) origin: O,
}

/// A body that the lake has answered for.
#[derive(Debug)]
pub(crate) struct Sent<O> {
    pub(crate) ingested: Ingested,
    pub(crate) origin: O,
}

/// Why a body was not taken, with its origin.
pub(crate) type Outcome<O> = Result<Sent<O>, (ClientError, O)>;

/// Keeps up to `in_flight_max` requests under way, so at most as many bodies in memory.
pub(crate) struct Uploader<O> {
    client: Client,
    table: String,
    encoding: Encoding,
    in_flight_max: usize,
    in_flight: FuturesUnordered<JoinHandle<Outcome<O>>>,
}

impl<O: Send + 'static> Uploader<O> {
    pub(crate) fn new(
        client: Client,
        table: &str,
        encoding: Encoding,
        in_flight_max: usize,
    ) -> Self {
        let in_flight = FuturesUnordered::new();
        Self { client, table: table.to_owned(), encoding, in_flight_max, in_flight }
    }

    /// The next answer while no place is free for a request; `None` when one is. To be called until
    /// then before [`Self::start`]; may be dropped while it waits.
    pub(crate) async fn make_room(&mut self) -> Option<Outcome<O>> {
        if self.in_flight.len() < self.in_flight_max {
            return None;
        }
        self.next().await
    }

    /// Starts sending.
    pub(crate) fn start(&mut self, body: Body<O>) {
        let (client, table, encoding) = (self.client.clone(), self.table.clone(), self.encoding);
        self.in_flight.push(tokio::spawn(send(client, table, encoding, body)));
    }

    /// The next answer, of any request under way; `None` when there is none under way.
    pub(crate) async fn next(&mut self) -> Option<Outcome<O>> {
        match self.in_flight.next().await? {
            Ok(outcome) => Some(outcome),
            // A panic is a defect and ends the command with its own message.
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }
}

async fn send<O: Send + 'static>(
    client: Client,
    table: String,
    encoding: Encoding,
    body: Body<O>,
) -> Outcome<O> {
    let Body { ndjson, origin } = body;
    let encoded = match encoding {
        Encoding::Identity => ndjson,
        Encoding::Zstd => compress(ndjson).await,
    };
    match client.ingest(&table, &encoded, encoding).await {
        Ok(ingested) => Ok(Sent { ingested, origin }),
        Err(e) => Err((e, origin)),
    }
}

async fn compress(ndjson: Bytes) -> Bytes {
    let compressed = tokio::task::spawn_blocking(move || {
        zstd::bulk::compress(&ndjson, 1).expect("zstd writes to memory of its own sizing")
    });
    match compressed.await {
        Ok(bytes) => bytes.into(),
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}
