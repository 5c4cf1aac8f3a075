//! Ends logs and takes away what is committed.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use loglake_model::{SegmentSeq, WriterId};
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};
use tokio::time::sleep;

use crate::fault::{Attempt, classify};
use crate::layout::{LogView, floor_path, sealing_path, segment_path, writer_path};
use crate::reader::{Log, Reader, view};
use crate::{WalError, seal};

/// Failed attempts after which sealing gives up, until it is asked again.
const FAILURES_MAX: u32 = 6;

/// Ends other writers' logs. Held by recovery only.
#[derive(Clone, Debug)]
pub struct Recoverer {
    store: Arc<dyn ObjectStore>,
    sealer: String,
}

impl Recoverer {
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, sealer: "recovery".to_owned() }
    }

    /// Who seals, in a few words, as people will read it in the seal.
    #[must_use]
    pub fn named(self, sealer: impl Into<String>) -> Self {
        Self { sealer: sealer.into(), ..self }
    }

    /// Creates the seal at the first free number above the highest floor (moving on when it loses
    /// the race); idempotent. Answers with the log as it is for good.
    ///
    /// Before that it marks the writer in `_writers/` as one whose log is being sealed, so that a
    /// query that begins after the caller acted on what the log holds (answered for rows that it
    /// found in it, say) does not ask the writer's own process, which may not know of them.
    ///
    /// # Errors
    /// [`WalError::Store`] when the store does not answer: ask again. [`WalError::Corrupt`] when a
    /// segment that was acknowledged is missing: a seal in its place would give up those after it.
    pub async fn seal(&self, writer: WriterId) -> Result<Log, WalError> {
        self.mark_sealing(writer).await?;
        let (mut creates, mut failures) = (0u32, 0u32);
        loop {
            // Whatever the create said: only a listing begun after it tells whether the seal counts,
            // because the floor may have risen above it meanwhile.
            let view = view(self.store.as_ref(), writer).await?;
            let Some(number) = next_seal(&view, creates) else {
                return Ok(Log::of(writer, view));
            };
            self.refuse_lost_segment(writer, &view).await?;
            creates = creates.saturating_add(1);
            let path = segment_path(writer, number);
            let bytes = seal::encode(&self.sealer);
            let create = self.store.put_opts(&path, bytes.into(), PutMode::Create.into());
            match create.await {
                Err(error) if classify(&error) != Attempt::Exists => {
                    failures += 1;
                    if failures >= FAILURES_MAX {
                        return Err(WalError::store("seal a log")(error));
                    }
                    sleep(Duration::from_millis(50 << failures)).await;
                }
                _ => {}
            }
        }
    }

    async fn refuse_lost_segment(&self, writer: WriterId, view: &LogView) -> Result<(), WalError> {
        let reader = Reader::new(Arc::clone(&self.store));
        match reader.lost_in(writer, view).await? {
            None => Ok(()),
            Some((lost, by)) => {
                let problem = format!("is missing, and segment {by} was made after it");
                Err(WalError::corrupt(segment_path(writer, lost), problem))
            }
        }
    }

    async fn mark_sealing(&self, writer: WriterId) -> Result<(), WalError> {
        let path = sealing_path(writer);
        for failures in 1.. {
            let create = self.store.put_opts(&path, Default::default(), PutMode::Create.into());
            match create.await {
                Err(error) if classify(&error) != Attempt::Exists => {
                    if failures >= FAILURES_MAX {
                        return Err(WalError::store("mark a log as being sealed")(error));
                    }
                    sleep(Duration::from_millis(50 << failures)).await;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Creates the floor object, then deletes the segments at or below it and lower floors.
    ///
    /// # Errors
    /// [`WalError::Misuse`] when `up_to` is not a valid segment's number; [`WalError::Store`].
    pub async fn trim(&self, writer: WriterId, up_to: SegmentSeq) -> Result<(), WalError> {
        let view = view(self.store.as_ref(), writer).await?;
        if view.floor.is_some_and(|floor| up_to < floor) {
            return Ok(());
        }
        if view.floor != Some(up_to) {
            if up_to >= view.next() {
                let problem = format!("segment {up_to} is not in the log");
                return Err(WalError::Misuse { action: "trimming", writer, problem });
            }
            let path = floor_path(writer, up_to);
            let create = self.store.put_opts(&path, Default::default(), PutMode::Create.into());
            match create.await {
                Err(e) if classify(&e) != Attempt::Exists => {
                    return Err(WalError::store("raise the floor of a log")(e));
                }
                _ => {}
            }
        }
        let committed = view.segments.iter().map(|(seq, _)| *seq).filter(|seq| *seq <= up_to);
        let segments = view.trimmed.iter().copied().chain(committed);
        let floors = view.old_floors.iter().copied().chain(view.floor.filter(|f| *f < up_to));
        // Segments first: were a floor gone and a segment left, nothing else would be wrong, but
        // the next trim would have to be told of it.
        self.delete(segments.map(|seq| segment_path(writer, seq)).collect()).await?;
        self.delete(floors.map(|floor| floor_path(writer, floor)).collect()).await
    }

    /// Removes the writer's marks in `_writers/`: sealed, all committed. The seal and the highest floor stay, so
    /// that the writer can never come back; what lies beyond the seal goes.
    ///
    /// # Errors
    /// [`WalError::Misuse`] when the log is not sealed; [`WalError::Store`].
    pub async fn forget(&self, writer: WriterId) -> Result<(), WalError> {
        let view = view(self.store.as_ref(), writer).await?;
        if view.seal.is_none() {
            let problem = "its log is not sealed".to_owned();
            return Err(WalError::Misuse { action: "forgetting", writer, problem });
        }
        self.delete(view.void.iter().map(|seq| segment_path(writer, *seq)).collect()).await?;
        // The writer's own mark last: as long as it is there, somebody comes back for the rest.
        self.delete(vec![sealing_path(writer)]).await?;
        self.delete(vec![writer_path(writer)]).await
    }

    async fn delete(&self, paths: Vec<Path>) -> Result<(), WalError> {
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let deleted = self.store.delete_stream(paths).filter_map(|deleted| async move {
            match deleted {
                // Somebody else was here, or a lost answer.
                Err(object_store::Error::NotFound { .. }) => None,
                deleted => Some(deleted),
            }
        });
        deleted
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(WalError::store("delete what is committed"))
    }
}

/// Where to try a seal next; `None` when the log is sealed. `creates` counts the tries before.
///
/// A writer that is well and quick could win every race for the first free number. So after a few
/// lost ones every other try goes ahead of it: the writer will reach that seal and be fenced there,
/// or stop before it, and then the first free number stays free for the next try. A seal after a gap
/// is void until the gap is filled.
fn next_seal(view: &LogView, creates: u32) -> Option<SegmentSeq> {
    if view.seal.is_some() {
        return None;
    }
    let goes_ahead = creates >= 3 && creates % 2 == 1;
    let ahead = if goes_ahead { 1u64 << creates.min(10) } else { 0 };
    Some(SegmentSeq(view.next().0.saturating_add(ahead)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_goes_to_the_first_free_number_and_ahead_when_it_keeps_losing() {
        let mut view = LogView { floor: Some(SegmentSeq(4)), ..LogView::default() };
        for creates in [0, 1, 2, 4, 6] {
            assert_eq!(next_seal(&view, creates), Some(SegmentSeq(5)));
        }
        assert_eq!(next_seal(&view, 3), Some(SegmentSeq(13)));
        view.seal = Some(SegmentSeq(6));
        assert_eq!(next_seal(&view, 0), None);
    }
}
