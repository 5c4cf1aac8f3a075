//! A search on its way to the crate `elastic`, which makes it a plan over the tables, and back.

use loglake_elastic::{Elastic, ElasticError, SearchRequest};
use loglake_model::TableName;
use serde_json::Value;

use super::parameters::Parameters;
use super::reply::Refused;
use crate::doors::OpenDoors;
use crate::metrics::QueryDoor;

/// What answers searches here.
pub(super) fn elastic(doors: &OpenDoors) -> Result<Elastic<'_>, Refused> {
    let engine = doors.engine()?;
    Ok(Elastic { engine, tenant: &doors.tenant, now_nanos: doors.clock.now().as_nanos() })
}

/// A body with what the URL says.
pub(super) fn request(
    doors: &OpenDoors,
    body: Option<Value>,
    parameters: &Parameters,
) -> Result<SearchRequest, Refused> {
    let parsed = SearchRequest::parse(body.unwrap_or(Value::Null), parameters.pairs());
    counted(doors, parsed)
}

/// The same answer; whether the query was begun or refused is counted.
pub(super) fn counted<T>(doors: &OpenDoors, answer: Result<T, ElasticError>) -> Result<T, Refused> {
    if answer.is_err() {
        doors.metrics.query(QueryDoor::Elasticsearch, false);
    }
    Ok(answer?)
}

pub(super) async fn search(
    doors: &OpenDoors,
    tables: &[TableName],
    request: &SearchRequest,
) -> Result<Value, Refused> {
    let answer = counted(doors, elastic(doors)?.search(tables, request).await)?;
    doors.metrics.query(QueryDoor::Elasticsearch, true);
    Ok(answer)
}

/// Rows of one table, those that wait for their commit included.
pub(super) async fn count_of(doors: &OpenDoors, table: &TableName) -> Result<u64, Refused> {
    let request = request(doors, None, &Parameters::default())?;
    let counted = elastic(doors)?.count(std::slice::from_ref(table), &request).await?;
    Ok(counted["count"].as_u64().unwrap_or_default())
}
