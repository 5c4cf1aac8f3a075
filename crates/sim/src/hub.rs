//! The network between nodes and clients: messages that take time, and are lost where two are cut
//! off from each other or one of them is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loglake_ingest::{Forward, ForwardError, KeyFate, Peer, Peers, Standing};
use loglake_model::WriterId;
use loglake_query::{FreshAnswer, FreshError, FreshScan};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::client::{Answer, Request};
use crate::world::{Party, World};

/// A peer that was not heard for this long is lost sight of.
const LOST_SIGHT_AFTER: Duration = Duration::from_secs(5);

/// What one party asks another.
pub enum Ask {
    Standing(Standing),
    Forward(Forward, Reply<Result<(), ForwardError>>),
    KeyFate(WriterId, String, Reply<Option<KeyFate>>),
    Fresh(FreshScan, Reply<Result<FreshAnswer, FreshError>>),
    Append(Request, Reply<Answer>),
}

/// The way back of an answer.
pub struct Reply<T> {
    hub: Arc<Hub>,
    /// Who answers, and to whom.
    from: Party,
    to: Party,
    answer: oneshot::Sender<T>,
}

impl<T: Send + 'static> Reply<T> {
    pub fn send(self, value: T) {
        let Self { hub, from, to, answer } = self;
        let deliver = Box::new(move || {
            // Whoever asked may have gone.
            let _ = answer.send(value);
        });
        hub.send(from, to, Body::Answer(deliver));
    }
}

enum Body {
    Ask(Ask),
    Answer(Box<dyn FnOnce() + Send>),
}

pub struct Hub {
    world: Arc<World>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Messages by the time of their arrival.
    queue: BTreeMap<(u64, u64), (Party, Party, Body)>,
    boxes: BTreeMap<Party, mpsc::UnboundedSender<(Party, Ask)>>,
    /// Messages that never arrive: whoever waits for their answer waits on.
    lost: Vec<Body>,
}

impl Hub {
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: Arc::clone(world), state: Mutex::default() })
    }

    /// The inbox of a party that starts.
    pub fn open(&self, party: Party) -> mpsc::UnboundedReceiver<(Party, Ask)> {
        let (sender, inbox) = mpsc::unbounded_channel();
        self.state.lock().boxes.insert(party, sender);
        inbox
    }

    fn send(&self, from: Party, to: Party, body: Body) {
        let at = self.world.now_ms() + self.world.dice(|dice| dice.within(1..15));
        let number = self.world.number();
        self.state.lock().queue.insert((at, number), (from, to, body));
    }

    /// Asks and waits for the answer; `None` when the connection broke.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        from: Party,
        to: Party,
        ask: impl FnOnce(Reply<T>) -> Ask,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let reply = Reply { hub: Arc::clone(self), from: to, to: from, answer };
        self.send(from, to, Body::Ask(ask(reply)));
        answered.await.ok()
    }

    pub async fn fresh(
        self: &Arc<Self>,
        from: Party,
        to: Party,
        scan: FreshScan,
    ) -> Option<Result<FreshAnswer, FreshError>> {
        self.ask(from, to, |reply| Ask::Fresh(scan, reply)).await
    }

    pub async fn append(self: &Arc<Self>, to: Party, request: Request) -> Option<Answer> {
        self.ask(Party::Clients, to, |reply| Ask::Append(request, reply)).await
    }

    /// Brings the messages whose time has come.
    pub fn deliver(&self) {
        let now = self.world.now_ms();
        loop {
            let message = {
                let mut state = self.state.lock();
                let due = state.queue.first_entry().filter(|entry| entry.key().0 <= now);
                due.map(|entry| entry.remove())
            };
            let Some((from, to, body)) = message else { return };
            if !self.world.reaches(from, to) {
                self.world.count("partition: message lost");
                self.state.lock().lost.push(body);
                continue;
            }
            match body {
                Body::Answer(deliver) => deliver(),
                Body::Ask(ask) => {
                    let inbox = self.state.lock().boxes.get(&to).cloned();
                    // Nobody there: the connection is refused, the reply is dropped.
                    if let Some(inbox) = inbox {
                        drop(inbox.send((from, ask)));
                    }
                }
            }
        }
    }

    /// Breaks whatever waits for nothing.
    pub fn forget_lost(&self) {
        let lost = std::mem::take(&mut self.state.lock().lost);
        drop(lost);
    }
}

/// The other ingesters as one node knows them.
pub struct SimPeers {
    hub: Arc<Hub>,
    party: Party,
    heard: Mutex<BTreeMap<Party, Peer>>,
}

impl SimPeers {
    pub fn new(hub: &Arc<Hub>, party: Party) -> Arc<Self> {
        Arc::new(Self { hub: Arc::clone(hub), party, heard: Mutex::default() })
    }

    pub fn hear(&self, from: Party, standing: Standing) {
        self.heard.lock().insert(from, Peer { standing, heard: Instant::now() });
    }

    /// Says to all others how this one is.
    pub fn tell(&self, others: impl Iterator<Item = Party>, standing: Standing) {
        for other in others.filter(|other| *other != self.party) {
            self.hub.send(self.party, other, Body::Ask(Ask::Standing(standing)));
        }
    }

    fn party_of(&self, writer: WriterId) -> Option<Party> {
        let heard = self.heard.lock();
        heard.iter().find(|(_, peer)| peer.standing.writer == writer).map(|(party, _)| *party)
    }
}

#[async_trait]
impl Peers for SimPeers {
    fn peers(&self) -> Vec<Peer> {
        let mut heard = self.heard.lock();
        heard.retain(|_, peer| peer.heard.elapsed() < LOST_SIGHT_AFTER);
        heard.values().copied().collect()
    }

    async fn forward(&self, forward: Forward) -> Result<(), ForwardError> {
        let Some(to) = self.party_of(forward.writer) else {
            return Err(ForwardError::NotTaken("not known".to_owned()));
        };
        self.hub.world.count("routing: rows forwarded");
        let answer = self.hub.ask(self.party, to, |reply| Ask::Forward(forward, reply)).await;
        answer.unwrap_or_else(|| Err(ForwardError::Unknown("the connection broke".to_owned())))
    }

    async fn key_fate(&self, writer: WriterId, key: &str) -> Option<KeyFate> {
        let to = self.party_of(writer)?;
        let ask = self.hub.ask(self.party, to, |reply| Ask::KeyFate(writer, key.to_owned(), reply));
        tokio::time::timeout(Duration::from_secs(2), ask).await.ok()??
    }
}
