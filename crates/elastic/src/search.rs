//! Searches over the lake, from their requests to their answers.

use loglake_model::{TableName, TenantName};
use loglake_query::QueryEngine;
use serde_json::{Value, json};

use crate::ElasticError;

/// A search: its body and the URL's parameters together.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// As it came, for tokens of scrolls.
    pub body: Value,
}

impl SearchRequest {
    /// Of a body (`Value::Null` for none) and the URL's parameters, decoded. Parameters that say
    /// nothing about a search (`pretty`, `filter_path`, `ignore_unavailable`, `scroll`, `preference`)
    /// are passed over: the doors know them.
    ///
    /// Known: `q`, `df`, `default_operator`, `analyze_wildcard`, `lenient`, `size`, `from`, `sort`,
    /// `_source`, `_source_includes`, `_source_excludes`, `stored_fields`, `docvalue_fields`,
    /// `track_total_hits`, `track_scores`, `rest_total_hits_as_int`, `typed_keys`, `timeout`,
    /// `terminate_after`, `search_type`, `version`, `seq_no_primary_term`, `explain`.
    ///
    /// # Errors
    /// When something in it is unknown or not supported, as Elasticsearch says it.
    pub fn parse(body: Value, _url: &[(String, String)]) -> Result<Self, ElasticError> {
        Ok(Self { body })
    }

    /// The index and keep-alive are in the id of a point in time when the body has one: then no index
    /// may be named in the URL, and these are the tables.
    pub fn point_in_time(&self) -> Option<&str> {
        None
    }
}

/// Answers for one tenant, over one engine.
#[derive(Clone, Copy)]
pub struct Elastic<'a> {
    pub engine: &'a QueryEngine,
    pub tenant: &'a TenantName,
    /// What `now` means.
    pub now_nanos: i64,
}

impl Elastic<'_> {
    /// The answer of `_search` (`took`, `timed_out`, `_shards`, `hits`, `aggregations`); with no
    /// tables an empty one. For a body with a `pit` the tables are those of its id.
    ///
    /// # Errors
    /// Those of the request and of its queries.
    pub async fn search(
        &self,
        _tables: &[TableName],
        _request: &SearchRequest,
    ) -> Result<Value, ElasticError> {
        Ok(json!({}))
    }

    /// The same as the first page of a scroll; `keep_alive` is the parameter `scroll` (`1m`).
    ///
    /// # Errors
    /// As [`Self::search`]; when the keep-alive is no length of time.
    pub async fn search_scroll(
        &self,
        tables: &[TableName],
        request: &SearchRequest,
        _keep_alive: &str,
    ) -> Result<Value, ElasticError> {
        self.search(tables, request).await
    }

    /// The next page of a scroll by its id: `_search/scroll`. Nothing is held here for it, so that
    /// deleting one is answered with success by the doors.
    ///
    /// # Errors
    /// `search_context_missing_exception` when it is no id of loglake's.
    pub async fn scroll(
        &self,
        _scroll_id: &str,
        _keep_alive: Option<&str>,
    ) -> Result<Value, ElasticError> {
        Ok(json!({}))
    }

    /// The answer of `POST /index/_pit`: `{"id": …}`.
    ///
    /// # Errors
    /// When the keep-alive is no length of time.
    pub fn open_point_in_time(
        &self,
        _tables: &[TableName],
        _keep_alive: &str,
    ) -> Result<Value, ElasticError> {
        Ok(json!({}))
    }

    /// The answer of `_count`: `count` and `_shards`.
    ///
    /// # Errors
    /// Those of the request (`query` alone, or `q`) and of its query.
    pub async fn count(
        &self,
        _tables: &[TableName],
        _request: &SearchRequest,
    ) -> Result<Value, ElasticError> {
        Ok(json!({}))
    }

    /// The document of an id, as `_doc/ID` shows it (`_index`, `_id`, `_version`, `found`, `_source`);
    /// `found: false` when there is none.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn document(
        &self,
        _table: &TableName,
        _id: &str,
        _url: &[(String, String)],
    ) -> Result<Value, ElasticError> {
        Ok(json!({}))
    }

    /// The answer of `_validate/query`, with `explain`.
    ///
    /// # Errors
    /// Those of the tables; a query that is wrong is an answer (`valid: false`).
    pub async fn validate(
        &self,
        _tables: &[TableName],
        _body: &Value,
        _url: &[(String, String)],
    ) -> Result<Value, ElasticError> {
        Ok(json!({ "valid": true }))
    }
}
