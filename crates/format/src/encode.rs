//! Batches to files.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use loglake_model::{
    ATTRIBUTES, FileStats, LEVEL, MESSAGE, NANOS, Partition, SERVICE, TIMESTAMP, TableSchema,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::{KeyValue, ParquetMetaData};

use crate::align::converted;
use crate::bounds::Bounds;
use crate::columns::Columns;
use crate::index::{IndexBuilder, RunsBuilder};
use crate::layout::ColumnLayout;
use crate::order::{Ordered, Row, order};
use crate::texts::Texts;
use crate::{EncoderSettings, FormatError, index, layout};

/// Rows that are gathered and written at a time: what is held twice.
pub(crate) const SLICE_ROWS: usize = 64 << 10;
/// Bytes of strings in one slice; longer records make shorter slices.
const SLICE_BYTES_MAX: usize = 128 << 20;
/// Rows that the layout is decided from.
pub(crate) const SAMPLE_ROWS: usize = 8 << 10;
/// Rows of which it is tried what compression does to them.
const TRIAL_ROWS: usize = 2 << 10;
const TRIAL_PLACES: usize = 16;
/// Columns that a file has even when they are null in every row.
pub(crate) const ALWAYS: [&str; 5] = [TIMESTAMP, NANOS, SERVICE, LEVEL, MESSAGE];

/// The key of the file's metadata whose value is the number of rows of its last row group, where these are
/// the newest of the file and in an order of their own.
const NEWEST_KEY: &str = "loglake.newest_rows";

/// One Parquet file, ready to be put.
#[derive(Debug)]
pub struct EncodedFile {
    pub partition: Partition,
    pub bytes: Bytes,
    pub rows: u64,
    /// Of the columns that are in the file, by name.
    pub stats: FileStats,
    /// Its words, as [`crate::index::FileWords`] reads them, where they are short beside it.
    pub words: Option<String>,
}

/// Sorts rows by (partition, service, level, shape, timestamp, nanos) and encodes one file a partition, in
/// the order of partitions; the newest rows of a large file come after the others. Batches may each have a
/// subset of the schema's columns (absent: null) in any order; every one has timestamp and nanos. No rows
/// make no file.
///
/// CPU-bound, about a third of a microsecond a row: call it off the async threads. Beside the
/// batches it holds 36 bytes a row, a slice of rows and the compressed file.
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
    let files = order(&columns, schema.partition_by(), settings.newest_rows)?;
    files.into_iter().map(|file| encode_file(&columns, &file, settings)).collect()
}

fn encode_file(
    columns: &Columns,
    Ordered { partition, rows, newest }: &Ordered,
    settings: &EncoderSettings,
) -> Result<EncodedFile, FormatError> {
    let present: Vec<(usize, &str)> = columns
        .fields()
        .filter(|(at, field)| {
            ALWAYS.contains(&field.name().as_str()) || columns.has_value(*at, rows)
        })
        .map(|(at, field)| (at, field.name().as_str()))
        .collect();
    let sample = sample(columns, rows);
    let trial = trial(columns, rows);
    let layouts = layouts(columns, [&sample, &trial], &present, rows.len(), settings)?;
    let mut file = FileInProgress::new(columns.schema(), &layouts, settings)?;
    let (older, newest) = rows.split_at(rows.len() - newest);
    for slice in older.chunks(SLICE_ROWS) {
        file.write(columns, slice)?;
    }
    file.write_newest(columns, newest)?;
    let FinishedFile { bytes, rows, stats, words } = file.finish(settings)?;
    Ok(EncodedFile { partition: *partition, bytes: bytes.into(), rows, stats, words })
}

/// Whether the last row group of a file is its newest rows, in an order of their own.
pub(crate) fn has_newest_apart(file: &ParquetMetaData) -> bool {
    let pairs = file.file_metadata().key_value_metadata().into_iter().flatten();
    let mut told =
        pairs.filter(|pair| pair.key == NEWEST_KEY).filter_map(|pair| pair.value.as_ref());
    let last = file.row_groups().last().map(|group| group.num_rows().to_string());
    told.any(|rows| Some(rows) == last.as_ref())
}

/// How each column of a file of `row_count` rows is encoded, by a sample of them and a [`trial`].
pub(crate) fn layouts<'a>(
    columns: &Columns,
    [sample, trial]: [&[Row]; 2],
    present: &[(usize, &'a str)],
    row_count: usize,
    settings: &EncoderSettings,
) -> Result<Vec<(&'a str, ColumnLayout)>, FormatError> {
    let in_row_group = row_count.min(settings.row_group_rows_max);
    let in_file = |of_sample: usize| of_sample.saturating_mul(row_count) / sample.len().max(1);
    let text_bytes = in_file(columns.text_bytes(sample));
    let layouts = present.iter().map(|(at, name)| {
        let values = in_full(name, columns.gather(*at, sample)?)?;
        let layout = layout::decide(name, &values, in_row_group);
        let count = in_file(values.len() - values.null_count());
        let layout = layout.in_file_of(present.len(), count, text_bytes);
        // Sentences always get shorter.
        if trial.is_empty() || [MESSAGE, ATTRIBUTES].contains(name) {
            return Ok((*name, layout));
        }
        let trial = in_full(name, columns.gather(*at, trial)?)?;
        Ok((*name, layout.tried(name, &trial, in_row_group, settings)?))
    });
    layouts.collect()
}

fn texts<'a>(batch: &'a RecordBatch, column: &str) -> Result<Texts<'a>, FormatError> {
    let missing = || FormatError::MissingColumn { column: column.to_owned() };
    batch.column_by_name(column).and_then(Texts::of).ok_or_else(missing)
}

/// The values without a dictionary.
fn in_full(name: &str, values: ArrayRef) -> Result<ArrayRef, FormatError> {
    match values.data_type() {
        DataType::Dictionary(_, in_full) => converted(name, &values, in_full),
        _ => Ok(values),
    }
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

/// Rows that follow each other, from places all over a file: what compression does to a column shows in them.
/// None of a file that is so short that they would be much of it, or whose records are so long.
pub(crate) fn trial(columns: &Columns, rows: &[Row]) -> Vec<Row> {
    if rows.len() < 2 * TRIAL_ROWS {
        return vec![];
    }
    let places = (0..TRIAL_PLACES).map(|place| place * rows.len() / TRIAL_PLACES);
    let at_each = |at: usize| &rows[at..at + TRIAL_ROWS / TRIAL_PLACES];
    let trial: Vec<Row> = places.flat_map(at_each).copied().collect();
    if columns.fit(&trial, SLICE_BYTES_MAX) { trial } else { vec![] }
}

/// One file while its rows are written.
pub(crate) struct FileInProgress {
    /// The columns of the file: their place among all columns, and their name.
    present: Vec<(usize, String)>,
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
    bounds: Vec<Bounds>,
    indexes: Vec<Option<IndexBuilder>>,
    runs: RunsBuilder,
    rows: usize,
    /// Those of the last row group, if it is the newest ones apart.
    newest: usize,
}

/// What is left to be taken of a file that is whole.
pub(crate) struct FinishedFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: u64,
    pub(crate) stats: FileStats,
    pub(crate) words: Option<String>,
}

impl FileInProgress {
    /// A file of these columns, of a table whose files have the columns of `all`.
    pub(crate) fn new(
        all: &SchemaRef,
        layouts: &[(&str, ColumnLayout)],
        settings: &EncoderSettings,
    ) -> Result<Self, FormatError> {
        let place = |name: &str| {
            let missing = |_| FormatError::MissingColumn { column: name.to_owned() };
            Ok((all.index_of(name).map_err(missing)?, name.to_owned()))
        };
        let present = layouts.iter().map(|(name, _)| place(name));
        let present = present.collect::<Result<Vec<_>, FormatError>>()?;
        // Without metadata, which belongs to the table. The writer keeps pages short only of texts in full.
        let plain = present.iter().zip(layouts).map(|((at, _), (_, layout))| {
            let (field, has_dictionary) = (all.field(*at), layout.dictionary.is_some());
            let written = match field.data_type() {
                DataType::Dictionary(_, in_full) if !has_dictionary => in_full.as_ref(),
                as_it_comes => as_it_comes,
            };
            Field::new(field.name(), written.clone(), field.is_nullable())
        });
        let schema = Arc::new(Schema::new(plain.collect::<Vec<_>>()));
        let options = ArrowWriterOptions::new()
            .with_properties(layout::properties(layouts, settings)?)
            // Types are what Parquet says: other readers need no Arrow schema, and ours has its own.
            .with_skip_arrow_metadata(true);
        let index = |layout: &ColumnLayout| {
            let new =
                |kind| IndexBuilder::new(kind, layout.words_bytes_max, settings.page_rows_max);
            layout.index.map(new)
        };
        Ok(Self {
            writer: ArrowWriter::try_new_with_options(vec![], Arc::clone(&schema), options)?,
            schema,
            bounds: present.iter().map(|_| Bounds::default()).collect(),
            indexes: layouts.iter().map(|(_, layout)| index(layout)).collect(),
            runs: RunsBuilder::default(),
            present,
            rows: 0,
            newest: 0,
        })
    }

    /// Writes the newest rows, if they are apart, as a row group of their own: after all others.
    pub(crate) fn write_newest(
        &mut self,
        columns: &Columns,
        rows: &[Row],
    ) -> Result<(), FormatError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.newest = rows.len();
        self.writer.flush()?;
        self.write(columns, rows)
    }

    /// Writes the rows, in halves while their strings are too long to be held at once.
    pub(crate) fn write(&mut self, columns: &Columns, rows: &[Row]) -> Result<(), FormatError> {
        if rows.len() > 1 && !columns.fit(rows, SLICE_BYTES_MAX) {
            let (first, second) = rows.split_at(rows.len() / 2);
            self.write(columns, first)?;
            return self.write(columns, second);
        }
        let watchers = self.bounds.iter_mut().zip(&mut self.indexes);
        let fields = self.present.iter().zip(self.schema.fields());
        let arrays = fields.zip(watchers).map(|(((at, name), field), (bounds, index))| {
            let values = converted(name, &columns.gather(*at, rows)?, field.data_type())?;
            bounds.add(name, &values);
            if let Some(index) = index {
                index.add(&in_full(name, Arc::clone(&values))?);
            }
            Ok(values)
        });
        let arrays = arrays.collect::<Result<Vec<_>, FormatError>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)?;
        self.runs.add(rows.len(), texts(&batch, SERVICE)?, texts(&batch, LEVEL)?);
        self.rows += rows.len();
        Ok(self.writer.write(&batch)?)
    }

    /// Takes the bytes that are written for good.
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// Ends the file; its bytes are those not taken before.
    pub(crate) fn finish(
        mut self,
        settings: &EncoderSettings,
    ) -> Result<FinishedFile, FormatError> {
        let names = self.present.iter().map(|(_, name)| name.as_str());
        let indexes = names.zip(self.indexes).filter_map(|(name, index)| Some((name, index?)));
        let (indexes, page_rows) = (indexes.collect(), settings.page_rows_max);
        if self.newest > 0 {
            let newest = KeyValue::new(NEWEST_KEY.to_owned(), self.newest.to_string());
            self.writer.append_key_value_metadata(newest);
        }
        let words = index::write(&mut self.writer, indexes, self.runs, self.rows, page_rows)?;
        let named = self.present.iter().map(|(_, name)| Arc::from(name.as_str())).zip(self.bounds);
        let stats = FileStats { columns: named.map(|(n, b)| (n, b.finish())).collect() };
        let (bytes, rows) = (self.writer.into_inner()?, self.rows as u64);
        Ok(FinishedFile { bytes, rows, stats, words })
    }
}
