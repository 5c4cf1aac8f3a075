//! Produce: records in. All partitions of a request become one append, or one each with an idempotency
//! key where the producer numbers its records.
//!
//! A partition's records are stored whole or not at all: to a producer an error is one of the batch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use loglake_ingest::{IngestError, RequestKey};
use loglake_model::{ErrorKind, Rejection, TableName};
use loglake_receive::DecodeContext;
use loglake_receive::kafka::{
    DecodedRecords, KafkaError, Producer, RecordsContext, decode_records, is_numbered,
};
use loglake_table::Table;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Kafka;
use super::connection::{Ended, Reply};
use super::protocol::Code;
use super::scram::random;
use super::sequences::{Sequences, Verdict};
use super::wire::{Answer, Fields, Malformed};
use crate::codes::kafka_code;
use crate::doors::OpenDoors;
use crate::failure::Failure;
use crate::http::off_thread;

/// Bytes of the records of one request after decompression.
pub(super) const RECORDS_BYTES_MAX: usize = 64 << 20;
/// How long a producer is asked to wait at a limit.
const THROTTLE_MILLIS: i32 = 1_000;
/// Partitions of a topic.
const ONLY_PARTITION: i32 = 0;

/// A request's place in the order of its connection.
pub(super) struct Turn {
    /// Comes, or is dropped, when the one before is over.
    pub(super) before: Option<oneshot::Receiver<()>>,
    /// Dropped when this one is over.
    pub(super) over: oneshot::Sender<()>,
    pub(super) sequences: Arc<Mutex<Sequences>>,
}

struct Request {
    acks: i16,
    transactional: bool,
    topics: Vec<(String, Vec<Part>)>,
}

/// The records for one partition.
struct Part {
    partition: i32,
    records: Bytes,
    outcome: Outcome,
}

/// What became of a partition's records.
#[derive(Clone, Debug)]
struct Outcome {
    code: Code,
    message: Option<String>,
    refused: Vec<Rejection>,
}

impl Outcome {
    const STORED: Self = Self { code: Code::None, message: None, refused: vec![] };

    fn failed(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()), refused: vec![] }
    }

    fn of_failure(failure: &Failure) -> Self {
        Self::failed(kafka_code(failure.kind()), failure.to_string())
    }

    fn of_kafka(error: &KafkaError) -> Self {
        let code = match error {
            KafkaError::Checksum { .. } => Code::CorruptMessage,
            KafkaError::Malformed(_) | KafkaError::Corrupt { .. } => Code::InvalidRecord,
            KafkaError::OldFormat(_) => Code::UnsupportedForMessageFormat,
            KafkaError::UnknownCodec(_) => Code::UnsupportedCompressionType,
            KafkaError::TooLarge { .. } | KafkaError::TooMany { .. } => Code::MessageTooLarge,
            KafkaError::Transactional => Code::TransactionalIdAuthorizationFailed,
        };
        Self::failed(code, error.to_string())
    }

    fn of_rejections(records: usize, refused: Vec<Rejection>) -> Self {
        let message = format!(
            "{} of {records} records are refused, and with them the batch: record {}: {}",
            refused.len(),
            refused[0].line,
            refused[0].reason
        );
        Self { code: Code::InvalidRecord, message: Some(message), refused }
    }
}

/// Rows that wait to be stored, and the partitions of the request they are of.
struct Ready {
    topic: usize,
    part: usize,
    table: Arc<Table>,
    batch: RecordBatch,
    producer: Option<Producer>,
    bytes: usize,
}

pub(super) async fn answer(
    kafka: &Kafka,
    version: i16,
    body: Bytes,
    turn: Turn,
) -> Result<Reply, Ended> {
    let mut request = read(&body)?;
    drop(body);
    let throttle = store(kafka, &mut request, turn).await;
    if request.acks != 0 {
        return Ok(Reply::Answer(encode(&request, version, throttle)));
    }
    let mut outcomes = request.topics.iter().flat_map(|(_, parts)| parts).map(|p| &p.outcome);
    // Nobody reads an answer: a closed connection says it.
    match outcomes.find(|outcome| outcome.code != Code::None) {
        Some(outcome) => Err(Ended::Unsaid(outcome.message.clone().unwrap_or_default())),
        None => Ok(Reply::Silence),
    }
}

fn read(body: &Bytes) -> Result<Request, Malformed> {
    let mut fields = Fields::new(body);
    let transactional = fields.nullable_string()?.is_some();
    let acks = fields.i16()?;
    fields.i32()?; // how long the client waits: an answer that comes later is its own to handle
    let topics = fields.array(|f| {
        let name = f.string()?.to_owned();
        let parts = f.array(|f| {
            let (partition, records) = (f.i32()?, body.slice_ref(f.bytes()?));
            Ok(Part { partition, records, outcome: Outcome::STORED })
        })?;
        Ok((name, parts))
    })?;
    Ok(Request { acks, transactional, topics })
}

/// Stores what can be stored, and says of each partition what became of it. Milliseconds that the
/// producer is to wait.
async fn store(kafka: &Kafka, request: &mut Request, turn: Turn) -> i32 {
    if request.transactional {
        let code = Code::TransactionalIdAuthorizationFailed;
        let refused = Outcome::failed(code, "transactions are not offered");
        request.topics.iter_mut().flat_map(|(_, p)| p).for_each(|p| p.outcome = refused.clone());
        return 0;
    }
    let mut parts = request.topics.iter().flat_map(|(_, parts)| parts);
    if parts.any(|part| is_numbered(&part.records))
        && let Some(before) = turn.before
    {
        // One after the other, so that none is stored whose predecessor failed. Before anything is taken
        // that the one before may be waiting for.
        let _ = before.await;
    }
    let started = Instant::now();
    let (ready, place) = decoded(kafka, request).await;
    let (numbered, plain): (Vec<_>, Vec<_>) = ready.into_iter().partition(|r| r.producer.is_some());
    if !plain.is_empty() {
        let rows = plain.iter().map(|r| (Arc::clone(&r.table), r.batch.clone())).collect();
        let outcome = match append(&kafka.doors, rows).await {
            Ok(()) => Outcome::STORED,
            Err(failure) => Outcome::of_failure(&failure),
        };
        for ready in &plain {
            request.topics[ready.topic].1[ready.part].outcome = outcome.clone();
            count(&kafka.doors, ready, &outcome, started);
        }
    }
    for ready in numbered {
        let outcome = store_once(kafka, &ready, &turn.sequences).await;
        count(&kafka.doors, &ready, &outcome, started);
        request.topics[ready.topic].1[ready.part].outcome = outcome;
    }
    drop((turn.over, place));
    let full = |part: &Part| part.outcome.code == Code::NotEnoughReplicas;
    let wait = request.topics.iter().flat_map(|(_, parts)| parts).any(full);
    if wait { THROTTLE_MILLIS } else { 0 }
}

fn count(doors: &OpenDoors, ready: &Ready, outcome: &Outcome, started: Instant) {
    doors.metrics.bytes.inc_by(ready.bytes as u64);
    if outcome.code == Code::None {
        doors.metrics.acknowledged(ready.batch.num_rows() as u64, started.elapsed());
    }
}

async fn append(doors: &OpenDoors, rows: Vec<(Arc<Table>, RecordBatch)>) -> Result<(), Failure> {
    Ok(doors.ingester()?.append(rows).await?)
}

/// Stores a batch that its producer may send again, unless it did so before.
async fn store_once(kafka: &Kafka, ready: &Ready, sequences: &Mutex<Sequences>) -> Outcome {
    let Some(producer) = ready.producer else { return Outcome::STORED };
    let topic = ready.table.name().as_str();
    match sequences.lock().check(topic, &producer) {
        Verdict::Store => {}
        Verdict::Known => return Outcome::STORED,
        Verdict::OutOfOrder => {
            let what = "a batch before this one is missing";
            return Outcome::failed(Code::OutOfOrderSequenceNumber, what);
        }
        Verdict::Stale => {
            return Outcome::failed(Code::InvalidProducerEpoch, "the producer was replaced");
        }
    }
    let ingester = match kafka.doors.ingester() {
        Ok(ingester) => ingester,
        Err(failure) => return Outcome::of_failure(&failure),
    };
    let key = key_of(&kafka.doors, topic, &producer);
    let rows = vec![(Arc::clone(&ready.table), ready.batch.clone())];
    match ingester.append_once(key, rows).await {
        Ok(()) => {
            sequences.lock().stored(topic, &producer);
            Outcome::STORED
        }
        Err(e @ IngestError::KeyReused) => {
            Outcome::failed(Code::OutOfOrderSequenceNumber, e.to_string())
        }
        Err(e) => Outcome::of_failure(&e.into()),
    }
}

/// The idempotency key of a batch. Its newlines keep it apart from those that HTTP can send. As in
/// Kafka the last sequence number tells another batch under the same first one.
fn key_of(doors: &OpenDoors, topic: &str, producer: &Producer) -> RequestKey {
    let Producer { id, epoch, first_sequence, last_sequence } = producer;
    let key = format!("kafka\n{id}\n{epoch}\n{topic}\n{ONLY_PARTITION}\n{first_sequence}");
    RequestKey::new(&doors.tenant, &key, [last_sequence.to_string().as_bytes()])
}

/// The rows of all partitions that have no error yet, and the place that they take.
async fn decoded(kafka: &Kafka, request: &mut Request) -> (Vec<Ready>, Option<impl Sized + use<>>) {
    // Never closed; held until the rows have their place.
    let _decoder = kafka.decoders.acquire().await.ok();
    let (mut ready, mut left) = (vec![], RECORDS_BYTES_MAX);
    for (topic, (name, parts)) in request.topics.iter_mut().enumerate() {
        let table = table(&kafka.doors, name).await;
        for (part, Part { partition, records, outcome }) in parts.iter_mut().enumerate() {
            let records = std::mem::take(records);
            let rows = match &table {
                Err(refused) => Err(refused.clone()),
                Ok(_) if *partition != ONLY_PARTITION => Err(Outcome::failed(
                    Code::UnknownTopicOrPartition,
                    "a topic has one partition, 0",
                )),
                Ok(table) => decode(kafka, Arc::clone(table), records, left).await,
            };
            match rows {
                Ok((table, DecodedRecords { decoded, bytes, producer, .. })) => {
                    left -= bytes;
                    ready.push(Ready { topic, part, table, batch: decoded.batch, producer, bytes });
                }
                Err(refused) => *outcome = refused,
            }
        }
    }
    let place = kafka.doors.place(RECORDS_BYTES_MAX - left).await;
    (ready, place)
}

async fn table(doors: &OpenDoors, name: &str) -> Result<Arc<Table>, Outcome> {
    let name =
        TableName::new(name).map_err(|e| Outcome::failed(Code::InvalidTopic, e.to_string()))?;
    let found = async { Ok::<_, Failure>(doors.ingester()?.table(&doors.tenant, &name).await?) };
    found.await.map_err(|failure| Outcome::of_failure(&failure))
}

/// Records up to this size are decoded where they are: the way to another thread would cost more.
const INLINE_BYTES: usize = 32 << 10;

async fn decode(
    kafka: &Kafka,
    table: Arc<Table>,
    records: Bytes,
    bytes_max: usize,
) -> Result<(Arc<Table>, DecodedRecords), Outcome> {
    let (doors, fields) = (kafka.doors.clone(), kafka.settings.fields);
    let inline = records.len() <= INLINE_BYTES;
    let schema = Arc::clone(table.current().schema());
    let work = move || {
        let arrival = doors.clock.now();
        let decode = DecodeContext { schema: &schema, limits: &doors.limits, arrival };
        let partition = ONLY_PARTITION;
        decode_records(&records, &RecordsContext { decode, partition, fields, bytes_max })
    };
    let decoded = match inline {
        true => work(),
        false => off_thread(work).await.map_err(|failure| Outcome::of_failure(&failure))?,
    };
    let decoded = decoded.map_err(|error| Outcome::of_kafka(&error))?;
    let refused = &decoded.decoded.rejections;
    if !refused.is_empty() {
        kafka.doors.metrics.rejected.inc_by(decoded.records as u64);
        return Err(Outcome::of_rejections(decoded.records, refused.clone()));
    }
    Ok((table, decoded))
}

fn encode(request: &Request, version: i16, throttle: i32) -> Answer {
    let mut answer = Answer::default();
    answer.array(&request.topics, |answer, (name, parts)| {
        answer.string(name).array(parts, |answer, part| {
            let Outcome { code, message, refused } = &part.outcome;
            answer.i32(part.partition).i16(*code as i16);
            // Where the rows will stand in their second is not known yet; times are the producer's.
            answer.i64(-1).i64(-1);
            if version >= 5 {
                answer.i64(-1);
            }
            if version >= 8 {
                answer.array(refused, |answer, rejection| {
                    answer.i32(rejection.line as i32 - 1).string(&rejection.reason);
                });
                answer.nullable_string(message.as_deref());
            }
        });
    });
    answer.i32(throttle);
    answer
}

/// InitProducerId: a number that no other producer has, on any node in any life.
pub(super) fn init_producer_id(fields: &mut Fields<'_>) -> Result<Answer, Malformed> {
    let transactional = fields.nullable_string()?.is_some();
    let (code, id) = match random() {
        _ if transactional => (Code::TransactionalIdAuthorizationFailed, -1),
        Ok(bytes) => (Code::None, i64::from_be_bytes(bytes) & i64::MAX),
        Err(_) => (kafka_code(ErrorKind::Internal), -1),
    };
    let epoch = if id < 0 { -1 } else { 0 };
    let mut answer = Answer::default();
    answer.i32(0).i16(code as i16).i64(id).i16(epoch);
    Ok(answer)
}
