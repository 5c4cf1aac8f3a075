//! Dates of requests and answers: formats, date math, time zones, units of the calendar.
//!
//! Times are nanoseconds since the epoch (`i64`). The formats' names and the rounding of date math
//! are those of Elasticsearch's reference ("Date math", "format" of mappings).

mod parts;
mod pattern;
mod units;
mod zone;

use self::parts::Parts;
use self::pattern::Pattern;
pub use self::units::{CalendarUnit, duration, fixed_interval};
pub use self::zone::Zone;
use crate::ElasticError;

/// What fills the parts that a date leaves open: `gte` and `lt` begin at the first moment, `lte` and
/// `gt` end at the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    Down,
    Up,
}

/// The formats of a field or a request, `a||b`: the first that suits reads, the first writes.
#[derive(Clone, Debug, PartialEq)]
pub struct DateFormat {
    formats: Vec<Format>,
}

#[derive(Clone, Debug, PartialEq)]
enum Format {
    /// With at least so many digits of a second when written.
    OptionalTime {
        digits: usize,
    },
    EpochMillis,
    EpochSecond,
    Pattern(Pattern),
}

impl Default for DateFormat {
    /// `strict_date_optional_time||epoch_millis`.
    fn default() -> Self {
        Self { formats: vec![Format::OptionalTime { digits: 3 }, Format::EpochMillis] }
    }
}

impl DateFormat {
    /// # Errors
    /// When a format is not known.
    pub fn parse(text: &str) -> Result<Self, ElasticError> {
        let formats = text.split("||").map(|name| format_of(name.trim()));
        Ok(Self { formats: formats.collect::<Result<_, _>>()? })
    }

    /// The moment that a text names, with date math: `now-1h/d`, `2026-11-01||+1M/d`.
    ///
    /// # Errors
    /// When it names none.
    pub fn moment(
        &self,
        text: &str,
        zone: Zone,
        now_nanos: i64,
        round: Round,
    ) -> Result<i64, ElasticError> {
        let failed = || ElasticError::parse(format!("failed to parse date field [{text}]"));
        if let Some(math) = text.strip_prefix("now") {
            return apply(now_nanos, math, zone, round).ok_or_else(failed);
        }
        let (date, math) = match text.split_once("||") {
            Some((date, math)) => (date, math),
            None => (text, ""),
        };
        // Only the end of it is rounded: what the math is added to is the first moment.
        let fill = if math.is_empty() { round } else { Round::Down };
        let found = self.formats.iter().find_map(|format| format.read(date, zone, fill));
        apply(found.ok_or_else(failed)?, math, zone, round).ok_or_else(failed)
    }

    /// The same with all digits of a second where the format leaves their number open, so that it is
    /// read as the same moment again.
    pub(crate) fn format_full(&self, nanos: i64, zone: Zone) -> String {
        match self.formats.first() {
            Some(Format::OptionalTime { .. }) if nanos.rem_euclid(1_000_000) != 0 => {
                Format::OptionalTime { digits: 9 }.write(nanos, zone)
            }
            _ => self.format(nanos, zone),
        }
    }

    /// As `key_as_string`, `fields` and the like show a moment.
    pub fn format(&self, nanos: i64, zone: Zone) -> String {
        match self.formats.first() {
            Some(format) => format.write(nanos, zone),
            None => nanos.to_string(),
        }
    }
}

impl Format {
    fn read(&self, text: &str, zone: Zone, round: Round) -> Option<i64> {
        let of_parts = |parts: Option<Parts>| parts?.moment(zone, round);
        match self {
            Self::OptionalTime { .. } => of_parts(parts::date_optional_time(text)),
            Self::EpochMillis => parts::epoch(text, 1_000_000),
            Self::EpochSecond => parts::epoch(text, 1_000_000_000),
            Self::Pattern(pattern) => of_parts(pattern.parse(text)),
        }
    }

    fn write(&self, nanos: i64, zone: Zone) -> String {
        match self {
            Self::OptionalTime { digits } => parts::write_date_optional_time(
                zone.local(nanos),
                zone.offset_seconds(nanos),
                *digits,
            ),
            Self::EpochMillis => parts::write_epoch(nanos, 1_000_000),
            Self::EpochSecond => parts::write_epoch(nanos, 1_000_000_000),
            Self::Pattern(pattern) => {
                let offset = zone.offset_seconds(nanos);
                pattern.format(zone.local(nanos), offset, &zone.name())
            }
        }
    }
}

fn format_of(name: &str) -> Result<Format, ElasticError> {
    let plain = name.strip_prefix("strict_").unwrap_or(name);
    let pattern = match plain {
        "date_optional_time" | "iso8601" => return Ok(Format::OptionalTime { digits: 3 }),
        "date_optional_time_nanos" => return Ok(Format::OptionalTime { digits: 9 }),
        "epoch_millis" => return Ok(Format::EpochMillis),
        "epoch_second" => return Ok(Format::EpochSecond),
        "basic_date" => "yyyyMMdd",
        "basic_date_time" => "yyyyMMdd'T'HHmmss.SSSXX",
        "basic_date_time_no_millis" => "yyyyMMdd'T'HHmmssXX",
        "basic_ordinal_date" => "yyyyDDD",
        "basic_time" => "HHmmss.SSSXX",
        "basic_time_no_millis" => "HHmmssXX",
        "date" | "year_month_day" => "yyyy-MM-dd",
        "date_hour" => "yyyy-MM-dd'T'HH",
        "date_hour_minute" => "yyyy-MM-dd'T'HH:mm",
        "date_hour_minute_second" => "yyyy-MM-dd'T'HH:mm:ss",
        "date_hour_minute_second_millis" | "date_hour_minute_second_fraction" => {
            "yyyy-MM-dd'T'HH:mm:ss.SSS"
        }
        "date_time" => "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        "date_time_no_millis" => "yyyy-MM-dd'T'HH:mm:ssXXX",
        "hour" => "HH",
        "hour_minute" => "HH:mm",
        "hour_minute_second" => "HH:mm:ss",
        "hour_minute_second_millis" | "hour_minute_second_fraction" => "HH:mm:ss.SSS",
        "ordinal_date" => "yyyy-DDD",
        "time" => "HH:mm:ss.SSSXXX",
        "time_no_millis" => "HH:mm:ssXXX",
        "year" => "yyyy",
        "year_month" => "yyyy-MM",
        _ => name,
    };
    Pattern::new(pattern).map(Format::Pattern).ok_or_else(|| {
        ElasticError::illegal_argument(format!("Invalid format: [{name}]: Unknown pattern"))
    })
}

/// The steps of date math: `+1d`, `-2h`, `/w`. A rounding up goes to the last moment of the unit.
fn apply(mut nanos: i64, math: &str, zone: Zone, round: Round) -> Option<i64> {
    let mut rest = math;
    while let Some(step) = rest.chars().next() {
        rest = &rest[step.len_utf8()..];
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, unit) = (&rest[..end], rest[end..].chars().next()?);
        let by = CalendarUnit::of_math(unit)?;
        let count = if count.is_empty() { 1 } else { count.parse::<i64>().ok()? };
        rest = &rest[end + unit.len_utf8()..];
        nanos = match step {
            '+' => by.add(nanos, count, zone)?,
            '-' => by.add(nanos, count.checked_neg()?, zone)?,
            '/' if count == 1 => {
                let first = by.floor(nanos, zone);
                match round {
                    Round::Down => first,
                    Round::Up => by.add(first, 1, zone)?.checked_sub(1)?,
                }
            }
            _ => return None,
        };
    }
    Some(nanos)
}

#[cfg(test)]
mod tests;
