//! One consumer group ("Group Membership Protocol", KIP-62): who is in it, and who reads what. Pure:
//! events and the time go in, what each member is to be told comes out.
//!
//! ```text
//!            join                    all came back, or time is up          the leader's sync
//!  Empty ──────────▶ Joining ─────────────────────────────────▶ Syncing ─────────────────▶ Stable
//!                       ▲────────── join, leave, a member that is silent ───┴───────────────┘
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::protocol::Code;

/// Members of one group.
pub(super) const MEMBERS_MAX: usize = 1_000;
/// How long the first member of a group waits for others.
const COMPANY_WAIT: Duration = Duration::from_millis(500);
/// Members are not asked for more or less patience than this.
const SESSION_MIN: Duration = Duration::from_secs(1);
const SESSION_MAX: Duration = Duration::from_secs(1_800);

/// Ways of sharing out that a member knows, best first, with what it says under each.
pub(super) type Protocols = Vec<(String, Vec<u8>)>;

/// What a member that joins brings.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    pub(super) member: String,
    pub(super) session: Duration,
    pub(super) rebalance: Duration,
    pub(super) protocol_type: String,
    pub(super) protocols: Protocols,
}

/// What a member is told when all have joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) generation: i32,
    pub(super) protocol: String,
    pub(super) leader: String,
    /// Every member and what it said: for the leader alone.
    pub(super) members: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Empty,
    /// Members come (back). Over when all are there, after `from`; at `until` without the missing.
    Joining {
        from: Instant,
        until: Instant,
    },
    /// The leader shares out.
    Syncing,
    Stable,
}

#[derive(Clone, Debug)]
struct Member {
    session: Duration,
    rebalance: Duration,
    protocols: Protocols,
    heard: Instant,
    joined: bool,
    assignment: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    members: BTreeMap<String, Member>,
    phase: Phase,
}

impl Group {
    pub(super) const fn new() -> Self {
        Self {
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            phase: Phase::Empty,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member joins, or comes back. What it is told: [`Self::joined`].
    pub(super) fn join(&mut self, joining: Joining, now: Instant) -> Result<(), Code> {
        self.pass_time(now);
        let known = self.members.contains_key(&joining.member);
        if !known && self.members.len() >= MEMBERS_MAX {
            return Err(Code::GroupMaxSizeReached);
        }
        let others = self.members.iter().filter(|(name, _)| **name != joining.member);
        let others: Vec<&Member> = others.map(|(_, member)| member).collect();
        let agrees = others.is_empty()
            || (joining.protocol_type == self.protocol_type
                && first_common(&joining.protocols, &others).is_some());
        if !agrees || joining.protocols.is_empty() {
            return Err(Code::InconsistentGroupProtocol);
        }
        self.protocol_type = joining.protocol_type;
        let member = Member {
            session: joining.session.clamp(SESSION_MIN, SESSION_MAX),
            rebalance: joining.rebalance.clamp(SESSION_MIN, SESSION_MAX),
            protocols: joining.protocols,
            heard: now,
            joined: true,
            assignment: vec![],
        };
        self.members.insert(joining.member.clone(), member);
        self.begin_joining(now);
        if let Some(member) = self.members.get_mut(&joining.member) {
            member.joined = true;
        }
        self.pass_time(now);
        Ok(())
    }

    /// Whether the group knows a member of this name.
    pub(super) fn knows(&self, member: &str) -> bool {
        self.members.contains_key(member)
    }

    /// What a member that joined is told; `None` while others are waited for.
    pub(super) fn joined(&self, member: &str) -> Option<Result<Joined, Code>> {
        if !self.members.contains_key(member) {
            return Some(Err(Code::UnknownMemberId));
        }
        if matches!(self.phase, Phase::Joining { .. }) {
            return None;
        }
        let members = match member == self.leader {
            true => self.members.iter().map(|(name, m)| (name.clone(), self.said(m))).collect(),
            false => vec![],
        };
        Some(Ok(Joined {
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members,
        }))
    }

    fn said(&self, member: &Member) -> Vec<u8> {
        let mut said = member.protocols.iter();
        said.find(|(name, _)| *name == self.protocol).map(|(_, m)| m.clone()).unwrap_or_default()
    }

    /// A member asks what it reads; the leader says what each does. Answered by [`Self::assigned`].
    pub(super) fn sync(
        &mut self,
        member: &str,
        generation: i32,
        assignments: Vec<(String, Vec<u8>)>,
        now: Instant,
    ) -> Result<(), Code> {
        self.heartbeat(member, generation, now)?;
        if self.phase == Phase::Syncing && member == self.leader {
            for (name, assignment) in assignments {
                if let Some(member) = self.members.get_mut(&name) {
                    member.assignment = assignment;
                }
            }
            self.phase = Phase::Stable;
        }
        Ok(())
    }

    /// What a member reads; `None` while the leader is waited for.
    pub(super) fn assigned(&self, name: &str, generation: i32) -> Option<Result<Vec<u8>, Code>> {
        match (self.check(name, generation), self.phase) {
            (Err(code), _) => Some(Err(code)),
            (Ok(member), Phase::Stable) => Some(Ok(member.assignment.clone())),
            (Ok(_), Phase::Syncing) => None,
            (Ok(_), _) => Some(Err(Code::RebalanceInProgress)),
        }
    }

    /// A member is there. The error tells it to join again.
    pub(super) fn heartbeat(
        &mut self,
        name: &str,
        generation: i32,
        now: Instant,
    ) -> Result<(), Code> {
        self.pass_time(now);
        self.check(name, generation)?;
        if let Some(member) = self.members.get_mut(name) {
            member.heard = now;
        }
        match self.phase {
            Phase::Joining { .. } => Err(Code::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Whether offsets may be kept for this member: it is one of this generation.
    pub(super) fn may_commit(&self, name: &str, generation: i32) -> Result<(), Code> {
        self.check(name, generation).map(drop)
    }

    fn check(&self, name: &str, generation: i32) -> Result<&Member, Code> {
        let member = self.members.get(name).ok_or(Code::UnknownMemberId)?;
        match generation == self.generation {
            true => Ok(member),
            false => Err(Code::IllegalGeneration),
        }
    }

    /// A member goes.
    pub(super) fn leave(&mut self, name: &str, now: Instant) -> Result<(), Code> {
        self.members.remove(name).ok_or(Code::UnknownMemberId)?;
        self.after_loss(now);
        self.pass_time(now);
        Ok(())
    }

    /// Lets go of members that are silent, and ends the joining when it is over.
    pub(super) fn pass_time(&mut self, now: Instant) {
        let joining = matches!(self.phase, Phase::Joining { .. });
        let before = self.members.len();
        // Who has joined waits for an answer and cannot be heard.
        self.members.retain(|_, m| (joining && m.joined) || now < m.heard + m.session);
        if self.members.len() < before {
            self.after_loss(now);
        }
        let Phase::Joining { from, until } = self.phase else { return };
        let all = self.members.values().all(|member| member.joined);
        if (all && now >= from) || now >= until {
            self.members.retain(|_, member| member.joined);
            self.complete(now);
        }
    }

    fn after_loss(&mut self, now: Instant) {
        match self.members.is_empty() {
            true => self.phase = Phase::Empty,
            false => self.begin_joining(now),
        }
    }

    fn begin_joining(&mut self, now: Instant) {
        let longest = self.members.values().map(|m| m.rebalance).max().unwrap_or(SESSION_MIN);
        let from = match self.phase {
            Phase::Joining { .. } => return,
            Phase::Empty => now + COMPANY_WAIT,
            Phase::Syncing | Phase::Stable => now,
        };
        self.phase = Phase::Joining { from, until: from + longest };
        self.members.values_mut().for_each(|member| member.joined = false);
    }

    fn complete(&mut self, now: Instant) {
        let Some((first, _)) = self.members.first_key_value() else {
            self.phase = Phase::Empty;
            return;
        };
        if !self.members.contains_key(&self.leader) {
            self.leader = first.clone();
        }
        let all: Vec<&Member> = self.members.values().collect();
        let of_leader = &self.members[&self.leader].protocols;
        self.protocol = first_common(of_leader, &all).unwrap_or_default();
        self.generation += 1;
        self.phase = Phase::Syncing;
        for member in self.members.values_mut() {
            (member.heard, member.assignment) = (now, vec![]);
        }
    }
}

/// The first of the protocols that all members know.
fn first_common(protocols: &Protocols, members: &[&Member]) -> Option<String> {
    let known = |name: &String, m: &Member| m.protocols.iter().any(|(other, _)| other == name);
    protocols
        .iter()
        .map(|(name, _)| name)
        .find(|name| members.iter().all(|m| known(name, m)))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn joining(member: &str) -> Joining {
        Joining {
            member: member.to_owned(),
            session: 10 * SECOND,
            rebalance: 60 * SECOND,
            protocol_type: "consumer".to_owned(),
            protocols: vec![
                ("range".to_owned(), member.as_bytes().to_vec()),
                ("roundrobin".to_owned(), vec![]),
            ],
        }
    }

    /// A stable group of `a` (the leader) and `b`, and the time.
    fn stable() -> (Group, Instant) {
        let (mut group, now) = (Group::new(), Instant::now());
        group.join(joining("a"), now).unwrap();
        group.join(joining("b"), now).unwrap();
        assert_eq!(group.joined("a"), None);
        let now = now + COMPANY_WAIT;
        group.pass_time(now);
        let shares = vec![("a".to_owned(), b"0".to_vec()), ("b".to_owned(), b"1".to_vec())];
        group.sync("b", 1, vec![], now).unwrap();
        assert_eq!(group.assigned("b", 1), None);
        group.sync("a", 1, shares, now).unwrap();
        (group, now)
    }

    #[test]
    fn members_join_and_the_leader_shares_out() {
        let (group, _) = stable();
        let leader = group.joined("a").unwrap().unwrap();
        assert_eq!((leader.generation, leader.protocol.as_str()), (1, "range"));
        assert_eq!(leader.members, [("a".into(), b"a".to_vec()), ("b".into(), b"b".to_vec())]);
        assert_eq!(group.joined("b").unwrap().unwrap().members, []);
        assert_eq!(group.assigned("a", 1), Some(Ok(b"0".to_vec())));
        assert_eq!(group.assigned("b", 1), Some(Ok(b"1".to_vec())));
    }

    #[test]
    fn a_silent_member_is_let_go_and_the_others_join_again() {
        let (mut group, now) = stable();
        let later = now + 6 * SECOND;
        assert_eq!(group.heartbeat("a", 1, later), Ok(()));
        let later = now + 11 * SECOND;
        assert_eq!(group.heartbeat("a", 1, later), Err(Code::RebalanceInProgress));
        assert_eq!(group.heartbeat("b", 1, later), Err(Code::UnknownMemberId));
        group.join(joining("a"), later).unwrap();
        let joined = group.joined("a").unwrap().unwrap();
        assert_eq!((joined.generation, joined.members.len()), (2, 1));
        assert_eq!(group.may_commit("a", 1), Err(Code::IllegalGeneration));
        assert_eq!(group.may_commit("a", 2), Ok(()));
    }

    #[test]
    fn a_new_member_waits_for_the_others_no_longer_than_they_may_take() {
        let (mut group, now) = stable();
        group.join(joining("c"), now).unwrap();
        assert_eq!(group.joined("c"), None);
        assert_eq!(group.heartbeat("b", 1, now), Err(Code::RebalanceInProgress));
        group.join(joining("b"), now).unwrap();
        // The leader is heard and does not come.
        for at in (0..60).step_by(5) {
            let _ = group.heartbeat("a", 1, now + at * SECOND);
        }
        assert_eq!(group.joined("c"), None);
        group.pass_time(now + 60 * SECOND);
        let joined = group.joined("b").unwrap().unwrap();
        assert_eq!((joined.leader.as_str(), joined.members.len()), ("b", 2));
        assert_eq!(group.joined("a"), Some(Err(Code::UnknownMemberId)));
    }

    #[test]
    fn who_leaves_makes_room_at_once() {
        let (mut group, now) = stable();
        group.leave("a", now).unwrap();
        assert_eq!(group.leave("a", now), Err(Code::UnknownMemberId));
        group.join(joining("b"), now).unwrap();
        assert_eq!(group.joined("b").unwrap().unwrap().leader, "b");
        group.leave("b", now).unwrap();
        assert!(group.is_empty());
    }

    #[test]
    fn members_have_a_protocol_in_common() {
        let (mut group, now) = stable();
        let mut other = joining("c");
        other.protocols = vec![("sticky".to_owned(), vec![])];
        assert_eq!(group.join(other, now), Err(Code::InconsistentGroupProtocol));
        let mut other = joining("c");
        other.protocol_type = "connect".to_owned();
        assert_eq!(group.join(other, now), Err(Code::InconsistentGroupProtocol));
        let mut other = joining("c");
        other.protocols.remove(0);
        group.join(other, now).unwrap();
        group.join(joining("a"), now).unwrap();
        group.join(joining("b"), now).unwrap();
        assert_eq!(group.joined("c").unwrap().unwrap().protocol, "roundrobin");
    }
}
