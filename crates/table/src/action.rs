//! The actions of a Delta log, as JSON: one object a line in an entry, one row each in a checkpoint.
//!
//! Source: the Delta transaction log protocol, "Actions" and "Appendix: JSON"
//! (<https://github.com/delta-io/delta/blob/master/PROTOCOL.md>). Only what readers of version 1
//! and writers of version 2 must know is here; [`Protocol::check`] refuses tables that need more,
//! so that any other action or field can be passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Values of a map of the log: a null is allowed where the specification says "string".
pub(crate) type Strings = BTreeMap<String, Option<String>>;

/// One line of an entry. Exactly one field is set; none for an action that is not known.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commit_info: Option<CommitInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<Protocol>,
    #[serde(rename = "metaData", skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) txn: Option<Txn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) add: Option<Add>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remove: Option<Remove>,
}

/// Where a commit came from. Free-form by the specification; never part of the table's state.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CommitInfo {
    /// Milliseconds since the epoch.
    pub(crate) timestamp: i64,
    pub(crate) operation: String,
    pub(crate) operation_parameters: BTreeMap<String, serde_json::Value>,
    pub(crate) engine_info: String,
    /// The commit's own id: how a committer whose answer was lost finds its commit again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) txn_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub(crate) min_reader_version: i32,
    pub(crate) min_writer_version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) writer_features: Option<Vec<String>>,
}

/// Features that ask nothing of loglake beyond what it does: it writes no column with an invariant
/// but "not null" (see `schema`), and its rewrites are no business of an append-only table.
const WRITER_FEATURES: [&str; 2] = ["appendOnly", "invariants"];

impl Protocol {
    /// What new tables need: the least that every engine reads and writes.
    pub(crate) const NEW: Self = Self {
        min_reader_version: 1,
        min_writer_version: 2,
        reader_features: None,
        writer_features: None,
    };

    /// Whether loglake may read and write a table of this protocol.
    ///
    /// # Errors
    /// What it does not know.
    pub(crate) fn check(&self) -> Result<(), String> {
        match (self.min_reader_version, &self.reader_features) {
            (..=1, _) => {}
            (3, features) => {
                if let Some(feature) = features.iter().flatten().next() {
                    return Err(format!("the reader feature {feature:?}"));
                }
            }
            (version, _) => return Err(format!("reader version {version}")),
        }
        match (self.min_writer_version, &self.writer_features) {
            (..=2, _) => Ok(()),
            (7, features) => {
                let unknown = |f: &&String| !WRITER_FEATURES.contains(&f.as_str());
                match features.iter().flatten().find(unknown) {
                    Some(feature) => Err(format!("the writer feature {feature:?}")),
                    None => Ok(()),
                }
            }
            (version, _) => Err(format!("writer version {version}")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) format: Format,
    pub(crate) schema_string: String,
    pub(crate) partition_columns: Vec<String>,
    #[serde(default)]
    pub(crate) configuration: Strings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_time: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) options: Strings,
}

/// The version of an application: a writer's watermark, or what another engine keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Txn {
    pub(crate) app_id: String,
    pub(crate) version: i64,
    /// Milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_updated: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Add {
    /// URL-encoded, relative to the table's root; see [`encode_path`].
    pub(crate) path: String,
    pub(crate) partition_values: Strings,
    pub(crate) size: i64,
    /// Milliseconds since the epoch.
    pub(crate) modification_time: i64,
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Strings>,
}

/// A file that is no longer part of the table; kept as a tombstone until vacuum may have run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    pub(crate) path: String,
    /// Milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_timestamp: Option<i64>,
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partition_values: Option<Strings>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<i64>,
}

macro_rules! lines_from {
    ($($action:ident in $field:ident),*) => {$(
        impl From<$action> for Line {
            fn from(action: $action) -> Self {
                Self { $field: Some(action), ..Self::default() }
            }
        }
    )*};
}
lines_from!(CommitInfo in commit_info, Protocol in protocol, Metadata in metadata, Txn in txn,
    Add in add, Remove in remove);

/// An entry's bytes.
pub(crate) fn encode(lines: &[Line]) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// The actions of an entry (or of a checkpoint's rows, turned to JSON); unknown ones are left out.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Line>, serde_json::Error> {
    bytes
        .split(|b| *b == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(serde_json::from_slice)
        .filter(|line| !matches!(line, Ok(line) if *line == Line::default()))
        .collect()
}

/// A path as the log spells it: percent-encoded (RFC 2396), slashes and `=` as they are.
pub(crate) fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/=".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The other way; `None` when it is not an encoding of UTF-8.
pub(crate) fn decode_path(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        decoded.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn protocol(reader: i32, writer: i32, features: Option<&[&str]>) -> Protocol {
        let list =
            |on: bool| features.filter(|_| on).map(|f| f.iter().map(|f| (*f).into()).collect());
        Protocol {
            min_reader_version: reader,
            min_writer_version: writer,
            reader_features: list(reader == 3),
            writer_features: list(writer == 7),
        }
    }

    #[test]
    fn what_is_not_known_of_the_protocol_is_refused_by_name() {
        assert_eq!(Protocol::NEW.check(), Ok(()));
        assert_eq!(protocol(1, 7, Some(&["appendOnly", "invariants"])).check(), Ok(()));
        assert_eq!(protocol(3, 7, Some(&[])).check(), Ok(()));
        assert!(protocol(2, 5, None).check().unwrap_err().contains("reader version 2"));
        assert!(protocol(1, 3, None).check().unwrap_err().contains("writer version 3"));
        let vectors = protocol(3, 7, Some(&["deletionVectors"])).check().unwrap_err();
        assert!(vectors.contains("reader feature \"deletionVectors\""), "{vectors}");
        let rows = protocol(1, 7, Some(&["rowTracking"])).check().unwrap_err();
        assert!(rows.contains("writer feature \"rowTracking\""), "{rows}");
    }

    #[test]
    fn unknown_actions_and_fields_are_passed_over() {
        let entry = concat!(
            r#"{"cdc":{"path":"x","size":1,"partitionValues":{},"dataChange":false}}"#,
            "\n\n",
            r#"{"domainMetadata":{"domain":"d","configuration":"{}","removed":false}}"#,
            "\n",
            r#"{"txn":{"appId":"a","version":3,"more":[1]}}"#,
        );
        let txn = Txn { app_id: "a".into(), version: 3, last_updated: None };
        assert_eq!(decode(entry.as_bytes()).unwrap(), vec![txn.into()]);
        assert!(decode(b"{\"txn\":{").is_err());
    }

    #[test]
    fn paths_are_encoded_as_other_engines_read_them() {
        let ours = "date=2026-11-01/hour=13/01.parquet";
        assert_eq!(encode_path(ours), ours);
        assert_eq!(encode_path("a b/%c+ü"), "a%20b/%25c%2B%C3%BC");
        assert_eq!(decode_path("p=a%2520b").as_deref(), Some("p=a%20b"));
        assert_eq!(decode_path("%zz"), None);
        assert_eq!(decode_path("%2"), None);
        assert_eq!(decode_path("%ff"), None);
    }

    proptest! {
        #[test]
        fn every_path_comes_back(path in ".*") {
            prop_assert_eq!(decode_path(&encode_path(&path)), Some(path));
        }
    }
}
