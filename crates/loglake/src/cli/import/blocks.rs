//! Cutting a stream of bytes at line ends, into blocks of about a size.

use std::io::{self, Read};

use memchr::{memchr_iter, memrchr};

/// Bytes asked for at a time.
const READ_BYTES: usize = 256 << 10;

/// A line longer than this is an error: memory is bounded, and by default the lake refuses
/// records of an eighth of it.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Whole lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Ends with a newline, but for a stream's last block where the stream does not.
    pub(super) bytes: Vec<u8>,
    /// The number in the stream of the block's first line, from 1.
    pub(super) first_line: u64,
}

impl Block {
    /// The lines without their ends (`\n` or `\r\n`).
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// The blocks of a stream, in order: put together they are the stream. A block is at least
/// `block_bytes` long (the last may be shorter) and ends with the last line that was read whole.
pub(super) struct Blocks<R> {
    reader: R,
    block_bytes: usize,
    /// Read already: the beginning of the next block's first line.
    rest: Vec<u8>,
    next_line: u64,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(reader: R, block_bytes: usize) -> Self {
        Self { reader, block_bytes, rest: vec![], next_line: 1, ended: false }
    }

    /// `None` at the end of the stream.
    fn next_block(&mut self) -> io::Result<Option<Block>> {
        let mut bytes = Vec::with_capacity(self.block_bytes + READ_BYTES);
        bytes.append(&mut self.rest);
        let mut end = None;
        while !self.ended && (end.is_none() || bytes.len() < self.block_bytes) {
            let from = bytes.len();
            let read = (&mut self.reader).take(READ_BYTES as u64).read_to_end(&mut bytes)?;
            self.ended = read == 0;
            if let Some(at) = memrchr(b'\n', &bytes[from..]) {
                end = Some(from + at + 1);
            }
            if bytes.len() - end.unwrap_or(0) > LINE_BYTES_MAX {
                return Err(self.too_long(&bytes));
            }
        }
        if !self.ended {
            self.rest = bytes.split_off(end.unwrap_or(bytes.len()));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let first_line = self.next_line;
        self.next_line += memchr_iter(b'\n', &bytes).count() as u64;
        Ok(Some(Block { bytes, first_line }))
    }

    fn too_long(&self, bytes: &[u8]) -> io::Error {
        let line = self.next_line + memchr_iter(b'\n', bytes).count() as u64;
        let mib = LINE_BYTES_MAX >> 20;
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is longer than {mib} MiB"))
    }
}

impl<R: Read> Iterator for Blocks<R> {
    type Item = io::Result<Block>;

    fn next(&mut self) -> Option<io::Result<Block>> {
        self.next_block().transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(bytes: &[u8], block_bytes: usize) -> Vec<Block> {
        Blocks::new(bytes, block_bytes).collect::<io::Result<_>>().unwrap()
    }

    #[test]
    fn lines_are_numbered_through_the_stream() {
        let line = [b'x'; 1_000];
        let mut stream = line.to_vec();
        stream.push(b'\n');
        let stream = stream.repeat(1_000);
        let blocks = blocks(&stream, 300_000);
        assert!(blocks.len() > 1);
        assert!(blocks.iter().rev().skip(1).all(|b| b.bytes.len() >= 300_000));
        let counted: Vec<u64> = blocks.iter().map(|b| b.lines().count() as u64).collect();
        assert_eq!(blocks[1].first_line, 1 + counted[0]);
        assert_eq!(counted.iter().sum::<u64>(), 1_000);
    }

    #[test]
    fn a_line_without_bound_is_an_error_that_names_it() {
        let endless = io::Read::chain(&b"short\n"[..], io::repeat(b'x'));
        let error = Blocks::new(endless, 1 << 20).find_map(Result::err).unwrap();
        assert_eq!(error.to_string(), "line 2 is longer than 64 MiB");
    }

    #[test]
    fn line_ends_of_both_kinds() {
        let blocks = blocks(b"a\r\n\nb\n c", 1);
        let lines: Vec<&[u8]> = blocks.iter().flat_map(Block::lines).collect();
        assert_eq!(lines, [&b"a"[..], b"", b"b", b" c"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_line_is_cut(
            bytes in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..2_000),
            copies in 1..200_usize,
            block_bytes in 1..400_000_usize,
        ) {
            let stream = bytes.repeat(copies);
            let blocks = blocks(&stream, block_bytes);
            for (block, next) in blocks.iter().zip(blocks.iter().skip(1)) {
                prop_assert_eq!(block.bytes.last(), Some(&b'\n'));
                prop_assert_eq!(block.first_line + block.lines().count() as u64, next.first_line);
            }
            let joined: Vec<u8> = blocks.into_iter().flat_map(|b| b.bytes).collect();
            prop_assert!(joined == stream);
        }
    }
}
