//! What each querier reads of a plan's leaves.

use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedExt, DistributedLeafExec,
    RouteTasksEvent, RouteTasksEventResponse, ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
};
use url::Url;

use super::assign::reader;
use super::cost::file_scan;

/// Makes a session cut leaves for these queriers, the first of which is this one.
pub(super) fn handle(builder: &mut SessionStateBuilder, order: &Arc<[Url]>) {
    let (count, urls, slots) = (order.len(), Arc::clone(order), Arc::clone(order));
    builder.set_distributed_desired_task_count_handler(move |event: DesiredTaskCountEvent<'_>| {
        desired(event.plan, count).map(|count| Ok(DesiredTaskCountEventResponse::desired(count)))
    });
    builder.set_distributed_scale_up_leaf_node_handler(move |event: ScaleUpLeafNodeEvent<'_>| {
        let cut = cut(event.plan, event.task_count, &slots)?;
        Some(cut.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
    });
    builder.set_distributed_route_tasks_handler(move |event: RouteTasksEvent<'_>| {
        let urls = urls.iter().cycle().take(event.task_count).cloned().collect();
        Some(Ok(RouteTasksEventResponse::new(urls)))
    });
}

/// On how many queriers a leaf runs: files on all, rows in memory on this one, nothing anywhere.
/// Other leaves (which make rows of their own) are left to run once.
fn desired(plan: &Arc<dyn ExecutionPlan>, queriers: usize) -> Option<usize> {
    if plan.is::<EmptyExec>() {
        return Some(1);
    }
    let leaf = plan.downcast_ref::<DataSourceExec>()?;
    match file_scan(leaf) {
        Some(_) => Some(queriers),
        None => leaf.data_source().is::<MemorySourceConfig>().then_some(1),
    }
}

fn cut(
    plan: &Arc<dyn ExecutionPlan>,
    tasks: usize,
    order: &[Url],
) -> Option<Result<DistributedLeafExec>> {
    let leaf = plan.downcast_ref::<DataSourceExec>()?;
    let parts = match file_scan(leaf) {
        Some(scan) => files_by_querier(scan, tasks, order),
        None if leaf.data_source().is::<MemorySourceConfig>() => in_first(plan, tasks),
        None => return None,
    };
    Some(DistributedLeafExec::try_new(Arc::clone(plan), parts))
}

/// The scan cut by who reads which file; all pieces of one file stay together, in their order.
fn files_by_querier(
    scan: &FileScanConfig,
    tasks: usize,
    order: &[Url],
) -> Vec<Arc<dyn ExecutionPlan>> {
    let queriers = &order[..tasks.min(order.len())];
    let mut pieces: Vec<Vec<PartitionedFile>> = vec![vec![]; tasks];
    // Groups were filled in turn, newest first: taken out in turn they are in that order again.
    let longest = scan.file_groups.iter().map(FileGroup::len).max().unwrap_or(0);
    for at in 0..longest {
        for piece in scan.file_groups.iter().filter_map(|group| group.files().get(at)) {
            let path = piece.object_meta.location.as_ref();
            pieces[reader(path, queriers)].push(piece.clone());
        }
    }
    let partitions = scan.file_groups.len().max(1);
    let parts = pieces.into_iter().map(|pieces| {
        let mut groups = vec![FileGroup::default(); partitions];
        for (at, piece) in pieces.into_iter().enumerate() {
            groups[at % partitions].push(piece);
        }
        let part = FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).build();
        DataSourceExec::from_data_source(part) as Arc<dyn ExecutionPlan>
    });
    parts.collect()
}

/// Everything for the first querier and nothing for the others.
fn in_first(plan: &Arc<dyn ExecutionPlan>, tasks: usize) -> Vec<Arc<dyn ExecutionPlan>> {
    let partitions = plan.output_partitioning().partition_count();
    let nothing = EmptyExec::new(plan.schema()).with_partitions(partitions);
    let nothing: Arc<dyn ExecutionPlan> = Arc::new(nothing);
    let others = std::iter::repeat_n(nothing, tasks.saturating_sub(1));
    std::iter::once(Arc::clone(plan)).chain(others).collect()
}
