//! Bytes into blocks of whole lines.

use loglake_model::Rejection;

use super::{Block, BlockBytes};
use crate::record::too_long;

/// Cuts a stream of bytes at newlines. A line that is longer than a record may be is not held: its
/// bytes are counted and dropped as they come.
pub(super) struct LineBlocks {
    block_bytes: usize,
    record_bytes_max: usize,
    /// Lines not yet given, the last of them perhaps not whole; the number of the first.
    buffer: BlockBytes,
    first_line: u64,
    /// Newlines in the buffer: counted as its bytes come, while the processor has them near.
    newlines: u64,
    /// Up to here the buffer is known to hold no newline after the last whole line.
    searched: usize,
    /// Bytes of the line that is being dropped; its number is `first_line`.
    dropping: Option<u64>,
    /// What was rejected since the last block.
    rejections: Vec<Rejection>,
    ready: std::collections::VecDeque<Block>,
}

impl LineBlocks {
    pub(super) fn new(block_bytes: usize, record_bytes_max: usize) -> Self {
        Self {
            block_bytes,
            record_bytes_max,
            buffer: BlockBytes::default(),
            first_line: 1,
            newlines: 0,
            searched: 0,
            dropping: None,
            rejections: vec![],
            ready: std::collections::VecDeque::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn set_block_bytes(&mut self, block_bytes: usize) {
        self.block_bytes = block_bytes;
    }

    /// Whether nothing but white space came.
    pub(super) fn is_blank(&self) -> bool {
        self.ready.is_empty() && self.dropping.is_none() && self.buffer.trim_ascii().is_empty()
    }

    /// Forgets the white space that came, so that numbers begin at 1.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.block_bytes, self.record_bytes_max);
    }

    pub(super) fn reject(&mut self, line: u64, reason: String) {
        self.rejections.push(Rejection { line, reason });
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        if let Some(dropped) = &mut self.dropping {
            let end = memchr::memchr(b'\n', bytes);
            *dropped += end.unwrap_or(bytes.len()) as u64;
            let Some(end) = end else { return };
            self.end_dropping();
            bytes = &bytes[end + 1..];
        }
        self.newlines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.buffer.push(bytes);
        if self.buffer.len() >= self.block_bytes {
            self.cut();
        }
    }

    fn end_dropping(&mut self) {
        if let Some(bytes) = self.dropping.take() {
            self.reject(self.first_line, too_long(bytes, self.record_bytes_max));
            self.first_line += 1;
        }
    }

    /// Makes a block of the whole lines in the buffer.
    fn cut(&mut self) {
        if let Some(last) = memchr::memrchr(b'\n', &self.buffer[self.searched..]) {
            let rest = self.buffer.split_off(self.searched + last + 1);
            self.give(rest);
        }
        self.searched = self.buffer.len();
        if self.buffer.len() > self.record_bytes_max {
            self.dropping = Some(self.buffer.len() as u64);
            self.buffer.clear();
            self.searched = 0;
        }
    }

    /// Gives the buffer as a block; `rest` is the new buffer.
    fn give(&mut self, rest: BlockBytes) {
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let rejections = std::mem::take(&mut self.rejections);
        let first_line = self.first_line;
        // What is left of the buffer, if anything, is of the line after them.
        self.first_line += std::mem::take(&mut self.newlines);
        self.searched = 0;
        self.ready.push_back(Block { bytes, first_line, rejections });
    }

    /// Says that nothing follows.
    pub(super) fn finish(&mut self) {
        self.end_dropping();
        if !self.buffer.is_empty() || !self.rejections.is_empty() {
            self.give(BlockBytes::default());
        }
    }

    pub(super) fn next_block(&mut self) -> Option<Block> {
        self.ready.pop_front()
    }
}
