//! ListOffsets: where a topic begins, where it ends, and where it is at a time.

use std::collections::HashSet;

use loglake_model::TableName;

use super::Kafka;
use super::places::{Place, settled_end};
use super::protocol::Code;
use super::rows::{first_at, place_at};
use super::wire::{Answer, Fields, Malformed};
use crate::codes::kafka_code;
use crate::failure::Failure;

/// What stands for a time.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// The partition, and where it is at the time: with no row at or after it, nowhere.
struct Found {
    partition: i32,
    code: Code,
    millis: i64,
    offset: i64,
}

pub(super) async fn answer(
    kafka: &Kafka,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    fields.i32()?; // a replica's number
    if version >= 2 {
        fields.i8()?; // isolation
    }
    let topics = fields.array(|f| {
        let name = f.string()?.to_owned();
        let asked = f.array(|f| {
            let partition = f.i32()?;
            if version >= 4 {
                f.i32()?;
            }
            Ok((partition, f.i64()?))
        })?;
        Ok((name, asked))
    })?;
    let (mut found, mut named) = (vec![], HashSet::new());
    for (topic, asked) in topics {
        let mut of_topic = vec![];
        for (partition, millis) in asked {
            // As Kafka has it: each partition once, so that a request asks no table twice.
            of_topic.push(match named.insert((topic.clone(), partition)) {
                true => find(kafka, &topic, partition, millis).await,
                false => Found { partition, code: Code::InvalidRequest, millis: -1, offset: -1 },
            });
        }
        found.push((topic, of_topic));
    }
    let mut answer = Answer::default();
    if version >= 2 {
        answer.i32(0);
    }
    answer.array(found, |answer, (topic, of_topic)| {
        answer.string(&topic).array(of_topic, |answer, found| {
            answer.i32(found.partition).i16(found.code as i16).i64(found.millis).i64(found.offset);
            if version >= 4 {
                answer.i32(-1);
            }
        });
    });
    Ok(answer)
}

async fn find(kafka: &Kafka, topic: &str, partition: i32, millis: i64) -> Found {
    let nowhere = |code| Found { partition, code, millis: -1, offset: -1 };
    let Ok(table) = TableName::new(topic) else { return nowhere(Code::InvalidTopic) };
    if partition != 0 {
        return nowhere(Code::UnknownTopicOrPartition);
    }
    let end = settled_end(kafka.doors.clock.now(), kafka.settings.settle);
    let at = |place: Place, millis| Found {
        partition,
        code: Code::None,
        millis,
        offset: place.offset(),
    };
    let found = async {
        Ok::<_, Failure>(match millis {
            LATEST => at(end, -1),
            EARLIEST => match first_at(kafka, &table, 0, end).await? {
                Some(micros) => at(Place { second: micros.div_euclid(1_000_000), rank: 0 }, -1),
                None => at(end, -1),
            },
            0.. => match first_at(kafka, &table, millis.saturating_mul(1_000), end).await? {
                Some(micros) => {
                    at(place_at(kafka, &table, micros).await?, micros.div_euclid(1_000))
                }
                None => nowhere(Code::None),
            },
            _ => nowhere(Code::UnsupportedVersion),
        })
    };
    found.await.unwrap_or_else(|failure| nowhere(kafka_code(failure.kind())))
}
