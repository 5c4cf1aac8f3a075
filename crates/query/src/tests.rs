//! The engine over small lakes.

mod bounds;
mod exactly_once;
mod partial;
mod peers;
mod plans;
mod pruning;
mod search;
mod spread;
mod sql_files;
mod statements;

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use loglake_model::TenantName;
use object_store::memory::InMemory;

use crate::testing::SmallLake;
use crate::{QueryEngine, QueryError, QueryRequest};

fn request(sql: &str) -> QueryRequest {
    QueryRequest {
        tenant: TenantName::unnamed(),
        sql: sql.to_owned(),
        parameters: vec![],
        timeout: None,
    }
}

async fn rows(engine: &QueryEngine, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
    rows_with(engine, sql, vec![]).await
}

async fn rows_with(
    engine: &QueryEngine,
    sql: &str,
    parameters: Vec<ScalarValue>,
) -> Result<Vec<RecordBatch>, QueryError> {
    let answer = engine.run(QueryRequest { parameters, ..request(sql) }).await?;
    Ok(answer.stream.try_collect().await?)
}

/// The values of the one column that a query answers with, integers.
async fn integers(engine: &QueryEngine, sql: &str) -> Vec<i64> {
    let batches = rows(engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let values =
        |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(values).collect()
}

async fn small_lake() -> SmallLake {
    SmallLake::in_every_stage(Arc::new(InMemory::new())).await
}
