//! Indices: which there are, of what fields, and making one.

use axum::extract::State;
use axum::http::{Method, StatusCode};
use loglake_model::TableName;
use serde_json::{Map, Value, json};

use super::body::JsonBody;
use super::parameters::Parameters;
use super::paths::{Index, Name};
use super::reply::{Answered, Refused, Reply};
use super::{lake, mapping, question};
use crate::doors::OpenDoors;

/// `PUT /{index}`: makes the table. Columns come of the records, so a mapping in the body changes nothing.
pub(super) async fn create(
    State(doors): State<OpenDoors>,
    Index(index): Index,
    JsonBody(body): JsonBody,
) -> Answered {
    let aliases = body.as_ref().and_then(|body| body.get("aliases")?.as_object());
    if aliases.is_some_and(|aliases| !aliases.is_empty()) {
        return Err(no_aliases());
    }
    if lake::make_table(&doors, &index).await? {
        let answer = json!({"acknowledged": true, "shards_acknowledged": true, "index": index});
        return Ok(Reply::ok(answer));
    }
    let more = Map::from_iter([("index".to_owned(), Value::String(index.clone()))]);
    let reason = format!("index [{index}] already exists");
    let kind = "resource_already_exists_exception";
    Err(Refused::with(StatusCode::BAD_REQUEST, kind, reason, more))
}

/// `GET`, `HEAD /{index}`.
pub(super) async fn index(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    method: Method,
    Index(index): Index,
) -> Answered {
    let names = lake::named(&doors, Some(&index), lake::options(&parameters)?).await;
    if method == Method::HEAD {
        return match names {
            Ok(_) => Ok(Reply::there(true)),
            Err(refused) if refused.status() == StatusCode::NOT_FOUND => Ok(Reply::there(false)),
            Err(refused) => Err(refused),
        };
    }
    let shapes = lake::shapes(&doors, &names?).await?;
    let indices = shapes.iter().map(|(name, columns)| {
        let mut index = settings_of(name);
        index["aliases"] = json!({});
        index["mappings"] = mapping::mapping(columns);
        (name.as_str(), index)
    });
    Ok(Reply::ok(indices.collect()))
}

/// `_refresh`, `_flush`, `_forcemerge`, `_cache/clear`: what is acknowledged is visible, nothing has to
/// be done. Only an index that is not there is told.
pub(super) async fn nothing_to_do(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
) -> Answered {
    let names = named(&doors, index, &parameters).await?;
    Ok(Reply::ok(json!({"_shards": shards(names.len())})))
}

/// One "shard" a table, none of which fails alone: an answer is whole or an error.
pub(super) fn shards(tables: usize) -> Value {
    json!({"total": tables, "successful": tables, "skipped": 0, "failed": 0})
}

pub(super) async fn named(
    doors: &OpenDoors,
    index: Option<Index>,
    parameters: &Parameters,
) -> Result<Vec<TableName>, Refused> {
    let expression = index.as_ref().map(|Index(index)| index.as_str());
    lake::named(doors, expression, lake::options(parameters)?).await
}

/// `_mapping`.
pub(super) async fn mappings(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
) -> Answered {
    let names = named(&doors, index, &parameters).await?;
    let shapes = lake::shapes(&doors, &names).await?;
    let mappings = shapes
        .iter()
        .map(|(name, columns)| (name.as_str(), json!({"mappings": mapping::mapping(columns)})));
    Ok(Reply::ok(mappings.collect()))
}

/// `_mapping/field/{name}`.
pub(super) async fn mappings_of_fields(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    Name(fields): Name,
) -> Answered {
    let names = named(&doors, index, &parameters).await?;
    let patterns: Vec<&str> = fields.split(',').collect();
    let shapes = lake::shapes(&doors, &names).await?;
    let mappings = shapes
        .iter()
        .map(|(name, columns)| (name.as_str(), mapping::mapping_of_fields(columns, &patterns)));
    Ok(Reply::ok(mappings.collect()))
}

/// `PUT _mapping`, `_settings` of an index that is there: acknowledged, and changes nothing.
pub(super) async fn change_nothing(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
) -> Answered {
    named(&doors, index, &parameters).await?;
    Ok(Reply::acknowledged())
}

/// `_settings`.
pub(super) async fn settings(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
) -> Answered {
    let names = named(&doors, index, &parameters).await?;
    Ok(Reply::ok(names.iter().map(|name| (name.as_str(), settings_of(name))).collect()))
}

fn settings_of(name: &TableName) -> Value {
    json!({"settings": {"index": {
        "number_of_shards": "1",
        "number_of_replicas": "0",
        "provided_name": name.as_str(),
        "uuid": name.as_str(),
        "creation_date": "0",
        "version": {"created": "9009000"},
    }}})
}

/// `_alias`, `_aliases`: every index has none.
pub(super) async fn aliases(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    name: Option<Name>,
) -> Answered {
    let names = named(&doors, index, &parameters).await?;
    match name {
        Some(Name(name)) if !name.contains('*') && name != "_all" => {
            let missing = format!("alias [{name}] missing");
            Err(Refused::plain(StatusCode::NOT_FOUND, missing))
        }
        Some(_) => Ok(Reply::ok(json!({}))),
        None => {
            let aliases = names.iter().map(|name| (name.as_str(), json!({"aliases": {}})));
            Ok(Reply::ok(aliases.collect()))
        }
    }
}

pub(super) async fn change_aliases() -> Refused {
    no_aliases()
}

fn no_aliases() -> Refused {
    Refused::unsupported(
        "loglake has no aliases: write to the table itself, and read several by a pattern (logs-*)",
    )
}

/// `_resolve/index/{name}`.
pub(super) async fn resolve(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    Name(name): Name,
) -> Answered {
    let names = lake::named(&doors, Some(&name), lake::options(&parameters)?).await?;
    let indices: Vec<Value> =
        names.iter().map(|name| json!({"name": name.as_str(), "attributes": ["open"]})).collect();
    Ok(Reply::ok(json!({"indices": indices, "aliases": [], "data_streams": []})))
}

/// `_stats`.
pub(super) async fn stats(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
) -> Answered {
    let names = named(&doors, index, &parameters).await?;
    let sizes = lake::sizes(&doors, Some(&names)).await?;
    let total = |rows: u64, bytes: u64| {
        let part = json!({
            "docs": {"count": rows, "deleted": 0},
            "store": {"size_in_bytes": bytes, "total_data_set_size_in_bytes": bytes},
        });
        json!({"primaries": part, "total": part})
    };
    let (rows, bytes) = (sizes.iter().map(|s| s.rows).sum(), sizes.iter().map(|s| s.bytes).sum());
    let indices = sizes.iter().map(|size| {
        let mut index = total(size.rows, size.bytes);
        index["uuid"] = size.id.as_str().into();
        (size.name.as_str(), index)
    });
    Ok(Reply::ok(json!({
        "_shards": shards(sizes.len()),
        "_all": total(rows, bytes),
        "indices": indices.collect::<Value>(),
    })))
}

/// `_field_caps`.
pub(super) async fn field_caps(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    JsonBody(body): JsonBody,
) -> Answered {
    let in_body = body.as_ref().and_then(|body| body.get("fields")).map(texts);
    let fields = parameters
        .list("fields")
        .or(in_body)
        .ok_or_else(|| question::not_valid("no fields specified"))?;
    let types = parameters.list("types").unwrap_or_default();
    let names = named(&doors, index, &parameters).await?;
    let shapes = lake::shapes(&doors, &names).await?;
    Ok(Reply::ok(mapping::field_caps(&shapes, &fields, &types)))
}

/// One text or an array of them.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        value => value.as_str().into_iter().flat_map(|text| text.split(',')).collect(),
    }
}
