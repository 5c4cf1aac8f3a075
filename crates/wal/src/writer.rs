//! The writing side of the log: performs what [`crate::group_commit`] decides.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use loglake_model::{SegmentSeq, WriterId, off_the_loop};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::fault::{Attempt, classify};
use crate::group_commit::{AppendId, Content, Effect, Event, GroupCommit, Refusal, Rules};
use crate::layout::{segment_path, writer_path};
use crate::{
    DurableSink, Mark, Progress, SegmentCompression, TablePart, WalError, WalSettings, batch_bytes,
    seal, segment,
};

/// How long a store may refuse to store before the rows are given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// One attempt that takes longer is in doubt and made again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
/// Appends on their way to the writer's task.
const COMMANDS_MAX: usize = 1024;
/// Attempts to register a writer before its start fails.
const REGISTER_ATTEMPTS_MAX: u32 = 5;

/// The writing side: one per life of an ingester.
///
/// Dropping it without [`Writer::close`] is like a crash: what was not answered may be in the log.
#[derive(Debug)]
pub struct Writer {
    id: WriterId,
    commands: mpsc::Sender<Command>,
    over: Arc<OnceLock<Arc<str>>>,
    progress: watch::Receiver<Progress>,
    queue_bytes_max: usize,
}

#[derive(Debug)]
enum Command {
    Append { rows: Rows, bytes: usize, answer: Answer<SegmentSeq> },
    Close { answer: Answer<()> },
}

/// What one append brings.
#[derive(Debug)]
struct Rows {
    parts: Vec<TablePart>,
    mark: Option<Mark>,
}

type Answer<T> = oneshot::Sender<Result<T, Refusal>>;

impl Writer {
    /// Registers `id` in the store (`_writers/<id>`, conditional create) and starts the log.
    ///
    /// # Errors
    /// [`WalError::Fenced`] when the id was used before; [`WalError::Store`] when the store does not
    /// answer: start again with a new id, as the registration may have happened.
    pub async fn start(
        store: Arc<dyn ObjectStore>,
        id: WriterId,
        settings: WalSettings,
        sink: Arc<dyn DurableSink>,
    ) -> Result<Self, WalError> {
        register(store.as_ref(), id).await?;
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let over = Arc::new(OnceLock::new());
        let queue_bytes_max = settings.queue_bytes_max;
        let (progressing, progress) = watch::channel(Progress::default());
        let driver = Driver::new(store, id, settings, sink, Arc::clone(&over), progressing);
        tokio::spawn(driver.run(inbox));
        Ok(Self { id, commands, over, progress, queue_bytes_max })
    }

    pub const fn id(&self) -> WriterId {
        self.id
    }

    /// Resolves when the rows are durable and the sink has them; all parts are in one segment.
    ///
    /// While the store's answers leave it open whether the segment is there, this waits, for as long
    /// as that takes: the caller has a deadline of its own. Dropping the future does not take the
    /// rows back.
    ///
    /// # Errors
    /// [`WalError::Overloaded`], [`WalError::NotStored`], [`WalError::Unencodable`]: the rows are
    /// not in the log and never will be. [`WalError::Fenced`]: they may be or not, and this writer
    /// is over.
    pub async fn append(&self, parts: Vec<TablePart>) -> Result<SegmentSeq, WalError> {
        self.append_rows(Rows { parts, mark: None }).await
    }

    /// Like [`append`](Self::append); the segment keeps the mark.
    ///
    /// # Errors
    /// Like [`append`](Self::append). After [`WalError::Fenced`] the sealed log tells by the mark
    /// whether the rows are in it.
    pub async fn append_marked(
        &self,
        parts: Vec<TablePart>,
        mark: Mark,
    ) -> Result<SegmentSeq, WalError> {
        self.append_rows(Rows { parts, mark: Some(mark) }).await
    }

    async fn append_rows(&self, rows: Rows) -> Result<SegmentSeq, WalError> {
        let bytes = rows.parts.iter().flat_map(|part| &part.batches).map(batch_bytes).sum();
        self.ask(|answer| Command::Append { rows, bytes, answer }).await
    }

    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Whether this writer has lost its place (or met an error that ends it, or was closed).
    pub fn is_fenced(&self) -> bool {
        self.over.get().is_some()
    }

    /// Writes what waits, then seals this log itself. Appends after it are refused as fenced.
    ///
    /// # Errors
    /// [`WalError::Fenced`] when the log was ended otherwise; then somebody else seals it.
    pub async fn close(&self) -> Result<(), WalError> {
        self.ask(|answer| Command::Close { answer }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, WalError> {
        let (answer, answered) = oneshot::channel();
        let gone = || {
            let reason = self.over.get().cloned();
            Refusal::Fenced(reason.unwrap_or_else(|| "its task ended".into()))
        };
        let refusal = match self.commands.send(command(answer)).await {
            Err(_) => gone(),
            Ok(()) => match answered.await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(refusal)) => refusal,
                Err(_) => gone(),
            },
        };
        Err(match refusal {
            Refusal::Fenced(reason) => WalError::Fenced { writer: self.id, reason },
            Refusal::Overloaded { waiting_bytes } => {
                WalError::Overloaded { waiting_bytes, limit_bytes: self.queue_bytes_max }
            }
            Refusal::NotStored(reason) => WalError::NotStored { reason },
            Refusal::Unencodable(reason) => WalError::Unencodable { reason },
        })
    }
}

async fn register(store: &dyn ObjectStore, id: WriterId) -> Result<(), WalError> {
    let path = writer_path(id);
    let content = Bytes::from(format!("{{\"writer\":\"{id}\"}}\n"));
    let mut in_doubt = false;
    for attempt in 1.. {
        let create = store.put_opts(&path, content.clone().into(), PutMode::Create.into());
        let Err(error) = create.await else {
            return Ok(());
        };
        match classify(&error) {
            Attempt::Created => return Ok(()),
            // Ids are never given out twice, so it was an attempt of ours whose answer was lost.
            Attempt::Exists if in_doubt && store.head(&path).await.is_ok() => return Ok(()),
            Attempt::Exists if !in_doubt => {
                let reason = "a writer of this id was started before".into();
                return Err(WalError::Fenced { writer: id, reason });
            }
            Attempt::InDoubt(_) => in_doubt = true,
            Attempt::Exists | Attempt::NotStored(_) | Attempt::SyncFailed(_) => {}
        }
        if attempt >= REGISTER_ATTEMPTS_MAX {
            return Err(WalError::store("register a writer")(error));
        }
        sleep(Duration::from_millis(100 << attempt)).await;
    }
    Ok(())
}

/// A content on its way to the store.
#[derive(Debug, Default)]
struct Prepared {
    /// Encoded; absent before the first attempt.
    bytes: Option<Bytes>,
    parts: Vec<TablePart>,
    notes: segment::Notes,
    content: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Segment,
    Seal,
}

/// What an attempt's task comes back with.
struct Landed {
    seq: SegmentSeq,
    prepared: Prepared,
    event: Event,
}

/// The task of a writer: the only one that touches its state.
struct Driver {
    store: Arc<dyn ObjectStore>,
    id: WriterId,
    compression: SegmentCompression,
    sink: Arc<dyn DurableSink>,
    over: Arc<OnceLock<Arc<str>>>,
    progress: watch::Sender<Progress>,
    decisions: GroupCommit,
    started: Instant,
    next_append: AppendId,
    /// Rows that wait for a segment.
    rows: BTreeMap<AppendId, Rows>,
    answers: BTreeMap<AppendId, Answer<SegmentSeq>>,
    /// Whom to answer when the segment is delivered.
    appends: BTreeMap<SegmentSeq, Vec<AppendId>>,
    /// Of the segments in flight, while no attempt's task holds them.
    prepared: BTreeMap<SegmentSeq, Prepared>,
    attempts: JoinSet<Landed>,
    closers: Vec<Answer<()>>,
}

impl Driver {
    fn new(
        store: Arc<dyn ObjectStore>,
        id: WriterId,
        settings: WalSettings,
        sink: Arc<dyn DurableSink>,
        over: Arc<OnceLock<Arc<str>>>,
        progress: watch::Sender<Progress>,
    ) -> Self {
        let rules = Rules {
            linger: settings.linger,
            segment_bytes_max: settings.segment_bytes_max,
            in_flight_max: settings.in_flight_max,
            queue_bytes_max: settings.queue_bytes_max,
            give_up_after: GIVE_UP_AFTER,
        };
        Self {
            store,
            id,
            compression: settings.compression,
            sink,
            over,
            progress,
            decisions: GroupCommit::new(rules),
            started: Instant::now(),
            next_append: 0,
            rows: BTreeMap::new(),
            answers: BTreeMap::new(),
            appends: BTreeMap::new(),
            prepared: BTreeMap::new(),
            attempts: JoinSet::new(),
            closers: vec![],
        }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let wake = self.decisions.next_wake().map(|at| self.started + at);
            let event = tokio::select! {
                biased;
                Some(landed) = self.attempts.join_next() => self.landed(landed),
                command = inbox.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                () = sleep_until(wake.unwrap_or(self.started)), if wake.is_some() => Event::Tick,
            };
            let effects = self.decisions.step(event, self.started.elapsed());
            // Before the answers: whoever is told so must find this writer fenced.
            if let Some(reason) = self.decisions.over()
                && self.over.set(Arc::clone(&reason)).is_ok()
            {
                tracing::info!(writer = %self.id, reason = &*reason, "no more rows are logged");
            }
            for effect in effects {
                self.perform(effect);
            }
            self.tell_progress();
        }
    }

    fn tell_progress(&self) {
        let waiting_since = self.decisions.waiting_since().map(|since| self.started + since);
        self.progress.send_if_modified(|progress| {
            let changed = progress.waiting_since != waiting_since;
            progress.waiting_since = waiting_since;
            changed
        });
    }

    fn landed(&mut self, landed: Result<Landed, tokio::task::JoinError>) -> Event {
        match landed {
            Ok(Landed { seq, prepared, event }) => {
                self.prepared.insert(seq, prepared);
                event
            }
            Err(e) => Event::Broken(format!("an attempt to write a segment failed: {e}").into()),
        }
    }

    fn command(&mut self, command: Command) -> Event {
        match command {
            Command::Append { rows, bytes, answer } => {
                let id = self.next_append;
                self.next_append += 1;
                self.rows.insert(id, rows);
                self.answers.insert(id, answer);
                Event::Append { id, bytes }
            }
            Command::Close { answer } => {
                self.closers.push(answer);
                Event::Close
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Create { seq, content, delay } => {
                let prepared = self.gather(seq, content);
                self.attempt(seq, prepared, delay);
            }
            Effect::Again { seq, delay } => {
                if let Some(prepared) = self.prepared.remove(&seq) {
                    self.attempt(seq, prepared, delay);
                }
            }
            Effect::Deliver(seq) => {
                let parts = self.prepared.remove(&seq).map(|p| p.parts).unwrap_or_default();
                self.sink.durable(seq, parts);
                // Before the answers: who has one must not find an older number here.
                self.progress.send_modify(|progress| progress.delivered = Some(seq));
                for append in self.appends.remove(&seq).unwrap_or_default() {
                    self.answer(append, Ok(seq));
                }
            }
            Effect::Refuse { appends, why } => {
                tracing::debug!(writer = %self.id, appends = appends.len(), ?why, "rows refused");
                for append in appends {
                    self.rows.remove(&append);
                    self.answer(append, Err(why.clone()));
                }
            }
            Effect::Closed(outcome) => {
                for closer in self.closers.drain(..) {
                    // Whoever asked may have gone.
                    let _ = closer.send(outcome.clone());
                }
            }
        }
    }

    fn answer(&mut self, append: AppendId, outcome: Result<SegmentSeq, Refusal>) {
        if let Some(answer) = self.answers.remove(&append) {
            // Whoever asked may have gone.
            let _ = answer.send(outcome);
        }
    }

    fn gather(&mut self, seq: SegmentSeq, content: Content) -> Prepared {
        self.prepared.remove(&seq);
        self.appends.remove(&seq);
        match content {
            Content::Rows(appends) => {
                let mut prepared = Prepared::default();
                for rows in appends.iter().filter_map(|id| self.rows.remove(id)) {
                    prepared.parts.extend(rows.parts);
                    prepared.notes.marks.extend(rows.mark);
                }
                self.appends.insert(seq, appends);
                prepared
            }
            Content::Empty => Prepared::default(),
            Content::Seal => {
                let bytes = Some(seal::encode("its own writer, at its end"));
                Prepared { bytes, content: Kind::Seal, ..Prepared::default() }
            }
        }
    }

    fn attempt(&mut self, seq: SegmentSeq, mut prepared: Prepared, delay: Duration) {
        if prepared.bytes.is_none() {
            prepared.notes.delivered = self.progress.borrow().delivered;
        }
        let (store, writer, compression) = (Arc::clone(&self.store), self.id, self.compression);
        self.attempts.spawn(async move {
            sleep(delay).await;
            let encoded = match prepared.bytes {
                Some(_) => Ok(prepared),
                None => encode(writer, seq, prepared, compression).await,
            };
            let prepared = match encoded {
                Ok(prepared) => prepared,
                Err(reason) => {
                    let event = Event::Unencodable(seq, reason);
                    return Landed { seq, prepared: Prepared::default(), event };
                }
            };
            let bytes = prepared.bytes.clone().unwrap_or_default();
            let path = segment_path(writer, seq);
            let create = create(store.as_ref(), &path, bytes, prepared.content);
            let outcome = timeout(ATTEMPT_TIMEOUT, create).await;
            let event = match outcome.unwrap_or_else(|_| Outcome::InDoubt("timed out".into())) {
                Outcome::Ours => Event::Created(seq),
                Outcome::Others => Event::Taken(seq),
                Outcome::InDoubt(reason) => {
                    tracing::warn!(%writer, %seq, reason = &*reason, "segment in doubt, trying again");
                    Event::InDoubt(seq)
                }
                Outcome::NotStored(reason) => Event::NotStored(seq, reason),
                Outcome::Broken(reason) => Event::Broken(reason),
            };
            Landed { seq, prepared, event }
        });
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.over.get_or_init(|| "its task ended".into());
    }
}

/// Joins small batches and encodes, on a thread for work that takes the CPU.
async fn encode(
    writer: WriterId,
    seq: SegmentSeq,
    prepared: Prepared,
    compression: SegmentCompression,
) -> Result<Prepared, Arc<str>> {
    let work = move || {
        let parts = segment::combine(prepared.parts)?;
        let bytes = segment::encode(writer, seq, &parts, &prepared.notes, compression)?;
        Ok::<_, arrow::error::ArrowError>(Prepared { bytes: Some(bytes), parts, ..prepared })
    };
    match off_the_loop(work).await {
        Ok(encoded) => encoded.map_err(|e| e.to_string().into()),
        Err(e) => Err(e.to_string().into()),
    }
}

enum Outcome {
    /// The object holds our bytes.
    Ours,
    /// The object holds something else.
    Others,
    InDoubt(Arc<str>),
    NotStored(Arc<str>),
    Broken(Arc<str>),
}

/// One attempt to create an object. Finding something there, it looks whether an earlier attempt
/// of ours put it there.
async fn create(store: &dyn ObjectStore, path: &Path, bytes: Bytes, kind: Kind) -> Outcome {
    let payload = PutPayload::from(bytes.clone());
    let attempt = match store.put_opts(path, payload, PutMode::Create.into()).await {
        Ok(_) => Attempt::Created,
        Err(error) => classify(&error),
    };
    match attempt {
        Attempt::Created => Outcome::Ours,
        Attempt::Exists => compare(store, path, &bytes, kind).await,
        Attempt::InDoubt(reason) => Outcome::InDoubt(reason),
        Attempt::NotStored(reason) => Outcome::NotStored(reason),
        Attempt::SyncFailed(reason) => Outcome::Broken(reason),
    }
}

async fn compare(store: &dyn ObjectStore, path: &Path, ours: &Bytes, kind: Kind) -> Outcome {
    let read = async { store.get(path).await?.bytes().await };
    match read.await {
        Ok(there) if there == *ours => Outcome::Ours,
        // Anybody's seal does what ours would.
        Ok(there) if kind == Kind::Seal && seal::decode(&there).is_some() => Outcome::Ours,
        Ok(_) => Outcome::Others,
        // A competing create that is not done yet, or a segment of ours that recovery has committed
        // and trimmed meanwhile; never a seal, which stays. The next attempt shows.
        Err(error) => Outcome::InDoubt(format!("exists, but cannot be read: {error}").into()),
    }
}
