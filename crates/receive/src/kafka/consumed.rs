//! Records that were consumed from a topic: into rows, and those that cannot be into rows of the
//! table of dead letters.

use loglake_model::{MESSAGE, NameForm, SERVICE};

use super::RecordFields;
use super::batch::Record;
use super::rows::{Beside, Place, Rows, beside, text_format, text_or_base64};
use crate::otlp::{Logs, parse_json, parse_protobuf};
use crate::{BatchBuilder, DecodeContext, Decoded, FieldValue};

/// The table of dead letters.
pub const DEAD_LETTERS: &str = "dead_letters";

/// How the payloads of a topic are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadFormat {
    /// A JSON object, or else a line of text. Nothing is undecodable but what is past a limit.
    #[default]
    Auto,
    /// One JSON object each.
    Json,
    /// A line of text each, whose shape is found out.
    Text,
    /// OTLP `ExportLogsServiceRequest`s (or `LogsData`, which is the same) as protobuf.
    OtlpProtobuf,
    /// The same as JSON.
    OtlpJson,
}

/// A record as a consumer has it.
#[derive(Clone, Debug, Default)]
pub struct ConsumedRecord<'a> {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch; negative for none.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// What is known of the records beside their bytes.
#[derive(Clone, Copy, Debug)]
pub struct ConsumedContext<'a> {
    pub decode: DecodeContext<'a>,
    pub topic: &'a str,
    pub format: PayloadFormat,
    pub fields: RecordFields,
}

/// The rows of records. A rejection's line is the record's number among `records`, from 1; a record may
/// have several, and rows beside them (of OTLP, whose one record holds many).
pub fn decode_consumed(records: &[ConsumedRecord<'_>], context: &ConsumedContext<'_>) -> Decoded {
    let payloads = records.iter().filter_map(|record| record.value);
    let mut rows = Rows::new(&context.decode, text_format(payloads));
    for (consumed, line) in records.iter().zip(1..) {
        let record = consumed.record();
        let beside = beside(&record, &consumed.place(context.topic), context.fields);
        let otlp = |parse: fn(&[u8]) -> Result<Logs<'_>, String>| {
            parse(record.value.ok_or("it has no value")?)
        };
        let logs = match context.format {
            PayloadFormat::Auto => {
                rows.add(line, &beside, &record);
                continue;
            }
            PayloadFormat::Text => {
                rows.add_text(line, &beside, &record);
                continue;
            }
            PayloadFormat::Json => {
                rows.add_object(line, &beside, &record);
                continue;
            }
            PayloadFormat::OtlpProtobuf => otlp(parse_protobuf),
            PayloadFormat::OtlpJson => otlp(parse_json),
        };
        match logs {
            Ok(logs) => {
                let extra = beside.iter().map(|(name, value)| (name.as_str(), value.as_field()));
                let arrival = rows.time(&record);
                logs.add_to(&mut rows.batch, line, extra, arrival);
            }
            Err(reason) => rows.batch.reject(line, reason),
        }
    }
    rows.batch.finish()
}

impl<'a> ConsumedRecord<'a> {
    fn record(&self) -> Record<'a> {
        Record {
            timestamp: self.timestamp,
            key: self.key,
            value: self.value,
            headers: self.headers.clone(),
        }
    }

    const fn place<'t>(&self, topic: &'t str) -> Place<'t> {
        Place { topic, partition: self.partition, offset: self.offset }
    }
}

/// Rows of the table of dead letters: of each record the reason as the message, its place, key, headers
/// and bytes (`kafka.value`, or `kafka.value_base64` where they are not UTF-8). Every letter becomes a row:
/// one whose bytes do not fit into a record of a table says how many there were instead.
pub fn dead_letters(
    letters: &[(&ConsumedRecord<'_>, &str)],
    topic: &str,
    decode: &DecodeContext<'_>,
) -> Decoded {
    let fields = RecordFields::ALL;
    let mut rows = Rows::new(decode, crate::text::Format::Plain);
    for (consumed, reason) in letters {
        let record = consumed.record();
        let place = consumed.place(topic);
        let mut whole = beside(&record, &place, fields);
        whole.extend(record.value.map(|value| text_or_base64("kafka.value".to_owned(), value)));
        let time = rows.time(&record);
        rows.batch.set_arrival(time);
        if add_letter(&mut rows.batch, topic, reason, &whole) {
            continue;
        }
        let bare = RecordFields { key: false, headers: false, ..fields };
        let mut short = beside(&record, &place, bare);
        let bytes = record.value.map_or(0, <[u8]>::len);
        short.push(("kafka.value_bytes".to_owned(), Beside::Int(bytes as i64)));
        add_letter(&mut rows.batch, topic, reason, &short);
    }
    rows.batch.finish()
}

fn add_letter(
    batch: &mut BatchBuilder<'_>,
    topic: &str,
    reason: &str,
    fields: &[(String, Beside)],
) -> bool {
    let mut row = batch.record(1);
    row.field(SERVICE, NameForm::Nested, FieldValue::String(topic));
    row.field(MESSAGE, NameForm::Nested, FieldValue::String(reason));
    for (name, value) in fields {
        row.field(name, NameForm::Nested, value.as_field());
    }
    row.finish()
}
