//! What a text says of a moment, and the moment when the rest is filled in.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta};

use super::{Round, Zone};

/// The parts that a text names; `None` for what it leaves open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) year: Option<i32>,
    pub(super) month: Option<u32>,
    pub(super) day: Option<u32>,
    pub(super) day_of_year: Option<u32>,
    pub(super) hour: Option<u32>,
    pub(super) half_day_hour: Option<u32>,
    pub(super) afternoon: Option<bool>,
    pub(super) minute: Option<u32>,
    pub(super) second: Option<u32>,
    pub(super) nanos: Option<u32>,
    /// Seconds ahead of UTC.
    pub(super) offset: Option<i32>,
}

impl Parts {
    /// The first or the last moment that these parts leave possible, in nanoseconds since the epoch.
    pub(super) fn moment(&self, zone: Zone, round: Round) -> Option<i64> {
        let local = self.local(round)?;
        match self.offset {
            Some(offset) => {
                (local - TimeDelta::seconds(i64::from(offset))).and_utc().timestamp_nanos_opt()
            }
            None => zone.moment(local),
        }
    }

    fn local(&self, round: Round) -> Option<NaiveDateTime> {
        let up = round == Round::Up;
        let fill = |part: Option<u32>, last| part.unwrap_or(if up { last } else { 0 });
        let year = self.year.unwrap_or(1970);
        let date = match (self.day_of_year, self.month, self.day) {
            (Some(day), _, _) => NaiveDate::from_yo_opt(year, day)?,
            (None, month, Some(day)) => NaiveDate::from_ymd_opt(year, month.unwrap_or(1), day)?,
            (None, Some(month), None) if up => last_of_month(year, month)?,
            (None, None, None) if up && self.year.is_some() => last_of_month(year, 12)?,
            (None, month, None) => NaiveDate::from_ymd_opt(year, month.unwrap_or(1), 1)?,
        };
        let hour = match (self.half_day_hour, self.afternoon) {
            (Some(hour), Some(true)) => Some(hour + 12),
            (Some(hour), _) => Some(hour),
            (None, _) => self.hour,
        };
        let second = fill(self.second, 59);
        if hour == Some(24) && self.minute.unwrap_or(0) == 0 && second == 0 {
            return date.succ_opt()?.and_hms_opt(0, 0, 0);
        }
        let nanos = fill(self.nanos, 999_999_999);
        date.and_hms_nano_opt(fill(hour, 23), fill(self.minute, 59), second, nanos)
    }
}

fn last_of_month(year: i32, month: u32) -> Option<NaiveDate> {
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    NaiveDate::from_ymd_opt(next.0, next.1, 1)?.pred_opt()
}

/// `strict_date_optional_time` (ISO 8601 from the year on), and a little more: a space for the `T`.
pub(super) fn date_optional_time(text: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    let (date, time) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let mut numbers = date.split('-');
    let year = numbers.next()?;
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    parts.year = Some(year.parse().ok()?);
    let two = |text: &str| -> Option<u32> {
        (matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse().ok())?
    };
    if let Some(month) = numbers.next() {
        parts.month = Some(two(month)?);
    }
    if let Some(day) = numbers.next() {
        parts.day = Some(two(day)?);
    }
    if numbers.next().is_some() {
        return None;
    }
    let Some(time) = time.filter(|time| !time.is_empty()) else { return Some(parts) };
    let end = time.find(['Z', 'z', '+', '-', 'U', 'G']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(end);
    if !zone.is_empty() && !super::pattern::read_offset(zone, &mut parts)?.is_empty() {
        return None;
    }
    let (clock, fraction) = match clock.find(['.', ',']) {
        Some(at) => (&clock[..at], Some(&clock[at + 1..])),
        None => (clock, None),
    };
    let mut numbers = clock.split(':');
    parts.hour = Some(two(numbers.next()?)?);
    if let Some(minute) = numbers.next() {
        parts.minute = Some(two(minute)?);
    }
    if let Some(second) = numbers.next() {
        parts.second = Some(two(second)?);
    }
    if numbers.next().is_some() {
        return None;
    }
    if let Some(fraction) = fraction {
        let known = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
        if !known || fraction.len() > 9 || parts.second.is_none() {
            return None;
        }
        // A fraction names its part of a second whole: nothing below it is filled up but what
        // its own last digit leaves.
        parts.nanos = Some(format!("{fraction:0<9}").parse().ok()?);
    }
    Some(parts)
}

/// As `strict_date_optional_time` writes it: milliseconds, more digits where there is more.
pub(super) fn write_date_optional_time(local: NaiveDateTime, offset: i32, digits: usize) -> String {
    use std::fmt::Write;
    let nanos = format!("{:09}", local.and_utc().timestamp_subsec_nanos());
    let mut text = format!("{}.{}", local.format("%Y-%m-%dT%H:%M:%S"), &nanos[..digits.min(9)]);
    if local.year() < 0 || offset == 0 {
        text.push('Z');
    } else {
        let sign = if offset < 0 { '-' } else { '+' };
        let _ = write!(text, "{sign}{:02}:{:02}", offset.abs() / 3_600, offset.abs() / 60 % 60);
    }
    text
}

/// Milliseconds since the epoch, which may have a fraction, in nanoseconds.
pub(super) fn epoch(text: &str, nanos_per_unit: i64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut nanos = whole.parse::<i64>().ok()?.checked_mul(nanos_per_unit)?;
    if !fraction.is_empty() {
        let part: f64 = format!("0.{fraction}").parse().ok()?;
        let part = (part * nanos_per_unit as f64).round() as i64;
        nanos += if whole.starts_with('-') { -part } else { part };
    }
    DateTime::from_timestamp_nanos(nanos).timestamp_nanos_opt()
}

/// The number of units with as many decimals as it has.
pub(super) fn write_epoch(nanos: i64, nanos_per_unit: u64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, rest) =
        (nanos.unsigned_abs() / nanos_per_unit, nanos.unsigned_abs() % nanos_per_unit);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let digits = nanos_per_unit.ilog10() as usize;
    let decimals = format!("{rest:0digits$}");
    format!("{sign}{whole}.{}", decimals.trim_end_matches('0'))
}
