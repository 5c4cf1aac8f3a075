//! The times that records bring: RFC 3339 and its looser relatives, and numbers since the epoch.
//!
//! Taken as text: `2026-11-01T00:00:00.123456789Z`, also with a space for the `T`, small letters,
//! any offset (`+01:00`, `+0100`, `+01`) or none (UTC), no fraction or any number of digits after
//! `.` or `,`, no seconds, or the date alone. Second 60 becomes the last nanosecond of its minute.
//!
//! Taken as number, also in quotes, by magnitude: below 1e8 it is not a time, below 1e11 seconds,
//! below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. The decimal text is used, not
//! a float of it.
//!
//! Times from 1970-01-01 to before 2262-01-01 are accepted: what 64 bits of nanoseconds, and the
//! engines that read the tables, carry.

use loglake_model::Timestamp;

/// What a value says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParsedTime {
    Time {
        timestamp: Timestamp,
        /// Whether the timestamp says all that the text said: not so with more digits than
        /// nanoseconds have, and in a leap second.
        exact: bool,
    },
    /// A time, but before 1970 or after 2261.
    OutOfRange,
    NotATime,
}

/// The accepted range, for messages.
pub const RANGE: &str = "1970-01-01 to 2261-12-31";

const DAY_SECONDS: i64 = 86_400;
/// 2262-01-01T00:00:00Z.
const END_SECONDS: i64 = 9_214_646_400;
const SECOND_NANOS: i64 = 1_000_000_000;

/// A time spelled as text, or a number since the epoch in quotes.
pub fn parse_text(text: &str) -> ParsedTime {
    let bytes = text.as_bytes();
    if bytes.get(4) == Some(&b'-') && bytes.len() >= 10 {
        return parse_date_time(bytes).unwrap_or(ParsedTime::NotATime);
    }
    parse_number(text)
}

/// Seconds since the epoch and nanoseconds of the second; any time of years 0 to 9999.
fn in_range(seconds: i64, nanos: i64, exact: bool) -> ParsedTime {
    if !(0..END_SECONDS).contains(&seconds) {
        return ParsedTime::OutOfRange;
    }
    let timestamp = Timestamp::from_nanos(seconds * SECOND_NANOS + nanos);
    ParsedTime::Time { timestamp, exact }
}

#[inline]
fn two(bytes: &[u8], at: usize) -> Option<i64> {
    let (tens, ones) = (bytes.get(at)?.wrapping_sub(b'0'), bytes.get(at + 1)?.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then_some(i64::from(tens) * 10 + i64::from(ones))
}

fn parse_date_time(bytes: &[u8]) -> Option<ParsedTime> {
    let year = two(bytes, 0)? * 100 + two(bytes, 2)?;
    let (month, day) = (two(bytes, 5)?, two(bytes, 8)?);
    if bytes[7] != b'-' || !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
        return None;
    }
    let date = days_since_epoch(year, month, day) * DAY_SECONDS;
    if bytes.len() == 10 {
        return Some(in_range(date, 0, true));
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let (hour, minute) = (two(bytes, 11)?, two(bytes, 14)?);
    if *bytes.get(13)? != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let mut at = 16;
    let mut second = 0;
    let mut fraction = Fraction { nanos: 0, exact: true };
    if bytes.get(16) == Some(&b':') {
        second = two(bytes, 17)?;
        at = 19;
        if let Some(b'.' | b',') = bytes.get(19) {
            let digits = bytes[20..].iter().take_while(|b| b.is_ascii_digit()).count();
            fraction = Fraction::of(&bytes[20..20 + digits])?;
            at = 20 + digits;
        }
    }
    if second == 60 {
        second = 59;
        fraction = Fraction { nanos: SECOND_NANOS - 1, exact: false };
    }
    if second > 59 {
        return None;
    }
    let seconds = date + hour * 3600 + minute * 60 + second - offset_seconds(&bytes[at..])?;
    Some(in_range(seconds, fraction.nanos, fraction.exact))
}

struct Fraction {
    nanos: i64,
    exact: bool,
}

impl Fraction {
    /// Of the digits after the point; `None` when there are none.
    fn of(digits: &[u8]) -> Option<Self> {
        if digits.is_empty() {
            return None;
        }
        let (kept, dropped) = digits.split_at(digits.len().min(9));
        let nanos = kept.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0'));
        let nanos = nanos * 10_i64.pow(9 - kept.len() as u32);
        Some(Self { nanos, exact: dropped.iter().all(|d| *d == b'0') })
    }
}

/// `Z`, an offset, or nothing.
fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let zone = zone.strip_prefix(b" ").filter(|z| !z.is_empty()).unwrap_or(zone);
    let sign = match zone.first() {
        None => return Some(0),
        Some(b'Z' | b'z') => return (zone.len() == 1).then_some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    let hours = two(zone, 1)?;
    let minutes = match zone.len() {
        3 => 0,
        5 => two(zone, 3)?,
        6 if zone[3] == b':' => two(zone, 4)?,
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap day
/// is the last of its year; an era has 400 years and 146,097 days.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A number since the epoch, spelled as JSON spells numbers.
pub fn parse_number(text: &str) -> ParsedTime {
    epoch(text).unwrap_or(ParsedTime::NotATime)
}

/// More digits than any time has; what is longer is not looked at.
const DIGITS_MAX: usize = 36;

fn epoch(text: &str) -> Option<ParsedTime> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let mut digits = whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || fraction.is_empty() || !digits.all(|d| d.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if whole.len() + fraction.len() > DIGITS_MAX || !(-30..=30).contains(&exponent) {
        return None;
    }
    let digits = whole.bytes().chain(fraction.bytes());
    let value = digits.fold(0_u128, |n, d| n * 10 + u128::from(d - b'0'));
    let exponent = exponent - fraction.len() as i32;
    // Huge values saturate: they are out of range whatever they are.
    let (whole, _) = scaled(value, exponent);
    let to_nanos = match whole {
        0..100_000_000 => return None,
        100_000_000..100_000_000_000 => 9,
        100_000_000_000..100_000_000_000_000 => 6,
        100_000_000_000_000..100_000_000_000_000_000 => 3,
        _ => 0,
    };
    let (nanos, exact) = scaled(value, exponent + to_nanos);
    let Ok(nanos) = i64::try_from(nanos) else { return Some(ParsedTime::OutOfRange) };
    if negative {
        return Some(ParsedTime::OutOfRange);
    }
    Some(in_range(nanos / SECOND_NANOS, nanos % SECOND_NANOS, exact))
}

/// `value` × 10^`exponent`, rounded down, and whether nothing was lost by it.
fn scaled(value: u128, exponent: i32) -> (u128, bool) {
    let power = 10_u128.checked_pow(exponent.unsigned_abs()).unwrap_or(u128::MAX);
    if exponent >= 0 {
        return (value.saturating_mul(power), true);
    }
    (value / power, value.is_multiple_of(power))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeZone, Utc};
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Option<i64> {
        match parse_text(text) {
            ParsedTime::Time { timestamp, exact: true } => Some(timestamp.as_nanos()),
            _ => None,
        }
    }

    const NOON: i64 = 1_793_534_400_000_000_000;

    #[test]
    fn every_spelling_of_one_instant_is_the_same_time() {
        for text in [
            "2026-11-01T12:00:00Z",
            "2026-11-01t12:00:00z",
            "2026-11-01 12:00:00",
            "2026-11-01T12:00",
            "2026-11-01T12:00:00.000000000Z",
            "2026-11-01T12:00:00,0",
            "2026-11-01T13:30:00.000+01:30",
            "2026-10-31T23:00:00-1300",
            "2026-11-01 13:00:00 +01",
            "1793534400",
            "1793534400.0",
            "1793534400000",
            "1793534400000000",
            "1793534400000000000",
            "1.7935344e9",
            "17935344e2",
        ] {
            assert_eq!(time(text), Some(NOON), "{text}");
        }
        assert_eq!(time("2026-11-01"), Some(NOON - 12 * 3600 * SECOND_NANOS));
        assert_eq!(time("1793534400.123456789"), Some(NOON + 123_456_789));
        assert_eq!(time("1793534400123.5"), Some(NOON + 123_500_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "x",
            "2026-13-01",
            "2026-02-29",
            "2026-11-01T24:00:00Z",
            "2026-11-01T12:60:00Z",
            "2026-11-01T12:00:61Z",
            "2026-11-01T12:00:00.Z",
            "2026-11-01T12:00:00Zx",
            "2026-11-01x",
            "2026-11-01T12:00:00+1",
            "2026-11-01T12:00:00 ",
            "99999999",
            "-5",
            "1e400",
            "0x10",
            "1_0",
            "2026-11-01T12:00:00+25:00",
            "+1793534400",
            "1793534400.",
            "2026-11-01T1",
            "2026-11-0é",
        ] {
            assert_eq!(parse_text(text), ParsedTime::NotATime, "{text}");
        }
    }

    #[test]
    fn times_outside_the_range_are_told_from_no_times() {
        for text in [
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "1969-12-31T23:59:59Z",
            "-100000000",
            "2262-01-01T00:00:00Z",
            "99999999999999999999999",
            "1970-01-01T00:00:00+00:01",
        ] {
            assert_eq!(parse_text(text), ParsedTime::OutOfRange, "{text}");
        }
        assert_eq!(time("1970-01-01"), Some(0));
        assert_eq!(time("2261-12-31T23:59:59.999999999Z"), Some(END_SECONDS * SECOND_NANOS - 1));
    }

    #[test]
    fn what_nanoseconds_do_not_carry_is_said() {
        for (text, nanos) in [
            ("2026-11-01T12:00:00.1234567891Z", NOON + 123_456_789),
            ("1793534400.1234567891", NOON + 123_456_789),
            ("2026-11-01T11:59:60Z", NOON - 1),
        ] {
            let timestamp = Timestamp::from_nanos(nanos);
            assert_eq!(parse_text(text), ParsedTime::Time { timestamp, exact: false }, "{text}");
        }
        assert_eq!(time("2026-11-01T12:00:00.12345678900Z"), Some(NOON + 123_456_789));
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(seconds in -70_000_000_000_i64..260_000_000_000, nanos in 0_u32..1_000_000_000) {
            let time: DateTime<Utc> = Utc.timestamp_opt(seconds, nanos).single().expect("a time");
            let text = time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
            prop_assume!(text.len() == 30);
            prop_assert_eq!(parse_text(&text), in_range(seconds, i64::from(nanos), true));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}", dated in "2026-11-01[T ]?[0-9:.,+Zz-]{0,24}\\PC?") {
            let _ = (parse_text(&text), parse_text(&dated));
        }
    }
}
