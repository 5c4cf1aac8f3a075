//! Records in over Flight SQL: `CommandStatementIngest`, as ADBC's bulk ingestion sends it.
//!
//! Arrow batches have any types; each record goes the way of a JSON record of the same fields, so the
//! same rules hold for names, times and nesting.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use futures::StreamExt;
use loglake_model::{ErrorKind, TableName};
use loglake_receive::{DecodeContext, Decoded, decode_ndjson};
use loglake_table::Table;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::rows;
use crate::doors::OpenDoors;
use crate::failure::Failure;
use crate::http::off_thread;
use crate::keyed::{Key, check_bytes};

/// Stores the records of the batches, batch by batch; with an `idempotency-key` in the metadata all
/// of them at once, once. Answers with the number of records.
///
/// # Errors
/// The first record that is refused ends it and is named, with how many were stored before.
pub(super) async fn ingest(
    doors: &OpenDoors,
    command: &CommandStatementIngest,
    metadata: MetadataMap,
    messages: PeekableFlightDataStream,
) -> Result<i64, Failure> {
    let key = Key::of(&metadata.into_headers())?;
    let table = target(doors, command).await?;
    let mut batches = rows::batches(messages);
    let started = Instant::now();
    let (mut held, mut text, mut rows) = (vec![], vec![], 0);
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|status| Failure::invalid(status.message()))?;
        let count = batch.num_rows() as u64;
        let (lines, decoded) = decoded(doors, &table, batch, rows + 1).await?;
        if let Some(refused) = decoded.rejections.first() {
            let stored = if key.is_some() { 0 } else { rows };
            let reason = &refused.reason;
            return Err(Failure::invalid(format!(
                "record {}: {reason}; {stored} records before it were stored",
                refused.line
            )));
        }
        rows += count;
        if key.is_some() {
            text.extend_from_slice(&lines);
            check_bytes(text.len())?;
            held.push((Arc::clone(&table), decoded.batch));
        } else {
            let _place = doors.place(lines.len()).await;
            doors.ingester()?.append(vec![(Arc::clone(&table), decoded.batch)]).await?;
        }
    }
    if let Some(key) = key {
        let target = format!("flight {}", table.name());
        let key = key.request(&doors.tenant, &target, [text.as_slice()]);
        doors.ingester()?.append_once(key, held).await?;
    }
    doors.metrics.acknowledged(rows, started.elapsed());
    Ok(i64::try_from(rows).unwrap_or(i64::MAX))
}

/// The table of the command. Rows are only ever appended.
async fn target(
    doors: &OpenDoors,
    command: &CommandStatementIngest,
) -> Result<Arc<Table>, Failure> {
    let name = TableName::new(&command.table)?;
    if command.temporary || command.transaction_id.is_some() {
        return Err(refused("there are no temporary tables and no transactions"));
    }
    let options = command.table_definition_options.unwrap_or_default();
    if options.if_exists() == TableExistsOption::Replace {
        return Err(refused("records are only appended: a table is not replaced"));
    }
    let ingester = doors.ingester()?;
    let must_exist = options.if_not_exist() == TableNotExistOption::Fail;
    let must_be_new = options.if_exists() == TableExistsOption::Fail;
    if must_exist || must_be_new {
        let exists = ingester.has_table(&doors.tenant, &name).await?;
        if must_exist && !exists {
            let problem = format!("there is no table {name}");
            return Err(Failure::new(ErrorKind::NotFound, problem));
        }
        if must_be_new && exists {
            return Err(refused("the table is there already: append to it"));
        }
    }
    Ok(ingester.table(&doors.tenant, &name).await?)
}

fn refused(problem: &str) -> Failure {
    Failure::new(ErrorKind::NotAllowed, problem)
}

/// The records as lines of JSON, and what they become.
async fn decoded(
    doors: &OpenDoors,
    table: &Table,
    batch: RecordBatch,
    first: u64,
) -> Result<(Vec<u8>, Decoded), Failure> {
    let (doors, schema) = (doors.clone(), Arc::clone(table.current().schema()));
    let arrival = doors.clock.now();
    off_thread(move || {
        let lines =
            lines(&batch).map_err(|e| Failure::invalid(format!("the rows cannot be read: {e}")))?;
        let context = DecodeContext { schema: &schema, limits: &doors.limits, arrival };
        let decoded = decode_ndjson(&lines, first, &context);
        Ok((lines, decoded))
    })
    .await?
}

fn lines(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = LineDelimitedWriter::new(vec![]);
    writer.write(&in_utc(batch)?)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// Times without a zone are in UTC.
fn in_utc(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<Arc<Field>> = vec![];
    let mut columns: Vec<ArrayRef> = vec![];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let DataType::Timestamp(unit, None) = field.data_type() else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        };
        let utc = DataType::Timestamp(*unit, Some("UTC".into()));
        columns.push(cast(column, &utc)?);
        fields.push(Arc::new(Field::clone(field).with_data_type(utc)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
