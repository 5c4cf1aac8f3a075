//! Which tables an index expression names (Elasticsearch reference, "Multi-target syntax"). Pure.

use loglake_model::TableName;

use super::filter_path::matches;
use super::parameters::Parameters;
use super::reply::Refused;

/// What to do when an expression names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfound {
    /// `ignore_unavailable`: a name without a table is passed over.
    pub(super) ignore_unavailable: bool,
    /// `allow_no_indices`: a pattern without a table, or nothing at all, is no error.
    pub(super) allow_no_indices: bool,
}

impl Default for Unfound {
    fn default() -> Self {
        Self { ignore_unavailable: false, allow_no_indices: true }
    }
}

impl Unfound {
    /// # Errors
    /// 400 for anything but true and false.
    pub(super) fn of(parameters: &Parameters) -> Result<Self, Refused> {
        let usual = Self::default();
        let flag =
            |name: &str, usual: bool| Ok::<_, Refused>(parameters.flag(name)?.unwrap_or(usual));
        Ok(Self {
            ignore_unavailable: flag("ignore_unavailable", usual.ignore_unavailable)?,
            allow_no_indices: flag("allow_no_indices", usual.allow_no_indices)?,
        })
    }
}

/// The tables that `expression` names, in order of their names, each once.
///
/// # Errors
/// The part that names nothing and should.
pub(super) fn resolve(
    expression: Option<&str>,
    tables: &[TableName],
    unfound: Unfound,
) -> Result<Vec<TableName>, String> {
    let expression = expression.unwrap_or("_all");
    let mut named: Vec<&TableName> = vec![];
    let mut after_pattern = false;
    for part in expression.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if let Some(excluded) = part.strip_prefix('-').filter(|_| after_pattern) {
            named.retain(|table| !matches(excluded, table.as_str()));
            continue;
        }
        let pattern = if part == "_all" { "*" } else { part };
        let mut of_part = tables.iter().filter(|table| matches(pattern, table.as_str())).peekable();
        let is_pattern = pattern.contains('*');
        after_pattern |= is_pattern;
        let may_be_nothing =
            if is_pattern { unfound.allow_no_indices } else { unfound.ignore_unavailable };
        if of_part.peek().is_none() && !may_be_nothing {
            return Err(part.to_owned());
        }
        named.extend(of_part);
    }
    if named.is_empty() && !unfound.allow_no_indices {
        return Err(expression.to_owned());
    }
    named.sort();
    named.dedup();
    Ok(named.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(expression: &str, unfound: Unfound) -> Result<String, String> {
        let tables = ["logs-a", "logs-b", "shop"].map(|name| TableName::new(name).unwrap());
        let named = resolve(Some(expression), &tables, unfound)?;
        Ok(named.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn expressions_name_tables() {
        let usual = Unfound::default();
        for (expression, expected) in [
            ("shop", Ok("shop")),
            ("_all", Ok("logs-a logs-b shop")),
            ("*", Ok("logs-a logs-b shop")),
            ("logs-*,-*-b", Ok("logs-a")),
            ("shop,logs-b,shop", Ok("logs-b shop")),
            ("nothing*", Ok("")),
            ("shop,nothing", Err("nothing")),
            ("-shop", Err("-shop")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(resolved(expression, usual), expected, "{expression}");
        }
        let ignoring = Unfound { ignore_unavailable: true, ..usual };
        assert_eq!(resolved("shop,nothing", ignoring).unwrap(), "shop");
        let strict = Unfound { ignore_unavailable: true, allow_no_indices: false };
        assert_eq!(resolved("nothing", strict).unwrap_err(), "nothing");
        assert_eq!(resolved("nothing*", strict).unwrap_err(), "nothing*");
    }
}
