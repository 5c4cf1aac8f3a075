//! Batches to files.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use loglake_model::{FileStats, LEVEL, MESSAGE, NANOS, Partition, SERVICE, TIMESTAMP, TableSchema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;

use crate::bounds::Bounds;
use crate::columns::Columns;
use crate::order::{Row, order};
use crate::{EncoderSettings, FormatError, layout};

/// Rows that are gathered and written at a time: what is held twice.
const SLICE_ROWS: usize = 64 << 10;
/// Bytes of strings in one slice; longer records make shorter slices.
const SLICE_BYTES_MAX: usize = 128 << 20;
/// Rows that the layout is decided from.
const SAMPLE_ROWS: usize = 8 << 10;
/// Columns that a file has even when they are null in every row.
const ALWAYS: [&str; 5] = [TIMESTAMP, NANOS, SERVICE, LEVEL, MESSAGE];

/// One Parquet file, ready to be put.
#[derive(Debug)]
pub struct EncodedFile {
    pub partition: Partition,
    pub bytes: Bytes,
    pub rows: u64,
    /// Of the columns that are in the file, by name.
    pub stats: FileStats,
}

/// Sorts rows by (partition, service, timestamp, nanos) and encodes one file a partition, in the
/// order of partitions. Batches may each have a subset of the schema's columns (absent: null) in
/// any order; every one has timestamp and nanos. No rows make no file.
///
/// CPU-bound, about a third of a microsecond a row: call it off the async threads. Beside the
/// batches it holds 28 bytes a row, a slice of rows and the compressed file.
///
/// # Errors
/// When a setting is out of range or a batch does not fit the schema; see [`FormatError`].
pub fn encode(
    batches: &[RecordBatch],
    schema: &TableSchema,
    settings: &EncoderSettings,
) -> Result<Vec<EncodedFile>, FormatError> {
    settings.check()?;
    let columns = Columns::new(batches, schema.file_schema())?;
    let partitions = order(&columns, schema.partition_by(), settings.order)?;
    let files = partitions.into_iter();
    files.map(|(partition, rows)| encode_file(&columns, partition, &rows, settings)).collect()
}

fn encode_file(
    columns: &Columns,
    partition: Partition,
    rows: &[Row],
    settings: &EncoderSettings,
) -> Result<EncodedFile, FormatError> {
    let present: Vec<(usize, &str)> = columns
        .fields()
        .filter(|(at, field)| {
            ALWAYS.contains(&field.name().as_str()) || columns.has_value(*at, rows)
        })
        .map(|(at, field)| (at, field.name().as_str()))
        .collect();
    let properties = {
        let sample = sample(columns, rows);
        let in_row_group = rows.len().min(settings.row_group_rows_max);
        let layouts = present.iter().map(|(at, name)| {
            let values = columns.gather(*at, &sample)?;
            let layout = layout::decide(name, &values, in_row_group);
            let full = values.len() - values.null_count();
            let count = full.saturating_mul(rows.len()) / values.len().max(1);
            Ok((*name, layout.in_file_of(present.len(), count)))
        });
        let layouts = layouts.collect::<Result<Vec<_>, FormatError>>()?;
        layout::properties(&layouts, rows.len(), settings)?
    };
    let schema = plain_schema(columns, &present);
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        // Types are what Parquet says: other readers need no Arrow schema, and ours has its own.
        .with_skip_arrow_metadata(true);
    let mut file = FileInProgress {
        columns,
        writer: ArrowWriter::try_new_with_options(vec![], Arc::clone(&schema), options)?,
        schema,
        bounds: present.iter().map(|_| Bounds::default()).collect(),
        present,
    };
    for slice in rows.chunks(SLICE_ROWS) {
        file.write(slice)?;
    }
    file.finish(partition, rows.len())
}

/// Rows spread evenly over the file, fewer where their strings are too long to be held at once.
fn sample(columns: &Columns, rows: &[Row]) -> Vec<Row> {
    let mut step = rows.len().div_ceil(SAMPLE_ROWS).max(1);
    loop {
        let sample: Vec<Row> = rows.iter().step_by(step).copied().collect();
        if sample.len() <= 1 || columns.fit(&sample, SLICE_BYTES_MAX) {
            return sample;
        }
        step *= 2;
    }
}

/// The file's columns without metadata, which belongs to the table.
fn plain_schema(columns: &Columns, present: &[(usize, &str)]) -> SchemaRef {
    let kept = columns.fields().filter(|(at, _)| present.iter().any(|(p, _)| p == at));
    let plain = kept.map(|(_, f)| Field::new(f.name(), f.data_type().clone(), f.is_nullable()));
    Arc::new(Schema::new(plain.collect::<Vec<_>>()))
}

/// One file while its rows are written.
struct FileInProgress<'a> {
    columns: &'a Columns,
    /// The columns of the file: their place among all columns, and their name.
    present: Vec<(usize, &'a str)>,
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
    bounds: Vec<Bounds>,
}

impl FileInProgress<'_> {
    /// Writes the rows, in halves while their strings are too long to be held at once.
    fn write(&mut self, rows: &[Row]) -> Result<(), FormatError> {
        if rows.len() > 1 && !self.columns.fit(rows, SLICE_BYTES_MAX) {
            let (first, second) = rows.split_at(rows.len() / 2);
            self.write(first)?;
            return self.write(second);
        }
        let arrays = self.present.iter().zip(&mut self.bounds).map(|((at, name), bounds)| {
            let values = self.columns.gather(*at, rows)?;
            bounds.add(name, &values);
            Ok(values)
        });
        let arrays = arrays.collect::<Result<Vec<_>, FormatError>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)?;
        Ok(self.writer.write(&batch)?)
    }

    fn finish(self, partition: Partition, rows: usize) -> Result<EncodedFile, FormatError> {
        let named = self.present.iter().map(|(_, name)| Arc::from(*name)).zip(self.bounds);
        let stats = FileStats { columns: named.map(|(n, b)| (n, b.finish())).collect() };
        let bytes = Bytes::from(self.writer.into_inner()?);
        Ok(EncodedFile { partition, bytes, rows: rows as u64, stats })
    }
}
