//! Kafka as a source: the only room that knows librdkafka.
//!
//! A consumer group spreads the partitions over the ingesters: who consumes must reach Kafka anyway, so
//! its coordinator is the one arbiter that all of them agree with. What the group commits is for tools
//! that show lag; it is never read back.

mod client;
mod consumer;
mod events;
mod orders;
mod report;

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{CollectDependencies, CollectError, KafkaSource, Status};

/// Consumes until it is stopped.
pub struct Kafka {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Kafka {
    /// Begins to consume, and goes on whatever fails. Must be called within a runtime.
    ///
    /// # Errors
    /// [`CollectError::Settings`] when librdkafka does not take the settings.
    pub fn start(
        dependencies: CollectDependencies,
        source: KafkaSource,
        status: Arc<Status>,
    ) -> Result<Self, CollectError> {
        // Tried once, so that wrong settings stop the start.
        client::connect(&source)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running = tokio::task::spawn_blocking(move || {
            consumer::run(&dependencies, &Arc::new(source), &status, &stopped);
        });
        Ok(Self { stop, running })
    }

    /// Stores what is on its way, gives all partitions up and leaves the group.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(e) = self.running.await {
            tracing::error!("the consumer of Kafka ended early: {e}");
        }
    }
}
