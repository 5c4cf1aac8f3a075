//! Request bodies as they come: compressed or not, lines or one JSON array, cut anywhere.
//!
//! [`BodyReader`] takes pieces of any size and gives blocks of whole lines, with memory bounded by
//! one block, one record and one piece, whatever the body unpacks to.

mod array;
mod buffer;
mod inflate;
mod lines;
#[cfg(test)]
mod tests;

use loglake_model::{ErrorKind, Limits, Rejection};

use array::ArrayLines;
pub use buffer::BlockBytes;
use inflate::Inflate;
use lines::LineBlocks;

/// How a body is compressed (`Content-Encoding`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Identity,
    /// RFC 1952, also several members one after the other.
    Gzip,
    /// RFC 8878, with windows up to the 8 MiB that RFC 9659 sets for HTTP.
    Zstd,
}

impl Encoding {
    /// The encoding of a `Content-Encoding` value, if it is one that is understood.
    pub fn of_header(value: &str) -> Option<Self> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Why the rest of a body cannot be read. Blocks that were given before stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than the limit of {max} bytes after decompression")]
    TooLarge { max: u64 },
    #[error("the body is not valid {encoding}: {reason}")]
    Corrupt { encoding: &'static str, reason: String },
}

impl BodyError {
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Whole lines of a body. Of a JSON array, each element is a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The lines; the last may come without its newline.
    pub bytes: BlockBytes,
    /// The number of the first line, from 1; of an array the element's place.
    pub first_line: u64,
    /// Lines near this block that are not in it: too long, or not to be told apart.
    pub rejections: Vec<Rejection>,
}

/// Blocks grow to about this size.
pub const BLOCK_BYTES: usize = 4 << 20;

/// Bytes that are unpacked before the next look at the limits.
const STEP_BYTES: usize = 256 << 10;

/// Reads one body.
///
/// ```
/// # use loglake_receive::{BodyReader, Encoding};
/// let mut body = BodyReader::new(Encoding::Identity, &loglake_model::Limits::default());
/// body.push(b"{\"message\":\"one\"}\n{\"mess");
/// body.push(b"age\":\"two\"}");
/// body.finish();
/// let block = body.next_block().expect("not compressed").expect("two lines");
/// assert_eq!((block.first_line, block.bytes.len()), (1, 35));
/// assert_eq!(body.next_block(), Ok(None));
/// ```
pub struct BodyReader {
    inflate: Inflate,
    shape: Shape,
    lines: LineBlocks,
    /// Bytes after decompression, so far and at most.
    bytes: u64,
    bytes_max: u64,
    finished: bool,
}

/// What the decompressed bytes are.
enum Shape {
    /// The first bytes decide; white space and a byte order mark are passed over.
    Unknown {
        mark: Mark,
    },
    Lines,
    Array(ArrayLines),
}

impl BodyReader {
    /// A body of lines, or of one JSON array when its first byte that is not white space is `[`.
    pub fn new(encoding: Encoding, limits: &Limits) -> Self {
        Self::of_shape(encoding, limits, Shape::Unknown { mark: Mark::Begun(0) })
    }

    /// A body of lines, whatever they look like.
    pub fn of_lines(encoding: Encoding, limits: &Limits) -> Self {
        Self::of_shape(encoding, limits, Shape::Lines)
    }

    fn of_shape(encoding: Encoding, limits: &Limits, shape: Shape) -> Self {
        Self {
            inflate: Inflate::new(encoding),
            shape,
            lines: LineBlocks::new(BLOCK_BYTES, limits.record_bytes_max),
            bytes: 0,
            bytes_max: limits.body_bytes_max,
            finished: false,
        }
    }

    #[cfg(test)]
    fn with_block_bytes(mut self, block_bytes: usize) -> Self {
        self.lines.set_block_bytes(block_bytes);
        self
    }

    /// Takes the next piece. Call [`Self::next_block`] until it has none before the next piece, so
    /// that pieces do not pile up.
    pub fn push(&mut self, piece: &[u8]) {
        self.inflate.push(piece);
    }

    /// Says that no piece follows. [`Self::next_block`] then gives also what was begun.
    pub fn finish(&mut self) {
        self.inflate.finish();
        self.finished = true;
    }

    /// The next block that is complete, of the pieces that were pushed.
    ///
    /// # Errors
    /// When the body is larger than allowed, or is not what its encoding says. Final.
    pub fn next_block(&mut self) -> Result<Option<Block>, BodyError> {
        loop {
            if let Some(block) = self.lines.next_block() {
                return Ok(Some(block));
            }
            let Some(step) = self.inflate.next(STEP_BYTES)? else { break };
            self.bytes += step.len() as u64;
            if self.bytes > self.bytes_max {
                return Err(BodyError::TooLarge { max: self.bytes_max });
            }
            shape_lines(&mut self.shape, step, &mut self.lines);
        }
        if self.finished {
            self.end();
            return Ok(self.lines.next_block());
        }
        Ok(None)
    }

    fn end(&mut self) {
        match &mut self.shape {
            Shape::Unknown { mark: Mark::Begun(bytes) } if *bytes < BYTE_ORDER_MARK.len() => {
                self.lines.push(&BYTE_ORDER_MARK[..*bytes]);
            }
            Shape::Array(array) => array.finish(&mut self.lines),
            Shape::Unknown { .. } | Shape::Lines => {}
        }
        self.shape = Shape::Lines;
        self.lines.finish();
    }
}

/// The byte order mark at the start of a body, which may come byte by byte.
#[derive(Clone, Copy)]
enum Mark {
    /// So many bytes of it came, and nothing else.
    Begun(usize),
    Over,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn shape_lines(shape: &mut Shape, mut bytes: &[u8], lines: &mut LineBlocks) {
    if let Shape::Unknown { mark } = shape {
        if let Mark::Begun(seen) = mark {
            while *seen < BYTE_ORDER_MARK.len() && bytes.first() == Some(&BYTE_ORDER_MARK[*seen]) {
                *seen += 1;
                bytes = &bytes[1..];
            }
            if bytes.is_empty() {
                return;
            }
            if *seen < BYTE_ORDER_MARK.len() {
                lines.push(&BYTE_ORDER_MARK[..*seen]);
            }
            *mark = Mark::Over;
        }
        // A line's number counts the blank ones before it, an element's does not.
        let Some(at) = bytes.iter().position(|b| !b.is_ascii_whitespace()) else {
            lines.push(bytes);
            return;
        };
        *shape = match bytes[at] {
            b'[' if lines.is_blank() => {
                lines.restart();
                bytes = &bytes[at + 1..];
                Shape::Array(ArrayLines::new())
            }
            _ => Shape::Lines,
        };
    }
    match shape {
        Shape::Array(array) => array.push(bytes, lines),
        _ => lines.push(bytes),
    }
}
