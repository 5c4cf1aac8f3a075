//! Records into a batch, whatever the protocol.
//!
//! A record's values are staged first, as places in its text, and move into the columns only when
//! all of it was read: so a record that turns out to be wrong leaves nothing behind, and of a
//! doubled name the last value is kept. Nothing is allocated for a record whose keys were met
//! before and whose values go into columns.

use arrow::array::{ArrayRef, Int16Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field};
use loglake_model::{
    ATTRIBUTES, LITERAL_NAMES, Limits, NameForm, Rejection, TableSchema, Timestamp,
};
use std::sync::Arc;

use crate::aliases::Canonical;
use crate::attributes::Attributes;
use crate::columns::{Columns, Finished, Scalar, batch_schema};
use crate::fields::{FieldId, Fields, Target};
use crate::json::{JsonError, JsonStr, Scanner, write_string};
use crate::keys::{FLATTENED, Keys, NONE, NodeId, ROOT, Spelling};
use crate::staged::{Place, Spelled, Staged, Texts, Value};
use crate::timestamp::{ParsedTime, RANGE};
use crate::{DecodeContext, Decoded};

/// Nesting that is taken at most, whatever the limits say: reading is recursive, and readers of
/// `attributes` stop at 128.
const DEPTH_MAX: usize = 120;

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
            rejections: vec![],
            record: 0,
            fields_seen: 0,
            staged: vec![],
            members: vec![],
            scratch: String::new(),
            unescaped: String::new(),
        }
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

    fn read_bytes<'e>(
        &mut self,
        form: NameForm,
        extra: impl Iterator<Item = (&'e str, FieldValue<'e>)>,
        object: &[u8],
    ) -> Result<(), RecordError> {
        self.check_length(object.len())?;
        let text = simdutf8::compat::from_utf8(object)
            .map_err(|error| RecordError::NotUtf8 { column: error.valid_up_to() + 1 })?;
        for (name, value) in extra {
            self.field(name, form, value)?;
        }
        self.read_text(text)
    }

    fn check_length(&self, bytes: usize) -> Result<(), RecordError> {
        let max = self.limits.record_bytes_max.min(i32::MAX as usize);
        if bytes > max {
            return Err(RecordError::TooLong { bytes: bytes as u64, max });
        }
        Ok(())
    }

    fn read_text(&mut self, object: &str) -> Result<(), RecordError> {
        self.check_length(object.len())?;
        let mut scanner = Scanner::new(object, self.limits.record_depth_max.min(DEPTH_MAX));
        self.object(&mut scanner, Place::RECORD, ROOT, 1)?;
        scanner.end()?;
        self.commit(object, None)
    }

    /// Stages what an object holds; false when it is empty.
    fn object(
        &mut self,
        scanner: &mut Scanner<'_>,
        place: Place,
        parent: NodeId,
        depth: usize,
    ) -> Result<bool, RecordError> {
        scanner.begin_object(depth)?;
        let (mut first, mut before) = (true, NONE);
        while scanner.at_key(&mut first)? {
            let node = match self.keys.likely(parent, before, |key| scanner.take_key(key)) {
                Some(node) => node,
                None => self.node(parent, before, &scanner.key()?),
            };
            self.value(scanner, place, node, depth)?;
            before = node;
        }
        Ok(before != NONE)
    }

    /// The node of a key that was not the likely one.
    fn node(&mut self, parent: NodeId, before: NodeId, key: &JsonStr<'_>) -> NodeId {
        match self.keys.find(parent, before, key) {
            Some(node) => node,
            None => self.add_key(parent, before, key),
        }
    }

    fn add_key(&mut self, parent: NodeId, before: NodeId, key: &JsonStr<'_>) -> NodeId {
        let key = key.value();
        let dotted = key.contains('.');
        let (spelling, field) = match parent {
            FLATTENED => (Spelling::Nested, self.fields.id(&key)),
            ROOT if dotted => (Spelling::Literal, self.fields.id(&key)),
            ROOT => (Spelling::Nested, self.fields.id(&key)),
            _ => {
                let outer = self.keys[parent].field;
                let name = &self.fields[outer].name;
                if dotted || name.len() + key.len() > DOTTED_BYTES_MAX {
                    (Spelling::Member, outer)
                } else {
                    let name = format!("{name}.{key}");
                    (Spelling::Nested, self.fields.id(&name))
                }
            }
        };
        self.keys.add(parent, before, &key, spelling, field)
    }

    /// Stages the value that comes next, in an object `depth` levels deep.
    #[inline]
    fn value(
        &mut self,
        scanner: &mut Scanner<'_>,
        place: Place,
        node: NodeId,
        depth: usize,
    ) -> Result<(), RecordError> {
        let next = scanner.peek();
        let start = scanner.position();
        let value = match next {
            Some(b'"') => {
                let string = scanner.string()?;
                let how = if string.escaped { Spelled::Escaped } else { Spelled::AsIs };
                Value::Text(place.span(string.start, string.raw.len()), how)
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = scanner.number()?;
                Value::Number {
                    span: place.span(start, number.text.len()),
                    integer: number.integer,
                }
            }
            Some(b't' | b'f') => Value::Bool(scanner.boolean()?),
            Some(b'{') if self.keys[node].spelling == Spelling::Nested => {
                self.begin_nested(node);
                if self.object(scanner, place, node, depth + 1)? {
                    return self.count_field();
                }
                Value::Json(place.span(start, scanner.position() - start))
            }
            _ => Value::Json(place.span(start, scanner.raw_value(depth)?.len())),
        };
        self.stage(node, value)
    }

    fn count_field(&mut self) -> Result<(), RecordError> {
        self.fields_seen += 1;
        let max = self.limits.record_fields_max;
        if self.fields_seen > max {
            return Err(RecordError::TooManyFields { max });
        }
        Ok(())
    }

    fn begin_nested(&mut self, node: NodeId) {
        if self.keys[node].seen == self.record {
            self.forget(node);
        }
        let key = &mut self.keys[node];
        key.seen = self.record;
        key.object_in = self.record;
    }

    #[inline]
    fn stage(&mut self, node: NodeId, value: Value) -> Result<(), RecordError> {
        self.count_field()?;
        let record = self.record;
        let key = &mut self.keys[node];
        let (doubled, was_object) = (key.seen == record, key.object_in == record);
        key.seen = record;
        let (spelling, field) = (key.spelling, key.field);
        if doubled && (was_object || spelling == Spelling::Member) {
            self.forget(node);
        }
        let name = &mut self.fields[field];
        let literal = spelling == Spelling::Literal;
        let staged = Staged { field, node, literal, alias: name.alias, value };
        if spelling == Spelling::Member {
            self.members.push(staged);
        } else if &*name.name == LITERAL_NAMES {
            return Err(RecordError::ReservedName);
        } else if name.seen == record {
            self.staged[name.staged as usize] = staged;
        } else {
            name.seen = record;
            name.staged = self.staged.len() as u32;
            self.staged.push(staged);
        }
        Ok(())
    }

    /// Drops what a doubled key brought before.
    fn forget(&mut self, node: NodeId) {
        for staged in &mut self.staged {
            if !matches!(staged.value, Value::Gone) && self.keys.lies_in(staged.node, node) {
                staged.value = Value::Gone;
                self.fields[staged.field].seen = 0;
            }
        }
        self.members.retain(|member| !self.keys.lies_in(member.node, node));
    }

    /// Stages one field that is given by name.
    fn field(
        &mut self,
        name: &str,
        form: NameForm,
        value: FieldValue<'_>,
    ) -> Result<(), RecordError> {
        let parent = match form {
            NameForm::Nested if name.contains('.') => FLATTENED,
            _ => ROOT,
        };
        let before = self.staged.last().map_or(NONE, |staged| staged.node);
        let key = JsonStr { raw: name, start: 0, escaped: false };
        let node = match self.keys.likely(parent, before, |likely| likely == name) {
            Some(node) => node,
            None => self.node(parent, before, &key),
        };
        let value = match value {
            FieldValue::Json(json) => return self.json_field(node, json),
            FieldValue::Int(value) => Value::Int(value),
            FieldValue::Float(value) => Value::Float(value),
            FieldValue::Bool(value) => Value::Bool(value),
            FieldValue::String(value) => {
                self.check_length(self.scratch.len() + value.len())?;
                let start = self.scratch.len();
                self.scratch.push_str(value);
                Value::Text(Place::SCRATCH.span(start, value.len()), Spelled::Raw)
            }
        };
        self.stage(node, value)
    }

    fn json_field(&mut self, node: NodeId, json: &str) -> Result<(), RecordError> {
        self.check_length(self.scratch.len() + json.len())?;
        let place = Place::scratch_from(self.scratch.len());
        let depth_max = self.limits.record_depth_max.min(DEPTH_MAX);
        let mut scanner = Scanner::new(json, depth_max);
        self.scratch.push_str(json);
        self.value(&mut scanner, place, node, 1)?;
        Ok(scanner.end()?)
    }

    /// Moves the staged values into the columns: the record is a row from here on.
    fn commit(&mut self, source: &str, time: Option<Timestamp>) -> Result<(), RecordError> {
        let scratch = std::mem::take(&mut self.scratch);
        let texts = Texts { record: source, scratch: &scratch };
        let result = match time {
            Some(time) => Ok(time),
            None => self.take_time(&texts),
        };
        if let Ok(time) = result {
            self.drop_names_of_objects();
            self.fill_from_aliases();
            let row = self.micros.len();
            self.micros.push(time.micros());
            self.nanos.push(time.nanos_of_micro());
            for at in 0..self.staged.len() {
                self.place(row, at, &texts);
            }
            if !self.members.is_empty() {
                self.place_members(&texts);
            }
            self.attributes.end_row(row);
        }
        self.scratch = scratch;
        result.map(drop)
    }

    /// The record's time: that of the first name of the list whose value is one, else the arrival.
    fn take_time(&mut self, texts: &Texts<'_>) -> Result<Timestamp, RecordError> {
        let timestamp = Fields::canonical(Canonical::Timestamp);
        let mut after = None;
        loop {
            let candidates = self.staged.iter().enumerate().filter_map(|(at, staged)| {
                let (column, rank) = staged.alias?;
                let waiting =
                    column == Canonical::Timestamp && after.is_none_or(|done| rank > done);
                (waiting && !matches!(staged.value, Value::Gone)).then_some((rank, at))
            });
            let Some((rank, at)) = candidates.min() else { return Ok(self.arrival) };
            after = Some(rank);
            match self.staged[at].value.time(texts, &mut self.unescaped) {
                ParsedTime::NotATime => {}
                ParsedTime::OutOfRange => return Err(self.time_out_of_range(at, texts)),
                ParsedTime::Time { timestamp: time, exact } => {
                    let occupied = rank > 0 && self.is_occupied(timestamp);
                    let staged = &mut self.staged[at];
                    match (occupied, exact) {
                        (true, _) => {}
                        (false, true) => staged.value = Value::Gone,
                        // The whole text stays in `attributes`, under the column's name.
                        (false, false) => (staged.field, staged.literal) = (timestamp, false),
                    }
                    return Ok(time);
                }
            }
        }
    }

    fn time_out_of_range(&self, at: usize, texts: &Texts<'_>) -> RecordError {
        const SHOWN: usize = 64;
        let staged = &self.staged[at];
        let mut value = String::new();
        staged.value.write_json(texts, &mut value);
        if let Some((cut, _)) = value.char_indices().nth(SHOWN) {
            value.truncate(cut);
            value.push('…');
        }
        RecordError::TimeOutOfRange { name: self.fields[staged.field].name.to_string(), value }
    }

    /// Where a name is both an object that is kept whole and a key with dots, the object wins.
    fn drop_names_of_objects(&mut self) {
        for member in &self.members {
            let field = &mut self.fields[member.field];
            if field.seen == self.record {
                self.staged[field.staged as usize].value = Value::Gone;
                field.seen = 0;
            }
        }
    }

    /// Whether the record has a value under this name already.
    fn is_occupied(&self, field: FieldId) -> bool {
        self.fields[field].seen == self.record || self.members.iter().any(|m| m.field == field)
    }

    /// Lets the best names that the record has fill `message`, `level` and `service`.
    fn fill_from_aliases(&mut self) {
        let mut best: [Option<(u8, usize)>; 4] = [None; 4];
        for (at, staged) in self.staged.iter().enumerate() {
            if let (Some((column, rank)), Value::Text(..)) = (staged.alias, staged.value)
                && column != Canonical::Timestamp
            {
                let best = &mut best[column as usize];
                *best = Some(best.map_or((rank, at), |other| other.min((rank, at))));
            }
        }
        for (column, best) in best.into_iter().enumerate() {
            let Some((1.., at)) = best else { continue };
            let field = column as FieldId;
            let renamed = Staged { field, literal: false, ..self.staged[at] };
            match self.is_occupied(field) {
                true => self.staged.push(renamed),
                false => self.staged[at] = renamed,
            }
        }
    }

    /// Puts one staged value into its column or into `attributes`.
    #[inline]
    fn place(&mut self, row: usize, at: usize, texts: &Texts<'_>) {
        let staged = self.staged[at];
        if matches!(staged.value, Value::Gone) {
            return;
        }
        let field = &mut self.fields[staged.field];
        if let Some(value) = staged.value.scalar(texts, &mut self.unescaped)
            && let Some(column) =
                resolve(&mut field.target, &mut self.columns, &field.name, staged.literal, &value)
            && self.columns.append(column, row, value)
        {
            let literal_column = self.columns.column(column).form == NameForm::Literal;
            if literal_column != staged.literal {
                self.attributes.list_literal(&field.name);
            }
            return;
        }
        staged.value.write_json(texts, self.attributes.member(&field.name));
        if staged.literal {
            self.attributes.list_literal(&field.name);
        }
    }

    /// Writes the values that stay within objects, an object for each field that has some.
    fn place_members(&mut self, texts: &Texts<'_>) {
        let name = |member: &Staged| &self.fields[member.field].name;
        self.members.sort_by(|a, b| name(a).cmp(name(b)));
        for object in self.members.chunk_by(|a, b| a.field == b.field) {
            let text = self.attributes.member(&self.fields[object[0].field].name);
            text.push('{');
            for (i, member) in object.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write_string(&self.keys[member.node].key, text);
                text.push(':');
                member.value.write_json(texts, text);
            }
            text.push('}');
        }
    }
}

#[inline]
fn resolve(
    target: &mut Target,
    columns: &mut Columns<'_>,
    name: &str,
    literal: bool,
    value: &Scalar<'_>,
) -> Option<u32> {
    match *target {
        Target::Column(id) => Some(id),
        Target::Attributes => None,
        Target::Undecided => {
            let form = if literal { NameForm::Literal } else { NameForm::Nested };
            let column = columns.resolve(name, form, value);
            *target = column.map_or(Target::Attributes, Target::Column);
            column
        }
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
