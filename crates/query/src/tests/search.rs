//! Searching texts: token indexes leave pages closed, and no answer is other than without them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int16Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use loglake_format::EncoderSettings;
use loglake_format::index::IndexDirectory;
use loglake_model::{Column, ColumnType, LEVEL, MESSAGE, NameForm, SERVICE, TableSchema};
use loglake_table::{DataFile, Rewrite, RewriteKind};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::integers;
use crate::QueryEngine;
use crate::testing::{SmallLake, writer_id};

const ROWS: i64 = 20_000;
const PAGE_ROWS: usize = 1_000;
/// Rows of a file that are apart, being the newest.
const NEWEST_ROWS: usize = 200;
/// 2026-11-01T12:00:00Z in microseconds since the epoch.
const NOON: i64 = 1_793_534_400_000_000;

/// As long ids are: an index takes at most an eighth of its file.
fn noise(id: u64) -> String {
    let other = id.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ id >> 29;
    format!("{other:016x}{:016x}", other.wrapping_mul(0xc4ce_b9fe_1a85_ec53) ^ other >> 31)
}

fn message(n: i64) -> String {
    let id = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match n {
        7_777 => "a quetzalcoatl-58213 was seen at 10% of_it".to_owned(),
        12_345 => "straße, \u{212a}elvin and NEEDLES".to_owned(),
        n if n % 3_000 == 17 => format!("java.io.IOException: reset {id:x}"),
        n if n % 2 == 0 => format!("request {id:016x}{} took {} ms", noise(id), n % 997),
        n => format!("cache miss of key {} by {id:x}{}", n % 89, noise(id)),
    }
}

fn trace(n: i64) -> String {
    format!("{:032x}", (n as u128 / 3 + 1).wrapping_mul(0x0123_4567_89ab_cdef_fedc_ba98_7654_3211))
}

fn service(n: i64) -> Option<&'static str> {
    [Some("api"), Some("web"), Some("api"), Some("batch"), None][(n % 5) as usize]
}

fn level(n: i64) -> Option<&'static str> {
    match n % 97 {
        3 => Some("ERROR"),
        4 => None,
        n if n < 20 => Some("WARN"),
        _ => Some("INFO"),
    }
}

fn order(n: i64) -> Option<i64> {
    (n % 11 != 5).then_some(n * 31 - 5_000)
}

fn records() -> RecordBatch {
    records_from(0)
}

fn records_from(first: i64) -> RecordBatch {
    let numbers = || first..first + ROWS;
    let texts = |text: &dyn Fn(i64) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(numbers().map(text)))
    };
    let texts_or_null = |text: &dyn Fn(i64) -> Option<&'static str>| -> ArrayRef {
        Arc::new(numbers().map(text).collect::<StringArray>())
    };
    let mut fields = TableSchema::time_fields().to_vec();
    let texts_of = [SERVICE, LEVEL, MESSAGE, "trace_id"];
    fields.extend(texts_of.map(|name| Field::new(name, DataType::Utf8, true)));
    fields.extend(["seq", "order_id"].map(|name| Field::new(name, DataType::Int64, true)));
    let times = numbers().map(|n| NOON + n * 1_000);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Int16Array::from_iter_values(numbers().map(|_| 0))),
        texts_or_null(&service),
        texts_or_null(&level),
        texts(&message),
        texts(&trace),
        Arc::new(Int64Array::from_iter_values(numbers())),
        Arc::new(numbers().map(order).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// The columns with ids.
fn ids() -> [Column; 2] {
    [("trace_id", ColumnType::String), ("order_id", ColumnType::Int64)]
        .map(|(name, kind)| Column::new(name, kind, NameForm::Nested))
}

/// The records in `indexed`, a file with an index, and in `plain`, in memory.
async fn engine() -> QueryEngine {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(1)));
    let (indexed, plain) = (lake.table("indexed").await, lake.table("plain").await);
    for table in [&indexed, &plain] {
        table.add_columns(&ids()).await.unwrap();
    }
    let settings = EncoderSettings {
        page_rows_max: PAGE_ROWS,
        newest_rows: NEWEST_ROWS,
        ..EncoderSettings::default()
    };
    lake.commit_rows(&indexed, writer_id(2), (None, 0), records(), &settings).await;
    lake.fresh.hold(plain.id(), loglake_model::SegmentSeq(0), records());
    lake.engine()
}

/// The rows that a scan took from its file at most, by what `EXPLAIN ANALYZE` counted.
async fn rows_read(engine: &QueryEngine, filter: &str) -> u64 {
    let sql = format!("explain analyze select seq from indexed where {filter}");
    let plan =
        pretty_format_batches(&super::rows(engine, &sql).await.unwrap()).unwrap().to_string();
    let scans: Vec<&str> = plan.lines().filter(|line| line.contains("DataSourceExec")).collect();
    let rows: u64 = scans.iter().map(|scan| rows_of_scan(scan)).sum();
    assert!(rows > 0 || scans.is_empty(), "{plan}");
    rows
}

fn rows_of_scan(scan: &str) -> u64 {
    match scan.contains("predicate=") {
        true => counted(scan, "pushdown_rows_matched") + counted(scan, "pushdown_rows_pruned"),
        false => counted(scan, "output_rows"),
    }
}

/// What was counted under a name: `813`, `8.13 K` or `8.13 M`.
fn counted(scan: &str, name: &str) -> u64 {
    let (_, rest) = scan.split_once(&format!("{name}=")).unwrap_or(("", "0,"));
    let value = rest.split([',', ']']).next().unwrap();
    let (number, unit) = value.split_once(' ').unwrap_or((value, ""));
    let number: f64 = number.parse().unwrap();
    let unit = match unit.chars().next() {
        Some('K') => 1e3,
        Some('M') => 1e6,
        _ => 1.0,
    };
    (number * unit).round() as u64
}

async fn pages_read(engine: &QueryEngine, filter: &str) -> u64 {
    let rows = rows_read(engine, filter).await;
    // As many as may be too many of a number in hundredths of thousands.
    rows.saturating_sub(5).div_ceil(PAGE_ROWS as u64)
}

#[tokio::test]
async fn only_rows_of_the_service_and_level_asked_for_are_read() {
    let engine = engine().await;
    let of = |is: fn(Option<&str>, Option<&str>) -> bool| {
        (0..ROWS).filter(|n| is(service(*n), level(*n))).count() as u64
    };
    for (filter, rows) in [
        ("service = 'api'", of(|service, _| service == Some("api"))),
        ("service = 'web' and level = 'ERROR'", of(|s, l| (s, l) == (Some("web"), Some("ERROR")))),
        ("level is null and seq >= 0", of(|_, level| level.is_none())),
        ("lower(level) in ('error', 'warn')", of(|_, l| l.is_some_and(|level| level != "INFO"))),
    ] {
        // Thousands are told in hundredths.
        let read = rows_read(&engine, filter).await;
        assert!(read.abs_diff(rows) <= 5, "{filter}: {read} of {rows}");
    }
    assert_eq!(rows_read(&engine, "service = 'nobody'").await, 0);
}

#[tokio::test]
async fn answers_are_the_same_with_an_index_and_without() {
    let engine = engine().await;
    for filter in [
        "service = 'api'",
        "service <> 'api' and level <> 'INFO'",
        "not (service = 'api' or level = 'INFO')",
        "level is null or level in ('WARN', 'ERROR')",
        "coalesce(service, level) = 'WARN'",
        "upper(level) = 'ERROR' and seq % 2 = 0",
        "service like '%a%' and level = 'ERROR' and message like '%xception%'",
        "service = 'api' or seq < 100",
        "service = level",
        "service = 'nobody'",
        "case when service = 'web' then level = 'WARN' else service is null end",
        "timestamp >= '2026-11-01 12:00:00' and timestamp < '2026-11-01 12:00:20'",
        "timestamp > '2026-11-01 12:00:00' and timestamp <= '2026-11-01 12:00:19.999'",
        "timestamp >= '2026-11-01 12:00:10' and service = 'api'",
        "seq >= 0 and level = 'ERROR' and message like '%request%'",
        "seq > 0 and service is not null",
        "seq <> 20000 and service is null",
        "level is not null and trace_id is not null and order_id <= 7",
        "order_id > -5001",
        "order_id <> -5001 and service = 'api'",
        "order_id is not null and seq >= 0",
        "-5000 <= order_id and 26000 >= order_id and message like '%xception%'",
        "date = '2026-11-01' and hour = 12 and hour <> 13 and seq is not null",
        "message like '%quetzalcoatl%'",
        "message like '%etzalcoa%'",
        "message like '%quetzalcoatl-58213%'",
        r"message like '%10\% of\_it'",
        "message ilike '%QUETZAL%'",
        "message ilike '%KELVIN%'",
        "message ilike '%stra_e%'",
        "message like '%xception%' or message like '%quetzal%'",
        "message not like '%a%'",
        "not (message not like '%IOException%')",
        "not (message like '%request%' or seq > 100)",
        "message ~ 'IO[A-Z]xception'",
        "message ~* 'ioexception: (reset|refused)'",
        "message ~ '^a quetz|^stra'",
        "message !~ 'request|cache'",
        "has_token(message, 'quetzalcoatl-58213')",
        "has_token(message, 'quetzal')",
        "has_token(message, '58213')",
        "match(message, 'SEEN quetzalcoatl')",
        "match(message, 'needles straße')",
        "match(message, 'kelvin')",
        "match_phrase(message, 'was SEEN at')",
        "match_phrase(message, 'seen was')",
        "contains(message, 'java.io')",
        "starts_with(message, 'java')",
        "message like '%request%' and message like '%took%'",
        "message like '%a%e%' and message not like '%t%k%' and seq > 5",
        "message like '%c%s%' and message ~ 'k.y [0-8]+' and trace_id like '%a%' and trace_id like '%b%'",
        "message in ('nothing', 'a quetzalcoatl-58213 was seen at 10% of_it')",
        "message = 'a quetzalcoatl-58213 was seen at 10% of_it'",
        "message is null or message like '%NEEDLES'",
        "order_id = 26000",
        "order_id in (-5000, -4969, 7)",
        "cast(order_id as varchar) = '26000'",
        "cast(order_id as varchar) in ('26000', '-4969', '026000')",
        "cast(order_id as varchar) in ('26000') or message like '%quetzal%'",
        "case when seq = 1 then true else message like '%quetzal%' end",
    ] {
        let of = |table: &str| format!("select seq from {table} where {filter} order by seq");
        let expected = integers(&engine, &of("plain")).await;
        assert_eq!(integers(&engine, &of("indexed")).await, expected, "{filter}");
    }
    for n in [0, 1, 7_777, ROWS - 1] {
        for table in ["plain", "indexed"] {
            let sql =
                format!("select seq from {table} where trace_id = '{}' order by seq", trace(n));
            assert!(integers(&engine, &sql).await.contains(&n));
        }
    }
}

#[tokio::test]
async fn only_pages_that_may_hold_the_words_are_read() {
    let engine = engine().await;
    for (filter, pages_max) in [
        ("message like '%quetzalcoatl%'", 1),
        ("message like '%etzalcoa%'", 1),
        ("message ilike '%QUETZAL%'", 1),
        ("message ~ 'quetzal.*seen'", 1),
        ("message like '%zebra%'", 0),
        ("has_token(message, '58213')", 2),
        ("match(message, 'seen quetzalcoatl')", 1),
        ("message like '%NEEDLES' or message like '%quetzal%'", 2),
        ("message like '%xception%'", 7),
        ("message like '%request%'", 20),
    ] {
        let pages = pages_read(&engine, filter).await;
        assert!(pages <= pages_max, "{pages} pages for {filter}");
    }
    let pages = pages_read(&engine, &format!("trace_id = '{}'", trace(9_000))).await;
    // Its three rows are of as many services, which lie apart.
    assert!((1..=3).contains(&pages), "{pages}");
    let pages = pages_read(&engine, "trace_id in ('nobody', 'nothing')").await;
    assert!(pages <= 1, "{pages}");
}

/// Of long texts a page has a few; those of one are read where a batch would be hundreds of them.
#[tokio::test]
async fn only_pages_of_the_rows_are_read_of_long_texts() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(1)));
    let table = lake.table("indexed").await;
    table.add_columns(&ids()).await.unwrap();
    let rows = records().slice(7_000, 1_000);
    let long = |text: Option<&str>| {
        let text = text.unwrap_or_default();
        let more = (0..200_u64)
            .map(|n| noise(n.wrapping_mul(0x9e37_79b9) ^ (text.len() as u64 * n) << 40));
        Some(format!("{text} {}", more.collect::<String>()))
    };
    let messages: StringArray = rows[MESSAGE].as_string::<i32>().iter().map(long).collect();
    let at = rows.schema().index_of(MESSAGE).unwrap();
    let mut columns = rows.columns().to_vec();
    columns[at] = Arc::new(messages);
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    lake.commit_rows(&table, writer_id(2), (None, 0), rows, &EncoderSettings::default()).await;
    let file = table.current().files().next().unwrap().clone();
    let engine = lake.engine();
    for filter in [
        "message like '%quetzalcoatl%'",
        "message like '%quetzalcoatl-58213%'",
        "message ~ 'quetzal.*seen'",
        "timestamp = '2026-11-01 12:00:07.777' and message like '%a%'",
        "timestamp in ('2026-11-01 12:00:07.777', '2026-11-02') and message like '%a%'",
    ] {
        let sql = format!("explain analyze select message from indexed where {filter}");
        let plan = super::rows(&engine, &sql).await.unwrap();
        let plan = pretty_format_batches(&plan).unwrap().to_string();
        let scan = plan.lines().find(|line| line.contains("DataSourceExec")).unwrap();
        let bytes = counted(scan, "bytes_scanned");
        assert!(counted(scan, "output_rows") == 1 && bytes > 0, "{plan}");
        assert!(bytes < file.bytes / 10, "{filter}: {bytes} of {}", file.bytes);
    }
}

/// A text that two filters ask of is decoded once: they are one filter of the scan.
#[tokio::test]
async fn filters_of_one_text_are_asked_together() {
    let engine = engine().await;
    let sql =
        "explain select seq from indexed where message like '%a%e%' and message not like '%t%k%'";
    let plan =
        pretty_format_batches(&super::rows(&engine, sql).await.unwrap()).unwrap().to_string();
    assert!(plan.contains("predicate=CASE WHEN message"), "{plan}");
}

/// Neither are columns read whose filters are known to hold, nor is anything for the number of rows.
#[tokio::test]
async fn rows_that_are_known_are_counted_without_their_file() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(1)));
    let table = lake.table("indexed").await;
    table.add_columns(&ids()).await.unwrap();
    let settings = EncoderSettings { page_rows_max: PAGE_ROWS, ..EncoderSettings::default() };
    lake.commit_rows(&table, writer_id(2), (None, 0), records(), &settings).await;
    let engine = lake.engine();
    let counts = [
        "message like '%xception%'",
        "message like '%request%' and has_token(message, 'took')",
        "timestamp >= '2026-11-01 12:00:00' and timestamp < '2026-11-01 12:00:20'",
        "service = 'web' and level in ('INFO', 'WARN')",
        "service is not null and seq >= 0 and trace_id is not null and message like '%request%'",
    ];
    let counts = counts.map(|filter| format!("select count(*) from indexed where {filter}"));
    let mut first = vec![];
    for sql in &counts {
        first.push(integers(&engine, sql).await);
    }
    let file = table.current().files().next().unwrap().clone();
    let location: Path = table.root().parts().chain(file.path.parts()).collect();
    lake.store.delete(&location).await.unwrap();
    for (sql, first) in counts.iter().zip(first) {
        assert!(first[0] > 0);
        assert_eq!(integers(&engine, sql).await, first, "{sql}");
    }
}

/// A section whose bytes are not those that were written narrows nothing.
#[tokio::test]
async fn a_damaged_index_is_not_used() {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let lake = SmallLake::empty(Arc::clone(&bucket), Some(writer_id(1)));
    let table = lake.table("indexed").await;
    table.add_columns(&ids()).await.unwrap();
    let settings = EncoderSettings { page_rows_max: PAGE_ROWS, ..EncoderSettings::default() };
    lake.commit_rows(&table, writer_id(2), (None, 0), records(), &settings).await;
    let version = table.refresh().await.unwrap();
    let file = version.files().next().unwrap();
    let path: Path = table.root().parts().chain(file.path.parts()).collect();
    let mut bytes = bucket.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    let directory = IndexDirectory::of_file(&bytes.clone().into()).unwrap();
    for section in directory.sections() {
        bytes[section.range().start as usize + 20] ^= 1;
    }
    bucket.put(&path, bytes.into()).await.unwrap();
    let sql = "select seq from indexed where message like '%quetzalcoatl%'";
    assert_eq!(integers(&lake.engine(), sql).await, [7_777]);
}

/// The newest rows are found by their keys first; the answer is that of one step.
#[tokio::test]
async fn the_newest_rows_of_a_search_are_those_of_a_whole_sort() {
    let engine = engine().await;
    for (filter, limit) in [
        ("true", 5),
        ("message like '%request%'", 100),
        ("message like '%xception%'", 100),
        ("message like '%zebra%'", 10),
        ("seq % 7 = 3", 10),
    ] {
        for order in ["timestamp desc", "timestamp", "timestamp desc, seq"] {
            let of = |table: &str, limit: i64| {
                let sql =
                    format!("select seq, message from {table} where {filter} order by {order}");
                format!("select seq from ({sql} limit {limit}) as found")
            };
            let expected = integers(&engine, &of("plain", ROWS + 1)).await;
            let expected = &expected[..expected.len().min(limit as usize)];
            let found = integers(&engine, &of("indexed", limit)).await;
            assert_eq!(found, expected, "{filter} {order}");
        }
    }
}

/// The last lines are read from the part of the file that has the newest, those of a service from its rows.
#[tokio::test]
async fn the_last_lines_are_read_alone() {
    let engine = engine().await;
    let of_web = "service = 'web' and level = 'ERROR'";
    let rows_of_web = 41;
    for (filter, limit, most) in [
        ("true", 100, NEWEST_ROWS as u64),
        ("timestamp < '2026-11-01T12:01:00Z'", NEWEST_ROWS as i64, NEWEST_ROWS as u64),
        ("true", NEWEST_ROWS as i64 + 1, ROWS as u64),
        ("timestamp < '2026-11-01T12:00:10Z'", 100, ROWS as u64),
        ("timestamp >= '2026-11-01T12:00:19.990Z'", 100, ROWS as u64),
        (of_web, 20, rows_of_web),
        (of_web, 100, rows_of_web),
        ("service = 'web' and timestamp < '2026-11-01T12:00:10Z'", 30, ROWS as u64 / 5),
        ("service = 'nobody'", 30, 0),
        ("seq >= 0", 100, ROWS as u64),
    ] {
        let sql = |table: &str, limit: i64| {
            format!(
                "select seq, message from {table} where {filter} order by timestamp desc limit {limit}"
            )
        };
        let seq = |sql: String| format!("select seq from ({sql}) as found");
        let mut expected = integers(&engine, &seq(sql("plain", ROWS + 1))).await;
        expected.truncate(limit as usize);
        let found = integers(&engine, &seq(sql("indexed", limit))).await;
        assert_eq!(found, expected, "{filter} {limit}");

        let explain = format!("explain analyze {}", sql("indexed", limit));
        let plan = super::rows(&engine, &explain).await.unwrap();
        let plan = pretty_format_batches(&plan).unwrap().to_string();
        let scans = plan.lines().filter(|line| line.contains("DataSourceExec"));
        let read: u64 = scans.map(rows_of_scan).sum();
        assert!((found.len() as u64..=most).contains(&read), "{filter} {limit}: {read}\n{plan}");
    }
}

/// A filter by chance would choose other rows in the second step.
#[tokio::test]
async fn rows_chosen_by_chance_are_chosen_once() {
    let engine = engine().await;
    let sql =
        "select seq, message from indexed where random() < 0.5 order by timestamp desc limit 100";
    let found = integers(&engine, &format!("select seq from ({sql}) as found")).await;
    assert_eq!(found.len(), 100);
}

/// Another program may write a file's rows in another order and leave its metadata.
#[tokio::test]
async fn a_file_of_another_program_is_not_asked_where_its_services_are() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(1)));
    let table = lake.table("indexed").await;
    table.add_columns(&ids()).await.unwrap();
    let settings = EncoderSettings { page_rows_max: PAGE_ROWS, ..EncoderSettings::default() };
    lake.commit_rows(&table, writer_id(2), (None, 0), records(), &settings).await;
    let own = table.current().files().next().unwrap().clone();
    let foreign =
        DataFile { path: table.new_file_path(&own.partition), checksum: None, ..(*own).clone() };
    let location =
        |file: &DataFile| -> Path { table.root().parts().chain(file.path.parts()).collect() };
    lake.store.copy(&location(&own), &location(&foreign)).await.unwrap();
    let (kind, removes, adds) = (RewriteKind::Compaction, vec![own], vec![foreign]);
    table.commit_rewrite(&Rewrite { kind, removes, adds }).await.unwrap();
    let (engine, filter) = (lake.engine(), "service = 'web' and level = 'ERROR'");
    let read = rows_read(&engine, filter).await;
    // Of its own file 41; of this one the pages that their statistics leave.
    assert!(read >= PAGE_ROWS as u64, "{read}");
    let is_wanted = |n: &i64| (service(*n), level(*n)) == (Some("web"), Some("ERROR"));
    let expected: Vec<i64> = (0..ROWS).filter(is_wanted).collect();
    let sql = format!("select seq from indexed where {filter} order by seq");
    assert_eq!(integers(&engine, &sql).await, expected);
}

/// The list of files says of a search that it need not be opened.
#[tokio::test]
async fn a_file_without_the_word_is_not_opened() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(1)));
    let table = lake.table("indexed").await;
    table.add_columns(&ids()).await.unwrap();
    // As large as a file has to be for its words to be in the list.
    let batches: Vec<RecordBatch> = (0..10).map(|n| records_from(n * ROWS)).collect();
    let rows = concat_batches(&batches[0].schema(), &batches).unwrap();
    lake.commit_rows(&table, writer_id(2), (None, 0), rows, &EncoderSettings::default()).await;
    let file = table.current().files().next().unwrap().clone();
    assert!(file.words.is_some(), "{} bytes", file.bytes);
    let location: Path = table.root().parts().chain(file.path.parts()).collect();
    lake.store.delete(&location).await.unwrap();
    let engine = lake.engine();
    let count = |filter| format!("select count(*) from indexed where message like '{filter}'");
    assert_eq!(integers(&engine, &count("%zebra%")).await, [0]);
    assert!(super::rows(&engine, &count("%xception%")).await.is_err());
}
