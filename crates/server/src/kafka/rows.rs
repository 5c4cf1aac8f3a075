//! The rows of a table as the records of its topic, through SQL like everybody's.

use std::fmt::Write as _;

use arrow::array::{Array as _, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use loglake_model::{DATE, ErrorKind, HOUR, NANOS, TIMESTAMP, TableName};
use loglake_query::{QueryError, QueryRequest};
use loglake_receive::render_ndjson;

use super::Kafka;
use super::places::Place;
use crate::failure::Failure;
use crate::metrics::QueryDoor;

/// Rows of one answer at most.
const ROWS_MAX: usize = 5_000;
/// Seconds that are read at first, and at last, each time four times as many: the rows of a busy table
/// are not sorted for an answer that takes a second of them.
const SECONDS_FIRST: i64 = 1;
const SECONDS_LAST: i64 = 256;

/// A row as a consumer gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) place: Place,
    /// Since the epoch.
    pub(super) millis: i64,
    /// One JSON object, as it was sent.
    pub(super) json: String,
}

/// Rows of `table` from a place on, in the order of their places, all before `end`: as many as fit into
/// `bytes_max` and one answer, at least one if there is one. A table that is not there has none.
pub(super) async fn rows_from(
    kafka: &Kafka,
    table: &TableName,
    from: Place,
    end: Place,
    bytes_max: usize,
) -> Result<Vec<Row>, Failure> {
    let Some(columns) = columns(kafka, table).await? else { return Ok(vec![]) };
    let (mut rows, mut next, mut seconds) = (vec![], from, SECONDS_FIRST);
    let mut left = bytes_max;
    while next.second < end.second && rows.len() < ROWS_MAX && left > 0 {
        let until = end.second.min(next.second + seconds);
        let limit = ROWS_MAX - rows.len();
        let sql = select(table, &columns, limit, next.rank);
        let batches = run(kafka, sql, vec![second(next.second), second(until)]).await?;
        let found = placed(&batches, next)?;
        let whole = found.len() < limit;
        for row in found {
            left = left.saturating_sub(row.json.len());
            if left == 0 && !rows.is_empty() {
                return Ok(rows);
            }
            rows.push(row);
        }
        if !whole {
            break;
        }
        next = Place { second: until, rank: 0 };
        if seconds < SECONDS_LAST {
            seconds *= 4;
            continue;
        }
        if !rows.is_empty() {
            break;
        }
        // A long silence is passed over in one step.
        match first_at(kafka, table, until * super::places::RANKS / 1_000, end).await? {
            Some(micros) => next = Place { second: micros.div_euclid(1_000_000), rank: 0 },
            None => break,
        }
        seconds = SECONDS_FIRST;
    }
    Ok(rows)
}

/// The time, in microseconds, of the first row at or after one, before `end`.
pub(super) async fn first_at(
    kafka: &Kafka,
    table: &TableName,
    from_micros: i64,
    end: Place,
) -> Result<Option<i64>, Failure> {
    let sql = format!(
        "SELECT min({TIMESTAMP}) AS {TIMESTAMP} FROM \"{table}\" WHERE {TIMESTAMP} >= $1 AND {TIMESTAMP} < $2"
    );
    let batches = run(kafka, sql, vec![time(from_micros), second(end.second)]).await?;
    let first = batches.iter().find(|batch| batch.num_rows() > 0);
    Ok(first.and_then(|batch| {
        let times = batch.column(0).as_primitive_opt::<TimestampMicrosecondType>()?;
        times.is_valid(0).then(|| times.value(0))
    }))
}

/// The place of the first row at or after a time that lies in its second or is its beginning.
pub(super) async fn place_at(
    kafka: &Kafka,
    table: &TableName,
    micros: i64,
) -> Result<Place, Failure> {
    let start = micros.div_euclid(1_000_000);
    let sql = format!(
        "SELECT count(*) AS n FROM \"{table}\" WHERE {TIMESTAMP} >= $1 AND {TIMESTAMP} < $2"
    );
    let batches = run(kafka, sql, vec![second(start), time(micros)]).await?;
    let first = batches.iter().find(|batch| batch.num_rows() > 0);
    let rank =
        first.and_then(|batch| Some(batch.column(0).as_primitive_opt::<Int64Type>()?.value(0)));
    Ok(Place { second: start, rank: rank.unwrap_or(0) })
}

fn time(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}

fn second(second: i64) -> ScalarValue {
    time(second.saturating_mul(1_000_000))
}

/// The columns that rows are put in order by after their time; `None` without the table. New columns
/// come last and are null in rows that are there, so they change no order.
async fn columns(kafka: &Kafka, table: &TableName) -> Result<Option<Vec<String>>, Failure> {
    let sql = format!("SELECT * FROM \"{table}\"");
    let described = match kafka.doors.engine()?.describe(&kafka.doors.tenant, &sql).await {
        Ok(described) => described,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let names = described.schema.fields().iter().map(|field| field.name().clone());
    Ok(Some(names.filter(|n| ![TIMESTAMP, NANOS, DATE, HOUR].contains(&n.as_str())).collect()))
}

fn select(table: &TableName, columns: &[String], limit: usize, skip: i64) -> String {
    let mut sql = format!(
        "SELECT * FROM \"{table}\" WHERE {TIMESTAMP} >= $1 AND {TIMESTAMP} < $2 ORDER BY {TIMESTAMP}, {NANOS}"
    );
    for column in columns {
        // Writing to a string does not fail.
        let _ = write!(sql, ", \"{}\"", column.replace('"', "\"\""));
    }
    let _ = write!(sql, " LIMIT {limit} OFFSET {skip}");
    sql
}

/// The rows of a query's answer.
pub(super) async fn run(
    kafka: &Kafka,
    sql: String,
    parameters: Vec<ScalarValue>,
) -> Result<Vec<RecordBatch>, Failure> {
    let tenant = kafka.doors.tenant.clone();
    let request = QueryRequest { tenant, sql, parameters, timeout: None };
    let answer = kafka.doors.engine()?.run(request).await;
    kafka.doors.metrics.query(QueryDoor::Kafka, answer.is_ok());
    let batches: Vec<RecordBatch> = match answer {
        Ok(answer) => answer.stream.try_collect().await.map_err(QueryError::from)?,
        Err(e) if e.kind() == ErrorKind::NotFound => vec![],
        Err(e) => return Err(e.into()),
    };
    Ok(batches)
}

/// Rows in order, the first of which stands at `next` if it is of that second.
fn placed(batches: &[RecordBatch], mut next: Place) -> Result<Vec<Row>, Failure> {
    let mut rows = vec![];
    for batch in batches {
        let defect = |what: &str| Failure::new(ErrorKind::Internal, what);
        let times = batch.column_by_name(TIMESTAMP);
        let times = times.filter(|t| matches!(t.data_type(), DataType::Timestamp(..)));
        let times = times.and_then(|t| t.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(|| defect("rows without a time"))?;
        let mut text = String::new();
        render_ndjson(batch, &mut text)
            .map_err(|e| Failure::new(e.kind(), format!("rows cannot be given as records: {e}")))?;
        for (micros, json) in times.values().iter().zip(text.lines()) {
            let second = micros.div_euclid(1_000_000);
            let place = if second == next.second { next } else { Place { second, rank: 0 } };
            rows.push(Row { place, millis: micros.div_euclid(1_000), json: json.to_owned() });
            next = Place { second, rank: place.rank + 1 };
        }
    }
    Ok(rows)
}
