//! Records that span lines: stack traces.

use super::Format;

/// Beginnings of lines that go on with a stack trace though they are not indented.
const TRACE_HEADS: [&[u8]; 2] = [b"Caused by: ", b"Suppressed: "];

/// What the line before is to the record it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// There is none, or it was blank: nothing to go on with.
    Nothing,
    /// It began a record with a character other than white space.
    Head,
    /// It was joined to its record.
    Continuation,
}

/// Whether `line` belongs to the record of the line before it. Only in syslog files and plain
/// ones, whose records are otherwise a line each, and only where it is clearly so:
/// - an indented line goes on with a record that began unindented (so a file whose every line is
///   indented stays a record a line);
/// - `Caused by: ` and `Suppressed: ` go on where an indented line was just joined.
///
/// A blank line ends a record.
pub fn continues(before: Before, line: &[u8], format: Format) -> bool {
    if !matches!(format, Format::Syslog | Format::Plain) || line.trim_ascii().is_empty() {
        return false;
    }
    match before {
        Before::Nothing => false,
        Before::Head => is_indented(line),
        Before::Continuation => {
            is_indented(line) || TRACE_HEADS.iter().any(|head| line.starts_with(head))
        }
    }
}

/// What a line that was not joined is to the next one.
pub fn begins(line: &[u8]) -> Before {
    if line.trim_ascii().is_empty() || is_indented(line) { Before::Nothing } else { Before::Head }
}

fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}
