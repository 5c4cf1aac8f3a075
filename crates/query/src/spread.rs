//! One query over several queriers, with `datafusion-distributed`.
//!
//! A query is planned here, as if it ran here alone: one version of each table, files pruned, fresh
//! rows fetched. When what is left to read is worth it, the plan is cut into stages whose tasks run
//! on all live queriers, this one among them:
//!
//! - each file is read by the querier that rendezvous hashing prefers for it ([`assign`]), so that
//!   footers and pages which a querier has cached are read there again;
//! - fresh rows are scanned here, where the query fixed them ([`leaves`]): no other querier could ask
//!   for the same ones, and they are small beside the files;
//! - a querier that is lost takes the whole query with it: before its first row has gone out it is
//!   tried once more with those that answer, after that it fails. Nothing is left out silently.
//!
//! Promises: the same rows as on one querier; plans that could tell the difference (a scalar
//! subquery's check for more than one row) stay here.

pub(crate) mod assign;
mod cost;
mod leaves;
pub(crate) mod rows;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::{
    ChannelResolver, DistributedExec, DistributedExt, GetWorkerInfoRequest, SessionStateBuilderExt,
    Worker, WorkerResolver,
};
use futures::future::join_all;
use url::Url;

use self::cost::Cost;
use crate::session::QuerySession;

pub(crate) use self::cost::bytes_to_read;
pub use datafusion_distributed::Worker as QueryWorker;

/// How long a querier may take to say that it is there, after a query was lost.
const PROBE_MAX: Duration = Duration::from_secs(1);

/// The queriers of the cluster.
pub trait Queriers: Send + Sync + 'static {
    /// Where others reach this one.
    fn own(&self) -> Url;

    /// Those that live, as far as is known, this one included if it is a member.
    fn live(&self) -> Vec<Url>;

    /// Opens connections to them, which give up when nothing comes back.
    fn channels(&self) -> Arc<dyn ChannelResolver + Send + Sync>;
}

#[derive(Clone, Debug)]
pub struct SpreadSettings {
    /// Bytes of the columns that it reads below which a query stays where it was asked: starting work
    /// elsewhere costs some round trips, and what indexes say of rows does not go along.
    pub bytes_min: u64,
}

/// Spreads plans over queriers, and works for those of others.
pub(crate) struct Spread {
    queriers: Arc<dyn Queriers>,
    settings: SpreadSettings,
    worker: Worker,
    footers: Arc<FileMetadataCache>,
}

impl Spread {
    pub(crate) fn new(
        queriers: Arc<dyn Queriers>,
        settings: SpreadSettings,
        runtime: Arc<RuntimeEnv>,
    ) -> Self {
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let worker = worker::worker(queriers.channels(), runtime);
        Self { queriers, settings, worker, footers }
    }

    pub(crate) fn worker(&self) -> Worker {
        self.worker.clone()
    }

    /// The plan over several queriers but the `lost` ones, with what to run it in; `None` when it had
    /// better stay here.
    pub(crate) async fn over_queriers(
        &self,
        session: &QuerySession,
        logical: &LogicalPlan,
        physical: &Arc<dyn ExecutionPlan>,
        lost: &BTreeSet<Url>,
    ) -> Result<Option<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)>> {
        let Some(order) = self.order(lost) else { return Ok(None) };
        if !can_be_spread(physical)? || !self.is_worth(physical, order.len())? {
            return Ok(None);
        }
        let state = session.planner(logical)?;
        let physical = rows::tested(&state, logical, physical).await?;
        let state = self.session(session, order, physical)?;
        let plan = state.query_planner().create_physical_plan(logical, &state).await?;
        let is_spread = plan.exists(|node| Ok(node.is::<DistributedExec>()))?;
        Ok(is_spread.then(|| (plan, state.task_ctx())))
    }

    /// Whether a plan that reads these files would run on several queriers.
    pub(crate) fn would_spread(&self, physical: &Arc<dyn ExecutionPlan>) -> bool {
        let order = self.order(&BTreeSet::new());
        order.is_some_and(|order| self.is_worth(physical, order.len()).unwrap_or_default())
    }

    fn is_worth(&self, physical: &Arc<dyn ExecutionPlan>, queriers: usize) -> Result<bool> {
        let cost = Cost::of(physical, self.footers.as_ref())?;
        Ok(cost.here >= self.settings.bytes_min && cost.falls_by(queriers))
    }

    /// The queriers in the order of their slots: this one first. `None` when it would be alone.
    fn order(&self, lost: &BTreeSet<Url>) -> Option<Arc<[Url]>> {
        let own = self.queriers.own();
        let live: BTreeSet<Url> = self.queriers.live().into_iter().collect();
        if !live.contains(&own) {
            return None;
        }
        let others = live.into_iter().filter(|url| *url != own && !lost.contains(url));
        let order: Arc<[Url]> = std::iter::once(own.clone()).chain(others).collect();
        (order.len() > 1).then_some(order)
    }

    fn session(
        &self,
        session: &QuerySession,
        order: Arc<[Url]>,
        physical: Arc<dyn ExecutionPlan>,
    ) -> Result<SessionState> {
        let local = self.worker.to_local_worker_context(self.queriers.own());
        let mut builder = SessionStateBuilder::new_from_existing(session.state().clone())
            .with_runtime_env(session.runtime())
            .with_query_planner(Arc::new(Planned(physical)))
            .with_distributed_worker_resolver(Fixed(Arc::clone(&order)))
            .with_distributed_channel_resolver(self.queriers.channels())
            .with_distributed_local_worker_context(local)
            .with_distributed_children_isolator_unions(false)?
            .with_distributed_planner();
        leaves::handle(&mut builder, &order);
        let mut state = builder.build();
        worker::config(state.config_mut().options_mut());
        Ok(state)
    }

    /// Those of the queriers that do not say that they are there.
    pub(crate) async fn lost(&self) -> BTreeSet<Url> {
        let others = self.others();
        let answers = join_all(others.iter().map(|url| self.answers(url))).await;
        others.into_iter().zip(answers).filter(|(_, there)| !there).map(|(url, _)| url).collect()
    }

    /// All but this one.
    pub(crate) fn others(&self) -> BTreeSet<Url> {
        let own = self.queriers.own();
        self.queriers.live().into_iter().filter(|url| *url != own).collect()
    }

    async fn answers(&self, url: &Url) -> bool {
        let ask = async {
            let channels = self.queriers.channels();
            let mut channel = channels.get_worker_client_for_url(url).await?;
            channel.get_worker_info(GetWorkerInfoRequest {}).await
        };
        matches!(tokio::time::timeout(PROBE_MAX, ask).await, Ok(Ok(_)))
    }
}

/// The workers of one query: as it was planned for.
struct Fixed(Arc<[Url]>);

impl WorkerResolver for Fixed {
    fn get_urls(&self) -> Result<Vec<Url>> {
        Ok(self.0.to_vec())
    }
}

/// Gives the plan that was made already.
#[derive(Debug)]
struct Planned(Arc<dyn ExecutionPlan>);

#[async_trait]
impl QueryPlanner for Planned {
    async fn create_physical_plan(
        &self,
        _logical: &LogicalPlan,
        _session: &dyn datafusion::catalog::Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::clone(&self.0))
    }
}

/// Nodes whose meaning would change when they are cut apart: a scalar subquery is checked for more
/// than one row where it is joined again, a recursion feeds itself.
const STAYS: [&str; 3] = ["ScalarSubqueryExec", "RecursiveQueryExec", "WorkTableExec"];

fn can_be_spread(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    Ok(!plan.exists(|node| Ok(STAYS.contains(&node.name())))?)
}
