//! From a logical plan to the one that runs. For the newest rows of many it is a plan over few: see [`newest`].

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::logical_expr::{LogicalPlan, Sort};
use datafusion::physical_plan::{ExecutionPlan, collect};

use super::QueryEngine;
use crate::session::QuerySession;
use crate::spread::bytes_to_read;
use crate::{QueryError, counted, newest};

impl QueryEngine {
    /// The plan that is run, logical and physical.
    pub(super) async fn planned(
        &self,
        session: &QuerySession,
        plan: LogicalPlan,
    ) -> Result<(LogicalPlan, Arc<dyn ExecutionPlan>), QueryError> {
        if let Some(physical) = counted::answer(&plan).await? {
            return Ok((plan, physical));
        }
        let state = session.planner(&plan)?;
        let state = state.as_ref();
        let optimized = state.optimize(&plan)?;
        let sort = newest::sort_in(&optimized);
        if let Some(sort) = sort
            && let Some(since) = newest::time_of_first(state, sort, self.many_bytes).await?
        {
            let narrowed = newest::with_time(optimized.clone(), since)?;
            let physical = state.create_physical_plan(&narrowed).await?;
            return Ok((narrowed, physical));
        }
        let physical = state.query_planner().create_physical_plan(&optimized, state).await?;
        if let Some(sort) = sort
            && bytes_to_read(&physical)? >= self.many_bytes
            && let Some(keys) = self.keys_of_newest(session, sort).await?
        {
            let narrowed = newest::with_keys(optimized.clone(), &keys)?;
            let physical = state.create_physical_plan(&narrowed).await?;
            return Ok((narrowed, physical));
        }
        Ok((plan, physical))
    }

    /// The first of two steps; `None` where it is one for several queriers.
    async fn keys_of_newest(
        &self,
        session: &QuerySession,
        sort: &Sort,
    ) -> Result<Option<Vec<RecordBatch>>, QueryError> {
        let keys = session.state().create_physical_plan(&newest::keys(sort)?).await?;
        if self.spread.as_ref().is_some_and(|spread| spread.would_spread(&keys)) {
            return Ok(None);
        }
        Ok(Some(collect(keys, session.task_context()).await?))
    }
}
