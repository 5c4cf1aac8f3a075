//! Laws of the encoder over random batches, and its borders.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float64Array, Int16Array, Int64Array,
    RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int16Type, Int32Type, Int64Type, Schema, TimestampMicrosecondType,
};
use loglake_model::*;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;

use crate::columns::Columns;
use crate::encode::has_newest_apart;
use crate::index::{INDEX_KEY, IndexDirectory, Run};
use crate::merge::Sizes;
use crate::order::{Group, Row, shape_of};
use crate::texts::numbered_type;
use crate::{EncodedFile, EncoderSettings, FormatError, Merge, MergeStep, align, encode};

/// One value, comparable: floats by their bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(String),
    Int(i64),
    Float(u64),
    Bool(bool),
}

/// One row: micros, nanos, and its values by column, nulls left out.
type Record = (i64, i16, BTreeMap<String, Value>);

const HOUR: i64 = 3_600_000_000;

fn table(by: PartitionBy) -> TableSchema {
    let column = |name, kind| Column::new(name, kind, NameForm::Nested);
    let columns = [
        column("trace_id", ColumnType::String),
        column("a.b", ColumnType::Int64),
        Column::new("took", ColumnType::Float64, NameForm::Literal),
        column("ok", ColumnType::Bool),
        column("never", ColumnType::String),
    ];
    TableSchema::new(by).with(&columns, 100).unwrap()
}

/// A batch of the records that has only the columns of `names`, in their order.
fn batch_of(records: &[Record], names: &[&str]) -> RecordBatch {
    let schema = table(PartitionBy::Hour);
    let micros = records.iter().map(|r| r.0);
    let micros = TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC");
    let nanos = Int16Array::from_iter_values(records.iter().map(|r| r.1));
    let mut fields = TableSchema::time_fields().to_vec();
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(micros), Arc::new(nanos)];
    for name in names {
        let field = schema.file_schema().field_with_name(name).unwrap().clone();
        let values: Vec<Option<&Value>> = records.iter().map(|r| r.2.get(*name)).collect();
        arrays.push(array_of(field.data_type(), &values));
        fields.push(field);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn array_of(kind: &DataType, values: &[Option<&Value>]) -> ArrayRef {
    let values = values.iter();
    match kind {
        DataType::Utf8 => Arc::new(StringArray::from_iter(values.map(|v| match v {
            Some(Value::Text(s)) => Some(s.as_str()),
            _ => None,
        }))),
        DataType::Int64 => Arc::new(Int64Array::from_iter(values.map(|v| match v {
            Some(Value::Int(n)) => Some(*n),
            _ => None,
        }))),
        DataType::Float64 => Arc::new(Float64Array::from_iter(values.map(|v| match v {
            Some(Value::Float(bits)) => Some(f64::from_bits(*bits)),
            _ => None,
        }))),
        _ => Arc::new(BooleanArray::from_iter(values.map(|v| match v {
            Some(Value::Bool(b)) => Some(*b),
            _ => None,
        }))),
    }
}

fn value_at(array: &ArrayRef, row: usize) -> Option<Value> {
    array.is_valid(row).then(|| match array.data_type() {
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        other => panic!("no record brings values of {other}"),
    })
}

/// The batch with dictionaries for those of its columns of texts that are `chosen`.
fn with_dictionaries(batch: &RecordBatch, mut chosen: impl FnMut() -> bool) -> RecordBatch {
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, array)| match field.data_type() {
        DataType::Utf8 if chosen() => {
            let array = cast(array, &numbered_type()).unwrap();
            (field.as_ref().clone().with_data_type(numbered_type()), array)
        }
        _ => (field.as_ref().clone(), Arc::clone(array)),
    });
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn read(file: &EncodedFile) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
    let schema = reader.schema().clone();
    let batches: Result<Vec<_>, _> = reader.build().unwrap().collect();
    concat_batches(&schema, &batches.unwrap()).unwrap()
}

fn records_of(batch: &RecordBatch) -> Vec<Record> {
    let micros = batch[TIMESTAMP].as_primitive::<TimestampMicrosecondType>();
    let nanos = batch[NANOS].as_primitive::<Int16Type>();
    let row = |row: usize| {
        let fields = batch.schema_ref().fields().iter().zip(batch.columns()).skip(2);
        let values =
            fields.filter_map(|(f, array)| Some((f.name().clone(), value_at(array, row)?)));
        (micros.value(row), nanos.value(row), values.collect())
    };
    (0..batch.num_rows()).map(row).collect()
}

fn small() -> EncoderSettings {
    EncoderSettings {
        row_group_rows_max: 7,
        page_rows_max: 3,
        newest_rows: 1,
        ..EncoderSettings::default()
    }
}

fn at(micros: i64) -> Record {
    (micros, 0, BTreeMap::new())
}

fn text(name: &str, value: &str) -> (String, Value) {
    (name.to_owned(), Value::Text(value.to_owned()))
}

const NAMES: [&str; 8] = [SERVICE, LEVEL, MESSAGE, ATTRIBUTES, "trace_id", "a.b", "took", "ok"];

fn a_value(name: &'static str) -> BoxedStrategy<Value> {
    match name {
        "a.b" => prop_oneof![any::<i64>(), -3..3i64].prop_map(Value::Int).boxed(),
        "took" => any::<f64>().prop_map(|n| Value::Float(n.to_bits())).boxed(),
        "ok" => any::<bool>().prop_map(Value::Bool).boxed(),
        SERVICE => "[a-c]{0,2}".prop_map(Value::Text).boxed(),
        _ => "\\PC{0,50}".prop_map(Value::Text).boxed(),
    }
}

fn a_record() -> impl Strategy<Value = Record> {
    let values = NAMES.map(|name| weighted(0.7, a_value(name)));
    let micros = prop_oneof![0..3 * HOUR, -HOUR..HOUR, Just(HOUR), Just(HOUR - 1), 0..9i64];
    (micros, 0..1000i16, Vec::from(values)).prop_map(|(micros, nanos, values)| {
        let values = NAMES.iter().zip(values);
        let values = values.filter_map(|(name, value)| Some((name.to_string(), value?)));
        (micros, nanos, values.collect())
    })
}

/// Batches with random subsets of the columns.
fn some_batches() -> impl Strategy<Value = Vec<RecordBatch>> {
    let names = proptest::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len()).prop_shuffle();
    vec((vec(a_record(), 0..20), names), 0..5).prop_map(|batches| {
        batches.into_iter().map(|(records, names)| batch_of(&records, &names)).collect()
    })
}

/// Where a file's rows have a row, as the crate promises.
fn place(record: &Record) -> (Group<'_>, u64, i64, i16) {
    let text = |name| match record.2.get(name) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let shape = text(MESSAGE).map_or(0, shape_of);
    (Group::new(text(SERVICE), text(LEVEL)), shape, record.0, record.1)
}

/// The newest rows come after the others in a file of many, which says so, and each part is in order.
fn check_order(records: &[Record], file: &EncodedFile, has_newest: bool) {
    let footer = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
    let footer = footer.metadata();
    assert_eq!(has_newest_apart(footer), has_newest, "{} rows", records.len());
    let newest = if has_newest { small().newest_rows } else { 0 };
    let groups = footer.row_groups();
    assert!(!has_newest || groups.last().map(|group| group.num_rows()) == Some(newest as i64));
    let (older, newest) = records.split_at(records.len() - newest);
    for part in [older, newest] {
        assert!(part.is_sorted_by_key(|record| place(record)));
    }
    let last = older.iter().map(|record| record.0).max();
    assert!(newest.iter().all(|record| Some(record.0) >= last), "{last:?} before {newest:?}");
}

/// The file says of each row what its service and level are.
fn check_runs(records: &[Record], file: &EncodedFile) {
    let runs = IndexDirectory::of_file(&file.bytes).unwrap().runs.unwrap();
    let rows = runs.iter().flat_map(|Run(service, level, rows)| {
        std::iter::repeat_n((service.as_deref(), level.as_deref()), *rows as usize)
    });
    let text = |record: &'_ Record, name| match record.2.get(name) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let expected: Vec<_> = records.iter().map(|r| (text(r, SERVICE), text(r, LEVEL))).collect();
    let expected = expected.iter().map(|(service, level)| (service.as_deref(), level.as_deref()));
    assert!(rows.eq(expected), "{runs:?}");
}

fn check_bounds(records: &[Record], stats: &FileStats) {
    for (name, stats) in &stats.columns {
        if [TIMESTAMP, NANOS].contains(&name.as_ref()) {
            continue;
        }
        let values: Vec<_> = records.iter().filter_map(|r| r.2.get(name.as_ref())).collect();
        assert_eq!(stats.null_count as usize, records.len() - values.len(), "{name}");
        for value in values {
            let value = match value {
                Value::Text(s) => StatValue::String(s.as_str().into()),
                Value::Int(n) => StatValue::Int(*n),
                Value::Float(bits) => StatValue::Float(f64::from_bits(*bits)),
                Value::Bool(b) => StatValue::Bool(*b),
            };
            assert!(
                stats.min.as_ref().is_none_or(|min| *min <= value),
                "{name} {value:?} {stats:?}"
            );
            assert!(
                stats.max.as_ref().is_none_or(|max| *max >= value),
                "{name} {value:?} {stats:?}"
            );
        }
    }
    let times = &stats.columns[TIMESTAMP];
    let micros = records.iter().map(|r| StatValue::Timestamp(r.0));
    assert_eq!(times.min, micros.clone().reduce(|a, b| if b < a { b } else { a }));
    assert_eq!(times.max, micros.reduce(|a, b| if b > a { b } else { a }));
}

/// One file of these.
fn merged(
    partition: Partition,
    files: &[&EncodedFile],
    table: &TableSchema,
    settings: &EncoderSettings,
    sizes: Sizes,
) -> EncodedFile {
    let inputs = files.iter().map(|file| file.bytes.clone()).collect();
    let mut merge = Merge::with_sizes(inputs, table, settings.clone(), sizes).unwrap();
    let mut all = vec![];
    loop {
        match merge.step().unwrap() {
            MergeStep::Part { bytes, rest } => {
                all.extend_from_slice(&bytes);
                merge = *rest;
            }
            MergeStep::Last { bytes, rows, stats, words } => {
                all.extend_from_slice(&bytes);
                return EncodedFile { partition, bytes: all.into(), rows, stats, words };
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_row_comes_back_in_order_in_its_partition(
        batches in some_batches(),
        by in prop_oneof![Just(PartitionBy::Hour), Just(PartitionBy::Day)],
    ) {
        let settings = small();
        let files = encode(&batches, &table(by), &settings).unwrap();
        let mut before: Vec<Record> = batches.iter().flat_map(records_of).collect();
        let mut after = vec![];
        for file in &files {
            let records = records_of(&read(file));
            prop_assert_eq!(records.len() as u64, file.rows);
            check_order(&records, file, records.len() >= 32 * settings.newest_rows);
            prop_assert!(records.iter().all(|r| Partition::of(r.0, by) == file.partition));
            check_bounds(&records, &file.stats);
            check_runs(&records, file);
            after.extend(records);
        }
        prop_assert!(files.is_sorted_by(|a, b| a.partition < b.partition));
        before.sort();
        after.sort();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn merged_files_hold_what_was_in_them_in_order(
        flushes in vec(some_batches(), 1..5),
        (slice_rows, batch_rows) in (1..9usize, 1..9usize),
    ) {
        let sizes = Sizes { slice_rows, batch_rows };
        let settings = small();
        let table = table(PartitionBy::Day);
        let files: Vec<EncodedFile> =
            flushes.iter().flat_map(|batches| encode(batches, &table, &settings).unwrap()).collect();
        let mut partitions: BTreeMap<Partition, Vec<&EncodedFile>> = BTreeMap::new();
        files.iter().for_each(|file| partitions.entry(file.partition).or_default().push(file));
        for (partition, files) in partitions {
            let merged = merged(partition, &files, &table, &settings, sizes);
            let records = records_of(&read(&merged));
            prop_assert_eq!(records.len() as u64, merged.rows);
            check_order(&records, &merged, false);
            check_bounds(&records, &merged.stats);
            let mut before: Vec<Record> = files.iter().flat_map(|f| records_of(&read(f))).collect();
            let mut after = records;
            before.sort();
            after.sort();
            prop_assert_eq!(before, after);
        }
    }

    #[test]
    fn texts_with_dictionaries_make_the_same_files(
        batches in some_batches(),
        numbered in vec(proptest::bool::weighted(0.8), 40),
    ) {
        let table = table(PartitionBy::Hour);
        let mut numbered = numbered.iter().cycle();
        let with_dictionaries: Vec<RecordBatch> = batches
            .iter()
            .map(|batch| with_dictionaries(batch, || *numbered.next().unwrap()))
            .collect();
        let in_full = encode(&batches, &table, &small()).unwrap();
        let files = encode(&with_dictionaries, &table, &small()).unwrap();
        prop_assert_eq!(files.len(), in_full.len());
        for (file, in_full) in files.iter().zip(&in_full) {
            prop_assert_eq!(&file.bytes, &in_full.bytes);
            prop_assert_eq!(&file.stats, &in_full.stats);
        }
    }

    #[test]
    fn aligning_keeps_values(records in vec(a_record(), 0..9), has in of(Just(())) ) {
        let names = if has.is_some() { &NAMES[..] } else { &NAMES[..3] };
        let batch = batch_of(&records, names);
        let aligned = align(&batch, &table(PartitionBy::Hour).file_schema()).unwrap();
        prop_assert_eq!(aligned.schema(), table(PartitionBy::Hour).file_schema());
        prop_assert_eq!(records_of(&aligned), records_of(&batch));
    }
}

#[test]
fn texts_with_a_dictionary_count_as_often_as_they_are_there() {
    let long = "x".repeat(1_000);
    let records = (0..100).map(|n| (n, 0, BTreeMap::from([text(MESSAGE, &long)])));
    let batch = batch_of(&records.collect::<Vec<_>>(), &[MESSAGE]);
    for batch in [with_dictionaries(&batch, || true), batch] {
        let schema = table(PartitionBy::Hour).file_schema();
        let columns = Columns::new(std::slice::from_ref(&batch), schema).unwrap();
        let rows: Vec<Row> = (0..100).map(|row| Row { row, ..Row::default() }).collect();
        assert!(columns.fit(&rows, 100_000) && !columns.fit(&rows, 99_999));
        assert!(columns.fit(&rows[..99], 99_999));
    }
}

#[test]
fn columns_without_values_are_one_array_for_each_type() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
    ]));
    let two = RecordBatchOptions::new().with_row_count(Some(2));
    let none = Arc::new(Schema::empty());
    let batch = RecordBatch::try_new_with_options(none, vec![], &two).unwrap();
    let aligned = align(&batch, &schema).unwrap();
    assert_eq!(aligned.columns().iter().map(|c| c.null_count()).sum::<usize>(), 6);
    assert!(Arc::ptr_eq(aligned.column(0), aligned.column(2)));
}

#[test]
fn no_rows_make_no_file() {
    let table = table(PartitionBy::Hour);
    assert!(encode(&[], &table, &small()).unwrap().is_empty());
    assert!(encode(&[batch_of(&[], &[SERVICE])], &table, &small()).unwrap().is_empty());
    assert!(
        encode(&[RecordBatch::new_empty(Arc::new(Schema::empty()))], &table, &small())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn an_hour_ends_before_the_next_one_begins() {
    let batch = batch_of(&[at(HOUR), at(HOUR - 1), at(-1), at(0)], &[]);
    let files = encode(&[batch], &table(PartitionBy::Hour), &small()).unwrap();
    let rows: Vec<_> = files.iter().map(|f| (f.partition.to_string(), f.rows)).collect();
    let expected = [
        ("date=1969-12-31/hour=23", 1),
        ("date=1970-01-01/hour=00", 2),
        ("date=1970-01-01/hour=01", 1),
    ];
    assert_eq!(rows, expected.map(|(p, n)| (p.to_owned(), n)));
}

#[test]
fn a_file_has_the_columns_that_have_values_and_the_fixed_ones() {
    let mut first = at(1);
    first.2.extend([text("trace_id", "x")]);
    let batch = batch_of(&[first, at(HOUR)], &["never", "trace_id"]);
    let files = encode(&[batch], &table(PartitionBy::Hour), &small()).unwrap();
    let names = |file: &EncodedFile| {
        let batch = read(file);
        batch.schema_ref().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>()
    };
    let fixed = [TIMESTAMP, NANOS, SERVICE, LEVEL, MESSAGE];
    assert_eq!(names(&files[0]), [&fixed[..], &["trace_id"]].concat());
    assert_eq!(names(&files[1]), fixed);
    assert!(files[1].stats.columns.contains_key(SERVICE));
    assert!(!files[1].stats.columns.contains_key("trace_id"));
}

#[test]
fn the_file_says_its_order_and_its_types() {
    let records: Vec<Record> = (0..20)
        .map(|n| (n, 0, [text(SERVICE, "s"), text("trace_id", &format!("{n:032x}"))].into()))
        .collect();
    let batch = batch_of(&records, &[SERVICE, "trace_id"]);
    let files = encode(&[batch], &table(PartitionBy::Hour), &small()).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(files[0].bytes.clone()).unwrap();
    let metadata = reader.metadata();
    assert_eq!(metadata.file_metadata().created_by(), Some("loglake"));
    let mut pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    assert!(pairs.all(|pair| pair.key == INDEX_KEY), "no Arrow schema");
    let timestamp = metadata.file_metadata().schema_descr().column(0);
    let logical = format!("{:?}", timestamp.logical_type_ref());
    assert!(
        logical.contains("MICROS") && logical.contains("is_adjusted_to_u_t_c: true"),
        "{logical}"
    );
    assert_eq!(metadata.num_row_groups(), 3);
    for group in metadata.row_groups() {
        let sorting: Vec<_> = group
            .sorting_columns()
            .unwrap()
            .iter()
            .map(|s| {
                (
                    group.column(s.column_idx as usize).column_path().string(),
                    s.descending,
                    s.nulls_first,
                )
            })
            .collect();
        let expected = [SERVICE, LEVEL].map(|name| (name.to_owned(), false, false));
        assert_eq!(sorting, expected);
        assert!(group.column(0).column_index_length().is_some());
        assert!(group.columns().iter().all(|c| c.bloom_filter_offset().is_none()));
    }
}

#[test]
fn strings_of_other_layouts_are_taken() {
    let words: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b")].into_iter().collect();
    let mut batch = batch_of(&[at(1), at(2), at(3)], &[]);
    let mut fields = batch.schema_ref().fields().to_vec();
    fields.push(Arc::new(Field::new(SERVICE, words.data_type().clone(), true)));
    let arrays = [batch.columns(), &[Arc::new(words) as ArrayRef]].concat();
    batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let files = encode(&[batch], &table(PartitionBy::Hour), &small()).unwrap();
    let service = &read(&files[0])[SERVICE];
    let values: Vec<_> = service.as_string::<i32>().iter().collect();
    assert_eq!(values, [Some("a"), Some("b"), None]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let table = TableSchema::new(PartitionBy::Hour);
    let mut record = at(1);
    record.2.extend([text("trace_id", "x")]);
    let unknown = batch_of(&[record], &["trace_id"]);
    let error = encode(std::slice::from_ref(&unknown), &table, &small()).unwrap_err();
    assert!(matches!(&error, FormatError::UnknownColumn { column } if column == "trace_id"));
    assert_eq!(error.kind(), ErrorKind::Internal);

    let timeless = unknown.project(&[2]).unwrap();
    let error = align(&timeless, &table.file_schema()).unwrap_err();
    assert!(matches!(error, FormatError::MissingColumn { .. }));

    let settings = EncoderSettings { zstd_level: 40, ..small() };
    assert_eq!(encode(&[], &table, &settings).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_large_merge_comes_in_parts_that_make_one_file() {
    let table = table(PartitionBy::Day);
    let noise = |n: u64| u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).pow(2);
    let settings = EncoderSettings { row_group_rows_max: 150_000, ..EncoderSettings::default() };
    let encoded = |file: u64| {
        let numbers = (0..100_000).map(|row| row * 7 + file);
        let id = |n| text("trace_id", &format!("{:032x}", noise(n)));
        let records: Vec<Record> =
            numbers.map(|n| (n as i64, 0, [text(SERVICE, "s"), id(n)].into())).collect();
        let batch = batch_of(&records, &[SERVICE, "trace_id"]);
        encode(&[batch], &table, &settings).unwrap().remove(0)
    };
    let files = [0, 1, 2, 3, 4, 5, 6].map(encoded);
    let sizes = Sizes { slice_rows: 50_000, batch_rows: 4_000 };
    let inputs: Vec<_> = files.iter().map(|file| file.bytes.clone()).collect();
    let parts = {
        let mut merge = Merge::new(inputs, &table, settings.clone()).unwrap();
        let mut parts = 0;
        while let MergeStep::Part { rest, .. } = merge.step().unwrap() {
            merge = *rest;
            parts += 1;
        }
        parts
    };
    assert!(parts > 0);
    let merged = merged(files[0].partition, &files.each_ref(), &table, &settings, sizes);
    let records = records_of(&read(&merged));
    assert_eq!(records.len(), 700_000);
    assert!(records.is_sorted_by_key(|record| place(record)));
}

#[test]
fn a_merge_refuses_a_column_that_the_table_does_not_have() {
    let mut record = at(1);
    record.2.extend([text("trace_id", "x")]);
    let batch = batch_of(&[record], &["trace_id"]);
    let file = encode(&[batch], &table(PartitionBy::Day), &small()).unwrap().remove(0);
    let without = TableSchema::new(PartitionBy::Day);
    let refused = Merge::new(vec![file.bytes], &without, small()).err();
    assert!(matches!(refused, Some(FormatError::UnknownColumn { column }) if column == "trace_id"));
}
