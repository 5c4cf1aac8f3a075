//! What has become of rows that went to a writer which does not answer: its log tells.
//!
//! The log is sealed first. From then on nothing can be added to it, and whatever its process may
//! still do, it acknowledges nothing more: so "not there" is final, and the rows may be logged
//! elsewhere. What was there is committed by the writer's recovery.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use loglake_model::{SegmentSeq, WriterId};
use loglake_wal::{Log, Mark, Reader, Recoverer, SegmentIndex, WalError};
use object_store::ObjectStore;
use parking_lot::Mutex;

/// Sealed logs that are remembered.
const LOGS_MAX: usize = 16;
/// Segments whose footers are read at once.
const READS_AT_ONCE: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// In the log: durable, visible, acknowledged by whoever finds it.
    Stored,
    /// Not in the log and never will be.
    NotStored,
    /// The segments that would tell are committed and trimmed.
    Trimmed,
}

/// Seals and searches logs. Many who ask about one writer at once share the work.
#[derive(Debug)]
pub(crate) struct Fates {
    reader: Reader,
    sealer: Recoverer,
    /// The oldest first.
    logs: Mutex<VecDeque<(WriterId, Arc<tokio::sync::Mutex<Sealed>>)>>,
}

/// What is known of one sealed log.
#[derive(Debug, Default)]
struct Sealed {
    log: Option<Log>,
    indexes: BTreeMap<SegmentSeq, SegmentIndex>,
}

impl Fates {
    pub(crate) fn new(store: &Arc<dyn ObjectStore>) -> Self {
        Self {
            reader: Reader::new(Arc::clone(store)),
            sealer: Recoverer::new(Arc::clone(store)).named("who waits for an answer"),
            logs: Mutex::default(),
        }
    }

    /// Seals the writer's log and looks whether an append with this mark is in a segment after
    /// `after`.
    ///
    /// # Errors
    /// When the store does not answer or a segment is corrupt: nothing is known yet, ask again.
    pub(crate) async fn find_out(
        &self,
        writer: WriterId,
        mark: &Mark,
        after: Option<SegmentSeq>,
    ) -> Result<Fate, WalError> {
        let sealed = self.sealed(writer);
        let mut sealed = sealed.lock().await;
        let log = match &sealed.log {
            Some(log) => log.clone(),
            None => {
                tracing::info!(%writer, "sealing the log of a writer that does not answer");
                sealed.log.insert(self.sealer.seal(writer).await?).clone()
            }
        };
        let wanted = log.segments.iter().map(|(seq, _)| *seq).filter(|seq| after < Some(*seq));
        let unread = wanted.clone().filter(|seq| !sealed.indexes.contains_key(seq));
        let mut reads = stream::iter(unread.collect::<Vec<_>>())
            .map(|seq| async move {
                match self.reader.index(writer, seq).await {
                    Ok(index) => Ok(Some((seq, index))),
                    Err(WalError::Gone { .. }) => Ok(None),
                    Err(e) => Err(e),
                }
            })
            .buffer_unordered(READS_AT_ONCE);
        while let Some(read) = reads.try_next().await? {
            sealed.indexes.extend(read);
        }
        let mut gone = after < log.floor;
        for seq in wanted {
            match sealed.indexes.get(&seq) {
                Some(index) if index.holds(mark) => return Ok(Fate::Stored),
                Some(_) => {}
                None => gone = true,
            }
        }
        Ok(if gone { Fate::Trimmed } else { Fate::NotStored })
    }

    fn sealed(&self, writer: WriterId) -> Arc<tokio::sync::Mutex<Sealed>> {
        let mut logs = self.logs.lock();
        if let Some((_, known)) = logs.iter().find(|(known, _)| *known == writer) {
            return Arc::clone(known);
        }
        let fresh = Arc::default();
        logs.push_back((writer, Arc::clone(&fresh)));
        if logs.len() > LOGS_MAX {
            logs.pop_front();
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loglake_wal::{DurableSink, TablePart, WalSettings, Writer};
    use object_store::memory::InMemory;
    use uuid::Uuid;

    use super::*;

    const WRITER: WriterId = WriterId::from_uuid(Uuid::from_u128(1));

    struct Nobody;

    impl DurableSink for Nobody {
        fn durable(&self, _: SegmentSeq, _: Vec<TablePart>) {}
    }

    async fn writer(store: &Arc<dyn ObjectStore>) -> Writer {
        let settings = WalSettings { linger: Duration::ZERO, ..WalSettings::default() };
        Writer::start(Arc::clone(store), WRITER, settings, Arc::new(Nobody)).await.unwrap()
    }

    fn mark(n: usize) -> Mark {
        Mark::ForwardedBatch(format!("batch {n}"))
    }

    #[tokio::test]
    async fn the_log_is_sealed_and_tells_what_is_in_it() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let writer = writer(&store).await;
        for n in 0..3 {
            writer.append_marked(vec![], mark(n)).await.unwrap();
        }
        let fates = Fates::new(&store);
        let find = async |n, after: Option<u64>| {
            fates.find_out(WRITER, &mark(n), after.map(SegmentSeq)).await
        };
        let fates_found = [
            find(0, None).await.unwrap(),
            find(2, Some(1)).await.unwrap(),
            find(3, Some(1)).await.unwrap(),
            find(9, None).await.unwrap(),
        ];
        use Fate::{NotStored, Stored};
        assert_eq!(fates_found, [Stored, Stored, NotStored, NotStored]);
        // Whatever was asked about can come no more.
        let refused = writer.append_marked(vec![], mark(3)).await.unwrap_err();
        assert!(matches!(refused, WalError::Fenced { .. }));
    }

    #[tokio::test]
    async fn a_trimmed_log_does_not_pretend_to_know() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let writer = writer(&store).await;
        for n in 0..3 {
            writer.append_marked(vec![], mark(n)).await.unwrap();
        }
        Recoverer::new(Arc::clone(&store)).trim(WRITER, SegmentSeq(1)).await.unwrap();
        let fates = Fates::new(&store);
        let find = async |n, after: Option<u64>| {
            fates.find_out(WRITER, &mark(n), after.map(SegmentSeq)).await
        };
        assert_eq!(find(0, None).await.unwrap(), Fate::Trimmed);
        assert_eq!(find(9, Some(0)).await.unwrap(), Fate::Trimmed);
        assert_eq!(find(2, None).await.unwrap(), Fate::Stored);
        assert_eq!(find(9, Some(1)).await.unwrap(), Fate::NotStored);
        Recoverer::new(Arc::clone(&store)).trim(WRITER, SegmentSeq(2)).await.unwrap();
        let later = Fates::new(&store);
        assert_eq!(
            later.find_out(WRITER, &mark(2), Some(SegmentSeq(1))).await.unwrap(),
            Fate::Trimmed
        );
    }
}
