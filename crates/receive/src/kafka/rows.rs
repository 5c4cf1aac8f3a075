//! Records to rows: a JSON object as `_bulk` takes it, anything else as a line of text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use loglake_model::{NameForm, Timestamp};

use super::batch::{Batch, Record};
use super::{KafkaError, Producer, RECORDS_MAX, Reader};
use crate::json::{Problem, on_one_line};
use crate::record::{BatchBuilder, RecordError};
use crate::text::{Context, Detected, Format, Value, as_utc, detect, parse};
use crate::{DecodeContext, Decoded, FieldValue};

/// Payloads that are looked at to tell how lines of text are written.
const SAMPLE: usize = 100;
/// The last millisecond whose nanoseconds a table can hold (the end of 2261).
const MILLIS_MAX: i64 = 9_214_646_399_999;

/// What of a record, beside its payload, becomes fields of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordFields {
    /// `kafka.key`, or `kafka.key_base64` when it is not UTF-8.
    pub key: bool,
    /// `kafka.headers.<name>`; of a name that comes twice the last one.
    pub headers: bool,
    /// `kafka.partition`
    pub partition: bool,
    /// `kafka.topic`
    pub topic: bool,
    /// `kafka.offset`
    pub offset: bool,
    /// `kafka.timestamp`: milliseconds since the epoch, as the queue has it.
    pub timestamp: bool,
}

impl RecordFields {
    pub const ALL: Self = Self {
        key: true,
        headers: true,
        partition: true,
        topic: true,
        offset: true,
        timestamp: true,
    };
}

/// What is known of the records beside their bytes.
#[derive(Clone, Copy, Debug)]
pub struct RecordsContext<'a> {
    /// Its `arrival` is for records without a time of their own, in the payload or beside it.
    pub decode: DecodeContext<'a>,
    pub partition: i32,
    pub fields: RecordFields,
    /// Bytes of the records after decompression.
    pub bytes_max: usize,
}

/// The rows of one partition's records.
#[derive(Clone, Debug)]
pub struct DecodedRecords {
    /// A rejection's line is the record's number among all of these, from 1.
    pub decoded: Decoded,
    pub records: usize,
    /// Bytes of the records after decompression.
    pub bytes: usize,
    /// Of the one batch that there is, when its producer numbers its records.
    pub producer: Option<Producer>,
}

/// Decodes what a producer sent for one partition.
///
/// # Errors
/// When it cannot be read as batches of records, or is too much. A producer that numbers its records
/// sends one batch at a time.
pub fn decode_records(
    bytes: &[u8],
    context: &RecordsContext<'_>,
) -> Result<DecodedRecords, KafkaError> {
    let (mut bytes, mut batches) = (Reader::new(bytes), vec![]);
    while !bytes.is_empty() {
        batches.push(Batch::read(&mut bytes)?);
    }
    let producer = batches.iter().find_map(|batch| batch.producer);
    if producer.is_some() && batches.len() > 1 {
        return Err(KafkaError::Malformed("a producer with an id sends one batch at a time"));
    }
    let (mut unpacked, mut size) = (vec![], 0);
    for batch in &batches {
        let plain = batch.unpacked(context.bytes_max - size).map_err(|e| match e {
            KafkaError::TooLarge { .. } => KafkaError::TooLarge { max: context.bytes_max },
            other => other,
        })?;
        size += plain.len();
        unpacked.push(plain);
    }
    let mut records = vec![];
    for (batch, plain) in batches.iter().zip(&unpacked) {
        batch.records(plain, RECORDS_MAX, &mut records)?;
    }
    let decoded = rows(&records, context);
    Ok(DecodedRecords { decoded, records: records.len(), bytes: size, producer })
}

fn rows(records: &[Record<'_>], context: &RecordsContext<'_>) -> Decoded {
    let payloads = records.iter().filter_map(|record| record.value);
    let mut rows = Rows::new(&context.decode, text_format(payloads));
    for (record, line) in records.iter().zip(1..) {
        let place = Place { partition: context.partition, ..Place::default() };
        rows.add(line, &beside(record, &place, context.fields), record);
    }
    rows.batch.finish()
}

/// How the payloads that are no objects are written, most of them.
pub(super) fn text_format<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Format {
    let texts = payloads.filter(|text| !looks_like_object(text)).take(SAMPLE);
    match detect(texts) {
        Detected::Text(format) => format,
        Detected::Ndjson => Format::Plain,
    }
}

fn looks_like_object(payload: &[u8]) -> bool {
    payload.trim_ascii_start().starts_with(b"{")
}

/// What a record has beside its payload, as fields.
pub(super) type BesideFields = [(String, Beside)];

pub(super) struct Rows<'c> {
    pub(super) batch: BatchBuilder<'c>,
    /// How most lines of text are written.
    format: Format,
    arrival: Timestamp,
}

impl<'c> Rows<'c> {
    pub(super) fn new(context: &DecodeContext<'c>, format: Format) -> Self {
        Self { batch: BatchBuilder::new(context), format, arrival: context.arrival }
    }

    /// The time of a record that brings none in its payload.
    pub(super) fn time(&self, record: &Record<'_>) -> Timestamp {
        time_of(record).unwrap_or(self.arrival)
    }

    /// An object, or else text.
    pub(super) fn add(&mut self, line: u64, beside: &BesideFields, record: &Record<'_>) {
        let payload = record.value.unwrap_or_default();
        if looks_like_object(payload) {
            match self.try_object(beside, record, payload) {
                Ok(()) => return,
                Err(error) if is_text(&error) => {}
                Err(error) => return self.batch.reject(line, error.to_string()),
            }
        }
        self.add_text(line, beside, record);
    }

    /// An object, or else a rejection.
    pub(super) fn add_object(&mut self, line: u64, beside: &BesideFields, record: &Record<'_>) {
        let added = self.try_object(beside, record, record.value.unwrap_or_default());
        if let Err(error) = added {
            self.batch.reject(line, error.to_string());
        }
    }

    fn try_object(
        &mut self,
        beside: &BesideFields,
        record: &Record<'_>,
        payload: &[u8],
    ) -> Result<(), RecordError> {
        self.batch.set_arrival(self.time(record));
        let extra = beside.iter().map(|(name, value)| (name.as_str(), value.as_field()));
        // What is kept of a payload as it came is shown as a line.
        self.batch.try_json(extra, &on_one_line(payload))
    }

    pub(super) fn add_text(&mut self, line: u64, beside: &BesideFields, record: &Record<'_>) {
        let arrival = self.time(record);
        self.batch.set_arrival(arrival);
        let payload = record.value.unwrap_or_default();
        let payload = payload.trim_ascii_end();
        let parsed = parse(payload, self.format, &Context { reference: arrival, local: &as_utc });
        let mut row = self.batch.record(line);
        for (name, value) in beside {
            row.field(name, NameForm::Nested, value.as_field());
        }
        for (name, value) in parsed.fields() {
            match value {
                Value::Text(text) => row.field(name, NameForm::Literal, FieldValue::String(text)),
                Value::Int(int) => row.field(name, NameForm::Literal, FieldValue::Int(*int)),
                Value::Float(float) => {
                    row.field(name, NameForm::Literal, FieldValue::Float(*float))
                }
                Value::List(_) => {
                    let json = serde_json::to_string(value).expect("texts and numbers are JSON");
                    row.field(name, NameForm::Literal, FieldValue::Json(&json))
                }
            };
        }
        row.finish();
    }
}

/// Whether a payload that begins like an object is no JSON: then it is a line of text, as it would
/// have been for whoever reads the topic.
const fn is_text(error: &RecordError) -> bool {
    match error {
        RecordError::Json(error) => !matches!(error.problem, Problem::TooDeep(_)),
        RecordError::NotUtf8 { .. } => true,
        _ => false,
    }
}

/// The time that the producer gave the record; what no table can hold counts as none.
fn time_of(record: &Record<'_>) -> Option<Timestamp> {
    let usable = (0..=MILLIS_MAX).contains(&record.timestamp);
    usable.then(|| Timestamp::from_nanos(record.timestamp * 1_000_000))
}

/// A field beside the payload.
pub(super) enum Beside {
    Text(String),
    Int(i64),
}

impl Beside {
    pub(super) fn as_field(&self) -> FieldValue<'_> {
        match self {
            Self::Text(text) => FieldValue::String(text),
            Self::Int(int) => FieldValue::Int(*int),
        }
    }
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// The fields that were asked for.
pub(super) fn beside(
    record: &Record<'_>,
    place: &Place<'_>,
    wanted: RecordFields,
) -> Vec<(String, Beside)> {
    let mut fields = vec![];
    for (name, wanted, value) in [
        ("kafka.topic", wanted.topic, Beside::Text(place.topic.to_owned())),
        ("kafka.partition", wanted.partition, Beside::Int(place.partition.into())),
        ("kafka.offset", wanted.offset, Beside::Int(place.offset)),
        (
            "kafka.timestamp",
            wanted.timestamp && record.timestamp >= 0,
            Beside::Int(record.timestamp),
        ),
    ] {
        if wanted {
            fields.push((name.to_owned(), value));
        }
    }
    if let Some(key) = record.key.filter(|_| wanted.key) {
        fields.push(text_or_base64("kafka.key".to_owned(), key));
    }
    if wanted.headers {
        for (name, value) in &record.headers {
            let name = format!("kafka.headers.{}", String::from_utf8_lossy(name));
            fields.push(text_or_base64(name, value.unwrap_or_default()));
        }
    }
    fields
}

pub(super) fn text_or_base64(name: String, value: &[u8]) -> (String, Beside) {
    match str::from_utf8(value) {
        Ok(text) => (name, Beside::Text(text.to_owned())),
        Err(_) => (name + "_base64", Beside::Text(BASE64.encode(value))),
    }
}
