//! Records into a batch, whatever the protocol.
//!
//! A record's values are staged first, as places in its text, and move into the columns only when
//! all of it was read: so a record that turns out to be wrong leaves nothing behind, and of a
//! doubled name the last value is kept. Nothing is allocated for a record whose keys were met
//! before and whose values go into columns.

mod place;
mod read;

use arrow::array::{ArrayRef, Int16Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field};
use loglake_model::{ATTRIBUTES, Limits, NameForm, Rejection, TableSchema, Timestamp};
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::columns::{Columns, Finished, Growth, batch_schema};
use crate::fields::Fields;
use crate::json::JsonError;
use crate::keys::Keys;
use crate::staged::Staged;
use crate::timestamp::RANGE;
use crate::{DecodeContext, Decoded};

/// Nesting that is taken at most, whatever the limits say: reading is recursive, and readers of
/// `attributes` stop at 128.
const DEPTH_MAX: usize = 120;

/// Rows after which the batch's columns are settled. Shorter batches are not worth it.
pub(crate) const SETTLED_ROWS: usize = 2_048;

/// Keys remembered at most between two records.
const KEYS_MAX: usize = 16_384;

/// Bytes of a dotted name; longer paths stay objects in `attributes`. Bounds what a long key costs
/// that has many others in it.
const DOTTED_BYTES_MAX: usize = 1_024;

/// Why a record is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("invalid UTF-8 at byte {column}")]
    NotUtf8 { column: usize },
    #[error("record of {bytes} bytes is longer than the limit of {max} bytes")]
    TooLong { bytes: u64, max: usize },
    #[error("more than {max} fields")]
    TooManyFields { max: usize },
    #[error("the name `.` is not possible for a field")]
    ReservedName,
    #[error("`{name}` is {value}, outside of {RANGE}")]
    TimeOutOfRange { name: String, value: String },
}

/// A value for [`RecordBuilder::field`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'a> {
    String(&'a str),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Any JSON value. Objects are flattened.
    Json(&'a str),
}

/// Collects records and makes one batch of them.
pub struct BatchBuilder<'c> {
    limits: &'c Limits,
    arrival: Timestamp,
    keys: Keys,
    fields: Fields,
    columns: Columns<'c>,
    attributes: Attributes,
    micros: Vec<i64>,
    nanos: Vec<i16>,
    /// How many there are to be, as far as it is known.
    rows_expected: usize,
    rejections: Vec<Rejection>,
    /// The record that is being read: its number, from 1, and what it brought so far.
    record: u32,
    fields_seen: usize,
    staged: Vec<Staged>,
    /// Values that are kept within an object in `attributes`; their field is that object's.
    members: Vec<Staged>,
    /// Texts that the record's own bytes do not hold.
    scratch: String,
    unescaped: String,
}

impl<'c> BatchBuilder<'c> {
    pub fn new(context: &DecodeContext<'c>) -> Self {
        Self {
            limits: context.limits,
            arrival: context.arrival,
            keys: Keys::new(),
            fields: Fields::new(),
            columns: Columns::new(context),
            attributes: Attributes::default(),
            micros: vec![],
            nanos: vec![],
            rows_expected: 0,
            rejections: vec![],
            record: 0,
            fields_seen: 0,
            staged: vec![],
            members: vec![],
            scratch: String::new(),
            unescaped: String::new(),
        }
    }

    /// About so many records are to come in all: memory is taken for them once.
    pub(crate) const fn expect(&mut self, rows: usize) {
        self.rows_expected = rows;
    }

    /// Adds the record that is one JSON object, or its rejection; true when it is stored.
    pub fn json(&mut self, line: u64, object: &[u8]) -> bool {
        self.json_with(line, &[], object)
    }

    /// The same with further string fields beside those of the object, whose own win.
    pub fn json_with(&mut self, line: u64, extra: &[(&str, &str)], object: &[u8]) -> bool {
        self.begin();
        let extra = extra.iter().map(|(name, value)| (*name, FieldValue::String(value)));
        let result = self.read_bytes(NameForm::Literal, extra, object);
        self.conclude(line, result)
    }

    /// The same with fields of any type beside, whose names may be nested. On an error nothing was
    /// added: the caller decides what becomes of the record.
    pub(crate) fn try_json<'e>(
        &mut self,
        extra: impl Iterator<Item = (&'e str, FieldValue<'e>)>,
        object: &[u8],
    ) -> Result<(), RecordError> {
        self.begin();
        self.read_bytes(NameForm::Nested, extra, object)
    }

    /// The time of the records from here on that bring none.
    pub(crate) const fn set_arrival(&mut self, arrival: Timestamp) {
        self.arrival = arrival;
    }

    /// Adds the record whose text is known to be UTF-8.
    #[inline]
    pub(crate) fn json_text(&mut self, line: u64, object: &str) -> bool {
        self.begin();
        let result = self.read_text(object);
        self.conclude(line, result)
    }

    /// Begins a record that is given field by field. It is stored by [`RecordBuilder::finish`].
    pub fn record(&mut self, line: u64) -> RecordBuilder<'_, 'c> {
        self.begin();
        RecordBuilder { batch: self, line, time: None, error: None }
    }

    /// Adds the rejection of a record that could not even be begun.
    pub fn reject(&mut self, line: u64, reason: impl Into<String>) {
        self.rejections.push(Rejection { line, reason: reason.into() });
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.micros.len()
    }

    /// The batch of all records and the rejections, in the order in which they were added.
    pub fn finish(self) -> Decoded {
        let rows = self.micros.len();
        let Finished { columns, displaced } = self.columns.finish(rows);
        let attributes = self.attributes.finish(rows, &displaced);
        let field = attributes.as_ref().map(|_| Field::new(ATTRIBUTES, DataType::Utf8, true));
        let schema = batch_schema(&columns, field);
        let zone = TableSchema::time_fields()[0].data_type().clone();
        let micros = TimestampMicrosecondArray::from(self.micros).with_data_type(zone);
        let times: [ArrayRef; 2] = [Arc::new(micros), Arc::new(Int16Array::from(self.nanos))];
        let arrays = times.into_iter().chain(columns.into_iter().map(|(_, a)| a)).chain(attributes);
        let batch = RecordBatch::try_new(schema, arrays.collect())
            .expect("every column has a value or null for each row, in its field's type");
        Decoded { batch, rejections: self.rejections }
    }

    fn settle(&mut self) {
        let growth = Growth { from: SETTLED_ROWS, to: self.rows_expected };
        self.columns.settle(growth);
        let more = self.rows_expected.saturating_sub(SETTLED_ROWS);
        self.micros.reserve(more);
        self.nanos.reserve(more);
    }

    fn begin(&mut self) {
        if self.keys.len() > KEYS_MAX || self.record == u32::MAX - 1 {
            self.keys = Keys::new();
            self.fields = Fields::new();
            self.record = 0;
        }
        self.record += 1;
        self.fields_seen = 0;
        self.staged.clear();
        self.members.clear();
        self.scratch.clear();
    }

    fn conclude(&mut self, line: u64, result: Result<(), RecordError>) -> bool {
        if let Err(error) = &result {
            self.reject(line, error.to_string());
        }
        result.is_ok()
    }
}

/// A record that is given field by field. Dropped without [`Self::finish`] it was never there.
pub struct RecordBuilder<'b, 'c> {
    batch: &'b mut BatchBuilder<'c>,
    line: u64,
    time: Option<Timestamp>,
    error: Option<RecordError>,
}

impl RecordBuilder<'_, '_> {
    /// The time that the protocol itself says; names like `timestamp` are then ordinary fields.
    pub fn time(&mut self, time: Timestamp) -> &mut Self {
        self.time = Some(time);
        self
    }

    /// Adds a field. `form` says what the dots of `name` are. A field that is given twice has the
    /// later value. An error shows when the record is finished.
    pub fn field(&mut self, name: &str, form: NameForm, value: FieldValue<'_>) -> &mut Self {
        if self.error.is_none() {
            self.error = self.batch.field(name, form, value).err();
        }
        self
    }

    /// Stores the record, or adds its rejection and gives false.
    pub fn finish(self) -> bool {
        let result = match self.error {
            Some(error) => Err(error),
            None => self.batch.commit("", self.time),
        };
        self.batch.conclude(self.line, result)
    }
}

/// The reason for a record that is longer than the limits let it be.
pub(crate) fn too_long(bytes: u64, max: usize) -> String {
    RecordError::TooLong { bytes, max }.to_string()
}
