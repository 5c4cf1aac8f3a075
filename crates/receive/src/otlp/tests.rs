use loglake_model::{Limits, PartitionBy, TableSchema, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{BatchBuilder, DecodeContext, render_ndjson};

const ARRIVAL: Timestamp = Timestamp::from_nanos(1_793_538_000_000_000_000);

/// A protobuf field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

fn fixed(number: u8, value: u64) -> Vec<u8> {
    [vec![number << 3 | 1], value.to_le_bytes().to_vec()].concat()
}

fn text_value(text: &str) -> Vec<u8> {
    field(1, text.as_bytes())
}

fn key_value(key: &str, value: &[u8]) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, value)].concat()
}

/// One log record of a service.
fn request() -> Vec<u8> {
    let list = field(5, &[field(1, &[3 << 3, 7]), field(1, &text_value("x"))].concat());
    let record = [
        fixed(1, 1_793_538_001_000_000_123),
        vec![2 << 3, 17],
        field(5, &text_value("no stock")),
        field(6, &key_value("http.method", &text_value("GET"))),
        field(6, &key_value("count", &[3 << 3, 42])),
        field(6, &key_value("host", &text_value("of the record"))),
        field(6, &key_value("list", &list)),
        field(9, &[0xab; 16]),
    ]
    .concat();
    let scope =
        [field(1, &[field(1, b"lib"), field(2, b"1.2")].concat()), field(2, &record)].concat();
    let resource = [
        field(1, &key_value("service.name", &text_value("shop"))),
        field(1, &key_value("host", &text_value("of the resource"))),
    ]
    .concat();
    field(1, &[field(1, &resource), field(2, &scope)].concat())
}

#[test]
fn attributes_of_a_resource_are_bounded_in_all_its_records_together() {
    let attributes: Vec<u8> = (0..5_000)
        .flat_map(|n| field(1, &key_value(&format!("resource.attribute.{n}"), &text_value("x"))))
        .collect();
    let request = |records: usize| {
        let records = field(2, &fixed(1, 1)).repeat(records);
        field(1, &[field(1, &attributes), field(2, &records)].concat())
    };
    assert_eq!(parse_protobuf(&request(100)).unwrap().len(), 100);
    let refused = parse_protobuf(&request(5_000)).unwrap_err();
    assert!(refused.contains("send fewer records at once"), "{refused}");
}

const JSON: &str = r#"{"resourceLogs":[{"resource":{"attributes":[
    {"key":"service.name","value":{"stringValue":"shop"}},
    {"key":"host","value":{"stringValue":"of the resource"}}]},
  "scopeLogs":[{"scope":{"name":"lib","version":"1.2"},"logRecords":[{
    "timeUnixNano":"1793538001000000123","severityNumber":17,"body":{"stringValue":"no stock"},
    "attributes":[{"key":"http.method","value":{"stringValue":"GET"}},
      {"key":"count","value":{"intValue":"42"}},
      {"key":"host","value":{"stringValue":"of the record"}},
      {"key":"list","value":{"arrayValue":{"values":[{"intValue":7},{"stringValue":"x"}]}}}],
    "traceId":"abababababababababababababababab"}]}]}]}"#;

fn rendered(logs: &Logs<'_>) -> serde_json::Value {
    let (schema, limits) = (TableSchema::new(PartitionBy::Hour), Limits::default());
    let context = DecodeContext { schema: &schema, limits: &limits, arrival: ARRIVAL };
    let mut batch = BatchBuilder::new(&context);
    logs.add_to(&mut batch, 1, [("kafka.offset", FieldValue::Int(9))].into_iter(), ARRIVAL);
    let decoded = batch.finish();
    assert_eq!(decoded.rejections, []);
    let mut text = String::new();
    render_ndjson(&decoded.batch, &mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn both_forms_become_the_same_row() {
    let bytes = request();
    let (binary, json) = (parse_protobuf(&bytes).unwrap(), parse_json(JSON.as_bytes()).unwrap());
    assert_eq!(binary, json);
    let row = rendered(&binary);
    for (name, value) in [
        ("service", "\"shop\""),
        ("message", "\"no stock\""),
        ("level", "\"ERROR\""),
        ("severity_number", "17"),
        ("http.method", "\"GET\""),
        ("count", "42"),
        ("host", "\"of the record\""),
        ("resource.host", "\"of the resource\""),
        ("list", "[7,\"x\"]"),
        ("scope.name", "\"lib\""),
        ("scope.version", "\"1.2\""),
        ("trace_id", "\"abababababababababababababababab\""),
        ("timestamp", "\"2026-11-01T13:00:01.000000123Z\""),
    ] {
        assert_eq!(row[name].to_string(), value, "{name} of {row}");
    }
    assert_eq!(row["kafka"]["offset"], 9);
}

#[test]
fn what_is_no_request_is_refused_in_words() {
    assert!(parse_protobuf(&request()[..40]).unwrap_err().contains("cut off"));
    assert!(parse_protobuf(b"{\"a\":1}").is_err());
    for (json, problem) in [
        ("[]", "not a JSON object"),
        ("{}", "no `resourceLogs`"),
        ("{\"resourceLogs\":3}", "no array"),
        (
            "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"soon\"}]}]}]}",
            "timeUnixNano",
        ),
    ] {
        let error = parse_json(json.as_bytes()).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
    let mut deep = text_value("x");
    for _ in 0..100 {
        deep = field(5, &field(1, &deep));
    }
    let record = field(2, &field(5, &deep));
    let error = parse_protobuf(&field(1, &field(2, &record))).unwrap_err();
    assert!(error.contains("levels deep"), "{error}");
}

proptest! {
    #[test]
    fn bytes_from_outside_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_protobuf(&bytes);
        let _ = parse_json(&bytes);
    }

    #[test]
    fn damaged_requests_never_panic(at in 0usize..1_000, byte in any::<u8>()) {
        let mut bytes = request();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(logs) = parse_protobuf(&bytes) {
            logs.len();
        }
    }
}
