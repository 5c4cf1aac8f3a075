//! The answering side of the doors between members.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow_flight::sql::Any;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::{Action, PutResult};
use futures::{Stream, TryStreamExt, stream};
use loglake_ingest::{Forward, ForwardError, Ingester, Standing};
use tokio::time::{MissedTickBehavior, interval};
use tonic::Status;

use super::wire::{
    FORWARD_TYPE, ForwardAnswer, ForwardCommand, KEY_FATE_ACTION, KeyAnswer, KeyQuestion,
    STANDING_ACTION, StandingMessage, from_json, to_json,
};
use crate::doors::{OpenDoors, Readiness};
use crate::flight::rows;

/// How often an ingester says how it is.
const STANDING_EVERY: Duration = Duration::from_millis(200);

pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The actions of members.
pub(crate) async fn do_action(
    doors: &OpenDoors,
    action: Action,
) -> Result<Answers<arrow_flight::Result>, Status> {
    let ingester = doors.ingester()?;
    match action.r#type.as_str() {
        STANDING_ACTION => Ok(Box::pin(standing(Arc::clone(ingester), doors.readiness.clone()))),
        KEY_FATE_ACTION => {
            let question: KeyQuestion = from_json(&action.body)?;
            let fate = ingester.key_fate(question.writer, &question.key).await;
            let body = to_json(&KeyAnswer::from(fate))?;
            Ok(Box::pin(stream::iter([Ok(arrow_flight::Result { body })])))
        }
        other => Err(Status::invalid_argument(format!("there is no action {other:?}"))),
    }
}

/// How the ingester is, until this process is asked to stop: then the last word is that it takes
/// nothing more.
fn standing(
    ingester: Arc<Ingester>,
    readiness: Readiness,
) -> impl Stream<Item = Result<arrow_flight::Result, Status>> + Send {
    let mut ticks = interval(STANDING_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    stream::unfold(Some((ingester, ticks)), move |talking| {
        let readiness = readiness.clone();
        async move {
            let (ingester, mut ticks) = talking?;
            ticks.tick().await;
            let stays = readiness.is_ready();
            let standing = ingester.standing();
            let standing = Standing { takes_rows: standing.takes_rows && stays, ..standing };
            let body = to_json(&StandingMessage::from(standing));
            let word = body.map(|body| arrow_flight::Result { body });
            Some((word, stays.then_some((ingester, ticks))))
        }
    })
}

/// Rows that another ingester forwards.
pub(crate) async fn do_put(
    doors: &OpenDoors,
    messages: PeekableFlightDataStream,
    command: Any,
) -> Result<Answers<PutResult>, Status> {
    if command.type_url != FORWARD_TYPE {
        return Err(Status::invalid_argument(format!("cannot put {:?}", command.type_url)));
    }
    let ForwardCommand { batch, writer, tenant, name, table } = from_json(&command.value)?;
    let ingester = doors.ingester()?;
    let rows = rows(messages).await?;
    let forward = Forward { batch, writer, tenant, name, table, rows };
    let answer = match ingester.take_forwarded(forward).await {
        Ok(()) => ForwardAnswer::Taken,
        Err(ForwardError::NotTaken(reason)) => ForwardAnswer::NotTaken(reason),
        Err(ForwardError::Unknown(reason)) => ForwardAnswer::Unknown(reason),
    };
    let app_metadata = to_json(&answer)?;
    Ok(Box::pin(stream::iter([Ok(PutResult { app_metadata })])))
}

/// All rows of a put, in one batch.
async fn rows(messages: PeekableFlightDataStream) -> Result<RecordBatch, Status> {
    let batches: Vec<RecordBatch> = rows::batches(messages).try_collect().await?;
    let [first, rest @ ..] = batches.as_slice() else {
        return Err(Status::invalid_argument("a put without rows"));
    };
    if rest.is_empty() {
        return Ok(first.clone());
    }
    concat_batches(&first.schema(), &batches).map_err(|e| {
        Status::invalid_argument(format!("the rows of a put do not fit together: {e}"))
    })
}
