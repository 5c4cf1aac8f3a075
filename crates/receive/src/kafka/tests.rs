//! Against `kafka-protocol`, which was written by others: what it encodes is decoded here, and the
//! other way round.

use bytes::{Bytes, BytesMut};
use flate2::write::GzEncoder;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record,
    RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use loglake_model::{Limits, PartitionBy, Rejection, TableSchema, Timestamp};
use proptest::prelude::*;
use std::io::Write;

use super::*;
use crate::{DecodeContext, render_ndjson};

const ARRIVAL: Timestamp = Timestamp::from_nanos(1_793_538_000_000_000_000);

fn record(n: i64, value: &str) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: n,
        sequence: n as i32,
        timestamp: 1_793_538_000_123 + n,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: IndexMap::new(),
    }
}

fn packed(records: &[Record], compression: Compression) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    let pack = |plain: &mut BytesMut, into: &mut BytesMut, how: Compression| {
        into.extend_from_slice(&compressed(plain, how));
        Ok(())
    };
    RecordBatchEncoder::encode_with_custom_compression(&mut bytes, records, &options, Some(pack))
        .unwrap();
    bytes.to_vec()
}

fn compressed(plain: &[u8], how: Compression) -> Vec<u8> {
    match how {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(vec![], flate2::Compression::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(vec![]);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(plain, 3).unwrap(),
    }
}

fn decode(
    bytes: &[u8],
    fields: RecordFields,
    bytes_max: usize,
) -> Result<DecodedRecords, KafkaError> {
    let (schema, limits) = (TableSchema::new(PartitionBy::Hour), Limits::default());
    let decode = DecodeContext { schema: &schema, limits: &limits, arrival: ARRIVAL };
    decode_records(bytes, &RecordsContext { decode, partition: 3, fields, bytes_max })
}

/// The records as JSON, in order.
fn rendered(bytes: &[u8], fields: RecordFields) -> Vec<String> {
    let decoded = decode(bytes, fields, 1 << 20).unwrap().decoded;
    assert_eq!(decoded.rejections, []);
    let mut text = String::new();
    render_ndjson(&decoded.batch, &mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

const ALL: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

#[test]
fn a_batch_of_each_codec_is_read() {
    let records = [
        record(0, r#"{"timestamp":"2026-11-01T00:00:00.000000001Z","message":"a","n":1}"#),
        record(1, r#"{"message":"no time"}"#),
    ];
    for codec in ALL {
        assert_eq!(
            rendered(&packed(&records, codec), RecordFields::default()),
            [
                r#"{"timestamp":"2026-11-01T00:00:00.000000001Z","message":"a","n":1}"#,
                r#"{"timestamp":"2026-11-01T13:00:00.124Z","message":"no time"}"#,
            ],
            "{codec:?}"
        );
    }
}

#[test]
fn streams_of_snappy_blocks_are_read() {
    let plain = packed(&[record(0, "{\"message\":\"x\"}")], Compression::None);
    let body = &plain[batch::HEADER_BYTES..];
    let mut stream = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in body.chunks(7) {
        let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
        stream.extend_from_slice(&(block.len() as u32).to_be_bytes());
        stream.extend_from_slice(&block);
    }
    assert_eq!(codec::unpack(codec::Codec::Snappy, &stream, 1000).unwrap(), body);
    let bomb = codec::unpack(codec::Codec::Snappy, &stream, body.len() - 1);
    assert_eq!(bomb, Err(KafkaError::TooLarge { max: body.len() - 1 }));
}

#[test]
fn text_becomes_messages_of_the_shape_that_most_have() {
    let lines = [
        record(0, "<34>1 2026-11-01T12:00:00Z web-1 sshd 17 - - hello\n"),
        record(1, "<34>1 2026-11-01T12:00:01Z web-1 sshd 17 - - again"),
        record(2, "something else"),
        record(3, "{ not json"),
        record(4, ""),
    ];
    let rows = rendered(&packed(&lines, Compression::None), RecordFields::default());
    assert!(rows[0].contains(r#""timestamp":"2026-11-01T12:00:00Z""#), "{}", rows[0]);
    assert!(rows[0].contains(r#""message":"hello""#), "{}", rows[0]);
    assert!(rows[1].contains(r#""message":"again""#), "{}", rows[1]);
    assert!(rows[2].contains(r#""message":"something else""#), "{}", rows[2]);
    assert!(rows[3].contains(r#""message":"{ not json""#), "{}", rows[3]);
    assert!(rows[4].contains(r#""message":"""#), "{}", rows[4]);
}

#[test]
fn what_is_asked_for_stands_beside_the_payload() {
    let mut with = record(0, r#"{"message":"a"}"#);
    with.key = Some("user-7".into());
    with.headers.insert("trace".into(), Some("abc".into()));
    let mut binary = record(1, "plain");
    binary.key = Some(Bytes::from_static(b"\xff\0"));
    let bytes = packed(&[with, binary], Compression::None);
    let all = RecordFields { key: true, headers: true, partition: true, ..RecordFields::default() };
    let rows = rendered(&bytes, all);
    for part in [r#""key":"user-7""#, r#""headers":{"trace":"abc"}"#, r#""partition":3"#] {
        assert!(rows[0].contains(part), "{part} is not in {}", rows[0]);
    }
    assert!(rows[1].contains(r#""key_base64":"/wA=""#), "{}", rows[1]);
    let none = rendered(&bytes, RecordFields::default());
    assert!(none.iter().all(|row| !row.contains("kafka")), "{none:?}");
}

#[test]
fn a_payload_over_several_lines_is_one_row() {
    let pretty = "{\n  \"message\": \"a \\\"b\\\\\",\r\n  \"list\": [\n 1,\n 2\n]\n}";
    let shown = rendered(&packed(&[record(0, pretty)], Compression::None), RecordFields::default());
    assert_eq!(shown.len(), 1);
    let row: serde_json::Value = serde_json::from_str(&shown[0]).unwrap();
    assert_eq!((&row["message"], &row["list"]), (&"a \"b\\".into(), &serde_json::json!([1, 2])));
    // A line break within a string is no JSON: the payload is a text.
    let broken = rendered(
        &packed(&[record(0, "{\"message\": \"a\nb\"}")], Compression::None),
        RecordFields::default(),
    );
    let row: serde_json::Value = serde_json::from_str(&broken[0]).unwrap();
    assert!(row["message"].as_str().unwrap().starts_with("{\"message"), "{row}");
}

#[test]
fn a_record_past_a_limit_is_named() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let late = r#"{"timestamp":"3000-01-01T00:00:00Z"}"#;
    let records = [record(0, "{}"), record(1, &deep), record(2, late)];
    let decoded = decode(&packed(&records, Compression::Lz4), RecordFields::default(), 1 << 20);
    let decoded = decoded.unwrap();
    let lines: Vec<u64> = decoded.decoded.rejections.iter().map(|r| r.line).collect();
    assert_eq!((lines, decoded.records), (vec![2, 3], 3));
}

#[test]
fn what_is_no_batch_is_told_apart() {
    let error = |bytes: &[u8], max| decode(bytes, RecordFields::default(), max).unwrap_err();
    let good = packed(&[record(0, &"x".repeat(1000))], Compression::Gzip);
    assert_eq!(error(&good, 1000), KafkaError::TooLarge { max: 1000 });
    assert_eq!(error(&good[..good.len() - 1], 5000), Short.into());
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(error(&changed, 5000), KafkaError::Checksum { .. }));
    let mut old = good;
    old[16] = 1;
    assert_eq!(error(&old, 5000), KafkaError::OldFormat(1));
}

#[test]
fn the_producer_and_its_sequence_are_told() {
    let numbered = |n: i64| {
        let mut record = record(n, "x");
        (record.producer_id, record.producer_epoch, record.sequence) = (77, 2, 5 + n as i32);
        record
    };
    let batch = packed(&[numbered(0), numbered(1)], Compression::Zstd);
    let decoded = decode(&batch, RecordFields::default(), 1 << 20).unwrap();
    let producer = Producer { id: 77, epoch: 2, first_sequence: 5, last_sequence: 6 };
    assert_eq!(decoded.producer, Some(producer));
    assert!(is_numbered(&batch));
    assert!(
        !is_numbered(&packed(&[record(0, "x")], Compression::None)) && !is_numbered(&batch[..50])
    );
    let two = [batch.clone(), batch].concat();
    let error = decode(&two, RecordFields::default(), 1 << 20).unwrap_err();
    assert!(matches!(error, KafkaError::Malformed(_)), "{error}");
}

#[test]
fn what_is_served_is_read_by_others() {
    let served = [
        Served { offset: 1_793_538_000_000_000_003, timestamp: 1_793_538_000_500, value: b"{}" },
        Served { offset: 1_793_538_000_000_000_999, timestamp: 1_793_538_000_400, value: b"x" },
    ];
    let mut bytes = vec![];
    encode(&served, &mut bytes);
    encode(&[], &mut bytes);
    let read = RecordBatchDecoder::decode(&mut Bytes::from(bytes.clone())).unwrap();
    for (read, served) in read.records.iter().zip(&served) {
        assert_eq!((read.offset, read.timestamp), (served.offset, served.timestamp));
        assert_eq!(read.value.as_deref(), Some(served.value));
    }
    assert_eq!(decode(&bytes, RecordFields::default(), 1000).unwrap().records, 2);
}

proptest! {
    #[test]
    fn bytes_from_outside_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, RecordFields::default(), 1 << 16);
    }

    /// Past the checksum, where each length and count is looked at.
    #[test]
    fn batches_with_any_change_never_panic(
        codec in 0..5_usize,
        changes in proptest::collection::vec((17..200_usize, any::<u8>()), 1..6),
    ) {
        let records: Vec<Record> = (0..3).map(|n| record(n, "{\"message\":\"abc\"}")).collect();
        let mut bytes = packed(&records, ALL[codec]);
        for (at, byte) in changes {
            if let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
        }
        let checksum = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        if let Ok(decoded) = decode(&bytes, RecordFields::default(), 1 << 16) {
            prop_assert!(decoded.bytes <= 1 << 16);
        }
    }

    #[test]
    fn every_record_becomes_a_row_or_is_named(
        payloads in proptest::collection::vec(".{0,40}|\\{\"a\":[0-9]{1,20}\\}", 1..30),
    ) {
        let records: Vec<Record> =
            payloads.iter().zip(0..).map(|(payload, n)| record(n, payload)).collect();
        let decoded = decode(&packed(&records, Compression::None), RecordFields::default(), 1 << 20);
        let decoded = decoded.unwrap();
        let said = decoded.decoded.batch.num_rows() + decoded.decoded.rejections.len();
        prop_assert_eq!(said, payloads.len());
    }
}

fn consumed(offset: i64, value: Option<&[u8]>) -> ConsumedRecord<'_> {
    ConsumedRecord {
        partition: 3,
        offset,
        timestamp: 1_793_538_000_123,
        value,
        ..Default::default()
    }
}

fn decode_as(
    format: PayloadFormat,
    records: &[ConsumedRecord<'_>],
) -> (Vec<String>, Vec<Rejection>) {
    let (schema, limits) = (TableSchema::new(PartitionBy::Hour), Limits::default());
    let decode = DecodeContext { schema: &schema, limits: &limits, arrival: ARRIVAL };
    let fields = RecordFields { topic: true, offset: true, timestamp: true, ..Default::default() };
    let context = ConsumedContext { decode, topic: "t", format, fields };
    let decoded = decode_consumed(records, &context);
    let mut text = String::new();
    render_ndjson(&decoded.batch, &mut text).unwrap();
    (text.lines().map(str::to_owned).collect(), decoded.rejections)
}

#[test]
fn consumed_records_are_decoded_as_their_topic_says() {
    let records =
        [consumed(5, Some(b"{\"a\":1}")), consumed(6, Some(b"a line")), consumed(7, None)];
    let (rows, refused) = decode_as(PayloadFormat::Auto, &records);
    assert_eq!((rows.len(), refused.len()), (3, 0));
    assert!(rows[0].contains("\"a\":1") && rows[0].contains("\"offset\":5"), "{rows:?}");
    let (rows, refused) = decode_as(PayloadFormat::Text, &records);
    assert_eq!((rows.len(), refused.len()), (3, 0));
    let (rows, refused) = decode_as(PayloadFormat::Json, &records);
    assert_eq!(rows.len(), 1);
    assert_eq!(refused.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 3]);
    let (rows, refused) = decode_as(PayloadFormat::OtlpJson, &records);
    assert_eq!((rows.len(), refused.len()), (0, 3));
    assert!(refused[2].reason.contains("no value"));
}

#[test]
fn every_dead_letter_becomes_a_row() {
    let binary = consumed(1, Some(&[0xff, 0xfe]));
    let huge = vec![b'x'; 9 << 20];
    let huge = consumed(2, Some(&huge));
    let none = consumed(3, None);
    let letters = [(&binary, "not JSON"), (&huge, "too long"), (&none, "no value")];
    let (schema, limits) = (TableSchema::new(PartitionBy::Hour), Limits::default());
    let decode = DecodeContext { schema: &schema, limits: &limits, arrival: ARRIVAL };
    let decoded = dead_letters(&letters, "t", &decode);
    let mut text = String::new();
    render_ndjson(&decoded.batch, &mut text).unwrap();
    let rows: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["kafka"]["value_base64"], "//4=");
    assert_eq!(rows[0]["message"], "not JSON");
    assert_eq!(rows[1]["kafka"]["value_bytes"], 9 << 20);
    assert_eq!(rows[2]["kafka"]["offset"], 3);
}
