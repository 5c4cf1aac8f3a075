//! Tables over a directory, with real Parquet files.
//!
//! With `LOGLAKE_INTEROP_DIR` set, the table stays there, for other engines to open.

#![allow(clippy::unwrap_used)]

mod store;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int16Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use loglake_model::*;
use loglake_table::*;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use store::*;

/// 2026-11-01T13:00:00.123456Z, one microsecond later in each row.
const FIRST_MICROS: i64 = 1_793_538_000_123_456;

fn batch(schema: &TableSchema, first: i64) -> RecordBatch {
    let file_schema = schema.file_schema();
    let columns = file_schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            TIMESTAMP => {
                let times = TimestampMicrosecondArray::from(vec![first, first + 1, first + 2]);
                Arc::new(times.with_timezone("UTC"))
            }
            NANOS => Arc::new(Int16Array::from(vec![0, 7, 999])),
            SERVICE => Arc::new(StringArray::from(vec!["api", "api", "web"])),
            MESSAGE => Arc::new(StringArray::from(vec![Some("ä 1"), Some("two"), None])),
            "http.status" => Arc::new(Int64Array::from(vec![Some(200), None, Some(503)])),
            "ratio" => Arc::new(Float64Array::from(vec![Some(0.5), None, None])),
            _ => new_null_array(field.data_type(), 3),
        }
    });
    RecordBatch::try_new(Arc::clone(&file_schema), columns.collect()).unwrap()
}

fn stats(schema: &TableSchema, first: i64) -> FileStats {
    let bounds = |name: &str, min, max, null_count| {
        (Arc::from(name), ColumnStats { min: Some(min), max: Some(max), null_count })
    };
    let (from, to) = (StatValue::Timestamp(first), StatValue::Timestamp(first + 2));
    let mut columns = vec![
        bounds(TIMESTAMP, from, to, 0),
        bounds(SERVICE, StatValue::String("api".into()), StatValue::String("web".into()), 0),
    ];
    if schema.column("http.status").is_some() {
        columns.push(bounds("http.status", StatValue::Int(200), StatValue::Int(503), 1));
    }
    FileStats { columns: columns.into_iter().collect() }
}

async fn put(store: &Arc<dyn ObjectStore>, table: &Table, first: i64) -> DataFile {
    let schema = Arc::clone(table.current().schema());
    let batch = batch(&schema, first);
    let mut writer = ArrowWriter::try_new(vec![], batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let partition = Partition::of(first, PartitionBy::Hour);
    let path = table.new_file_path(&partition);
    let size = bytes.len() as u64;
    let absolute = Path::from_iter(table.root().parts().chain(path.parts()));
    store.put(&absolute, bytes.into()).await.unwrap();
    let stats = stats(&schema, first);
    DataFile {
        path,
        partition,
        bytes: size,
        rows: 3,
        stats,
        modified: StillClock.now(),
        checksum: None,
        words: None,
    }
}

/// `flushes` files of three rows, an hour apart, and new columns after the first.
async fn write_table(folder: &std::path::Path, flushes: u64, interval: u64) -> Arc<Table> {
    std::fs::create_dir_all(folder).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
    let (tenant, name) = logs();
    let table = catalog(&store, interval).table_or_create(&tenant, &name).await.unwrap();
    let mut from = None;
    for n in 0..flushes {
        let first = FIRST_MICROS + n.cast_signed() * 3_600_000_000;
        let files = vec![put(&store, &table, first).await];
        let flush = Flush { writer: writer(1), from, to: SegmentSeq(n), files, offsets: vec![] };
        let outcome = table.commit_flush(&flush).await.unwrap();
        assert!(matches!(outcome, FlushOutcome::Committed(_)));
        from = Some(SegmentSeq(n));
        let columns = [
            Column::new("http.status", ColumnType::Int64, NameForm::Literal),
            Column::new("ratio", ColumnType::Float64, NameForm::Nested),
        ];
        table.add_columns(&columns).await.unwrap();
    }
    let newest = table.current().version() / interval * interval;
    let hint = Path::from("default/logs/_delta_log/_last_checkpoint");
    while newest > 0 && store.head(&hint).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    table
}

/// The folder holds what a process that never saw it before opens as the same table.
async fn is_opened_again(folder: &std::path::Path, ours: &Snapshot) {
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
    let (tenant, name) = logs();
    let table = catalog(&store, 1_000).table(&tenant, &name).await.unwrap().unwrap();
    assert_eq!(*table.current(), *ours);
    for file in ours.files() {
        let absolute = Path::from_iter(table.root().parts().chain(file.path.parts()));
        assert_eq!(store.head(&absolute).await.unwrap().size, file.bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_the_same_table_from_the_log() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().to_owned();
    let table = write_table(&folder, 4, 1_000).await;
    is_opened_again(&folder, &table.current()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_the_same_table_from_a_checkpoint() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("LOGLAKE_INTEROP_DIR").map(PathBuf::from);
    let folder = kept.unwrap_or_else(|| temporary.path().to_owned());
    let table = write_table(&folder, 6, 5).await;
    for version in 0..=5 {
        let name = format!("default/logs/_delta_log/{version:020}.json");
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    is_opened_again(&folder, &table.current()).await;
}
