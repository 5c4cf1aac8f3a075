//! A checkpoint: the whole state of a table at one version, as a Parquet file. Pure: actions to
//! bytes and back.
//!
//! Source: the Delta protocol, "Checkpoints", classic (version 1) form. A row is an action; its
//! columns are the action's JSON, so both ways lead through it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::action::{self, Line};

/// Actions that are in memory in their long forms at once.
const BATCH_ROWS: usize = 4_096;

/// A checkpoint that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn long(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn flag(name: &str) -> Field {
    Field::new(name, DataType::Boolean, true)
}

fn map(name: &str) -> Field {
    let key = Field::new("key", DataType::Utf8, false);
    Field::new_map(name, "key_value", key, text("value"), false, true)
}

fn texts(name: &str) -> Field {
    Field::new_list(name, Field::new("element", DataType::Utf8, true), true)
}

fn group(name: &str, fields: Vec<Field>) -> Field {
    Field::new_struct(name, Fields::from(fields), true)
}

/// The specification's "Checkpoint Schema", without what tables of loglake never have.
fn schema() -> SchemaRef {
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let format = group("format", vec![text("provider"), map("options")]);
    Arc::new(Schema::new(vec![
        group("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        group(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                flag("dataChange"),
                text("stats"),
                map("tags"),
            ],
        ),
        group(
            "remove",
            vec![
                text("path"),
                long("deletionTimestamp"),
                flag("dataChange"),
                flag("extendedFileMetadata"),
                map("partitionValues"),
                long("size"),
            ],
        ),
        group(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                format,
                text("schemaString"),
                texts("partitionColumns"),
                long("createdTime"),
                map("configuration"),
            ],
        ),
        group(
            "protocol",
            vec![
                int("minReaderVersion"),
                int("minWriterVersion"),
                texts("readerFeatures"),
                texts("writerFeatures"),
            ],
        ),
    ]))
}

/// The file, and how many actions it holds.
pub(crate) fn encode(lines: impl Iterator<Item = Line>) -> Result<(Bytes, u64), CheckpointError> {
    let schema = schema();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(vec![], Arc::clone(&schema), options)?;
    let mut decoder =
        arrow::json::ReaderBuilder::new(schema).with_batch_size(BATCH_ROWS).build_decoder()?;
    let mut count = 0;
    let mut lines = lines.peekable();
    while lines.peek().is_some() {
        let chunk: Vec<Line> = lines.by_ref().take(BATCH_ROWS).collect();
        count += chunk.len() as u64;
        decoder.serialize(&chunk)?;
        if let Some(batch) = decoder.flush()? {
            writer.write(&batch)?;
        }
    }
    Ok((writer.into_inner()?.into(), count))
}

/// Which of a checkpoint's actions to read.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Part {
    /// Protocol and metadata, which give the others their meaning.
    Head,
    /// All others.
    Rest,
}

/// The actions of a checkpoint's file, a batch at a time. Map entries without a value are left out: a
/// partition value that is null, absent or not, makes a file unusable here.
pub(crate) fn decode(
    file: Bytes,
    part: Part,
) -> Result<impl Iterator<Item = Result<Vec<Line>, CheckpointError>>, CheckpointError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let wanted = |path: &str| {
        let of = |column: &Field| {
            let name = column.name();
            let rest = path.strip_prefix(name.as_str()).and_then(|p| p.strip_prefix('.'));
            let DataType::Struct(fields) = column.data_type() else { return false };
            let is_head = matches!(name.as_str(), "metaData" | "protocol");
            is_head == (part == Part::Head)
                && rest.is_some_and(|rest| {
                    let field = rest.split('.').next().unwrap_or(rest);
                    fields.iter().any(|f| f.name() == field)
                })
        };
        schema().fields().iter().any(|column| of(column))
    };
    let columns = builder.parquet_schema().columns().iter().enumerate();
    let leaves: Vec<usize> =
        columns.filter(|(_, c)| wanted(&c.path().string())).map(|(at, _)| at).collect();
    let mask = ProjectionMask::leaves(builder.parquet_schema(), leaves);
    let reader: ParquetRecordBatchReader =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
    Ok(reader.map(|batch| {
        let mut writer = arrow::json::LineDelimitedWriter::new(vec![]);
        writer.write(&batch?)?;
        writer.finish()?;
        Ok(action::decode(&writer.into_inner())?)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Add, Format, Metadata, Protocol, Remove, Strings, Txn};

    fn every_action() -> Vec<Line> {
        let values = Strings::from([
            ("date".into(), Some("2026-11-01".into())),
            ("hour".into(), Some("7".into())),
        ]);
        let metadata = Metadata {
            id: "0192f7a0-0000-7000-8000-000000000000".into(),
            name: Some("a \"name\"".into()),
            description: None,
            format: Format { provider: "parquet".into(), options: Strings::new() },
            schema_string: "{\"type\":\"struct\"}".into(),
            partition_columns: vec!["date".into(), "hour".into()],
            configuration: Strings::from([("k".into(), Some("v".into()))]),
            created_time: Some(5),
        };
        let add = Add {
            path: "a%20b".into(),
            partition_values: values.clone(),
            size: i64::MAX,
            modification_time: 7,
            data_change: false,
            stats: Some("{\"numRecords\":1}".into()),
            tags: Some(Strings::from([("k".into(), Some("v".into()))])),
        };
        let remove = Remove {
            path: "gone".into(),
            deletion_timestamp: Some(9),
            data_change: true,
            extended_file_metadata: Some(true),
            partition_values: Some(values),
            size: Some(3),
        };
        vec![
            Protocol { writer_features: Some(vec!["appendOnly".into()]), ..Protocol::NEW }.into(),
            metadata.into(),
            Txn { app_id: "w".into(), version: 1 << 60, last_updated: None }.into(),
            Txn { app_id: "v".into(), version: 0, last_updated: Some(4) }.into(),
            remove.into(),
            add.into(),
        ]
    }

    #[test]
    fn every_action_comes_back() {
        let lines = every_action();
        let (file, count) = encode(lines.clone().into_iter()).unwrap();
        assert_eq!(count, 6);
        let read = |part| -> Vec<Line> {
            decode(file.clone(), part).unwrap().flat_map(|lines| lines.unwrap()).collect()
        };
        assert_eq!(read(Part::Head), lines[..2]);
        assert_eq!(read(Part::Rest), lines[2..]);
        assert!(decode(file.slice(..file.len() / 2), Part::Head).is_err());
    }

    #[test]
    fn many_actions_come_back_in_order() {
        let txn = |n: usize| Txn { app_id: n.to_string(), version: 1, last_updated: None };
        let lines: Vec<Line> = (0..BATCH_ROWS * 2 + 1).map(|n| txn(n).into()).collect();
        let (file, _) = encode(lines.clone().into_iter()).unwrap();
        let read = decode(file, Part::Rest).unwrap().flat_map(|lines| lines.unwrap());
        assert!(read.eq(lines));
    }
}
