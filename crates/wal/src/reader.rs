//! Reads logs of any writer. Cannot write.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::TryStreamExt;
use loglake_model::{SegmentSeq, TableId, WriterId};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};

use crate::layout::{LogView, WRITERS, log_path, parse_mark, segment_path};
use crate::segment::{self, Footer, Tail};
use crate::{SegmentIndex, TablePart, WalError, seal};

/// Bytes of an object's end that are asked for first: the footers of nearly all segments, and small
/// segments whole.
const TAIL_BYTES: u64 = 64 << 10;

/// What is in a writer's log, by listing: the valid segments above the floor, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub writer: WriterId,
    /// Segments at or below are committed and gone (or going).
    pub floor: Option<SegmentSeq>,
    /// Consecutive numbers with their sizes in bytes; nothing after a gap or a seal is here.
    pub segments: Vec<(SegmentSeq, u64)>,
    /// The number of the seal: the log is as it is for good.
    pub seal: Option<SegmentSeq>,
}

impl Log {
    pub(crate) fn of(writer: WriterId, view: LogView) -> Self {
        Self { writer, floor: view.floor, segments: view.segments, seal: view.seal }
    }
}

/// A writer as `_writers/` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriterMark {
    pub writer: WriterId,
    /// Somebody other than the writer ends its log, or has ended it, and may have found rows there
    /// that the writer's own process does not know to be durable: its memory says nothing any more,
    /// its segments do. There before the seal is, so before anybody acts on what the sealed log
    /// holds; gone only after every row of the writer was committed.
    pub sealing: bool,
}

#[derive(Clone, Debug)]
pub struct Reader {
    store: Arc<dyn ObjectStore>,
}

impl Reader {
    pub const fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// All of `_writers/`, oldest first.
    ///
    /// # Errors
    /// [`WalError::Store`] when the listing fails.
    pub async fn writers(&self) -> Result<Vec<WriterId>, WalError> {
        Ok(self.marks().await?.iter().map(|mark| mark.writer).collect())
    }

    /// All of `_writers/`, oldest first, with what it says of each.
    ///
    /// # Errors
    /// [`WalError::Store`] when the listing fails.
    pub async fn marks(&self) -> Result<Vec<WriterMark>, WalError> {
        let objects = self.store.list(Some(&Path::from(WRITERS)));
        let objects: Vec<_> =
            objects.try_collect().await.map_err(WalError::store("list the writers"))?;
        let mut marks = BTreeMap::new();
        let names = objects.iter().filter_map(|object| object.location.filename());
        for (writer, sealing) in names.filter_map(parse_mark) {
            *marks.entry(writer).or_default() |= sealing;
        }
        let marks = marks.into_iter().map(|(writer, sealing)| WriterMark { writer, sealing });
        Ok(marks.collect())
    }

    /// The segments of a writer. The seal itself is not among them.
    ///
    /// Every segment that was acknowledged before the call and is not trimmed is there.
    ///
    /// # Errors
    /// [`WalError::Store`] when the listing fails.
    pub async fn log(&self, writer: WriterId) -> Result<Log, WalError> {
        view(self.store.as_ref(), writer).await.map(|view| Log::of(writer, view))
    }

    /// The footer index: tables, rows, sizes, of one segment.
    ///
    /// # Errors
    /// [`WalError::Gone`] when there is no such segment (any more); [`WalError::Corrupt`].
    pub async fn index(&self, writer: WriterId, seq: SegmentSeq) -> Result<SegmentIndex, WalError> {
        self.tail(writer, seq).await.map(|tail| tail.footer.into())
    }

    /// The rows of one table in one segment (empty when there are none), checksum verified.
    ///
    /// # Errors
    /// As [`Reader::index`].
    pub async fn rows(
        &self,
        writer: WriterId,
        seq: SegmentSeq,
        table: TableId,
    ) -> Result<Vec<RecordBatch>, WalError> {
        let tail = self.tail(writer, seq).await?;
        let path = segment_path(writer, seq);
        let part = tail.footer.parts.iter().find(|part| part.table == table);
        let Some((part, range)) = part.and_then(|part| Some((part, part.range()?))) else {
            return Ok(vec![]);
        };
        let bytes = match tail.slice(&range) {
            Some(bytes) => bytes,
            None => {
                let ranged = self.store.get_range(&path, range).await;
                ranged.map_err(|e| read_error(e, writer, seq))?
            }
        };
        segment::decode_part(&bytes, part).map_err(|problem| WalError::corrupt(path, problem))
    }

    /// Every part, every checksum verified (recovery and verify).
    ///
    /// # Errors
    /// As [`Reader::index`].
    pub async fn segment(
        &self,
        writer: WriterId,
        seq: SegmentSeq,
    ) -> Result<Vec<TablePart>, WalError> {
        let path = segment_path(writer, seq);
        let read = async { self.store.get(&path).await?.bytes().await };
        let bytes = read.await.map_err(|e| read_error(e, writer, seq))?;
        if seal::decode(&bytes).is_some() {
            return Err(WalError::Gone { writer, seq });
        }
        let (footer, parts) =
            segment::decode(&bytes).map_err(|problem| WalError::corrupt(&path, problem))?;
        belongs(&footer, writer, seq, &path)?;
        Ok(parts)
    }

    /// A segment that was acknowledged, is not trimmed, and is not there; `None` when all are.
    ///
    /// # Errors
    /// As [`Reader::index`], and [`WalError::Store`] when the listing fails.
    pub async fn lost(&self, writer: WriterId) -> Result<Option<SegmentSeq>, WalError> {
        let view = view(self.store.as_ref(), writer).await?;
        Ok(self.lost_in(writer, &view).await?.map(|(lost, _)| lost))
    }

    /// What lies after a gap was never acknowledged, unless it says that the gap was once filled.
    /// Answers with the lost segment and the one that says so.
    pub(crate) async fn lost_in(
        &self,
        writer: WriterId,
        view: &LogView,
    ) -> Result<Option<(SegmentSeq, SegmentSeq)>, WalError> {
        if !view.has_gap() {
            return Ok(None);
        }
        // Later ones know of more. The last may be a seal, after which a dying writer's stray.
        for last in view.void.iter().rev() {
            match self.index(writer, *last).await {
                Ok(SegmentIndex { delivered, .. }) => {
                    let lost = delivered >= Some(view.next());
                    return Ok(lost.then(|| (view.next(), *last)));
                }
                Err(WalError::Gone { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// The segment as it is in the store, to be decoded batch by batch.
    ///
    /// # Errors
    /// As [`Reader::index`].
    pub async fn whole(&self, writer: WriterId, seq: SegmentSeq) -> Result<Segment, WalError> {
        let path = segment_path(writer, seq);
        let read = async { self.store.get(&path).await?.bytes().await };
        let bytes = read.await.map_err(|e| read_error(e, writer, seq))?;
        if seal::decode(&bytes).is_some() {
            return Err(WalError::Gone { writer, seq });
        }
        let footer =
            segment::decode_footer(&bytes).map_err(|problem| WalError::corrupt(&path, problem))?;
        belongs(&footer, writer, seq, &path)?;
        Ok(Segment { path, footer, bytes })
    }

    async fn tail(&self, writer: WriterId, seq: SegmentSeq) -> Result<SegmentTail, WalError> {
        let path = segment_path(writer, seq);
        let mut wanted = TAIL_BYTES;
        loop {
            let (bytes, object_bytes) =
                self.suffix(&path, wanted).await.map_err(|e| read_error(e, writer, seq))?;
            if seal::decode(&bytes).is_some() {
                return Err(WalError::Gone { writer, seq });
            }
            match segment::decode_tail(&bytes, object_bytes) {
                Ok(Tail::Footer(footer)) => {
                    belongs(&footer, writer, seq, &path)?;
                    return Ok(SegmentTail { footer, bytes, object_bytes });
                }
                Ok(Tail::NeedsBytes(more)) if more > wanted => wanted = more,
                Ok(Tail::NeedsBytes(_)) => {
                    return Err(WalError::corrupt(&path, "is shorter than the store said"));
                }
                Err(problem) => return Err(WalError::corrupt(&path, problem)),
            }
        }
    }

    /// The last bytes of an object, and its size.
    async fn suffix(&self, path: &Path, bytes: u64) -> object_store::Result<(Bytes, u64)> {
        let options = GetOptions::new().with_range(Some(GetRange::Suffix(bytes)));
        let result = self.store.get_opts(path, options).await?;
        let object_bytes = result.meta.size;
        Ok((result.bytes().await?, object_bytes))
    }
}

/// A segment in memory, compressed as it is in the store. Each part is verified when it is decoded.
#[derive(Debug, Clone)]
pub struct Segment {
    path: Path,
    footer: Footer,
    bytes: Bytes,
}

impl Segment {
    /// Of its object.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub fn index(&self) -> SegmentIndex {
        self.footer.clone().into()
    }

    /// The rows of one table, a batch at a time; none when there are none. After an error there is
    /// nothing more.
    ///
    /// # Errors
    /// [`WalError::Corrupt`], when the checksum does not hold and of each batch.
    pub fn batches(
        &self,
        table: TableId,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, WalError>> + Send + use<>, WalError> {
        let path = self.path.clone();
        let corrupt = move |problem: String| WalError::corrupt(&path, problem);
        let part = self.footer.parts.iter().find(|part| part.table == table);
        let part = part.and_then(|part| Some((part, part.range()?)));
        let batches = part.map(|(part, range)| {
            let bytes = self.bytes.slice(range.start as usize..range.end as usize);
            segment::PartBatches::new(bytes, part)
        });
        let batches = batches.transpose().map_err(&corrupt)?;
        Ok(batches.into_iter().flatten().map(move |batch| batch.map_err(&corrupt)))
    }
}

/// The end of a segment's object.
struct SegmentTail {
    footer: Footer,
    bytes: Bytes,
    object_bytes: u64,
}

impl SegmentTail {
    /// The object's bytes in this range, if they came with the end.
    fn slice(&self, range: &Range<u64>) -> Option<Bytes> {
        let start = self.object_bytes.checked_sub(self.bytes.len() as u64)?;
        let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
        (from <= to && to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

fn belongs(
    footer: &Footer,
    writer: WriterId,
    seq: SegmentSeq,
    path: &Path,
) -> Result<(), WalError> {
    if (footer.writer, footer.sequence) == (writer, seq) {
        return Ok(());
    }
    let (writer, seq) = (footer.writer, footer.sequence);
    Err(WalError::corrupt(path, format!("holds segment {seq} of writer {writer}")))
}

fn read_error(error: object_store::Error, writer: WriterId, seq: SegmentSeq) -> WalError {
    match error {
        object_store::Error::NotFound { .. } => WalError::Gone { writer, seq },
        source => WalError::Store { action: "read a segment", source },
    }
}

/// Lists a log, until what is seen is explained.
///
/// A listing is no snapshot. It may miss a segment that was trimmed while it ran and miss the floor
/// that explains it; then it shows a gap, and since floors are created before anything is deleted, a
/// listing begun afterwards shows that floor. A gap below the same floor twice is a gap.
pub(crate) async fn view(store: &dyn ObjectStore, writer: WriterId) -> Result<LogView, WalError> {
    let mut before = None;
    loop {
        let view = list(store, writer).await?;
        if !view.has_gap() || before == Some(view.floor) {
            return Ok(view);
        }
        before = Some(view.floor);
    }
}

async fn list(store: &dyn ObjectStore, writer: WriterId) -> Result<LogView, WalError> {
    let objects: Vec<_> = store
        .list(Some(&log_path(writer)))
        .try_collect()
        .await
        .map_err(WalError::store("list a log"))?;
    Ok(LogView::of(objects.iter().filter_map(|o| Some((o.location.filename()?, o.size)))))
}
