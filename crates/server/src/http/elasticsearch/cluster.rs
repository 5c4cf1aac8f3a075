//! What clients and shippers ask of a cluster before they send or search. Each process answers for
//! itself alone, as a cluster of one node: see [`nodes`].

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::lake;
use super::parameters::Parameters;
use super::paths::{Index, Name};
use super::reply::{Answered, Refused, Reply};
use super::{CLUSTER, CLUSTER_ID, NODE_ID, VERSION};
use crate::doors::OpenDoors;

/// Name and version, in the form that Elasticsearch's clients look for.
pub(super) async fn root() -> Reply {
    Reply::ok(json!({
        "name": CLUSTER,
        "cluster_name": CLUSTER,
        "cluster_uuid": CLUSTER_ID,
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "loglake",
            "build_hash": env!("CARGO_PKG_VERSION"),
            "build_date": "2026-11-01T00:00:00.000000000Z",
            "build_snapshot": false,
            "lucene_version": "10.1.0",
            "minimum_wire_compatibility_version": "8.18.0",
            "minimum_index_compatibility_version": "8.0.0",
            "loglake": env!("CARGO_PKG_VERSION"),
        },
        "tagline": "You Know, for Search",
    }))
}

pub(super) async fn license() -> Reply {
    Reply::ok(json!({"license": {
        "status": "active",
        "uid": CLUSTER_ID,
        "type": "basic",
        "issue_date": "2026-11-01T00:00:00.000Z",
        "issue_date_in_millis": 1_793_491_200_000_i64,
        "max_nodes": 1000,
        "max_resource_units": null,
        "issued_to": CLUSTER,
        "issuer": CLUSTER,
        "start_date_in_millis": -1,
    }}))
}

/// Features that shippers and Kibana look for, all of which loglake does without.
const FEATURES: [&str; 12] = [
    "ccr",
    "data_streams",
    "data_tiers",
    "eql",
    "graph",
    "ilm",
    "logstash",
    "ml",
    "rollup",
    "searchable_snapshots",
    "sql",
    "watcher",
];

fn features(doors: &OpenDoors) -> Value {
    let mut features: Value = FEATURES
        .iter()
        .map(|name| (*name, json!({"available": false, "enabled": false})))
        .collect();
    features["security"] = json!({"available": true, "enabled": doors.token.is_some()});
    features
}

pub(super) async fn xpack(State(doors): State<OpenDoors>) -> Reply {
    Reply::ok(json!({
        "build": {"hash": env!("CARGO_PKG_VERSION"), "date": "2026-11-01T00:00:00.000000000Z"},
        "license": {"uid": CLUSTER_ID, "type": "basic", "mode": "basic", "status": "active"},
        "features": features(&doors),
        "tagline": "You know, for X",
    }))
}

pub(super) async fn xpack_usage(State(doors): State<OpenDoors>) -> Reply {
    Reply::ok(features(&doors))
}

/// Of the whole lake or of some tables.
pub(super) async fn health(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
) -> Answered {
    let tables = lake::tables(&doors).await?;
    let shards = match index {
        None => tables.len(),
        Some(Index(expression)) => {
            match lake::named(&doors, Some(&expression), lake::options(&parameters)?).await {
                Ok(names) => names.len(),
                // Elasticsearch waits for an index that is not there, and then says that it did.
                Err(refused) if refused.status() == StatusCode::NOT_FOUND => {
                    return Ok(Reply::new(
                        StatusCode::REQUEST_TIMEOUT,
                        health_body("red", 0, true),
                    ));
                }
                Err(refused) => return Err(refused),
            }
        }
    };
    let status = if doors.readiness.is_ready() { "green" } else { "red" };
    Ok(Reply::ok(health_body(status, shards, false)))
}

fn health_body(status: &str, shards: usize, timed_out: bool) -> Value {
    json!({
        "cluster_name": CLUSTER,
        "status": status,
        "timed_out": timed_out,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": shards,
        "active_shards": shards,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "unassigned_primary_shards": 0,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
    })
}

pub(super) async fn settings(parameters: Parameters) -> Answered {
    let mut settings = json!({"persistent": {}, "transient": {}});
    if parameters.flag("include_defaults")? == Some(true) {
        settings["defaults"] = json!({"action": {"auto_create_index": "true"}});
    }
    Ok(Reply::ok(settings))
}

pub(super) async fn change_settings() -> Refused {
    Refused::unsupported(
        "settings are not changed over this API: see docs/configuration.md for those of loglake",
    )
}

/// Nodes, and the tables as indices.
pub(super) async fn state(State(doors): State<OpenDoors>, headers: HeaderMap) -> Answered {
    let tables = lake::tables(&doors).await?;
    let indices: Value = tables
        .iter()
        .map(|name| (name.as_str(), json!({"state": "open", "aliases": []})))
        .collect();
    let mut node = node(&headers);
    node["attributes"] = json!({});
    Ok(Reply::ok(json!({
        "cluster_name": CLUSTER,
        "cluster_uuid": CLUSTER_ID,
        "version": 1,
        "state_uuid": CLUSTER_ID,
        "master_node": NODE_ID,
        "blocks": {},
        "nodes": {NODE_ID: node},
        "metadata": {"cluster_uuid": CLUSTER_ID, "templates": {}, "indices": indices},
        "routing_table": {"indices": {}},
    })))
}

pub(super) async fn stats(State(doors): State<OpenDoors>) -> Answered {
    let sizes = lake::sizes(&doors, None).await?;
    let (rows, bytes) =
        sizes.iter().fold((0, 0), |(rows, bytes), size| (rows + size.rows, bytes + size.bytes));
    Ok(Reply::ok(json!({
        "_nodes": {"total": 1, "successful": 1, "failed": 0},
        "cluster_name": CLUSTER,
        "cluster_uuid": CLUSTER_ID,
        "timestamp": doors.clock.now().millis(),
        "status": "green",
        "indices": {
            "count": sizes.len(),
            "shards": {"total": sizes.len(), "primaries": sizes.len(), "replication": 0.0},
            "docs": {"count": rows, "deleted": 0},
            "store": {"size_in_bytes": bytes},
        },
        "nodes": {
            "count": {"total": 1, "data": 1, "ingest": 1, "master": 1},
            "versions": [VERSION],
        },
    })))
}

/// One node: this process, at the address on which the client came, so that clients that "sniff" for
/// nodes stay where they are. Which others there are, `lake.members` tells.
pub(super) async fn nodes(headers: HeaderMap) -> Reply {
    let node = node(&headers);
    Reply::ok(of_nodes(node))
}

pub(super) async fn nodes_stats(State(doors): State<OpenDoors>, headers: HeaderMap) -> Answered {
    let sizes = lake::sizes(&doors, None).await?;
    let mut node = node(&headers);
    node["timestamp"] = doors.clock.now().millis().into();
    node["indices"] = json!({
        "docs": {"count": sizes.iter().map(|size| size.rows).sum::<u64>(), "deleted": 0},
        "store": {"size_in_bytes": sizes.iter().map(|size| size.bytes).sum::<u64>()},
    });
    Ok(Reply::ok(of_nodes(node)))
}

fn of_nodes(node: Value) -> Value {
    json!({
        "_nodes": {"total": 1, "successful": 1, "failed": 0},
        "cluster_name": CLUSTER,
        "nodes": {NODE_ID: node},
    })
}

fn node(headers: &HeaderMap) -> Value {
    let address = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let address = address.unwrap_or("127.0.0.1:9400");
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    json!({
        "name": CLUSTER,
        "transport_address": address,
        "host": host,
        "ip": host,
        "version": VERSION,
        "build_flavor": "default",
        "build_type": "loglake",
        "build_hash": env!("CARGO_PKG_VERSION"),
        "roles": ["data", "ingest", "master"],
        "attributes": {},
        "http": {
            "bound_address": [address],
            "publish_address": address,
            "max_content_length_in_bytes": 268_435_456,
        },
    })
}

/// `_tasks`, `_nodes/hot_threads`, …: nothing runs that a client could wait for here; the view
/// `lake.queries` shows queries.
pub(super) async fn no_tasks() -> Reply {
    Reply::ok(json!({"nodes": {}}))
}

/// Parts of `_nodes/{part}` that are answered; the rest of the path is a node's name.
pub(super) async fn nodes_part(
    state: State<OpenDoors>,
    Name(part): Name,
    headers: HeaderMap,
) -> Answered {
    match part.as_str() {
        "stats" => nodes_stats(state, headers).await,
        _ => Ok(nodes(headers).await),
    }
}
