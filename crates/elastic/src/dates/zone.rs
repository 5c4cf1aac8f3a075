//! Time zones as requests name them: `Europe/Berlin`, `+01:00`, `UTC`, `Z`.

use chrono::{DateTime, FixedOffset, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::ElasticError;

/// A time zone: one of the IANA's, or hours and minutes from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Named(Tz),
    Fixed(FixedOffset),
}

impl Zone {
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// # Errors
    /// When there is no such zone.
    pub fn parse(text: &str) -> Result<Self, ElasticError> {
        if matches!(text, "Z" | "z" | "UTC" | "GMT" | "Etc/UTC") {
            return Ok(Self::UTC);
        }
        if let Some(offset) = parse_offset(text) {
            return Ok(Self::Fixed(offset));
        }
        text.parse()
            .map(Self::Named)
            .map_err(|_| ElasticError::illegal_argument(format!("unknown time-zone ID: [{text}]")))
    }

    /// The name that Arrow's time zones have.
    pub fn name(&self) -> String {
        match self {
            Self::Named(zone) => zone.name().to_owned(),
            Self::Fixed(offset) => offset.to_string(),
        }
    }

    pub fn is_utc(&self) -> bool {
        match self {
            Self::Named(zone) => *zone == Tz::UTC,
            Self::Fixed(offset) => offset.local_minus_utc() == 0,
        }
    }

    /// Seconds that this zone is ahead of UTC at a moment.
    pub fn offset_seconds(&self, nanos: i64) -> i32 {
        match self {
            Self::Named(zone) => {
                let utc = DateTime::from_timestamp_nanos(nanos).naive_utc();
                zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
            }
            Self::Fixed(offset) => offset.local_minus_utc(),
        }
    }

    /// What a clock on the wall shows at a moment.
    pub fn local(&self, nanos: i64) -> NaiveDateTime {
        let utc = DateTime::from_timestamp_nanos(nanos).naive_utc();
        utc + TimeDelta::seconds(i64::from(self.offset_seconds(nanos)))
    }

    /// The moment at which the clock on the wall shows this: of two the earlier one; of none, the
    /// moment at which the clock was put forward past it.
    pub fn moment(&self, local: NaiveDateTime) -> Option<i64> {
        let found = match self {
            Self::Named(zone) => match zone.from_local_datetime(&local) {
                MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at.to_utc(),
                MappedLocalTime::None => return self.after_gap(local),
            },
            Self::Fixed(offset) => (local - *offset).and_utc(),
        };
        found.timestamp_nanos_opt()
    }

    /// The end of the gap that a local time lies in: no gap is longer than a day.
    fn after_gap(&self, local: NaiveDateTime) -> Option<i64> {
        let Self::Named(zone) = self else { return None };
        let (mut in_gap, mut past) = (0, 24 * 60 * 60);
        while past - in_gap > 1 {
            let middle = in_gap + (past - in_gap) / 2;
            match zone.from_local_datetime(&(local + TimeDelta::seconds(middle))) {
                MappedLocalTime::None => in_gap = middle,
                _ => past = middle,
            }
        }
        let whole = (local + TimeDelta::seconds(past)).and_utc().timestamp();
        let local = DateTime::from_timestamp(whole, 0)?.naive_utc();
        zone.from_local_datetime(&local).earliest()?.timestamp_nanos_opt()
    }
}

/// `+01:00`, `-0930`, `+2`.
pub(super) fn parse_offset(text: &str) -> Option<FixedOffset> {
    let text = text.strip_prefix("UTC").filter(|rest| !rest.is_empty()).unwrap_or(text);
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = match digits.len() {
        1 | 2 => (digits.parse::<i32>().ok()?, 0),
        4 => (digits[..2].parse().ok()?, digits[2..].parse::<i32>().ok()?),
        _ => return None,
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    FixedOffset::east_opt(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    #[test]
    fn zones_are_known_by_name_and_by_offset() {
        for (text, seconds) in
            [("UTC", 0), ("Z", 0), ("+01:00", 3_600), ("-0930", -34_200), ("Asia/Tokyo", 32_400)]
        {
            assert_eq!(Zone::parse(text).unwrap().offset_seconds(0), seconds, "{text}");
        }
        for text in ["Mars/Base", "+99:00", "+1:2:3", ""] {
            assert!(Zone::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_no_clock_shows_is_the_end_of_the_gap() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let local = |h, m| NaiveDate::from_ymd_opt(2026, 3, 29).unwrap().and_hms_opt(h, m, 0);
        let gap = berlin.moment(local(2, 30).unwrap()).unwrap();
        assert_eq!(Some(gap), berlin.moment(local(3, 0).unwrap()));
        assert_eq!(berlin.local(gap), local(3, 0).unwrap());
    }
}
