//! The HTTP door: one router for every protocol that HTTP carries.
//!
//! | route | |
//! |---|---|
//! | `POST`, `PUT /api/v1/ingest/{table}` | records in: NDJSON or a JSON array ([`ingest`]) |
//! | `POST`, `PUT /_bulk`, `/{index}/_bulk` | records in: Elasticsearch's bulk API ([`bulk`]) |
//! | `GET`, `POST /api/v1/sql` | SQL ([`sql`]) |
//! | `POST /api/v1/flush` | everything acknowledged before becomes files |
//! | `GET /health`, `/ready`, `/metrics` | what this process is and how it does ([`about`]) |
//! | `/`, `/_…`, `/{index}/…` | as Elasticsearch ([`elasticsearch`]) |

mod about;
mod blocks;
mod bulk;
mod elasticsearch;
mod formats;
mod guard;
mod ingest;
mod leftover;
mod report;
mod results;
mod sql;

pub(crate) use blocks::off_thread;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::doors::OpenDoors;

/// All HTTP routes, behind the token and the bound on requests at once.
pub(crate) fn router(doors: OpenDoors) -> Router {
    Router::new()
        .route("/api/v1/ingest/{table}", post(ingest::ingest).put(ingest::ingest))
        .route("/api/v1/sql", get(sql::get).post(sql::post))
        .route("/api/v1/flush", post(about::flush))
        .route(guard::HEALTH, get(about::health))
        .route("/ready", get(about::ready))
        .route("/metrics", get(about::metrics))
        .merge(elasticsearch::routes())
        .fallback(about::no_such_route)
        .method_not_allowed_fallback(about::no_such_method)
        .layer(from_fn_with_state(doors.clone(), guard::guard))
        .layer(from_fn(leftover::read_leftover))
        // Bodies are read as streams against `Limits`.
        .layer(DefaultBodyLimit::disable())
        .with_state(doors)
}

#[cfg(test)]
mod tests;
