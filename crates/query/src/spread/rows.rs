//! Rows that an index is sure of, in plans for other queriers: a scan that goes there carries files and filters,
//! and no selection of rows. So each row is tested there.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNode;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::cost::file_scan;

/// Marks a piece of a file, of which some rows are read and none is tested.
#[derive(Debug)]
pub(crate) struct SureRows;

/// Said in a session's configuration: nothing is left untested because an index is sure of it.
#[derive(Debug)]
struct EachTested;

/// Whether scans of this session have to test each row.
pub(crate) fn are_all_tested(state: &dyn Session) -> bool {
    state.config().get_extension::<EachTested>().is_some()
}

/// A plan that reads the same as `physical` and tests each row.
pub(crate) async fn tested(
    state: &SessionState,
    logical: &LogicalPlan,
    physical: &Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if !physical.exists(|node| Ok(has_sure_rows(node)))? {
        return Ok(Arc::clone(physical));
    }
    let config = state.config().clone().with_extension(Arc::new(EachTested));
    let state = SessionStateBuilder::new_from_existing(state.clone()).with_config(config).build();
    state.create_physical_plan(logical).await
}

fn has_sure_rows(node: &Arc<dyn ExecutionPlan>) -> bool {
    let scan = node.downcast_ref::<DataSourceExec>().and_then(file_scan);
    let mut files =
        scan.into_iter().flat_map(|scan| &scan.file_groups).flat_map(|group| group.files());
    files.any(|file| file.extensions.get::<SureRows>().is_some())
}
