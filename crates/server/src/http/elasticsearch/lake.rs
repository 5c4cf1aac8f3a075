//! The lake as Elasticsearch's clients see it: a table is an index.
//!
//! Futures are boxed here and in [`super::ask`]: what lies below is deep, and each of the many routes
//! would have it checked again when this crate is compiled.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use axum::http::StatusCode;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use loglake_elastic::IndexOptions;
use loglake_model::{ErrorKind, TableName};
use loglake_query::{QueryError, QueryRequest};

use super::parameters::Parameters;
use super::reply::Refused;
use crate::doors::OpenDoors;
use crate::failure::Failure;

/// The committed part of every table. Rows that wait for their commit are counted by searches.
const SIZES: &str = "SELECT table_name, table_id, CAST(rows AS BIGINT) AS rows, \
     CAST(bytes AS BIGINT) AS bytes FROM lake.tables";

/// What comes of asking the lake.
pub(super) type Asked<'a, T> = BoxFuture<'a, Result<T, Refused>>;

/// What a table holds in files.
#[derive(Clone, Debug)]
pub(super) struct Size {
    pub(super) name: TableName,
    pub(super) id: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// All tables, by name.
pub(super) fn tables(doors: &OpenDoors) -> Asked<'_, BTreeSet<TableName>> {
    Box::pin(async {
        let engine = doors.engine()?;
        Ok(engine.tables(&doors.tenant).await.map_err(Failure::from)?)
    })
}

/// The tables that an expression names; `None`: all.
///
/// # Errors
/// 404 for a name without a table, unless the options say otherwise.
pub(super) async fn named(
    doors: &OpenDoors,
    expression: Option<&str>,
    options: IndexOptions,
) -> Result<Vec<TableName>, Refused> {
    let now = doors.clock.now().as_nanos();
    // A table that is open is there; only who means others has to list them.
    if let Some(names) = expression.filter(|names| !loglake_elastic::is_pattern(names)) {
        let open = doors.engine()?.open_tables(&doors.tenant);
        if let Ok(names) = loglake_elastic::resolve(names, &open, IndexOptions::default(), now) {
            return Ok(names);
        }
    }
    let tables = tables(doors).await?;
    match loglake_elastic::resolve(expression.unwrap_or("_all"), &tables, options, now) {
        Ok(names) => Ok(names),
        Err(error) => Err(unfound(error.into())),
    }
}

/// The refusal with the members that Elasticsearch names the index in.
fn unfound(refused: Refused) -> Refused {
    let reason = refused.error()["reason"].as_str().unwrap_or_default();
    match reason.strip_prefix("no such index [").and_then(|rest| rest.strip_suffix(']')) {
        Some(index) => Refused::no_such_index(index),
        None => refused,
    }
}

/// # Errors
/// 400 for anything but true and false.
pub(super) fn options(parameters: &Parameters) -> Result<IndexOptions, Refused> {
    let mut options = IndexOptions::default();
    if let Some(flag) = parameters.flag("ignore_unavailable")? {
        options.ignore_unavailable = flag;
    }
    if let Some(flag) = parameters.flag("allow_no_indices")? {
        options.allow_no_indices = flag;
    }
    Ok(options)
}

/// The columns of some tables.
pub(super) fn shapes<'a>(
    doors: &'a OpenDoors,
    names: &'a [TableName],
) -> Asked<'a, BTreeMap<TableName, SchemaRef>> {
    Box::pin(async {
        let shapes = doors.engine()?.shapes(&doors.tenant, names).await;
        Ok(shapes.map_err(Failure::from)?)
    })
}

/// Rows and bytes of all tables, or of some.
pub(super) fn sizes<'a>(
    doors: &'a OpenDoors,
    names: Option<&'a [TableName]>,
) -> Asked<'a, Vec<Size>> {
    Box::pin(async move {
        let request = QueryRequest {
            tenant: doors.tenant.clone(),
            sql: SIZES.to_owned(),
            parameters: vec![],
            timeout: None,
        };
        let answer = doors.engine()?.run(request).await.map_err(Failure::from)?;
        let batches: Vec<RecordBatch> =
            answer.stream.try_collect().await.map_err(|e| Failure::from(QueryError::from(e)))?;
        let sizes: Option<Vec<Vec<Size>>> = batches.iter().map(sizes_of).collect();
        let mut sizes = sizes
            .ok_or_else(|| Failure::new(ErrorKind::Internal, "lake.tables has other columns"))?
            .concat();
        if let Some(names) = names {
            sizes.retain(|size| names.contains(&size.name));
        }
        sizes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sizes)
    })
}

/// `None` when the answer of [`SIZES`] has other columns.
fn sizes_of(batch: &RecordBatch) -> Option<Vec<Size>> {
    let text = |name: &str| batch.column_by_name(name).and_then(|c| c.as_string_opt::<i32>());
    let count =
        |name: &str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int64Type>());
    let (names, ids) = (text("table_name")?, text("table_id")?);
    let (rows, bytes) = (count("rows")?, count("bytes")?);
    let sizes = (0..batch.num_rows()).filter_map(|at| {
        let name = TableName::new(names.value(at)).ok()?;
        let [rows, bytes] = [rows, bytes].map(|counts| counts.value(at).unsigned_abs());
        Some(Size { name, id: ids.value(at).to_owned(), rows, bytes })
    });
    Some(sizes.collect())
}

/// Makes the table of this name, or finds it, as ingestion would. Whether it was made now.
///
/// # Errors
/// 400 for a name that no table can have.
pub(super) fn make_table<'a>(doors: &'a OpenDoors, name: &'a str) -> Asked<'a, bool> {
    Box::pin(async move {
        let table = TableName::new(name).map_err(|error| {
            let kind = "invalid_index_name_exception";
            Refused::new(StatusCode::BAD_REQUEST, kind, error.to_string())
        })?;
        let ingester = doors.ingester()?;
        if ingester.has_table(&doors.tenant, &table).await.map_err(Failure::from)? {
            return Ok(false);
        }
        ingester.table(&doors.tenant, &table).await.map_err(Failure::from)?;
        Ok(true)
    })
}
