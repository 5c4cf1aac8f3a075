//! Fresh rows of the other members, by Flight DoGet.
//!
//! The ticket is a message `google.protobuf.Any` of type [`FRESH_ROWS`] around what
//! [`loglake_query::encode_scan`] makes; the answer's first message carries the head in its metadata.
//! A refusal is a gRPC code: `OUT_OF_RANGE` for rows that were let go, `FAILED_PRECONDITION` from a
//! process that is not that writer. Whatever else goes wrong, and any silence longer than a bound,
//! means that the writer's segments are read instead.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::Any;
use arrow_flight::{FlightData, Ticket};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use loglake_coord::{Coordinator, Member};
use loglake_model::WriterId;
use loglake_query::{
    FreshAnswer, FreshAnswerer, FreshError, FreshRows, FreshScan, Unanswered, decode_head,
    encode_scan,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use super::channels::Channels;
use super::own::OwnRows;
use super::patience::Patience;

/// The type of tickets for fresh rows.
pub(crate) const FRESH_ROWS: &str = "loglake/fresh-rows";

/// The longest silence within an answer that has begun.
const SILENCE_MAX: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct FreshSettings {
    /// How long an answer may take to begin, connecting included.
    pub wait: Duration,
}

/// The fresh rows of this process and of every member that has a writer.
pub struct MembersRows {
    own: OwnRows,
    members: watch::Receiver<Arc<Vec<Member>>>,
    channels: Arc<Channels>,
    settings: FreshSettings,
    patience: Mutex<Patience>,
}

impl MembersRows {
    pub fn new(
        own: OwnRows,
        coordinator: &dyn Coordinator,
        channels: Arc<Channels>,
        settings: FreshSettings,
    ) -> Self {
        let members = coordinator.members();
        Self { own, members, channels, settings, patience: Mutex::default() }
    }

    /// The gRPC address of the process that is this writer, as far as is known.
    fn address(&self, writer: WriterId) -> Option<String> {
        let members = self.members.borrow();
        let member = members.iter().find(|member| member.writer == Some(writer))?;
        Some(member.grpc.clone())
    }

    async fn ask(&self, address: &str, scan: &FreshScan) -> Result<FreshAnswer, FreshError> {
        let question = Any { type_url: FRESH_ROWS.to_owned(), value: encode_scan(scan).into() };
        let request = self.channels.request(Ticket::new(question.encode_to_vec()));
        let mut client = self.channels.client(address).map_err(refusal)?;
        let begin = async {
            let messages = client.do_get(request).await.map_err(refusal)?.into_inner();
            let messages = messages.map_err(|status| FlightError::Tonic(Box::new(status)));
            let mut answer = FlightDataDecoder::new(messages);
            let head = answer.next().await;
            Ok::<_, FreshError>((answer, head))
        };
        let begun = timeout(self.settings.wait, begin).await;
        let (mut answer, head) = begun.map_err(|_| Self::silent(self.settings.wait))??;
        let head = head.ok_or_else(|| broken("an answer without a head"))?.map_err(of_flight)?;
        let head = decode_head(&head.inner.app_metadata).map_err(broken)?;
        let mut batches = vec![];
        loop {
            let next = timeout(SILENCE_MAX, answer.next()).await;
            match next.map_err(|_| Self::silent(SILENCE_MAX))? {
                None => break,
                Some(message) => match message.map_err(of_flight)?.payload {
                    DecodedPayload::RecordBatch(batch) => batches.push(batch),
                    DecodedPayload::Schema(_) | DecodedPayload::None => {}
                },
            }
        }
        Ok(FreshAnswer { up_to: head.up_to(), columns: head.columns, batches })
    }

    fn left_alone(&self, address: &str) {
        let members = Arc::clone(&self.members.borrow());
        let mut patience = self.patience.lock();
        patience.keep(|known| members.iter().any(|member| member.grpc == known));
        patience.failed(address, Instant::now());
    }

    fn silent(after: Duration) -> FreshError {
        FreshError::Silent(format!("nothing for {} ms", after.as_millis()))
    }
}

#[tonic::async_trait]
impl FreshRows for MembersRows {
    fn own(&self) -> Option<WriterId> {
        self.own.own()
    }

    fn can_ask(&self, writer: WriterId) -> bool {
        self.own() == Some(writer)
            || self
                .address(writer)
                .is_some_and(|address| self.patience.lock().may_ask(&address, Instant::now()))
    }

    async fn rows(&self, scan: &FreshScan) -> Result<FreshAnswer, FreshError> {
        if self.own() == Some(scan.writer) {
            return self.own.rows(scan).await;
        }
        let address = self.address(scan.writer);
        let address = address.ok_or_else(|| FreshError::Silent("no member".to_owned()))?;
        let answer = self.ask(&address, scan).await;
        match &answer {
            Err(FreshError::Silent(why)) => {
                tracing::info!(address, "read from its segments for a while: {why}");
                self.channels.forget(&address);
                self.left_alone(&address);
            }
            _ => self.patience.lock().answered(&address),
        }
        answer
    }
}

fn broken(what: impl std::fmt::Display) -> FreshError {
    FreshError::Silent(what.to_string())
}

fn of_flight(error: FlightError) -> FreshError {
    match error {
        FlightError::Tonic(status) => refusal(*status),
        other => broken(other),
    }
}

fn refusal(status: Status) -> FreshError {
    match status.code() {
        Code::OutOfRange => FreshError::LetGo,
        Code::FailedPrecondition => FreshError::NotCurrent,
        code => FreshError::Silent(format!("{code:?}: {}", status.message())),
    }
}

/// The answer to a question for this process's rows.
pub(crate) async fn answer(
    answerer: &FreshAnswerer,
    question: &[u8],
) -> Result<impl Stream<Item = Result<FlightData, Status>> + Send + use<>, Status> {
    let rows = answerer.answer(question).await.map_err(|why| match why {
        Unanswered::NotUnderstood(_) => Status::invalid_argument(why.to_string()),
        Unanswered::NoRows(FreshError::LetGo) => Status::out_of_range(why.to_string()),
        Unanswered::NoRows(FreshError::NotCurrent) => Status::failed_precondition(why.to_string()),
        Unanswered::NoRows(FreshError::Silent(_)) => Status::unavailable(why.to_string()),
    })?;
    let encoder = FlightDataEncoderBuilder::new()
        .with_schema(rows.schema())
        .with_metadata(rows.head().to_vec().into());
    let rows = rows.map(|batch| batch.map_err(|e| FlightError::ExternalError(Box::new(e))));
    Ok(encoder.build(stream::iter(rows)).map_err(Status::from))
}

#[cfg(test)]
mod tests;
