//! The duty of recovery: finds writers that nobody lives behind, and recovers them.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use loglake_coord::{Coordinator, Member};
use loglake_model::{SegmentSeq, WriterId};
use loglake_wal::Reader;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::recovery::recover;
use crate::{IngestDependencies, IngestError, IngestSettings};

/// How often the bucket is listed for writers without a member when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Until the next look when the last one failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A writer that was never seen among the members may be about to join, or this process has yet to
/// hear of it.
const NEWCOMER: Duration = Duration::from_secs(2);
/// A member with another writer than before is bringing the old one to a good end.
const RETIRING: Duration = Duration::from_secs(10);
/// Until a recovery is tried again that failed or that another process had begun; doubled with each
/// try.
const TRY_AGAIN: Duration = Duration::from_secs(2);
const TRY_AGAIN_MOST: Duration = Duration::from_secs(60);
/// Recoveries at once: a long one must not keep the others waiting.
const RECOVERIES_AT_ONCE: usize = 2;

/// Decides whom to recover and when: a state machine over what is seen. No I/O, no clock.
///
/// A wrong answer costs time, not rows: a living writer that is sealed by mistake starts anew.
#[derive(Debug, Default)]
pub(crate) struct Suspicions {
    /// The member that each writer was last seen behind.
    seen: HashMap<WriterId, String>,
    orphans: HashMap<WriterId, Orphan>,
    /// Ids of the members at the last look.
    members: HashSet<String>,
}

#[derive(Debug)]
struct Orphan {
    since: Instant,
    tries: u32,
    not_before: Option<Instant>,
    busy: bool,
    /// The end of its log when it was last looked at, if it was.
    end: Option<LogEnd>,
}

/// The last segment that there is, or was.
type LogEnd = Option<SegmentSeq>;

/// What to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The oldest first.
    pub(crate) recover: Vec<WriterId>,
    /// When to look again at the latest, if anybody is suspected.
    pub(crate) look_again: Option<Instant>,
}

impl Suspicions {
    /// Remembers who stands behind which writer.
    pub(crate) fn members(&mut self, members: &[Member]) {
        for member in members {
            if let Some(writer) = member.writer {
                self.seen.insert(writer, member.id.clone());
            }
        }
    }

    /// The writers that were never seen behind a member: whether their logs grow tells more.
    pub(crate) fn unknown(&self, writers: &[WriterId]) -> Vec<WriterId> {
        writers.iter().copied().filter(|writer| !self.seen.contains_key(writer)).collect()
    }

    /// Takes the writers of a listing, the ends of the unknown ones' logs, and the members as they are
    /// after both.
    ///
    /// A writer whose member is gone is recovered at once: its lease has ended. For all others there
    /// may be another reason that no member names them, so they get a while; an unknown one whose log
    /// grows is alive and only cut off from coordination.
    pub(crate) fn look(
        &mut self,
        writers: &[WriterId],
        ends: &HashMap<WriterId, LogEnd>,
        members: &[Member],
        now: Instant,
    ) -> Decision {
        self.members(members);
        let living: HashSet<WriterId> = members.iter().filter_map(|member| member.writer).collect();
        let listed: HashSet<WriterId> = writers.iter().copied().collect();
        self.orphans.retain(|writer, orphan| {
            orphan.busy || (listed.contains(writer) && !living.contains(writer))
        });
        self.seen.retain(|writer, _| listed.contains(writer) || living.contains(writer));
        let ids: HashSet<String> = members.iter().map(|member| member.id.clone()).collect();
        if !self.members.is_subset(&ids) {
            // Perhaps it was the one that had begun a recovery.
            for orphan in self.orphans.values_mut() {
                (orphan.tries, orphan.not_before) = (0, None);
            }
        }
        self.members = ids;
        let mut decision = Decision::default();
        for writer in listed.into_iter().filter(|writer| !living.contains(writer)) {
            let grace = match self.seen.get(&writer) {
                Some(behind) if members.iter().any(|member| member.id == *behind) => RETIRING,
                Some(_) => Duration::ZERO,
                None => NEWCOMER,
            };
            let orphan = self.orphans.entry(writer).or_insert(Orphan {
                since: now,
                tries: 0,
                not_before: None,
                busy: false,
                end: None,
            });
            if let Some(end) = ends.get(&writer)
                && orphan.end.replace(*end).is_some_and(|before| before != *end)
            {
                (orphan.since, orphan.not_before) = (now, None);
            }
            let due = orphan.not_before.unwrap_or(orphan.since + grace);
            if !orphan.busy && due <= now {
                decision.recover.push(writer);
            } else if !orphan.busy {
                decision.look_again = Some(decision.look_again.map_or(due, |at| at.min(due)));
            }
        }
        decision.recover.sort_unstable();
        decision
    }

    /// A recovery of this writer begins here.
    pub(crate) fn begun(&mut self, writer: WriterId) {
        if let Some(orphan) = self.orphans.get_mut(&writer) {
            orphan.busy = true;
        }
    }

    /// The recovery has ended, well or not: looked at again later, if the writer is still listed.
    /// `None`: it is not known which one it was.
    pub(crate) fn ended(&mut self, writer: Option<WriterId>, now: Instant) {
        let ended = |of: &WriterId| writer.is_none_or(|writer| writer == *of);
        for (_, orphan) in self.orphans.iter_mut().filter(|(of, orphan)| orphan.busy && ended(of)) {
            let wait = TRY_AGAIN.saturating_mul(1 << orphan.tries.min(16)).min(TRY_AGAIN_MOST);
            orphan.tries += 1;
            (orphan.busy, orphan.not_before) = (false, Some(now + wait));
        }
    }
}

/// Recovers writers that are gone, until `stop`: whenever the members change, and every minute.
pub async fn recover_orphans(
    dependencies: IngestDependencies,
    settings: IngestSettings,
    coordinator: Arc<dyn Coordinator>,
    stop: CancellationToken,
) {
    let mut members = coordinator.members();
    let mut suspicions = Suspicions::default();
    let mut recoveries = JoinSet::new();
    loop {
        members.borrow_and_update();
        let next = match look(&dependencies, coordinator.as_ref(), &mut suspicions).await {
            Ok(decision) => {
                for writer in decision.recover {
                    if recoveries.len() >= RECOVERIES_AT_ONCE {
                        break;
                    }
                    suspicions.begun(writer);
                    let work = Recovery {
                        dependencies: dependencies.clone(),
                        settings: settings.clone(),
                        coordinator: Arc::clone(&coordinator),
                    };
                    recoveries.spawn(async move {
                        work.run(writer).await;
                        writer
                    });
                }
                decision.look_again.unwrap_or(Instant::now() + LOOK_EVERY)
            }
            Err(e) => {
                tracing::warn!("no look at the writers, tried again: {e}");
                Instant::now() + LOOK_AGAIN
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = members.changed() => if changed.is_err() { return },
            writer = ended(&mut recoveries) => suspicions.ended(writer, Instant::now()),
            () = sleep_until(next) => {}
        }
    }
}

/// The writer of the next recovery that ends; `None` of one that panicked.
async fn ended(recoveries: &mut JoinSet<WriterId>) -> Option<WriterId> {
    match recoveries.join_next().await {
        Some(Ok(writer)) => Some(writer),
        Some(Err(e)) => {
            tracing::error!("a recovery ended early: {e}");
            None
        }
        None => pending().await,
    }
}

async fn look(
    dependencies: &IngestDependencies,
    coordinator: &dyn Coordinator,
    suspicions: &mut Suspicions,
) -> Result<Decision, IngestError> {
    let before = Arc::clone(&coordinator.members().borrow());
    suspicions.members(&before);
    let reader = Reader::new(Arc::clone(&dependencies.store));
    let writers = reader.writers().await?;
    suspicions.members(&coordinator.members().borrow().clone());
    let mut ends = HashMap::new();
    for writer in suspicions.unknown(&writers) {
        let log = reader.log(writer).await?;
        ends.insert(writer, log.segments.last().map(|(seq, _)| *seq).max(log.floor));
    }
    // Looked at after the listing: a writer registers as a member right after its mark.
    let members = Arc::clone(&coordinator.members().borrow());
    Ok(suspicions.look(&writers, &ends, &members, Instant::now()))
}

struct Recovery {
    dependencies: IngestDependencies,
    settings: IngestSettings,
    coordinator: Arc<dyn Coordinator>,
}

impl Recovery {
    async fn run(self, writer: WriterId) {
        match self.coordinator.try_duty(&format!("recover/{writer}")).await {
            Ok(Some(_duty)) => self.recover(writer).await,
            Ok(None) => {}
            // Who lives is not known now, and queries read the segments meanwhile.
            Err(e) => tracing::debug!(%writer, "not recovered yet: {e}"),
        }
    }

    async fn recover(&self, writer: WriterId) {
        let began = Instant::now();
        match recover(&self.dependencies, &self.settings, writer).await {
            Ok(recovered) => tracing::info!(
                %writer, segments = recovered.segments, bytes = recovered.segment_bytes,
                commits = recovered.commits, rows_bytes_most = recovered.rows_bytes_most,
                took = ?began.elapsed(), "recovered a writer"
            ),
            Err(e) => tracing::warn!(%writer, "recovery failed and is tried again: {e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> WriterId {
        WriterId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn no_ends() -> HashMap<WriterId, LogEnd> {
        HashMap::new()
    }

    fn member(name: &str, writer: u128) -> Member {
        Member {
            id: name.into(),
            roles: vec![],
            http: String::new(),
            grpc: String::new(),
            writer: Some(id(writer)),
            version: String::new(),
        }
    }

    #[test]
    fn a_writer_is_recovered_at_once_when_its_member_is_gone() {
        let (mut suspicions, now) = (Suspicions::default(), Instant::now());
        let both = [member("a", 1), member("b", 2)];
        assert_eq!(suspicions.look(&[id(1), id(2)], &no_ends(), &both, now), Decision::default());
        let decision = suspicions.look(&[id(1), id(2)], &no_ends(), &both[..1], now);
        assert_eq!(decision, Decision { recover: vec![id(2)], look_again: None });
    }

    #[test]
    fn a_newcomer_and_a_retiring_writer_get_a_while() {
        let (mut suspicions, now) = (Suspicions::default(), Instant::now());
        let decision = suspicions.look(&[id(1)], &no_ends(), &[], now);
        assert_eq!(decision, Decision { recover: vec![], look_again: Some(now + NEWCOMER) });
        // It joins in time, and is replaced later.
        assert_eq!(
            suspicions.look(&[id(1)], &no_ends(), &[member("a", 1)], now),
            Decision::default()
        );
        let replaced = [member("a", 2)];
        let decision = suspicions.look(&[id(1), id(2)], &no_ends(), &replaced, now);
        assert_eq!(decision, Decision { recover: vec![], look_again: Some(now + RETIRING) });
        let decision = suspicions.look(&[id(1), id(2)], &no_ends(), &replaced, now + RETIRING);
        assert_eq!(decision.recover, [id(1)]);
        // The whole process is gone: no reason to wait for either.
        let mut suspicions = Suspicions::default();
        suspicions.look(&[id(1)], &no_ends(), &[member("a", 1)], now);
        suspicions.look(&[id(1), id(2)], &no_ends(), &replaced, now);
        assert_eq!(suspicions.look(&[id(1), id(2)], &no_ends(), &[], now).recover, [id(1), id(2)]);
    }

    #[test]
    fn nobody_joins_for_long_and_is_recovered() {
        let (mut suspicions, now) = (Suspicions::default(), Instant::now());
        suspicions.look(&[id(1)], &no_ends(), &[], now);
        let almost = now + NEWCOMER - Duration::from_millis(1);
        assert_eq!(suspicions.look(&[id(1)], &no_ends(), &[], almost).recover, []);
        assert_eq!(suspicions.look(&[id(1)], &no_ends(), &[], now + NEWCOMER).recover, [id(1)]);
    }

    #[test]
    fn a_writer_that_only_coordination_does_not_know_is_left_alone_while_it_writes() {
        let (mut suspicions, mut now) = (Suspicions::default(), Instant::now());
        for end in 0..10 {
            let ends = [(id(1), Some(SegmentSeq(end)))].into();
            assert_eq!(suspicions.unknown(&[id(1)]), [id(1)]);
            let decision = suspicions.look(&[id(1)], &ends, &[], now);
            assert_eq!(decision, Decision { recover: vec![], look_again: Some(now + NEWCOMER) });
            now += NEWCOMER;
        }
        let ends = [(id(1), Some(SegmentSeq(9)))].into();
        assert_eq!(suspicions.look(&[id(1)], &ends, &[], now).recover, [id(1)]);
    }

    #[test]
    fn a_recovery_is_tried_again_ever_more_slowly_until_the_writer_is_gone() {
        let (mut suspicions, mut now) = (Suspicions::default(), Instant::now());
        suspicions.look(&[id(1)], &no_ends(), &[member("a", 1)], now);
        let mut waits = vec![];
        for _ in 0..8 {
            assert_eq!(suspicions.look(&[id(1)], &no_ends(), &[], now).recover, [id(1)]);
            suspicions.begun(id(1));
            assert_eq!(suspicions.look(&[id(1)], &no_ends(), &[], now), Decision::default());
            suspicions.ended(Some(id(1)), now);
            let decision = suspicions.look(&[id(1)], &no_ends(), &[], now);
            let again = decision.look_again.expect("a next try");
            waits.push((again - now).as_secs());
            now = again;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        // Another member goes: it may have been recovering this one.
        suspicions.look(&[id(1)], &no_ends(), &[member("b", 2)], now - Duration::from_secs(1));
        let decision = suspicions.look(&[id(1)], &no_ends(), &[], now - Duration::from_secs(1));
        assert_eq!(decision.recover, [id(1)]);
        assert_eq!(suspicions.look(&[], &no_ends(), &[], now), Decision::default());
        assert!(suspicions.orphans.is_empty() && suspicions.seen.is_empty());
    }
}
