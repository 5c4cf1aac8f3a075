//! `time_bucket(timestamp, unit, length, zone, offset)`: the beginning of the interval around a time, in
//! milliseconds since the epoch.
//!
//! `date_bin` and `date_trunc` know no time zones, or convert every row. Here a batch remembers the
//! intervals that its rows were in, which are few, and asks the zone once for each. The same
//! [`Rounding`] says which interval comes next, so that whoever fills gaps agrees with the groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone,
    Timelike,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility, lit,
};
use datafusion::scalar::ScalarValue;

/// Intervals that a batch remembers at most.
const KNOWN_MAX: usize = 4_096;

const SECOND: i64 = 1_000_000;

/// What the intervals are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// Microseconds, more than none.
    Fixed(i64),
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Interval {
    const fn name(self) -> &'static str {
        match self {
            Self::Fixed(_) => "fixed",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    fn parse(name: &str, length: i64) -> Option<Self> {
        let units = [
            Self::Minute,
            Self::Hour,
            Self::Day,
            Self::Week,
            Self::Month,
            Self::Quarter,
            Self::Year,
        ];
        if name == "fixed" {
            return (length > 0).then_some(Self::Fixed(length));
        }
        units.into_iter().find(|unit| unit.name() == name)
    }

    /// Its length where that is always the same on the clock on the wall.
    const fn length(self) -> Option<i64> {
        match self {
            Self::Fixed(length) => Some(length),
            Self::Minute => Some(60 * SECOND),
            Self::Hour => Some(3_600 * SECOND),
            Self::Day => Some(86_400 * SECOND),
            Self::Week | Self::Month | Self::Quarter | Self::Year => None,
        }
    }

    /// The beginning of the interval around a time on the wall's clock.
    fn floor(self, local: i64) -> Option<i64> {
        if let Some(length) = self.length() {
            return local.div_euclid(length).checked_mul(length);
        }
        let day = naive(local)?.date();
        let first = match self {
            Self::Week => {
                day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday())))
            }
            Self::Month => day.with_day(1),
            Self::Quarter => NaiveDate::from_ymd_opt(day.year(), day.month0() / 3 * 3 + 1, 1),
            _ => NaiveDate::from_ymd_opt(day.year(), 1, 1),
        };
        Some(first?.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
    }

    /// The beginning of the interval after the one that begins here, on the wall's clock.
    fn after(self, local: i64) -> Option<i64> {
        if let Some(length) = self.length() {
            return local.checked_add(length);
        }
        let months = |count| naive(local)?.checked_add_months(Months::new(count));
        let next = match self {
            Self::Week => naive(local)?.checked_add_days(Days::new(7)),
            Self::Month => months(1),
            Self::Quarter => months(3),
            _ => months(12),
        };
        Some(next?.and_utc().timestamp_micros())
    }
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}

/// Intervals of time in a zone, each moved by an offset. Times are microseconds since the epoch.
#[derive(Clone, Debug)]
pub struct Rounding {
    interval: Interval,
    zone: Tz,
    zone_name: String,
    offset: i64,
}

impl Rounding {
    /// `zone` is a name (`Europe/Berlin`) or an offset (`+01:00`).
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn new(interval: Interval, zone: &str, offset: i64) -> Result<Self> {
        Ok(Self { interval, zone: zone.parse()?, zone_name: zone.to_owned(), offset })
    }

    /// The beginning of the interval around a time. A time past what a calendar can say is its own.
    pub fn floor(&self, micros: i64) -> i64 {
        let found = micros.checked_sub(self.offset).and_then(|at| self.floor_plain(at));
        found.and_then(|at| at.checked_add(self.offset)).unwrap_or(micros)
    }

    /// The beginning of the interval after the one that begins at a time.
    pub fn next(&self, begin: i64) -> Option<i64> {
        let plain = begin.checked_sub(self.offset)?;
        let next = match self.interval.length().filter(|_| self.is_of_hours()) {
            // Where a clock is put back, an interval may go on for longer than its length.
            Some(length) => (1..=4).find_map(|count| {
                let later = plain.checked_add(length.checked_mul(count)?)?;
                self.floor_plain(later).filter(|next| *next > plain)
            })?,
            None => self.moment(self.interval.after(self.local(plain)?)?, None)?,
        };
        next.checked_add(self.offset).filter(|next| *next > begin)
    }

    fn floor_plain(&self, micros: i64) -> Option<i64> {
        let ahead = self.ahead(micros)?;
        let local = self.interval.floor(micros.checked_add(ahead)?)?;
        let wanted = self.is_of_hours().then_some(ahead);
        self.moment(local, wanted)
    }

    /// Whether intervals go by what has passed, and not by days.
    const fn is_of_hours(&self) -> bool {
        matches!(self.interval, Interval::Fixed(_) | Interval::Minute | Interval::Hour)
    }

    /// Microseconds that the zone is ahead of UTC.
    fn ahead(&self, micros: i64) -> Option<i64> {
        let offset = self.zone.offset_from_utc_datetime(&naive(micros)?).fix();
        Some(i64::from(offset.local_minus_utc()) * SECOND)
    }

    fn local(&self, micros: i64) -> Option<i64> {
        micros.checked_add(self.ahead(micros)?)
    }

    /// The moment at which the clock on the wall shows this, when it is `wanted` ahead of UTC if it ever
    /// is; else the earlier of two. Of a time that is left out, when the clock was put forward.
    fn moment(&self, local: i64, wanted: Option<i64>) -> Option<i64> {
        if let Some(at) = wanted.and_then(|ahead| local.checked_sub(ahead))
            && self.ahead(at) == wanted
        {
            return Some(at);
        }
        let shown = naive(local)?;
        if let Some(at) = self.zone.from_local_datetime(&shown).earliest() {
            return Some(at.timestamp_micros());
        }
        let (mut left_out, mut shown_again) = (0, 86_400);
        while shown_again - left_out > 1 {
            let middle = left_out + (shown_again - left_out) / 2;
            let later = shown.checked_add_signed(TimeDelta::seconds(middle))?;
            match self.zone.from_local_datetime(&later).earliest() {
                None => left_out = middle,
                Some(_) => shown_again = middle,
            }
        }
        let later =
            shown.checked_add_signed(TimeDelta::seconds(shown_again))?.with_nanosecond(0)?;
        Some(self.zone.from_local_datetime(&later).earliest()?.timestamp_micros())
    }

    /// The length of intervals that are all the same.
    fn plain_length(&self) -> Option<i64> {
        let is_utc = matches!(self.zone_name.as_str(), "UTC" | "+00:00" | "Z");
        self.interval.length().filter(|_| is_utc)
    }

    /// The function's call for a time (`Timestamp(µs, UTC)`).
    pub fn of(&self, time: Expr) -> Expr {
        let length = match self.interval {
            Interval::Fixed(length) => length,
            _ => 0,
        };
        ScalarUDF::from(TimeBucket::new()).call(vec![
            time,
            lit(self.interval.name()),
            lit(length),
            lit(self.zone_name.as_str()),
            lit(self.offset),
        ])
    }
}

/// The intervals that rows were in so far.
struct Known<'a> {
    rounding: &'a Rounding,
    /// Begin and end of the interval of the last row.
    last: (i64, i64),
    /// Ends by begins.
    all: BTreeMap<i64, i64>,
}

impl Known<'_> {
    fn floor(&mut self, micros: i64) -> i64 {
        if self.last.0 <= micros && micros < self.last.1 {
            return self.last.0;
        }
        let known = self.all.range(..=micros).next_back().map(|(begin, end)| (*begin, *end));
        self.last = match known.filter(|(_, end)| micros < *end) {
            Some(interval) => interval,
            None => self.learn(micros),
        };
        self.last.0
    }

    fn learn(&mut self, micros: i64) -> (i64, i64) {
        let begin = self.rounding.floor(micros);
        let Some(end) = self.rounding.next(begin).filter(|end| micros < *end) else {
            // An interval that the zone cut off: of this time alone.
            return (begin, begin);
        };
        if self.all.len() < KNOWN_MAX {
            self.all.insert(begin, end);
        }
        (begin, end)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TimeBucket {
    signature: Signature,
}

impl TimeBucket {
    pub(super) fn new() -> Self {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
        let exact = [time, DataType::Utf8, DataType::Int64, DataType::Utf8, DataType::Int64];
        let signature = TypeSignature::Exact(exact.to_vec());
        Self { signature: Signature::new(signature, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, unit, length, zone, offset] =
            datafusion::common::utils::take_function_args(self.name(), args.args)?;
        let rounding = rounding(&unit, &length, &zone, &offset)?;
        let times = cast(
            &time.into_array(args.number_rows)?,
            &DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
        )?;
        Ok(ColumnarValue::Array(begins(&rounding, &times)))
    }
}

/// Milliseconds of the beginnings of the intervals around the times.
fn begins(rounding: &Rounding, times: &ArrayRef) -> ArrayRef {
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let begins: Int64Array = match rounding.plain_length() {
        Some(length) => {
            let offset = rounding.offset;
            times.unary::<_, Int64Type>(|at| {
                let begin = at.wrapping_sub(offset).div_euclid(length).wrapping_mul(length);
                begin.wrapping_add(offset).div_euclid(1_000)
            })
        }
        None => {
            let mut known = Known { rounding, last: (0, 0), all: BTreeMap::new() };
            times.iter().map(|at| Some(known.floor(at?).div_euclid(1_000))).collect()
        }
    };
    Arc::new(begins)
}

fn rounding(
    unit: &ColumnarValue,
    length: &ColumnarValue,
    zone: &ColumnarValue,
    offset: &ColumnarValue,
) -> Result<Rounding> {
    let invalid = || {
        DataFusionError::Plan(
            "time_bucket takes a time, a unit ('fixed', 'minute', 'hour', 'day', 'week', 'month', \
             'quarter', 'year'), a fixed unit's length in microseconds, a time zone and an offset in \
             microseconds: all but the time as constants"
                .to_owned(),
        )
    };
    let text = |value: &ColumnarValue| match value {
        ColumnarValue::Scalar(value) => value.try_as_str().flatten().map(str::to_owned),
        ColumnarValue::Array(_) => None,
    };
    let number = |value: &ColumnarValue| match value {
        ColumnarValue::Scalar(ScalarValue::Int64(value)) => *value,
        _ => None,
    };
    let length = number(length).ok_or_else(invalid)?;
    let interval = Interval::parse(&text(unit).ok_or_else(invalid)?, length).ok_or_else(invalid)?;
    let zone = text(zone).ok_or_else(invalid)?;
    Rounding::new(interval, &zone, number(offset).ok_or_else(invalid)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, TimestampMicrosecondArray};

    use super::*;

    fn micros(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    fn shown(micros: i64) -> String {
        DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339()
    }

    #[test]
    fn days_of_a_zone_have_23_to_25_hours() {
        let days = Rounding::new(Interval::Day, "Europe/Berlin", 0).unwrap();
        for (at, begin, hours) in [
            ("2026-03-29T12:00:00Z", "2026-03-28T23:00:00+00:00", 23),
            ("2026-10-25T12:00:00Z", "2026-10-24T22:00:00+00:00", 25),
            ("2026-11-01T22:59:59Z", "2026-10-31T23:00:00+00:00", 24),
        ] {
            let found = days.floor(micros(at));
            assert_eq!(shown(found), begin);
            assert_eq!(days.next(found).unwrap() - found, hours * 3_600 * SECOND, "{at}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_is_two() {
        let hours = Rounding::new(Interval::Hour, "Europe/Berlin", 0).unwrap();
        let first = hours.floor(micros("2026-10-25T00:30:00Z"));
        let second = hours.floor(micros("2026-10-25T01:30:00Z"));
        assert_eq!(second - first, 3_600 * SECOND);
        assert_eq!(hours.next(first), Some(second));
        assert_eq!(shown(hours.next(second).unwrap()), "2026-10-25T02:00:00+00:00");
    }

    #[test]
    fn weeks_begin_on_monday_and_offsets_move_intervals() {
        let weeks = Rounding::new(Interval::Week, "UTC", 0).unwrap();
        assert_eq!(shown(weeks.floor(micros("2026-11-01T12:00:00Z"))), "2026-10-26T00:00:00+00:00");
        let days = Rounding::new(Interval::Day, "UTC", 6 * 3_600 * SECOND).unwrap();
        assert_eq!(shown(days.floor(micros("2026-11-01T05:00:00Z"))), "2026-10-31T06:00:00+00:00");
        let quarters = Rounding::new(Interval::Quarter, "+01:00", 0).unwrap();
        let begin = quarters.floor(micros("2026-12-31T23:30:00Z"));
        assert_eq!(shown(begin), "2026-12-31T23:00:00+00:00");
        assert_eq!(shown(quarters.next(begin).unwrap()), "2027-03-31T23:00:00+00:00");
    }

    #[test]
    fn a_batch_has_the_same_intervals_as_each_of_its_rows() {
        let start = micros("2026-03-20T00:00:00Z");
        let at = |n: i64| start + (n * 7_919 % 20_000) * 60 * SECOND;
        let times: ArrayRef = Arc::new(
            TimestampMicrosecondArray::from_iter((0..2_000).map(|n| (n % 7 != 0).then(|| at(n))))
                .with_timezone("UTC"),
        );
        for interval in [
            Interval::Fixed(90 * 60 * SECOND),
            Interval::Hour,
            Interval::Day,
            Interval::Week,
            Interval::Month,
        ] {
            for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "-03:30"] {
                let rounding = Rounding::new(interval, zone, 0).unwrap();
                let found = begins(&rounding, &times);
                let found = found.as_primitive::<Int64Type>();
                for n in 0..2_000 {
                    let row = usize::try_from(n).unwrap();
                    let wanted = (n % 7 != 0).then(|| rounding.floor(at(n)).div_euclid(1_000));
                    let here = found.is_valid(row).then(|| found.value(row));
                    assert_eq!(here, wanted, "{interval:?} {zone} {n}");
                }
            }
        }
    }
}
