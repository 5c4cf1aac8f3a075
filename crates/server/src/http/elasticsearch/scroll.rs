//! Scrolls and points in time. Their ids hold all that a later request needs (see the crate `elastic`):
//! nothing is kept here, so there is nothing that a crash could lose, and any process answers.

use axum::extract::State;
use loglake_model::TableName;
use serde_json::{Value, json};

use super::ask::Form;
use super::body::JsonBody;
use super::parameters::Parameters;
use super::paths::{Id, Index};
use super::reply::{Answered, Refused, Reply};
use crate::doors::OpenDoors;

pub(super) async fn begin(
    _doors: &OpenDoors,
    _tables: &[TableName],
    _body: Value,
    _keep_alive: &str,
    _form: Form,
) -> Result<Value, Refused> {
    Err(Refused::argument("stub"))
}

pub(super) async fn search_at(
    _doors: &OpenDoors,
    _pit: &Value,
    _body: Value,
    _form: Form,
) -> Result<Value, Refused> {
    Err(Refused::argument("stub"))
}

/// `_search/scroll`: the next page.
pub(super) async fn next(
    State(_doors): State<OpenDoors>,
    _parameters: Parameters,
    _id: Option<Id>,
    JsonBody(_body): JsonBody,
) -> Answered {
    Err(Refused::argument("stub"))
}

/// `DELETE _search/scroll`: nothing is kept that could be freed.
pub(super) async fn end(JsonBody(body): JsonBody) -> Reply {
    let ids = body.as_ref().map(|body| &body["scroll_id"]);
    let freed = ids.and_then(Value::as_array).map_or(1, Vec::len);
    Reply::ok(json!({"succeeded": true, "num_freed": freed}))
}

/// `POST /{index}/_pit`.
pub(super) async fn open(
    State(_doors): State<OpenDoors>,
    _parameters: Parameters,
    Index(_index): Index,
) -> Answered {
    Err(Refused::argument("stub"))
}

pub(super) async fn open_as_opensearch(
    State(_doors): State<OpenDoors>,
    _parameters: Parameters,
    Index(_index): Index,
) -> Answered {
    Err(Refused::argument("stub"))
}

/// `DELETE _pit`: as [`end`].
pub(super) async fn close() -> Reply {
    Reply::ok(json!({"succeeded": true, "num_freed": 1}))
}

pub(super) async fn close_as_opensearch(JsonBody(body): JsonBody) -> Reply {
    let ids = body.as_ref().and_then(|body| body["pit_id"].as_array().cloned()).unwrap_or_default();
    let pits = ids.iter().map(|id| json!({"pit_id": id, "successful": true}));
    Reply::ok(json!({"pits": pits.collect::<Value>()}))
}
