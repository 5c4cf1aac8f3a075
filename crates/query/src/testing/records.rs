//! Sixty records: one every two minutes from 2026-11-01T12:00:00Z, each a function of its number.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int16Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{FieldRef, Schema};
use loglake_model::{ATTRIBUTES, Column, ColumnType, NameForm, TableSchema};

/// How many there are. Record `n` has the number `n` in its column `seq`.
pub const RECORDS: i64 = 60;

/// 2026-11-01T12:00:00Z in microseconds since the epoch.
pub(super) const FIRST_MICROS: i64 = 1_793_534_400_000_000;
const STEP_MICROS: i64 = 120_000_000;

/// The columns that the records bring, `service`, `level` and `message` not among them.
pub fn column_list() -> Vec<Column> {
    [
        ("seq", ColumnType::Int64, NameForm::Nested),
        ("host", ColumnType::String, NameForm::Nested),
        ("http.status", ColumnType::Int64, NameForm::Nested),
        ("http.path", ColumnType::String, NameForm::Nested),
        ("duration_ms", ColumnType::Float64, NameForm::Nested),
        ("ok", ColumnType::Bool, NameForm::Literal),
    ]
    .map(|(name, kind, form)| Column::new(name, kind, form))
    .to_vec()
}

fn level(n: i64) -> &'static str {
    match n {
        n if n % 10 == 0 => "error",
        n if n % 4 == 1 => "warn",
        _ => "info",
    }
}

fn status(n: i64) -> i64 {
    match level(n) {
        "error" => 500,
        "warn" => 404,
        _ => 200,
    }
}

fn service(n: i64) -> &'static str {
    ["api", "web", "db"][(n % 3) as usize]
}

fn path(n: i64) -> &'static str {
    ["/", "/login", "/items"][(n / 3 % 3) as usize]
}

fn attributes(n: i64) -> Option<String> {
    (n % 5 == 0).then(|| format!(r#"{{"tags":["a","b"],"user":{{"id":{n},"name":"u{}"}}}}"#, n % 2))
}

/// Records of these numbers as one batch, with the columns of the table.
pub fn record_batch(numbers: std::ops::Range<i64>) -> RecordBatch {
    let each = || numbers.clone();
    let texts = |text: &dyn Fn(i64) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(each().map(text)))
    };
    let times = each().map(|n| FIRST_MICROS + n * STEP_MICROS);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Int16Array::from_iter_values(each().map(|n| (n * 7 % 1_000) as i16))),
        texts(&|n| Some(service(n).to_owned())),
        texts(&|n| Some(level(n).to_owned())),
        texts(&|n| Some(format!("{} answered {} with {}", service(n), path(n), status(n)))),
        texts(&attributes),
        Arc::new(Int64Array::from_iter_values(each())),
        texts(&|n| (n % 7 != 0).then(|| format!("h{}", n % 4))),
        Arc::new(Int64Array::from_iter_values(each().map(status))),
        texts(&|n| Some(path(n).to_owned())),
        Arc::new(Float64Array::from_iter(each().map(|n| (n % 3 != 2).then_some(n as f64 * 1.5)))),
        Arc::new(BooleanArray::from_iter(each().map(|n| Some(status(n) < 400)))),
    ];
    let fields: Vec<FieldRef> = schema().file_schema().fields().iter().cloned().collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one length")
}

/// The shape of the table that holds them.
pub(super) fn schema() -> TableSchema {
    let fixed = TableSchema::new(loglake_model::PartitionBy::Hour);
    debug_assert!(fixed.file_schema().field_with_name(ATTRIBUTES).is_ok());
    fixed.with(&column_list(), 100).expect("columns to add")
}
