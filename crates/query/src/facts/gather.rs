//! Gathering facts: from the tables, the logs of writers, the members and the list of queries.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use loglake_coord::Coordinator;
use loglake_model::{
    ATTRIBUTES, Column, DATE, HOUR, NameForm, PartitionBy, StatValue, TIMESTAMP, TableSchema,
    TenantName, WriterId,
};
use loglake_table::{DataFile, Snapshot, Table};
use loglake_wal::Log;
use tokio::sync::OnceCell;

use super::Fact;
use crate::running::{Queries, QueryState};
use crate::snapshot::LakeReader;
use crate::{QueryError, QueuePart, Queues};

/// Where facts come from, for one query of one tenant. What costs requests is looked up once.
pub(crate) struct FactSources {
    tenant: TenantName,
    reader: Arc<LakeReader>,
    coordinator: Arc<dyn Coordinator>,
    queries: Arc<Queries>,
    queues: Arc<dyn Queues>,
    tables: OnceCell<Vec<(Arc<Table>, Arc<Snapshot>)>>,
    logs: OnceCell<Vec<Log>>,
}

impl FactSources {
    pub(crate) fn new(
        tenant: TenantName,
        reader: Arc<LakeReader>,
        coordinator: Arc<dyn Coordinator>,
        queries: Arc<Queries>,
        queues: Arc<dyn Queues>,
    ) -> Self {
        let (tables, logs) = (OnceCell::new(), OnceCell::new());
        Self { tenant, reader, coordinator, queries, queues, tables, logs }
    }

    pub(crate) async fn gather(&self, fact: Fact) -> Result<RecordBatch, QueryError> {
        let columns = match fact {
            Fact::Tables => tables(self.tables().await?),
            Fact::Columns => columns(self.tables().await?),
            Fact::Files => files(self.tables().await?),
            Fact::Watermarks => watermarks(self.tables().await?),
            Fact::Segments => segments(self.logs().await?),
            Fact::Writers => writers(self.logs().await?, self.reader.own_writer()),
            Fact::Members => members(self.coordinator.as_ref()),
            Fact::Queries => queries(&self.queries, &self.tenant),
            Fact::Queues => queues(&self.queues.parts()),
            Fact::Offsets => offsets(self.tables().await?),
        };
        RecordBatch::try_new(fact.schema(), columns)
            .map_err(|e| datafusion::error::DataFusionError::from(e).into())
    }

    async fn tables(&self) -> Result<&[(Arc<Table>, Arc<Snapshot>)], QueryError> {
        let look = || async {
            let names = self.reader.catalog().tables(&self.tenant).await?.into_iter().collect();
            self.reader.shapes(&self.tenant, &names).await
        };
        Ok(self.tables.get_or_try_init(look).await?)
    }

    async fn logs(&self) -> Result<&[Log], QueryError> {
        Ok(self.logs.get_or_try_init(|| self.reader.all_logs()).await?)
    }
}

type Tables = [(Arc<Table>, Arc<Snapshot>)];

fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn texts_or_null<T: AsRef<str>>(values: impl IntoIterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn counts(values: impl IntoIterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

/// Microseconds since the epoch, UTC.
fn times(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter(values).with_timezone("UTC"))
}

fn flags(values: impl IntoIterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from_iter(values.into_iter().map(Some)))
}

fn tables(tables: &Tables) -> Vec<ArrayRef> {
    let by = |version: &Snapshot| match version.schema().partition_by() {
        PartitionBy::Hour => "hour",
        PartitionBy::Day => "day",
    };
    vec![
        texts(tables.iter().map(|(table, _)| table.name().as_str())),
        texts(tables.iter().map(|(table, _)| table.id().to_string())),
        texts(tables.iter().map(|(table, _)| table.root().to_string())),
        texts(tables.iter().map(|(_, version)| by(version))),
        counts(tables.iter().map(|(_, version)| version.version())),
    ]
}

fn columns(tables: &Tables) -> Vec<ArrayRef> {
    let fields: Vec<_> = tables
        .iter()
        .flat_map(|(table, version)| {
            let schema: &TableSchema = version.schema();
            let in_files = schema.file_schema();
            let fields = in_files.fields().iter().map(|f| f.as_ref().clone());
            let fields = fields.chain(schema.partition_fields()).enumerate();
            fields.map(|(at, field)| (table.name(), at as u64 + 1, field)).collect::<Vec<_>>()
        })
        .collect();
    let origin = |name: &str| match name {
        DATE | HOUR => "partition",
        TIMESTAMP | loglake_model::NANOS | ATTRIBUTES => "fixed",
        _ => "record",
    };
    let form = |field| match Column::of_field(field).map(|column| column.form) {
        Some(NameForm::Literal) => Some("literal"),
        Some(NameForm::Nested) => Some("nested"),
        None => None,
    };
    vec![
        texts(fields.iter().map(|(table, ..)| table.as_str())),
        counts(fields.iter().map(|(_, at, _)| *at)),
        texts(fields.iter().map(|(.., field)| field.name())),
        texts(fields.iter().map(|(.., field)| field.data_type().to_string())),
        flags(fields.iter().map(|(.., field)| field.is_nullable())),
        texts(fields.iter().map(|(.., field)| origin(field.name()))),
        texts_or_null(fields.iter().map(|(.., field)| form(field))),
    ]
}

fn files(tables: &Tables) -> Vec<ArrayRef> {
    let files: Vec<(&Table, &DataFile)> = tables
        .iter()
        .flat_map(|(table, version)| version.files().map(move |f| (table.as_ref(), f.as_ref())))
        .collect();
    let time = |value: &Option<StatValue>| match value {
        Some(StatValue::Timestamp(micros)) => Some(*micros),
        _ => None,
    };
    let stats = |file: &DataFile| file.stats.columns.get(TIMESTAMP).cloned().unwrap_or_default();
    vec![
        texts(files.iter().map(|(table, _)| table.name().as_str())),
        texts(files.iter().map(|(_, file)| file.path.as_ref())),
        texts(files.iter().map(|(_, file)| file.partition.to_string())),
        counts(files.iter().map(|(_, file)| file.rows)),
        counts(files.iter().map(|(_, file)| file.bytes)),
        times(files.iter().map(|(_, file)| time(&stats(file).min))),
        times(files.iter().map(|(_, file)| time(&stats(file).max))),
        times(files.iter().map(|(_, file)| Some(file.modified.micros()))),
    ]
}

fn watermarks(tables: &Tables) -> Vec<ArrayRef> {
    let mut watermarks: Vec<_> = tables
        .iter()
        .flat_map(|(table, version)| {
            version.watermarks().iter().map(move |(writer, seq)| (table.name(), *writer, seq.0))
        })
        .collect();
    watermarks.sort();
    vec![
        texts(watermarks.iter().map(|(table, ..)| table.as_str())),
        texts(watermarks.iter().map(|(_, writer, _)| writer.to_string())),
        counts(watermarks.iter().map(|(.., segment)| *segment)),
    ]
}

fn offsets(tables: &Tables) -> Vec<ArrayRef> {
    let offsets: Vec<_> = tables
        .iter()
        .flat_map(|(table, version)| {
            version.offsets().map(move |(queue, next)| (table.name(), queue, next))
        })
        .collect();
    vec![
        texts(offsets.iter().map(|(table, ..)| table.as_str())),
        texts(offsets.iter().map(|(_, queue, _)| queue)),
        counts(offsets.iter().map(|(.., next)| *next)),
    ]
}

fn queues(parts: &[QueuePart]) -> Vec<ArrayRef> {
    let counts_or_null = |of: fn(&QueuePart) -> Option<u64>| -> ArrayRef {
        Arc::new(UInt64Array::from_iter(parts.iter().map(of)))
    };
    let rates = parts.iter().map(|part| part.records_per_second);
    vec![
        texts(parts.iter().map(|part| &part.queue)),
        texts_or_null(parts.iter().map(|part| part.table.as_ref())),
        texts(parts.iter().map(|part| &part.state)),
        texts_or_null(parts.iter().map(|part| part.writer.as_ref())),
        counts_or_null(|part| part.next),
        counts_or_null(|part| part.end),
        counts(parts.iter().map(|part| part.buffered_bytes)),
        counts(parts.iter().map(|part| part.records)),
        Arc::new(Float64Array::from_iter_values(rates)),
        counts(parts.iter().map(|part| part.dead_letters)),
        counts(parts.iter().map(|part| part.missed)),
        texts_or_null(parts.iter().map(|part| part.error.as_ref())),
    ]
}

fn segments(logs: &[Log]) -> Vec<ArrayRef> {
    let segments: Vec<_> = logs
        .iter()
        .flat_map(|log| log.segments.iter().map(|(seq, bytes)| (log.writer, seq.0, *bytes)))
        .collect();
    vec![
        texts(segments.iter().map(|(writer, ..)| writer.to_string())),
        counts(segments.iter().map(|(_, segment, _)| *segment)),
        counts(segments.iter().map(|(.., bytes)| *bytes)),
    ]
}

fn writers(logs: &[Log], own: Option<WriterId>) -> Vec<ArrayRef> {
    vec![
        texts(logs.iter().map(|log| log.writer.to_string())),
        times(logs.iter().map(|log| started_micros(log.writer))),
        flags(logs.iter().map(|log| Some(log.writer) == own)),
        Arc::new(UInt64Array::from_iter(logs.iter().map(|log| log.floor.map(|seq| seq.0)))),
    ]
}

/// When a writer began, by its id: a version 7 UUID begins with 48 bits of milliseconds since the
/// epoch (RFC 9562, section 5.7).
fn started_micros(writer: WriterId) -> Option<i64> {
    let id = writer.as_uuid();
    let millis = (id.as_u128() >> 80) as i64;
    (id.get_version_num() == 7).then_some(millis * 1_000)
}

fn members(coordinator: &dyn Coordinator) -> Vec<ArrayRef> {
    let members = Arc::clone(&coordinator.members().borrow());
    let roles = |member: &loglake_coord::Member| {
        let roles = member.roles.iter().map(|role| format!("{role:?}").to_lowercase());
        roles.collect::<Vec<_>>().join(",")
    };
    vec![
        texts(members.iter().map(|member| &member.id)),
        texts(members.iter().map(roles)),
        texts(members.iter().map(|member| &member.http)),
        texts(members.iter().map(|member| &member.grpc)),
        texts_or_null(members.iter().map(|member| member.writer.map(|w| w.to_string()))),
        texts(members.iter().map(|member| &member.version)),
    ]
}

fn queries(queries: &Queries, tenant: &TenantName) -> Vec<ArrayRef> {
    let queries = queries.of(tenant);
    let states: Vec<_> = queries.iter().map(|query| query.state()).collect();
    let error = |state: &QueryState| match state {
        QueryState::Failed(error) => Some(error.clone()),
        _ => None,
    };
    vec![
        texts(queries.iter().map(|query| &query.id)),
        times(queries.iter().map(|query| Some(query.started.micros()))),
        texts(states.iter().map(|(state, _)| state.word())),
        counts(queries.iter().map(|query| query.rows())),
        counts(states.iter().map(|(_, elapsed)| elapsed.as_millis() as u64)),
        counts(queries.iter().map(|query| query.memory.peak() as u64)),
        texts_or_null(states.iter().map(|(state, _)| error(state))),
        texts(queries.iter().map(|query| &query.sql)),
    ]
}
