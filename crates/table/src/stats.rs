//! The statistics of a file, as the text that `add.stats` holds.
//!
//! Source: the Delta protocol, "Per-file Statistics". Timestamps have milliseconds there: a lower
//! bound is rounded down, an upper bound up, so that no reader prunes a row that is there. Others
//! cut upper bounds down too; to tell theirs from ours, ours are spelled with six digits, and an
//! upper bound that comes with fewer is read as the last microsecond that it may stand for.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use loglake_model::{
    ATTRIBUTES, ColumnStats, ColumnType, FileStats, NANOS, StatValue, TIMESTAMP, TableSchema,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

const MILLI_MICROS: i64 = 1_000;

#[derive(Clone, Copy, PartialEq)]
enum Bound {
    Min,
    Max,
}

/// `add.stats` of a file. Bounds that JSON or other engines cannot carry (a NaN, an infinity, a
/// boolean) are left out: then the column may hold anything.
pub(crate) fn to_json(rows: u64, stats: &FileStats) -> String {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (name, column) in &stats.columns {
        nulls.insert(name.to_string(), column.null_count.into());
        if let Some(value) = column.min.as_ref().and_then(|v| bound_to_json(v, Bound::Min)) {
            min.insert(name.to_string(), value);
        }
        if let Some(value) = column.max.as_ref().and_then(|v| bound_to_json(v, Bound::Max)) {
            max.insert(name.to_string(), value);
        }
    }
    json!({"numRecords": rows, "minValues": min, "maxValues": max, "nullCount": nulls}).to_string()
}

fn bound_to_json(value: &StatValue, bound: Bound) -> Option<Value> {
    match value {
        StatValue::Int(v) => Some((*v).into()),
        StatValue::Float(v) => serde_json::Number::from_f64(*v).map(Value::Number),
        StatValue::Bool(_) => None,
        StatValue::String(v) => Some(v.as_ref().into()),
        StatValue::Timestamp(micros) => {
            let down = micros.div_euclid(MILLI_MICROS);
            let millis = match bound {
                Bound::Max if micros.rem_euclid(MILLI_MICROS) > 0 => down + 1,
                _ => down,
            };
            let time = DateTime::from_timestamp_millis(millis)?;
            Some(time.to_rfc3339_opts(SecondsFormat::Micros, true).into())
        }
    }
}

/// Values by column, as they are spelled: serde's quick reading of a float may be off by a bit, and a
/// bound must not be.
type Texts = BTreeMap<String, Box<RawValue>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatsText {
    num_records: u64,
    #[serde(default)]
    min_values: Texts,
    #[serde(default)]
    max_values: Texts,
    #[serde(default)]
    null_count: Texts,
}

/// The rows and statistics of `add.stats`; `None` when it is not what the specification says (the
/// statistics are then unknown, which is allowed). Columns that the table has not are left out.
pub(crate) fn from_json(json: &str, schema: &TableSchema) -> Option<(u64, FileStats)> {
    let parsed: StatsText = serde_json::from_str(json).ok()?;
    let rows = parsed.num_records;
    let mut stats = FileStats::default();
    for (name, nulls) in &parsed.null_count {
        let (Some(kind), Ok(null_count)) = (Kind::of(name, schema), nulls.get().parse()) else {
            continue;
        };
        let bound = |bounds: &Texts, bound| bound_from_json(bounds.get(name)?, kind, bound);
        let (min, max) =
            (bound(&parsed.min_values, Bound::Min), bound(&parsed.max_values, Bound::Max));
        stats.columns.insert(Arc::from(name.as_str()), ColumnStats { min, max, null_count });
    }
    Some((rows, stats))
}

#[derive(Clone, Copy)]
enum Kind {
    Timestamp,
    Column(ColumnType),
}

impl Kind {
    fn of(name: &str, schema: &TableSchema) -> Option<Self> {
        match name {
            TIMESTAMP => Some(Self::Timestamp),
            NANOS => Some(Self::Column(ColumnType::Int64)),
            ATTRIBUTES => Some(Self::Column(ColumnType::String)),
            name => schema.column(name).map(|column| Self::Column(column.kind)),
        }
    }
}

fn bound_from_json(value: &RawValue, kind: Kind, bound: Bound) -> Option<StatValue> {
    let value = value.get();
    let text = || serde_json::from_str::<String>(value).ok();
    match kind {
        Kind::Column(ColumnType::Int64) => value.parse().ok().map(StatValue::Int),
        Kind::Column(ColumnType::Float64) => value.parse().ok().map(StatValue::Float),
        Kind::Column(ColumnType::Bool) => value.parse().ok().map(StatValue::Bool),
        Kind::Column(ColumnType::String) => text().map(|v| StatValue::String(v.into())),
        Kind::Timestamp => {
            let text = text()?;
            let micros = DateTime::parse_from_rfc3339(&text).ok()?.timestamp_micros();
            let digits = text
                .split_once('.')
                .map_or(0, |(_, fraction)| fraction.bytes().take_while(u8::is_ascii_digit).count());
            let cut = bound == Bound::Max && digits < 6;
            Some(StatValue::Timestamp(if cut { micros + MILLI_MICROS - 1 } else { micros }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loglake_model::{Column, NameForm, PartitionBy};
    use proptest::prelude::*;

    fn schema() -> TableSchema {
        let columns = [
            Column::new("http.status", ColumnType::Int64, NameForm::Nested),
            Column::new("ratio", ColumnType::Float64, NameForm::Nested),
            Column::new("ok", ColumnType::Bool, NameForm::Nested),
        ];
        TableSchema::new(PartitionBy::Hour).with(&columns, 10).unwrap()
    }

    fn stats(columns: Vec<(&str, Option<StatValue>, Option<StatValue>)>) -> FileStats {
        let columns = columns
            .into_iter()
            .map(|(name, min, max)| (Arc::from(name), ColumnStats { min, max, null_count: 2 }));
        FileStats { columns: columns.collect() }
    }

    #[test]
    fn bounds_are_spelled_as_other_engines_expect() {
        let (min, max) = (1_793_538_000_123_456, 1_793_538_001_000_001);
        let stats = stats(vec![
            (TIMESTAMP, Some(StatValue::Timestamp(min)), Some(StatValue::Timestamp(max))),
            ("http.status", Some(StatValue::Int(200)), Some(StatValue::Int(503))),
            ("ratio", Some(StatValue::Float(0.5)), Some(StatValue::Float(f64::INFINITY))),
            ("ok", Some(StatValue::Bool(false)), Some(StatValue::Bool(true))),
        ]);
        let json: Value = serde_json::from_str(&to_json(7, &stats)).unwrap();
        assert_eq!(
            json,
            json!({
                "numRecords": 7,
                "minValues": {"timestamp": "2026-11-01T13:00:00.123000Z", "http.status": 200, "ratio": 0.5},
                "maxValues": {"timestamp": "2026-11-01T13:00:01.001000Z", "http.status": 503},
                "nullCount": {"timestamp": 2, "http.status": 2, "ratio": 2, "ok": 2},
            })
        );
    }

    #[test]
    fn an_upper_bound_that_was_cut_to_milliseconds_includes_what_was_cut() {
        let of_others = r#"{"numRecords":1,"nullCount":{"timestamp":0,"gone":0},
            "minValues":{"timestamp":"2026-11-01T13:00:00.123Z"},
            "maxValues":{"timestamp":"2026-11-01T13:00:00.123Z"}}"#;
        let (rows, stats) = from_json(of_others, &schema()).unwrap();
        assert_eq!((rows, stats.columns.len()), (1, 1));
        let timestamp = &stats.columns[TIMESTAMP];
        assert_eq!(timestamp.min, Some(StatValue::Timestamp(1_793_538_000_123_000)));
        assert_eq!(timestamp.max, Some(StatValue::Timestamp(1_793_538_000_123_999)));
        assert_eq!(from_json("{}", &schema()), None);
        assert_eq!(from_json("no", &schema()), None);
    }

    proptest! {
        #[test]
        fn read_bounds_hold_the_written_ones_and_stay_as_they_are(
            a in -9_000_000_000_000_000i64..9_000_000_000_000_000, b in 0i64..1_000_000_000,
            float in any::<f64>(), text in ".*",
        ) {
            let written = stats(vec![
                (TIMESTAMP, Some(StatValue::Timestamp(a)), Some(StatValue::Timestamp(a + b))),
                ("http.status", Some(StatValue::Int(a)), None),
                ("ratio", Some(StatValue::Float(float)).filter(|_| float.is_finite()), None),
                ("message", Some(StatValue::String(text.into())), None),
            ]);
            let (_, read) = from_json(&to_json(1, &written), &schema()).unwrap();
            let (min, max) = (&read.columns[TIMESTAMP].min, &read.columns[TIMESTAMP].max);
            let (Some(StatValue::Timestamp(min)), Some(StatValue::Timestamp(max))) = (min, max) else {
                return Err(TestCaseError::fail("no bounds"));
            };
            prop_assert!(*min <= a && a - min < 1_000 && *max >= a + b && max - a - b < 1_000);
            for name in ["http.status", "ratio", "message"] {
                prop_assert_eq!(&read.columns[name], &written.columns[name]);
            }
            let again = from_json(&to_json(1, &read), &schema()).unwrap().1;
            prop_assert_eq!(again, read);
        }
    }
}
