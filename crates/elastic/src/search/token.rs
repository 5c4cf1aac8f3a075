//! Ids of scrolls and of points in time: all that is needed to go on, and nothing is held here, so that
//! no crash and no restart ends one. A later page reads the lake as it is then: rows that came since are
//! in it where the order has not passed them yet.
//!
//! JSON in base64 (RFC 4648, section 5); what is in it is as much to be trusted as the request itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use loglake_model::TableName;
use serde_json::{Value, json};

use super::after::After;
use super::request::SearchRequest;
use crate::ElasticError;

/// A scroll at the end of a page.
pub(super) struct Cursor {
    tables: Vec<String>,
    body: Value,
    url: Vec<(String, String)>,
    /// What `now` means in all of its pages.
    pub(super) now_nanos: i64,
    /// The keys of the last row that was shown.
    pub(super) after: Vec<Value>,
    /// Rows with these keys that were shown.
    pub(super) skip: usize,
    pub(super) total: Option<(u64, String)>,
}

impl Cursor {
    pub(super) fn first(tables: &[TableName], request: &SearchRequest, now_nanos: i64) -> Self {
        Self {
            tables: tables.iter().map(ToString::to_string).collect(),
            body: request.body.clone(),
            url: request.url().to_vec(),
            now_nanos,
            after: vec![],
            skip: 0,
            total: None,
        }
    }

    pub(super) fn write(&self) -> String {
        encode(&json!({
            "scroll": self.tables, "body": self.body, "url": self.url, "now": self.now_nanos,
            "after": self.after, "skip": self.skip, "total": self.total,
        }))
    }

    pub(super) fn read(id: &str) -> Result<Self, ElasticError> {
        let missing =
            || ElasticError::context_missing(format!("No search context found for id [{id}]"));
        let mut token = decode(id).ok_or_else(missing)?;
        let mut take = |key: &str| token.get_mut(key).map(Value::take).ok_or_else(missing);
        let read = |value| serde_json::from_value(value).map_err(|_| missing());
        Ok(Self {
            tables: read(take("scroll")?)?,
            body: take("body")?,
            url: serde_json::from_value(take("url")?).map_err(|_| missing())?,
            now_nanos: take("now")?.as_i64().ok_or_else(missing)?,
            after: serde_json::from_value(take("after")?).map_err(|_| missing())?,
            skip: serde_json::from_value(take("skip")?).map_err(|_| missing())?,
            total: serde_json::from_value(take("total")?).map_err(|_| missing())?,
        })
    }

    pub(super) fn tables(&self) -> Result<Vec<TableName>, ElasticError> {
        names(&self.tables)
    }

    pub(super) fn request(&self) -> Result<SearchRequest, ElasticError> {
        SearchRequest::parse(self.body.clone(), &self.url)
    }

    /// Where the next page begins.
    pub(super) fn place(&self) -> Option<After> {
        let (values, skip) = (self.after.clone(), self.skip);
        (!values.is_empty()).then_some(After { values, inclusive: true, skip })
    }
}

/// A point in time: which tables it is of.
pub(super) struct PointInTime {
    tables: Vec<String>,
}

impl PointInTime {
    pub(super) fn of(tables: &[TableName]) -> Self {
        Self { tables: tables.iter().map(ToString::to_string).collect() }
    }

    pub(super) fn write(&self) -> String {
        encode(&json!({ "pit": self.tables }))
    }

    pub(super) fn read(id: &str) -> Result<Self, ElasticError> {
        let missing =
            || ElasticError::context_missing(format!("No search context found for id [{id}]"));
        let token = decode(id).ok_or_else(missing)?;
        let tables = token.get("pit").cloned().ok_or_else(missing)?;
        let tables = serde_json::from_value(tables).map_err(|_| missing())?;
        Ok(Self { tables })
    }

    pub(super) fn tables(&self) -> Result<Vec<TableName>, ElasticError> {
        names(&self.tables)
    }
}

fn encode(token: &Value) -> String {
    URL_SAFE_NO_PAD.encode(token.to_string())
}

fn decode(id: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(id.trim_end_matches('=')).ok()?).ok()
}

fn names(tables: &[String]) -> Result<Vec<TableName>, ElasticError> {
    let named = tables
        .iter()
        .map(|name| TableName::new(name).map_err(|_| ElasticError::index_not_found(name)));
    named.collect()
}
