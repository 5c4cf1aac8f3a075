//! The `attributes` column while it is built: per row a JSON object of what no column takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use loglake_model::{Column, LITERAL_NAMES, NameForm};
use serde_json::value::{RawValue, to_raw_value};

use crate::columns::Displaced;
use crate::json::write_string;

/// Builds the column row by row. Within a row every name is given once.
#[derive(Default)]
pub(crate) struct Attributes {
    column: StringBuilder,
    /// The row's object without its closing brace; empty when it has nothing.
    row: String,
    /// The row's [`LITERAL_NAMES`], comma-separated JSON strings.
    literal: String,
}

impl Attributes {
    /// Begins the member `name`; what is written to the string it gives is the value.
    pub(crate) fn member(&mut self, name: &str) -> &mut String {
        self.row.push(if self.row.is_empty() { '{' } else { ',' });
        write_string(name, &mut self.row);
        self.row.push(':');
        &mut self.row
    }

    /// Lists a name whose form in this record is not its column's, or which is one key with dots.
    pub(crate) fn list_literal(&mut self, name: &str) {
        if !self.literal.is_empty() {
            self.literal.push(',');
        }
        write_string(name, &mut self.literal);
    }

    /// Ends the row `row`; rows without attributes need no call.
    pub(crate) fn end_row(&mut self, row: usize) {
        if !self.literal.is_empty() {
            let names = std::mem::take(&mut self.literal);
            let value = self.member(LITERAL_NAMES);
            value.push('[');
            value.push_str(&names);
            value.push(']');
            self.literal = names;
            self.literal.clear();
        }
        if !self.row.is_empty() {
            self.row.push('}');
            self.pad(row);
            self.column.append_value(&self.row);
            self.row.clear();
        }
    }

    fn pad(&mut self, rows: usize) {
        let length = arrow::array::ArrayBuilder::len(&self.column);
        self.column.append_nulls(rows - length);
    }

    /// The column of `rows` rows with `displaced` values added; `None` when all are null.
    pub(crate) fn finish(
        mut self,
        rows: usize,
        displaced: &[(Column, Displaced)],
    ) -> Option<ArrayRef> {
        self.pad(rows);
        let column = self.column.finish();
        let column: ArrayRef = match displaced {
            [] => Arc::new(column),
            _ => add_displaced(&column, displaced),
        };
        (column.null_count() < rows).then_some(column)
    }
}

/// Adds values to rows that are written already. Rare: a field changed from integers to floats
/// within one batch, and one of the integers is past what a float holds.
fn add_displaced(column: &dyn Array, displaced: &[(Column, Displaced)]) -> ArrayRef {
    let mut by_row: BTreeMap<usize, Vec<(&Column, i64)>> = BTreeMap::new();
    for (column, value) in displaced {
        by_row.entry(value.row).or_default().push((column, value.value));
    }
    let before = column.as_string::<i32>();
    let mut after = StringBuilder::new();
    for row in 0..before.len() {
        let old = before.is_valid(row).then(|| before.value(row));
        match by_row.get(&row) {
            None => after.append_option(old),
            Some(values) => after.append_value(with_values(old, values)),
        }
    }
    Arc::new(after.finish())
}

fn with_values(old: Option<&str>, values: &[(&Column, i64)]) -> String {
    let mut members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(old.unwrap_or("{}")).expect("this module wrote it");
    let mut literal: Vec<String> = match members.remove(LITERAL_NAMES) {
        Some(names) => serde_json::from_str(names.get()).expect("this module wrote it"),
        None => vec![],
    };
    for (column, value) in values {
        let value = to_raw_value(value).expect("an integer is JSON");
        members.insert(column.name.to_string(), value);
        // In a column the list says "not the column's form", in `attributes` it says "one key".
        let listed = literal.iter().position(|name| *name == *column.name);
        let is_literal = (column.form == NameForm::Literal) != listed.is_some();
        match listed {
            Some(at) if !is_literal => drop(literal.swap_remove(at)),
            None if is_literal => literal.push(column.name.to_string()),
            _ => {}
        }
    }
    if !literal.is_empty() {
        let names = to_raw_value(&literal).expect("strings are JSON");
        members.insert(LITERAL_NAMES.to_owned(), names);
    }
    serde_json::to_string(&members).expect("JSON is JSON")
}
