//! Which table the records of a topic go to.

use loglake_model::TableName;
use regex::Regex;

use crate::CollectError;

/// Tables of topics that do not go to the one of their own name.
#[derive(Clone, Debug, Default)]
pub struct TableMap {
    exact: Vec<(String, TableName)>,
    patterns: Vec<(Regex, TableName)>,
}

impl TableMap {
    /// Of pairs of a topic, or a regular expression that begins with `^` and is compared with the whole
    /// name, and a table. An exact name weighs more; of several expressions the first one that fits.
    ///
    /// # Errors
    /// What is wrong with a pair, in words.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut map = Self::default();
        for (topic, table) in pairs {
            let table = TableName::new(table).map_err(|e| e.to_string())?;
            match topic.strip_prefix('^') {
                None => map.exact.push((topic.to_owned(), table)),
                Some(pattern) => {
                    let whole = format!("^(?:{})$", pattern.strip_suffix('$').unwrap_or(pattern));
                    let regex = Regex::new(&whole).map_err(|e| format!("{topic:?}: {e}"))?;
                    map.patterns.push((regex, table));
                }
            }
        }
        Ok(map)
    }

    /// # Errors
    /// [`CollectError::NoTable`] when the topic's name is no table's and nothing else is said.
    pub fn table(&self, topic: &str) -> Result<TableName, CollectError> {
        let exact = self.exact.iter().find(|(name, _)| name == topic).map(|(_, table)| table);
        let fitting = || self.patterns.iter().find(|(regex, _)| regex.is_match(topic));
        match exact.or_else(|| fitting().map(|(_, table)| table)) {
            Some(table) => Ok(table.clone()),
            None => TableName::new(topic)
                .map_err(|problem| CollectError::NoTable { topic: topic.to_owned(), problem }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_goes_to_its_table_to_the_first_that_fits_or_to_the_one_of_its_name() {
        let map = TableMap::new([("^app-.*", "apps"), ("app-x", "x"), ("^.*-audit$", "audit")]);
        let map = map.unwrap();
        for (topic, table) in
            [("app-x", "x"), ("app-y", "apps"), ("a-audit", "audit"), ("my-app-y", "my-app-y")]
        {
            assert_eq!(map.table(topic).unwrap().as_str(), table);
        }
        let none = map.table("_internal").unwrap_err().to_string();
        assert!(none.contains("collect.kafka.tables"), "{none}");
        assert!(TableMap::new([("^(", "t")]).is_err());
        assert!(TableMap::new([("t", "_bad")]).is_err());
    }
}
