//! What shippers set up before they send: templates, lifecycle policies, data streams, pipelines.
//!
//! Templates and policies are acknowledged and forgotten: columns come of the records themselves, and
//! there is no lifecycle but loglake's own. So a look for one finds nothing, now and later, and the
//! shipper sets it up again at its next start. A pipeline is refused: records would be stored that
//! the sender believes to be changed.

use axum::extract::State;
use axum::http::StatusCode;
use loglake_model::TableName;
use serde_json::{Map, Value, json};

use super::lake;
use super::parameters::Parameters;
use super::paths::{Index, Name};
use super::reply::{Answered, Refused, Reply};
use crate::doors::OpenDoors;

/// `PUT _template/…`, `_index_template/…`, `_component_template/…`, `_ilm/policy/…`.
pub(super) async fn acknowledged() -> Reply {
    Reply::acknowledged()
}

fn nothing_named(kind: &str, name: &str) -> Refused {
    let reason = format!("{kind} matching [{name}] not found");
    Refused::new(StatusCode::NOT_FOUND, "resource_not_found_exception", reason)
}

/// `GET`, `HEAD`, `DELETE _template[/{name}]`: Elasticsearch answers the legacy kind with an empty object.
pub(super) async fn legacy_template(name: Option<Name>) -> Reply {
    match name {
        Some(Name(name)) if !name.contains('*') => {
            Reply::new(StatusCode::NOT_FOUND, Value::Object(Map::new()))
        }
        _ => Reply::ok(Value::Object(Map::new())),
    }
}

pub(super) async fn index_template(name: Option<Name>) -> Answered {
    none_of("index template", "index_templates", name)
}

pub(super) async fn component_template(name: Option<Name>) -> Answered {
    none_of("component template", "component_templates", name)
}

fn none_of(kind: &str, list: &str, name: Option<Name>) -> Answered {
    match name {
        Some(Name(name)) if !name.contains('*') => Err(nothing_named(kind, &name)),
        _ => Ok(Reply::ok(json!({list: []}))),
    }
}

pub(super) async fn lifecycle_policy(name: Option<Name>) -> Answered {
    match name {
        Some(Name(name)) if !name.contains('*') => {
            let reason = format!("Lifecycle policy not found: {name}");
            Err(Refused::new(StatusCode::NOT_FOUND, "resource_not_found_exception", reason))
        }
        _ => Ok(Reply::ok(json!({}))),
    }
}

pub(super) async fn pipeline(name: Option<Name>) -> Reply {
    match name {
        Some(Name(name)) if !name.contains('*') => Reply::new(StatusCode::NOT_FOUND, json!({})),
        _ => Reply::ok(json!({})),
    }
}

pub(super) async fn make_pipeline() -> Refused {
    Refused::unsupported(
        "loglake runs no ingest pipelines: change records in the shipper, or when they are read, by SQL",
    )
}

/// A data stream is a table.
pub(super) async fn data_streams(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    name: Option<Name>,
) -> Answered {
    let name = name.as_ref().map(|Name(name)| name.as_str());
    let tables = lake::named(&doors, name, lake::options(&parameters)?).await?;
    let streams: Vec<Value> = tables.iter().map(data_stream).collect();
    Ok(Reply::ok(json!({"data_streams": streams})))
}

fn data_stream(table: &TableName) -> Value {
    json!({
        "name": table.as_str(),
        "timestamp_field": {"name": "@timestamp"},
        "indices": [{
            "index_name": table.as_str(),
            "index_uuid": table.as_str(),
            "prefer_ilm": false,
            "managed_by": "Unmanaged",
        }],
        "generation": 1,
        "status": "GREEN",
        "template": "loglake",
        "hidden": false,
        "system": false,
        "allow_custom_routing": false,
        "replicated": false,
        "prefer_ilm": false,
        "next_generation_managed_by": "Unmanaged",
        "rollover_on_write": false,
    })
}

pub(super) async fn make_data_stream(State(doors): State<OpenDoors>, Name(name): Name) -> Answered {
    lake::make_table(&doors, &name).await?;
    Ok(Reply::acknowledged())
}

/// Deleting, whatever the kind of thing.
pub(super) async fn never_delete(index: Option<Index>) -> Refused {
    let what = index.map_or("an index".to_owned(), |Index(index)| format!("[{index}]"));
    Refused::unsupported(format!(
        "{what} is not deleted over this API: a lake keeps what it acknowledged. Set the table's \
         retention, or remove the table's folder from the bucket while no process runs"
    ))
}
