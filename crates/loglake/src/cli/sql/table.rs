//! Rows drawn as a table: columns side by side where they fit, else one below the other.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;

/// When columns are written one below the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Vertical {
    Always,
    Never,
    /// Where the table is wider than the terminal.
    #[default]
    Auto,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) vertical: Vertical,
    /// Characters of a line; `None` when it is no terminal.
    pub(super) width: Option<usize>,
}

pub(super) fn terminal_width() -> Option<usize> {
    let terminal = console::Term::stdout();
    terminal.size_checked().map(|(_, columns)| columns.into())
}

pub(super) fn write(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    layout: Layout,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if layout.vertical == Vertical::Always && rows > 0 {
        return write_vertical(batches, out);
    }
    let options = format_options();
    let empty = [RecordBatch::new_empty(schema.clone())];
    let batches_or_header = if rows == 0 { &empty[..] } else { batches };
    let table = pretty_format_batches_with_options(batches_or_header, &options)?.to_string();
    let width = table.lines().next().map_or(0, str::len);
    let too_wide = layout.width.is_some_and(|terminal| width > terminal);
    if layout.vertical == Vertical::Auto && too_wide && rows > 0 {
        return write_vertical(batches, out);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// A line a value; names aligned; a rule before each row. Null values are left out.
fn write_vertical(batches: &[RecordBatch], out: &mut dyn Write) -> anyhow::Result<()> {
    let options = format_options();
    let mut row_number = 0_usize;
    for batch in batches {
        let schema = batch.schema();
        let name_width =
            schema.fields().iter().map(|f| f.name().chars().count()).max().unwrap_or(0);
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            row_number += 1;
            writeln!(out, "── {row_number} ──")?;
            for ((field, column), values) in
                schema.fields().iter().zip(batch.columns()).zip(&columns)
            {
                if column.is_valid(row) {
                    let value = values.value(row).to_string();
                    let indented = value.replace('\n', &format!("\n{:name_width$}  ", ""));
                    writeln!(out, "{:name_width$}  {indented}", field.name())?;
                }
            }
        }
    }
    Ok(())
}

fn format_options() -> FormatOptions<'static> {
    FormatOptions::default().with_display_error(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn drawn(vertical: Vertical, width: Option<usize>) -> String {
        let short: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
        let long: ArrayRef = Arc::new(StringArray::from(vec!["one\ntwo", "three"]));
        let batch = RecordBatch::try_from_iter([("a", short), ("message", long)]).unwrap();
        let mut out = vec![];
        write(&batch.schema(), &[batch], Layout { vertical, width }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_that_does_not_fit_is_written_downwards() {
        let vertical = "── 1 ──\na        x\nmessage  one\n         two\n── 2 ──\nmessage  three\n";
        assert_eq!(drawn(Vertical::Auto, Some(10)), vertical);
        assert_eq!(drawn(Vertical::Always, None), vertical);
        for side_by_side in [
            drawn(Vertical::Auto, Some(80)),
            drawn(Vertical::Auto, None),
            drawn(Vertical::Never, Some(10)),
        ] {
            assert!(side_by_side.contains("| a | message |"), "{side_by_side}");
        }
    }

    #[test]
    fn no_rows_still_show_their_columns() {
        let schema =
            RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)])
                .unwrap()
                .schema();
        let mut out = vec![];
        let layout = Layout { vertical: Vertical::Always, width: None };
        write(&schema, &[], layout, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("| a |"));
    }
}
