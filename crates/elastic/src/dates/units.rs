//! Units of time: fixed intervals (`90m`), and those of the calendar, which a time zone stretches.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike};

use super::Zone;
use crate::ElasticError;

/// Units of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl CalendarUnit {
    /// Of a `calendar_interval`: `day` or `1d`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "second" | "1s" => Self::Second,
            "minute" | "1m" => Self::Minute,
            "hour" | "1h" => Self::Hour,
            "day" | "1d" => Self::Day,
            "week" | "1w" => Self::Week,
            "month" | "1M" => Self::Month,
            "quarter" | "1q" => Self::Quarter,
            "year" | "1y" => Self::Year,
            _ => return None,
        })
    }

    /// Of date math: the letter after a number or a slash.
    pub(super) const fn of_math(letter: char) -> Option<Self> {
        Some(match letter {
            's' => Self::Second,
            'm' => Self::Minute,
            'h' | 'H' => Self::Hour,
            'd' => Self::Day,
            'w' => Self::Week,
            'M' => Self::Month,
            'y' => Self::Year,
            _ => return None,
        })
    }

    /// The name that `date_trunc` has for it.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The beginning of the unit in which the clock on the wall shows this.
    pub fn floor_local(self, at: NaiveDateTime) -> NaiveDateTime {
        let day = at.date();
        let clock = |h, m, s| day.and_hms_opt(h, m, s).unwrap_or(at);
        let midnight =
            |date: Option<NaiveDate>| date.and_then(|date| date.and_hms_opt(0, 0, 0)).unwrap_or(at);
        match self {
            Self::Second => clock(at.hour(), at.minute(), at.second()),
            Self::Minute => clock(at.hour(), at.minute(), 0),
            Self::Hour => clock(at.hour(), 0, 0),
            Self::Day => clock(0, 0, 0),
            Self::Week => {
                let since_monday = u64::from(day.weekday().num_days_from_monday());
                midnight(day.checked_sub_days(Days::new(since_monday)))
            }
            Self::Month => midnight(day.with_day(1)),
            Self::Quarter => {
                midnight(NaiveDate::from_ymd_opt(day.year(), day.month0() / 3 * 3 + 1, 1))
            }
            Self::Year => midnight(NaiveDate::from_ymd_opt(day.year(), 1, 1)),
        }
    }

    /// So many units later (or earlier) by the calendar.
    pub fn add_local(self, at: NaiveDateTime, count: i64) -> Option<NaiveDateTime> {
        let months = |per: i64| {
            let count = count.checked_mul(per)?;
            let months = Months::new(u32::try_from(count.unsigned_abs()).ok()?);
            if count < 0 { at.checked_sub_months(months) } else { at.checked_add_months(months) }
        };
        let seconds =
            |per: i64| at.checked_add_signed(TimeDelta::try_seconds(count.checked_mul(per)?)?);
        match self {
            Self::Second => seconds(1),
            Self::Minute => seconds(60),
            Self::Hour => seconds(3_600),
            Self::Day => seconds(86_400),
            Self::Week => seconds(7 * 86_400),
            Self::Month => months(1),
            Self::Quarter => months(3),
            Self::Year => months(12),
        }
    }

    /// The moment at which the unit around a moment began in a time zone.
    pub fn floor(self, nanos: i64, zone: Zone) -> i64 {
        if matches!(self, Self::Second | Self::Minute | Self::Hour) {
            // By the offset that holds now: of an hour that comes twice, each is its own.
            let offset = i64::from(zone.offset_seconds(nanos)) * 1_000_000_000;
            let local = self.floor_local(zone.local(nanos)).and_utc().timestamp_nanos_opt();
            return local.map_or(nanos, |local| local - offset);
        }
        zone.moment(self.floor_local(zone.local(nanos))).unwrap_or(nanos)
    }

    /// So many units after a moment, by the clock on the wall of a time zone; units of hours and
    /// less are so much time.
    pub fn add(self, nanos: i64, count: i64, zone: Zone) -> Option<i64> {
        let seconds = match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            _ => return zone.moment(self.add_local(zone.local(nanos), count)?),
        };
        nanos.checked_add(count.checked_mul(seconds)?.checked_mul(1_000_000_000)?)
    }
}

/// A fixed interval in nanoseconds: `30s`, `1.5h`, `100ms`; units as Elasticsearch has them.
///
/// # Errors
/// When it is none, or not more than nothing.
pub fn fixed_interval(text: &str, setting: &str) -> Result<i64, ElasticError> {
    let nanos = duration(text).ok_or_else(|| {
        ElasticError::illegal_argument(format!(
            "failed to parse setting [{setting}] with value [{text}] as a time value: unit is \
             missing or unrecognized"
        ))
    })?;
    match nanos > 0 {
        true => Ok(nanos),
        false => Err(ElasticError::illegal_argument(format!(
            "[{setting}] must be greater than zero, not [{text}]"
        ))),
    }
}

/// A length of time in nanoseconds, which may have a sign: `+6h`, `-1d`.
pub fn duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, text) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if text == "0" {
        return Some(0);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let unit: i64 = match unit.trim() {
        "nanos" => 1,
        "micros" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" | "H" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "w" => 604_800_000_000_000,
        _ => return None,
    };
    let nanos = match number.parse::<i64>() {
        Ok(number) => number.checked_mul(unit)?,
        Err(_) => (number.parse::<f64>().ok()? * unit as f64) as i64,
    };
    Some(sign * nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_units() {
        assert_eq!(duration("1.5h"), Some(5_400_000_000_000));
        assert_eq!(duration("-1d"), Some(-86_400_000_000_000));
        assert_eq!(duration("7"), None);
        assert!(fixed_interval("0s", "interval").is_err() && fixed_interval("1M", "x").is_err());
    }

    #[test]
    fn a_day_of_a_zone_may_have_23_hours() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let noon = 1_774_778_400_000_000_000; // 2026-03-29T10:00:00Z
        let day = CalendarUnit::Day.floor(noon, berlin);
        let next = CalendarUnit::Day.add(day, 1, berlin).unwrap();
        assert_eq!((next - day) / 3_600_000_000_000, 23);
        assert_eq!(CalendarUnit::Week.floor(noon, Zone::UTC) / 1_000_000_000, 1_774_224_000);
    }
}
