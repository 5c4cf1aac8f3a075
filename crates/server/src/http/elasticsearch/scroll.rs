//! Scrolls and points in time. Their ids hold all that a later request needs (see the crate `elastic`):
//! nothing is kept here, so there is nothing that a crash could lose, and any process answers.

use axum::extract::State;
use serde_json::{Value, json};

use super::body::JsonBody;
use super::indices;
use super::parameters::Parameters;
use super::paths::{Id, Index};
use super::reply::{Answered, Refused, Reply};
use super::{ask, question};
use crate::doors::OpenDoors;

/// `_search/scroll`: the next page. The id is in the body, the path or the URL.
pub(super) async fn next(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    id: Option<Id>,
    JsonBody(body): JsonBody,
) -> Answered {
    parameters.only("/_search/scroll", &["scroll", "scroll_id", "rest_total_hits_as_int"])?;
    let in_body = |name: &str| body.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let in_url = |name: &str| parameters.text(name).map(str::to_owned);
    let id = in_body("scroll_id").or(id.map(|Id(id)| id)).or_else(|| in_url("scroll_id"));
    let id = id.ok_or_else(|| question::not_valid("scrollId is missing"))?;
    let keep_alive = in_body("scroll").or_else(|| in_url("scroll"));
    let mut answer = ask::scroll(&doors, &id, keep_alive.as_deref()).await?;
    if parameters.flag("rest_total_hits_as_int")? == Some(true)
        && let Some(total) = answer["hits"]["total"].get("value").cloned()
    {
        answer["hits"]["total"] = total;
    }
    Ok(Reply::ok(answer))
}

/// `DELETE _search/scroll`: nothing is kept that could be freed.
pub(super) async fn end(JsonBody(body): JsonBody) -> Reply {
    let ids = body.as_ref().map(|body| &body["scroll_id"]);
    let freed = ids.and_then(Value::as_array).map_or(1, Vec::len);
    Reply::ok(json!({"succeeded": true, "num_freed": freed}))
}

/// `POST /{index}/_pit`.
pub(super) async fn open(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Index,
) -> Answered {
    Ok(Reply::ok(opened(&doors, &parameters, index).await?))
}

/// `POST /{index}/_search/point_in_time`.
pub(super) async fn open_as_opensearch(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Index,
) -> Answered {
    let mut opened = opened(&doors, &parameters, index).await?;
    let id = opened["id"].take();
    let now = doors.clock.now().millis();
    Ok(Reply::ok(json!({"pit_id": id, "_shards": opened["_shards"], "creation_time": now})))
}

async fn opened(
    doors: &OpenDoors,
    parameters: &Parameters,
    index: Index,
) -> Result<Value, Refused> {
    let keep_alive = parameters.text("keep_alive");
    let keep_alive =
        keep_alive.ok_or_else(|| question::not_valid("[keep_alive] is not specified"))?;
    let tables = indices::named(doors, Some(index), parameters).await?;
    let mut opened = ask::open_point_in_time(doors, &tables, keep_alive)?;
    opened["_shards"] = indices::shards(tables.len());
    Ok(opened)
}

/// `DELETE _pit`: as [`end`].
pub(super) async fn close() -> Reply {
    Reply::ok(json!({"succeeded": true, "num_freed": 1}))
}

/// `DELETE _search/point_in_time`: as [`end`].
pub(super) async fn close_as_opensearch(JsonBody(body): JsonBody) -> Reply {
    let ids = body.as_ref().and_then(|body| body["pit_id"].as_array().cloned()).unwrap_or_default();
    let pits = ids.iter().map(|id| json!({"pit_id": id, "successful": true}));
    Reply::ok(json!({"pits": pits.collect::<Value>()}))
}
