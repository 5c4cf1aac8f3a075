//! The duty of recovery: finds writers that nobody lives behind, and recovers them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use loglake_coord::{Coordinator, Member};
use loglake_model::WriterId;
use loglake_wal::Reader;
use tokio_util::sync::CancellationToken;

use crate::recovery::recover;
use crate::{IngestDependencies, IngestError, IngestSettings};

/// How often the bucket is listed for writers without a member when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The writers in the bucket that no member calls its own, the oldest first.
///
/// A wrong answer costs time, not rows: a living writer that is sealed by mistake starts anew.
pub(crate) fn without_a_member(mut writers: Vec<WriterId>, members: &[Member]) -> Vec<WriterId> {
    let living: HashSet<WriterId> = members.iter().filter_map(|member| member.writer).collect();
    writers.retain(|writer| !living.contains(writer));
    writers.sort_unstable();
    writers
}

/// Recovers writers that are gone, until `stop`: at once, whenever the members change, and every
/// minute. This process must be a member already, so that it does not take its own writer for one
/// that is gone.
pub async fn recover_orphans(
    dependencies: IngestDependencies,
    settings: IngestSettings,
    coordinator: Arc<dyn Coordinator>,
    stop: CancellationToken,
) {
    let mut members = coordinator.members();
    loop {
        if let Err(e) = recover_once(&dependencies, &settings, coordinator.as_ref()).await {
            tracing::warn!("recovery failed and is tried again: {e}");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = members.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn recover_once(
    dependencies: &IngestDependencies,
    settings: &IngestSettings,
    coordinator: &dyn Coordinator,
) -> Result<(), IngestError> {
    let writers = Reader::new(Arc::clone(&dependencies.store)).writers().await?;
    // Looked at after the listing: a writer registers as a member right after its mark.
    let members = Arc::clone(&coordinator.members().borrow());
    for writer in without_a_member(writers, &members) {
        // Without the coordinator's word recovery goes on: two at once are harmless.
        let duty = coordinator.try_duty(&format!("recover/{writer}")).await;
        if let Ok(None) = duty {
            continue;
        }
        let recovered = recover(dependencies, settings, writer).await?;
        tracing::info!(
            %writer, segments = recovered.segments, bytes = recovered.bytes, "recovered a writer"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writers_that_no_member_names_are_orphans() {
        let id = |n| WriterId::from_uuid(uuid::Uuid::from_u128(n));
        let member = Member {
            id: "a".into(),
            roles: vec![],
            http: String::new(),
            grpc: String::new(),
            writer: Some(id(2)),
            version: String::new(),
        };
        assert_eq!(without_a_member(vec![id(3), id(2), id(1)], &[member]), vec![id(1), id(3)]);
    }
}
