//! How each column of a file is encoded, decided from a sample of its rows.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float64Type, Int16Type, Int64Type, Schema,
};
use loglake_model::{ATTRIBUTES, LEVEL, MESSAGE, SERVICE, TIMESTAMP};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;

use crate::index::{IndexKind, words_bytes_max};
use crate::{EncoderSettings, FormatError};

/// A dictionary is read whole before the first page of its column, so it is kept short.
pub(crate) const DICTIONARY_BYTES_MAX: usize = 1 << 20;
/// A page decodes to about this at most, however long its values are: a query that wants one of them
/// decodes them all. Of short ones `page_rows_max` are less.
const PAGE_BYTES_MAX: usize = 128 << 10;
/// Compressed; records of usual size reach `row_group_rows_max` first.
const ROW_GROUP_BYTES_MAX: usize = 128 << 20;
/// Columns with fewer different values in a row group need no index: each is in every page.
const INDEXED_VALUES_MIN: f64 = 1024.0;
/// Text of ids: at least this long on average, at most that; shorter is a word, longer a sentence.
const ID_BYTES: std::ops::RangeInclusive<f64> = 8.0..=64.0;
/// Of values as long as this on average, page statistics cost more than they prune.
const PAGE_STATISTICS_BYTES_MAX: f64 = 40.0;

/// What zstd leaves of values that stand in full, in pages or in a dictionary. Packed bits, which
/// indexes into a dictionary and differences are, stay as they are.
const COMPRESSED: f64 = 0.5;

/// What compression has to leave at most, as a part, or the column is not compressed: packed bits hardly get
/// shorter, and whoever reads a column has to set up its decompression first.
const WORTH_COMPRESSING: f64 = 0.95;
/// Bytes a row that it has to save as well: a column of long runs takes next to nothing either way.
const SAVED_MIN: f64 = 1.0 / 64.0;

/// Values below which a trial says nothing.
const TRIED_VALUES_MIN: usize = 256;

/// How one column is encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ColumnLayout {
    /// Bytes of the dictionary of a row group, about; `None` without one.
    pub(crate) dictionary: Option<f64>,
    /// Of pages that use no dictionary; `None` is PLAIN.
    pub(crate) encoding: Option<Encoding>,
    pub(crate) page_statistics: bool,
    pub(crate) index: Option<IndexKind>,
    /// Bytes of different words that the index has at most.
    pub(crate) words_bytes_max: usize,
    pub(crate) is_compressed: bool,
}

/// Files with more columns are careful with memory: the writer of each column that packs differences
/// or lengths holds a MiB, however few values it gets.
const MANY_COLUMNS: usize = 100;
/// Values below which packing is given up in a file of many columns.
const PACKED_VALUES_MIN: usize = 64 << 10;

impl ColumnLayout {
    /// This layout in a file of `columns` columns whose texts have `text_bytes` together, where the column has about
    /// `values` values.
    pub(crate) fn in_file_of(self, columns: usize, values: usize, text_bytes: usize) -> Self {
        let is_packed = columns <= MANY_COLUMNS || values >= PACKED_VALUES_MIN;
        Self {
            encoding: if is_packed { self.encoding } else { Some(Encoding::PLAIN) },
            words_bytes_max: words_bytes_max(text_bytes),
            ..self
        }
    }

    /// This layout without compression where `trial`, rows as they follow each other in the file, gets
    /// hardly shorter by it; of a row group of `rows`.
    ///
    /// # Errors
    /// When the zstd level is not one.
    pub(crate) fn tried(
        self,
        name: &str,
        trial: &ArrayRef,
        rows: usize,
        settings: &EncoderSettings,
    ) -> Result<Self, FormatError> {
        if trial.len() - trial.null_count() < TRIED_VALUES_MIN {
            return Ok(self);
        }
        let plain = Self { is_compressed: false, ..self };
        let data = data_pages(name, plain, trial, settings)?;
        let level = settings.zstd_level;
        let compressed = zstd::bulk::compress(&data, level).map_or(data.len(), |data| data.len());
        let scale = rows as f64 / trial.len() as f64;
        let dictionary = self.dictionary.unwrap_or(0.0);
        let before = data.len() as f64 * scale + dictionary;
        let after = compressed as f64 * scale + dictionary * COMPRESSED;
        let saved = before - after;
        let is_worth = after <= before * WORTH_COMPRESSING && saved >= rows as f64 * SAVED_MIN;
        Ok(if is_worth { self } else { plain })
    }
}

/// The bytes of a column's data pages.
fn data_pages(
    name: &str,
    layout: ColumnLayout,
    values: &ArrayRef,
    settings: &EncoderSettings,
) -> Result<Vec<u8>, FormatError> {
    let field = Field::new(name, values.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values.clone()])?;
    let properties = properties(&[(name, layout)], settings)?;
    let mut writer = ArrowWriter::try_new(vec![], batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.flush()?;
    let column = writer.flushed_row_groups()[0].column(0).clone();
    let (start, bytes) = column.byte_range();
    let from = column.data_page_offset() as usize;
    let mut file = writer.into_inner()?;
    file.truncate((start + bytes) as usize);
    Ok(file.split_off(from))
}

/// Decides for one column, from `sample` of the `rows` in a row group.
pub(crate) fn decide(name: &str, sample: &ArrayRef, rows: usize) -> ColumnLayout {
    let without = |encoding| ColumnLayout {
        dictionary: None,
        encoding: Some(encoding),
        page_statistics: true,
        index: None,
        words_bytes_max: words_bytes_max(0),
        is_compressed: true,
    };
    match (name, sample.data_type()) {
        // Sorted among lines of one shape: differences are short.
        (TIMESTAMP, _) => without(Encoding::DELTA_BINARY_PACKED),
        (_, DataType::Utf8) => decide_text(name, sample, rows),
        (_, DataType::Int16) => {
            let profile = profile_of_ints::<Int16Type>(sample, rows);
            ColumnLayout {
                dictionary: profile.dictionary(bytes_of_differences::<Int16Type>(sample)),
                ..without(Encoding::DELTA_BINARY_PACKED)
            }
        }
        (_, DataType::Int64) => {
            let profile = profile_of_ints::<Int64Type>(sample, rows);
            let is_indexed = is_id_name(name) && profile.distinct >= INDEXED_VALUES_MIN;
            ColumnLayout {
                dictionary: profile.dictionary(bytes_of_differences::<Int64Type>(sample)),
                index: is_indexed.then_some(IndexKind::Values),
                ..without(Encoding::DELTA_BINARY_PACKED)
            }
        }
        (_, DataType::Float64) => {
            let numbers = sample.as_primitive::<Float64Type>();
            let values = numbers.iter().flatten().map(|n| (n.to_bits(), 8));
            let profile = Profile::of(values, sample, rows);
            ColumnLayout {
                dictionary: profile.dictionary(profile.value_bytes * COMPRESSED),
                ..without(Encoding::PLAIN)
            }
        }
        _ => without(Encoding::PLAIN),
    }
}

fn profile_of_ints<T>(sample: &ArrayRef, rows: usize) -> Profile
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let numbers = sample.as_primitive::<T>().iter().flatten().map(Into::<i64>::into);
    Profile::of(numbers.map(|n| (n, size_of::<T::Native>())), sample, rows)
}

/// Bytes of the difference of two neighbours, which span twice the range of the values.
fn bytes_of_differences<T>(sample: &ArrayRef) -> f64
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let numbers = || sample.as_primitive::<T>().iter().flatten().map(Into::<i64>::into);
    let bits = match (numbers().min(), numbers().max()) {
        (Some(min), Some(max)) => 65 - max.wrapping_sub(min).leading_zeros(),
        _ => 0,
    };
    f64::from(bits) / 8.0
}

fn decide_text(name: &str, sample: &ArrayRef, rows: usize) -> ColumnLayout {
    let strings = sample.as_string::<i32>();
    let values = strings.iter().flatten();
    let profile = Profile::of(values.clone().map(|s| (s, s.len())), sample, rows);
    let prose = matches!(name, MESSAGE | ATTRIBUTES);
    let known = matches!(name, SERVICE | LEVEL);
    let looks_like_ids = profile.distinct * 2.0 > profile.values
        && ID_BYTES.contains(&profile.value_bytes)
        && values
            .clone()
            .all(|s| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)));
    let dictionary = profile.dictionary((profile.value_bytes + 1.0) * COMPRESSED);
    let index = match () {
        () if prose => Some(IndexKind::Words),
        () if known || profile.distinct < INDEXED_VALUES_MIN => None,
        () if is_id_name(name) || looks_like_ids => Some(IndexKind::Values),
        () if dictionary.is_some() => None,
        () => Some(IndexKind::Words),
    };
    ColumnLayout {
        dictionary,
        encoding: Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        page_statistics: known
            || !(prose || looks_like_ids || profile.value_bytes > PAGE_STATISTICS_BYTES_MAX),
        index,
        words_bytes_max: words_bytes_max(0),
        is_compressed: true,
    }
}

/// Whether a column of this name is searched by one exact value: `trace_id`, `requestId`, `id`,
/// `user.id`, `uuid`.
fn is_id_name(name: &str) -> bool {
    let last = name.rsplit(['.', '_', '-', '/']).next().unwrap_or(name);
    let camel = last.strip_suffix("Id").or_else(|| last.strip_suffix("ID"));
    last.eq_ignore_ascii_case("id")
        || last.eq_ignore_ascii_case("uuid")
        || last.eq_ignore_ascii_case("guid")
        || matches!(last, "traceid" | "spanid" | "requestid")
        || camel.is_some_and(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase()))
}

/// What a sample says of a column in one row group.
struct Profile {
    /// Values that are not null.
    values: f64,
    /// Different ones among them.
    distinct: f64,
    /// Mean length.
    value_bytes: f64,
}

impl Profile {
    /// From the sample's values, each with its length in bytes, for a row group of `rows`.
    ///
    /// The distinct count grows with the values as in the sample at its end (Heaps' law): of the
    /// values seen there the share seen once tells how likely the next one is new (Good and
    /// Turing), which is the slope. Pools come out somewhat too large, streams of ids exactly.
    fn of<T: Hash + Eq>(
        values: impl Iterator<Item = (T, usize)>,
        sample: &ArrayRef,
        rows: usize,
    ) -> Self {
        let mut seen: HashMap<T, usize> = HashMap::new();
        let (mut count, mut bytes) = (0usize, 0usize);
        for (value, len) in values {
            *seen.entry(value).or_default() += 1;
            count += 1;
            bytes += len;
        }
        let once = seen.values().filter(|times| **times == 1).count();
        let scale = (rows as f64 / sample.len().max(1) as f64).max(1.0);
        let slope = once as f64 / seen.len().max(1) as f64;
        Self {
            values: count as f64 * scale,
            distinct: seen.len() as f64 * scale.powf(slope),
            value_bytes: bytes as f64 / count.max(1) as f64,
        }
    }

    /// The bytes of a dictionary, if it and indexes into it take less than every value for itself, at
    /// `bytes_each` after compression.
    fn dictionary(&self, bytes_each: f64) -> Option<f64> {
        let dictionary = self.distinct * (self.value_bytes + 4.0);
        let indexes = self.values * self.distinct.max(1.0).log2().ceil() / 8.0;
        let is_smaller = dictionary <= DICTIONARY_BYTES_MAX as f64
            && dictionary * COMPRESSED + indexes <= self.values * bytes_each;
        is_smaller.then_some(dictionary)
    }
}

/// The writer's properties for a file with these columns, in the file's order.
///
/// # Errors
/// When the zstd level is not one.
pub(crate) fn properties(
    columns: &[(&str, ColumnLayout)],
    settings: &EncoderSettings,
) -> Result<WriterProperties, FormatError> {
    let builder = WriterProperties::builder()
        .set_created_by("loglake".to_owned())
        // Levels outside of what is compressed: their bits would spoil the codes of texts.
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(settings.zstd_level)?))
        .set_max_row_group_row_count(Some(settings.row_group_rows_max))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        .set_data_page_row_count_limit(settings.page_rows_max)
        .set_write_batch_size(settings.page_rows_max.min(1024))
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_sorting_columns(Some(sorting(columns)));
    let each =
        |builder, (name, layout): &(&str, ColumnLayout)| column_properties(builder, name, layout);
    Ok(columns.iter().fold(builder, each).build())
}

fn column_properties(
    builder: WriterPropertiesBuilder,
    name: &str,
    layout: &ColumnLayout,
) -> WriterPropertiesBuilder {
    // One part: a dot in a column's name is no nesting in the file.
    let path = || ColumnPath::new(vec![name.to_owned()]);
    let statistics =
        if layout.page_statistics { EnabledStatistics::Page } else { EnabledStatistics::Chunk };
    let mut builder = builder
        .set_column_dictionary_enabled(path(), layout.dictionary.is_some())
        .set_column_statistics_enabled(path(), statistics);
    if let Some(encoding) = layout.encoding {
        builder = builder.set_column_encoding(path(), encoding);
    }
    if !layout.is_compressed {
        builder = builder.set_column_compression(path(), Compression::UNCOMPRESSED);
    }
    builder
}

fn sorting(columns: &[(&str, ColumnLayout)]) -> Vec<SortingColumn> {
    let place = |name| columns.iter().position(|(column, _)| *column == name);
    let places = [SERVICE, LEVEL].into_iter().filter_map(place);
    places
        .map(|at| SortingColumn { column_idx: at as i32, descending: false, nulls_first: false })
        .collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use twox_hash::XxHash3_64;

    use super::*;

    fn text(values: impl Iterator<Item = String>) -> ArrayRef {
        Arc::new(values.map(Some).collect::<StringArray>())
    }

    #[test]
    fn few_words_get_a_dictionary_ids_and_prose_an_index() {
        let words = text((0..1000).map(|n| format!("host-{}", n % 7)));
        let layout = decide("host", &words, 100_000);
        assert!(layout.dictionary.is_some() && layout.page_statistics && layout.index.is_none());
        assert_eq!(decide("host_id", &words, 100_000).index, None);

        let ids =
            text((0..1000u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        for name in ["span_id", "whatever"] {
            let layout = decide(name, &ids, 100_000);
            assert!(layout.dictionary.is_none() && !layout.page_statistics);
            assert_eq!(layout.index, Some(IndexKind::Values));
        }
        for name in [MESSAGE, ATTRIBUTES] {
            assert_eq!(decide(name, &ids, 100_000).index, Some(IndexKind::Words));
        }
        let paths = text((0..1000).map(|n| format!("/a path/of {n} words, and some more of it")));
        assert_eq!(decide("path", &paths, 100_000).index, Some(IndexKind::Words));
    }

    #[test]
    fn numbers_get_a_dictionary_only_when_it_is_smaller_than_their_differences() {
        let status: ArrayRef =
            Arc::new((0..1000).map(|n| [200, 404, 500][n % 3]).collect::<Int64Array>());
        assert!(decide("status", &status, 100_000).dictionary.is_some());
        let sizes: ArrayRef = Arc::new((0..1000).map(|n| n * 37).collect::<Int64Array>());
        assert!(decide("bytes", &sizes, 100_000).dictionary.is_none());
    }

    #[test]
    fn what_hardly_gets_shorter_is_not_compressed() {
        let is_compressed = |values: &ArrayRef| {
            let layout = decide("c", values, 100_000);
            let settings = EncoderSettings::default();
            layout.tried("c", values, 100_000, &settings).unwrap().is_compressed
        };
        let mixed = |n: u64| XxHash3_64::oneshot(&n.to_le_bytes()) >> 32;
        let numbers = |of: &dyn Fn(u64) -> i64| -> ArrayRef {
            Arc::new((0..2_000).map(of).collect::<Int64Array>())
        };
        assert!(!is_compressed(&numbers(&|n| (mixed(n) % 100_000) as i64)));
        assert!(!is_compressed(&text((0..2_000).map(|n| format!("host-{}", mixed(n) % 64)))));
        assert!(is_compressed(&text((0..2_000).map(|n| format!("{:016x}", mixed(n))))));
        // Runs of few values.
        assert!(!is_compressed(&text((0..2_000).map(|n| format!("service-{}", n / 200)))));
        // A pattern in the indexes into a dictionary.
        assert!(is_compressed(&text((0..2_000).map(|n| format!("host-{}", n % 50)))));
        // Indexes of which nothing is left to take, into a dictionary of long texts.
        let long = |n: u64| format!("{}{}", "a long path ".repeat(20), mixed(n) % 1_500);
        assert!(is_compressed(&text((0..2_000).map(long))));
    }

    #[test]
    fn a_pool_is_told_from_a_stream_of_new_values() {
        let distinct = |values: Vec<i64>| {
            let sample: ArrayRef = Arc::new(Int64Array::from(values.clone()));
            Profile::of(values.into_iter().map(|n| (n, 8)), &sample, 100_000).distinct
        };
        assert_eq!(distinct((0..1000).map(|n| n % 20).collect()), 20.0);
        let stream = distinct((0..1000).collect());
        assert!((99_999.0..100_001.0).contains(&stream), "{stream}");
    }

    #[test]
    fn names_of_ids() {
        for id in ["id", "trace_id", "user.id", "requestId", "orderID", "UUID", "x-request-id"] {
            assert!(is_id_name(id), "{id}");
        }
        for other in ["grid", "message", "paid", "ID_type", "void", "valid"] {
            assert!(!is_id_name(other), "{other}");
        }
    }

    #[test]
    fn a_file_of_many_columns_packs_only_the_full_ones() {
        let numbers: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(0..1000));
        let layout = decide("n", &numbers, 1000);
        assert_eq!(layout.encoding, Some(Encoding::DELTA_BINARY_PACKED));
        assert_eq!(layout.in_file_of(20, 1000, 0), layout);
        assert_eq!(layout.in_file_of(1000, 1_000_000, 0), layout);
        assert_eq!(layout.in_file_of(1000, 1000, 0).encoding, Some(Encoding::PLAIN));
    }

    #[test]
    fn long_texts_may_have_more_different_words() {
        let texts = text((0..1000).map(|n| format!("a text of {n} words, and some more of it")));
        let known = |text_bytes| {
            decide(MESSAGE, &texts, 1000).in_file_of(20, 1000, text_bytes).words_bytes_max
        };
        assert_eq!(known(1 << 20), 256 << 10);
        assert_eq!(known(16 << 20), 512 << 10);
        assert_eq!(known(1 << 30), 1 << 20);
    }
}
