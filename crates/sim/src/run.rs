//! One run: steps the nodes, strikes, heals, and looks at the end whether everything is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loglake_coord::Role;

use crate::client::Clients;
use crate::coord::{LEASE_MS, SimEtcd};
use crate::dice::Dice;
use crate::hub::Hub;
use crate::ledger::Promise;
use crate::node::{Parts, Stepped};
use crate::place::{Flavour, Place};
use crate::plan::{Plan, StoreFaults, Strike};
use crate::sabotage::Sabotage;
use crate::world::{Broken, NodeClock, Party, World};

/// How far the nodes go at a time.
const TICK_MS: u64 = 20;
/// Clients send and faults strike until then.
const STORM_MS: u64 = 14_000;
/// The cluster is left alone until then.
const CALM_MS: u64 = 20_000;
/// The last look must be over by then.
const END_MS: u64 = 120_000;

#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    pub sabotage: Sabotage,
    /// Drawn from the seed when not set.
    pub flavour: Option<Flavour>,
    /// Keep the trace as text.
    pub keep_lines: bool,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub seed: u64,
    pub broken: Option<Broken>,
    /// Of everything that happened, in order.
    pub trace_hash: u64,
    pub events: u64,
    pub sent: usize,
    pub acked: usize,
    pub counts: BTreeMap<&'static str, u64>,
    pub lines: Vec<String>,
}

/// Runs a seed.
pub fn run(seed: u64, settings: Settings) -> Outcome {
    let mut run = Run::new(seed, settings);
    run.storm();
    run.calm();
    run.last_look();
    run.outcome(seed)
}

struct Node {
    parts: Parts,
    /// Absent while it is down.
    stepped: Option<Stepped>,
    up_again_ms: Option<u64>,
    thaws_ms: Option<u64>,
}

/// What is undone when a fault is over.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Join(Party, Party),
    EtcdBack,
    DiskFree,
}

struct Run {
    world: Arc<World>,
    place: Arc<Place>,
    etcd: Arc<SimEtcd>,
    hub: Arc<Hub>,
    plan: Plan,
    nodes: Vec<Node>,
    clients: Stepped,
    undos: Vec<(u64, Undo)>,
    now_ms: u64,
}

impl Run {
    fn new(seed: u64, settings: Settings) -> Self {
        let plan = Plan::new(seed, settings.flavour);
        let world = World::new(seed, settings.sabotage, settings.keep_lines);
        let place = Place::new(plan.flavour, plan.store);
        let (etcd, hub) = (SimEtcd::new(&world), Hub::new(&world));
        let ingesters: Vec<Party> = (0..plan.ingesters as u8).map(Party::Node).collect();
        let node = |number: usize| {
            let mut roles = vec![];
            if number < plan.ingesters {
                roles.push(Role::Ingest);
            }
            if number == 0 || number >= plan.ingesters {
                roles.extend([Role::Query, Role::Maintain]);
            }
            let parts = Parts {
                world: Arc::clone(&world),
                place: Arc::clone(&place),
                etcd: Arc::clone(&etcd),
                hub: Arc::clone(&hub),
                clock: NodeClock::new(Arc::clone(&world)),
                party: Party::Node(number as u8),
                ingesters: ingesters.clone(),
                roles,
            };
            let stepped = Some(Stepped::start(0, parts.clone().process()));
            Node { parts, stepped, up_again_ms: None, thaws_ms: None }
        };
        let nodes = (0..plan.nodes()).map(node).collect();
        let clients = Clients {
            world: Arc::clone(&world),
            hub: Arc::clone(&hub),
            ingesters,
            until_ms: STORM_MS,
            pause_ms: plan.client_pause_ms,
        };
        let number = plan.clients as u64;
        let clients = Stepped::start(0, async move {
            let all = (0..number).map(|n| clients.clone().run(n));
            futures::future::join_all(all).await;
        });
        let undos = vec![];
        Self { world, place, etcd, hub, plan, nodes, clients, undos, now_ms: 0 }
    }

    fn is_over(&self) -> bool {
        self.world.first_broken().is_some()
    }

    fn storm(&mut self) {
        let mut strike_at = self.world.dice(|dice| self.plan.next_strike_in(dice));
        while self.now_ms < STORM_MS && !self.is_over() {
            if self.now_ms >= strike_at {
                let plan = &self.plan;
                let (strike, next) =
                    self.world.dice(|dice| (plan.strike(dice), plan.next_strike_in(dice)));
                self.strike(strike);
                strike_at = self.now_ms + next;
            }
            self.tick();
        }
    }

    /// Everything works again; what was lost stays lost.
    fn calm(&mut self) {
        if self.is_over() {
            return;
        }
        self.world.event("calm");
        let undos = std::mem::take(&mut self.undos);
        undos.into_iter().for_each(|(_, undo)| self.undo(undo));
        self.place.state.lock().faults = StoreFaults::NONE;
        for node in &mut self.nodes {
            node.up_again_ms = node.up_again_ms.map(|_| self.now_ms);
            node.thaws_ms = node.thaws_ms.map(|_| self.now_ms);
        }
        while self.now_ms < CALM_MS && !self.is_over() {
            self.tick();
        }
    }

    /// Every node is gone; one new one recovers what is left and reads everything.
    fn last_look(&mut self) {
        if self.is_over() {
            return;
        }
        self.world.event("last look");
        for node in 0..self.nodes.len() {
            self.crash(node, u64::MAX);
        }
        let done = Arc::new(AtomicBool::new(false));
        let parts = Parts { party: Party::Node(9), ..self.nodes[0].parts.clone() };
        let mut inspector = Stepped::start(self.now_ms, parts.inspect(Arc::clone(&done)));
        while !done.load(Ordering::Relaxed) && !self.is_over() {
            self.advance();
            inspector.step(self.now_ms);
            if self.now_ms > END_MS {
                self.world.broken(Promise::EverythingIsRecovered, "the last look does not end");
            }
        }
        inspector.crash();
    }

    /// The shared parts go on to the next moment.
    fn advance(&mut self) {
        self.now_ms += TICK_MS;
        self.world.set_now(self.now_ms);
        self.place.land_late_writes(&self.world);
        self.etcd.tick();
        self.hub.deliver();
    }

    fn tick(&mut self) {
        self.advance();
        self.undo_due();
        self.restart_after_failed_sync();
        let mut order: Vec<usize> = (0..=self.nodes.len()).collect();
        self.world.dice(|dice| shuffle(&mut order, dice));
        for number in order {
            match self.nodes.get_mut(number) {
                Some(node) => node.step(&self.world, self.now_ms),
                None => self.clients.step(self.now_ms),
            }
        }
    }

    /// What an operator does about a disk that does not sync.
    fn restart_after_failed_sync(&mut self) {
        let since = self.place.state.lock().unsafe_since;
        if since.is_some_and(|since| since + 1_000 < self.now_ms) {
            self.place.state.lock().unsafe_since = None;
            (0..self.nodes.len()).for_each(|node| self.crash(node, 200));
        }
    }

    fn undo_due(&mut self) {
        let now = self.now_ms;
        let due: Vec<_> = self.undos.extract_if(.., |(at, _)| *at <= now).collect();
        due.into_iter().for_each(|(_, undo)| self.undo(undo));
    }

    fn undo(&mut self, undo: Undo) {
        self.world.event(format_args!("over: {undo:?}"));
        match undo {
            Undo::Join(from, to) => {
                self.world.join(from, to);
                self.hub.forget_lost();
            }
            Undo::EtcdBack => self.etcd.set_away(false),
            Undo::DiskFree => self.place.state.lock().disk_full = false,
        }
    }

    fn party(&self, number: usize) -> Party {
        match number - self.nodes.len().min(number) {
            0 if number < self.nodes.len() => Party::Node(number as u8),
            0 => Party::Store,
            1 => Party::Etcd,
            _ => Party::Clients,
        }
    }

    fn crash(&mut self, node: usize, for_ms: u64) {
        let node = &mut self.nodes[node];
        let Some(stepped) = node.stepped.take() else { return };
        stepped.crash();
        node.thaws_ms = None;
        node.up_again_ms = Some(self.now_ms.saturating_add(for_ms));
        self.world.count("node: crashed");
    }

    fn strike(&mut self, strike: Strike) {
        self.world.event(format_args!("strike: {strike:?}"));
        let now = self.now_ms;
        match strike {
            Strike::Crash { node, for_ms } => self.crash(node, for_ms),
            Strike::Freeze { node, for_ms } => {
                self.world.count("node: froze");
                if for_ms > LEASE_MS {
                    self.world.count("node: froze for longer than its lease");
                }
                self.nodes[node].thaws_ms = Some(now + for_ms);
            }
            Strike::Cut { one, other, both_ways, for_ms } => {
                let (one, other) = (self.party(one), self.party(other));
                self.world.cut(one, other);
                self.undos.push((now + for_ms, Undo::Join(one, other)));
                if both_ways {
                    self.world.cut(other, one);
                    self.undos.push((now + for_ms, Undo::Join(other, one)));
                }
            }
            Strike::EtcdAway { for_ms } => {
                self.etcd.set_away(true);
                self.undos.push((now + for_ms, Undo::EtcdBack));
            }
            Strike::EtcdForgets => {
                self.world.count("etcd: lost all it knew");
                self.etcd.forget_everything();
            }
            Strike::ClockJumps { node, by_ms } => {
                self.world.count("node: clock jumped");
                self.nodes[node].parts.clock.jump(by_ms);
            }
            Strike::PowerCut { for_ms } => {
                self.world.count("node: power cut");
                (0..self.nodes.len()).for_each(|node| self.crash(node, for_ms));
                self.place.state.lock().unsafe_since = None;
                let mut place = self.place.state.lock();
                let world = &self.world;
                let forgotten = place.bucket.power_cut(|| world.dice(|dice| dice.per_mille(500)));
                place.read_logs_anew();
                for path in forgotten {
                    world.event(format_args!("forgotten: {path}"));
                    world.count("store: a change was not synced and is forgotten");
                }
            }
            Strike::DiskFull { for_ms } => {
                self.place.state.lock().disk_full = true;
                self.undos.push((now + for_ms, Undo::DiskFree));
            }
        }
    }

    fn outcome(self, seed: u64) -> Outcome {
        let world = Arc::clone(&self.world);
        for node in self.nodes {
            if let Some(stepped) = node.stepped {
                stepped.crash();
            }
        }
        self.clients.crash();
        let (sent, acked) = world.ledger(|ledger| (ledger.sent(), ledger.acked()));
        let broken = world.first_broken();
        world.trace(|trace| Outcome {
            seed,
            broken,
            trace_hash: trace.hash(),
            events: trace.events(),
            sent,
            acked,
            counts: trace.counts().clone(),
            lines: trace.take_lines(),
        })
    }
}

impl Node {
    fn step(&mut self, world: &Arc<World>, now_ms: u64) {
        if self.stepped.is_none() && self.up_again_ms.is_some_and(|at| at <= now_ms) {
            self.up_again_ms = None;
            world.count("node: restarted");
            self.stepped = Some(Stepped::start(now_ms, self.parts.clone().process()));
        }
        let Some(stepped) = &mut self.stepped else { return };
        match self.thaws_ms {
            Some(at) if at > now_ms => return,
            Some(_) => {
                self.thaws_ms = None;
                stepped.thaw(now_ms);
            }
            None => {}
        }
        stepped.step(now_ms);
    }
}

fn shuffle(order: &mut [usize], dice: &mut Dice) {
    for at in (1..order.len()).rev() {
        order.swap(at, dice.within(0..at as u64 + 1) as usize);
    }
}
