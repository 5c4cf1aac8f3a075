//! The committer: the effects around [`crate::intent`]'s decisions.
//!
//! A commit is the conditional create of the next entry. Who loses a number reads what took it,
//! decides, and tries the next; who gets no answer looks whether the entry is there, and tries the
//! same bytes again until it is known.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;

use crate::TableError;
use crate::action::{Line, encode};
use crate::intent::{Intent, Standing, Verdict};
use crate::log::Created;
use crate::snapshot::Snapshot;
use crate::table::Table;

/// Numbers lost in a row before a commit gives up. Each one lost is another's commit.
const LOSSES_MAX: u32 = 100;
/// Faults of the store in a row before a commit gives up: about 6 seconds of waiting.
const FAULTS_MAX: u32 = 8;
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// What became of an intent; the snapshot has it, or what came in its place.
#[derive(Debug)]
pub(crate) enum Outcome {
    Committed(Arc<Snapshot>),
    Superseded(Arc<Snapshot>),
}

/// What one number brought.
enum Step {
    /// The entry of this version is ours. Newer entries may have been read as well.
    Ours(u64),
    Superseded,
    /// The number is another's: the next one.
    Lost,
}

impl Table {
    pub(crate) async fn commit(&self, intent: Intent<'_>) -> Result<Outcome, TableError> {
        let _turn = self.committing.lock().await;
        let mut state = self.current();
        if intent.standing(&state) != Standing::Clear {
            // What stands against it may be old news; what it was made from may be newer.
            state = self.refresh().await?;
        }
        for _ in 0..LOSSES_MAX {
            match intent.standing(&state) {
                Standing::Clear => {}
                Standing::Done => return Ok(Outcome::Committed(state)),
                Standing::Superseded => return Ok(Outcome::Superseded(state)),
                Standing::Vacuumed => {
                    return Err(TableError::Vacuumed { table: self.root().clone() });
                }
                Standing::Overlap => return Err(self.overlap(&intent, &state)),
            }
            let step = self.try_number(&intent, &state).await?;
            state = self.current();
            match step {
                Step::Superseded => return Ok(Outcome::Superseded(state)),
                Step::Lost => {}
                Step::Ours(version) => {
                    if !self.is_behind_checkpoint(version).await? {
                        self.checkpoint_if_due(&state);
                        return Ok(Outcome::Committed(state));
                    }
                    // Either a checkpoint has it already, or old entries were cleaned up and the
                    // number was free only because of that: then nobody will ever read it.
                    state = self.reload().await?;
                }
            }
        }
        Err(TableError::Contended { table: self.root().clone(), attempts: LOSSES_MAX })
    }

    /// Tries to make the entry after `base`, until it is known what is there.
    async fn try_number(
        &self,
        intent: &Intent<'_>,
        base: &Arc<Snapshot>,
    ) -> Result<Step, TableError> {
        let version = base.version() + 1;
        let lines = intent.lines(base, self.clock.now())?;
        let bytes = Bytes::from(self.encode(&lines)?);
        let mut faults = Faults::new(self.root(), version);
        loop {
            let fault = match self.log.create(version, bytes.clone()).await? {
                Created::Yes => {
                    let state = self.log.apply(base.as_ref().clone(), lines)?;
                    self.learn(Arc::new(state));
                    return Ok(Step::Ours(version));
                }
                Created::Taken => None,
                Created::Unknown(source) => Some(source),
            };
            match (self.catch_up(intent, base).await, fault) {
                (Ok(Some(step)), _) => return Ok(step),
                // Taken, and gone when it was read: cleaned up behind a checkpoint.
                (Ok(None), None) => {
                    self.reload().await?;
                    return Ok(Step::Lost);
                }
                (Ok(None), Some(source)) => faults.wait(source).await?,
                (Err(TableError::Store { source, .. }), _) => faults.wait(source).await?,
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Reads the entries after `base` and judges each. `None` when there is none.
    async fn catch_up(
        &self,
        intent: &Intent<'_>,
        base: &Arc<Snapshot>,
    ) -> Result<Option<Step>, TableError> {
        let mut state = Arc::clone(base);
        let mut step = None;
        while let Some(lines) = self.log.entry(state.version() + 1).await? {
            let after = Arc::new(self.log.apply(state.as_ref().clone(), lines.clone())?);
            // The first verdict that is one stays: an entry of ours is followed by others'.
            if !matches!(step, Some(Step::Ours(_) | Step::Superseded)) {
                step = Some(match intent.judge(&lines, &state, &after) {
                    Verdict::Ours => Step::Ours(after.version()),
                    Verdict::Superseded => Step::Superseded,
                    Verdict::Pass => Step::Lost,
                });
            }
            state = after;
        }
        self.learn(state);
        Ok(step)
    }

    /// Whether a checkpoint at or above this version exists, asked until it is known.
    async fn is_behind_checkpoint(&self, version: u64) -> Result<bool, TableError> {
        let mut faults = Faults::new(self.root(), version);
        loop {
            match self.log.has_checkpoint_from(version).await {
                Err(TableError::Store { source, .. }) => faults.wait(source).await?,
                known => return known,
            }
        }
    }

    fn overlap(&self, intent: &Intent<'_>, state: &Snapshot) -> TableError {
        let table = self.root().clone();
        let found = match intent {
            Intent::Flush(flush) => flush.overlap(state),
            _ => None,
        };
        let (queue, from, committed) = found
            .map_or_else(Default::default, |(o, committed)| (o.source.clone(), o.from, committed));
        TableError::Overlap { table, queue, from, committed }
    }

    fn encode(&self, lines: &[Line]) -> Result<Vec<u8>, TableError> {
        encode(lines)
            .map_err(|e| TableError::Corrupt { path: self.root().clone(), problem: e.to_string() })
    }
}

/// Faults of the store in a row.
struct Faults<'a> {
    table: &'a Path,
    version: u64,
    count: u32,
}

impl<'a> Faults<'a> {
    fn new(table: &'a Path, version: u64) -> Self {
        Self { table, version, count: 0 }
    }

    /// Waits longer each time.
    ///
    /// # Errors
    /// [`TableError::Unknown`] when there were too many.
    async fn wait(&mut self, source: object_store::Error) -> Result<(), TableError> {
        self.count += 1;
        if self.count >= FAULTS_MAX {
            let (table, version) = (self.table.clone(), self.version);
            return Err(TableError::Unknown { table, version, attempts: self.count, source });
        }
        tracing::debug!(table = %self.table, version = self.version, %source, "commit not known yet");
        tokio::time::sleep(WAIT_MAX.min(WAIT_FIRST * 2u32.pow(self.count - 1))).await;
        Ok(())
    }
}
