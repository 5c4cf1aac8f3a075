//! Searches: `_search`, `_count`, `_validate/query`, `_async_search`.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::body::JsonBody;
use super::parameters::Parameters;
use super::paths::{Id, Index};
use super::reply::{Answered, Refused, Reply};
use super::{ask, indices, question};
use crate::doors::OpenDoors;

/// `_search`, of all tables or of those the path names.
pub(super) async fn search(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    JsonBody(body): JsonBody,
) -> Answered {
    question::check_parameters(&parameters, "/_search")?;
    Ok(Reply::ok(answered(&doors, &parameters, index, body).await?))
}

async fn answered(
    doors: &OpenDoors,
    parameters: &Parameters,
    index: Option<Index>,
    body: Option<Value>,
) -> Result<Value, Refused> {
    let request = ask::request(doors, body, parameters)?;
    if request.point_in_time().is_some() {
        if index.is_some() {
            let reason = "[indices] cannot be used with point in time. Do not specify any index with point in time.";
            return Err(question::not_valid(reason));
        }
        return ask::search(doors, &[], &request).await;
    }
    let tables = indices::named(doors, index, parameters).await?;
    match parameters.text("scroll") {
        None => ask::search(doors, &tables, &request).await,
        Some(keep_alive) => ask::search_scroll(doors, &tables, &request, keep_alive).await,
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
pub(super) async fn no_asynchronous(Id(id): Id) -> Refused {
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
    let request = ask::request(&doors, body, &parameters)?;
    let tables = indices::named(&doors, index, &parameters).await?;
    Ok(Reply::ok(ask::count(&doors, &tables, &request).await?))
}

/// `_validate/query`.
pub(super) async fn validate(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    JsonBody(body): JsonBody,
) -> Answered {
    question::check_parameters(&parameters, "/_validate/query")?;
    let body = body.unwrap_or(Value::Null);
    let tables = indices::named(&doors, index, &parameters).await?;
    Ok(Reply::ok(ask::validate(&doors, &tables, &body, &parameters).await?))
}

/// `_search/template`, `_sql`, `_eql/search`, `_query`, …: other languages than the search body's.
pub(super) async fn other_language() -> Refused {
    Refused::unsupported(
        "loglake answers search bodies and SQL: send SQL to POST /api/v1/sql, and templates filled in",
    )
}
