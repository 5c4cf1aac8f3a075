//! Questions that are plans of their own instead of SQL: several of them over one snapshot, as one
//! query with one deadline, one account of memory and one line in `lake.queries`.
//!
//! ```text
//! begin → snapshot → plans over its tables → rows        an error the lake's moving explains
//!            ▲                                                          │
//!            └──────────────────────── begin_again ─────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::DFSchemaRef;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use futures::{FutureExt, TryStreamExt};
use loglake_model::{TableName, TenantName};
use tokio::time::timeout_at;

use super::{QueryEngine, Tries, Want};
use crate::answer::Deadline;
use crate::catalog::{CATALOG, OneCatalog, PUBLIC};
use crate::running::RunningQuery;
use crate::session::QuerySession;
use crate::snapshot::Terms;
use crate::statement::Named;
use crate::{QueryError, read_only};

/// What is asked by plans.
pub struct PlansRequest {
    pub tenant: TenantName,
    /// What `lake.queries` shows for it.
    pub text: String,
    /// Shorter than the settings' time-out, or `None` for it.
    pub timeout: Option<Duration>,
}

/// A question that is under way.
pub struct PlanQuery<'e> {
    engine: &'e QueryEngine,
    tenant: TenantName,
    query: RunningQuery,
    deadline: Deadline,
    tries: Tries,
}

/// The tables of a question, each bound to one version with its fresh rows.
pub struct PlanSnapshot<'q> {
    query: &'q PlanQuery<'q>,
    session: Arc<QuerySession>,
    tables: BTreeMap<String, Arc<dyn TableProvider>>,
    /// Bytes of rows that were handed out: answers are held whole.
    held_bytes: AtomicUsize,
}

impl QueryEngine {
    /// Begins a question that is asked by plans. It counts as cancelled when it is dropped before
    /// [`PlanQuery::end`].
    pub fn plans(&self, request: PlansRequest) -> PlanQuery<'_> {
        let query = self.queries.begin(&request.tenant, &request.text);
        let asked = request.timeout.unwrap_or(self.timeout_max);
        let deadline = Deadline::after(asked.min(self.timeout_max));
        PlanQuery { engine: self, tenant: request.tenant, query, deadline, tries: Tries::default() }
    }
}

impl PlanQuery<'_> {
    /// The tables as they are now. A table that is not there is not in it.
    ///
    /// # Errors
    /// As of queries; see [`Self::begin_again`].
    pub async fn snapshot(
        &self,
        tables: &BTreeSet<TableName>,
    ) -> Result<PlanSnapshot<'_>, QueryError> {
        let named = Named { tables: tables.clone(), ..Named::default() };
        let terms = Terms { shunned: &self.tries.shunned, leave: &self.tries.leave };
        let bind =
            self.engine.relations_of(&self.tenant, &named, Want::Rows(terms), self.query.facts());
        let bound = self.in_time(bind.boxed()).await?;
        let (runtime, tables) = (Arc::clone(&bound.runtime), bound.public.clone());
        let catalogs = Arc::new(OneCatalog(Arc::new(bound.catalog())));
        let session = self.engine.sessions.session(self.query.facts(), runtime, catalogs);
        let session = Arc::new(session);
        Ok(PlanSnapshot { query: self, session, tables, held_bytes: AtomicUsize::new(0) })
    }

    /// Whether the error says that the lake moved on, so that everything is to be asked again of
    /// another snapshot.
    pub async fn begin_again(&mut self, error: &QueryError) -> bool {
        let again = self.engine.begin_again(error, &mut self.tries).boxed().await;
        if again {
            tracing::debug!(query = self.query.facts().id, "plans begin again: {error}");
            self.tries.again();
        }
        again
    }

    /// How long it has been under way.
    pub fn elapsed(&self) -> Duration {
        self.query.facts().elapsed()
    }

    /// Says how the question ended.
    pub fn end(self, error: Option<&QueryError>) {
        match error {
            Some(error) => self.query.failed(error),
            None => self.query.done(),
        }
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        timeout_at(self.deadline.at, work).await.unwrap_or_else(|_| Err(self.deadline.error()))
    }
}

impl PlanSnapshot<'_> {
    /// The columns of a table.
    pub fn columns(&self, table: &TableName) -> Option<SchemaRef> {
        self.tables.get(table.as_str()).map(|table| table.schema())
    }

    /// The tables that are there.
    pub fn tables(&self) -> Vec<TableName> {
        self.tables.keys().filter_map(|name| TableName::new(name).ok()).collect()
    }

    /// All rows of a table, to build a plan on.
    ///
    /// # Errors
    /// When the table is not in the snapshot.
    pub fn scan(&self, table: &TableName) -> Result<LogicalPlanBuilder, QueryError> {
        let provider = self.tables.get(table.as_str()).ok_or_else(|| {
            QueryError::invalid(format!("table '{table}' is not there")).not_found()
        })?;
        let name = datafusion::common::TableReference::full(CATALOG, PUBLIC, table.as_str());
        Ok(LogicalPlanBuilder::scan(name, provider_as_source(Arc::clone(provider)), None)?)
    }

    /// The rows of a plan's answer with other columns, made of its own. A projection at the plan's end would
    /// give the same: of many columns, planning goes over it for longer than a few rows take.
    ///
    /// # Errors
    /// As of queries.
    pub async fn run_as(
        &self,
        plan: LogicalPlan,
        columns: &[Expr],
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let schema = Arc::clone(plan.schema());
        let batches = self.run(plan).await?;
        if batches.is_empty() {
            return Ok(batches);
        }
        Ok(projected(self.session.state(), &schema, &batches, columns)?)
    }

    /// The rows of a plan's answer. All rows of all plans of the question are held at once, within
    /// the bound of one held answer.
    ///
    /// # Errors
    /// As of queries.
    pub async fn run(&self, plan: LogicalPlan) -> Result<Vec<RecordBatch>, QueryError> {
        read_only::check_plan(&plan)?;
        let PlanQuery { engine, tries, query, .. } = self.query;
        let work = async {
            let mut started = engine.execute(&self.session, plan, tries).await?;
            let mut batches = vec![];
            loop {
                let batch = match started.first.pop_front() {
                    Some(first) => first,
                    None => match started.rest.try_next().await? {
                        Some(next) => next,
                        None => return Ok(batches),
                    },
                };
                let bytes = batch.get_array_memory_size();
                let held = self.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
                if held > engine.held_bytes_max {
                    return Err(QueryError::too_large(engine.held_bytes_max));
                }
                query.sent(batch.num_rows());
                batches.push(batch);
            }
        };
        let answer = self.query.in_time(work.boxed()).await;
        answer.map_err(|e| if tries.was_spread() { e.of_several_queriers() } else { e })
    }
}

/// Each batch's rows with other columns, by the names of their expressions.
fn projected(
    state: &SessionState,
    schema: &DFSchemaRef,
    batches: &[RecordBatch],
    columns: &[Expr],
) -> PlanResult<Vec<RecordBatch>> {
    let simplified = ExprSimplifier::new(
        SimplifyContext::builder()
            .with_schema(Arc::clone(schema))
            .with_config_options(Arc::clone(state.config_options()))
            .build(),
    );
    let physical = columns.iter().map(|expr| {
        // Some functions are but names for what they are simplified to.
        let simple = simplified.simplify(simplified.coerce(expr.clone(), schema)?)?;
        Ok((expr.schema_name().to_string(), state.create_physical_expr(simple, schema)?))
    });
    let physical = physical.collect::<PlanResult<Vec<_>>>()?;
    let of_batch = |batch: &RecordBatch| {
        let columns = physical.iter().map(|(name, expr)| {
            Ok((name, expr.evaluate(batch)?.into_array(batch.num_rows())?, true))
        });
        let columns = columns.collect::<PlanResult<Vec<_>>>()?;
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    };
    batches.iter().map(of_batch).collect()
}
