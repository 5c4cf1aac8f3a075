//! Rows as a table, CSV, JSON or NDJSON.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::json::{ArrayWriter, LineDelimitedWriter};

use super::table::{self, Layout};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Columns side by side, or one below the other where they are too wide for the terminal
    Table,
    /// One array of objects
    Json,
    /// With a header line
    Csv,
    /// One object a line
    Ndjson,
}

/// How much of an answer was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of so many rows.
    All(usize),
    /// So many, and there are more.
    First(usize),
}

/// Writes batches as they come (a table at the end: its columns' widths depend on all rows).
pub(super) struct Output {
    format: Format,
    schema: SchemaRef,
    rows_max: usize,
    layout: Layout,
    rows: usize,
    cut: bool,
    /// Of a table.
    held: Vec<RecordBatch>,
}

impl Output {
    pub(super) fn new(format: Format, schema: SchemaRef, rows_max: usize, layout: Layout) -> Self {
        Self { format, schema, rows_max, layout, rows: 0, cut: false, held: vec![] }
    }

    /// Whether more is wanted.
    pub(super) fn take(&mut self, batch: RecordBatch, out: &mut dyn Write) -> anyhow::Result<bool> {
        if batch.num_rows() == 0 {
            return Ok(true);
        }
        let room = self.rows_max - self.rows;
        self.cut = batch.num_rows() > room;
        let batch = if self.cut { batch.slice(0, room) } else { batch };
        match self.format {
            Format::Table => self.held.push(batch.clone()),
            Format::Csv => csv::WriterBuilder::new()
                .with_header(self.rows == 0)
                .build(&mut *out)
                .write(&batch)?,
            Format::Ndjson => LineDelimitedWriter::new(&mut *out).write(&batch)?,
            Format::Json => self.write_json(&batch, out)?,
        }
        self.rows += batch.num_rows();
        Ok(!self.cut)
    }

    /// The objects of a batch within the one array: the brackets are written here, not by arrow.
    fn write_json(&self, batch: &RecordBatch, out: &mut dyn Write) -> anyhow::Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut array = ArrayWriter::new(vec![]);
        array.write(batch)?;
        array.finish()?;
        let array = array.into_inner();
        let objects = array.strip_prefix(b"[").and_then(|a| a.strip_suffix(b"]")).unwrap_or(&array);
        out.write_all(if self.rows == 0 { b"[" } else { b",\n" })?;
        out.write_all(objects)?;
        Ok(())
    }

    pub(super) fn finish(self, out: &mut dyn Write) -> anyhow::Result<Shown> {
        match self.format {
            Format::Table => table::write(&self.schema, &self.held, self.layout, out)?,
            Format::Json if self.rows == 0 => out.write_all(b"[]\n")?,
            Format::Json => out.write_all(b"]\n")?,
            Format::Csv if self.rows == 0 => csv::WriterBuilder::new()
                .with_header(true)
                .build(&mut *out)
                .write(&RecordBatch::new_empty(self.schema))?,
            Format::Csv | Format::Ndjson => {}
        }
        Ok(if self.cut { Shown::First(self.rows) } else { Shown::All(self.rows) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::cli::sql::table::Vertical;

    fn batch(from: i64, rows: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
        let texts = (from..from + rows).map(|n| (n % 2 == 0).then(|| format!("a,\"{n}\"")));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        RecordBatch::try_from_iter([("n", numbers), ("text", texts)]).unwrap()
    }

    fn written(format: Format, rows_max: usize, batches: &[RecordBatch]) -> (String, Shown) {
        let layout = Layout { vertical: Vertical::Never, width: None };
        let mut output = Output::new(format, batch(0, 0).schema(), rows_max, layout);
        let mut out = vec![];
        for batch in batches {
            if !output.take(batch.clone(), &mut out).unwrap() {
                break;
            }
        }
        let shown = output.finish(&mut out).unwrap();
        (String::from_utf8(out).unwrap(), shown)
    }

    #[test]
    fn json_is_one_array_over_all_batches() {
        let (json, shown) =
            written(Format::Json, usize::MAX, &[batch(0, 2), batch(2, 0), batch(2, 1)]);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!([
            {"n": 0, "text": "a,\"0\""}, {"n": 1}, {"n": 2, "text": "a,\"2\""}
        ]);
        assert_eq!((parsed, shown), (expected, Shown::All(3)));
        assert_eq!(written(Format::Json, 9, &[]).0, "[]\n");
    }

    #[test]
    fn csv_has_one_header() {
        let (csv, _) = written(Format::Csv, usize::MAX, &[batch(0, 1), batch(1, 1)]);
        assert_eq!(csv, "n,text\n0,\"a,\"\"0\"\"\"\n1,\n");
        assert_eq!(written(Format::Csv, 9, &[]).0, "n,text\n");
    }

    #[test]
    fn rows_past_the_bound_are_not_written_and_it_is_said() {
        let (ndjson, shown) = written(Format::Ndjson, 3, &[batch(0, 2), batch(2, 2), batch(4, 2)]);
        assert_eq!((ndjson.lines().count(), shown), (3, Shown::First(3)));
        assert_eq!(written(Format::Ndjson, 4, &[batch(0, 2), batch(2, 2)]).1, Shown::All(4));
        assert_eq!(written(Format::Ndjson, 4, &[batch(0, 4), batch(4, 1)]).1, Shown::First(4));
        let (json, _) = written(Format::Json, 2, &[batch(0, 2), batch(2, 2)]);
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    }
}
