//! The offsets of groups: rows of a table, like everything that must last.
//!
//! A commit is a row of `kafka_offsets`; what a group has committed is its last row for each topic. So
//! it is durable when it is answered, seen by every process, and readable by SQL. Between two
//! processes the later clock wins.

use std::collections::HashMap;

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::scalar::ScalarValue;
use loglake_model::TableName;
use loglake_receive::{DecodeContext, decode_ndjson};
use serde_json::json;

use super::Kafka;
use super::protocol::Code;
use super::rows::run;
use super::wire::{Answer, Fields, Malformed};
use crate::codes::kafka_code;
use crate::failure::Failure;

const TABLE: &str = "kafka_offsets";
/// Each group and topic is asked for its last row.
const LAST: &str = r#"SELECT topic, last_value("offset" ORDER BY timestamp, nanos) AS "offset"
FROM kafka_offsets WHERE service = $1 GROUP BY topic"#;

/// OffsetCommit.
pub(super) async fn commit(
    kafka: &Kafka,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    let (group, generation, member) = (fields.string()?, fields.i32()?, fields.string()?);
    if version >= 7 {
        fields.nullable_string()?;
    }
    if version <= 4 {
        fields.i64()?; // how long it is to be kept: as long as the table's rows are
    }
    let topics = fields.array(|f| {
        let topic = f.string()?;
        let offsets = f.array(|f| {
            let (partition, offset) = (f.i32()?, f.i64()?);
            if version >= 6 {
                f.i32()?;
            }
            f.nullable_string()?; // what the client notes with it is not kept
            Ok((partition, offset))
        })?;
        Ok((topic, offsets))
    })?;
    let code = match kafka.groups.may_commit(group, member, generation) {
        Err(code) => code,
        Ok(()) => match store(kafka, group, &topics).await {
            Ok(()) => Code::None,
            Err(failure) => kafka_code(failure.kind()),
        },
    };
    let mut answer = Answer::default();
    if version >= 3 {
        answer.i32(0);
    }
    answer.array(topics, |answer, (topic, offsets)| {
        answer.string(topic).array(offsets, |answer, (partition, _)| {
            let known = if partition == 0 { code } else { Code::UnknownTopicOrPartition };
            answer.i32(partition).i16(known as i16);
        });
    });
    Ok(answer)
}

async fn store(
    kafka: &Kafka,
    group: &str,
    topics: &[(&str, Vec<(i32, i64)>)],
) -> Result<(), Failure> {
    let mut lines = vec![];
    for (topic, offsets) in topics {
        for (_, offset) in offsets.iter().filter(|(partition, _)| *partition == 0) {
            let row = json!({"service": group, "topic": topic, "offset": offset});
            lines.extend_from_slice(format!("{row}\n").as_bytes());
        }
    }
    let doors = &kafka.doors;
    let table = doors.ingester()?.table(&doors.tenant, &TableName::new(TABLE)?).await?;
    let schema = std::sync::Arc::clone(table.current().schema());
    let context =
        DecodeContext { schema: &schema, limits: &doors.limits, arrival: doors.clock.now() };
    let decoded = decode_ndjson(&lines, 1, &context);
    if let Some(refused) = decoded.rejections.first() {
        return Err(Failure::invalid(&refused.reason));
    }
    Ok(doors.ingester()?.append(vec![(table, decoded.batch)]).await?)
}

/// OffsetFetch: of the topics that are named, or all.
pub(super) async fn fetch(
    kafka: &Kafka,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    let group = fields.string()?;
    let named = fields.nullable_array(|f| {
        let topic = f.string()?.to_owned();
        Ok((topic, f.array(|f| f.i32())?))
    })?;
    let (code, committed) = match committed(kafka, group).await {
        Ok(committed) => (Code::None, committed),
        Err(failure) => (kafka_code(failure.kind()), HashMap::new()),
    };
    let topics =
        named.unwrap_or_else(|| committed.keys().map(|topic| (topic.clone(), vec![0])).collect());
    let mut answer = Answer::default();
    if version >= 3 {
        answer.i32(0);
    }
    answer.array(topics, |answer, (topic, partitions)| {
        let offset = committed.get(&topic).copied();
        answer.string(&topic).array(partitions, |answer, partition| {
            // -1: nothing was committed.
            let offset = offset.filter(|_| partition == 0).unwrap_or(-1);
            answer.i32(partition).i64(offset);
            if version >= 5 {
                answer.i32(-1);
            }
            answer.string("").i16(code as i16);
        });
    });
    if version >= 2 {
        answer.i16(code as i16);
    }
    Ok(answer)
}

async fn committed(kafka: &Kafka, group: &str) -> Result<HashMap<String, i64>, Failure> {
    let group = ScalarValue::Utf8(Some(group.to_owned()));
    let mut committed = HashMap::new();
    for batch in run(kafka, LAST.to_owned(), vec![group]).await? {
        let topics = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)
            .map_err(|e| Failure::invalid(e.to_string()))?;
        let topics = topics.as_string::<i32>();
        let Some(offsets) = batch.column(1).as_primitive_opt::<Int64Type>() else { continue };
        for row in (0..batch.num_rows()).filter(|row| offsets.is_valid(*row)) {
            committed.insert(topics.value(row).to_owned(), offsets.value(row));
        }
    }
    Ok(committed)
}
