//! What Tab offers: keywords, and the names that the lake has.

use std::collections::BTreeSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::client::{Client, ClientError};

/// Words of queries. Functions are the commonest of logs; the lake has far more.
const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "CROSS JOIN",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXISTS",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "FALSE",
    "FROM",
    "FULL JOIN",
    "GROUP BY",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER JOIN",
    "INTERVAL",
    "IS NOT NULL",
    "IS NULL",
    "JOIN",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "NOT",
    "NOW()",
    "NULL",
    "NULLS LAST",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "SELECT",
    "SHOW TABLES",
    "THEN",
    "TRUE",
    "UNION ALL",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
    "approx_distinct(",
    "approx_percentile_cont(",
    "avg(",
    "count(",
    "date_bin(",
    "date_trunc(",
    "length(",
    "lower(",
    "max(",
    "min(",
    "regexp_like(",
    "sum(",
    "upper(",
];

/// Names with anything but these must be quoted: unquoted ones are read in lower case.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn quoted(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Names by what is typed of them.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: BTreeSet<String>,
}

impl Names {
    /// The tables and columns of the lake, from `lake.columns`.
    ///
    /// # Errors
    /// [`ClientError`] when the lake does not answer.
    pub(super) async fn load(client: &Client) -> Result<Self, ClientError> {
        let mut answer = client.query("SELECT DISTINCT * FROM lake.columns LIMIT 100000").await?;
        let mut names = Self::default();
        while let Some(batch) = answer.next().await? {
            names.add(&batch);
        }
        Ok(names)
    }

    /// Takes the columns of `lake.columns` that hold a table's and a column's name.
    fn add(&mut self, batch: &RecordBatch) {
        for column in ["table", "table_name", "column", "column_name", "name"] {
            let Some(array) = batch.column_by_name(column) else {
                continue;
            };
            let Ok(strings) = cast(array, &DataType::Utf8) else {
                continue;
            };
            self.names.extend(strings.as_string::<i32>().iter().flatten().map(quoted));
        }
    }

    /// Where the word at the end of `line` begins, and what it may become.
    pub(super) fn complete(&self, line: &str) -> (usize, Vec<String>) {
        let in_word = |c: char| c.is_alphanumeric() || "_\"".contains(c);
        let start = line.trim_end_matches(in_word).len();
        let word = &line[start..];
        if word.is_empty() {
            return (start, vec![]);
        }
        let bare = word.trim_start_matches('"').to_lowercase();
        let begins = |name: &str| name.trim_start_matches('"').to_lowercase().starts_with(&bare);
        let names = self.names.iter().filter(|name| begins(name)).cloned();
        let keywords = KEYWORDS
            .iter()
            .filter(|word| begins(word) && line.as_bytes().get(start) != Some(&b'"'));
        (start, names.chain(keywords.map(|word| (*word).to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn names() -> Names {
        let tables: ArrayRef = Arc::new(StringArray::from(vec!["logs", "web-logs"]));
        let columns: ArrayRef = Arc::new(StringArray::from(vec!["level", "k8s.pod"]));
        let mut names = Names::default();
        names.add(&RecordBatch::try_from_iter([("table", tables), ("column", columns)]).unwrap());
        names
    }

    #[test]
    fn names_of_the_lake_come_before_keywords() {
        let of = |line: &str| names().complete(line);
        assert_eq!(
            of("SELECT le"),
            (7, vec!["level".into(), "LEFT JOIN".into(), "length(".into()])
        );
        assert_eq!(of("SELECT * FROM We"), (14, vec!["\"web-logs\"".into()]));
        assert_eq!(of("SELECT \"k8"), (7, vec!["\"k8s.pod\"".into()]));
        assert_eq!(of("SELECT "), (7, vec![]));
        assert_eq!(of("SELECT l.lev"), (9, vec!["level".into()]));
    }
}
