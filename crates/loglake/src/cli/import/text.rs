//! Lines of a text file to NDJSON.

use loglake_model::SERVICE;
use loglake_receive::text::{Before, Context, Format, begins, continues, parse};

/// The field that names the file a line is from.
const FILE: &str = "file";

/// A record grows by continuation lines up to about this; then a new one begins.
const JOINED_BYTES_MAX: usize = 1 << 20;

/// Takes lines one by one, joins those of one record, and gathers records as NDJSON.
pub(super) struct Converter<'a> {
    format: Format,
    context: Context<'a>,
    file: Option<&'a str>,
    service: Option<&'a str>,
    /// The record whose last line may not have come yet.
    open: Vec<u8>,
    open_line: Option<u64>,
    before: Before,
    ndjson: Vec<u8>,
    lines: Vec<u64>,
}

impl<'a> Converter<'a> {
    /// `file` and `service` become fields of the records whose lines have none of the name.
    pub(super) fn new(
        format: Format,
        context: Context<'a>,
        file: Option<&'a str>,
        service: Option<&'a str>,
    ) -> Self {
        Self {
            format,
            context,
            file,
            service,
            open: vec![],
            open_line: None,
            before: Before::Nothing,
            ndjson: vec![],
            lines: vec![],
        }
    }

    /// Takes the next line, without its end; `number` is its number in the file. Blank lines are
    /// passed over.
    pub(super) fn line(&mut self, line: &[u8], number: u64) -> serde_json::Result<()> {
        let fits = self.open.len() + line.len() < JOINED_BYTES_MAX;
        if self.open_line.is_some() && fits && continues(self.before, line, self.format) {
            self.open.push(b'\n');
            self.open.extend_from_slice(line);
            self.before = Before::Continuation;
            return Ok(());
        }
        self.end_record()?;
        self.before = begins(line);
        if !line.trim_ascii().is_empty() {
            self.open.extend_from_slice(line);
            self.open_line = Some(number);
        }
        Ok(())
    }

    /// Ends the record that waits for continuation lines, if one does.
    pub(super) fn end_record(&mut self) -> serde_json::Result<()> {
        let Some(number) = self.open_line.take() else {
            return Ok(());
        };
        let mut record = parse(&self.open, self.format, &self.context);
        for (name, value) in [(SERVICE, self.service), (FILE, self.file)] {
            if let Some(value) = value
                && record.get(name).is_none()
            {
                record.push(name, value);
            }
        }
        serde_json::to_writer(&mut self.ndjson, &record)?;
        self.ndjson.push(b'\n');
        self.lines.push(number);
        drop(record);
        self.open.clear();
        Ok(())
    }

    pub(super) fn ndjson_bytes(&self) -> usize {
        self.ndjson.len()
    }

    /// The records that have ended, and the number of each one's first line.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<u64>) {
        (std::mem::take(&mut self.ndjson), std::mem::take(&mut self.lines))
    }
}

#[cfg(test)]
mod tests {
    use loglake_model::Timestamp;
    use loglake_receive::text::as_utc;

    use super::*;

    #[test]
    fn records_keep_the_number_of_their_first_line() {
        let context = Context { reference: Timestamp::EPOCH, local: &as_utc };
        let mut converter = Converter::new(Format::Plain, context, Some("a.log"), Some("web"));
        for (line, number) in ["boom", "\tat a.B", "", "next service=x"].into_iter().zip(1..) {
            converter.line(line.as_bytes(), number).unwrap();
        }
        converter.end_record().unwrap();
        let (ndjson, lines) = converter.take();
        assert_eq!(lines, [1, 4]);
        assert_eq!(
            String::from_utf8(ndjson).unwrap(),
            "{\"message\":\"boom\\n\\tat a.B\",\"service\":\"web\",\"file\":\"a.log\"}\n\
             {\"message\":\"next service=x\",\"service\":\"web\",\"file\":\"a.log\"}\n"
        );
        assert_eq!(converter.ndjson_bytes(), 0);
    }

    #[test]
    fn a_record_does_not_grow_without_bound() {
        let context = Context { reference: Timestamp::EPOCH, local: &as_utc };
        let mut converter = Converter::new(Format::Plain, context, None, None);
        converter.line(b"head", 1).unwrap();
        let mut long = vec![b' '; 100_000];
        long.push(b'x');
        for number in 2..30 {
            converter.line(&long, number).unwrap();
        }
        converter.end_record().unwrap();
        let (_, lines) = converter.take();
        assert!(lines.len() > 1, "{lines:?}");
    }
}
