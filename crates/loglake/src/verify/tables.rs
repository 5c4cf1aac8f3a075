//! The tables: every file there and readable, with the rows its log entry claims, in its partition,
//! and no object that nobody names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use futures::TryStreamExt;
use loglake_model::{Clock, Partition, SegmentSeq, TIMESTAMP, TableId, Timestamp, WriterId};
use loglake_table::{Catalog, DataFile, Table};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Report, history};

/// Every table's watermarks.
pub type Watermarks = HashMap<TableId, HashMap<WriterId, SegmentSeq>>;

pub async fn walk(
    store: &Arc<dyn ObjectStore>,
    catalog: &Catalog,
    clock: &dyn Clock,
    grace: Duration,
    report: &mut Report,
) -> anyhow::Result<Watermarks> {
    let mut watermarks = Watermarks::new();
    for tenant in catalog.tenants().await? {
        for name in catalog.tables(&tenant).await? {
            let table = catalog.table(&tenant, &name).await;
            let table = table.with_context(|| format!("table {tenant}/{name} cannot be opened"))?;
            let Some(table) = table else { continue };
            report.tables += 1;
            let orphans_before = clock.now();
            walk_table(store, &table, orphans_before, grace, report).await?;
            watermarks.insert(table.id(), table.current().watermarks().clone());
        }
    }
    Ok(watermarks)
}

async fn walk_table(
    store: &Arc<dyn ObjectStore>,
    table: &Table,
    now: Timestamp,
    grace: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let objects: Vec<ObjectMeta> = store.list(Some(table.root())).try_collect().await?;
    // Newer than the listing, so that a file committed meanwhile is no orphan.
    let snapshot = table.refresh().await?;
    let mut named = HashSet::new();
    let mut contents: HashMap<u64, &Path> = HashMap::new();
    for file in snapshot.files() {
        let path = absolute(table, &file.path);
        if let Some(twin) = file.checksum.and_then(|sum| contents.insert(sum, &file.path)) {
            // A commit that was made again shows in the table's history. Else somebody sent them twice.
            report.noted(format!("{path}: holds the same rows as {}", absolute(table, twin)));
        }
        if let Err(e) = check_file(store, &path, file).await {
            report.found(format!("{path}: {e:#}"));
        }
        if !named.insert(path.clone()) {
            report.found(format!("{path}: twice in the table"));
        }
        report.files += 1;
        report.rows += file.rows;
    }
    for finding in history::check(&table.history().await?) {
        report.found(format!("{}/_delta_log: {finding}", table.root()));
    }
    let log = absolute(table, &Path::from("_delta_log"));
    for object in objects {
        if object.location.prefix_matches(&log) || named.contains(&object.location) {
            continue;
        }
        let age_ms = now.millis() - object.last_modified.timestamp_millis();
        if age_ms > i64::try_from(grace.as_millis()).unwrap_or(i64::MAX) {
            report.found(format!("{}: an orphan, {} s old", object.location, age_ms / 1_000));
        } else {
            report.young_orphans += 1;
        }
    }
    Ok(())
}

fn absolute(table: &Table, path: &Path) -> Path {
    Path::from_iter(table.root().parts().chain(path.parts()))
}

async fn check_file(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    file: &DataFile,
) -> anyhow::Result<()> {
    let bytes = store.get(path).await?.bytes().await?;
    anyhow::ensure!(
        bytes.len() as u64 == file.bytes,
        "has {} bytes, the table claims {}",
        bytes.len(),
        file.bytes
    );
    let (partition, claimed, checksum) = (file.partition, file.rows, file.checksum);
    let work = move || {
        check_content(&bytes, checksum)?;
        check_rows(bytes, partition, claimed)
    };
    tokio::task::spawn_blocking(work).await?
}

fn check_content(bytes: &[u8], expected: Option<u64>) -> anyhow::Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    let actual = twox_hash::XxHash3_64::oneshot(bytes);
    anyhow::ensure!(
        actual == expected,
        "has checksum {actual:016x}, the table claims {expected:016x}"
    );
    Ok(())
}

/// Decodes every row: the count is the claimed one, and each row belongs to the partition.
fn check_rows(bytes: bytes::Bytes, partition: Partition, claimed: u64) -> anyhow::Result<()> {
    let (from, to) = partition.micros();
    let mut rows = 0;
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        let times = batch.column_by_name(TIMESTAMP).context("has no column timestamp")?;
        let times = times
            .as_primitive_opt::<TimestampMicrosecondType>()
            .context("its column timestamp has another type")?;
        let stray = times.values().iter().find(|t| !(from..to).contains(*t));
        if let Some(stray) = stray {
            anyhow::bail!("a row of time {stray} µs does not belong to {partition}");
        }
    }
    anyhow::ensure!(rows == claimed, "has {rows} rows, the table claims {claimed}");
    Ok(())
}
