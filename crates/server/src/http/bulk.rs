//! `_bulk`: records in by Elasticsearch's bulk API.
//!
//! ```text
//! pieces → blocks of lines → paired into items → decoded by table → stored    a few blocks at once
//! ```
//! All records of a block share one segment, whatever their tables. The answer has one item for each
//! action, in order; what failed can be sent again by item.

mod answer;
mod plan;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::{FutureExt, StreamExt, future, stream};
use loglake_ingest::RequestKey;
use loglake_model::{ErrorKind, TableName};
use loglake_receive::json::on_one_line;
use loglake_receive::{BulkReader, DecodeContext, Document, decode_documents};
use loglake_table::Table;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::answer::{BulkAnswer, Item, Refusal};
use self::plan::{Plan, Planner};
use super::blocks::{BodyForm, blocks, off_thread, stored_in_order};
use super::elasticsearch;
use crate::doors::OpenDoors;
use crate::failure::Failure;
use crate::ids::DocumentIds;
use crate::keyed::{Key, whole};

/// Blocks up to this size are decoded where they are: the way to another thread would cost more.
const INLINE_BYTES: usize = 32 << 10;

pub(super) async fn bulk(
    State(doors): State<OpenDoors>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    respond(&doors, None, &headers, body).await
}

pub(super) async fn bulk_of_index(
    State(doors): State<OpenDoors>,
    Path(index): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    respond(&doors, Some(&index), &headers, body).await
}

async fn respond(
    doors: &OpenDoors,
    index: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let started = Instant::now();
    match items(doors, index, headers, body).await {
        Ok(items) => {
            let answer = BulkAnswer::new(started.elapsed(), items);
            elasticsearch::answer(headers, StatusCode::OK, &answer)
        }
        Err(failure) => elasticsearch::failed(headers, &failure),
    }
}

/// One document in, as an item of `_bulk`; what became of it, as the answer's item has it.
///
/// # Errors
/// When it could not be stored and may be later.
pub(super) async fn one_document(
    doors: &OpenDoors,
    headers: &HeaderMap,
    index: &str,
    id: Option<&str>,
    document: &[u8],
) -> Result<Value, Failure> {
    let mut body = match id {
        Some(id) => json!({"create": {"_index": index, "_id": id}}),
        None => json!({"create": {"_index": index}}),
    }
    .to_string()
    .into_bytes();
    body.push(b'\n');
    body.extend_from_slice(&on_one_line(document));
    body.push(b'\n');
    // The body is unpacked already; of the headers only the key counts.
    let mut kept = HeaderMap::new();
    if let Some(key) = headers.get(crate::keyed::HEADER) {
        kept.insert(crate::keyed::HEADER, key.clone());
    }
    let items = items(doors, None, &kept, Body::from(body)).boxed().await?;
    let answer = serde_json::to_value(BulkAnswer::new(Duration::ZERO, items));
    let mut answer = answer.map_err(|e| Failure::new(ErrorKind::Internal, e.to_string()))?;
    Ok(answer["items"][0]["create"].take())
}

/// What became of each action of the body.
///
/// # Errors
/// When the body cannot be read to its end, or its first block could not be stored at all: the
/// sender comes back with the whole request. A later block that fails does so by item.
async fn items(
    doors: &OpenDoors,
    index: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<Item>, Failure> {
    doors.ingester()?;
    let key = Key::of(headers)?;
    let mut planner = Planner::new(BulkReader::new(index));
    let blocks = blocks(doors, headers, body, BodyForm::Lines)?;
    if let Some(key) = key {
        let target = format!("bulk {}", index.unwrap_or_default());
        let blocks = whole(blocks).await?;
        let body = blocks.iter().map(|block| &*block.bytes);
        let key = key.request(&doors.tenant, &target, body);
        let plans = blocks.into_iter().map(|block| planner.plan(block));
        let mut plans = plans.collect::<Result<Vec<Plan>, _>>()?;
        plans.push(planner.finish());
        return store_once(doors, key, plans).await;
    }
    let blocks = blocks.map(|block| block.map(Some));
    let plans =
        blocks.chain(stream::once(future::ready(Ok(None)))).map(move |block| match block? {
            Some(block) => planner.plan(block),
            None => Ok(planner.finish()),
        });
    let stored = plans.map(|plan: Result<Plan, Failure>| async move {
        Ok::<_, Failure>(store(doors, plan?).await)
    });
    let mut stored = pin!(stored_in_order(stored));
    let mut items = vec![];
    while let Some(block) = stored.next().await {
        match block? {
            Stored { failure: Some(failure), .. } if items.is_empty() => return Err(failure),
            block => items.extend(block.items),
        }
    }
    Ok(items)
}

/// Stores a whole body, unless that was done before. The items are the same: they follow from the
/// body and the key.
async fn store_once(
    doors: &OpenDoors,
    key: RequestKey,
    plans: Vec<Plan>,
) -> Result<Vec<Item>, Failure> {
    let started = Instant::now();
    let _place = doors.place(plans.iter().map(Plan::bytes).sum()).await;
    let ids = DocumentIds::of_request(&key);
    let (mut items, mut rows) = (vec![], vec![]);
    for plan in plans {
        let mut of_plan = plan.items(&ids);
        rows.extend(decoded(doors, plan, &mut of_plan).await?);
        items.extend(of_plan);
    }
    doors.ingester()?.append_once(key, rows).await?;
    count(doors, &items, started);
    Ok(items)
}

struct Stored {
    items: Vec<Item>,
    /// Why the documents of the block that could be read are not stored; each item says so too.
    failure: Option<Failure>,
}

async fn store(doors: &OpenDoors, plan: Plan) -> Stored {
    let started = Instant::now();
    let _place = doors.place(plan.bytes()).await;
    let mut items = plan.items(&doors.document_ids);
    let stored = match decoded(doors, plan, &mut items).await {
        Ok(rows) => append(doors, rows).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &stored {
        for item in items.iter_mut().filter(|item| item.refused.is_none()) {
            item.refused = Some(Refusal::NotStored(failure.clone()));
        }
    }
    count(doors, &items, started);
    Stored { items, failure: stored.err() }
}

fn count(doors: &OpenDoors, items: &[Item], started: Instant) {
    let refused = items.iter().filter(|item| item.refused.is_some()).count();
    let rows = items.len() - refused;
    if rows > 0 {
        doors.metrics.acknowledged(rows as u64, started.elapsed());
    }
    doors.metrics.rejected.inc_by(refused as u64);
}

async fn append(doors: &OpenDoors, rows: Vec<(Arc<Table>, RecordBatch)>) -> Result<(), Failure> {
    Ok(doors.ingester()?.append(rows).await?)
}

/// The rows of a plan; what cannot be read is said in its item.
async fn decoded(
    doors: &OpenDoors,
    plan: Plan,
    items: &mut [Item],
) -> Result<Vec<(Arc<Table>, RecordBatch)>, Failure> {
    let ingester = doors.ingester()?;
    let mut tables = BTreeMap::new();
    for (index, positions) in plan.by_index() {
        match TableName::new(&index) {
            Ok(name) => {
                let table = ingester.table(&doors.tenant, &name).await?;
                tables.insert(index, (table, positions));
            }
            Err(error) => {
                for position in positions {
                    items[position].refused = Some(Refusal::Index(error.to_string()));
                }
            }
        }
    }
    let tables: Vec<_> = tables.into_values().collect();
    let inline = plan.bytes() <= INLINE_BYTES;
    let of_block = doors.clone();
    let work = move || decode(&of_block, &plan, tables);
    let decoded = if inline { work() } else { off_thread(work).await? };
    for (position, reason) in decoded.refused {
        items[position].refused = Some(Refusal::Document(reason));
    }
    Ok(decoded.rows)
}

struct DecodedTables {
    rows: Vec<(Arc<Table>, RecordBatch)>,
    /// Positions of items, and why.
    refused: Vec<(usize, String)>,
}

/// The documents at the given positions of the plan, by table. The `_id` of an action stays with its
/// record, as a field.
fn decode(doors: &OpenDoors, plan: &Plan, tables: Vec<(Arc<Table>, Vec<usize>)>) -> DecodedTables {
    let arrival = doors.clock.now();
    let mut decoded = DecodedTables { rows: vec![], refused: vec![] };
    for (table, positions) in tables {
        let schema = Arc::clone(table.current().schema());
        let context = DecodeContext { schema: &schema, limits: &doors.limits, arrival };
        let extras: Vec<_> = positions.iter().map(|at| plan.extra(*at)).collect();
        let documents = positions.iter().zip(&extras).map(|(at, extra)| Document {
            line: *at as u64,
            extra: extra.as_slice(),
            source: plan.source(*at),
        });
        let of_table = decode_documents(documents, &context);
        let refused = of_table.rejections.into_iter().map(|r| (r.line as usize, r.reason));
        decoded.refused.extend(refused);
        decoded.rows.push((table, of_table.batch));
    }
    decoded
}
