//! `_cat`: tables for people and scripts, as text or JSON (Elasticsearch reference, "cat APIs").

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use loglake_model::Timestamp;
use serde_json::{Map, Value};

use super::parameters::Parameters;
use super::paths::Index;
use super::reply::{Answered, Refused, Reply};
use super::{CLUSTER, VERSION};
use super::{ask, lake};
use crate::doors::OpenDoors;

/// A column: its name, and other names that it goes by.
type Column = (&'static str, &'static [&'static str]);

pub(super) async fn help() -> Reply {
    let kinds =
        ["aliases", "count", "health", "indices", "master", "nodes", "plugins", "templates"];
    let lines = kinds.iter().map(|kind| format!("/_cat/{kind}\n"));
    Reply::text(format!("=^.^=\n{}", lines.collect::<String>()))
}

pub(super) async fn indices(
    State(doors): State<OpenDoors>,
    headers: HeaderMap,
    parameters: Parameters,
    index: Option<Index>,
) -> Answered {
    let names = super::indices::named(&doors, index, &parameters).await?;
    let sizes = lake::sizes(&doors, Some(&names)).await?;
    let mut rows = vec![];
    for size in &sizes {
        let count = ask::count_of(&doors, &size.name).await?;
        let bytes = Cell::Bytes(size.bytes);
        rows.push(vec![
            "green".into(),
            "open".into(),
            size.name.as_str().into(),
            size.id.as_str().into(),
            "1".into(),
            "0".into(),
            count.to_string().into(),
            "0".into(),
            bytes.clone(),
            bytes.clone(),
            bytes,
        ]);
    }
    let columns: &[Column] = &[
        ("health", &["h"]),
        ("status", &["s"]),
        ("index", &["i", "idx"]),
        ("uuid", &["id"]),
        ("pri", &["p", "shards.primary"]),
        ("rep", &["r", "shards.replica"]),
        ("docs.count", &["dc", "docsCount"]),
        ("docs.deleted", &["dd", "docsDeleted"]),
        ("store.size", &["ss", "storeSize"]),
        ("pri.store.size", &["pri.ss"]),
        ("dataset.size", &["dataset.size"]),
    ];
    table(&headers, &parameters, columns, rows)
}

pub(super) async fn count(
    State(doors): State<OpenDoors>,
    headers: HeaderMap,
    parameters: Parameters,
    index: Option<Index>,
) -> Answered {
    let names = super::indices::named(&doors, index, &parameters).await?;
    let mut count = 0;
    for name in &names {
        count += ask::count_of(&doors, name).await?;
    }
    let now = doors.clock.now();
    let row = vec![epoch(now).into(), time_of_day(now).into(), count.to_string().into()];
    let columns: &[Column] = &[
        ("epoch", &["t", "time"]),
        ("timestamp", &["ts", "hms", "hhmmss"]),
        ("count", &["dc", "docs.count", "docsCount"]),
    ];
    table(&headers, &parameters, columns, vec![row])
}

pub(super) async fn health(
    State(doors): State<OpenDoors>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Answered {
    let shards = lake::tables(&doors).await?.len().to_string();
    let status = if doors.readiness.is_ready() { "green" } else { "red" };
    let now = doors.clock.now();
    let shards = shards.as_str();
    let values =
        [CLUSTER, status, "1", "1", shards, shards, "0", "0", "0", "0", "0", "-", "100.0%"];
    let mut row: Vec<Cell> = vec![epoch(now).into(), time_of_day(now).into()];
    row.extend(values.map(Cell::from));
    let columns: &[Column] = &[
        ("epoch", &["t", "time"]),
        ("timestamp", &["ts", "hms", "hhmmss"]),
        ("cluster", &["cl"]),
        ("status", &["st"]),
        ("node.total", &["nt", "nodeTotal"]),
        ("node.data", &["nd", "nodeData"]),
        ("shards", &["t", "sh", "shards.total"]),
        ("pri", &["p", "shards.primary"]),
        ("relo", &["r", "shards.relocating"]),
        ("init", &["i", "shards.initializing"]),
        ("unassign", &["u", "shards.unassigned"]),
        ("unassign.pri", &["up"]),
        ("pending_tasks", &["pt", "pendingTasks"]),
        ("max_task_wait_time", &["mtwt"]),
        ("active_shards_percent", &["asp"]),
    ];
    table(&headers, &parameters, columns, vec![row])
}

pub(super) async fn nodes(headers: HeaderMap, parameters: Parameters) -> Answered {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let row = [host, "dim", "*", CLUSTER, VERSION].map(Cell::from).to_vec();
    let columns: &[Column] = &[
        ("ip", &["i"]),
        ("node.role", &["r", "role"]),
        ("master", &["m"]),
        ("name", &["n"]),
        ("version", &["v"]),
    ];
    table(&headers, &parameters, columns, vec![row])
}

pub(super) async fn master(headers: HeaderMap, parameters: Parameters) -> Answered {
    let row = [super::NODE_ID, "-", "-", CLUSTER].map(Cell::from).to_vec();
    let columns: &[Column] = &[("id", &[]), ("host", &["h"]), ("ip", &[]), ("node", &["n"])];
    table(&headers, &parameters, columns, vec![row])
}

/// `_cat/aliases`, `_cat/templates`, `_cat/plugins`: there are none.
pub(super) async fn aliases(headers: HeaderMap, parameters: Parameters) -> Answered {
    let columns: &[Column] = &[("alias", &["a"]), ("index", &["i", "idx"]), ("filter", &["f"])];
    table(&headers, &parameters, columns, vec![])
}

pub(super) async fn templates(headers: HeaderMap, parameters: Parameters) -> Answered {
    let columns: &[Column] = &[("name", &["n"]), ("index_patterns", &["t"]), ("order", &["o"])];
    table(&headers, &parameters, columns, vec![])
}

pub(super) async fn plugins(headers: HeaderMap, parameters: Parameters) -> Answered {
    let columns: &[Column] = &[("name", &["n"]), ("component", &["c"]), ("version", &["v"])];
    table(&headers, &parameters, columns, vec![])
}

fn epoch(now: Timestamp) -> String {
    (now.millis() / 1_000).to_string()
}

fn time_of_day(now: Timestamp) -> String {
    let second = (now.millis() / 1_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Text(String),
    /// Shown in the unit of `bytes`, or in the one that suits.
    Bytes(u64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Units of `bytes`, smallest first.
const UNITS: [(&str, u64); 6] =
    [("b", 1), ("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30), ("tb", 1 << 40), ("pb", 1 << 50)];

fn shown(cell: &Cell, unit: Option<u64>) -> String {
    match (cell, unit) {
        (Cell::Text(text), _) => text.clone(),
        (Cell::Bytes(bytes), Some(unit)) => (bytes / unit).to_string(),
        (Cell::Bytes(bytes), None) => {
            let suits = UNITS.iter().rev().find(|(_, unit)| bytes >= unit).unwrap_or(&UNITS[0]);
            match *suits {
                (name, 1) => format!("{bytes}{name}"),
                (name, unit) => {
                    let tenths = bytes * 10 / unit;
                    if tenths % 10 == 0 {
                        format!("{}{name}", tenths / 10)
                    } else {
                        format!("{}.{}{name}", tenths / 10, tenths % 10)
                    }
                }
            }
        }
    }
}

/// What `h`, `s`, `bytes`, `v`, `format` and `help` make of a table.
fn table(
    headers: &HeaderMap,
    parameters: &Parameters,
    columns: &[Column],
    mut rows: Vec<Vec<Cell>>,
) -> Answered {
    if parameters.flag("help")? == Some(true) {
        let lines = columns.iter().map(|(name, others)| format!("{name} | {}\n", others.join(",")));
        return Ok(Reply::text(lines.collect()));
    }
    let unit = match parameters.text("bytes") {
        None => None,
        Some(asked) => {
            let unit = UNITS.iter().find(|(name, _)| *name == asked);
            Some(unit.ok_or_else(|| Refused::argument(format!("no unit of bytes is [{asked}]")))?.1)
        }
    };
    sort(&mut rows, columns, &parameters.list("s").unwrap_or_default())?;
    let chosen = chosen(columns, parameters.list("h"))?;
    let cells = rows.iter().map(|row| {
        chosen.iter().map(|(at, _)| row.get(*at).map(|cell| shown(cell, unit)).unwrap_or_default())
    });
    let rows: Vec<Vec<String>> = cells.map(Iterator::collect).collect();
    let names: Vec<&str> = chosen.iter().map(|(_, name)| name.as_str()).collect();
    if wants_json(headers, parameters)? {
        return Ok(Reply::ok(as_json(&names, &rows)));
    }
    let heads = parameters.flag("v")?.unwrap_or(false);
    Ok(Reply::text(as_text(&names, &rows, heads)))
}

/// The column that is called so.
fn column(columns: &[Column], name: &str) -> Option<usize> {
    let exact = columns.iter().position(|(column, _)| *column == name);
    exact.or_else(|| columns.iter().position(|(_, others)| others.contains(&name)))
}

/// Places and heads of the columns of `h`. Names that there are not are passed over, as
/// Elasticsearch does; the head is the name as it was asked for.
fn chosen(columns: &[Column], asked: Option<Vec<&str>>) -> Result<Vec<(usize, String)>, Refused> {
    let Some(asked) = asked else {
        return Ok(columns
            .iter()
            .enumerate()
            .map(|(at, (name, _))| (at, (*name).to_owned()))
            .collect());
    };
    let mut chosen = vec![];
    for name in asked {
        if name.contains('*') {
            let matching = columns.iter().enumerate();
            let matching = matching.filter(|(_, (c, _))| super::filter_path::matches(name, c));
            chosen.extend(matching.map(|(at, (column, _))| (at, (*column).to_owned())));
        } else if let Some(at) = column(columns, name) {
            chosen.push((at, name.to_owned()));
        }
    }
    Ok(chosen)
}

fn sort(rows: &mut [Vec<Cell>], columns: &[Column], keys: &[&str]) -> Result<(), Refused> {
    // The last key first: sorting is stable.
    for key in keys.iter().rev() {
        let (name, down) = match key.rsplit_once(':') {
            Some((name, "desc")) => (name, true),
            Some((name, "asc")) => (name, false),
            _ => (*key, false),
        };
        let at = column(columns, name).ok_or_else(|| {
            let reason = format!("Unable to sort by unknown sort key `{name}`");
            Refused::new(StatusCode::BAD_REQUEST, "unsupported_operation_exception", reason)
        })?;
        rows.sort_by(|a, b| {
            let order = sort_key(a.get(at)).cmp(&sort_key(b.get(at)));
            if down { order.reverse() } else { order }
        });
    }
    Ok(())
}

/// Numbers by their size, before texts.
fn sort_key(cell: Option<&Cell>) -> (Option<u64>, String) {
    match cell {
        Some(Cell::Bytes(bytes)) => (Some(*bytes), String::new()),
        Some(Cell::Text(text)) => (text.parse().ok(), text.clone()),
        None => (None, String::new()),
    }
}

/// `format`, else what the client accepts; text where it accepts several.
fn wants_json(headers: &HeaderMap, parameters: &Parameters) -> Result<bool, Refused> {
    match parameters.text("format") {
        Some("json") => Ok(true),
        Some("text" | "txt") => Ok(false),
        Some(other) => Err(Refused::argument(format!("format [{other}] is neither json nor text"))),
        None => {
            let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
            let accepted = accepted.unwrap_or_default();
            Ok(accepted.starts_with("application/json")
                || accepted.starts_with("application/vnd.elasticsearch+json"))
        }
    }
}

fn as_json(names: &[&str], rows: &[Vec<String>]) -> Value {
    let objects = rows.iter().map(|row| {
        let members = names.iter().zip(row);
        let object: Map<String, Value> =
            members.map(|(name, text)| ((*name).to_owned(), text.as_str().into())).collect();
        Value::Object(object)
    });
    objects.collect()
}

/// Columns of one width each, numbers to the right.
fn as_text(names: &[&str], rows: &[Vec<String>], heads: bool) -> String {
    let heads = heads.then(|| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let lines: Vec<&Vec<String>> = heads.iter().chain(rows).collect();
    let widths: Vec<usize> = (0..names.len())
        .map(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for line in lines {
        let mut shown = String::new();
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let number = rows.iter().all(|row| row[at].starts_with(|c: char| c.is_ascii_digit()));
            let cell = if number && !rows.is_empty() {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            };
            shown.push_str(&cell);
            shown.push(' ');
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::reply::Body;
    use super::*;

    fn shown_table(query: &str) -> Body {
        let parameters = Parameters::of(&format!("/_cat/x?{query}").parse().unwrap());
        let columns: &[Column] = &[("index", &["i"]), ("docs.count", &["dc"]), ("store.size", &[])];
        let rows = vec![
            vec!["shop".into(), "9".into(), Cell::Bytes(1536)],
            vec!["a".into(), "10".into(), Cell::Bytes(7)],
        ];
        table(&HeaderMap::new(), &parameters, columns, rows).unwrap().body
    }

    #[test]
    fn a_table_is_text_or_json() {
        let text = |text: &str| Body::Text(text.to_owned());
        assert_eq!(shown_table(""), text("shop  9 1.5kb\na    10    7b\n"));
        assert_eq!(shown_table("v&h=i,dc"), text("i    dc\nshop  9\na    10\n"));
        assert_eq!(shown_table("s=docs.count:desc&h=index"), text("a\nshop\n"));
        assert_eq!(shown_table("h=store*&bytes=b"), text("1536\n   7\n"));
        assert_eq!(shown_table("h=nothing"), text("\n\n"));
        assert_eq!(
            shown_table("format=json&h=index,docs.count&s=index"),
            Body::Json(json!([
                {"index": "a", "docs.count": "10"},
                {"index": "shop", "docs.count": "9"},
            ]))
        );
    }
}
