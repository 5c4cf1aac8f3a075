//! The variable parts of paths.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Path};
use axum::http::request::Parts;

use super::reply::Refused;

/// `{index}`: a name, several with commas, `*` within them, `-name`.
#[derive(Clone, Debug)]
pub(super) struct Index(pub(super) String);

/// `{name}`: of a template, an alias, a field, ….
#[derive(Clone, Debug)]
pub(super) struct Name(pub(super) String);

/// `{id}`: of a document.
#[derive(Clone, Debug)]
pub(super) struct Id(pub(super) String);

async fn part(parts: &mut Parts, name: &str) -> Result<Option<String>, Refused> {
    let path =
        <Path<HashMap<String, String>> as FromRequestParts<()>>::from_request_parts(parts, &());
    match path.await {
        Ok(Path(mut values)) => Ok(values.remove(name)),
        Err(error) => Err(Refused::argument(error.body_text())),
    }
}

macro_rules! of_path {
    ($kind:ident, $name:literal) => {
        impl<S: Sync> FromRequestParts<S> for $kind {
            type Rejection = Refused;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
                let missing = || Refused::argument(concat!("the path has no ", $name));
                part(parts, $name).await?.map(Self).ok_or_else(missing)
            }
        }

        impl<S: Sync> OptionalFromRequestParts<S> for $kind {
            type Rejection = Refused;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Refused> {
                Ok(part(parts, $name).await?.map(Self))
            }
        }
    };
}

of_path!(Index, "index");
of_path!(Name, "name");
of_path!(Id, "id");
