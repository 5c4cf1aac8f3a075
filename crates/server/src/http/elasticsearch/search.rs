//! Searches: `_search`, `_count`, `_validate/query`, `_async_search`.

use axum::extract::State;
use axum::http::StatusCode;
use loglake_model::TableName;
use serde_json::{Map, Value, json};

use super::ask::{self, Form};
use super::body::JsonBody;
use super::lake::{self, Unfound};
use super::parameters::Parameters;
use super::paths::Index;
use super::reply::{Answered, Refused, Reply};
use super::{indices, question, scroll};
use crate::doors::OpenDoors;

/// `_search`, of all tables or of those the path names.
pub(super) async fn search(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    JsonBody(body): JsonBody,
) -> Answered {
    question::check_parameters(&parameters, "/_search")?;
    let answer = answered(&doors, &parameters, index, body).await?;
    Ok(Reply::ok(answer))
}

async fn answered(
    doors: &OpenDoors,
    parameters: &Parameters,
    index: Option<Index>,
    body: Option<Value>,
) -> Result<Value, Refused> {
    let form = Form::of(parameters)?;
    let mut body = question::with_parameters(body, parameters)?;
    if let Some(pit) = body.as_object_mut().and_then(|body| body.remove("pit")) {
        if index.is_some() {
            let reason = "[indices] cannot be used with point in time. Do not specify any index with point in time.";
            let reason = format!("Validation Failed: 1: {reason};");
            let kind = "action_request_validation_exception";
            return Err(Refused::new(StatusCode::BAD_REQUEST, kind, reason));
        }
        return scroll::search_at(doors, &pit, body, form).await;
    }
    let expression = index.as_ref().map(|Index(index)| index.as_str());
    let tables = lake::named(doors, expression, Unfound::of(parameters)?).await?;
    match parameters.text("scroll") {
        Some(keep_alive) => scroll::begin(doors, &tables, body, keep_alive, form).await,
        None => ask::search(doors, &tables, body, form).await,
    }
}

/// `_async_search`: answered at once, complete. Nothing is kept, so it has no id to ask for later.
pub(super) async fn search_asynchronously(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    JsonBody(body): JsonBody,
) -> Answered {
    question::check_parameters(&parameters, "/_async_search")?;
    let began = doors.clock.now().millis();
    let answer = answered(&doors, &parameters, index, body).await?;
    let ended = doors.clock.now().millis();
    Ok(Reply::ok(json!({
        "is_partial": false,
        "is_running": false,
        "start_time_in_millis": began,
        "expiration_time_in_millis": ended,
        "completion_time_in_millis": ended,
        "response": answer,
    })))
}

/// `_async_search/{id}`: see [`search_asynchronously`].
pub(super) async fn no_asynchronous(super::paths::Id(id): super::paths::Id) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "resource_not_found_exception", id)
}

/// `_count`.
pub(super) async fn count(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    JsonBody(body): JsonBody,
) -> Answered {
    question::check_parameters(&parameters, "/_count")?;
    let mut body = body.unwrap_or_else(|| Value::Object(Map::new()));
    if let (Some(query), Some(members)) = (question::query(&parameters)?, body.as_object_mut()) {
        members.insert("query".to_owned(), query);
    }
    let tables = indices::named(&doors, index, &parameters).await?;
    let count = ask::count(&doors, &tables, body).await?;
    Ok(Reply::ok(json!({"count": count, "_shards": indices::shards(tables.len())})))
}

/// Rows of one table, those that wait for their commit included.
pub(super) async fn count_of(doors: &OpenDoors, table: &TableName) -> Result<u64, Refused> {
    ask::count(doors, std::slice::from_ref(table), json!({})).await
}

/// `_validate/query`.
pub(super) async fn validate(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    JsonBody(body): JsonBody,
) -> Answered {
    question::check_parameters(&parameters, "/_validate/query")?;
    let mut body = body.unwrap_or_else(|| Value::Object(Map::new()));
    if let (Some(query), Some(members)) = (question::query(&parameters)?, body.as_object_mut()) {
        members.insert("query".to_owned(), query);
    }
    let tables = indices::named(&doors, index, &parameters).await?;
    let refused = ask::validate(&doors, &tables, body).await;
    let mut answer = json!({"_shards": indices::shards(1), "valid": refused.is_ok()});
    if parameters.flag("explain")? == Some(true) {
        let why = refused.err().map(|refused| refused.error()["reason"].clone());
        let explained = tables.iter().map(|table| match &why {
            Some(why) => json!({"index": table.as_str(), "valid": false, "error": why}),
            None => json!({"index": table.as_str(), "valid": true}),
        });
        answer["explanations"] = explained.collect();
    }
    Ok(Reply::ok(answer))
}

/// `_search/template`, `_sql`, `_eql/search`, `_query`, …: other languages than the search body's.
pub(super) async fn other_language() -> Refused {
    Refused::unsupported(
        "loglake answers search bodies and SQL: send SQL to POST /api/v1/sql, and templates filled in",
    )
}
