//! How plans run: over one snapshot of the tables, within one query's limits.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;

use crate::ElasticError;

/// Runs plans over one snapshot. Several may run at once.
#[async_trait]
pub trait RunPlan: Send + Sync {
    /// All rows of the plan's answer. Plans are to bound their rows: a limit, or groups.
    async fn run(&self, plan: LogicalPlan) -> Result<Vec<RecordBatch>, ElasticError>;
}
