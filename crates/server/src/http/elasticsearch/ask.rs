//! A search on its way to the crate `elastic`, which makes it a plan over the tables, and back.

use loglake_elastic::{Elastic, ElasticError, SearchRequest};
use loglake_model::TableName;
use serde_json::Value;

use super::lake::Asked;
use super::parameters::Parameters;
use super::reply::Refused;
use crate::doors::OpenDoors;
use crate::metrics::QueryDoor;

/// A body with what the URL says.
pub(super) fn request(
    doors: &OpenDoors,
    body: Option<Value>,
    parameters: &Parameters,
) -> Result<SearchRequest, Refused> {
    let parsed = SearchRequest::parse(body.unwrap_or(Value::Null), parameters.pairs());
    parsed.or_else(|error| counted(doors, Err(error)))
}

pub(super) fn search<'a>(
    doors: &'a OpenDoors,
    tables: &'a [TableName],
    request: &'a SearchRequest,
) -> Asked<'a, Value> {
    Box::pin(async { counted(doors, elastic(doors)?.search(tables, request).await) })
}

/// The first page of a scroll.
pub(super) fn search_scroll<'a>(
    doors: &'a OpenDoors,
    tables: &'a [TableName],
    request: &'a SearchRequest,
    keep_alive: &'a str,
) -> Asked<'a, Value> {
    Box::pin(async move {
        counted(doors, elastic(doors)?.search_scroll(tables, request, keep_alive).await)
    })
}

/// The next page of a scroll.
pub(super) fn scroll<'a>(
    doors: &'a OpenDoors,
    id: &'a str,
    keep_alive: Option<&'a str>,
) -> Asked<'a, Value> {
    Box::pin(async move { counted(doors, elastic(doors)?.scroll(id, keep_alive).await) })
}

pub(super) fn open_point_in_time(
    doors: &OpenDoors,
    tables: &[TableName],
    keep_alive: &str,
) -> Result<Value, Refused> {
    Ok(elastic(doors)?.open_point_in_time(tables, keep_alive)?)
}

pub(super) fn count<'a>(
    doors: &'a OpenDoors,
    tables: &'a [TableName],
    request: &'a SearchRequest,
) -> Asked<'a, Value> {
    Box::pin(async { counted(doors, elastic(doors)?.count(tables, request).await) })
}

/// Rows of one table, those that wait for their commit included.
pub(super) async fn count_of(doors: &OpenDoors, table: &TableName) -> Result<u64, Refused> {
    let request = request(doors, None, &Parameters::default())?;
    let counted = count(doors, std::slice::from_ref(table), &request).await?;
    Ok(counted["count"].as_u64().unwrap_or_default())
}

pub(super) fn document<'a>(
    doors: &'a OpenDoors,
    table: &'a TableName,
    id: &'a str,
    parameters: &'a Parameters,
) -> Asked<'a, Value> {
    Box::pin(async move {
        counted(doors, elastic(doors)?.document(table, id, parameters.pairs()).await)
    })
}

pub(super) fn validate<'a>(
    doors: &'a OpenDoors,
    tables: &'a [TableName],
    body: &'a Value,
    parameters: &'a Parameters,
) -> Asked<'a, Value> {
    Box::pin(async move {
        counted(doors, elastic(doors)?.validate(tables, body, parameters.pairs()).await)
    })
}

fn elastic(doors: &OpenDoors) -> Result<Elastic<'_>, Refused> {
    let engine = doors.engine()?;
    Ok(Elastic { engine, tenant: &doors.tenant, now_nanos: doors.clock.now().as_nanos() })
}

/// The same answer; that a query was begun or refused is counted.
fn counted<T>(doors: &OpenDoors, answer: Result<T, ElasticError>) -> Result<T, Refused> {
    doors.metrics.query(QueryDoor::Elasticsearch, answer.is_ok());
    Ok(answer?)
}
