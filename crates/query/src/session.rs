//! DataFusion's settings and surroundings: one runtime that all queries share, a session each.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::Arc;

use chrono::DateTime;
use datafusion::catalog::CatalogProviderList;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::SessionConfig;
use loglake_model::Timestamp;
use object_store::ObjectStore;

use crate::QuerySettings;
use crate::catalog::{CATALOG, PUBLIC};
use crate::functions;
use crate::memory::QueryPool;
use crate::plan_rules;
use crate::repeated_orders::RepeatedOrders;
use crate::running::QueryFacts;

/// Where the lake's own store is found; no other address leads anywhere.
const STORE_URL: &str = "loglake://store/";

/// Consumers named in the error of a full memory pool.
const TOP_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// The part of the memory for all queries that decoded footers of files may take.
const METADATA_CACHE_PART: usize = 8;

/// How often the rules of the optimizer are gone through at most; DataFusion's own number.
const PASSES_MAX: usize = 3;

pub(crate) fn store_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse(STORE_URL)
}

/// Makes the session of each query.
pub(crate) struct Sessions {
    runtime: Arc<RuntimeEnv>,
    /// Functions, rules and settings; queries copy it and put their own catalog in.
    template: SessionState,
}

impl Sessions {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, settings: &QuerySettings) -> Result<Self> {
        let runtime = runtime(store, settings)?;
        let mut template = SessionStateBuilder::new()
            .with_session_id(String::new())
            .with_config(config())
            .with_runtime_env(Arc::clone(&runtime))
            .with_default_features()
            .with_optimizer_rule(Arc::new(RepeatedOrders))
            .with_physical_optimizer_rules(plan_rules::rules())
            .build();
        register(&mut template)?;
        Ok(Self { runtime, template })
    }

    /// For parsing alone: it knows no table.
    pub(crate) const fn template(&self) -> &SessionState {
        &self.template
    }

    /// A session for one query: with the catalog it sees, its own account of memory, and `now()`
    /// as the lake's clock said when it began.
    pub(crate) fn session(
        &self,
        query: &QueryFacts,
        runtime: Arc<RuntimeEnv>,
        catalogs: Arc<dyn CatalogProviderList>,
    ) -> QuerySession {
        // Copied and not built: that would register each function anew.
        let mut state = self.template.clone();
        state.register_catalog_list(catalogs);
        state.execution_props_mut().query_execution_start_time = Some(time(query.started));
        QuerySession { state, runtime }
    }

    /// The memory, caches and store of all queries.
    pub(crate) fn runtime(&self) -> Arc<RuntimeEnv> {
        Arc::clone(&self.runtime)
    }

    /// The shared runtime as one query sees it: what it reserves is counted.
    pub(crate) fn runtime_of(&self, query: &QueryFacts) -> Result<Arc<RuntimeEnv>> {
        let shared = Arc::clone(&self.runtime.memory_pool);
        let pool = QueryPool::new(shared, Arc::clone(&query.memory));
        RuntimeEnvBuilder::from_runtime_env(&self.runtime)
            .with_memory_pool(Arc::new(pool))
            .build_arc()
    }
}

/// What one query is planned in, and what it runs in: its state has the memory of all queries, since
/// planning takes none of it that counts.
pub(crate) struct QuerySession {
    state: SessionState,
    runtime: Arc<RuntimeEnv>,
}

impl QuerySession {
    /// Of a query that sees no table.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Result<Self> {
        let state = functions()?;
        let runtime = Arc::clone(state.runtime_env());
        Ok(Self { state, runtime })
    }

    pub(crate) const fn state(&self) -> &SessionState {
        &self.state
    }

    /// What a plan is planned in. The rules are gone through once where nothing is joined: a second time
    /// finds nothing then, and takes as long.
    pub(crate) fn planner(&self, plan: &LogicalPlan) -> Result<Cow<'_, SessionState>> {
        if !joins(plan)? {
            return Ok(Cow::Borrowed(&self.state));
        }
        let mut state = self.state.clone();
        state.config_mut().options_mut().optimizer.max_passes = PASSES_MAX;
        Ok(Cow::Owned(state))
    }

    pub(crate) fn runtime(&self) -> Arc<RuntimeEnv> {
        Arc::clone(&self.runtime)
    }

    /// What plans run in: memory is of the query's account.
    pub(crate) fn task_context(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::from(&self.state).with_runtime(self.runtime()))
    }
}

/// Whether any part of a plan has two inputs, or a query within its expressions.
fn joins(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| {
        let mut asks = false;
        node.apply_expressions(|expr| {
            asks |= expr.exists(|part| Ok(is_subquery(part)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(asks || node.inputs().len() > 1)
    })
}

const fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)
    )
}

/// A session that knows the functions of SQL and nothing else.
pub(crate) fn functions() -> Result<SessionState> {
    let mut state =
        SessionStateBuilder::new().with_config(config()).with_default_features().build();
    register(&mut state)?;
    Ok(state)
}

/// Makes the functions beyond DataFusion's known.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    datafusion_functions_json::register_all(state)?;
    functions::register(state)
}

fn time(timestamp: Timestamp) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp_nanos(timestamp.as_nanos())
}

fn runtime(store: Arc<dyn ObjectStore>, settings: &QuerySettings) -> Result<Arc<RuntimeEnv>> {
    let pool = FairSpillPool::new(settings.memory_bytes_max);
    let metadata = settings.memory_bytes_max / METADATA_CACHE_PART;
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, TOP_CONSUMERS)))
        .with_cache_manager(CacheManagerConfig::default().with_metadata_cache_limit(metadata))
        .with_max_temp_directory_size(settings.spill_bytes_max)
        .with_object_store_registry(Arc::new(OnlyTheLake { store }))
        .build_arc()
}

fn config() -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, PUBLIC)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    config.options_mut().sql_parser.collect_spans = true;
    config.options_mut().optimizer.max_passes = 1;
    configure(config.options_mut());
    config
}

/// How plans run, here and for other queriers.
pub(crate) fn configure(options: &mut ConfigOptions) {
    // As the column `timestamp` has it.
    options.execution.time_zone = Some("UTC".to_owned());
    let parquet = &mut options.execution.parquet;
    parquet.pushdown_filters = true;
    parquet.reorder_filters = true;
    // Files have token indexes instead, which say more.
    parquet.bloom_filter_on_read = false;
    parquet.enable_page_index = true;
}

/// The one store that SQL can reach: no `file://`, no `http://`, nothing is found by its address.
#[derive(Debug)]
struct OnlyTheLake {
    store: Arc<dyn ObjectStore>,
}

impl ObjectStoreRegistry for OnlyTheLake {
    /// Nothing is registered: the store that was offered is handed back.
    fn register_store(
        &self,
        _url: &url::Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        Some(store)
    }

    fn get_store(&self, url: &url::Url) -> Result<Arc<dyn ObjectStore>> {
        if url.as_str() == STORE_URL {
            return Ok(Arc::clone(&self.store));
        }
        Err(DataFusionError::Plan(format!("{url} cannot be reached from SQL")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plans_that_join_are_told_from_others() {
        let state = functions().unwrap();
        let plan = async |sql: &str| state.create_logical_plan(sql).await.unwrap();
        for sql in ["select 1", "select a, count(*) from (values (1)) t(a) where a > 0 group by a"]
        {
            assert!(!joins(&plan(sql).await).unwrap(), "{sql}");
        }
        for sql in [
            "select 1 union all select 2",
            "select * from (values (1)) a(n) join (values (1)) b(n) on a.n = b.n",
            "select 1 where 1 in (select 2)",
            "select (select 1) + 1",
        ] {
            assert!(joins(&plan(sql).await).unwrap(), "{sql}");
        }
    }
}
