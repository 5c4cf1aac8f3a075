//! Telling a file's format from its first lines.

use super::{Context, Format, as_utc, understood};
use loglake_model::Timestamp;

/// What a file seems to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// One JSON object a line: not parsed here.
    Ndjson,
    Text(Format),
}

/// Formats by how surely their lines are told from others'.
const TRIED: [Format; 4] = [Format::Access, Format::Dpkg, Format::Syslog, Format::Logfmt];

/// The format that at least six of ten of these lines are written in, else plain. Lines that
/// are blank or begin with white space (continuations) do not count.
pub fn detect<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Detected {
    let lines: Vec<&[u8]> = lines
        .into_iter()
        .filter(|line| line.first().is_some_and(|first| !first.is_ascii_whitespace()))
        .collect();
    let most = |matching: usize| matching > 0 && matching * 10 >= lines.len() * 6;
    if most(lines.iter().filter(|line| is_object(line)).count()) {
        return Detected::Ndjson;
    }
    let context = Context { reference: Timestamp::from_nanos(i64::MAX / 2), local: &as_utc };
    let texts: Vec<&str> = lines.iter().filter_map(|line| str::from_utf8(line).ok()).collect();
    let format = TRIED.into_iter().find(|format| {
        most(texts.iter().filter(|text| understood(text, *format, &context).is_some()).count())
    });
    Detected::Text(format.unwrap_or(Format::Plain))
}

/// Whether the line looks like a JSON object. Its end is not looked at: a sample's last line may
/// be cut, and a broken object is better refused by its line than stored as text.
fn is_object(line: &[u8]) -> bool {
    let mut visible = line.iter().filter(|byte| !byte.is_ascii_whitespace());
    visible.next() == Some(&b'{') && matches!(visible.next(), Some(b'"' | b'}'))
}
