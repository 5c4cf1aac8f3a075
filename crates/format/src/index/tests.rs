//! Laws of the token index: nothing that is there is missed, little that is not there is found.

use std::sync::Arc;

use arrow::array::Int16Array;
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use loglake_model::{Column, ColumnType, MESSAGE, NameForm, PartitionBy, SERVICE, TableSchema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::collection::vec;
use proptest::prelude::*;

use super::build::Parts;
use super::*;
use crate::{EncodedFile, EncoderSettings, encode};

const PAGE_ROWS: usize = 3;

/// The index of a column of texts, or of numbers, in pages of three rows.
struct Indexed {
    dictionary: Option<Dictionary>,
    filters: Option<Filters>,
    size: Size,
}

impl Indexed {
    fn new(kind: IndexKind, text_bytes_max: usize, values: &ArrayRef) -> Self {
        let mut builder = IndexBuilder::new(kind, text_bytes_max, PAGE_ROWS);
        // In two slices, as a file of many rows comes.
        let half = values.len() / 2;
        builder.add(&values.slice(0, half));
        builder.add(&values.slice(half, values.len() - half));
        let Parts { dictionary, filters, .. } = builder.finish().unwrap();
        Self {
            dictionary: dictionary.map(|bytes| Dictionary::decode(&bytes).unwrap()),
            filters: filters.map(|bytes| Filters::decode(Bytes::from(bytes)).unwrap()),
            size: Size { rows: values.len(), page_rows: PAGE_ROWS },
        }
    }

    fn of_texts(text_bytes_max: usize, texts: &[String]) -> Self {
        let values: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        Self::new(IndexKind::Words, text_bytes_max, &values)
    }

    fn rows(&self, needle: Needle) -> Rows {
        let (dictionary, filters) = (self.dictionary.as_ref(), self.filters.as_ref());
        let parts = match dictionary {
            Some(_) => ColumnParts::Words { dictionary, filters },
            None => ColumnParts::Values { filters },
        };
        let search = Search::Has { column: "c".to_owned(), needle };
        search.rows(&|_| Some(parts), self.size)
    }

    fn pages(&self, needle: Needle) -> Vec<usize> {
        pages_of(&self.rows(needle))
    }
}

/// The pages in which rows are.
fn pages_of(rows: &Rows) -> Vec<usize> {
    let mut pages: Vec<usize> =
        rows.ranges().iter().cloned().flatten().map(|row| row / PAGE_ROWS).collect();
    pages.dedup();
    pages
}

fn has_row(rows: &Rows, row: usize) -> bool {
    rows.ranges().iter().any(|range| range.contains(&row))
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Texts of few different characters, so that their parts meet.
fn some_texts() -> impl Strategy<Value = Vec<String>> {
    vec("[abcABC12 \\-é\u{212a}\u{17f}漢]{0,24}", 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_part_of_every_text_is_found(
        texts in some_texts(),
        (row, from, to) in (any::<prop::sample::Index>(), 0..24usize, 0..24usize),
        upper in any::<bool>(),
        (begins, ends) in any::<(bool, bool)>(),
        text_bytes_max in prop_oneof![Just(0), Just(9), Just(1000)],
    ) {
        let indexed = Indexed::of_texts(text_bytes_max, &texts);
        let row = row.index(texts.len());
        let characters: Vec<char> = texts[row].chars().collect();
        let (from, to) = (from.min(characters.len()), to.min(characters.len()));
        let (from, to) = (from.min(to), from.max(to));
        let part: String = characters[from..to].iter().collect();
        let part = if upper { part.to_ascii_uppercase() } else { part };
        // Said only where it is so.
        let begins = begins && (from == 0 || !characters[from - 1].is_alphanumeric());
        let ends = ends && characters.get(to).is_none_or(|next| !next.is_alphanumeric());
        let rows = indexed.rows(Needle::part(&part, begins, ends));
        prop_assert!(has_row(&rows, row), "{part:?} {rows:?}");
        let rows = indexed.rows(Needle::text(&texts[row]));
        prop_assert!(has_row(&rows, row), "{:?} {rows:?}", texts[row]);
    }

    #[test]
    fn every_value_is_found(texts in some_texts(), numbers in vec(any::<i64>(), 1..12)) {
        let values: ArrayRef = Arc::new(StringArray::from_iter_values(&texts));
        let indexed = Indexed::new(IndexKind::Values, 0, &values);
        for (row, text) in texts.iter().enumerate() {
            prop_assert!(has_row(&indexed.rows(Needle::text(text)), row));
        }
        let values: ArrayRef = Arc::new(Int64Array::from(numbers.clone()));
        let indexed = Indexed::new(IndexKind::Values, 0, &values);
        for (row, number) in numbers.iter().enumerate() {
            prop_assert!(has_row(&indexed.rows(Needle::number(*number)), row));
            // As a query has it that casts the column to text.
            let as_text = Needle::text(&number.to_string());
            prop_assert!(has_row(&indexed.rows(as_text), row));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Of all rows that have the letters the index knows that they may, and no row of which it is sure lacks them.
    #[test]
    fn rows_that_are_sure_have_it_and_rows_that_have_it_are_possible(
        texts in vec("[efgEFG12 \\-é\u{212a}\u{17f}漢]{0,24}", 1..12),
        letters in "[efgEFGks]{1,4}",
        (is_whole, as_written) in any::<(bool, bool)>(),
        text_bytes_max in prop_oneof![Just(0), Just(9), Just(1000)],
    ) {
        let indexed = Indexed::of_texts(text_bytes_max, &texts);
        let wanted = match is_whole {
            true => Wanted::word("c", &letters, as_written),
            false => Wanted::part("c", &letters, as_written),
        };
        let Some(wanted) = wanted else { return Ok(()) };
        let (dictionary, filters) = (indexed.dictionary.as_ref(), indexed.filters.as_ref());
        let size = Size { rows: texts.len(), page_rows: PAGE_ROWS };
        let found = wanted.rows(&|_| Some(ColumnParts::Words { dictionary, filters }), size);
        for (row, text) in texts.iter().enumerate() {
            let has = has(text, &letters, is_whole, as_written);
            prop_assert!(!has || has_row(&found.possible, row), "{text:?} {found:?}");
            prop_assert!(has || !has_row(&found.sure, row), "{text:?} {found:?}");
        }
        prop_assert_eq!(found.possible.intersection(&found.sure), found.sure.clone());
    }
}

fn has(text: &str, letters: &str, is_whole: bool, as_written: bool) -> bool {
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
    let (text, letters) = match as_written {
        true => (text.to_owned(), letters.to_owned()),
        false => (lower(text).replace('\u{17f}', "s"), lower(letters)),
    };
    let goes_on = |c: Option<char>| is_whole && c.is_some_and(char::is_alphanumeric);
    text.match_indices(&letters).any(|(at, _)| {
        !goes_on(text[..at].chars().next_back())
            && !goes_on(text[at + letters.len()..].chars().next())
    })
}

#[test]
fn words_of_one_shape_are_found_by_their_rows() {
    let mut texts = texts(&["user a logged in"; 7]);
    texts.extend(self::texts(&[
        "request Failed",
        "request failed",
        "Failed 17 times",
        "was2failed",
        "“failed”",
        "überfailed",
    ]));
    let indexed = Indexed::of_texts(1000, &texts);
    let parts = ColumnParts::Words { dictionary: indexed.dictionary.as_ref(), filters: None };
    let size = Size { rows: texts.len(), page_rows: PAGE_ROWS };
    let rows = |wanted: Option<Wanted>| {
        let found = wanted.unwrap().rows(&|column| (column == "c").then_some(parts), size);
        let rows = |rows: &Rows| rows.ranges().iter().cloned().flatten().collect::<Vec<_>>();
        (rows(&found.sure), rows(&found.possible))
    };
    let sure = |at: &[usize]| (at.to_vec(), at.to_vec());
    assert_eq!(rows(Wanted::part("c", "logged", true)), sure(&[0, 1, 2, 3, 4, 5, 6]));
    assert_eq!(rows(Wanted::part("c", "ailed", true)), sure(&[7, 8, 9, 10, 11, 12]));
    assert_eq!(rows(Wanted::part("c", "Failed", true)), sure(&[7, 9]));
    assert_eq!(rows(Wanted::word("c", "Failed", false)), sure(&[7, 8, 9, 11]));
    assert_eq!(rows(Wanted::word("c", "failed", true)), sure(&[8, 11]));
    let both = |all: fn(Vec<Wanted>) -> Wanted| {
        all(["request", "Failed"].map(|word| Wanted::part("c", word, true).unwrap()).to_vec())
    };
    assert_eq!(rows(Some(both(Wanted::All))), sure(&[7]));
    assert_eq!(rows(Some(both(Wanted::Any))), sure(&[7, 8, 9]));
    assert_eq!(rows(Wanted::part("d", "logged", true)), (vec![], (0..13).collect()));
    assert_eq!(Wanted::part("c", "dead", true), None);
    assert_eq!(Wanted::part("c", "err or", true), None);
}

#[test]
fn what_is_not_there_is_not_found() {
    let indexed = Indexed::of_texts(
        1000,
        &texts(&[
            "GET /cart",
            "disk full",
            "x", //
            "java.io.IOException: reset",
            "y",
            "z", //
            "block 0a7f lost in a facade4",
            "error2 and terror",
        ]),
    );
    let part = |text| indexed.pages(Needle::part(text, false, false));
    assert_eq!(part("xception"), [1]);
    assert_eq!(part("full"), [0]);
    assert_eq!(part("full lost"), Vec::<usize>::new());
    assert_eq!(part("rror"), [2]);
    // Letters of hexadecimal digits may be anywhere in an id.
    assert_eq!(part("bead"), [0, 1, 2]);
    assert_eq!(indexed.pages(Needle::part("bead", true, true)), Vec::<usize>::new());
    // The letters of a word with digits are known, its digits only as part of the whole.
    assert_eq!(part("error2 "), [2]);
    assert_eq!(part(" error3 "), Vec::<usize>::new());
    assert_eq!(indexed.pages(Needle::part("0a7f", true, true)), [2]);
    assert_eq!(indexed.pages(Needle::part("0a7e", true, true)), Vec::<usize>::new());
    assert_eq!(indexed.pages(Needle::part("error", true, true)), [2]);
    assert_eq!(indexed.pages(Needle::part("disk", false, true)), [0]);
    assert_eq!(indexed.pages(Needle::part("dis", false, true)), Vec::<usize>::new());
}

#[test]
fn a_short_number_is_found_also_where_there_are_many() {
    // One page of two thousand numbers, one of three.
    let many: Vec<String> = (0..2).map(|half| numbers(half * 1_000)).collect();
    let texts = [many, texts(&["", "port 8080", "took 17", "took 017"])].concat();
    let indexed = Indexed::of_texts(1000, &texts);
    let pages = |text| indexed.pages(Needle::part(text, true, true));
    assert_eq!(pages("17"), [0, 1]);
    assert_eq!(pages("8080"), [0, 1]);
    assert_eq!(pages("8081"), [0]);
    assert_eq!(pages("12345"), Vec::<usize>::new());
}

fn numbers(from: usize) -> String {
    (from..from + 1_000).map(|number| format!("{number} ")).collect()
}

#[test]
fn conditions_are_joined() {
    let indexed = Indexed::of_texts(1000, &texts(&["one", "", "", "two", "", "", "one two"]));
    let has = |text| Search::Has { column: "c".to_owned(), needle: Needle::part(text, true, true) };
    let parts = ColumnParts::Words { dictionary: indexed.dictionary.as_ref(), filters: None };
    let pages = |search: &Search| -> Vec<usize> {
        pages_of(&search.rows(&|column| (column == "c").then_some(parts), indexed.size))
    };
    assert_eq!(pages(&Search::All(vec![has("one"), has("two")])), [2]);
    assert_eq!(pages(&Search::Any(vec![has("one"), has("three")])), [0, 2]);
    assert_eq!(pages(&Search::Any(vec![has("one"), Search::Anything])), [0, 1, 2]);
    assert_eq!(pages(&Search::Any(vec![])), Vec::<usize>::new());
    let elsewhere = Search::Has { column: "d".to_owned(), needle: Needle::part("one", true, true) };
    assert_eq!(pages(&elsewhere), [0, 1, 2]);
}

/// A file of records with these messages, and with an id in each.
fn file(count: i64, message: fn(i64) -> String, settings: &EncoderSettings) -> EncodedFile {
    let table = TableSchema::new(PartitionBy::Hour);
    let table =
        table.with(&[Column::new("trace_id", ColumnType::String, NameForm::Nested)], 9).unwrap();
    let text = |of: &dyn Fn(i64) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..count).map(of)))
    };
    let mut fields = TableSchema::time_fields().to_vec();
    fields.extend([SERVICE, MESSAGE, "trace_id"].map(|n| Field::new(n, DataType::Utf8, true)));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(0..count).with_timezone("UTC")),
        Arc::new(Int16Array::from_iter_values((0..count).map(|_| 0))),
        text(&|_| "s".to_owned()),
        text(&message),
        text(&|n| format!("{:032x}", (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15 << 60 | 0x35))),
    ];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    encode(&[batch], &table, settings).unwrap().remove(0)
}

/// The first row whose message has this part.
fn row_of(file: &EncodedFile, part: &str) -> usize {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
    let batches = reader.build().unwrap().map(|batch| batch.unwrap()[MESSAGE].clone());
    let messages: Vec<ArrayRef> = batches.collect();
    let mut texts = messages.iter().flat_map(|batch| batch.as_string::<i32>());
    texts.position(|text| text.unwrap().contains(part)).unwrap()
}

#[test]
fn a_file_has_an_index_of_a_bounded_size_that_leads_to_its_pages() {
    let settings = EncoderSettings { page_rows_max: 512, ..EncoderSettings::default() };
    let message = |n: i64| match n {
        3_000 => "a needle".to_owned(),
        n => format!("request served as {:016x}", (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    };
    let file = file(8_192, message, &settings);
    let directory = IndexDirectory::of_file(&file.bytes).unwrap();
    assert_eq!(directory.size(), Size { rows: 8_192, page_rows: 512 });
    let bytes = |section: &Section| {
        let range = section.range();
        let bytes = file.bytes.slice(range.start as usize..range.end as usize);
        section.check(&bytes).unwrap();
        assert!(section.check(&bytes[1..]).is_err());
        bytes
    };
    let Some(ColumnIndex::Words { dictionary, filters: Some(filters) }) =
        directory.columns.get(MESSAGE)
    else {
        panic!("{directory:?}")
    };
    let index_bytes = dictionary.bytes + filters.bytes;
    assert!((index_bytes as f64) < file.bytes.len() as f64 * INDEX_SHARE_MAX);
    let dictionary = Dictionary::decode(&bytes(dictionary)).unwrap();
    let filters = Filters::decode(bytes(filters)).unwrap();
    let parts = ColumnParts::Words { dictionary: Some(&dictionary), filters: Some(&filters) };
    let rows = |needle| {
        let search = Search::Has { column: MESSAGE.to_owned(), needle };
        search.rows(&|_| Some(parts), directory.size())
    };
    let needle = row_of(&file, "a needle");
    let found = rows(Needle::part("needle", false, false));
    assert_eq!(found, std::iter::once(needle..needle + 1).collect());
    let id = "as 22cdf264ebd2c820";
    assert!(has_row(&rows(Needle::part(id, false, true)), row_of(&file, id)));
    assert!(rows(Needle::part(id, false, true)).len() <= 2 * 512);
    assert_eq!(rows(Needle::part("served", false, false)).len(), 8_191);
}

#[test]
fn an_index_that_would_be_too_large_is_left_out() {
    // Numbers that take hardly a byte in the file, and nine bits each in a filter.
    let message = |n: i64| format!("{} {} {} {}", 4 * n, 4 * n + 1, 4 * n + 2, 4 * n + 3);
    let settings = EncoderSettings { page_rows_max: 512, ..EncoderSettings::default() };
    let directory = IndexDirectory::of_file(&file(8_192, message, &settings).bytes).unwrap();
    let index = &directory.columns[MESSAGE];
    assert!(matches!(index, ColumnIndex::Words { filters: None, .. }), "{index:?}");
}
