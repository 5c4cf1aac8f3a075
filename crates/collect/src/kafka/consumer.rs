//! The loop around one client, on a thread of its own.
//!
//! ```text
//! poll ─▶ records into lanes      events ─▶ assigned: lanes, to be acquired; revoked: all given up
//!   ▲                                                │
//!   └── chunks begun, fetching held back or on ◀─────┴── what tasks ended with (acquired, stored)
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Cluster, cluster, connect};
use super::events::{Event, Key};
use crate::chunk::{Decoding, Record, Stored, is_over, is_panic};
use crate::lane::{Chunk, Lane, Outcome};
use crate::tenure::{Partition, Tenure, Tenures};
use crate::{CollectDependencies, CollectError, KafkaSource, Status};

/// Rest after a client that ended, or could not begin.
const AGAIN_AFTER: Duration = Duration::from_secs(3);
/// Records taken in a row before anything else is looked at.
const TAKEN_IN_A_ROW: usize = 20_000;
const BYTES_IN_A_ROW: usize = 8 << 20;
/// How long errors are looked for among what the client tells.
const LOOK_WAIT: Duration = Duration::from_millis(100);

/// Consumes, with one client after the other, until `stop`.
pub(super) fn run(
    dependencies: &CollectDependencies,
    source: &Arc<KafkaSource>,
    status: &Arc<Status>,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        match Consumer::begin(dependencies, source, status, stop) {
            Ok(consumer) => consumer.run(stop),
            Err(e) => {
                status.failed();
                tracing::warn!("Kafka is not consumed yet: {e}");
            }
        }
        let wait = stop.run_until_cancelled(tokio::time::sleep(AGAIN_AFTER));
        Handle::current().block_on(wait);
    }
}

/// What a task came back with.
pub(super) enum Done {
    Acquired(Key, Result<Tenure, CollectError>),
    Stored(Key, Result<Stored, CollectError>),
}

/// A lane with what the thread knows beside.
pub(super) struct Held {
    pub(super) lane: Lane,
    pub(super) partition: Option<Partition>,
    pub(super) tenure: Option<Arc<Tenure>>,
    pub(super) end: Option<u64>,
    pub(super) stored: Stored,
    /// Records at the last report, and how many came in a second since.
    pub(super) reported: (u64, f64),
    pub(super) error: Option<String>,
}

pub(super) struct Consumer {
    pub(super) client: Arc<Client>,
    cluster: Arc<Cluster>,
    pub(super) tenures: Arc<Tenures>,
    source: Arc<KafkaSource>,
    decoding: Arc<Decoding>,
    pub(super) status: Arc<Status>,
    pub(super) lanes: BTreeMap<Key, Held>,
    /// Tasks under way by partition, those of lanes that are gone too: nothing is acquired anew before
    /// they have ended.
    pub(super) under_way: HashMap<Key, u32>,
    told: Sender<Done>,
    pub(super) done: Receiver<Done>,
    /// Since when the client is to be told where to fetch.
    pub(super) order: Option<Instant>,
    pub(super) reported: Instant,
    pub(super) committed: Instant,
    fatal: bool,
}

impl Consumer {
    fn begin(
        dependencies: &CollectDependencies,
        source: &Arc<KafkaSource>,
        status: &Arc<Status>,
        stop: &CancellationToken,
    ) -> Result<Self, CollectError> {
        let client = Arc::new(connect(source)?);
        let name = loop {
            match cluster(&client, source) {
                Some(name) => break name,
                None if stop.is_cancelled() => {
                    return Err(CollectError::Queue("it is stopped".to_owned()));
                }
                None => {
                    status.failed();
                    let (brokers, why) = (source.brokers.join(","), last_error(&client));
                    tracing::warn!(brokers, "Kafka does not answer yet: {why}");
                }
            }
        };
        let tenures = Arc::new(Tenures::new(dependencies.clone(), &format!("kafka/{name}")));
        let look = Cluster::look(&client, source, tenures.claims());
        let cluster = Arc::new(Handle::current().block_on(look)?);
        let topics: Vec<&str> = source.topics.iter().map(String::as_str).collect();
        client.subscribe(&topics).map_err(|e| CollectError::Settings(e.to_string()))?;
        tracing::info!(cluster = name, topics = topics.join(","), "Kafka is consumed");
        let (told, done) = channel();
        let decoding = Decoding {
            format: source.format,
            fields: source.fields,
            limits: source.limits.clone(),
        };
        Ok(Self {
            client,
            cluster,
            tenures,
            source: Arc::clone(source),
            decoding: Arc::new(decoding),
            status: Arc::clone(status),
            lanes: BTreeMap::new(),
            under_way: HashMap::new(),
            told,
            done,
            order: None,
            reported: Instant::now(),
            committed: Instant::now(),
            fatal: false,
        })
    }

    fn run(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() && !self.fatal {
            self.poll();
            while let Some(event) = self.client.context().next() {
                self.event(event);
            }
            while let Ok(done) = self.done.try_recv() {
                self.done(done);
            }
            self.acquire();
            self.give_order();
            self.store();
            self.hold_back();
            self.report();
        }
        self.give_up();
        // The next client is of the same writer: before it takes a partition, nothing may be on its way.
        while self.fatal && !self.under_way.is_empty() && !stop.is_cancelled() {
            if let Ok(done) = self.done.recv_timeout(AGAIN_AFTER) {
                self.done(done);
            }
        }
        self.client.context().close();
        // Dropped, it leaves the group.
        self.status.replace(vec![]);
    }

    fn poll(&mut self) {
        let busy = self.order.is_some() || !self.under_way.is_empty();
        let client = Arc::clone(&self.client);
        let (mut wait, mut bytes) = (Duration::from_millis(if busy { 5 } else { 100 }), 0);
        for _ in 0..TAKEN_IN_A_ROW {
            match client.poll(wait) {
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    self.take(&message);
                }
                Some(Err(error)) => self.failed(&error),
                None => return,
            }
            if bytes >= BYTES_IN_A_ROW {
                return;
            }
            wait = Duration::ZERO;
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let key = (message.topic().to_owned(), message.partition());
        if let Some(held) = self.lanes.get_mut(&key) {
            held.lane.take(record(message));
        }
    }

    fn failed(&mut self, error: &KafkaError) {
        self.status.failed();
        match error {
            // Which partition it is of is not told: those that are well come through it unharmed.
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => {
                tracing::warn!("records that were not read yet are gone from a partition: {error}");
                self.lanes.values_mut().for_each(|held| held.lane.overtaken());
            }
            KafkaError::MessageConsumptionFatal(_) => {
                tracing::error!("the client of Kafka is replaced: {error}");
                self.fatal = true;
            }
            _ => tracing::warn!("Kafka: {error}"),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Assigned(keys) => {
                tracing::info!(partitions = keys.len(), "partitions of Kafka are assigned");
                self.lanes = keys.into_iter().map(|key| (key.clone(), self.lane(&key))).collect();
                self.order = Some(Instant::now());
            }
            Event::Revoked => {
                self.give_up();
                if let Err(e) = self.client.unassign() {
                    tracing::warn!("partitions are not given back: {e}");
                }
            }
            Event::Ends(ends) => {
                for (key, end) in ends {
                    if let Some(held) = self.lanes.get_mut(&key) {
                        held.end = Some(end);
                    }
                }
            }
        }
    }

    fn lane(&self, (topic, partition): &Key) -> Held {
        let table = self.source.tables.table(topic);
        let error = table.as_ref().err().map(ToString::to_string);
        if let Some(error) = &error {
            tracing::error!("the topic {topic} is not consumed: {error}");
        }
        let partition = table.ok().map(|table| Partition {
            topic: topic.as_str().into(),
            partition: *partition,
            table,
        });
        Held {
            lane: Lane::new(),
            partition,
            tenure: None,
            end: None,
            stored: Stored::default(),
            reported: (0, 0.0),
            error,
        }
    }

    /// Begins to acquire what is wanted.
    fn acquire(&mut self) {
        let now = Instant::now();
        for (key, held) in &mut self.lanes {
            let Some(partition) = held.partition.clone() else { continue };
            if self.under_way.contains_key(key) || !held.lane.begin_acquiring(now) {
                continue;
            }
            *self.under_way.entry(key.clone()).or_default() += 1;
            let (tenures, cluster) = (Arc::clone(&self.tenures), Arc::clone(&self.cluster));
            let (told, key) = (self.told.clone(), key.clone());
            Handle::current().spawn(async move {
                let acquired = tenures.acquire(cluster.as_ref(), &partition).await;
                // The loop may be over.
                let _ = told.send(Done::Acquired(key, acquired));
            });
        }
    }

    /// Begins to store the chunks that are due.
    fn store(&mut self) {
        let now = Instant::now();
        for (key, held) in &mut self.lanes {
            let Some(tenure) = held.tenure.clone() else { continue };
            let Some(chunk) = held.lane.begin_chunk(now) else { continue };
            *self.under_way.entry(key.clone()).or_default() += 1;
            let (tenures, decoding) = (Arc::clone(&self.tenures), Arc::clone(&self.decoding));
            let (told, key) = (self.told.clone(), key.clone());
            Handle::current().spawn(async move {
                let stored = store(&tenures, &tenure, &chunk, &decoding).await;
                let _ = told.send(Done::Stored(key, stored));
            });
        }
    }

    pub(super) fn done(&mut self, done: Done) {
        let key = match &done {
            Done::Acquired(key, _) | Done::Stored(key, _) => key.clone(),
        };
        if let Some(count) = self.under_way.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(&key);
            }
        }
        match done {
            Done::Acquired(_, acquired) => self.acquired(&key, acquired),
            Done::Stored(_, stored) => self.stored(&key, stored),
        }
    }

    fn acquired(&mut self, key: &Key, acquired: Result<Tenure, CollectError>) {
        let now = Instant::now();
        let held = self.lanes.get_mut(key).filter(|held| held.lane.is_acquiring());
        match (held, acquired) {
            (Some(held), Ok(tenure)) => {
                tracing::debug!(queue = tenure.queue, from = tenure.from, "a partition is taken");
                if let Some(first) = tenure.gap_to {
                    let from = tenure.from;
                    tracing::warn!(queue = tenure.queue, from, first, "records are gone unread");
                }
                held.lane.acquired(tenure.from, tenure.gap_to);
                held.tenure = Some(Arc::new(tenure));
                held.error = None;
                self.order.get_or_insert(now);
            }
            (Some(held), Err(error)) => {
                self.status.failed();
                tracing::warn!(topic = key.0, partition = key.1, "not taken yet: {error}");
                held.error = Some(error.to_string());
                held.lane.refused(now);
            }
            // It is another's by now.
            (None, Ok(tenure)) => {
                let tenures = Arc::clone(&self.tenures);
                Handle::current().spawn(async move {
                    if let Err(e) = tenures.give_up(&tenure, tenure.from).await {
                        tracing::debug!("a partition is not given up: {e}");
                    }
                });
            }
            (None, Err(_)) => {}
        }
    }

    fn stored(&mut self, key: &Key, stored: Result<Stored, CollectError>) {
        let now = Instant::now();
        // Of a lane that is gone: nothing was acquired anew since.
        let Some(held) = self.lanes.get_mut(key).filter(|held| held.lane.is_in_flight()) else {
            return;
        };
        match stored {
            Ok(stored) => {
                self.status.stored(&key.0, stored);
                held.stored.records += stored.records;
                held.stored.dead_letters += stored.dead_letters;
                held.stored.missed += stored.missed;
                held.error = None;
                held.lane.ended(Outcome::Stored, now);
            }
            Err(error) => {
                self.status.failed();
                let over = is_over(&error);
                tracing::warn!(topic = key.0, partition = key.1, over, "not stored yet: {error}");
                held.error = Some(error.to_string());
                held.lane.ended(if over { Outcome::Over } else { Outcome::Again }, now);
            }
        }
        if !held.lane.is_held() {
            held.tenure = None;
            self.order.get_or_insert(now);
        }
    }
}

/// Stores a chunk. In a task of its own, so that a panic is an error. After one, the rows may be on their
/// way to the log still, and nobody waits for them: the writer is ended, so that they come or do not come
/// before the partition is taken anew.
async fn store(
    tenures: &Arc<Tenures>,
    tenure: &Arc<Tenure>,
    chunk: &Chunk,
    decoding: &Arc<Decoding>,
) -> Result<Stored, CollectError> {
    let work = {
        let (tenures, tenure) = (Arc::clone(tenures), Arc::clone(tenure));
        let (chunk, decoding) = (chunk.clone(), Arc::clone(decoding));
        async move { tenures.store(&tenure, &chunk, &decoding).await }
    };
    let stored = tokio::spawn(work).await.unwrap_or_else(|e| Err(e.into()));
    if let Err(error) = &stored
        && is_panic(error)
    {
        while let Err(e) = tenures.recover(tenure.writer).await {
            tracing::warn!(writer = %tenure.writer, "not ended yet after a panic: {e}");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
    stored
}

/// What the client has met since it was asked last.
fn last_error(client: &Client) -> String {
    let mut last = "no answer".to_owned();
    for _ in 0..TAKEN_IN_A_ROW {
        // Without a wait, a poll ends at the first statistics that it meets, errors behind them unseen.
        match client.poll(LOOK_WAIT) {
            Some(Err(error)) => last = error.to_string(),
            Some(Ok(_)) => {}
            None => break,
        }
    }
    last
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Record {
        offset: message.offset().max(0).cast_unsigned(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(Into::into),
        value: message.payload().map(Into::into),
        headers: headers
            .map(|header| (header.key.as_bytes().into(), header.value.map(Into::into)))
            .collect(),
    }
}
