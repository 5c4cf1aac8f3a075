//! JSON records to batches: lines, whole bodies, and documents that come one by one.

use crate::record::{BatchBuilder, SETTLED_ROWS, too_long};
use crate::{BodyReader, DecodeContext, Decoded, Encoding};

/// NDJSON: one JSON object a line; blank lines are passed over, `\r\n` ends a line too, and a byte
/// order mark may begin the first. `first_line` is the number of the first line of `block`, from 1.
///
/// A body that may also be one JSON array goes through [`BodyReader`], which makes lines of it.
pub fn decode_ndjson(block: &[u8], first_line: u64, context: &DecodeContext<'_>) -> Decoded {
    let mut batch = BatchBuilder::new(context);
    let block = match first_line {
        1 => block.strip_prefix(b"\xef\xbb\xbf").unwrap_or(block),
        _ => block,
    };
    let text = simdutf8::basic::from_utf8(block).ok();
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', block).chain([block.len()]);
    for (line, end) in (first_line..).zip(ends) {
        let bytes = &block[start..end];
        let max = context.limits.record_bytes_max;
        if bytes.len() > max {
            batch.reject(line, too_long(bytes.len() as u64, max));
        } else if !bytes.trim_ascii_start().is_empty() {
            if batch.rows() + 1 == SETTLED_ROWS {
                batch.expect(SETTLED_ROWS * block.len() / end);
            }
            // A carriage return at the end is white space to JSON.
            match text {
                Some(text) => batch.json_text(line, &text[start..end]),
                None => batch.json(line, bytes),
            };
        }
        start = end + 1;
    }
    batch.finish()
}

/// A whole body at hand, lines or one array: what [`BodyReader`] and [`decode_ndjson`] make of it
/// together, in one batch for each block.
pub fn decode_body(body: &[u8], context: &DecodeContext<'_>) -> Vec<Decoded> {
    let mut reader = BodyReader::new(Encoding::Identity, context.limits);
    reader.push(body);
    reader.finish();
    let mut batches = vec![];
    // The one possible error is a body past the limit, which who holds it whole has accepted.
    while let Ok(Some(block)) = reader.next_block() {
        let mut decoded = decode_ndjson(&block.bytes, block.first_line, context);
        decoded.rejections.extend(block.rejections);
        decoded.rejections.sort_by_key(|rejection| rejection.line);
        batches.push(decoded);
    }
    batches
}

/// A JSON object with its number and what is known of it from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Comes back in its rejection. Any number that tells it from the others.
    pub line: u64,
    /// String fields beside those of the object, whose own win; such as `_id`.
    pub extra: &'a [(&'a str, &'a str)],
    pub source: &'a [u8],
}

/// Documents in order: those that are not among the rejections are the rows of the batch.
pub fn decode_documents<'d>(
    documents: impl IntoIterator<Item = Document<'d>>,
    context: &DecodeContext<'_>,
) -> Decoded {
    let mut batch = BatchBuilder::new(context);
    let documents = documents.into_iter();
    batch.expect(documents.size_hint().0);
    for document in documents {
        batch.json_with(document.line, document.extra, document.source);
    }
    batch.finish()
}
