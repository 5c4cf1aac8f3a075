//! What every request passes before its route: the token, a place, the count.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use loglake_model::ErrorKind;
use tokio::sync::OwnedSemaphorePermit;

use super::elasticsearch;
use crate::auth;
use crate::doors::OpenDoors;
use crate::failure::Failure;

/// The one route without a token: load balancers and orchestrators have none.
pub(super) const HEALTH: &str = "/health";

/// Routes that answer also when all places are taken.
const ALWAYS_ANSWERED: [&str; 3] = [HEALTH, "/ready", "/metrics"];

/// A request's place among those that run at once. A route whose answer streams keeps it as long.
#[derive(Clone)]
pub(super) struct Place(
    #[expect(dead_code, reason = "given back when it is dropped")] Arc<OwnedSemaphorePermit>,
);

#[cfg(test)]
impl Place {
    pub(super) fn of(places: Arc<tokio::sync::Semaphore>) -> Self {
        Self(Arc::new(places.try_acquire_owned().unwrap()))
    }
}

pub(super) async fn guard(
    State(doors): State<OpenDoors>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.as_deref().unwrap_or("none");
    let response = pass(&doors, route, request, next).await;
    doors.metrics.answered(route, response.status().as_u16());
    response
}

async fn pass(doors: &OpenDoors, route: &str, mut request: Request, next: Next) -> Response {
    if route != HEALTH && !auth::allows(doors.token.as_ref(), request.headers()) {
        return unauthorized(route, request.headers());
    }
    if ALWAYS_ANSWERED.contains(&route) {
        return next.run(request).await;
    }
    let Ok(place) = Arc::clone(&doors.requests).try_acquire_owned() else {
        let max = doors.settings.requests_max;
        let failure = Failure::new(ErrorKind::Overloaded, format!("{max} requests run already"));
        return in_the_words_of(route, request.headers(), &failure);
    };
    let place = Place(Arc::new(place));
    request.extensions_mut().insert(place.clone());
    let response = next.run(request).await;
    drop(place);
    response
}

fn unauthorized(route: &str, headers: &HeaderMap) -> Response {
    let failure = Failure::new(
        ErrorKind::NotAllowed,
        "send the token as `Authorization: Bearer …`, `ApiKey …`, or as a password of `Basic`",
    );
    let failure = failure.with_status(StatusCode::UNAUTHORIZED);
    let mut response = in_the_words_of(route, headers, &failure);
    let challenges = HeaderValue::from_static("Bearer realm=\"loglake\", Basic realm=\"loglake\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenges);
    response
}

/// A failure in the form that the clients of a route read.
fn in_the_words_of(route: &str, headers: &HeaderMap, failure: &Failure) -> Response {
    if elasticsearch::is_route(route) {
        elasticsearch::failed(headers, failure)
    } else {
        failure.clone().into_response()
    }
}
