//! Patterns of dates as `java.time.format.DateTimeFormatter` has them (its class documentation,
//! "Patterns for Formatting and Parsing"): the letters that logs and dashboards use.

use std::iter::Peekable;
use std::str::Chars;

use chrono::{Datelike, NaiveDateTime, Timelike};

use super::parts::Parts;
use super::zone::parse_offset;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Literal(char),
    /// A letter, and how often it is repeated.
    Letter(char, usize),
    Optional(Vec<Item>),
}

/// A pattern that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern(Vec<Item>);

impl Pattern {
    /// `None` for a letter that is not known here.
    pub fn new(pattern: &str) -> Option<Self> {
        let mut chars = pattern.chars().peekable();
        let items = items(&mut chars, 0)?;
        chars.next().is_none().then_some(Self(items))
    }

    pub(super) fn parse(&self, text: &str) -> Option<Parts> {
        let mut parts = Parts::default();
        let rest = read(&self.0, text, &mut parts)?;
        rest.is_empty().then_some(parts)
    }

    pub(super) fn format(&self, local: NaiveDateTime, offset: i32, zone: &str) -> String {
        let mut text = String::new();
        write(&self.0, local, offset, zone, &mut text);
        text
    }
}

fn items(chars: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Vec<Item>> {
    let mut found = vec![];
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.peek() == Some(&'\'') => {
                chars.next();
                found.push(Item::Literal('\''));
            }
            '\'' => loop {
                match chars.next()? {
                    '\'' => break,
                    quoted => found.push(Item::Literal(quoted)),
                }
            },
            '[' if depth < 4 => {
                found.push(Item::Optional(items(chars, depth + 1)?));
            }
            ']' if depth > 0 => return Some(found),
            '[' | ']' => return None,
            c if c.is_ascii_alphabetic() => {
                let mut count = 1;
                while chars.peek() == Some(&c) {
                    chars.next();
                    count += 1;
                }
                if !"yuMLdDHhkKmsSAnaEeXxZzVwYQq".contains(c) || count > 9 {
                    return None;
                }
                found.push(Item::Letter(c, count));
            }
            other => found.push(Item::Literal(other)),
        }
    }
    (depth == 0).then_some(found)
}

fn read<'a>(items: &[Item], mut text: &'a str, parts: &mut Parts) -> Option<&'a str> {
    for (at, item) in items.iter().enumerate() {
        text = match item {
            Item::Literal(c) => text.strip_prefix(*c)?,
            Item::Letter(letter, count) => {
                let adjacent = matches!(items.get(at + 1), Some(Item::Letter(..)));
                read_letter(*letter, *count, adjacent, text, parts)?
            }
            Item::Optional(inner) => {
                let mut tried = parts.clone();
                match read(inner, text, &mut tried) {
                    Some(rest) => {
                        *parts = tried;
                        rest
                    }
                    None => text,
                }
            }
        };
    }
    Some(text)
}

/// Digits at the beginning: exactly `count` where another number follows, else at least as many.
fn digits(text: &str, count: usize, adjacent: bool, most: usize) -> Option<(u32, &str)> {
    let there = text.bytes().take_while(u8::is_ascii_digit).count();
    let taken = if adjacent { count } else { there.min(most.max(count)) };
    if there < count.min(taken) || taken == 0 || there < taken {
        return None;
    }
    Some((text[..taken].parse().ok()?, &text[taken..]))
}

fn name<'a>(text: &'a str, names: &[&str], short: bool) -> Option<(u32, &'a str)> {
    names.iter().zip(0..).find_map(|(name, at)| {
        let name = if short { &name[..3] } else { name };
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| (at, &text[name.len()..]))
    })
}

fn read_letter<'a>(
    letter: char,
    count: usize,
    adjacent: bool,
    text: &'a str,
    parts: &mut Parts,
) -> Option<&'a str> {
    let number = |most| digits(text, count, adjacent, most);
    let (value, rest) = match (letter, count) {
        ('M' | 'L', 3..) => {
            let (month, rest) = name(text, &MONTHS, count == 3)?;
            (month + 1, rest)
        }
        ('E', _) => name(text, &DAYS, count <= 3)?,
        ('e', 1) => number(1)?,
        ('a', _) => {
            let (half, rest) = name_of_half(text)?;
            parts.afternoon = Some(half);
            return Some(rest);
        }
        ('X' | 'x' | 'Z' | 'z' | 'V', _) => return read_offset(text, parts),
        ('S' | 'n', _) => {
            let there = text.bytes().take_while(u8::is_ascii_digit).count().min(9);
            let taken = if adjacent { count } else { there };
            if taken == 0 || there < taken {
                return None;
            }
            parts.nanos = Some(format!("{:0<9}", &text[..taken]).parse().ok()?);
            return Some(&text[taken..]);
        }
        ('y' | 'u', 2) => {
            let (year, rest) = digits(text, 2, true, 2)?;
            (2_000 + year, rest)
        }
        ('y' | 'u', _) => number(9)?,
        ('D', _) => number(3)?,
        _ => number(2)?,
    };
    match letter {
        'y' | 'u' => parts.year = Some(i32::try_from(value).ok()?),
        'M' | 'L' => parts.month = Some(value),
        'd' => parts.day = Some(value),
        'D' => parts.day_of_year = Some(value),
        'H' => parts.hour = Some(value),
        'k' => parts.hour = Some(value % 24),
        'h' | 'K' => parts.half_day_hour = Some(value % 12),
        'm' => parts.minute = Some(value),
        's' => parts.second = Some(value),
        'E' | 'e' => {}
        // Weeks of a year, quarters and the like are only written.
        _ => return None,
    }
    Some(rest)
}

fn name_of_half(text: &str) -> Option<(bool, &str)> {
    let head = text.get(..2)?;
    let half = match head {
        "AM" | "am" => false,
        "PM" | "pm" => true,
        _ => return None,
    };
    Some((half, &text[2..]))
}

pub(super) fn read_offset<'a>(text: &'a str, parts: &mut Parts) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        parts.offset = Some(0);
        return Some(rest);
    }
    if let Some(rest) = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT")) {
        parts.offset = Some(0);
        return Some(rest);
    }
    let end = text.char_indices().skip(1).find(|(_, c)| !c.is_ascii_digit() && *c != ':');
    let end = end.map_or(text.len(), |(at, _)| at);
    let offset = parse_offset(&text[..end])?;
    parts.offset = Some(offset.local_minus_utc());
    Some(&text[end..])
}

fn write(items: &[Item], at: NaiveDateTime, offset: i32, zone: &str, text: &mut String) {
    use std::fmt::Write;
    for item in items {
        let (letter, count) = match item {
            Item::Literal(c) => {
                text.push(*c);
                continue;
            }
            Item::Optional(inner) => {
                write(inner, at, offset, zone, text);
                continue;
            }
            Item::Letter(letter, count) => (*letter, *count),
        };
        let number = match letter {
            'y' | 'u' if count == 2 => i64::from(at.year().rem_euclid(100)),
            'y' | 'u' => i64::from(at.year()),
            'Y' => i64::from(at.iso_week().year()),
            'M' | 'L' if count >= 3 => {
                text.push_str(part(MONTHS[at.month0() as usize], count));
                continue;
            }
            'M' | 'L' => i64::from(at.month()),
            'w' => i64::from(at.iso_week().week()),
            'd' => i64::from(at.day()),
            'D' => i64::from(at.ordinal()),
            'Q' | 'q' => i64::from(at.month0() / 3 + 1),
            'H' => i64::from(at.hour()),
            'k' => i64::from((at.hour() + 23) % 24 + 1),
            'h' => i64::from((at.hour() + 11) % 12 + 1),
            'K' => i64::from(at.hour() % 12),
            'm' => i64::from(at.minute()),
            's' => i64::from(at.second()),
            'A' => i64::from(at.num_seconds_from_midnight()) * 1_000,
            'n' => i64::from(at.nanosecond() % 1_000_000_000),
            'e' if count < 3 => i64::from(at.weekday().number_from_monday()),
            'E' | 'e' => {
                text.push_str(part(DAYS[at.weekday().num_days_from_monday() as usize], count));
                continue;
            }
            'a' => {
                text.push_str(if at.hour() < 12 { "AM" } else { "PM" });
                continue;
            }
            'S' => {
                let nanos = format!("{:09}", at.nanosecond() % 1_000_000_000);
                text.push_str(&nanos[..count.min(9)]);
                continue;
            }
            'z' | 'V' => {
                text.push_str(zone);
                continue;
            }
            _ => {
                write_offset(letter, count, offset, text);
                continue;
            }
        };
        let _ = write!(text, "{number:0count$}");
    }
}

const fn part(name: &'static str, count: usize) -> &'static str {
    match count {
        ..=3 => name.split_at(3).0,
        _ => name,
    }
}

/// `X` writes `Z` for UTC; `Z` is `x` with four digits; three letters and more have a colon.
fn write_offset(letter: char, count: usize, offset: i32, text: &mut String) {
    use std::fmt::Write;
    if letter == 'X' && offset == 0 {
        text.push('Z');
        return;
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3_600, offset.abs() / 60 % 60);
    let _ = match (letter, count) {
        ('Z', ..=3) | (_, 2 | 4) => write!(text, "{sign}{hours:02}{minutes:02}"),
        (_, 1) if minutes == 0 => write!(text, "{sign}{hours:02}"),
        (_, 1) => write!(text, "{sign}{hours:02}{minutes:02}"),
        _ => write!(text, "{sign}{hours:02}:{minutes:02}"),
    };
}
