//! Which ingester takes which rows: decisions over plain data.
//!
//! Rows of one (tenant, table, service) lie together at the ingester that rendezvous hashing ranks
//! first (highest random weight: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous",
//! 1996): when one comes or goes, only its own share of the keys moves. A key with more rows than one
//! ingester should take spreads over the first few of its ranking. The ranking is a preference: one
//! that is silent, slow or full is passed over.

use std::collections::HashMap;
use std::time::Duration;

use loglake_model::{SegmentSeq, TableName, TenantName, WriterId};
use tokio::time::Instant;
use twox_hash::XxHash3_64;

use crate::peers::Peer;

/// A peer that was not heard for this long gets no rows. They say how they are every 200 ms.
const SILENT_AFTER: Duration = Duration::from_millis(700);
/// An ingester whose oldest append has waited this long for the store gets no rows.
const SLOW_AFTER: Duration = Duration::from_millis(500);
/// A peer that has rows of ours and was not heard for this long is given up: its log is sealed.
const GIVE_UP_SILENT_AFTER: Duration = Duration::from_secs(1);
/// One whose log has waited for the store this long, while the store serves this ingester.
const GIVE_UP_WAITING_AFTER: Duration = Duration::from_millis(1_200);
/// One that says it is well and delivers nothing for this long, while the store serves this ingester.
const GIVE_UP_STUCK_AFTER: Duration = Duration::from_secs(3);
/// The store serves this ingester when its own log has waited for less than
const QUICK: Duration = Duration::from_millis(250);
/// for this long.
const SERVED_FOR: Duration = Duration::from_millis(500);
/// Between two looks at a peer that has rows of ours.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// When a look comes this much later than the last one, this process itself has slept.
const OVERSLEPT: Duration = Duration::from_millis(400);
/// Bytes a second of one key, in memory, for each ingester that it spreads over.
const SPREAD_BYTES_PER_SECOND: f64 = 32e6;
/// Keys whose rate is followed; past it the coolest are forgotten.
const KEYS_MAX: usize = 10_000;
/// Time in which what was counted halves.
const HALF_LIFE: Duration = Duration::from_secs(5);

/// The hash of what rows are sharded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ShardKey(u64);

impl ShardKey {
    /// Rows without a service are a service of their own.
    pub(crate) fn new(tenant: &TenantName, table: &TableName, service: Option<&str>) -> Self {
        let text = format!("{tenant}\0{table}\0{}", service.unwrap_or_default());
        Self(XxHash3_64::oneshot(text.as_bytes()))
    }

    fn weight(self, writer: WriterId) -> u64 {
        XxHash3_64::oneshot_with_seed(self.0, writer.as_uuid().as_bytes())
    }
}

/// An ingester that rows could go to, this one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) writer: WriterId,
    /// Whether it should get rows now.
    pub(crate) fit: bool,
}

impl Candidate {
    pub(crate) fn of(peer: &Peer, now: Instant) -> Self {
        let silent = now.saturating_duration_since(peer.heard) > SILENT_AFTER;
        let slow = peer.standing.waiting > SLOW_AFTER;
        Self { writer: peer.standing.writer, fit: peer.standing.takes_rows && !silent && !slow }
    }
}

/// The ingester for rows of a key: of the first `spread` in its ranking the one whose turn it is, or
/// the next fit one after it. `None` when none is fit.
pub(crate) fn choose(
    key: ShardKey,
    spread: usize,
    turn: usize,
    candidates: &[Candidate],
) -> Option<WriterId> {
    let mut ranked: Vec<&Candidate> = candidates.iter().collect();
    ranked.sort_by_key(|candidate| {
        (std::cmp::Reverse(key.weight(candidate.writer)), candidate.writer)
    });
    let first = turn % spread.clamp(1, ranked.len().max(1));
    let (before, from) = ranked.split_at(first.min(ranked.len()));
    from.iter().chain(before).find(|candidate| candidate.fit).map(|candidate| candidate.writer)
}

/// How long a peer that has rows of ours is waited for. Who sends them again elsewhere should have an
/// answer within two seconds, so what the peer did before counts, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    heard: Instant,
    delivered: Option<SegmentSeq>,
    /// When the peer last got on, as far as can be judged from here.
    got_on: Instant,
    /// Since when the store serves this ingester, as far as is known.
    served_since: Instant,
    looked: Instant,
}

impl Patience {
    pub(crate) const fn begin(peer: &Peer, now: Instant) -> Self {
        Self {
            heard: peer.heard,
            delivered: peer.standing.delivered,
            got_on: now,
            served_since: now,
            looked: now,
        }
    }

    /// Why the peer should not be waited for any longer. `own_waiting`: how long this ingester's own
    /// log has waited for the store. While that is long, the store is to blame and not the peer: were
    /// all to seal each other's logs for it, none could go on when the store comes back.
    pub(crate) fn ends(
        &mut self,
        peer: Option<&Peer>,
        own_waiting: Duration,
        now: Instant,
    ) -> Option<&'static str> {
        let overslept = now.saturating_duration_since(self.looked) > OVERSLEPT;
        self.looked = now;
        if overslept {
            // What peers said meanwhile was not listened to.
            self.heard = now;
        }
        self.heard = peer.map_or(self.heard, |peer| peer.heard.max(self.heard));
        if now.saturating_duration_since(self.heard) >= GIVE_UP_SILENT_AFTER {
            return Some("it is not heard any more");
        }
        let delivered = peer.and_then(|peer| peer.standing.delivered).max(self.delivered);
        if overslept || own_waiting > QUICK {
            (self.got_on, self.served_since) = (now, now);
        }
        if delivered > self.delivered {
            (self.delivered, self.got_on) = (delivered, now);
        }
        let served = now.saturating_duration_since(self.served_since) >= SERVED_FOR;
        let waiting = peer.map_or(Duration::ZERO, |peer| peer.standing.waiting);
        if served && waiting >= GIVE_UP_WAITING_AFTER {
            return Some("its log waits for a store that serves others");
        }
        let stuck = now.saturating_duration_since(self.got_on) >= GIVE_UP_STUCK_AFTER;
        stuck.then_some("it delivers nothing any more")
    }
}

/// How many bytes came for each key lately, here.
#[derive(Debug, Default)]
pub(crate) struct Heat {
    keys: HashMap<ShardKey, Warmth>,
}

#[derive(Clone, Copy, Debug)]
struct Warmth {
    /// Counted bytes, halved with each half life.
    bytes: f64,
    at: Instant,
    turn: usize,
}

impl Warmth {
    fn cooled(&self, now: Instant) -> f64 {
        let half_lives =
            now.saturating_duration_since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.bytes * (-half_lives).exp2()
    }

    /// What a steady stream must bring a second to keep the count where it is.
    fn bytes_per_second(&self) -> f64 {
        self.bytes * std::f64::consts::LN_2 / HALF_LIFE.as_secs_f64()
    }
}

impl Heat {
    /// Counts rows of a key. Answers with the number of ingesters to spread it over, and whose turn
    /// among them it is.
    pub(crate) fn count(&mut self, key: ShardKey, bytes: usize, now: Instant) -> (usize, usize) {
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&key) {
            self.forget_the_cool(now);
        }
        let warmth = self.keys.entry(key).or_insert(Warmth { bytes: 0.0, at: now, turn: 0 });
        *warmth = Warmth {
            bytes: warmth.cooled(now) + bytes as f64,
            at: now,
            turn: warmth.turn.wrapping_add(1),
        };
        let spread = 1 + (warmth.bytes_per_second() / SPREAD_BYTES_PER_SECOND) as usize;
        (spread, warmth.turn)
    }

    fn forget_the_cool(&mut self, now: Instant) {
        let mut warm: Vec<_> = self.keys.iter().map(|(key, w)| (*key, w.cooled(now))).collect();
        warm.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
        for (key, _) in warm.drain(KEYS_MAX / 2..) {
            self.keys.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::peers::Standing;

    fn writer(n: u128) -> WriterId {
        WriterId::from_uuid(Uuid::from_u128(n))
    }

    fn fit(n: u128) -> Candidate {
        Candidate { writer: writer(n), fit: true }
    }

    fn key(n: usize) -> ShardKey {
        let service = format!("service {n}");
        ShardKey::new(&TenantName::unnamed(), &TableName::unnamed(), Some(&service))
    }

    fn home(n: usize, candidates: &[Candidate]) -> WriterId {
        choose(key(n), 1, 7, candidates).unwrap()
    }

    #[test]
    fn keys_are_shared_out_evenly_whatever_the_order_of_the_list() {
        let three = [fit(1), fit(2), fit(3)];
        let mut counts = HashMap::new();
        for n in 0..3_000 {
            assert_eq!(home(n, &three), home(n, &[fit(3), fit(1), fit(2)]));
            *counts.entry(home(n, &three)).or_insert(0) += 1;
        }
        assert!(counts.values().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_that_comes_or_goes_moves_only_its_own_keys() {
        let (three, four) = ([fit(1), fit(2), fit(3)], [fit(1), fit(2), fit(3), fit(4)]);
        for n in 0..1_000 {
            let (before, after) = (home(n, &three), home(n, &four));
            assert!(before == after || after == writer(4), "key {n} moved to {after}");
        }
    }

    #[test]
    fn the_unfit_are_passed_over_and_the_rest_keep_their_keys() {
        let all = [fit(1), fit(2), fit(3)];
        let without = [fit(1), Candidate { writer: writer(2), fit: false }, fit(3)];
        for n in 0..1_000 {
            let (before, after) = (home(n, &all), home(n, &without));
            assert!(after != writer(2) && (before == writer(2) || before == after));
        }
        assert_eq!(choose(key(0), 3, 0, &[Candidate { writer: writer(1), fit: false }]), None);
        assert_eq!(choose(key(0), 3, 0, &[]), None);
    }

    #[test]
    fn a_hot_key_takes_turns_among_the_first_of_its_ranking() {
        let all = [fit(1), fit(2), fit(3)];
        let taken = |spread: usize| {
            let turns = (0..9).map(|turn| choose(key(5), spread, turn, &all).unwrap());
            turns.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(taken(1), [home(5, &all)].into());
        assert_eq!((taken(2).len(), taken(9).len()), (2, 3));
        assert!(taken(2).contains(&home(5, &all)));
    }

    #[test]
    fn a_key_is_hot_while_much_comes_and_cools_down() {
        let (mut heat, start) = (Heat::default(), Instant::now());
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut spread = 0;
        for tenth in 0..300 {
            spread = heat.count(key(1), 10_000_000, after(f64::from(tenth) / 10.0)).0;
        }
        assert_eq!(spread, 4, "100 MB a second");
        assert_eq!(heat.count(key(1), 1, after(60.0)).0, 1);
        assert_eq!(heat.count(key(2), 1_000, after(60.0)).0, 1);
    }

    #[test]
    fn the_count_of_keys_is_bounded_and_the_hot_ones_stay() {
        let (mut heat, now) = (Heat::default(), Instant::now());
        heat.count(key(0), 1_000_000_000, now);
        for n in 1..2 * KEYS_MAX {
            heat.count(key(n), 1, now);
        }
        assert!(heat.keys.len() <= KEYS_MAX);
        assert!(heat.count(key(0), 1, now).0 > 1);
    }

    fn peer(delivered: u64, heard: Instant) -> Peer {
        let standing = Standing {
            writer: writer(1),
            delivered: Some(SegmentSeq(delivered)),
            waiting: Duration::ZERO,
            takes_rows: true,
        };
        Peer { standing, heard }
    }

    const IDLE: Duration = Duration::ZERO;

    /// When a peer is given up that is looked at every 100 ms for a minute: milliseconds.
    fn given_up_at(
        begin: &Peer,
        start: Instant,
        mut look: impl FnMut(u64, Instant) -> (Option<Peer>, Duration),
    ) -> Option<u64> {
        let mut patience = Patience::begin(begin, start);
        (1..600).map(|n| n * 100).find(|ms| {
            let now = start + Duration::from_millis(*ms);
            let (peer, own_waiting) = look(*ms, now);
            patience.ends(peer.as_ref(), own_waiting, now).is_some()
        })
    }

    #[test]
    fn a_silent_peer_is_given_up_a_second_after_its_last_word() {
        let start = Instant::now() + Duration::from_secs(10);
        let quiet = peer(1, start - Duration::from_millis(600));
        assert_eq!(given_up_at(&quiet, start, |_, _| (Some(quiet), IDLE)), Some(400));
        assert_eq!(given_up_at(&quiet, start, |_, _| (None, IDLE)), Some(400));
    }

    #[test]
    fn one_that_delivers_nothing_is_given_up_after_three_seconds() {
        let start = Instant::now();
        let stuck = |_, now| (Some(peer(1, now)), IDLE);
        assert_eq!(given_up_at(&peer(1, start), start, stuck), Some(3_000));
    }

    #[test]
    fn one_that_says_its_log_waits_is_given_up_sooner_when_the_store_serves_us() {
        let start = Instant::now();
        let waiting = |ms: u64, now| {
            let mut peer = peer(1, now);
            peer.standing.waiting = Duration::from_millis(850 + ms);
            peer
        };
        let begin = waiting(0, start);
        assert_eq!(given_up_at(&begin, start, |ms, now| (Some(waiting(ms, now)), IDLE)), Some(500));
        // Our own log waited until 2 s: the store was to blame.
        let both = |ms, now| {
            let own = if ms <= 2_000 { Duration::from_millis(ms) } else { IDLE };
            (Some(waiting(ms, now)), own)
        };
        assert_eq!(given_up_at(&begin, start, both), Some(2_500));
    }

    #[test]
    fn a_peer_that_gets_on_is_waited_for_and_so_is_one_whose_store_serves_nobody() {
        let start = Instant::now();
        let gets_on = |ms, now| (Some(peer(1 + ms / 1_000, now)), IDLE);
        assert_eq!(given_up_at(&peer(1, start), start, gets_on), None);
        let store_away = |_, now| {
            let mut peer = peer(1, now);
            peer.standing.waiting = Duration::from_secs(9);
            (Some(peer), Duration::from_secs(9))
        };
        assert_eq!(given_up_at(&peer(1, start), start, store_away), None);
    }

    #[test]
    fn who_slept_itself_gives_nobody_up_for_it() {
        let start = Instant::now();
        let mut patience = Patience::begin(&peer(1, start), start);
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(patience.ends(Some(&peer(1, start)), IDLE, after(10_000)), None);
        assert_eq!(patience.ends(Some(&peer(1, start)), IDLE, after(10_100)), None);
        assert_eq!(patience.ends(Some(&peer(1, after(10_150))), IDLE, after(10_200)), None);
    }

    #[test]
    fn a_peer_is_fit_while_it_is_heard_quick_and_has_room() {
        let now = Instant::now() + Duration::from_secs(10);
        let good = Peer {
            standing: Standing {
                writer: writer(1),
                delivered: Some(SegmentSeq(3)),
                waiting: Duration::ZERO,
                takes_rows: true,
            },
            heard: now,
        };
        assert!(Candidate::of(&good, now).fit);
        let silent = Peer { heard: now - Duration::from_secs(1), ..good };
        let slow = Standing { waiting: Duration::from_secs(1), ..good.standing };
        let full = Standing { takes_rows: false, ..good.standing };
        for bad in [silent, Peer { standing: slow, ..good }, Peer { standing: full, ..good }] {
            assert!(!Candidate::of(&bad, now).fit, "{bad:?}");
        }
    }
}
