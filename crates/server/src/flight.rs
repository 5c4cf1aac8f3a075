//! The gRPC door: Arrow Flight SQL, queries and bulk ingestion, stateless; and the calls between members
//! ([`crate::peers`]).
//!
//! A ticket carries its statement and parameters (see [`statement`]), so every process with the role
//! `query` answers every ticket, and endpoints name no location: clients stay on their connection.

mod ingest;
mod metadata;
pub(crate) mod rows;
mod service;
mod statement;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tonic::Status;
use tonic::service::Routes;

use crate::auth;
use crate::doors::OpenDoors;
use service::FlightSql;

/// Bytes of one gRPC message: room for parameters and large statements.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The gRPC services, behind the token.
///
/// # Errors
/// When the answers about the server's abilities cannot be built; a defect.
pub(crate) fn router(doors: OpenDoors) -> Result<Router, arrow_flight::error::FlightError> {
    let service = FlightServiceServer::new(FlightSql::new(doors.clone())?)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let mut routes = Routes::new(service);
    // Queriers work on each other's queries.
    if let Some(worker) = doors.engine().ok().and_then(|engine| engine.worker()) {
        routes = routes.add_service(worker.into_worker_server());
    }
    let routes = routes.prepare().into_axum_router();
    Ok(routes.layer(from_fn_with_state(doors, guard)))
}

/// Lets in who has the token, as `Bearer` or `Basic`; also the handshake, which trades the one for
/// the other.
async fn guard(State(doors): State<OpenDoors>, request: Request, next: Next) -> Response {
    if !auth::allows(doors.token.as_ref(), request.headers()) {
        let message = "send the token as `authorization: Bearer …`, or as a password";
        return Status::unauthenticated(message).into_http();
    }
    // Held until the answer's head is out; a result's memory is bounded by the query engine.
    let Ok(_place) = doors.requests.try_acquire() else {
        return Status::resource_exhausted("too many requests at once").into_http();
    };
    next.run(request).await
}

#[cfg(test)]
mod tests;
