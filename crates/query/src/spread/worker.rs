//! Working for queries of other queriers: the functions and settings of this engine, within the
//! memory of all its queries.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion_distributed::{
    ChannelResolver, DistributedExt, Worker, WorkerQueryContext, WorkerSessionBuilder,
};

pub(super) fn worker(
    channels: Arc<dyn ChannelResolver + Send + Sync>,
    runtime: Arc<RuntimeEnv>,
) -> Worker {
    let sessions = Sessions { channels };
    Worker::from_session_builder(sessions)
        .with_runtime_env(runtime)
        .with_version(env!("CARGO_PKG_VERSION"))
}

/// What a task needs set, wherever it runs: each partition reads its own files alone.
pub(super) fn config(options: &mut ConfigOptions) {
    options.execution.enable_file_stream_work_stealing = false;
}

struct Sessions {
    /// Tasks fetch from tasks of other queriers.
    channels: Arc<dyn ChannelResolver + Send + Sync>,
}

#[async_trait]
impl WorkerSessionBuilder for Sessions {
    async fn build_session_state(&self, context: WorkerQueryContext) -> Result<SessionState> {
        let channels = Arc::clone(&self.channels);
        let mut state = context.builder.with_distributed_channel_resolver(channels).build();
        crate::session::configure(state.config_mut().options_mut());
        config(state.config_mut().options_mut());
        crate::session::register(&mut state)?;
        Ok(state)
    }
}
