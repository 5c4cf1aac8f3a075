//! `_msearch`: several searches in one request, as pairs of lines: where, and what.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use futures::{StreamExt, stream};
use loglake_elastic::IndexOptions;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::body::{WholeBody, json};
use super::parameters::Parameters;
use super::paths::Index;
use super::reply::{Answered, Refused, Reply};
use super::{ask, lake, question};
use crate::doors::OpenDoors;

/// Searches of one request.
const SEARCHES_MAX: usize = 1_000;

/// Searches of one request that run at once.
const AT_ONCE: usize = 3;

/// One search of several.
#[derive(Debug)]
struct Asked {
    /// The index expression of the first line, else of the path.
    index: Option<String>,
    options: IndexOptions,
    body: Value,
}

pub(super) async fn searches(
    State(doors): State<OpenDoors>,
    parameters: Parameters,
    index: Option<Index>,
    WholeBody(body): WholeBody,
) -> Answered {
    question::check_parameters(&parameters, "/_msearch")?;
    let form = Arc::new(parameters.kept(&question::FORM));
    let index = index.as_ref().map(|Index(index)| index.as_str());
    let asked = asked(&body, index, lake::options(&parameters)?)?;
    let began = Instant::now();
    let answers = stream::iter(asked).map(|asked| {
        let (doors, form) = (doors.clone(), Arc::clone(&form));
        async move { one(&doors, asked, &form).await }
    });
    let answers: Vec<Value> = answers.buffered(AT_ONCE).collect().await;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Reply::ok(json!({"took": took, "responses": answers})))
}

/// The answer of one search, also its refusal.
async fn one(doors: &OpenDoors, asked: Asked, form: &Parameters) -> Value {
    match answered(doors, asked, form).await {
        Ok(mut answer) => {
            answer["status"] = StatusCode::OK.as_u16().into();
            answer
        }
        Err(refused) => refused.json(),
    }
}

async fn answered(doors: &OpenDoors, asked: Asked, form: &Parameters) -> Result<Value, Refused> {
    let request = ask::request(doors, Some(asked.body), form)?;
    if request.point_in_time().is_some() {
        return ask::search(doors, &[], &request).await;
    }
    let tables = lake::named(doors, asked.index.as_deref(), asked.options).await?;
    ask::search(doors, &tables, &request).await
}

/// The searches of the body.
///
/// # Errors
/// 400 for lines that are no pairs of JSON objects.
fn asked(body: &[u8], index: Option<&str>, options: IndexOptions) -> Result<Vec<Asked>, Refused> {
    let mut lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    while lines.last().is_some_and(|line| line.trim_ascii().is_empty()) {
        lines.pop();
    }
    if lines.is_empty() {
        return Err(question::not_valid("no requests added"));
    }
    if lines.len() > 2 * SEARCHES_MAX {
        return Err(question::not_valid(&format!("a request has at most {SEARCHES_MAX} searches")));
    }
    let pairs = lines.chunks(2).map(|pair| match pair {
        [head, body] => {
            let (head, body) = (members(head)?, members(body)?);
            one_asked(head, body, index, options)
        }
        _ => Err(question::not_valid("the last search has no body")),
    });
    pairs.collect()
}

fn members(line: &[u8]) -> Result<Map<String, Value>, Refused> {
    match json(line)? {
        None => Ok(Map::new()),
        Some(Value::Object(members)) => Ok(members),
        Some(other) => Err(Refused::argument(format!("a line of _msearch is no object: {other}"))),
    }
}

fn one_asked(
    head: Map<String, Value>,
    body: Map<String, Value>,
    index: Option<&str>,
    mut options: IndexOptions,
) -> Result<Asked, Refused> {
    let named = match head.get("index").or_else(|| head.get("indices")) {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            Some(names.join(","))
        }
        Some(other) => return Err(Refused::argument(format!("no index expression: {other}"))),
    };
    let named = named.filter(|named| !named.is_empty());
    if let Some(flag) = head.get("ignore_unavailable").and_then(Value::as_bool) {
        options.ignore_unavailable = flag;
    }
    if let Some(flag) = head.get("allow_no_indices").and_then(Value::as_bool) {
        options.allow_no_indices = flag;
    }
    Ok(Asked {
        index: named.or_else(|| index.map(str::to_owned)),
        options,
        body: Value::Object(body),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pairs_of_where_and_what() {
        let body = b"{\"index\":[\"a\",\"b*\"],\"ignore_unavailable\":true}\n{\"size\":1}\n\n{}\n{}\n{\"size\":2}\n";
        let found = asked(body, Some("shop"), IndexOptions::default()).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].index.as_deref(), Some("a,b*"));
        assert!(found[0].options.ignore_unavailable);
        assert_eq!((found[1].index.as_deref(), &found[1].body), (Some("shop"), &json!({})));
        assert_eq!(found[2].body, json!({"size": 2}));
        for bad in [&b""[..], b"\n\n", b"{}\n", b"{}\n[1]\n", b"{}\nnoise\n"] {
            assert!(asked(bad, None, IndexOptions::default()).is_err(), "{bad:?}");
        }
    }
}
