//! Which faults a run has, and when. Each seed has its own mixture: a fault that is rare beside many
//! others is found by the seeds in which it is nearly alone.

use crate::dice::Dice;
use crate::place::Flavour;

/// How requests to the store go wrong, in cases of 1,000.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreFaults {
    pub failing: u64,
    pub slow: u64,
    /// Writes whose sender goes away and that land nevertheless.
    pub lands_late: u64,
    /// Longest way there or back, in milliseconds.
    pub latency_ms: u64,
}

impl StoreFaults {
    pub const NONE: Self = Self { failing: 0, slow: 0, lands_late: 0, latency_ms: 8 };
}

/// A fault of the cluster. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    Crash {
        node: usize,
        for_ms: u64,
    },
    Freeze {
        node: usize,
        for_ms: u64,
    },
    Cut {
        one: usize,
        other: usize,
        both_ways: bool,
        for_ms: u64,
    },
    EtcdAway {
        for_ms: u64,
    },
    EtcdForgets,
    ClockJumps {
        node: usize,
        by_ms: i64,
    },
    /// Of a directory: what is not synced is forgotten.
    PowerCut {
        for_ms: u64,
    },
    DiskFull {
        for_ms: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Crash,
    Freeze,
    Cut,
    EtcdAway,
    EtcdForgets,
    ClockJumps,
    PowerCut,
    DiskFull,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub flavour: Flavour,
    pub ingesters: usize,
    pub queriers: usize,
    pub clients: usize,
    pub client_pause_ms: u64,
    pub store: StoreFaults,
    kinds: Vec<Kind>,
    strike_every_ms: u64,
}

impl Plan {
    pub fn new(seed: u64, flavour: Option<Flavour>) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(3).wrapping_add(1));
        let drawn = if dice.per_mille(250) { Flavour::Directory } else { Flavour::Bucket };
        let flavour = flavour.unwrap_or(drawn);
        let possible: &[Kind] = match flavour {
            Flavour::Bucket => &[
                Kind::Crash,
                Kind::Freeze,
                Kind::Cut,
                Kind::EtcdAway,
                Kind::EtcdForgets,
                Kind::ClockJumps,
            ],
            Flavour::Directory => &[Kind::PowerCut, Kind::Crash, Kind::DiskFull, Kind::ClockJumps],
        };
        let mut kinds: Vec<Kind> =
            possible.iter().copied().filter(|_| dice.per_mille(500)).collect();
        if kinds.is_empty() {
            kinds.push(possible[0]);
        }
        let bad = dice.per_mille(600);
        let store = StoreFaults {
            failing: if bad { dice.within(0..60) } else { 0 },
            slow: if bad { dice.within(0..40) } else { 0 },
            lands_late: if dice.per_mille(500) { 500 } else { 0 },
            latency_ms: *dice.pick(&[4, 15, 40]),
        };
        let (ingesters, queriers) = if flavour == Flavour::Bucket { (3, 2) } else { (1, 0) };
        Self {
            flavour,
            ingesters,
            queriers,
            clients: dice.within(2..5) as usize,
            client_pause_ms: *dice.pick(&[150, 300, 600]),
            store,
            kinds,
            strike_every_ms: dice.within(500..3_000),
        }
    }

    pub const fn nodes(&self) -> usize {
        self.ingesters + self.queriers
    }

    pub fn next_strike_in(&self, dice: &mut Dice) -> u64 {
        dice.within(1..2 * self.strike_every_ms)
    }

    pub fn strike(&self, dice: &mut Dice) -> Strike {
        let node = dice.within(0..self.nodes() as u64) as usize;
        match dice.pick(&self.kinds) {
            Kind::Crash => Strike::Crash { node, for_ms: dice.within(50..6_000) },
            Kind::Freeze => Strike::Freeze { node, for_ms: dice.within(200..8_000) },
            // The two after the nodes are the store and etcd.
            Kind::Cut => Strike::Cut {
                one: node,
                other: dice.within(0..self.nodes() as u64 + 3) as usize,
                both_ways: dice.per_mille(500),
                for_ms: dice.within(300..6_000),
            },
            Kind::EtcdAway => Strike::EtcdAway { for_ms: dice.within(500..9_000) },
            Kind::EtcdForgets => Strike::EtcdForgets,
            Kind::ClockJumps => {
                let ms = dice.within(1..7_200_000) as i64;
                Strike::ClockJumps { node, by_ms: if dice.per_mille(500) { ms } else { -ms } }
            }
            Kind::PowerCut => Strike::PowerCut { for_ms: dice.within(50..2_000) },
            Kind::DiskFull => Strike::DiskFull { for_ms: dice.within(100..2_000) },
        }
    }
}
