//! Fetch: rows of tables, by the places that [`super::places`] gives them.

use std::collections::HashSet;
use std::time::Duration;

use loglake_model::TableName;
use loglake_receive::kafka::{Served, encode};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Kafka;
use super::places::{Place, settled_end};
use super::protocol::Code;
use super::rows::{Row, rows_from};
use super::wire::{Answer, Fields, Malformed};
use crate::codes::kafka_code;

/// Bytes of records of one answer.
const BYTES_MAX: usize = 16 << 20;
/// The longest that a consumer without news is let wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

struct Request {
    wait: Duration,
    bytes_max: usize,
    topics: Vec<(String, Vec<Wanted>)>,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    partition: i32,
    offset: i64,
    bytes_max: usize,
}

struct Part {
    partition: i32,
    code: Code,
    end: i64,
    records: Vec<u8>,
}

pub(super) async fn answer(
    kafka: &Kafka,
    waits: &CancellationToken,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    let request = read(version, fields)?;
    let mut served = serve(kafka, &request).await;
    let nothing = |served: &[(String, Vec<Part>)]| {
        let mut all = served.iter().flat_map(|(_, parts)| parts);
        all.all(|part| part.records.is_empty() && part.code == Code::None)
    };
    if nothing(&served) && !request.wait.is_zero() {
        let waited = waits.run_until_cancelled(sleep(request.wait)).await;
        if waited.is_some() {
            served = serve(kafka, &request).await;
        }
    }
    Ok(write(version, served))
}

fn read(version: i16, fields: &mut Fields<'_>) -> Result<Request, Malformed> {
    fields.i32()?; // a replica's number
    let wait = Duration::from_millis(u64::try_from(fields.i32()?).unwrap_or(0)).min(WAIT_MAX);
    fields.i32()?; // bytes that are worth an answer: any are
    let bytes_max = usize::try_from(fields.i32()?).unwrap_or(0).min(BYTES_MAX);
    fields.i8()?; // isolation: there are no transactions
    if version >= 7 {
        fields.i32()?; // sessions are not kept: each request says all
        fields.i32()?;
    }
    let topics = fields.array(|f| {
        let name = f.string()?.to_owned();
        let wanted = f.array(|f| {
            let partition = f.i32()?;
            if version >= 9 {
                f.i32()?;
            }
            let offset = f.i64()?;
            if version >= 5 {
                f.i64()?;
            }
            let bytes_max = usize::try_from(f.i32()?).unwrap_or(0);
            Ok(Wanted { partition, offset, bytes_max })
        })?;
        Ok((name, wanted))
    })?;
    Ok(Request { wait, bytes_max, topics })
}

async fn serve(kafka: &Kafka, request: &Request) -> Vec<(String, Vec<Part>)> {
    let mut left = request.bytes_max;
    let (mut served, mut named) = (vec![], HashSet::new());
    for (topic, wanted) in &request.topics {
        let mut parts = vec![];
        for wanted in wanted {
            let partition = wanted.partition;
            // As Kafka has it: each partition once, so that a request asks no table twice.
            let part = match named.insert((topic, partition)) {
                true => serve_one(kafka, topic, *wanted, left).await,
                false => Part { partition, code: Code::InvalidRequest, end: -1, records: vec![] },
            };
            left = left.saturating_sub(part.records.len());
            parts.push(part);
        }
        served.push((topic.clone(), parts));
    }
    served
}

async fn serve_one(kafka: &Kafka, topic: &str, wanted: Wanted, left: usize) -> Part {
    let end = settled_end(kafka.doors.clock.now(), kafka.settings.settle);
    let partition = wanted.partition;
    let served = |code, records| Part { partition, code, end: end.offset(), records };
    let Ok(table) = TableName::new(topic) else { return served(Code::InvalidTopic, vec![]) };
    if partition != 0 {
        return served(Code::UnknownTopicOrPartition, vec![]);
    }
    let bytes_max = wanted.bytes_max.min(left);
    if bytes_max == 0 {
        return served(Code::None, vec![]);
    }
    match rows_from(kafka, &table, Place::of_offset(wanted.offset), end, bytes_max).await {
        Ok(rows) => served(Code::None, batches(&rows)),
        Err(failure) => {
            tracing::debug!(topic, "rows are not served: {failure}");
            served(kafka_code(failure.kind()), vec![])
        }
    }
}

/// A batch for each second: within one, offsets are never too far apart.
fn batches(rows: &[Row]) -> Vec<u8> {
    let mut bytes = vec![];
    for second in rows.chunk_by(|a, b| a.place.second == b.place.second) {
        let records: Vec<Served<'_>> = second
            .iter()
            .map(|row| Served {
                offset: row.place.offset(),
                timestamp: row.millis,
                value: row.json.as_bytes(),
            })
            .collect();
        encode(&records, &mut bytes);
    }
    bytes
}

fn write(version: i16, served: Vec<(String, Vec<Part>)>) -> Answer {
    let mut answer = Answer::default();
    answer.i32(0);
    if version >= 7 {
        answer.i16(Code::None as i16).i32(0); // no session
    }
    answer.array(served, |answer, (topic, parts)| {
        answer.string(&topic).array(parts, |answer, part| {
            answer.i32(part.partition).i16(part.code as i16).i64(part.end).i64(part.end);
            if version >= 5 {
                answer.i64(0); // where the topic begins
            }
            answer.i32(0); // nothing was aborted
            if version >= 11 {
                answer.i32(-1);
            }
            answer.bytes(&part.records);
        });
    });
    answer
}
