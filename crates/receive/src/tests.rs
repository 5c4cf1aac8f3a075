//! Laws of the whole way: records in, batch, table, records out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use loglake_model::{ATTRIBUTES, NameForm, PartitionBy, shape};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ARRIVAL: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);
const ARRIVAL_TEXT: &str = "2027-01-15T08:00:00Z";

fn table() -> TableSchema {
    TableSchema::new(PartitionBy::Hour)
}

fn decode_with(text: &str, schema: &TableSchema, limits: &Limits) -> Decoded {
    decode_ndjson(text.as_bytes(), 1, &DecodeContext { schema, limits, arrival: ARRIVAL })
}

fn decode(text: &str) -> Decoded {
    decode_with(text, &table(), &Limits::default())
}

fn render(batch: &RecordBatch) -> Vec<Value> {
    let mut text = String::new();
    render_ndjson(batch, &mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One record in and out of a new table.
fn round(record: &str) -> Value {
    let decoded = decode(record);
    assert_eq!(decoded.rejections, [], "{record}");
    render(&decoded.batch).remove(0)
}

fn reasons(decoded: &Decoded) -> Vec<String> {
    decoded.rejections.iter().map(|r| format!("{}: {}", r.line, r.reason)).collect()
}

fn attributes(decoded: &Decoded, row: usize) -> Option<Value> {
    let array = decoded.batch.column_by_name(ATTRIBUTES)?.as_string::<i32>();
    array.is_valid(row).then(|| serde_json::from_str(array.value(row)).unwrap())
}

#[test]
fn nested_objects_become_dotted_columns_and_the_rest_is_kept() {
    let decoded = decode(concat!(
        r#"{"timestamp":"2026-11-01T00:00:00.123456789Z","message":"m","a":{"b":1,"c":{"d":true}},"x":[1, 2],"n":null,"e":{}}"#,
        "\n",
        r#"{"ts":1793491200.5,"msg":"é\n","a":{"b":1.5},"a.c.d":false,"x y":2}"#,
        "\n",
    ));
    assert_eq!(decoded.rejections, []);
    let batch = &decoded.batch;
    let names: Vec<_> = batch.schema_ref().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["timestamp", "nanos", "message", "a.b", "a.c.d", "attributes"]);
    assert_eq!(batch["a.b"].as_primitive::<Float64Type>().values(), &[1.0, 1.5]);
    assert_eq!(batch["message"].as_string::<i32>().value(1), "é\n");
    assert_eq!(attributes(&decoded, 0), Some(json!({"x":[1,2],"n":null,"e":{}})));
    assert_eq!(attributes(&decoded, 1), Some(json!({"x y":2,".":["a.c.d"]})));
    assert_eq!(batch["nanos"].as_primitive::<arrow::datatypes::Int16Type>().values(), &[789, 0]);
}

#[test]
fn of_doubled_names_the_last_is_kept() {
    let time = ARRIVAL_TEXT;
    for (record, kept) in [
        (r#"{"a":1,"a":2}"#, json!({"a":2})),
        (r#"{"a":[],"a":2}"#, json!({"a":2})),
        (r#"{"a":{"b":1},"a.b":2}"#, json!({"a.b":2})),
        (r#"{"a":{"b":1,"c":1},"a":{"c":2}}"#, json!({"a":{"c":2}})),
        (r#"{"a":{"b":1},"a":3}"#, json!({"a":3})),
        (r#"{"a":3,"\u0061":{"b":{"c":4}}}"#, json!({"a":{"b":{"c":4}}})),
        (r#"{"a":{"b.c":1,"b.c":2}}"#, json!({"a":{"b.c":2}})),
        (r#"{"message":"x","message":1}"#, json!({"message":1})),
    ] {
        let mut kept = kept;
        kept["timestamp"] = time.into();
        assert_eq!(round(record), kept, "{record}");
    }
}

#[test]
fn values_that_do_not_fit_their_column_are_kept_as_they_were_spelled() {
    let decoded = decode(concat!(
        "{\"n\":9007199254740993,\"s\":\"x\",\"i\":1}\n",
        "{\"n\":0.5,\"s\":1e400,\"i\":18446744073709551616}\n",
        "{\"n\":9007199254740993,\"s\":true,\"i\":-0}\n",
    ));
    assert_eq!(attributes(&decoded, 0), Some(json!({"n":9_007_199_254_740_993_i64})));
    let raw = decoded.batch[ATTRIBUTES].as_string::<i32>();
    assert_eq!(raw.value(1), r#"{"s":1e400,"i":18446744073709551616}"#);
    assert_eq!(raw.value(2), r#"{"n":9007199254740993,"s":true}"#);
    let floats = decoded.batch["i"].as_primitive::<Float64Type>();
    assert!(floats.is_null(1));
    assert!(floats.value(2).is_sign_negative());
}

#[test]
fn a_known_column_keeps_its_type() {
    let columns =
        [("i", loglake_model::ColumnType::Int64), ("f", loglake_model::ColumnType::Float64)]
            .map(|(name, kind)| loglake_model::Column::new(name, kind, NameForm::Nested));
    let schema = table().with(&columns, 10).unwrap();
    let text = "{\"i\":1.0,\"f\":2}\n{\"i\":1.5,\"f\":9007199254740993}\n{\"i\":-0.0,\"f\":-0}\n{\"I\":3}\n";
    let decoded = decode_with(text, &schema, &Limits::default());
    let ints = decoded.batch["i"].as_primitive::<Int64Type>();
    assert_eq!(ints.iter().collect::<Vec<_>>(), [Some(1), None, None, None]);
    assert_eq!(attributes(&decoded, 0), None);
    assert_eq!(attributes(&decoded, 1), Some(json!({"i":1.5,"f":9_007_199_254_740_993_i64})));
    assert_eq!(decoded.batch[ATTRIBUTES].as_string::<i32>().value(2), r#"{"i":-0.0}"#);
    assert_eq!(attributes(&decoded, 3), Some(json!({"I":3})));
}

#[test]
fn fields_past_the_tables_columns_are_kept_in_attributes() {
    let limits = Limits { table_columns_max: 4, ..Limits::default() };
    let decoded = decode_with("{\"a\":1,\"b\":2,\"message\":\"m\"}\n", &table(), &limits);
    assert!(decoded.batch.column_by_name("a").is_some());
    assert_eq!(attributes(&decoded, 0), Some(json!({"b":2})));
}

#[test]
fn aliases_fill_the_columns_in_their_order() {
    let decoded = decode(concat!(
        r#"{"@timestamp":"2026-11-01T00:00:00Z","time":"2026-11-02T00:00:00Z","log":{"level":"warn"},"body":"b","msg":"m","service.name":"s"}"#,
        "\n",
        r#"{"timestamp":"soon","ts":1793491200,"level":30,"severity":"INFO","service":{"name":"t"}}"#,
        "\n",
    ));
    let rows = render(&decoded.batch);
    assert_eq!(
        rows[0],
        json!({"timestamp":"2026-11-01T00:00:00Z","time":"2026-11-02T00:00:00Z","level":"warn","message":"m","body":"b","service":"s"})
    );
    assert_eq!(
        rows[1],
        json!({"timestamp":"soon","ts":1_793_491_200,"level":30,"severity":"INFO","service":"t"})
    );
    assert_eq!(decoded.batch["level"].as_string::<i32>().value(1), "INFO");
    let micros =
        decoded.batch["timestamp"].as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(micros.value(1), 1_793_491_200_000_000);
}

#[test]
fn a_time_with_more_than_nanoseconds_is_kept_whole() {
    let record = r#"{"ts":"2026-11-01T00:00:00.1234567891Z"}"#;
    assert_eq!(round(record), json!({"timestamp":"2026-11-01T00:00:00.1234567891Z"}));
    assert_eq!(round(r#"{"timestamp":"x"}"#), json!({"timestamp":"x"}));
}

#[test]
fn rejections_name_line_and_reason_and_leave_nothing_behind() {
    let limits = Limits {
        record_bytes_max: 80,
        record_fields_max: 4,
        record_depth_max: 3,
        ..Limits::default()
    };
    let long = format!("{{\"k\":\"{}\"}}", "x".repeat(80));
    let text = [
        br#"{"a":1}"#.as_slice(),
        br#"{"new":1,"a":}"#,
        b"",
        br#"[1]"#,
        b"{\"a\":\"\xff\"}",
        long.as_bytes(),
        br#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#,
        br#"{"a":{"b":[{}]}}"#,
        br#"{".":1}"#,
        br#"{"time":"0001-01-01T00:00:00Z"}"#,
        br#"{"a":1}{"#,
        br#"{"a":"\ud800"}"#,
        b"{\"a\":2}\r",
    ]
    .join(b"\n".as_slice());
    let context = DecodeContext { schema: &table(), limits: &limits, arrival: ARRIVAL };
    let decoded = decode_ndjson(&text, 1, &context);
    assert_eq!(
        reasons(&decoded),
        [
            "2: invalid JSON at byte 14: expected a value, found `}`",
            "4: invalid JSON at byte 1: expected an object, found `[`",
            "5: invalid UTF-8 at byte 7",
            "6: record of 88 bytes is longer than the limit of 80 bytes",
            "7: more than 4 fields",
            "8: invalid JSON at byte 12: nested deeper than 3 levels",
            "9: the name `.` is not possible for a field",
            "10: `time` is \"0001-01-01T00:00:00Z\", outside of 1970-01-01 to 2261-12-31",
            "11: invalid JSON at byte 8: expected the end, found `{`",
            "12: invalid JSON at byte 7: half of a surrogate pair without the other half",
        ]
    );
    assert_eq!(decoded.batch.num_columns(), 3);
    assert_eq!(decoded.batch["a"].as_primitive::<Int64Type>().values(), &[1, 2]);
}

#[test]
fn long_paths_cost_no_more_than_their_bytes() {
    let key = "k".repeat(2_000);
    let record = json!({ "timestamp": ARRIVAL_TEXT, &key: {"a": 1, "b": {"c": [2]}}, "z": {&key: {"q": {}}} });
    assert_eq!(round(&record.to_string()), record);
}

#[test]
fn fields_given_by_name_are_records_too() {
    let (schema, limits) = (table(), Limits::default());
    let context = DecodeContext { schema: &schema, limits: &limits, arrival: ARRIVAL };
    let mut batch = BatchBuilder::new(&context);
    for line in 1..=2 {
        let mut record = batch.record(line);
        record
            .time(Timestamp::from_nanos(1_793_491_200_000_000_001))
            .field("service.name", NameForm::Literal, FieldValue::String("s\"1"))
            .field("a.b", NameForm::Nested, FieldValue::Int(1))
            .field("a.c", NameForm::Nested, FieldValue::Json("{\"d\":[\"\\u0041\"],\"e\":2.5}"))
            .field("tags", NameForm::Nested, FieldValue::Bool(true));
        assert!(record.finish());
    }
    let mut wrong = batch.record(3);
    wrong.field("a", NameForm::Nested, FieldValue::Json("{")).field(
        "b",
        NameForm::Nested,
        FieldValue::Int(1),
    );
    assert!(!wrong.finish());
    drop(batch.record(4));
    assert!(batch.json_with(5, &[("_id", "x\n")], b"{\"message\":\"m\"}"));
    let decoded = batch.finish();
    assert_eq!(
        reasons(&decoded),
        ["3: invalid JSON at byte 2: expected a key or `}`, found the end"]
    );
    let rows = render(&decoded.batch);
    let expected = json!({"timestamp":"2026-11-01T00:00:00.000000001Z","service":"s\"1","a":{"b":1,"c":{"d":["A"],"e":2.5}},"tags":true});
    assert_eq!(
        rows,
        [expected.clone(), expected, json!({"timestamp":ARRIVAL_TEXT,"_id":"x\n","message":"m"})]
    );
}

#[test]
fn a_body_may_be_an_array_of_records() {
    let (schema, limits) = (table(), Limits::default());
    let context = DecodeContext { schema: &schema, limits: &limits, arrival: ARRIVAL };
    let decoded = decode_body(b" [{\"a\":1},\n{\"a\"\n:2}, 3, {\"a\":4}", &context).remove(0);
    assert_eq!(decoded.batch["a"].as_primitive::<Int64Type>().values(), &[1, 2, 4]);
    assert_eq!(
        reasons(&decoded),
        ["3: invalid JSON at byte 1: expected an object, found `3`", "5: the array is not closed",]
    );
}

/// JSON with doubled keys possible.
#[derive(Clone, Debug)]
enum Json {
    Leaf(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leaf(text) => f.write_str(text),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Object(members) => {
                let member = |(key, value): &(String, Json)| {
                    format!("{}:{value}", Value::from(key.as_str()))
                };
                write!(f, "{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn records() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "-0.0",
            "1.0",
            "1.5",
            "9007199254740993",
            "1e3",
            "{}",
            "[]",
            "18446744073709551616",
            "0.1000000000000000055",
            "\"\\u0041\\ud83d\\ude00\"",
            "\"\"",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|v| v.to_string()),
        "\\PC{0,12}".prop_map(|s| Value::from(s).to_string()),
    ];
    let keys = || {
        prop::sample::select(vec![
            "a",
            "b",
            "c",
            "A",
            "",
            "a.b",
            "a.b.c",
            "b c",
            "é\"",
            "date",
            "nanos",
            "message",
            "level",
            "attributes",
            ".a",
        ])
    };
    let value = leaf.prop_map(Json::Leaf).prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            prop::collection::vec((keys().prop_map(str::to_owned), inner), 0..4)
                .prop_map(Json::Object),
        ]
    });
    let time = prop::option::of(0_i64..9_214_646_400_000_000_000);
    (prop::collection::vec((keys().prop_map(str::to_owned), value), 0..6), time).prop_map(
        |(mut members, time)| {
            if let Some(nanos) = time {
                let time = chrono::DateTime::from_timestamp_nanos(nanos);
                let text = time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
                members.push(("timestamp".to_owned(), Json::Leaf(format!("\"{text}\""))));
            }
            Json::Object(members)
        },
    )
}

/// The dotted names of an object's values in both forms. A record where two spellings share a name
/// cannot be given back whole: of these the last is kept.
fn names(object: &[(String, Json)], path: Option<&str>, values: &mut Vec<(String, bool)>) {
    for (key, value) in object {
        let name = path.map_or_else(|| key.clone(), |path| format!("{path}.{key}"));
        match value {
            _ if key.contains('.') && path.is_some() => {
                values.push((path.unwrap().to_owned(), false))
            }
            Json::Object(members) if !members.is_empty() && !key.contains('.') => {
                names(members, Some(&name), values)
            }
            _ => values.push((name, path.is_none() && key.contains('.'))),
        }
    }
}

fn can_be_given_back(record: &Json) -> bool {
    let Json::Object(members) = record else { return false };
    let mut values = vec![];
    names(members, None, &mut values);
    !values.iter().any(|(name, literal)| name == "." || values.contains(&(name.clone(), !literal)))
}

/// Numbers in one spelling each.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let float = number.as_f64().unwrap();
            let int = number
                .as_i64()
                .or_else(|| (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64));
            match int {
                Some(0) if float.is_sign_negative() => "-0".into(),
                Some(int) => int.to_string().into(),
                None => format!("{float:e}").into(),
            }
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(k, v)| (k.clone(), canonical(v))).collect())
        }
        other => other.clone(),
    }
}

fn expected(record: &Json) -> Value {
    let mut value: Value = serde_json::from_str(&record.to_string()).unwrap();
    let members = value.as_object_mut().unwrap();
    members.entry("timestamp").or_insert(ARRIVAL_TEXT.into());
    canonical(&value)
}

fn given_back(batch: &RecordBatch) -> Vec<Value> {
    render(batch).iter().map(canonical).collect()
}

fn as_views(batch: &RecordBatch) -> RecordBatch {
    let (mut fields, mut arrays) = (vec![], vec![]);
    for (at, (field, array)) in batch.schema_ref().fields().iter().zip(batch.columns()).enumerate()
    {
        let kind = match field.data_type() {
            DataType::Utf8 if at % 2 == 0 => DataType::Utf8View,
            DataType::Utf8 => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            other => other.clone(),
        };
        let array: ArrayRef = cast(array, &kind).unwrap();
        fields.push(field.as_ref().clone().with_data_type(kind));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn lines(records: &[Json]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn records_come_back_as_they_went_in(
        first in prop::collection::vec(records().prop_filter("clash", can_be_given_back), 1..6),
        second in prop::collection::vec(records().prop_filter("clash", can_be_given_back), 1..6),
        columns_max in 3_usize..12,
    ) {
        let limits = Limits { table_columns_max: columns_max, ..Limits::default() };
        let empty = table();
        let decoded = decode_with(&lines(&first), &empty, &limits);
        prop_assert_eq!(&decoded.rejections, &[]);
        let wanted: Vec<_> = first.iter().map(expected).collect();
        prop_assert_eq!(given_back(&decoded.batch), wanted.clone());
        let proposed = shape::proposals(&decoded.batch, &empty);
        prop_assert!(empty.columns().len() + proposed.len() <= columns_max);
        let schema = empty.with(&proposed, columns_max).unwrap_or(empty);
        let conformed = shape::conform(decoded.batch, &schema).unwrap();
        prop_assert_eq!(given_back(&conformed), wanted);

        let wanted: Vec<_> = second.iter().map(expected).collect();
        for known in [&schema, &table()] {
            let decoded = decode_with(&lines(&second), known, &limits);
            prop_assert_eq!(&decoded.rejections, &[]);
            let conformed = shape::conform(decoded.batch, &schema).unwrap();
            prop_assert_eq!(given_back(&conformed), wanted.clone());
            prop_assert_eq!(given_back(&as_views(&conformed)), wanted.clone());
        }
    }

    #[test]
    fn a_rejected_record_leaves_its_neighbours_alone(
        good in prop::collection::vec(records().prop_filter("clash", can_be_given_back), 0..6),
        bad in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            "{\"a\":{\"b\":1,\"q\":\"x\"},\"z\":[1,}", "{\"a\":true", "7", "{\"b\":\"s\",\"timestamp\":\"0001-01-01\"}", "{\"m\":1,\".\":2}",
        ])), 1..5),
    ) {
        let mut all: Vec<String> = good.iter().map(Json::to_string).collect();
        for (at, line) in &bad {
            all.insert(at.index(all.len() + 1), (*line).to_owned());
        }
        let with = decode(&all.join("\n"));
        prop_assert_eq!(with.rejections.len(), bad.len());
        prop_assert_eq!(with.batch, decode(&lines(&good)).batch);
    }

    #[test]
    fn any_bytes_are_stored_or_rejected(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\ua.b1-e0tn \n\xc3\xa9\x00".to_vec()), 0..80)) {
        let decoded = decode_ndjson(&bytes, 1, &DecodeContext { schema: &table(), limits: &Limits::default(), arrival: ARRIVAL });
        let filled = bytes.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        prop_assert_eq!(decoded.batch.num_rows() + decoded.rejections.len(), filled);
    }
}
