//! The facts below the system views: what this process knows of the lake, as plain tables.
//!
//! They are in the schema `lake_facts`, gathered when a query scans them; one query gathers each
//! kind once. The views in `sql/views` give them the shape that users see.

mod gather;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use gather::FactSources;

/// A kind of facts, one table each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Tables,
    Columns,
    Files,
    Watermarks,
    Segments,
    Writers,
    Members,
    Queries,
    Queues,
    Offsets,
}

pub(crate) const FACTS: [Fact; 10] = [
    Fact::Tables,
    Fact::Columns,
    Fact::Files,
    Fact::Watermarks,
    Fact::Segments,
    Fact::Writers,
    Fact::Members,
    Fact::Queries,
    Fact::Queues,
    Fact::Offsets,
];

impl Fact {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tables => "tables",
            Self::Columns => "columns",
            Self::Files => "files",
            Self::Watermarks => "watermarks",
            Self::Segments => "segments",
            Self::Writers => "writers",
            Self::Members => "members",
            Self::Queries => "queries",
            Self::Queues => "queues",
            Self::Offsets => "offsets",
        }
    }

    pub(crate) fn schema(self) -> SchemaRef {
        let (text, count) = (DataType::Utf8, DataType::UInt64);
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let columns: Vec<(&str, DataType)> = match self {
            Self::Tables => vec![
                ("table_name", text.clone()),
                ("table_id", text.clone()),
                ("path", text),
                ("partition_by", DataType::Utf8),
                ("version", count),
            ],
            Self::Columns => vec![
                ("table_name", text.clone()),
                ("position", count),
                ("column_name", text.clone()),
                ("data_type", text.clone()),
                ("nullable", DataType::Boolean),
                ("origin", text.clone()),
                ("name_form", text),
            ],
            Self::Files => vec![
                ("table_name", text.clone()),
                ("path", text.clone()),
                ("partition", text),
                ("rows", count.clone()),
                ("bytes", count),
                ("min_time", time.clone()),
                ("max_time", time.clone()),
                ("modified", time),
            ],
            Self::Watermarks => {
                vec![("table_name", text.clone()), ("writer", text), ("segment", count)]
            }
            Self::Segments => vec![("writer", text), ("segment", count.clone()), ("bytes", count)],
            Self::Writers => vec![
                ("writer", text),
                ("started", time),
                ("here", DataType::Boolean),
                ("floor", count),
            ],
            Self::Members => vec![
                ("member", text.clone()),
                ("roles", text.clone()),
                ("http", text.clone()),
                ("grpc", text.clone()),
                ("writer", text.clone()),
                ("version", text),
            ],
            Self::Queries => vec![
                ("query", text.clone()),
                ("started", time),
                ("state", text.clone()),
                ("rows", count.clone()),
                ("elapsed_ms", count.clone()),
                ("peak_memory_bytes", count),
                ("error", text.clone()),
                ("sql", text),
            ],
            Self::Queues => vec![
                ("queue", text.clone()),
                ("table_name", text.clone()),
                ("state", text.clone()),
                ("writer", text.clone()),
                ("next_offset", count.clone()),
                ("end_offset", count.clone()),
                ("buffered_bytes", count.clone()),
                ("records", count.clone()),
                ("records_per_second", DataType::Float64),
                ("dead_letters", count.clone()),
                ("missed", count),
                ("error", text),
            ],
            Self::Offsets => {
                vec![("table_name", text.clone()), ("queue", text), ("next_offset", count)]
            }
        };
        let fields = columns.into_iter().map(|(name, kind)| Field::new(name, kind, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// One kind of facts as a table.
pub(crate) struct FactTable {
    fact: Fact,
    sources: Arc<FactSources>,
}

impl FactTable {
    pub(crate) const fn new(fact: Fact, sources: Arc<FactSources>) -> Self {
        Self { fact, sources }
    }
}

impl fmt::Debug for FactTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FactTable").field(&self.fact).finish()
    }
}

#[async_trait]
impl TableProvider for FactTable {
    fn schema(&self) -> SchemaRef {
        self.fact.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.sources.gather(self.fact).await?;
        let schema = self.fact.schema();
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], schema, projection.cloned())?)
    }
}
