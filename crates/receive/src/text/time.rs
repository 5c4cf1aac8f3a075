//! The timestamps of log files.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, TimeZone};
use loglake_model::Timestamp;

use super::Context;

/// How far past the file's modification time a line may be: the zone of a file from elsewhere can
/// be off by more than half a day, and clocks are set back.
const FUTURE_NANOS_MAX: i64 = 86_400 * 1_000_000_000;

/// Years looked back for a date without a year: 29 February is at most eight years ago.
const YEARS_BACK_MAX: i32 = 8;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time at the start of `text`, and what follows it: `2026-11-01T12:00:00`, also with a space
/// for the `T`, `/` for `-`, a fraction of up to nine digits after `.` or `,`, and then a zone
/// (`Z`, `+02:00`, `+0200`) or none.
pub(super) fn iso<'a>(text: &'a str, context: &Context<'_>) -> Option<(Timestamp, &'a str)> {
    let (year, rest) = digits(text, 4)?;
    let separator = rest.bytes().next().filter(|b| matches!(b, b'-' | b'/'))?;
    let (month, rest) = digits(&rest[1..], 2)?;
    let rest = rest.strip_prefix(char::from(separator))?;
    let (day, rest) = digits(rest, 2)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let (time, rest) = clock(date, rest)?;
    let (offset, rest) = zone(rest)?;
    let instant = match offset {
        Some(offset) => instant(offset.from_local_datetime(&time).single()?)?,
        None => (context.local)(time)?,
    };
    Some((instant, rest))
}

/// `Nov  1 12:00:00` of RFC 3164 at the start of `text`, with a fraction where there is one, and
/// a year after the day as some devices write it; and what follows it.
pub(super) fn bsd<'a>(text: &'a str, context: &Context<'_>) -> Option<(Timestamp, &'a str)> {
    let month = month(text.get(..3)?)?;
    let rest = text[3..].strip_prefix(' ')?;
    let (day, rest) = match rest.strip_prefix(' ') {
        Some(rest) => digits(rest, 1)?,
        None => digits(rest, 2).or_else(|| digits(rest, 1))?,
    };
    let rest = rest.strip_prefix(' ')?;
    if let Some((year, rest)) = digits(rest, 4) {
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
        let (time, rest) = clock(date, rest.strip_prefix(' ')?)?;
        return Some(((context.local)(time)?, rest));
    }
    let latest = context.reference.as_nanos().saturating_add(FUTURE_NANOS_MAX);
    let year = DateTime::from_timestamp_nanos(context.reference.as_nanos()).year();
    (year - YEARS_BACK_MAX..=year + 1).rev().find_map(|year| {
        let (time, rest) = clock(NaiveDate::from_ymd_opt(year, month, day)?, rest)?;
        let instant = (context.local)(time)?;
        (instant.as_nanos() <= latest).then_some((instant, rest))
    })
}

/// `01/Nov/2026:12:00:00 +0000` of access logs, the whole of `text`.
pub(super) fn common_log(text: &str) -> Option<Timestamp> {
    let (day, rest) = digits(text, 2)?;
    let rest = rest.strip_prefix('/')?;
    let month = month(rest.get(..3)?)?;
    let (year, rest) = digits(rest[3..].strip_prefix('/')?, 4)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let (time, rest) = clock(date, rest.strip_prefix(':')?)?;
    let (offset, rest) = zone(rest.strip_prefix(' ')?)?;
    if !rest.is_empty() {
        return None;
    }
    instant(offset?.from_local_datetime(&time).single()?)
}

fn instant(time: DateTime<FixedOffset>) -> Option<Timestamp> {
    time.timestamp_nanos_opt().map(Timestamp::from_nanos)
}

fn month(name: &str) -> Option<u32> {
    let at = MONTHS.iter().position(|month| *month == name)?;
    u32::try_from(at + 1).ok()
}

/// `12:00:00` with a fraction or none.
fn clock(date: NaiveDate, text: &str) -> Option<(NaiveDateTime, &str)> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (nanos, rest) = fraction(rest)?;
    Some((date.and_hms_nano_opt(hour, minute, second, nanos)?, rest))
}

/// Nanoseconds of a fraction after `.` or `,`; none is 0. More than nine digits would not be kept
/// whole: `None`.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix(['.', ',']) else {
        return Some((0, text));
    };
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    match count {
        0 => Some((0, text)),
        1..=9 => {
            let (value, rest) = digits(rest, count)?;
            Some((value * 10_u32.pow(9 - u32::try_from(count).ok()?), rest))
        }
        _ => None,
    }
}

/// A zone at the start of `text`, `None` within when there is none.
fn zone(text: &str) -> Option<(Option<FixedOffset>, &str)> {
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        return Some((FixedOffset::east_opt(0), rest));
    }
    let sign = match text.bytes().next() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Some((None, text)),
    };
    let Some((hours, rest)) = digits(&text[1..], 2) else {
        return Some((None, text));
    };
    let Some((minutes, rest)) = digits(rest.strip_prefix(':').unwrap_or(rest), 2) else {
        return Some((None, text));
    };
    let seconds = sign * i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Some((Some(FixedOffset::east_opt(seconds)?), rest))
}

/// Exactly `count` (at most 9) digits at the start of `text`.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let (head, rest) = text.split_at_checked(count)?;
    if head.is_empty() || !head.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((head.parse().ok()?, rest))
}
