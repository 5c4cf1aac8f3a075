//! The writers' logs: every segment whole and where it says it is, no gap, no watermark beyond the
//! log's end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use loglake_model::{SegmentSeq, WriterId};
use loglake_wal::{Log, Reader};
use object_store::ObjectStore;
use object_store::path::Path;

use super::Report;
use super::tables::Watermarks;
use crate::settings::IN_FLIGHT_CEILING;

pub async fn walk(
    store: &Arc<dyn ObjectStore>,
    reader: &Reader,
    watermarks: &Watermarks,
    report: &mut Report,
) -> anyhow::Result<()> {
    for writer in reader.writers().await? {
        report.writers += 1;
        let log = reader.log(writer).await?;
        for (seq, _) in &log.segments {
            report.segments += 1;
            if let Err(e) = reader.segment(writer, *seq).await {
                report.found(format!("_wal/{writer}/{:020}: {e}", seq.0));
            }
        }
        check_gap(store, reader, writer, report).await?;
        check_watermarks(&log, watermarks, report);
    }
    Ok(())
}

/// Looks again this often, this far apart: a living writer has several segments on their way, and a
/// later one may arrive first.
const LOOKS: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// A writer that ended leaves at most the segments that were on their way behind a gap: they are void
/// and were never acknowledged, like those behind a seal. More of them can only be there when one
/// between was lost.
async fn check_gap(
    store: &Arc<dyn ObjectStore>,
    reader: &Reader,
    writer: WriterId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let folder = Path::from(format!("_wal/{writer}"));
    let mut lost = None;
    for _ in 0..LOOKS {
        let names: Vec<String> = store
            .list(Some(&folder))
            .try_filter_map(async |object| Ok(object.location.filename().map(str::to_owned)))
            .try_collect()
            .await?;
        let numbers: BTreeSet<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        lost = lost_segment(end_of(&reader.log(writer).await?), &numbers);
        if lost.is_none() {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    if let Some(lost) = lost {
        report.found(format!("_wal/{writer}/{lost:020}: is missing, and later segments are there"));
    }
    Ok(())
}

/// The number right after the log's end, when it is free and more higher ones are taken than can have
/// been on their way with it.
fn lost_segment(end: Option<SegmentSeq>, numbers: &BTreeSet<u64>) -> Option<u64> {
    let next = end.map_or(0, |end| end.0 + 1);
    let beyond = numbers.range(next + 1..).count();
    (beyond >= IN_FLIGHT_CEILING && !numbers.contains(&next)).then_some(next)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_a_lost_segment_unless_a_dying_writer_can_have_left_it() {
        let numbers = |from: u64, to: u64| (from..=to).collect();
        let many = IN_FLIGHT_CEILING as u64;
        assert_eq!(lost_segment(Some(SegmentSeq(4)), &numbers(6, 5 + many)), Some(5));
        assert_eq!(lost_segment(Some(SegmentSeq(4)), &numbers(6, 4 + many)), None);
        assert_eq!(lost_segment(Some(SegmentSeq(4)), &numbers(5, 5 + many)), None);
        assert_eq!(lost_segment(None, &numbers(1, many)), Some(0));
        assert_eq!(lost_segment(None, &BTreeSet::new()), None);
    }
}
