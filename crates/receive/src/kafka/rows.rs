//! Records to rows: a JSON object as `_bulk` takes it, anything else as a line of text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use loglake_model::{NameForm, Timestamp};

use super::batch::{Batch, Record};
use super::{KafkaError, Producer, RECORDS_MAX, Reader};
use crate::json::Problem;
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
    let mut rows =
        Rows { batch: BatchBuilder::new(&context.decode), context, format: text_format(records) };
    for (record, line) in records.iter().zip(1..) {
        rows.add(line, record);
    }
    rows.batch.finish()
}

/// How the payloads that are no objects are written, most of them.
fn text_format(records: &[Record<'_>]) -> Format {
    let texts = records.iter().filter_map(|record| record.value);
    let texts = texts.filter(|text| !looks_like_object(text)).take(SAMPLE);
    match detect(texts) {
        Detected::Text(format) => format,
        Detected::Ndjson => Format::Plain,
    }
}

fn looks_like_object(payload: &[u8]) -> bool {
    payload.trim_ascii_start().starts_with(b"{")
}

struct Rows<'c> {
    batch: BatchBuilder<'c>,
    context: &'c RecordsContext<'c>,
    format: Format,
}

impl Rows<'_> {
    fn add(&mut self, line: u64, record: &Record<'_>) {
        let arrival = time_of(record).unwrap_or(self.context.decode.arrival);
        self.batch.set_arrival(arrival);
        let beside = beside(record, self.context);
        let payload = record.value.unwrap_or_default();
        if looks_like_object(payload) {
            let extra = beside.iter().map(|(name, value)| (name.as_str(), value.as_field()));
            match self.batch.try_json(extra, payload) {
                Ok(()) => return,
                Err(error) if is_text(&error) => {}
                Err(error) => return self.batch.reject(line, error.to_string()),
            }
        }
        self.add_text(line, &beside, payload, arrival);
    }

    fn add_text(
        &mut self,
        line: u64,
        beside: &[(String, Beside)],
        payload: &[u8],
        arrival: Timestamp,
    ) {
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

enum Beside {
    Text(String),
    Int(i64),
}

impl Beside {
    fn as_field(&self) -> FieldValue<'_> {
        match self {
            Self::Text(text) => FieldValue::String(text),
            Self::Int(int) => FieldValue::Int(*int),
        }
    }
}

/// The fields that were asked for.
fn beside(record: &Record<'_>, context: &RecordsContext<'_>) -> Vec<(String, Beside)> {
    let (mut fields, wanted) = (vec![], context.fields);
    if wanted.partition {
        fields.push(("kafka.partition".to_owned(), Beside::Int(context.partition.into())));
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

fn text_or_base64(name: String, value: &[u8]) -> (String, Beside) {
    match str::from_utf8(value) {
        Ok(text) => (name, Beside::Text(text.to_owned())),
        Err(_) => (name + "_base64", Beside::Text(BASE64.encode(value))),
    }
}
