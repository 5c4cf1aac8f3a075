//! Access logs in the common and combined formats of Apache and nginx:
//! `ip ident user [time] "request" status bytes ["referer" "user agent"] …`.
//!
//! Fields: `timestamp`, `client_ip`, `user`, `method`, `path`, `protocol`, `status`, `bytes`,
//! `referer`, `user_agent`; `message` is the whole line, so whatever a site appended is in it.
//! `level` follows from the status: 5xx ERROR, 4xx WARN, else INFO. With a virtual host before the
//! address (Debian's `other_vhosts_access.log`) that is `host`.

use loglake_model::{LEVEL, MESSAGE};

use super::{Record, time};

/// `None` when the line is not of this form.
pub(super) fn parse(line: &str) -> Option<Record<'_>> {
    let (head, rest) = line.split_once(" [")?;
    let (at, rest) = rest.split_once("] ")?;
    let at = time::common_log(at)?;
    let mut names = head.splitn(3, ' ');
    let (mut client, mut ident) = (names.next()?, names.next()?);
    let mut user = names.next()?;
    let mut record = Record::default();
    record.push_time(at);
    if let (Some((host, port)), Some((second, third))) =
        (client.rsplit_once(':'), user.split_once(' '))
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        record.push_some("host", host);
        (client, ident, user) = (ident, second, third);
    }
    if client.is_empty() || ident.is_empty() || user.is_empty() {
        return None;
    }
    let (request, rest) = quoted(rest)?;
    let rest = rest.strip_prefix(' ')?;
    let (status, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (bytes, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let status: u16 = status.parse().ok().filter(|s| (100..1000).contains(s))?;
    record.push_some("client_ip", client);
    record.push_some("user", user);
    if let Some((method, path, protocol)) = request_line(request) {
        record.push("method", method);
        record.push("path", path);
        record.push_some("protocol", protocol);
    }
    record.push("status", i64::from(status));
    if bytes != "-" {
        record.push("bytes", bytes.parse::<i64>().ok()?);
    }
    if let Some((referer, rest)) = quoted(rest) {
        record.push_some("referer", referer);
        if let Some((user_agent, _)) = rest.strip_prefix(' ').and_then(quoted) {
            record.push_some("user_agent", user_agent);
        }
    }
    record.push(LEVEL, level(status));
    record.push(MESSAGE, line);
    Some(record)
}

fn level(status: u16) -> &'static str {
    match status {
        500.. => "ERROR",
        400.. => "WARN",
        _ => "INFO",
    }
}

/// `GET /path HTTP/1.1`. `None` for what was no HTTP (a TLS hello on the plain port, say).
fn request_line(request: &str) -> Option<(&str, &str, &str)> {
    let (method, rest) = request.split_once(' ')?;
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return None;
    }
    match rest.rsplit_once(' ') {
        Some((path, protocol)) if protocol.starts_with("HTTP/") => Some((method, path, protocol)),
        _ => Some((method, rest, "")),
    }
}

/// A quoted string at the start of `text`, as it is written, and what follows. Both servers write
/// a quote within as an escape (`\"`, `\x22`).
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&inner[..at], &inner[at + 1..])),
            _ => {}
        }
    }
    None
}
