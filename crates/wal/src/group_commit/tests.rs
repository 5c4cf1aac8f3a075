//! Each race by hand, then random schedules against a model of a store.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    linger: Duration::from_millis(20),
    segment_bytes_max: 100,
    in_flight_max: 2,
    queue_bytes_max: 250,
    give_up_after: Duration::from_secs(10),
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn seq(n: u64) -> SegmentSeq {
    SegmentSeq(n)
}

fn rows(n: u64, appends: &[AppendId]) -> Effect {
    let content = Content::Rows(appends.to_vec());
    Effect::Create { seq: seq(n), content, delay: Duration::ZERO }
}

fn append(machine: &mut GroupCommit, id: AppendId, bytes: usize, now: Duration) -> Vec<Effect> {
    machine.step(Event::Append { id, bytes }, now)
}

fn fenced(effects: &[Effect]) -> Vec<AppendId> {
    let refused = effects.iter().filter_map(|effect| match effect {
        Effect::Refuse { appends, why: Refusal::Fenced(_) } => Some(appends.clone()),
        _ => None,
    });
    refused.flatten().collect()
}

#[test]
fn the_first_rows_go_at_once_and_later_ones_wait_for_company() {
    let mut m = GroupCommit::new(RULES);
    assert_eq!(append(&mut m, 0, 10, ms(0)), [rows(0, &[0])]);
    assert_eq!(append(&mut m, 1, 10, ms(5)), []);
    assert_eq!(append(&mut m, 2, 10, ms(6)), []);
    assert_eq!(m.next_wake(), Some(ms(25)));
    assert_eq!(m.step(Event::Tick, ms(25)), [rows(1, &[1, 2])]);
    assert_eq!(append(&mut m, 3, 10, ms(26)), []);
    assert_eq!(m.next_wake(), None, "as many in flight as may be");
    assert_eq!(m.step(Event::Created(seq(0)), ms(60)), [Effect::Deliver(seq(0)), rows(2, &[3])]);
}

#[test]
fn a_full_segment_does_not_wait() {
    let mut m = GroupCommit::new(RULES);
    append(&mut m, 0, 10, ms(0));
    assert_eq!(append(&mut m, 1, 60, ms(1)), []);
    assert_eq!(append(&mut m, 2, 60, ms(1)), [rows(1, &[1])]);
    assert_eq!(
        append(&mut m, 3, 500, ms(1)),
        [Effect::Refuse { appends: vec![3], why: Refusal::Overloaded { waiting_bytes: 60 } }]
    );
}

#[test]
fn a_large_append_is_taken_when_nothing_waits() {
    let mut m = GroupCommit::new(RULES);
    assert_eq!(append(&mut m, 0, 5_000, ms(0)), [rows(0, &[0])]);
}

#[test]
fn a_segment_that_is_done_early_is_delivered_in_order() {
    let mut m = GroupCommit::new(RULES);
    append(&mut m, 0, 10, ms(0));
    append(&mut m, 1, 100, ms(0));
    assert_eq!(m.step(Event::Created(seq(1)), ms(1)), []);
    let both = [Effect::Deliver(seq(0)), Effect::Deliver(seq(1))];
    assert_eq!(m.step(Event::Created(seq(0)), ms(2)), both);
    assert_eq!(m.step(Event::Created(seq(0)), ms(3)), [], "said twice");
}

#[test]
fn nothing_at_or_after_a_taken_number_is_delivered() {
    let mut m = GroupCommit::new(RULES);
    append(&mut m, 0, 10, ms(0));
    append(&mut m, 1, 100, ms(0));
    append(&mut m, 2, 10, ms(0));
    assert_eq!(m.step(Event::Created(seq(1)), ms(1)), []);
    assert_eq!(fenced(&m.step(Event::Taken(seq(0)), ms(1))), [1, 0, 2].map(|id: u64| id));
    assert!(m.over().is_some());
    assert_eq!(m.step(Event::Created(seq(1)), ms(2)), []);
    assert_eq!(fenced(&append(&mut m, 3, 1, ms(3))), [3]);
}

#[test]
fn what_is_before_a_taken_number_may_still_be_delivered() {
    let mut m = GroupCommit::new(RULES);
    append(&mut m, 0, 10, ms(0));
    append(&mut m, 1, 100, ms(0));
    assert_eq!(fenced(&m.step(Event::Taken(seq(1)), ms(1))), [1]);
    assert_eq!(m.step(Event::Created(seq(0)), ms(2)), [Effect::Deliver(seq(0))]);
}

#[test]
fn a_doubt_is_tried_again_for_ever_with_the_same_content() {
    let mut m = GroupCommit::new(RULES);
    append(&mut m, 0, 10, ms(0));
    for (n, delay) in [50, 100, 200, 400, 800, 1_000, 1_000].into_iter().enumerate() {
        let now = Duration::from_secs(n as u64 * 60);
        let again = [Effect::Again { seq: seq(0), delay: ms(delay) }];
        let event = match n {
            0 => Event::InDoubt(seq(0)),
            _ => Event::NotStored(seq(0), "full".into()),
        };
        assert_eq!(m.step(event, now), again);
    }
    let delivered = m.step(Event::Created(seq(0)), Duration::from_secs(9_999));
    assert_eq!(delivered, [Effect::Deliver(seq(0))]);
}

#[test]
fn rows_that_are_definitely_not_stored_are_given_up_and_an_empty_segment_probes() {
    let mut m = GroupCommit::new(RULES);
    let full = || Event::NotStored(seq(0), "disk full".into());
    let not_stored = |appends: &[AppendId]| Effect::Refuse {
        appends: appends.to_vec(),
        why: Refusal::NotStored("disk full".into()),
    };
    append(&mut m, 0, 10, ms(0));
    append(&mut m, 1, 10, ms(1));
    assert_eq!(m.step(full(), ms(1)).len(), 1, "first a second try");
    let given_up = m.step(full(), ms(10_001));
    assert_eq!(given_up[0], not_stored(&[0]));
    assert!(matches!(&given_up[1], Effect::Create { content: Content::Empty, .. }));
    assert_eq!(given_up[2..], [not_stored(&[1])]);
    assert_eq!(append(&mut m, 2, 10, ms(10_002)), [not_stored(&[2])]);
    assert!(matches!(m.step(full(), ms(30_000))[..], [Effect::Again { .. }]));
    assert_eq!(m.step(Event::Created(seq(0)), ms(40_000)), [Effect::Deliver(seq(0))]);
    assert_eq!(append(&mut m, 3, 10, ms(40_001)), [rows(1, &[3])]);
}

#[test]
fn rows_that_cannot_be_encoded_harm_no_others() {
    let mut m = GroupCommit::new(RULES);
    append(&mut m, 0, 10, ms(0));
    append(&mut m, 1, 10, ms(0));
    let effects = m.step(Event::Unencodable(seq(0), "odd".into()), ms(1));
    let refused = Effect::Refuse { appends: vec![0], why: Refusal::Unencodable("odd".into()) };
    assert_eq!(effects[0], refused);
    let effects = m.step(Event::Created(seq(0)), ms(2));
    assert_eq!(effects, [Effect::Deliver(seq(0)), rows(1, &[1])]);
}

#[test]
fn closing_writes_what_waits_then_seals() {
    let mut m = GroupCommit::new(RULES);
    append(&mut m, 0, 10, ms(0));
    append(&mut m, 1, 10, ms(0));
    assert_eq!(m.step(Event::Close, ms(1)), [rows(1, &[1])]);
    assert_eq!(fenced(&append(&mut m, 2, 1, ms(1))), [2]);
    assert_eq!(m.step(Event::Created(seq(0)), ms(2)), [Effect::Deliver(seq(0))]);
    let effects = m.step(Event::Created(seq(1)), ms(2));
    assert!(matches!(
        effects[..],
        [
            Effect::Deliver(SegmentSeq(1)),
            Effect::Create { seq: SegmentSeq(2), content: Content::Seal, .. },
        ]
    ));
    assert_eq!(m.step(Event::Created(seq(2)), ms(3)), [Effect::Closed(Ok(()))]);
    assert_eq!(m.step(Event::Close, ms(4)), [Effect::Closed(Ok(()))]);
}

#[test]
fn closing_says_when_another_ended_the_log_or_the_disk_is_full() {
    let mut m = GroupCommit::new(RULES);
    append(&mut m, 0, 10, ms(0));
    m.step(Event::Close, ms(1));
    let effects = m.step(Event::Taken(seq(0)), ms(1));
    assert!(matches!(effects[..], [Effect::Refuse { .. }, Effect::Closed(Err(_))]));

    let mut m = GroupCommit::new(RULES);
    m.step(Event::Close, ms(1));
    m.step(Event::NotStored(seq(0), "full".into()), ms(1));
    let effects = m.step(Event::NotStored(seq(0), "full".into()), ms(20_000));
    assert!(matches!(effects[..], [Effect::Closed(Err(_))]));
}

#[test]
fn a_broken_disk_ends_everything() {
    let mut m = GroupCommit::new(RULES);
    append(&mut m, 0, 10, ms(0));
    append(&mut m, 1, 100, ms(0));
    append(&mut m, 2, 10, ms(0));
    assert_eq!(fenced(&m.step(Event::Broken("fsync: EIO".into()), ms(1))), [1, 0, 2]);
}

/// A store and its network: which content each number holds, and attempts that are on their way.
#[derive(Debug, Default)]
struct World {
    now: Duration,
    store: BTreeMap<SegmentSeq, Content>,
    /// Attempts that nobody waits for any more; they may land later or never.
    limbo: Vec<(SegmentSeq, Content)>,
    /// Attempts whose answer the writer waits for.
    flying: Vec<(SegmentSeq, Content)>,
    /// What each number is to hold, as the machine said last.
    contents: BTreeMap<SegmentSeq, Content>,
    appended: AppendId,
    delivered: Vec<SegmentSeq>,
    acknowledged: Vec<AppendId>,
    fenced: BTreeSet<AppendId>,
    /// Refused as definitely not in the log.
    never: BTreeSet<AppendId>,
    /// A number at or after which nothing may be delivered.
    taken: Option<SegmentSeq>,
}

#[derive(Clone, Debug)]
enum Move {
    Append(usize),
    Wait(u64),
    /// One of the flying attempts is answered, so: landed or not, and what is said.
    Answer(prop::sample::Index, Fate),
    /// An attempt from limbo lands late.
    LandLate(prop::sample::Index),
    SealByAnother,
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Truth,
    LostAnswer,
    LostOnTheWay,
    SlowOnTheWay,
    NotStored,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let fate = prop_oneof![
        6 => Just(Fate::Truth),
        1 => Just(Fate::LostAnswer),
        1 => Just(Fate::LostOnTheWay),
        1 => Just(Fate::SlowOnTheWay),
        3 => Just(Fate::NotStored),
    ];
    let one = prop_oneof![
        8 => (1usize..80).prop_map(Move::Append),
        4 => (0u64..8_000).prop_map(Move::Wait),
        12 => (any::<prop::sample::Index>(), fate).prop_map(|(at, fate)| Move::Answer(at, fate)),
        2 => any::<prop::sample::Index>().prop_map(Move::LandLate),
        1 => prop::bool::weighted(0.2)
            .prop_map(|seal| if seal { Move::SealByAnother } else { Move::Wait(1) }),
        1 => prop::bool::weighted(0.1)
            .prop_map(|close| if close { Move::Close } else { Move::Wait(1) }),
    ];
    prop::collection::vec(one, 0..150)
}

impl World {
    fn land(&mut self, seq: SegmentSeq, content: &Content) -> Event {
        let there = self.store.entry(seq).or_insert_with(|| content.clone());
        if there == content {
            Event::Created(seq)
        } else {
            self.taken = Some(self.taken.map_or(seq, |taken| taken.min(seq)));
            Event::Taken(seq)
        }
    }

    fn step(&mut self, machine: &mut GroupCommit, event: Event) {
        for effect in machine.step(event, self.now) {
            match effect {
                Effect::Create { seq, content, .. } => {
                    self.contents.insert(seq, content.clone());
                    self.flying.push((seq, content));
                }
                Effect::Again { seq, .. } => self.flying.push((seq, self.contents[&seq].clone())),
                Effect::Deliver(seq) => {
                    assert!(self.taken.is_none_or(|taken| seq < taken), "delivered {seq}");
                    self.delivered.push(seq);
                    if let Content::Rows(appends) = &self.contents[&seq] {
                        self.acknowledged.extend(appends);
                    }
                }
                Effect::Refuse { appends, why: Refusal::Fenced(_) } => self.fenced.extend(appends),
                Effect::Refuse { appends, .. } => self.never.extend(appends),
                Effect::Closed(_) => {}
            }
        }
    }

    fn make(&mut self, machine: &mut GroupCommit, one: &Move) {
        match one {
            Move::Append(bytes) => {
                let id = self.appended;
                self.appended += 1;
                self.step(machine, Event::Append { id, bytes: *bytes });
            }
            Move::Wait(ms) => {
                self.now += Duration::from_millis(*ms);
                self.step(machine, Event::Tick);
            }
            Move::Answer(at, fate) if !self.flying.is_empty() => {
                let (seq, content) = self.flying.swap_remove(at.index(self.flying.len()));
                let event = match fate {
                    Fate::Truth => self.land(seq, &content),
                    Fate::LostAnswer => {
                        self.land(seq, &content);
                        Event::InDoubt(seq)
                    }
                    Fate::LostOnTheWay => Event::InDoubt(seq),
                    Fate::SlowOnTheWay => {
                        self.limbo.push((seq, content));
                        Event::InDoubt(seq)
                    }
                    Fate::NotStored => Event::NotStored(seq, "disk full".into()),
                };
                self.step(machine, event);
            }
            Move::LandLate(at) if !self.limbo.is_empty() => {
                let (seq, content) = self.limbo.swap_remove(at.index(self.limbo.len()));
                self.land(seq, &content);
            }
            Move::SealByAnother => {
                let free = self.first_free();
                self.store.insert(free, Content::Rows(vec![AppendId::MAX]));
            }
            Move::Close => self.step(machine, Event::Close),
            Move::Answer(..) | Move::LandLate(_) => {}
        }
    }

    fn first_free(&self) -> SegmentSeq {
        (0..).map(SegmentSeq).find(|seq| !self.store.contains_key(seq)).unwrap()
    }

    /// The appends in the valid part of the log, in order.
    fn log(&self) -> Vec<AppendId> {
        let mut appends = vec![];
        for number in 0.. {
            match self.store.get(&SegmentSeq(number)) {
                Some(Content::Rows(rows)) if rows != &[AppendId::MAX] => appends.extend(rows),
                Some(Content::Empty) => {}
                _ => break,
            }
        }
        appends
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_acknowledged_rows_are_in_the_log_once_and_in_order(moves in moves()) {
        let mut machine = GroupCommit::new(RULES);
        let mut world = World::default();
        for one in &moves {
            world.make(&mut machine, one);
            let log = world.log();
            prop_assert!(log.starts_with(&world.acknowledged), "{:?} {:?}", log, world.acknowledged);
            prop_assert!(world.flying.len() <= RULES.in_flight_max + 1);
        }
        // Whatever is still on its way lands, and what was refused for good never shows.
        for (seq, content) in std::mem::take(&mut world.limbo) {
            world.land(seq, &content);
        }
        for content in world.store.values() {
            if let Content::Rows(rows) = content {
                prop_assert!(rows.iter().all(|append| !world.never.contains(append)));
            }
        }
        let delivered: Vec<_> = (0..world.delivered.len() as u64).map(SegmentSeq).collect();
        prop_assert_eq!(&world.delivered, &delivered);
        // Healed, everything that waits gets an answer.
        for _ in 0..1_000 {
            world.now += Duration::from_secs(1);
            world.step(&mut machine, Event::Tick);
            let Some((seq, content)) = world.flying.pop() else { break };
            let event = world.land(seq, &content);
            world.step(&mut machine, event);
        }
        let answered = world.acknowledged.len() + world.fenced.len() + world.never.len();
        prop_assert_eq!(answered as u64, world.appended);
    }
}
