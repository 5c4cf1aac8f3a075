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
/// Until the next look when a writer seems to be gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The writers in the bucket that no member calls its own, the oldest first.
///
/// A wrong answer costs time, not rows: a living writer that is sealed by mistake starts anew.
pub(crate) fn without_a_member(mut writers: Vec<WriterId>, members: &[Member]) -> Vec<WriterId> {
    let living: HashSet<WriterId> = members.iter().filter_map(|member| member.writer).collect();
    writers.retain(|writer| !living.contains(writer));
    writers.sort_unstable();
    writers
}

/// Recovers writers that are gone, until `stop`: whenever the members change, and every minute. A
/// writer counts as gone when two looks a second apart say so: the first list of members after a
/// start may still be on its way.
pub async fn recover_orphans(
    dependencies: IngestDependencies,
    settings: IngestSettings,
    coordinator: Arc<dyn Coordinator>,
    stop: CancellationToken,
) {
    let mut members = coordinator.members();
    let mut suspects = vec![];
    loop {
        match look(&dependencies, coordinator.as_ref()).await {
            Ok(orphans) => {
                let gone = orphans.iter().copied().filter(|writer| suspects.contains(writer));
                recover_all(&dependencies, &settings, coordinator.as_ref(), gone.collect()).await;
                suspects = orphans;
            }
            Err(e) => tracing::warn!("no look at the writers, tried again: {e}"),
        }
        let wait = if suspects.is_empty() { LOOK_EVERY } else { LOOK_AGAIN };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = members.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn look(
    dependencies: &IngestDependencies,
    coordinator: &dyn Coordinator,
) -> Result<Vec<WriterId>, IngestError> {
    let writers = Reader::new(Arc::clone(&dependencies.store)).writers().await?;
    // Looked at after the listing: a writer registers as a member right after its mark.
    let members = Arc::clone(&coordinator.members().borrow());
    Ok(without_a_member(writers, &members))
}

async fn recover_all(
    dependencies: &IngestDependencies,
    settings: &IngestSettings,
    coordinator: &dyn Coordinator,
    writers: Vec<WriterId>,
) {
    for writer in writers {
        match coordinator.try_duty(&format!("recover/{writer}")).await {
            Ok(Some(_duty)) => match recover(dependencies, settings, writer).await {
                Ok(recovered) => tracing::info!(
                    %writer, segments = recovered.segments, bytes = recovered.bytes,
                    "recovered a writer"
                ),
                Err(e) => tracing::warn!(%writer, "recovery failed and is tried again: {e}"),
            },
            Ok(None) => {}
            // Who lives is not known now, and queries read the segments meanwhile.
            Err(e) => tracing::debug!(%writer, "not recovered yet: {e}"),
        }
    }
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
