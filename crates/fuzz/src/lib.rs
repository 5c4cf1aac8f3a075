//! The decoders, each as a function of bytes that anybody may send. None may panic, and what they say of
//! the bytes must add up.

use loglake_model::{Limits, PartitionBy, TableSchema, Timestamp};
use loglake_receive::kafka::{
    ConsumedContext, ConsumedRecord, PayloadFormat, RecordFields, RecordsContext, dead_letters,
    decode_consumed, decode_records,
};
use loglake_receive::text::{self, Format};
use loglake_receive::{
    BatchBuilder, BodyReader, BulkReader, DecodeContext, Decoded, Document, Encoding,
    decode_documents, decode_ndjson, otlp, render_ndjson,
};

pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("ndjson", ndjson),
    ("bulk", bulk),
    ("text", text),
    ("otlp-protobuf", otlp_protobuf),
    ("otlp-json", otlp_json),
    ("kafka-batches", kafka_batches),
    ("kafka-payloads", kafka_payloads),
];

pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// Decodes with a new table's shape, and small limits, so that they are reached.
fn with_context<T>(decode: impl FnOnce(&DecodeContext<'_>) -> T) -> T {
    let limits = Limits {
        body_bytes_max: 1 << 20,
        record_bytes_max: 4_096,
        record_fields_max: 40,
        record_depth_max: 8,
        table_columns_max: 30,
    };
    let schema = TableSchema::new(PartitionBy::Hour);
    let arrival = Timestamp::from_nanos(1_800_000_000_000_000_000);
    decode(&DecodeContext { schema: &schema, limits: &limits, arrival })
}

/// Every row can be shown, one line each.
fn shown(decoded: &Decoded) {
    let mut lines = String::new();
    assert!(render_ndjson(&decoded.batch, &mut lines).is_ok(), "rows that cannot be shown");
    assert_eq!(lines.lines().count(), decoded.batch.num_rows());
}

/// The first byte chooses among `choices`; the rest is the input.
fn choose<'a, T: Copy>(choices: &[T], bytes: &'a [u8]) -> Option<(T, &'a [u8])> {
    let (first, rest) = bytes.split_first()?;
    Some((*choices.get(usize::from(*first) % choices.len())?, rest))
}

const ENCODINGS: [Encoding; 3] = [Encoding::Identity, Encoding::Gzip, Encoding::Zstd];

fn ndjson(bytes: &[u8]) {
    let Some((encoding, bytes)) = choose(&ENCODINGS, bytes) else { return };
    with_context(|context| {
        let mut body = BodyReader::new(encoding, context.limits);
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        for piece in [head, tail, &[]] {
            if piece.is_empty() {
                body.finish();
            } else {
                body.push(piece);
            }
            while let Ok(Some(block)) = body.next_block() {
                shown(&decode_ndjson(&block.bytes, block.first_line, context));
            }
        }
    });
}

fn bulk(bytes: &[u8]) {
    with_context(|context| {
        let mut body = BodyReader::of_lines(Encoding::Identity, context.limits);
        let mut reader = BulkReader::new(Some("logs"));
        body.push(bytes);
        body.finish();
        while let Ok(Some(block)) = body.next_block() {
            let items = reader.items(&block);
            let documents = items.iter().filter_map(|item| {
                let source = item.source.as_deref().ok()?;
                Some(Document { line: item.line, extra: &[("_id", "x")], source })
            });
            let decoded = decode_documents(documents.clone(), context);
            shown(&decoded);
            assert_eq!(decoded.batch.num_rows() + decoded.rejections.len(), documents.count());
        }
        reader.finish();
    });
}

fn text(bytes: &[u8]) {
    const FORMATS: [Format; 5] =
        [Format::Syslog, Format::Access, Format::Dpkg, Format::Logfmt, Format::Plain];
    let Some((format, line)) = choose(&FORMATS, bytes) else { return };
    let reference = Timestamp::from_nanos(1_800_000_000_000_000_000);
    let context = text::Context { reference, local: &text::as_utc };
    let record = text::parse(line, format, &context);
    assert!(record.get("message").is_some(), "a record without a message");
    text::detect(line.split(|byte| *byte == b'\n'));
}

fn otlp_protobuf(bytes: &[u8]) {
    if let Ok(logs) = otlp::parse_protobuf(bytes) {
        added(&logs);
    }
}

fn otlp_json(bytes: &[u8]) {
    if let Ok(logs) = otlp::parse_json(bytes) {
        added(&logs);
    }
}

fn added(logs: &otlp::Logs<'_>) {
    with_context(|context| {
        let mut batch = BatchBuilder::new(context);
        logs.add_to(&mut batch, 1, std::iter::empty(), context.arrival);
        let decoded = batch.finish();
        shown(&decoded);
        assert_eq!(decoded.batch.num_rows() + decoded.rejections.len(), logs.len());
    });
}

fn kafka_batches(bytes: &[u8]) {
    with_context(|context| {
        let context = RecordsContext {
            decode: *context,
            partition: 3,
            fields: RecordFields::ALL,
            bytes_max: 1 << 20,
        };
        // As it is, and with the checksum that the bytes should have: so that what is behind is reached.
        let mut repaired = bytes.to_vec();
        if let Some(covered) = repaired.get(CHECKED_FROM..) {
            let checksum = crc32c::crc32c(covered).to_be_bytes();
            repaired[CHECKSUM_AT..CHECKED_FROM].copy_from_slice(&checksum);
        }
        for bytes in [bytes, &repaired] {
            if let Ok(records) = decode_records(bytes, &context) {
                shown(&records.decoded);
                let seen = records.decoded.batch.num_rows() + records.decoded.rejections.len();
                assert_eq!(seen, records.records);
            }
        }
    });
}

/// Where a batch's checksum stands, and the bytes that it covers.
const CHECKSUM_AT: usize = 17;
const CHECKED_FROM: usize = 21;

fn kafka_payloads(bytes: &[u8]) {
    const FORMATS: [PayloadFormat; 5] = [
        PayloadFormat::Auto,
        PayloadFormat::Json,
        PayloadFormat::Text,
        PayloadFormat::OtlpProtobuf,
        PayloadFormat::OtlpJson,
    ];
    let Some((format, bytes)) = choose(&FORMATS, bytes) else { return };
    let records: Vec<ConsumedRecord<'_>> = bytes
        .split(|byte| *byte == 0xFF)
        .map(|value| ConsumedRecord {
            key: value.get(..4),
            value: Some(value),
            headers: vec![(value.get(..2).unwrap_or_default(), value.get(2..5))],
            ..ConsumedRecord::default()
        })
        .collect();
    with_context(|decode| {
        let context =
            ConsumedContext { decode: *decode, topic: "topic", format, fields: RecordFields::ALL };
        let decoded = decode_consumed(&records, &context);
        shown(&decoded);
        let letters: Vec<_> = decoded
            .rejections
            .iter()
            .filter_map(|rejection| {
                let at = usize::try_from(rejection.line).ok()?.checked_sub(1)?;
                Some((records.get(at)?, rejection.reason.as_str()))
            })
            .collect();
        assert_eq!(letters.len(), decoded.rejections.len(), "a rejection of no record");
        let dead = dead_letters(&letters, context.topic, decode);
        shown(&dead);
        assert_eq!(dead.batch.num_rows(), letters.len(), "a letter without a row");
    });
}
