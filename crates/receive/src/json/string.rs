//! JSON strings: finding their end quickly, unescaping and escaping.

use std::borrow::Cow;

use super::Problem;

/// A string as it was spelled, already validated.
#[derive(Clone, Copy, Debug)]
pub struct JsonStr<'a> {
    /// The text between the quotes.
    pub raw: &'a str,
    /// Where `raw` begins in the scanned text.
    pub start: usize,
    /// Whether `raw` holds escapes; if not it is the value.
    pub escaped: bool,
}

impl<'a> JsonStr<'a> {
    /// The value: borrowed unless it was spelled with escapes.
    pub fn value(&self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut value = String::with_capacity(self.raw.len());
        unescape(self.raw, &mut value);
        Cow::Owned(value)
    }
}

pub(super) struct StringEnd {
    /// The place of the closing quote.
    pub(super) at: usize,
    pub(super) escaped: bool,
}

/// Finds the end of the string whose text begins at `at`. An error has its place, and no problem
/// when the text just ends.
#[inline]
pub(super) fn scan(bytes: &[u8], mut at: usize) -> Result<StringEnd, (usize, Option<Problem>)> {
    let mut escaped = false;
    loop {
        at = find_special(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(StringEnd { at, escaped }),
            Some(b'\\') => {
                escaped = true;
                at = pass_escape(bytes, at)?;
            }
            Some(control) => return Err((at, Some(Problem::ControlCharacter(*control)))),
            None => return Err((bytes.len(), None)),
        }
    }
}

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * EACH;

/// The first quote, backslash or control character at or after `at`; the length when there is none.
/// Eight bytes at a time (the zero-byte test of Mycroft; a false hit lies only above a true one).
#[inline]
fn find_special(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (EACH * b'"' as u64);
        let backslash = word ^ (EACH * b'\\' as u64);
        let hits = (quote.wrapping_sub(EACH) & !quote
            | backslash.wrapping_sub(EACH) & !backslash
            | word.wrapping_sub(0x20 * EACH) & !word)
            & HIGH;
        if hits != 0 {
            return at + i * 8 + hits.trailing_zeros() as usize / 8;
        }
    }
    let tail_at = bytes.len() - tail.len();
    tail_at + tail.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(tail.len())
}

/// Passes the escape whose backslash is at `at`.
fn pass_escape(bytes: &[u8], at: usize) -> Result<usize, (usize, Option<Problem>)> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let unit = code_unit(bytes, at)?;
            match unit {
                0xD800..0xDC00 => match code_unit_if_any(bytes, at + 6) {
                    Some(0xDC00..0xE000) => Ok(at + 12),
                    _ => Err((at, Some(Problem::LoneSurrogate))),
                },
                0xDC00..0xE000 => Err((at, Some(Problem::LoneSurrogate))),
                _ => Ok(at + 6),
            }
        }
        Some(_) => Err((at, Some(Problem::UnknownEscape))),
        None => Err((bytes.len(), None)),
    }
}

fn code_unit(bytes: &[u8], at: usize) -> Result<u32, (usize, Option<Problem>)> {
    code_unit_if_any(bytes, at).ok_or_else(|| match bytes.len() < at + 6 {
        true => (bytes.len(), None),
        false => (at, Some(Problem::UnknownEscape)),
    })
}

/// The UTF-16 code unit of `\uXXXX` at `at`.
fn code_unit_if_any(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// Appends the value of a validated `raw` string.
pub(crate) fn unescape(raw: &str, into: &mut String) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        into.push_str(&rest[..at]);
        let (value, length) = match rest.as_bytes().get(at + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => unicode_escape(rest.as_bytes(), at),
            Some(other) => (char::from(*other), 2),
            None => (char::REPLACEMENT_CHARACTER, 1),
        };
        into.push(value);
        rest = &rest[at + length..];
    }
    into.push_str(rest);
}

fn unicode_escape(bytes: &[u8], at: usize) -> (char, usize) {
    let first = code_unit_if_any(bytes, at).unwrap_or(0xFFFD);
    if !(0xD800..0xDC00).contains(&first) {
        return (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
    }
    let second = code_unit_if_any(bytes, at + 6).unwrap_or(0xDC00);
    let joined = 0x10000 + ((first - 0xD800) << 10) + (second.wrapping_sub(0xDC00) & 0x3FF);
    (char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
}

/// Appends `value` as a JSON string, quotes included.
pub fn write_string(value: &str, into: &mut String) {
    into.push('"');
    let mut written = 0;
    loop {
        let at = find_special(value.as_bytes(), written);
        into.push_str(&value[written..at]);
        let Some(special) = value.as_bytes().get(at) else { break };
        match special {
            b'"' => into.push_str("\\\""),
            b'\\' => into.push_str("\\\\"),
            b'\n' => into.push_str("\\n"),
            b'\r' => into.push_str("\\r"),
            b'\t' => into.push_str("\\t"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                into.push_str("\\u00");
                into.push(char::from(HEX[usize::from(control >> 4)]));
                into.push(char::from(HEX[usize::from(control & 15)]));
            }
        }
        written = at + 1;
    }
    into.push('"');
}
