//! Single documents: one in, one out by its id.

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::body::{JsonBody, WholeBody};
use super::parameters::Parameters;
use super::paths::{Id, Index};
use super::reply::{Answered, Refused, Reply};
use super::{ask, lake, question};
use crate::doors::OpenDoors;
use crate::http::bulk;

/// Documents that one `_mget` may name.
const DOCUMENTS_MAX: usize = 1_000;

/// `POST /{index}/_doc`, `PUT /{index}/_doc/{id}`, `_create/{id}`: one record in, as `_bulk` takes it.
pub(super) async fn add(
    State(doors): State<OpenDoors>,
    headers: HeaderMap,
    Index(index): Index,
    id: Option<Id>,
    WholeBody(document): WholeBody,
) -> Answered {
    let id = id.as_ref().map(|Id(id)| id.as_str());
    let mut item = bulk::one_document(&doors, &headers, &index, id, &document).await?;
    let status = item["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(error) = item.get("error") {
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        return Err(Refused::new(status, &text("type"), text("reason")));
    }
    if let Some(item) = item.as_object_mut() {
        item.remove("status");
    }
    Ok(Reply::new(status, item))
}

/// Changing and removing what is stored.
pub(super) async fn never_change() -> Refused {
    Refused::unsupported(
        "records are only ever added: an update or a deletion by id or by query is not possible here",
    )
}

/// `GET`, `HEAD /{index}/_doc/{id}`.
pub(super) async fn get(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    method: Method,
    Index(index): Index,
    Id(id): Id,
) -> Answered {
    let document = found(&doors, &index, &id, &parameters).await?;
    let there = document["found"] == true;
    if method == Method::HEAD {
        return Ok(Reply::there(there));
    }
    let status = if there { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Ok(Reply::new(status, document))
}

/// `GET`, `HEAD /{index}/_source/{id}`.
pub(super) async fn source(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    method: Method,
    Index(index): Index,
    Id(id): Id,
) -> Answered {
    let mut document = found(&doors, &index, &id, &parameters).await?;
    let there = document["found"] == true;
    if method == Method::HEAD {
        return Ok(Reply::there(there));
    }
    if there {
        return Ok(Reply::ok(document["_source"].take()));
    }
    let reason = format!("Document not found [{index}]/[{id}]");
    Err(Refused::new(StatusCode::NOT_FOUND, "resource_not_found_exception", reason))
}

/// `_mget`: by `docs`, or by `ids` of the path's index.
pub(super) async fn get_many(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    JsonBody(body): JsonBody,
) -> Answered {
    let index = index.as_ref().map(|Index(index)| index.as_str());
    let wanted = wanted(body.as_ref(), index)?;
    let of_all = parameters.kept(&["_source", "_source_includes", "_source_excludes"]);
    let mut documents = vec![];
    for document in wanted {
        let shown = document.shown(&of_all);
        documents.push(match found(&doors, &document.index, &document.id, &shown).await {
            Ok(found) => found,
            Err(refused) if refused.status() == StatusCode::NOT_FOUND => {
                json!({"_index": document.index, "_id": document.id, "error": refused.error()})
            }
            Err(refused) => return Err(refused),
        });
    }
    Ok(Reply::ok(json!({"docs": documents})))
}

#[derive(Debug, PartialEq)]
struct Wanted {
    index: String,
    id: String,
    source: Option<Value>,
}

fn wanted(body: Option<&Value>, index: Option<&str>) -> Result<Vec<Wanted>, Refused> {
    let empty = Value::Null;
    let body = body.unwrap_or(&empty);
    let members = |name: &str| body.get(name).and_then(Value::as_array).map(Vec::as_slice);
    let documents = members("docs").or_else(|| members("ids")).unwrap_or_default();
    if documents.is_empty() || documents.len() > DOCUMENTS_MAX {
        let problem = format!("docs or ids name 1 to {DOCUMENTS_MAX} documents");
        return Err(question::not_valid(&problem));
    }
    documents.iter().map(|document| one_wanted(document, index)).collect()
}

fn one_wanted(document: &Value, index: Option<&str>) -> Result<Wanted, Refused> {
    let id = if document.is_object() { &document["_id"] } else { document };
    let id = match id {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => return Err(Refused::argument("a document of _mget has no _id")),
    };
    let index = document.get("_index").and_then(Value::as_str).or(index);
    let index = index.ok_or_else(|| Refused::argument("a document of _mget has no _index"))?;
    Ok(Wanted { index: index.to_owned(), id, source: document.get("_source").cloned() })
}

impl Wanted {
    /// What the answer shows of the document: its own `_source`, else that of the URL.
    fn shown(&self, of_all: &Parameters) -> Parameters {
        let joined = |names: &Value| {
            let names = names.as_array().map(Vec::as_slice).unwrap_or_default();
            names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        };
        match &self.source {
            None => of_all.clone(),
            Some(Value::Object(parts)) => {
                ["includes", "excludes"].iter().fold(Parameters::default(), |shown, part| {
                    match parts.get(*part) {
                        Some(names) => shown.with(&format!("_source_{part}"), joined(names)),
                        None => shown,
                    }
                })
            }
            Some(names @ Value::Array(_)) => Parameters::default().with("_source", joined(names)),
            Some(Value::String(name)) => Parameters::default().with("_source", name.clone()),
            Some(flag) => Parameters::default().with("_source", flag.to_string()),
        }
    }
}

/// The answer of `_doc/{id}`.
async fn found(
    doors: &OpenDoors,
    index: &str,
    id: &str,
    parameters: &Parameters,
) -> Result<Value, Refused> {
    let tables = lake::named(doors, Some(index), lake::options(&Parameters::default())?).await?;
    let [table] = tables.as_slice() else {
        let reason = format!("[{index}] is not one index, and a document is of one");
        return Err(Refused::argument(reason));
    };
    ask::document(doors, table, id, parameters).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_named_by_id_and_index() {
        let wanted_of = |body: Value| wanted(Some(&body), Some("logs"));
        let one = |index: &str, id: &str| Wanted {
            index: index.to_owned(),
            id: id.to_owned(),
            source: None,
        };
        assert_eq!(
            wanted_of(json!({"ids": ["a", 1]})).unwrap(),
            [one("logs", "a"), one("logs", "1")]
        );
        assert_eq!(
            wanted_of(json!({"docs": [{"_id": "a", "_index": "b"}]})).unwrap(),
            [one("b", "a")]
        );
        assert!(wanted_of(json!({"docs": [{"_index": "b"}]})).is_err());
        assert!(wanted_of(json!({})).is_err());
        assert!(wanted(Some(&json!({"ids": ["a"]})), None).is_err());
    }
}
