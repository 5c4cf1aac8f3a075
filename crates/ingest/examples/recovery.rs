//! How much memory and time the recovery of a large log takes: writes the log of a writer that then
//! dies, and recovers it in a process of its own.
//!
//! `cargo run -p loglake-ingest --example recovery -- <folder> <gigabytes>`

#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "it measures time on the machine itself")]

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::{ArrayRef, Int16Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Schema;
use loglake_format::EncoderSettings;
use loglake_ingest::{IngestDependencies, IngestSettings, recover};
use loglake_model::{
    Clock, Column, ColumnType, NameForm, PartitionBy, SegmentSeq, TableId, TableName, TableSchema,
    TenantName, Timestamp, WriterId,
};
use loglake_table::{Catalog, TableSettings};
use loglake_wal::{DurableSink, Reader, TablePart, WalSettings, Writer};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use uuid::Uuid;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a recovery may take altogether.
const MEMORY_MAX: u64 = 512 << 20;
const WRITER: WriterId = WriterId::from_uuid(Uuid::from_u128(1));
/// Most of the rows are the first one's; each has some.
const TABLES: usize = 8;
const ROWS: usize = 8_000;

#[derive(Debug)]
struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap())
    }
}

struct Nobody;

impl DurableSink for Nobody {
    fn durable(&self, _: SegmentSeq, _: Vec<TablePart>) {}
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, gigabytes, rest @ ..] = args.as_slice() else {
        panic!("usage: recovery <folder> <gigabytes>");
    };
    fs::create_dir_all(folder).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
    if rest.is_empty() {
        write(&store, gigabytes.parse::<f64>().unwrap()).await;
        let itself = std::env::current_exe().unwrap();
        let status = Command::new(itself).args([folder, gigabytes, "recover"]).status().unwrap();
        assert!(status.success(), "{status}");
    } else {
        recover_it(&store).await;
    }
}

fn catalog(store: &Arc<dyn ObjectStore>) -> Arc<Catalog> {
    let settings = TableSettings {
        columns_max: 1_000,
        checkpoint_interval: 100,
        partition_by: PartitionBy::Hour,
    };
    Arc::new(Catalog::new(Arc::clone(store), Arc::new(Now), settings))
}

fn columns() -> Vec<Column> {
    ["service", "message", "trace_id"]
        .map(|name| Column::new(name, ColumnType::String, NameForm::Nested))
        .to_vec()
}

/// Rows whose text is hard to compress, so that the log's size is about that of the rows.
fn rows(seed: u64, count: usize) -> RecordBatch {
    let mut state = seed | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut text = |length: usize| -> String {
        (0..length).map(|_| char::from(b' ' + (random() % 90) as u8)).collect()
    };
    let [timestamp, nanos] = TableSchema::time_fields();
    let fields = columns().into_iter().map(|column| column.field());
    let schema = Schema::new([timestamp, nanos].into_iter().chain(fields).collect::<Vec<_>>());
    let begin = Now.now().micros();
    let times = (0..count as i64).map(|n| begin + n);
    let services = (0..count).map(|n| format!("service-{}", n % 20));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Int16Array::from_iter_values((0..count).map(|n| (n % 1000) as i16))),
        Arc::new(StringArray::from_iter_values(services)),
        Arc::new(StringArray::from_iter_values((0..count).map(|_| text(900)))),
        Arc::new(StringArray::from_iter_values((0..count).map(|_| text(32)))),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

async fn write(store: &Arc<dyn ObjectStore>, gigabytes: f64) {
    let catalog = catalog(store);
    let mut tables: Vec<TableId> = vec![];
    for n in 0..TABLES {
        let name = TableName::new(&format!("table{n}")).unwrap();
        let table = catalog.table_or_create(&TenantName::unnamed(), &name).await.unwrap();
        table.add_columns(&columns()).await.unwrap();
        tables.push(table.id());
    }
    let large: Vec<RecordBatch> = (1..9).map(|seed| rows(seed * 7_919, ROWS)).collect();
    let small = rows(5, 50);
    let began = Instant::now();
    let settings = WalSettings { linger: Duration::ZERO, ..WalSettings::default() };
    let writer = Writer::start(Arc::clone(store), WRITER, settings, Arc::new(Nobody));
    let writer = writer.await.unwrap();
    let (mut bytes, wanted) = (0, (gigabytes * f64::from(1 << 30)) as u64);
    for n in 0.. {
        let part = |at: usize, batch: &RecordBatch| TablePart::new(tables[at], vec![batch.clone()]);
        let parts = vec![part(0, &large[n % 8]), part(1 + n % (TABLES - 1), &small)];
        writer.append(parts).await.unwrap();
        if n % 100 == 0 {
            let log = Reader::new(Arc::clone(store)).log(WRITER).await.unwrap();
            bytes = log.segments.iter().map(|(_, bytes)| bytes).sum();
        }
        if bytes >= wanted {
            break;
        }
    }
    println!("wrote {} MiB of segments in {:.0?}", bytes >> 20, began.elapsed());
}

async fn recover_it(store: &Arc<dyn ObjectStore>) {
    let dependencies = IngestDependencies {
        store: Arc::clone(store),
        catalog: catalog(store),
        clock: Arc::new(Now),
        new_writer_id: Arc::new(|| WRITER),
    };
    // The binary's defaults.
    let settings = IngestSettings {
        flush_bytes: 128 << 20,
        flush_age: Duration::from_secs(600),
        buffer_bytes_max: 512 << 20,
        buffer_wait_max: Duration::from_secs(5),
        writer_age_max: Duration::from_secs(24 * 3600),
        wal: WalSettings::default(),
        encoder: EncoderSettings::default(),
    };
    let began = Instant::now();
    let recovered = recover(&dependencies, &settings, WRITER).await.unwrap();
    let took = began.elapsed();
    let peak = memory_peak();
    println!("{recovered:?}");
    println!(
        "recovered {} MiB in {took:.0?} ({:.0} MiB/s), memory at most {} MiB",
        recovered.segment_bytes >> 20,
        recovered.segment_bytes as f64 / took.as_secs_f64() / f64::from(1 << 20),
        peak >> 20
    );
    assert!(peak < MEMORY_MAX, "more memory than {} MiB", MEMORY_MAX >> 20);
    assert!(Reader::new(Arc::clone(store)).writers().await.unwrap().is_empty());
}

/// The most resident memory this process has had (VmHWM of proc_pid_status(5)).
fn memory_peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}
