//! Runs the sqllogictest files of `sql/golden` against anything that answers SQL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use futures::TryStreamExt;
use loglake_model::TenantName;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::{QueryEngine, QueryError, QueryRequest};

/// Runs every `*.slt` file of a folder, each on a connection of its own. Answers with their names.
///
/// # Errors
/// A text for people: the file, the line, what was expected and what came.
pub async fn run_golden<D, F>(folder: &Path, connect: impl Fn() -> F) -> Result<Vec<String>, String>
where
    D: AsyncDB<ColumnType = DefaultColumnType>,
    F: Future<Output = Result<D, D::Error>>,
{
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    let mut failures = vec![];
    for file in &files {
        let mut runner = Runner::new(&connect);
        if let Err(error) = runner.run_file_async(file).await {
            failures.push(error.display(false).to_string());
        }
    }
    match failures.is_empty() {
        true => Ok(files.iter().map(|file| file.display().to_string()).collect()),
        false => Err(failures.join("\n\n")),
    }
}

/// Rows as sqllogictest compares them: one text a value, `NULL` and `(empty)` by these names.
///
/// # Errors
/// When a value cannot be shown.
pub fn output(
    schema: &Schema,
    batches: &[RecordBatch],
) -> Result<DBOutput<DefaultColumnType>, ArrowError> {
    let types = schema.fields().iter().map(|field| match field.data_type() {
        kind if kind.is_integer() => DefaultColumnType::Integer,
        DataType::Float64 | DataType::Float32 => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    });
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![];
    for batch in batches {
        let columns = batch.columns().iter();
        let columns: Vec<_> =
            columns.map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let texts = columns.iter().map(|column| match column.value(row).try_to_string()? {
                text if text.is_empty() => Ok("(empty)".to_owned()),
                text => Ok(text),
            });
            rows.push(texts.collect::<Result<Vec<_>, ArrowError>>()?);
        }
    }
    Ok(DBOutput::Rows { types: types.collect(), rows })
}

/// The engine itself as sqllogictest sees it.
pub struct Golden(pub Arc<QueryEngine>);

#[async_trait]
impl AsyncDB for Golden {
    type Error = QueryError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, QueryError> {
        let request = QueryRequest {
            tenant: TenantName::unnamed(),
            sql: sql.to_owned(),
            parameters: vec![],
            timeout: None,
        };
        let answer = self.0.run(request).await?;
        let batches: Vec<_> = answer.stream.try_collect().await?;
        output(&answer.schema, &batches)
            .map_err(|e| datafusion::error::DataFusionError::from(e).into())
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "loglake"
    }
}
