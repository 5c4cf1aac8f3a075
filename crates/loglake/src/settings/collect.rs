//! Settings of what is consumed from other systems' queues.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail};
use loglake_collect::{KafkaSource, Start, TableMap};
use loglake_model::{Limits, TableName};
use loglake_receive::kafka::{PayloadFormat, RecordFields};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Other systems' queues that come into the lake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CollectSettings {
    pub kafka: KafkaSourceSettings,
}

/// A Kafka cluster whose topics come into the lake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSourceSettings {
    /// Addresses of Kafka brokers, `host:port`, whose topics are consumed by the processes with the role
    /// `ingest`; none: nothing is consumed.
    pub brokers: Vec<String>,
    /// Topics to consume. One that begins with `^` is a regular expression; topics that fit and are made
    /// later are found within seconds.
    pub topics: Vec<String>,
    /// The table of a topic, or of a regular expression that begins with `^`, where it is another than the
    /// one of the topic's name.
    pub tables: BTreeMap<String, String>,
    /// How payloads are written: `auto` (a JSON object, or else a line of text), `json`, `text`,
    /// `otlp_proto`, `otlp_json`. What is not so goes to the table `dead_letters`.
    #[schemars(with = "String")]
    pub format: SourceFormat,
    /// What of a record beside its payload becomes fields, `kafka.key` and so on: any of `key`, `headers`,
    /// `topic`, `partition`, `offset`, `timestamp`.
    #[schemars(with = "Vec<String>")]
    pub fields: Vec<SourceField>,
    /// Where a partition of which nothing was read yet begins: `earliest`, or `latest` (of the partitions
    /// that are there at the very first start; later ones are read whole).
    #[schemars(with = "String")]
    pub start: SourceStart,
    /// The consumer group that spreads the partitions over the ingesters. Two lakes need two.
    pub group: String,
    /// What offsets are kept under, in place of the cluster's own id. With another name everything is read
    /// from `collect.kafka.start` again.
    pub name: Option<String>,
    /// Properties of librdkafka: `security.protocol`, `sasl.mechanism`, `sasl.username`, `sasl.password`,
    /// `ssl.ca.location` and all others but those that loglake sets itself.
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFormat {
    #[default]
    Auto,
    Json,
    Text,
    OtlpProto,
    OtlpJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceField {
    Key,
    Headers,
    Topic,
    Partition,
    Offset,
    Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceStart {
    #[default]
    Earliest,
    Latest,
}

impl Default for KafkaSourceSettings {
    fn default() -> Self {
        Self {
            brokers: vec![],
            topics: vec![],
            tables: BTreeMap::new(),
            format: SourceFormat::Auto,
            fields: vec![],
            start: SourceStart::Earliest,
            group: "loglake".to_owned(),
            name: None,
            properties: BTreeMap::new(),
        }
    }
}

impl KafkaSourceSettings {
    /// What to consume; `None` for nothing.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn source(&self, limits: &Limits) -> anyhow::Result<Option<KafkaSource>> {
        if self.brokers.is_empty() {
            return Ok(None);
        }
        if self.topics.is_empty() {
            bail!("`topics` is empty: name at least one");
        }
        if self.group.is_empty() {
            bail!("`group` is empty");
        }
        if let Some(name) = &self.name {
            TableName::new(name)
                .map_err(|_| anyhow!("{name:?} cannot be a folder"))
                .context("`name` cannot be used")?;
        }
        let tables = self.tables.iter().map(|(topic, table)| (topic.as_str(), table.as_str()));
        let tables = TableMap::new(tables).map_err(|e| anyhow!("`tables`: {e}"))?;
        let has = |field| self.fields.contains(&field);
        Ok(Some(KafkaSource {
            brokers: self.brokers.clone(),
            topics: self.topics.clone(),
            tables,
            format: match self.format {
                SourceFormat::Auto => PayloadFormat::Auto,
                SourceFormat::Json => PayloadFormat::Json,
                SourceFormat::Text => PayloadFormat::Text,
                SourceFormat::OtlpProto => PayloadFormat::OtlpProtobuf,
                SourceFormat::OtlpJson => PayloadFormat::OtlpJson,
            },
            fields: RecordFields {
                key: has(SourceField::Key),
                headers: has(SourceField::Headers),
                partition: has(SourceField::Partition),
                topic: has(SourceField::Topic),
                offset: has(SourceField::Offset),
                timestamp: has(SourceField::Timestamp),
            },
            start: match self.start {
                SourceStart::Earliest => Start::Earliest,
                SourceStart::Latest => Start::Latest,
            },
            group: self.group.clone(),
            name: self.name.clone(),
            properties: self.properties.clone(),
            limits: limits.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_brokers_nothing_is_consumed_and_what_is_wrong_is_named() {
        let none = KafkaSourceSettings::default();
        assert!(none.source(&Limits::default()).unwrap().is_none());
        let some = |topics: &[&str], tables: &[(&str, &str)], name: Option<&str>| {
            let settings = KafkaSourceSettings {
                brokers: vec!["127.0.0.1:9092".into()],
                topics: topics.iter().map(|t| (*t).to_owned()).collect(),
                tables: tables.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
                name: name.map(str::to_owned),
                ..KafkaSourceSettings::default()
            };
            settings.source(&Limits::default()).map(|source| source.is_some())
        };
        assert!(some(&["t"], &[("^t.*", "logs")], Some("east")).unwrap());
        for (wrong, named) in [
            (some(&[], &[], None), "topics"),
            (some(&["t"], &[("t", "_no")], None), "tables"),
            (some(&["t"], &[], Some("a/b")), "name"),
        ] {
            let error = format!("{:#}", wrong.unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
