//! The way of batches to a file: sorting, the token index, all of it; and looking a word up.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int16Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use loglake_format::index::{ColumnIndex, ColumnParts, Dictionary, Filters, IndexDirectory};
use loglake_format::index::{Needle, Search, Section, Size};
use loglake_format::{EncodedFile, EncoderSettings, encode, stages};
use loglake_model::{
    Column, ColumnType, LEVEL, MESSAGE, NameForm, PartitionBy, SERVICE, TableSchema,
};

const ROWS: u64 = 60_000;
const BATCH_ROWS: u64 = 20_000;
const PAGE_ROWS: usize = 4_096;

/// Numbers without a pattern, the same each time.
fn noise(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 29
}

fn message(n: u64) -> String {
    let id = noise(n);
    match id % 7 {
        0..4 => format!("GET /api/v1/orders/{:08x} took {} ms", id >> 32, id % 997),
        4 | 5 => {
            format!("connection of user {} to shard-{} was reset by peer", id % 20_000, id % 16)
        }
        _ => format!("java.io.IOException: block blk_{} of {:032x} is lost", id % 90_000, id),
    }
}

fn table() -> TableSchema {
    let columns = [("trace_id", ColumnType::String), ("took", ColumnType::Float64)];
    let columns = columns.map(|(name, kind)| Column::new(name, kind, NameForm::Nested));
    TableSchema::new(PartitionBy::Hour).with(&columns, 100).expect("few columns")
}

fn batch(from: u64) -> RecordBatch {
    let rows = || from..from + BATCH_ROWS;
    let texts = |text: &dyn Fn(u64) -> Option<String>| -> ArrayRef {
        Arc::new(rows().map(text).collect::<StringArray>())
    };
    let service = |n| Some(format!("service-{}", noise(n).trailing_zeros().min(9)));
    let level = |n| Some(if noise(n).is_multiple_of(20) { "ERROR" } else { "INFO" }.to_owned());
    let trace = |n| (n % 5 < 2).then(|| format!("{:032x}", u128::from(noise(n)).pow(2)));
    let took = rows().map(|n| n.is_multiple_of(3).then(|| (noise(n) % 90_000) as f64 / 1e3));
    let times = rows().map(|n| (n * 10_000 + noise(n) % 10_000) as i64);
    let columns: [(&str, ArrayRef); 5] = [
        (SERVICE, texts(&service)),
        (LEVEL, texts(&level)),
        (MESSAGE, texts(&|n| Some(message(n)))),
        ("trace_id", texts(&trace)),
        ("took", Arc::new(took.collect::<Float64Array>())),
    ];
    let mut fields = TableSchema::time_fields().to_vec();
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Int16Array::from_iter_values(rows().map(|n| (noise(n) % 1_000) as i16))),
    ];
    for (name, array) in columns {
        let kind = if name == "took" { DataType::Float64 } else { DataType::Utf8 };
        fields.push(Field::new(name, kind, true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns of one length")
}

fn write(c: &mut Criterion) {
    let batches: Vec<RecordBatch> = (0..ROWS / BATCH_ROWS).map(|n| batch(n * BATCH_ROWS)).collect();
    let (schema, settings) = (table(), EncoderSettings::default());
    let mut group = of_rows(c, "write", ROWS);
    group.bench_function("sort", |b| {
        b.iter(|| stages::sort(black_box(&batches), &schema).expect("good rows"));
    });
    group.bench_function("encode", |b| {
        b.iter(|| encode(black_box(&batches), &schema, &settings).expect("good rows"));
    });
    let messages = batches[0][MESSAGE].clone();
    group.throughput(Throughput::Elements(BATCH_ROWS));
    group.bench_function("index", |b| {
        b.iter(|| stages::index_words(black_box(&messages), PAGE_ROWS).expect("an index"));
    });
    group.finish();
}

fn of_rows<'a>(
    c: &'a mut Criterion,
    name: &str,
    rows: u64,
) -> BenchmarkGroup<'a, criterion::measurement::WallTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(rows)).sample_size(20);
    group
}

/// The index of `message`, decoded.
fn words(file: &EncodedFile) -> (Dictionary, Filters, Size) {
    let directory = IndexDirectory::of_file(&file.bytes).expect("a directory");
    let Some(ColumnIndex::Words { dictionary, filters: Some(filters) }) =
        directory.columns.get(MESSAGE)
    else {
        unreachable!("the messages have words of both kinds")
    };
    let bytes = |section: &Section| {
        let range = section.range();
        file.bytes.slice(range.start as usize..range.end as usize)
    };
    let dictionary = Dictionary::decode(&bytes(dictionary)).expect("as it was written");
    let filters = Filters::decode(bytes(filters)).expect("as they were written");
    (dictionary, filters, directory.size())
}

fn look_up(c: &mut Criterion) {
    let settings = EncoderSettings { page_rows_max: PAGE_ROWS, ..EncoderSettings::default() };
    let file = encode(&[batch(0)], &table(), &settings).expect("good rows").remove(0);
    let (dictionary, filters, size) = words(&file);
    let parts = ColumnParts::Words { dictionary: Some(&dictionary), filters: Some(&filters) };
    let mut group = of_rows(c, "look_up", 1);
    for (name, text) in
        [("part", "xception"), ("id", " 0123456789abcdef "), ("phrase", "reset by peer")]
    {
        let needle = Needle::part(text, false, false);
        let search = Search::Has { column: MESSAGE.to_owned(), needle };
        group.bench_function(name, |b| {
            b.iter(|| black_box(&search).rows(&|_| Some(parts), size).len());
        });
    }
    group.finish();
}

criterion_group!(benches, write, look_up);
criterion_main!(benches);
