//! The answer of `_bulk`, in Elasticsearch's form (reference of the bulk API, "Response body").

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::codes;
use crate::failure::Failure;

/// What became of one action.
pub(super) struct Item {
    /// `create`, `index`, …: the key of the item.
    pub(super) action: &'static str,
    pub(super) index: Arc<str>,
    pub(super) id: String,
    /// `None`: stored.
    pub(super) refused: Option<Refusal>,
}

/// Why a document is not stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    /// The action cannot be read, is not possible here or has no document.
    Action(String),
    Index(String),
    Document(String),
    /// Nothing is wrong with it; the block it came in was not stored.
    NotStored(Failure),
}

impl Refusal {
    fn status(&self) -> u16 {
        match self {
            Self::NotStored(failure) => failure.status().as_u16(),
            _ => 400,
        }
    }

    fn error(&self) -> ItemError {
        let (kind, reason) = match self {
            Self::Action(reason) => ("illegal_argument_exception", reason.clone()),
            Self::Index(reason) => ("invalid_index_name_exception", reason.clone()),
            Self::Document(reason) => ("document_parsing_exception", reason.clone()),
            Self::NotStored(failure) => {
                (codes::elasticsearch_type(failure.kind()), failure.to_string())
            }
        };
        ItemError { kind, reason }
    }
}

#[derive(Serialize)]
struct ItemError {
    #[serde(rename = "type")]
    kind: &'static str,
    reason: String,
}

#[derive(Serialize)]
pub(super) struct BulkAnswer {
    took: u64,
    errors: bool,
    items: Vec<NumberedItem>,
}

impl BulkAnswer {
    pub(super) fn new(took: Duration, items: Vec<Item>) -> Self {
        let errors = items.iter().any(|item| item.refused.is_some());
        let items = (0..).zip(items).map(|(seq_no, item)| NumberedItem { seq_no, item }).collect();
        Self { took: took.as_millis() as u64, errors, items }
    }
}

struct NumberedItem {
    /// Clients want one; here it is the item's place in the request.
    seq_no: u64,
    item: Item,
}

#[derive(Serialize)]
struct Created<'a> {
    _index: &'a str,
    _id: &'a str,
    _version: u64,
    result: &'static str,
    _shards: Shards,
    _seq_no: u64,
    _primary_term: u64,
    status: u16,
}

#[derive(Serialize)]
struct Shards {
    total: u64,
    successful: u64,
    failed: u64,
}

#[derive(Serialize)]
struct Refused<'a> {
    _index: &'a str,
    _id: &'a str,
    status: u16,
    error: ItemError,
}

impl Serialize for NumberedItem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Item { action, index, id, refused } = &self.item;
        let mut item = serializer.serialize_map(Some(1))?;
        match refused {
            None => item.serialize_entry(
                action,
                &Created {
                    _index: index,
                    _id: id,
                    _version: 1,
                    result: "created",
                    _shards: Shards { total: 1, successful: 1, failed: 0 },
                    _seq_no: self.seq_no,
                    _primary_term: 1,
                    status: 201,
                },
            )?,
            Some(refusal) => {
                let (status, error) = (refusal.status(), refusal.error());
                item.serialize_entry(action, &Refused { _index: index, _id: id, status, error })?;
            }
        }
        item.end()
    }
}

#[cfg(test)]
mod tests {
    use loglake_model::ErrorKind;
    use serde_json::json;

    use super::*;

    fn item(action: &'static str, refused: Option<Refusal>) -> Item {
        Item { action, index: "logs".into(), id: "x1".to_owned(), refused }
    }

    #[test]
    fn items_have_elasticsearchs_form() {
        let full = Failure::new(ErrorKind::Overloaded, "full");
        let answer = BulkAnswer::new(
            Duration::from_millis(7),
            vec![
                item("create", None),
                item("index", Some(Refusal::Document("no object".to_owned()))),
                item("create", Some(Refusal::NotStored(full))),
            ],
        );
        assert_eq!(
            serde_json::to_value(&answer).unwrap(),
            json!({"took": 7, "errors": true, "items": [
                {"create": {
                    "_index": "logs", "_id": "x1", "_version": 1, "result": "created",
                    "_shards": {"total": 1, "successful": 1, "failed": 0},
                    "_seq_no": 0, "_primary_term": 1, "status": 201,
                }},
                {"index": {
                    "_index": "logs", "_id": "x1", "status": 400,
                    "error": {"type": "document_parsing_exception", "reason": "no object"},
                }},
                {"create": {
                    "_index": "logs", "_id": "x1", "status": 429,
                    "error": {"type": "es_rejected_execution_exception", "reason": "full"},
                }},
            ]})
        );
        let stored = BulkAnswer::new(Duration::ZERO, vec![item("create", None)]);
        assert!(!stored.errors);
    }
}
