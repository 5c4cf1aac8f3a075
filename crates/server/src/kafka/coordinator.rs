//! The groups of this process, and the requests of their members.
//!
//! Groups are in memory: after a restart their members join again and go on from their committed
//! offsets, which are in a table. All members of a group come to one process.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Kafka;
use super::groups::{Group, Joined, Joining};
use super::protocol::Code;
use super::scram::random;
use super::wire::{Answer, Fields, Malformed};

const GROUPS_MAX: usize = 1_000;
/// Bytes that a member says of itself.
const SAID_BYTES_MAX: usize = 256 << 10;
/// How often somebody who waits looks whether time alone has changed a group.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Groups {
    all: Mutex<HashMap<String, Group>>,
    changed: watch::Sender<()>,
}

impl Default for Groups {
    fn default() -> Self {
        Self { all: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Groups {
    /// Does something with a group that is there.
    fn with<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Group) -> Result<T, Code>,
    ) -> Result<T, Code> {
        let mut all = self.all.lock();
        let done = act(all.get_mut(name).ok_or(Code::UnknownMemberId)?);
        drop(all);
        self.changed.send_replace(());
        done
    }

    fn join(&self, name: &str, joining: Joining) -> Result<(), Code> {
        let mut all = self.all.lock();
        if all.len() >= GROUPS_MAX && !all.contains_key(name) {
            let now = Instant::now();
            all.values_mut().for_each(|group| group.pass_time(now));
            all.retain(|_, group| !group.is_empty());
            if all.len() >= GROUPS_MAX {
                return Err(Code::GroupMaxSizeReached);
            }
        }
        let joined =
            all.entry(name.to_owned()).or_insert_with(Group::new).join(joining, Instant::now());
        drop(all);
        self.changed.send_replace(());
        joined
    }

    fn knows(&self, group: &str, member: &str) -> bool {
        self.all.lock().get(group).is_some_and(|group| group.knows(member))
    }

    /// Whether a member may commit; a consumer without a group's generation always may.
    pub(super) fn may_commit(
        &self,
        group: &str,
        member: &str,
        generation: i32,
    ) -> Result<(), Code> {
        if generation < 0 {
            return Ok(());
        }
        let all = self.all.lock();
        all.get(group).ok_or(Code::UnknownMemberId)?.may_commit(member, generation)
    }

    /// Waits until the group has an answer.
    async fn wait<T>(
        &self,
        name: &str,
        look: impl Fn(&Group) -> Option<Result<T, Code>>,
    ) -> Result<T, Code> {
        let mut changed = self.changed.subscribe();
        loop {
            let found = self.all.lock().get_mut(name).map(|group| {
                group.pass_time(Instant::now());
                look(group)
            });
            match found {
                None => return Err(Code::UnknownMemberId),
                Some(Some(answer)) => return answer,
                Some(None) => drop(timeout(TICK, changed.changed()).await),
            }
        }
    }
}

/// JoinGroup.
pub(super) async fn join(
    kafka: &Kafka,
    waits: &CancellationToken,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    let group = fields.string()?;
    let session = millis(fields.i32()?);
    let rebalance = if version >= 1 { millis(fields.i32()?) } else { session };
    let mut member = fields.string()?.to_owned();
    if version >= 5 {
        fields.nullable_string()?; // static members are members like all others
    }
    let protocol_type = fields.string()?.to_owned();
    let protocols = fields.array(|f| Ok((f.string()?.to_owned(), f.bytes()?.to_vec())))?;
    let said: usize = protocols.iter().map(|(name, said)| name.len() + said.len()).sum();
    let outcome = async {
        if group.is_empty() {
            return Err(Code::InvalidGroupId);
        }
        if said > SAID_BYTES_MAX {
            return Err(Code::MessageTooLarge);
        }
        if member.is_empty() {
            member = new_member()?;
        } else if !kafka.groups.knows(group, &member) {
            return Err(Code::UnknownMemberId);
        }
        let name = member.clone();
        let joining = Joining { member: name, session, rebalance, protocol_type, protocols };
        kafka.groups.join(group, joining)?;
        let joined = kafka.groups.wait(group, |group| group.joined(&member));
        waits.run_until_cancelled(joined).await.unwrap_or(Err(Code::CoordinatorNotAvailable))
    };
    let outcome = outcome.await;
    Ok(joined(version, &member, outcome))
}

fn joined(version: i16, member: &str, outcome: Result<Joined, Code>) -> Answer {
    let (code, joined) = match outcome {
        Ok(joined) => (Code::None, joined),
        Err(code) => {
            let (protocol, leader) = (String::new(), String::new());
            (code, Joined { generation: -1, protocol, leader, members: vec![] })
        }
    };
    let mut answer = Answer::default();
    if version >= 2 {
        answer.i32(0);
    }
    answer.i16(code as i16).i32(joined.generation).string(&joined.protocol);
    answer.string(&joined.leader).string(member);
    answer.array(&joined.members, |answer, (name, said)| {
        answer.string(name);
        if version >= 5 {
            answer.nullable_string(None);
        }
        answer.bytes(said);
    });
    answer
}

fn new_member() -> Result<String, Code> {
    let id: [u8; 16] = random().map_err(|_| Code::UnknownServerError)?;
    Ok(format!("member-{:032x}", u128::from_be_bytes(id)))
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// SyncGroup.
pub(super) async fn sync(
    kafka: &Kafka,
    waits: &CancellationToken,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    let (group, generation, member) = (fields.string()?, fields.i32()?, fields.string()?);
    if version >= 3 {
        fields.nullable_string()?;
    }
    let assignments = fields.array(|f| Ok((f.string()?.to_owned(), f.bytes()?.to_vec())))?;
    let outcome = async {
        let now = Instant::now();
        kafka.groups.with(group, |g| g.sync(member, generation, assignments, now))?;
        let assigned = kafka.groups.wait(group, |g| g.assigned(member, generation));
        waits.run_until_cancelled(assigned).await.unwrap_or(Err(Code::CoordinatorNotAvailable))
    };
    let (code, assignment) = match outcome.await {
        Ok(assignment) => (Code::None, assignment),
        Err(code) => (code, vec![]),
    };
    let mut answer = throttled(version);
    answer.i16(code as i16).bytes(&assignment);
    Ok(answer)
}

/// Heartbeat.
pub(super) fn heartbeat(
    kafka: &Kafka,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    let (group, generation, member) = (fields.string()?, fields.i32()?, fields.string()?);
    let heard = kafka.groups.with(group, |g| g.heartbeat(member, generation, Instant::now()));
    let mut answer = throttled(version);
    answer.i16(code_of(heard) as i16);
    Ok(answer)
}

/// LeaveGroup.
pub(super) fn leave(
    kafka: &Kafka,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    let group = fields.string()?;
    let leave =
        |member: &str| code_of(kafka.groups.with(group, |g| g.leave(member, Instant::now())));
    let mut answer = throttled(version);
    if version < 3 {
        answer.i16(leave(fields.string()?) as i16);
        return Ok(answer);
    }
    let members = fields.array(|f| {
        let member = f.string()?;
        f.nullable_string()?;
        Ok(member)
    })?;
    answer.i16(Code::None as i16).array(members, |answer, member| {
        answer.string(member).nullable_string(None).i16(leave(member) as i16);
    });
    Ok(answer)
}

/// The beginning of an answer that says since version 1 that nobody has to wait.
fn throttled(version: i16) -> Answer {
    let mut answer = Answer::default();
    if version >= 1 {
        answer.i32(0);
    }
    answer
}

fn code_of(outcome: Result<(), Code>) -> Code {
    outcome.err().unwrap_or(Code::None)
}
