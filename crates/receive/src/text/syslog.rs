//! Syslog: RFC 5424, and RFC 3164 as it is really written: with `<PRI>` on the wire and without
//! it in files, with the BSD timestamp or rsyslog's ISO one.
//!
//! Fields: `timestamp`, `host`, `service` (the tag or APP-NAME), `pid` (PROCID as text: it need
//! not be a number), `message`; from the priority `facility`, `severity` (0 to 7) and `level`;
//! from RFC 5424 `msg_id` and each structured parameter as `<SD-ID>.<name>`.

use std::borrow::Cow;

use loglake_model::{LEVEL, MESSAGE, SERVICE};

use super::{Context, Record, time};

/// RFC 5424, table 1.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// The levels of RFC 5424's severities, in the words that other sources of logs use, so that
/// `level = 'ERROR'` means the same everywhere; `severity` keeps the finer number.
const LEVELS: [&str; 8] = ["FATAL", "FATAL", "FATAL", "ERROR", "WARN", "INFO", "INFO", "DEBUG"];

const BOM: char = '\u{feff}';

/// `None` when the line has no timestamp of either kind.
pub(super) fn parse<'a>(line: &'a str, context: &Context<'_>) -> Option<Record<'a>> {
    let (priority, rest) = match priority(line) {
        Some((priority, rest)) => (Some(priority), rest),
        None => (None, line),
    };
    let mut record = Record::default();
    if let Some(rest) = rest.strip_prefix("1 ") {
        rfc5424(rest, context, &mut record)?;
    } else {
        rfc3164(rest, context, &mut record)?;
    }
    if let Some(priority) = priority {
        record.push("facility", FACILITIES[usize::from(priority / 8)]);
        record.push("severity", i64::from(priority % 8));
        record.push(LEVEL, LEVELS[usize::from(priority % 8)]);
    }
    Some(record)
}

/// `<0>` to `<191>`, and what follows.
fn priority(line: &str) -> Option<(u8, &str)> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    if number.len() > 3 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let priority: u8 = number.parse().ok().filter(|p| *p <= 191)?;
    Some((priority, rest))
}

/// `Nov  1 12:00:00 host tag[pid]: message`, or the same with an ISO timestamp.
fn rfc3164<'a>(text: &'a str, context: &Context<'_>, record: &mut Record<'a>) -> Option<()> {
    let (at, rest) = time::bsd(text, context).or_else(|| time::iso(text, context))?;
    let (host, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    if host.is_empty() || host.ends_with(':') {
        return None;
    }
    record.push_time(at);
    record.push("host", host);
    let message = match tag(rest) {
        Some((name, pid, message)) => {
            record.push(SERVICE, name);
            record.push_some("pid", pid);
            message
        }
        None => rest,
    };
    record.push(MESSAGE, message);
    Some(())
}

/// The tag (`sshd[12]:`, `kernel:`) with its pid, and the message after it. `None` for lines
/// without one, such as `-- MARK --`.
fn tag(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find([':', '[', ' '])?;
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let (pid, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(pid, _)| !pid.contains(' '))?,
        None => ("", rest),
    };
    let rest = rest.strip_prefix(':')?;
    Some((name, pid, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// What follows the version: `TIMESTAMP HOSTNAME APP-NAME PROCID MSGID SD [MSG]`, `-` for none.
fn rfc5424<'a>(text: &'a str, context: &Context<'_>, record: &mut Record<'a>) -> Option<()> {
    let rest = match text.strip_prefix("- ") {
        Some(rest) => rest,
        None => {
            let (at, rest) = time::iso(text, context)?;
            record.push_time(at);
            rest.strip_prefix(' ')?
        }
    };
    let (host, rest) = rest.split_once(' ')?;
    let (app, rest) = rest.split_once(' ')?;
    let (pid, rest) = rest.split_once(' ')?;
    let (msg_id, rest) = rest.split_once(' ')?;
    record.push_some("host", host);
    record.push_some(SERVICE, app);
    record.push_some("pid", pid);
    record.push_some("msg_id", msg_id);
    let rest = match rest.strip_prefix('-') {
        Some(rest) => rest,
        None => structured_data(rest, record)?,
    };
    let message = match rest.strip_prefix(' ') {
        Some(message) => message.strip_prefix(BOM).unwrap_or(message),
        None if rest.is_empty() => rest,
        None => return None,
    };
    record.push(MESSAGE, message);
    Some(())
}

/// `[id name="value" …]…`; gives what follows the last element.
fn structured_data<'a>(text: &'a str, record: &mut Record<'a>) -> Option<&'a str> {
    let mut rest = text.strip_prefix('[')?;
    loop {
        let end = rest.find([' ', ']']).filter(|end| *end > 0)?;
        let id = &rest[..end];
        rest = &rest[end..];
        // The element itself is a fact, also without parameters.
        if rest.starts_with(']') {
            record.push(id, "");
        }
        while let Some(parameter) = rest.strip_prefix(' ') {
            let (name, value) = parameter.split_once("=\"")?;
            if name.is_empty() || name.contains([' ', ']', '"', '=']) {
                return None;
            }
            let (value, after) = quoted(value)?;
            record.push(format!("{id}.{name}"), super::Value::Text(value));
            rest = after;
        }
        rest = rest.strip_prefix(']')?;
        match rest.strip_prefix('[') {
            Some(next) => rest = next,
            None => return Some(rest),
        }
    }
}

/// A value up to its closing quote, and what follows. `\"`, `\\` and `\]` stand for the second
/// character; another backslash is itself (RFC 5424, 6.3.3).
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut unescaped = String::new();
    let mut from = 0;
    let mut at = 0;
    loop {
        at += text[at..].find(['"', '\\'])?;
        if text.as_bytes()[at] == b'"' {
            let rest = &text[at + 1..];
            if unescaped.is_empty() && from == 0 {
                return Some((Cow::Borrowed(&text[..at]), rest));
            }
            unescaped.push_str(&text[from..at]);
            return Some((Cow::Owned(unescaped), rest));
        }
        if matches!(text.as_bytes().get(at + 1), Some(b'"' | b'\\' | b']')) {
            unescaped.push_str(&text[from..at]);
            from = at + 1;
            at += 2;
        } else {
            at += 1;
        }
    }
}
