//! Partitions by time: the folders of a table. A record's partition follows from its own timestamp.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

/// How a table is cut into folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionBy {
    #[default]
    Hour,
    Day,
}

/// One folder of a table: an hour or a day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Days since 1970-01-01.
    pub day: i32,
    /// 0 to 23; absent in tables partitioned by day.
    pub hour: Option<u8>,
}

const HOUR_MICROS: i64 = 3_600_000_000;
/// 1970-01-01 in days of the common era, as chrono counts them.
const EPOCH_DAY_CE: i32 = 719_163;

impl Partition {
    /// The partition of a record, by its timestamp in microseconds since the epoch.
    pub const fn of(timestamp_micros: i64, by: PartitionBy) -> Self {
        let hours = timestamp_micros.div_euclid(HOUR_MICROS);
        let day = hours.div_euclid(24) as i32;
        match by {
            PartitionBy::Hour => Self { day, hour: Some(hours.rem_euclid(24) as u8) },
            PartitionBy::Day => Self { day, hour: None },
        }
    }

    /// The first microsecond of this partition and the first after it.
    pub const fn micros(&self) -> (i64, i64) {
        let day = self.day as i64 * 24 * HOUR_MICROS;
        match self.hour {
            Some(hour) => {
                let start = day + hour as i64 * HOUR_MICROS;
                (start, start + HOUR_MICROS)
            }
            None => (day, day + 24 * HOUR_MICROS),
        }
    }

    /// The value of the partition column `date`: `2026-11-01`.
    pub fn date(&self) -> String {
        let date = DateTime::from_timestamp(i64::from(self.day) * 86_400, 0)
            .map(|t| t.date_naive())
            .unwrap_or_default();
        date.format("%Y-%m-%d").to_string()
    }

    /// From the values of the partition columns `date` (`2026-11-01`) and `hour` (`13`).
    pub fn parse(date: &str, hour: Option<&str>) -> Option<Self> {
        let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
        let hour = hour.map(|h| h.parse::<u8>().ok().filter(|h| *h < 24));
        match hour {
            Some(None) => None,
            hour => {
                Some(Self { day: date.num_days_from_ce() - EPOCH_DAY_CE, hour: hour.flatten() })
            }
        }
    }
}

/// The folder: `date=2026-11-01/hour=13`.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "date={}", self.date())?;
        match self.hour {
            Some(hour) => write!(f, "/hour={hour:02}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_the_hour_or_day_of_the_timestamp() {
        let micros = 1_793_538_000_000_000 + 17; // 2026-11-01T13:00:00.000017Z
        let hour = Partition::of(micros, PartitionBy::Hour);
        assert_eq!(hour.to_string(), "date=2026-11-01/hour=13");
        assert_eq!(Partition::of(micros, PartitionBy::Day).to_string(), "date=2026-11-01");
        let (from, to) = hour.micros();
        assert!(from <= micros && micros < to && to - from == HOUR_MICROS);
        assert_eq!(Partition::parse("2026-11-01", Some("13")), Some(hour));
        assert_eq!(Partition::parse("2026-11-01", Some("24")), None);
        assert_eq!(Partition::of(-1, PartitionBy::Hour).to_string(), "date=1969-12-31/hour=23");
    }
}
