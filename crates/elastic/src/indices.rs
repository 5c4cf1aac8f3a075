//! Which tables an index expression names (Elasticsearch's reference, "Multi-target syntax" and "Date
//! math support in system and index alias names").

use std::collections::BTreeSet;

use loglake_model::TableName;

use crate::ElasticError;
use crate::dates::{DateFormat, Round, Zone};
use crate::lucene::wildcard_is_match;

/// `ignore_unavailable` and `allow_no_indices` of a request.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    pub ignore_unavailable: bool,
    pub allow_no_indices: bool,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { ignore_unavailable: false, allow_no_indices: true }
    }
}

/// The tables that an expression names: `logs`, `a,b`, `log*`, `*,-audit*`, `_all`, `<logs-{now/d}>`.
/// Empty when patterns match nothing and that is allowed.
///
/// # Errors
/// `index_not_found_exception` for a name that is no table; `invalid_index_name_exception` for one that
/// none can have.
pub fn resolve(
    expression: &str,
    tables: &BTreeSet<TableName>,
    options: IndexOptions,
    now_nanos: i64,
) -> Result<Vec<TableName>, ElasticError> {
    let mut found: BTreeSet<&TableName> = BTreeSet::new();
    let mut had_pattern = false;
    for part in parts(expression) {
        let excluded = part.strip_prefix('-').filter(|_| had_pattern);
        let name = plain(excluded.unwrap_or(&part), now_nanos)?;
        if excluded.is_some() {
            found.retain(|table| !wildcard_is_match(&name, table.as_str()));
            continue;
        }
        let all = name.is_empty() || name == "_all" || name == "*";
        if all || name.contains('*') {
            had_pattern = true;
            let fitting: Vec<_> =
                tables.iter().filter(|t| all || wildcard_is_match(&name, t.as_str())).collect();
            if fitting.is_empty() && !options.allow_no_indices {
                return Err(ElasticError::index_not_found(&name));
            }
            found.extend(fitting);
            continue;
        }
        match tables.iter().find(|table| table.as_str() == name) {
            Some(table) => drop(found.insert(table)),
            None if name.starts_with('_') => return Err(ElasticError::invalid_index_name(&name)),
            None if options.ignore_unavailable => {}
            None => return Err(ElasticError::index_not_found(&name)),
        }
    }
    if found.is_empty() && !options.allow_no_indices {
        return Err(ElasticError::index_not_found(expression));
    }
    Ok(found.into_iter().cloned().collect())
}

/// Whether an expression may name tables that it does not spell out.
pub fn is_pattern(expression: &str) -> bool {
    let means_others = |part: &String| part.is_empty() || part == "_all" || part.contains('*');
    parts(expression).iter().any(means_others)
}

/// Between commas outside of `<…>`.
fn parts(expression: &str) -> Vec<String> {
    let (mut parts, mut part, mut is_math) = (vec![], String::new(), false);
    for c in expression.chars() {
        match c {
            ',' if !is_math => parts.push(std::mem::take(&mut part)),
            c => {
                is_math = (is_math || c == '<') && c != '>';
                part.push(c);
            }
        }
    }
    parts.push(part);
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}

/// A name with its date math worked out: `<logs-{now/d{yyyy.MM}}>`.
fn plain(name: &str, now_nanos: i64) -> Result<String, ElasticError> {
    let Some(inner) = name.strip_prefix('<').and_then(|name| name.strip_suffix('>')) else {
        return Ok(name.to_owned());
    };
    let wrong =
        || ElasticError::illegal_argument(format!("invalid dynamic name expression [{name}]"));
    let (mut plain, mut rest) = (String::new(), inner);
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        let mut depth = 1;
        let end = after.find(|c| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            depth == 0
        });
        let end = end.ok_or_else(wrong)?;
        plain.push_str(&worked_out(&after[..end], now_nanos).ok_or_else(wrong)?);
        rest = &after[end + 1..];
    }
    plain.push_str(rest);
    Ok(plain)
}

/// `now/d`, `now/M{yyyy.MM}`, `now/d{yyyy.MM.dd|+12:00}`.
fn worked_out(math: &str, now_nanos: i64) -> Option<String> {
    let (math, format) = match math.split_once('{') {
        Some((math, format)) => (math, format.strip_suffix('}')?),
        None => (math, "yyyy.MM.dd"),
    };
    let (format, zone) = match format.split_once('|') {
        Some((format, zone)) => (format, Zone::parse(zone).ok()?),
        None => (format, Zone::UTC),
    };
    let nanos = DateFormat::default().moment(math, zone, now_nanos, Round::Down).ok()?;
    Some(DateFormat::parse(format).ok()?.format(nanos, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-01T14:35:10Z.
    const NOW: i64 = 1_793_543_710_000_000_000;

    fn named(expression: &str, options: IndexOptions) -> Result<Vec<String>, ElasticError> {
        let tables = ["audit", "logs", "logs-2026.11.01", "metrics"];
        let tables = tables.iter().map(|name| TableName::new(name).unwrap()).collect();
        let found = resolve(expression, &tables, options, NOW)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn expressions_name_tables() {
        let usual = IndexOptions::default();
        for (expression, expected) in [
            ("logs", vec!["logs"]),
            ("logs,audit", vec!["audit", "logs"]),
            ("logs*", vec!["logs", "logs-2026.11.01"]),
            ("*,-logs*", vec!["audit", "metrics"]),
            ("_all", vec!["audit", "logs", "logs-2026.11.01", "metrics"]),
            ("<logs-{now/d}>", vec!["logs-2026.11.01"]),
            ("<logs-{now/M{yyyy.MM.dd}}>,audit", vec!["audit", "logs-2026.11.01"]),
            ("nosuch*", vec![]),
        ] {
            assert_eq!(named(expression, usual).unwrap(), expected, "{expression}");
            assert_eq!(is_pattern(expression), expression.contains(['*', '_']), "{expression}");
        }
        assert!(is_pattern("") && is_pattern("logs,"));
        let error = named("logs,nosuch", usual).unwrap_err();
        assert_eq!((error.status(), error.error_type()), (404, "index_not_found_exception"));
        assert_eq!(error.to_string(), "no such index [nosuch]");
        let error = named("_nosuch", usual).unwrap_err();
        assert_eq!((error.status(), error.error_type()), (400, "invalid_index_name_exception"));
        let lenient = IndexOptions { ignore_unavailable: true, ..usual };
        assert_eq!(named("logs,nosuch", lenient).unwrap(), ["logs"]);
        let strict = IndexOptions { allow_no_indices: false, ..usual };
        assert!(named("nosuch*", strict).is_err() && named("<logs-{now>", usual).is_err());
    }
}
