//! `/api/v1/ingest/{table}`: records in, as NDJSON or a JSON array.
//!
//! ```text
//! pieces → unpacked blocks of lines → decoded → stored    a few blocks of a body at once
//! ```

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use loglake_ingest::{IngestError, Ingester};
use loglake_model::{ErrorKind, Rejection, TableName};
use loglake_receive::{Block, DecodeContext, Decoded, decode_ndjson};
use loglake_table::Table;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::blocks::{BodyForm, blocks, off_thread, stored_in_order};
use super::report::Report;
use crate::doors::OpenDoors;
use crate::failure::Failure;
use crate::keyed::{Key, whole};

/// Blocks up to this size are decoded where they are: the way to another thread would cost more.
const INLINE_BYTES: usize = 32 << 10;

pub(super) async fn ingest(
    State(doors): State<OpenDoors>,
    Path(table): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let name = TableName::new(&table)?;
    let key = Key::of(&headers)?;
    let blocks = blocks(&doors, &headers, body, BodyForm::LinesOrArray)?;
    let table = doors.ingester()?.table(&doors.tenant, &name).await?;
    if let Some(key) = key {
        let report = store_once(&doors, table, &key, whole(blocks).await?).await?;
        return Ok((report.status(), Json(report)).into_response());
    }
    let enough = CancellationToken::new();
    let blocks = blocks.take_until(enough.clone().cancelled_owned());
    let outcomes = blocks.map(|block| {
        let (doors, table) = (doors.clone(), Arc::clone(&table));
        async move { Ok(store(&doors, table, block?).await) }
    });
    let report = collect(stored_in_order(outcomes), &enough).await?;
    Ok((report.status(), Json(report)).into_response())
}

/// Stores a whole body, unless that was done before. The report is the same: it follows from the body.
async fn store_once(
    doors: &OpenDoors,
    table: Arc<Table>,
    key: &Key,
    blocks: Vec<Block>,
) -> Result<Report, Failure> {
    let started = Instant::now();
    let _place = doors.place(blocks.iter().map(|block| block.bytes.len()).sum()).await;
    let target = format!("ingest {}", table.name());
    let body = blocks.iter().map(|block| &*block.bytes);
    let key = key.request(&doors.tenant, &target, body);
    let (mut report, mut rows, mut line) = (Report::default(), vec![], 1);
    for mut block in blocks {
        let next_line = line_after(&block);
        let mut rejections = std::mem::take(&mut block.rejections);
        let decoded = decode(doors, &table, block).await?;
        rejections.extend(decoded.rejections);
        rejections.sort_by_key(|rejection| rejection.line);
        report.stored += decoded.batch.num_rows() as u64;
        report.reject(rejections);
        if report.is_full() {
            report.stored = 0;
            return Err(too_many_refused(&report, line));
        }
        rows.push((Arc::clone(&table), decoded.batch));
        line = next_line;
    }
    doors.ingester()?.append_once(key, rows).await?;
    doors.metrics.acknowledged(report.stored, started.elapsed());
    doors.metrics.rejected.inc_by(report.rejected);
    Ok(report)
}

/// What became of one block.
enum Outcome {
    Stored {
        rows: u64,
        rejections: Vec<Rejection>,
        /// The number of the line after the block.
        next_line: u64,
    },
    /// Its rows, from this line on, may have been stored or not.
    Unknown { from_line: u64, failure: Failure },
}

/// Adds up what became of the blocks, which come in order. A failure is answered with what was
/// stored before it.
async fn collect(
    outcomes: impl Stream<Item = Result<Outcome, Failure>>,
    enough: &CancellationToken,
) -> Result<Report, Failure> {
    let mut outcomes = pin!(outcomes);
    let mut report = Report::default();
    let mut line = 1;
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(Outcome::Stored { rows, rejections, next_line }) => {
                report.stored += rows;
                report.reject(rejections);
                line = next_line;
            }
            Ok(Outcome::Unknown { from_line, failure }) => {
                return Err(failure.beside(report.members_and("unknown_from_line", from_line)));
            }
            Err(failure) => {
                return Err(failure.beside(report.members_and("not_read_from_line", line)));
            }
        }
        if report.is_full() {
            enough.cancel();
        }
    }
    if report.is_full() {
        return Err(too_many_refused(&report, line));
    }
    Ok(report)
}

fn too_many_refused(report: &Report, line: u64) -> Failure {
    let failure = Failure::invalid("too many lines were refused to name more of them");
    failure.beside(report.members_and("not_read_from_line", line))
}

async fn store(doors: &OpenDoors, table: Arc<Table>, block: Block) -> Outcome {
    let from_line = block.first_line;
    decode_and_append(doors, table, block)
        .await
        .unwrap_or_else(|failure| Outcome::Unknown { from_line, failure })
}

async fn decode_and_append(
    doors: &OpenDoors,
    table: Arc<Table>,
    mut block: Block,
) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let _place = doors.place(block.bytes.len()).await;
    let (is_first, next_line) = (block.first_line == 1, line_after(&block));
    let mut rejections = std::mem::take(&mut block.rejections);
    let decoded = decode(doors, &table, block).await?;
    rejections.extend(decoded.rejections);
    rejections.sort_by_key(|rejection| rejection.line);
    let rows = decoded.batch.num_rows() as u64;
    append(doors.ingester()?, table, decoded.batch, is_first).await?;
    doors.metrics.acknowledged(rows, started.elapsed());
    doors.metrics.rejected.inc_by(rejections.len() as u64);
    Ok(Outcome::Stored { rows, rejections, next_line })
}

/// The number of the line after a block and after the lines that were refused beside it.
fn line_after(block: &Block) -> u64 {
    let whole = memchr::memchr_iter(b'\n', &block.bytes).count() as u64;
    let last = u64::from(block.bytes.last().is_some_and(|byte| *byte != b'\n'));
    let refused = block.rejections.iter().map(|rejection| rejection.line + 1).max();
    (block.first_line + whole + last).max(refused.unwrap_or(1))
}

async fn decode(doors: &OpenDoors, table: &Table, block: Block) -> Result<Decoded, Failure> {
    let schema = Arc::clone(table.current().schema());
    let arrival = doors.clock.now();
    let is_small = block.bytes.len() <= INLINE_BYTES;
    let doors = doors.clone();
    let work = move || {
        let context = DecodeContext { schema: &schema, limits: &doors.limits, arrival };
        decode_ndjson(&block.bytes, block.first_line, &context)
    };
    if is_small { Ok(work()) } else { off_thread(work).await }
}

/// A later block of a body waits this long at a limit.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// At a limit the first block of a body is refused, and its sender comes back with all of it. A
/// later one waits, and the sender with it: refusing it would make the sender repeat what is stored.
async fn append(
    ingester: &Ingester,
    table: Arc<Table>,
    batch: RecordBatch,
    is_first: bool,
) -> Result<(), IngestError> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(50);
    loop {
        let appended = ingester.append(vec![(Arc::clone(&table), batch.clone())]).await;
        match appended {
            Err(e)
                if e.kind() == ErrorKind::Overloaded && !is_first && Instant::now() < deadline =>
            {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use serde_json::json;

    use super::*;

    fn stored(rows: u64, refused: &[u64], next_line: u64) -> Result<Outcome, Failure> {
        let reason = |line: &u64| format!("reason {line}");
        let rejections = refused.iter().map(|line| Rejection { line: *line, reason: reason(line) });
        Ok(Outcome::Stored { rows, rejections: rejections.collect(), next_line })
    }

    async fn collected(outcomes: Vec<Result<Outcome, Failure>>) -> Result<Report, Failure> {
        collect(stream::iter(outcomes), &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn a_body_that_is_cut_says_what_was_stored_and_where_it_stopped() {
        let cut = Failure::invalid("too large");
        let failure = collected(vec![stored(3, &[2], 5), Err(cut)]).await.unwrap_err();
        assert_eq!(
            failure.json(),
            json!({
                "error": {"kind": "invalid", "message": "too large"},
                "stored": 3, "rejected": 1, "errors": [{"line": 2, "reason": "reason 2"}],
                "not_read_from_line": 5,
            })
        );
    }

    #[tokio::test]
    async fn a_block_whose_fate_is_unknown_is_said_so() {
        let lost =
            Outcome::Unknown { from_line: 5, failure: Failure::new(ErrorKind::Fenced, "gone") };
        let failure = collected(vec![stored(4, &[], 5), Ok(lost)]).await.unwrap_err();
        assert_eq!(failure.json()["unknown_from_line"], 5);
        assert_eq!(failure.json()["stored"], 4);
        assert_eq!(failure.kind(), ErrorKind::Fenced);
    }

    #[tokio::test]
    async fn a_body_of_noise_is_not_read_to_its_end() {
        let odd: Vec<u64> = (0..20_000).map(|n| 2 * n + 1).collect();
        let enough = CancellationToken::new();
        let outcomes = stream::iter(vec![stored(0, &odd, 40_001)]);
        let failure = collect(outcomes, &enough).await.unwrap_err();
        assert!(enough.is_cancelled());
        assert_eq!(failure.json()["rejected"], 20_000);
        assert_eq!(failure.json()["not_read_from_line"], 40_001);
    }

    #[test]
    fn the_line_after_a_block_counts_the_last_one_without_a_newline() {
        let block = |bytes: &[u8], refused: Option<u64>| Block {
            bytes: bytes.to_vec().into(),
            first_line: 10,
            rejections: refused
                .map(|line| Rejection { line, reason: String::new() })
                .into_iter()
                .collect(),
        };
        assert_eq!(line_after(&block(b"a\nb\n", None)), 12);
        assert_eq!(line_after(&block(b"a\nb", None)), 12);
        assert_eq!(line_after(&block(b"", Some(11))), 12);
        assert_eq!(line_after(&block(b"a\n", Some(10))), 11);
    }
}
