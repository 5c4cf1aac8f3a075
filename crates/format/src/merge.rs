//! Files of one partition to one file, in the order that all of them have, their newest rows each for itself.
//!
//! ```text
//! file → batches ─┐
//! file → batches ─┼─▶ the smallest row first ─▶ a slice at a time: gather ─▶ writer ─▶ parts
//! file → batches ─┘
//! ```
//! Held at a time: the compressed files, one page a column and a batch of each, one slice of rows (their
//! batches, 64 MiB or little more, and once more in order) and one row group as it is written.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int16Type, SchemaRef, TimestampMicrosecondType};
use bytes::Bytes;
use loglake_model::{FileStats, LEVEL, MESSAGE, NANOS, SERVICE, TIMESTAMP, TableSchema};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use crate::align::align;
use crate::columns::Columns;
use crate::encode::{
    ALWAYS, FileInProgress, FinishedFile, SAMPLE_ROWS, SLICE_ROWS, has_newest_apart, layouts, trial,
};
use crate::order::{Group, Row, shape_of};
use crate::texts::Texts;
use crate::{EncoderSettings, FormatError};

/// Rows of one file that are decoded at a time, fewer where they are long.
const BATCH_ROWS: usize = 4 << 10;
/// What the rows of one batch take, about.
const BATCH_BYTES: usize = 4 << 20;
/// What the batches take that a slice has used up.
const SPENT_BYTES_MAX: usize = 64 << 20;
/// What the rows of the sample take, about.
const SAMPLE_BYTES_MAX: usize = 32 << 20;
/// Places of a file that its sample is taken from.
const SAMPLED_PLACES: usize = 8;
/// A part is at least this long, but for the last one.
const PART_BYTES: usize = 8 << 20;

/// A merge under way. CPU-bound, about as much a row as [`crate::encode`] and the decoding: call it
/// off the async threads.
pub struct Merge {
    inputs: Vec<Input>,
    /// The next row of each input that has one.
    heads: BinaryHeap<Head>,
    /// What the rows of the slice are in.
    batches: Vec<RecordBatch>,
    slice: Vec<Row>,
    /// Bytes of those of the batches that have no further row.
    spent_bytes: usize,
    schema: SchemaRef,
    settings: EncoderSettings,
    sizes: Sizes,
    file: FileInProgress,
}

/// How many rows are held at a time.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Of one slice.
    pub(crate) slice_rows: usize,
    /// Of one file's batch.
    pub(crate) batch_rows: usize,
}

/// What a merge gives next.
pub enum MergeStep {
    /// The next bytes of the file, and what is left to be done.
    Part { bytes: Bytes, rest: Box<Merge> },
    /// The last bytes, and what the file holds.
    Last { bytes: Bytes, rows: u64, stats: FileStats, words: Option<String> },
}

impl Merge {
    /// Begins to merge files of one partition, each written by this encoder.
    ///
    /// # Errors
    /// When a file is none that fits the schema, or there is no file.
    pub fn new(
        files: Vec<Bytes>,
        schema: &TableSchema,
        settings: EncoderSettings,
    ) -> Result<Self, FormatError> {
        let sizes = Sizes { slice_rows: SLICE_ROWS, batch_rows: BATCH_ROWS };
        Self::with_sizes(files, schema, settings, sizes)
    }

    pub(crate) fn with_sizes(
        files: Vec<Bytes>,
        schema: &TableSchema,
        settings: EncoderSettings,
        sizes: Sizes,
    ) -> Result<Self, FormatError> {
        let schema = schema.file_schema();
        let file = Self::begin(&files, &schema, &settings)?;
        let mut inputs = vec![];
        for bytes in files {
            inputs.extend(Input::of_file(&bytes, &schema, sizes.batch_rows)?);
        }
        let mut merge = Self {
            inputs,
            heads: BinaryHeap::new(),
            batches: vec![],
            slice: vec![],
            spent_bytes: 0,
            schema,
            settings,
            sizes,
            file,
        };
        for input in 0..merge.inputs.len() {
            merge.load(input)?;
        }
        Ok(merge)
    }

    /// The file, its layout decided by a sample of all inputs.
    fn begin(
        files: &[Bytes],
        schema: &SchemaRef,
        settings: &EncoderSettings,
    ) -> Result<FileInProgress, FormatError> {
        let mut names: BTreeSet<String> = ALWAYS.iter().map(ToString::to_string).collect();
        let (mut rows, mut batches) = (0, vec![]);
        for bytes in files {
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
            let count = builder.metadata().file_metadata().num_rows() as usize;
            for name in builder.schema().fields().iter().map(|field| field.name()) {
                if schema.index_of(name).is_err() {
                    return Err(FormatError::UnknownColumn { column: name.clone() });
                }
                names.insert(name.clone());
            }
            rows += count;
            let wanted = SAMPLE_ROWS.min(SAMPLE_BYTES_MAX / row_bytes(builder.metadata()));
            let sample = spread(count, wanted.div_ceil(files.len()));
            for batch in builder.with_row_selection(sample).build()? {
                batches.push(align(&batch?, schema)?);
            }
        }
        let columns = Columns::new(&batches, SchemaRef::clone(schema))?;
        let sample = batches.iter().enumerate().flat_map(|(batch, rows)| {
            let row = move |row| Row { batch: batch as u32, row: row as u32, ..Row::default() };
            (0..rows.num_rows()).map(row)
        });
        let present: Vec<(usize, &str)> = columns
            .fields()
            .map(|(at, field)| (at, field.name().as_str()))
            .filter(|(_, name)| names.contains(*name))
            .collect();
        let sample: Vec<Row> = sample.collect();
        let trial = trial(&columns, &sample);
        let layouts = layouts(&columns, [&sample, &trial], &present, rows, settings)?;
        FileInProgress::new(schema, &layouts, settings)
    }

    /// Goes on until a part is there, or the end.
    ///
    /// # Errors
    /// When a file does not hold what its footer says.
    pub fn step(mut self) -> Result<MergeStep, FormatError> {
        let mut bytes = vec![];
        while self.fill_slice()? {
            self.write_slice()?;
            bytes.extend(self.file.take_bytes());
            if bytes.len() >= PART_BYTES {
                return Ok(MergeStep::Part { bytes: bytes.into(), rest: Box::new(self) });
            }
        }
        let FinishedFile { bytes: last, rows, stats, words } = self.file.finish(&self.settings)?;
        bytes.extend(last);
        Ok(MergeStep::Last { bytes: bytes.into(), rows, stats, words })
    }

    /// Takes the next rows; false when there is none.
    fn fill_slice(&mut self) -> Result<bool, FormatError> {
        while !self.slice_is_full() {
            let Some(head) = self.heads.pop() else { break };
            self.take_run(head.input)?;
        }
        Ok(!self.slice.is_empty())
    }

    const fn slice_is_full(&self) -> bool {
        self.slice.len() >= self.sizes.slice_rows || self.spent_bytes >= SPENT_BYTES_MAX
    }

    /// Takes the rows of an input that come before all heads.
    fn take_run(&mut self, input: usize) -> Result<(), FormatError> {
        loop {
            let current = &mut self.inputs[input];
            self.slice.push(current.row());
            current.at += 1;
            if current.at == current.rows {
                self.spent_bytes += self.batches[current.batch as usize].get_array_memory_size();
                return self.load(input);
            }
            let key = self.inputs[input].key(input);
            let goes_on = self.heads.peek().is_none_or(|next| key < next.key());
            if !goes_on || self.slice_is_full() {
                self.heads.push(Head::new(key));
                return Ok(());
            }
        }
    }

    /// Decodes the next batch of an input, if there is one.
    fn load(&mut self, input: usize) -> Result<(), FormatError> {
        let current = &mut self.inputs[input];
        if let Some(batch) = current.next_batch(self.batches.len())? {
            self.batches.push(batch);
            self.heads.push(Head::new(current.key(input)));
        }
        Ok(())
    }

    fn write_slice(&mut self) -> Result<(), FormatError> {
        let columns = Columns::new(&self.batches, SchemaRef::clone(&self.schema))?;
        self.file.write(&columns, &self.slice)?;
        self.slice.clear();
        self.spent_bytes = 0;
        // Only what inputs are in the middle of is needed further on.
        let before = std::mem::take(&mut self.batches);
        for input in self.inputs.iter_mut().filter(|input| input.at < input.rows) {
            self.batches.push(before[input.batch as usize].clone());
            input.batch = (self.batches.len() - 1) as u32;
        }
        Ok(())
    }
}

/// About `wanted` of `count` rows, from places spread evenly.
fn spread(count: usize, wanted: usize) -> RowSelection {
    let each = wanted.div_ceil(SAMPLED_PLACES);
    let place = |n: usize| n * count / SAMPLED_PLACES;
    let ranges = (0..SAMPLED_PLACES).map(|n| place(n)..(place(n) + each).min(place(n + 1)));
    RowSelection::from_consecutive_ranges(ranges.filter(|range| !range.is_empty()), count)
}

/// Bytes of a row of a file before compression, on average; at least one.
fn row_bytes(file: &ParquetMetaData) -> usize {
    let bytes: i64 = file.row_groups().iter().map(RowGroupMetaData::total_byte_size).sum();
    (bytes / file.file_metadata().num_rows().max(1)).max(1) as usize
}

/// Rows of a file that are in order, and where in them the merge is.
struct Input {
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
    /// The number of its batch in the slice.
    batch: u32,
    at: usize,
    rows: usize,
    services: StringArray,
    levels: StringArray,
    shapes: Vec<u64>,
    micros: Vec<i64>,
    nanos: Vec<i16>,
}

impl Input {
    /// All of a file: its newest rows are one, where they are apart, and the others.
    fn of_file(
        bytes: &Bytes,
        schema: &SchemaRef,
        batch_rows_max: usize,
    ) -> Result<Vec<Self>, FormatError> {
        let footer = ArrowReaderMetadata::load(bytes, ArrowReaderOptions::default())?;
        let batch_rows = (BATCH_BYTES / row_bytes(footer.metadata())).clamp(1, batch_rows_max);
        let groups = footer.metadata().num_row_groups();
        let older = groups - usize::from(has_newest_apart(footer.metadata()));
        [0..older, older..groups]
            .into_iter()
            .filter(|groups| !groups.is_empty())
            .map(|groups| {
                let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(
                    bytes.clone(),
                    footer.clone(),
                );
                let reader = reader.with_row_groups(groups.collect()).with_batch_size(batch_rows);
                Ok(Self::new(reader.build()?, schema))
            })
            .collect()
    }

    fn new(reader: ParquetRecordBatchReader, schema: &SchemaRef) -> Self {
        Self {
            reader,
            schema: SchemaRef::clone(schema),
            batch: 0,
            at: 0,
            rows: 0,
            services: StringArray::new_null(0),
            levels: StringArray::new_null(0),
            shapes: vec![],
            micros: vec![],
            nanos: vec![],
        }
    }

    /// The next batch, which is to be number `number`.
    fn next_batch(&mut self, number: usize) -> Result<Option<RecordBatch>, FormatError> {
        (self.at, self.rows) = (0, 0);
        let Some(batch) = self.reader.next().transpose()? else { return Ok(None) };
        let batch = align(&batch, &self.schema)?;
        self.services = batch[SERVICE].as_string::<i32>().clone();
        self.levels = batch[LEVEL].as_string::<i32>().clone();
        let messages = batch[MESSAGE].as_string::<i32>();
        self.shapes.clear();
        self.shapes.extend(messages.iter().map(|message| message.map_or(0, shape_of)));
        self.micros = batch[TIMESTAMP].as_primitive::<TimestampMicrosecondType>().values().to_vec();
        self.nanos = batch[NANOS].as_primitive::<Int16Type>().values().to_vec();
        (self.batch, self.rows) = (number as u32, batch.num_rows());
        Ok(Some(batch))
    }

    fn row(&self) -> Row {
        let (shape, micros, nanos) =
            (self.shapes[self.at], self.micros[self.at], self.nanos[self.at]);
        Row { micros, batch: self.batch, row: self.at as u32, shape, nanos }
    }

    /// The place of its next row in the order; `input` is its own number.
    fn key(&self, input: usize) -> Key<'_> {
        let text = |texts| Texts::InFull(texts).get(self.at);
        let group = Group::new(text(&self.services), text(&self.levels));
        let Row { shape, micros, nanos, .. } = self.row();
        (group, shape, micros, nanos, input)
    }
}

/// The group, shape, micros and nanos of a row, and its input.
type Key<'a> = (Group<'a>, u64, i64, i16, usize);

/// The next row of an input; the heap's greatest is the first in order.
#[derive(PartialEq, Eq)]
struct Head {
    service: Option<String>,
    level: Option<String>,
    shape: u64,
    micros: i64,
    nanos: i16,
    input: usize,
}

impl Head {
    fn new((group, shape, micros, nanos, input): Key<'_>) -> Self {
        let (service, level) = (group.service.map(str::to_owned), group.level.map(str::to_owned));
        Self { service, level, shape, micros, nanos, input }
    }

    fn key(&self) -> Key<'_> {
        let group = Group::new(self.service.as_deref(), self.level.as_deref());
        (group, self.shape, self.micros, self.nanos, self.input)
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int16Array, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use loglake_model::PartitionBy;

    use super::*;
    use crate::encode;

    const LONG: usize = 128 << 10;

    /// A file of records of 128 KiB each, whose times lie between those of other numbers.
    fn long_records(table: &TableSchema, number: i64) -> Bytes {
        let rows = 400;
        let message = |n: i64| format!("{n:09} ").repeat(LONG / 10);
        let mut fields = TableSchema::time_fields().to_vec();
        fields.push(Field::new(MESSAGE, DataType::Utf8, true));
        let times = TimestampMicrosecondArray::from_iter_values((0..rows).map(|n| n * 4 + number));
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(times.with_timezone("UTC")),
            Arc::new(Int16Array::from_iter_values((0..rows).map(|_| 0))),
            Arc::new(StringArray::from_iter_values((0..rows).map(message))),
        ];
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        encode(&[batch], table, &EncoderSettings::default()).unwrap().remove(0).bytes
    }

    #[test]
    fn a_merge_of_long_records_holds_few_of_them() {
        let table = TableSchema::new(PartitionBy::Day);
        let files: Vec<Bytes> = (0..4).map(|number| long_records(&table, number)).collect();
        let mut merge = Merge::new(files, &table, EncoderSettings::default()).unwrap();
        let (mut rows, mut held) = (0, 0);
        while merge.fill_slice().unwrap() {
            held = merge
                .batches
                .iter()
                .map(RecordBatch::get_array_memory_size)
                .sum::<usize>()
                .max(held);
            rows += merge.slice.len();
            merge.write_slice().unwrap();
        }
        assert_eq!(rows, 1_600);
        // All of them are 200 MiB.
        assert!(held < 100 << 20, "{} MiB", held >> 20);
    }
}
