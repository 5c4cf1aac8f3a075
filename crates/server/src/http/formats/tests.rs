use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, ListArray, StringViewArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use arrow::ipc::reader::StreamReader;
use axum::http::HeaderValue;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::*;

fn batch() -> RecordBatch {
    let micros = vec![Some(1_700_000_000_000_001), None];
    let zoned = TimestampMicrosecondArray::from(micros).with_timezone("+02:00");
    let zoneless = TimestampNanosecondArray::from(vec![1_700_000_000_000_000_000; 2]);
    let columns: [(&str, ArrayRef); 4] = [
        ("at", Arc::new(zoned)),
        ("plain", Arc::new(zoneless)),
        ("big", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        ("text", Arc::new(StringViewArray::from(vec![Some("a\"b,\nc"), None]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, a)| (n, a, true))).unwrap()
}

fn encode(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    let schema = batch().schema();
    let mut encoder = format.encoder(&schema).unwrap();
    let mut bytes = vec![];
    for batch in batches {
        bytes.extend(encoder.batch(batch).unwrap());
    }
    bytes.extend(encoder.finish().unwrap());
    bytes
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(encode(format, batches)).unwrap()
}

const ROW: &str = r#"{"at":"2023-11-14T22:13:20.000001Z","plain":"2023-11-14T22:13:20Z","big":18446744073709551615,"text":"a\"b,\nc"}"#;
const NULLS: &str = r#"{"at":null,"plain":"2023-11-14T22:13:20Z","big":0,"text":null}"#;

#[test]
fn json_shows_utc_big_integers_and_nulls() {
    assert_eq!(text(Format::Ndjson, &[batch()]), format!("{ROW}\n{NULLS}\n"));
    let two = text(Format::JsonArray, &[batch(), batch().slice(0, 0), batch()]);
    assert_eq!(two, format!("[{ROW}\n,{NULLS}\n,{ROW}\n,{NULLS}\n]\n"));
    assert_eq!(text(Format::JsonArray, &[]), "[]\n");
    assert_eq!(text(Format::Ndjson, &[]), "");
}

#[test]
fn csv_has_one_line_of_names_also_when_there_are_no_rows() {
    let names = "at,plain,big,text\n";
    assert_eq!(text(Format::Csv, &[]), names);
    let rows = "2023-11-14T22:13:20.000001Z,2023-11-14T22:13:20Z,18446744073709551615,\"a\"\"b,\nc\"\n\
                ,2023-11-14T22:13:20Z,0,\n";
    assert_eq!(text(Format::Csv, &[batch(), batch()]), format!("{names}{rows}{rows}"));
}

#[test]
fn csv_refuses_nested_columns_before_the_first_byte() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let batch = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).unwrap();
    let refused = Format::Csv.encoder(batch.schema_ref()).err().unwrap();
    assert!(refused.to_string().contains("\"l\" is nested"), "{refused}");
    assert!(Format::JsonArray.encoder(batch.schema_ref()).is_ok());
}

#[test]
fn json_refuses_maps_of_other_keys_than_texts_before_the_first_byte() {
    let map_of = |key: DataType| {
        let members =
            vec![Field::new("keys", key, false), Field::new("values", DataType::Int64, true)];
        let entries = Field::new("entries", DataType::Struct(members.into()), false);
        let map = DataType::Map(Arc::new(entries), false);
        Schema::new(vec![Field::new_list("l", Field::new("item", map, true), false)])
    };
    for format in [Format::Ndjson, Format::JsonArray] {
        assert!(format.encoder(&map_of(DataType::Utf8)).is_ok());
        let refused = format.encoder(&map_of(DataType::Int64)).err().unwrap();
        assert!(refused.to_string().contains("cannot be given"), "{refused}");
    }
    assert!(Format::Arrow.encoder(&map_of(DataType::Int64)).is_ok());
}

#[test]
fn arrow_and_parquet_read_back_in_plain_types() {
    let plain = plain_batch(&batch(), &plain_schema(batch().schema_ref())).unwrap();
    let arrow = encode(Format::Arrow, &[batch(), batch()]);
    let read: Vec<_> = StreamReader::try_new(arrow.as_slice(), None).unwrap().flatten().collect();
    assert_eq!(read, [plain.clone(), plain.clone()]);
    assert_eq!(
        StreamReader::try_new(encode(Format::Arrow, &[]).as_slice(), None).unwrap().count(),
        0
    );

    let parquet = Bytes::from(encode(Format::Parquet, &[batch(), batch()]));
    let read = ParquetRecordBatchReader::try_new(parquet, 2).unwrap();
    let read: Vec<_> = read.flatten().collect();
    assert_eq!(read[1].columns(), plain.columns());
}

#[test]
fn only_ndjson_can_say_within_the_body_that_it_ends_early() {
    let failure = Failure::invalid("no more");
    let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let broken = |format: Format| format.encoder(&schema).unwrap().broken(&failure);
    let line = broken(Format::Ndjson).unwrap();
    assert_eq!(line, b"{\"error\":{\"kind\":\"invalid\",\"message\":\"no more\"}}\n");
    for format in [Format::JsonArray, Format::Csv, Format::Arrow, Format::Parquet] {
        assert_eq!(broken(format), None);
    }
    let one = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    assert_eq!(
        Format::Ndjson.encoder(&schema).unwrap().batch(&one.unwrap()).unwrap(),
        b"{\"a\":1}\n"
    );
}

#[test]
fn accept_chooses_the_form() {
    let accepted = |accept: &str| {
        let headers =
            HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_str(accept).unwrap())]);
        Format::accepted(&headers)
    };
    assert_eq!(Format::accepted(&HeaderMap::new()), Ok(Format::Ndjson));
    for (accept, format) in [
        ("*/*", Format::Ndjson),
        ("application/json", Format::JsonArray),
        ("text/html, text/csv;q=0.9, */*;q=0.1", Format::Csv),
        ("application/json;q=0.2, Application/X-NDJSON", Format::Ndjson),
        ("application/vnd.apache.arrow.stream", Format::Arrow),
        ("application/vnd.apache.parquet, */*", Format::Parquet),
    ] {
        assert_eq!(accepted(accept), Ok(format), "{accept}");
    }
    let refused = accepted("text/html, application/json;q=0").unwrap_err();
    assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
}
