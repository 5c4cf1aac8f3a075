//! Searches over the lake, from their requests to their answers.
//!
//! ```text
//! request → snapshot → hits of each table → total, where they do not tell it ┐
//!                    → aggregations                                          ┴→ answer
//! ```

mod after;
mod answer;
mod base;
mod hits;
mod request;
#[cfg(test)]
mod tests;
mod token;

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::future::try_join;
use loglake_model::{TableName, TenantName};
use loglake_query::{PlanSnapshot, PlansRequest, QueryEngine};
use serde_json::{Value, json};

use self::answer::Page;
use self::base::Base;
pub use self::request::SearchRequest;
use self::request::{Search, Total};
use self::token::{Cursor, PointInTime};
use crate::query::Query;
use crate::sort::{Order, Sort, SortKey};
use crate::{ElasticError, dates};

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
        tables: &[TableName],
        request: &SearchRequest,
    ) -> Result<Value, ElasticError> {
        let search = request.understood(self.now_nanos)?;
        let Some(id) = &search.pit else {
            return Ok(self.page(tables, search).await?.answer());
        };
        let point = PointInTime::read(id)?;
        let (id, tables) = (id.clone(), point.tables()?);
        let mut answer = self.page(&tables, search).await?.answer();
        answer["pit_id"] = json!(id);
        Ok(answer)
    }

    /// The same as the first page of a scroll; `keep_alive` is the parameter `scroll` (`1m`).
    ///
    /// # Errors
    /// As [`Self::search`]; when the keep-alive is no length of time.
    pub async fn search_scroll(
        &self,
        tables: &[TableName],
        request: &SearchRequest,
        keep_alive: &str,
    ) -> Result<Value, ElasticError> {
        check_keep_alive(keep_alive)?;
        let mut search = request.understood(self.now_nanos)?;
        if search.from > 0 {
            return Err(ElasticError::illegal_argument(
                "using [from] is not allowed in a scroll context",
            ));
        }
        if search.size == 0 {
            return Err(ElasticError::illegal_argument("[size] cannot be [0] in a scroll context"));
        }
        search.is_scrolled = true;
        let cursor = Cursor::first(tables, request, self.now_nanos);
        let page = self.page(tables, search).await?;
        Ok(page.answer_of_scroll(cursor))
    }

    /// The next page of a scroll by its id: `_search/scroll`. Nothing is held here for it, so that
    /// deleting one is answered with success by the doors.
    ///
    /// # Errors
    /// `search_context_missing_exception` when it is no id of loglake's.
    pub async fn scroll(
        &self,
        scroll_id: &str,
        keep_alive: Option<&str>,
    ) -> Result<Value, ElasticError> {
        keep_alive.map(check_keep_alive).transpose()?;
        let cursor = Cursor::read(scroll_id)?;
        let mut search = cursor.request()?.understood(cursor.now_nanos)?;
        search.is_scrolled = true;
        search.aggs = None;
        search.total = Total::Known(cursor.total.clone());
        search.continued = cursor.place();
        let page = self.page(&cursor.tables()?, search).await?;
        Ok(page.answer_of_scroll(cursor))
    }

    /// The answer of `POST /index/_pit`: `{"id": …}`.
    ///
    /// # Errors
    /// When the keep-alive is no length of time.
    pub fn open_point_in_time(
        &self,
        tables: &[TableName],
        keep_alive: &str,
    ) -> Result<Value, ElasticError> {
        check_keep_alive(keep_alive)?;
        let id = PointInTime::of(tables).write();
        Ok(json!({ "id": id, "_shards": answer::shards(tables.len()) }))
    }

    /// The answer of `_count`: `count` and `_shards`.
    ///
    /// # Errors
    /// Those of the request (`query` alone, or `q`) and of its query.
    pub async fn count(
        &self,
        tables: &[TableName],
        request: &SearchRequest,
    ) -> Result<Value, ElasticError> {
        request.only_query()?;
        let mut search = request.understood(self.now_nanos)?;
        (search.size, search.total) = (0, Total::Exact);
        let page = self.page(tables, search).await?;
        Ok(
            json!({ "count": page.total.map_or(0, |(count, _)| count), "_shards": answer::shards(tables.len()) }),
        )
    }

    /// The document of an id, as `_doc/ID` shows it (`_index`, `_id`, `_version`, `found`, `_source`);
    /// `found: false` when there is none.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn document(
        &self,
        table: &TableName,
        id: &str,
        url: &[(String, String)],
    ) -> Result<Value, ElasticError> {
        let known = url.iter().filter(|(name, _)| name.starts_with("_source")).cloned();
        let body =
            json!({ "query": { "ids": { "values": [id] } }, "size": 1, "track_total_hits": false });
        let request = SearchRequest::parse(body, &known.collect::<Vec<_>>())?;
        let page =
            self.page(std::slice::from_ref(table), request.understood(self.now_nanos)?).await?;
        let mut answer = json!({ "_index": table.as_str(), "_id": id, "found": false });
        if let Some(hit) = page.hits.into_iter().next() {
            answer = json!({
                "_index": table.as_str(), "_id": id, "_version": 1, "_seq_no": 0, "_primary_term": 1,
                "found": true,
            });
            if let Some(source) = hit.get("_source") {
                answer["_source"] = source.clone();
            }
        }
        Ok(answer)
    }

    /// The answer of `_validate/query`, with `explain`.
    ///
    /// # Errors
    /// Those of the tables; a query that is wrong is an answer (`valid: false`).
    pub async fn validate(
        &self,
        tables: &[TableName],
        body: &Value,
        url: &[(String, String)],
    ) -> Result<Value, ElasticError> {
        let request = SearchRequest::parse(body.clone(), url);
        let checked = match request.and_then(|request| request.understood(self.now_nanos)) {
            Ok(search) => {
                let work = Check { query: &search.query, now_nanos: self.now_nanos };
                match self.ask("_validate/query", tables, search.timeout, &work).await {
                    Err(ElasticError::Query(error)) => return Err(error.into()),
                    checked => checked.map(|(explained, _)| explained),
                }
            }
            Err(error) => Err(error),
        };
        let mut answer = json!({ "valid": checked.is_ok(), "_shards": answer::shards(1) });
        if url.iter().any(|(name, value)| name == "explain" && value != "false") {
            let index = tables.first().map(|table| table.as_str());
            answer["explanations"] = json!([match checked {
                Ok(explained) => json!({ "index": index, "valid": true, "explanation": explained }),
                Err(error) => json!({ "index": index, "valid": false, "error": error.to_string() }),
            }]);
        }
        Ok(answer)
    }

    async fn page(&self, tables: &[TableName], search: Search) -> Result<Page, ElasticError> {
        let typed = search.total_as_int;
        let mut page = match tables {
            [] => Page::default(),
            _ => {
                let work = Run { tables, search: &search, now_nanos: self.now_nanos };
                let (mut page, took) =
                    self.ask(&search.text, tables, search.timeout, &work).await?;
                page.took = took;
                page
            }
        };
        page.tables = tables.len();
        page.total_as_int = typed;
        if tables.is_empty() && search.total != Total::None {
            page.total = Some((0, "eq".to_owned()));
        }
        Ok(page)
    }

    /// Asks until the lake has not moved on below the question.
    async fn ask<W: Work>(
        &self,
        text: &str,
        tables: &[TableName],
        timeout: Option<std::time::Duration>,
        work: &W,
    ) -> Result<(W::Answer, u64), ElasticError> {
        let request = PlansRequest { tenant: self.tenant.clone(), text: text.to_owned(), timeout };
        let names: BTreeSet<TableName> = tables.iter().cloned().collect();
        let mut query = self.engine.plans(request);
        loop {
            let answer = match query.snapshot(&names).await {
                Ok(snapshot) => work.run(&snapshot).await,
                Err(error) => Err(error.into()),
            };
            match answer {
                Ok(answer) => {
                    let took = u64::try_from(query.elapsed().as_millis()).unwrap_or(u64::MAX);
                    query.end(None);
                    return Ok((answer, took));
                }
                Err(ElasticError::Query(error)) => {
                    if query.begin_again(&error).await {
                        continue;
                    }
                    query.end(Some(&error));
                    return Err(error.into());
                }
                Err(error) => {
                    query.end(None);
                    return Err(error);
                }
            }
        }
    }
}

fn check_keep_alive(text: &str) -> Result<(), ElasticError> {
    dates::fixed_interval(text, "keep_alive").map(drop)
}

/// What is asked of one snapshot.
#[async_trait]
trait Work: Sync {
    type Answer: Send;
    async fn run(&self, snapshot: &PlanSnapshot<'_>) -> Result<Self::Answer, ElasticError>;
}

struct Run<'a> {
    tables: &'a [TableName],
    search: &'a Search,
    now_nanos: i64,
}

#[async_trait]
impl Work for Run<'_> {
    type Answer = Page;

    async fn run(&self, snapshot: &PlanSnapshot<'_>) -> Result<Page, ElasticError> {
        let Self { tables, search, now_nanos } = self;
        let base = Base::new(snapshot, tables)?;
        let hits_and_total = async {
            let hits = hits::hits(snapshot, tables, search, *now_nanos).await?;
            let total = match search.total_of_page(hits.len()) {
                Some(total) => Some(total),
                None => base::total(snapshot, &base, search, *now_nanos).await?,
            };
            Ok::<_, ElasticError>((hits, total))
        };
        let aggs = base::aggregations(snapshot, &base, search, *now_nanos);
        let ((hits, total), aggs) = try_join(hits_and_total, aggs).await?;
        let total = match (total, &aggs) {
            // The histogram has counted them all.
            (None, Some(aggs)) => base::total_of_histogram(search, aggs),
            (total, _) => total,
        };
        Page::new(search, hits, total, aggs)
    }
}

struct Check<'a> {
    query: &'a Query,
    now_nanos: i64,
}

#[async_trait]
impl Work for Check<'_> {
    type Answer = String;

    async fn run(&self, snapshot: &PlanSnapshot<'_>) -> Result<String, ElasticError> {
        let tables = snapshot.tables();
        if tables.is_empty() {
            return Ok(String::new());
        }
        let base = Base::new(snapshot, &tables)?;
        Ok(crate::query::filter(self.query, &base.fields, self.now_nanos)?.to_string())
    }
}

/// The order of rows that makes it the same on each page: by time and id after what was asked for.
fn with_ties(sort: &Sort) -> Sort {
    let ascending = Some(Order::Ascending);
    let mut keys = sort.0.clone();
    keys.extend([
        SortKey::new("@timestamp", ascending),
        SortKey::new(crate::fields::ID, ascending),
    ]);
    Sort(keys)
}
