//! The writers' logs: every segment whole and where it says it is, none missing, nothing left of a
//! writer that is forgotten, no watermark beyond the log's end.

use std::collections::HashSet;
use std::sync::Arc;

use loglake_model::{SegmentSeq, WriterId};
use loglake_wal::{Log, Reader, WalError};
use object_store::ObjectStore;
use object_store::path::Path;

use super::Report;
use super::tables::Watermarks;

pub async fn walk(
    store: &Arc<dyn ObjectStore>,
    reader: &Reader,
    watermarks: &Watermarks,
    report: &mut Report,
) -> anyhow::Result<()> {
    // Before the marks: a writer's mark is made before its log, and goes after it.
    let with_logs = with_logs(store).await?;
    let writers: HashSet<WriterId> = reader.writers().await?.into_iter().collect();
    for writer in &writers {
        report.writers += 1;
        let log = walk_segments(reader, *writer, report).await?;
        check_watermarks(&log, watermarks, report);
        match reader.lost(*writer).await {
            Ok(None) => {}
            Ok(Some(lost)) => report.found(format!(
                "{}: is missing, and a segment that was made after it is there",
                segment(*writer, lost)
            )),
            Err(e @ WalError::Corrupt { .. }) => report.found(e.to_string()),
            Err(e) => return Err(e.into()),
        }
    }
    for writer in with_logs.difference(&writers) {
        for (seq, _) in reader.log(*writer).await?.segments {
            report.found(format!(
                "{}: not committed, and its writer is forgotten",
                segment(*writer, seq)
            ));
        }
    }
    Ok(())
}

async fn with_logs(store: &Arc<dyn ObjectStore>) -> anyhow::Result<HashSet<WriterId>> {
    let folders = store.list_with_delimiter(Some(&Path::from("_wal"))).await?.common_prefixes;
    Ok(folders.iter().filter_map(|folder| folder.filename()?.parse().ok()).collect())
}

async fn walk_segments(
    reader: &Reader,
    writer: WriterId,
    report: &mut Report,
) -> anyhow::Result<Log> {
    let log = reader.log(writer).await?;
    for (seq, _) in &log.segments {
        report.segments += 1;
        match reader.segment(writer, *seq).await {
            Ok(_) => {}
            // A living lake goes on: it may have been trimmed since the listing.
            Err(WalError::Gone { .. }) if reader.log(writer).await?.floor >= Some(*seq) => {}
            Err(e @ (WalError::Corrupt { .. } | WalError::Gone { .. })) => {
                report.found(format!("{}: {e}", segment(writer, *seq)));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(log)
}

fn segment(writer: WriterId, seq: SegmentSeq) -> String {
    format!("_wal/{writer}/{:020}", seq.0)
}

/// The last segment that was valid, trimmed or not.
fn end_of(log: &Log) -> Option<SegmentSeq> {
    log.segments.last().map(|(seq, _)| *seq).max(log.floor)
}

fn check_watermarks(log: &Log, watermarks: &Watermarks, report: &mut Report) {
    for (table, of_table) in watermarks {
        let Some(watermark) = of_table.get(&log.writer) else { continue };
        if Some(*watermark) > end_of(log) {
            report.found(beyond_end(log.writer, *watermark, table));
        }
    }
}

fn beyond_end(writer: WriterId, watermark: SegmentSeq, table: &loglake_model::TableId) -> String {
    format!("table {table}: its watermark {watermark} of writer {writer} is beyond the log's end")
}
