//! Segments of a log in order, the next ones already on their way.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::vec;

use loglake_model::{SegmentSeq, WriterId};
use loglake_wal::{Log, Reader, Segment};
use tokio_util::task::AbortOnDropHandle;

use crate::IngestError;

/// Segments on their way at once.
const READS_MAX: usize = 4;
/// Their bytes, compressed as they are. A larger one comes alone.
const READ_BYTES_MAX: u64 = 8 << 20;

type Read = AbortOnDropHandle<Result<Segment, loglake_wal::WalError>>;

pub(crate) struct ReadAhead {
    reader: Reader,
    writer: WriterId,
    wanted: Peekable<vec::IntoIter<(SegmentSeq, u64)>>,
    reading: VecDeque<(SegmentSeq, u64, Read)>,
    bytes: u64,
}

impl ReadAhead {
    pub(crate) fn new(reader: Reader, log: &Log) -> Self {
        let wanted = log.segments.clone().into_iter().peekable();
        Self { reader, writer: log.writer, wanted, reading: VecDeque::new(), bytes: 0 }
    }

    /// The next segment; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<(SegmentSeq, Segment)>, IngestError> {
        self.read_on();
        let Some((seq, bytes, read)) = self.reading.pop_front() else { return Ok(None) };
        self.bytes -= bytes;
        Ok(Some((seq, read.await??)))
    }

    fn read_on(&mut self) {
        let (bytes, count) = (self.bytes, self.reading.len());
        let room = |more: u64| count == 0 || (count < READS_MAX && bytes + more <= READ_BYTES_MAX);
        let Some((seq, more)) = self.wanted.next_if(|(_, more)| room(*more)) else { return };
        let (reader, writer) = (self.reader.clone(), self.writer);
        let read = tokio::spawn(async move { reader.whole(writer, seq).await });
        self.reading.push_back((seq, more, AbortOnDropHandle::new(read)));
        self.bytes += more;
        self.read_on();
    }
}
