//! Follows all keys of the lake: a listing, then the changes after it.
//!
//! After any break the listing is made anew rather than the changes resumed: the keys are few, and
//! only a listing shows that etcd has lost its history (a watch from a revision that a new etcd has
//! yet to reach would stay silent) or compacted it.

use std::sync::Arc;

use etcd_client::{Event, EventType, GetOptions, KeyValue, WatchOptions};
use tokio::time::{Instant, sleep, sleep_until};

use super::directory::{Change, Listing};
use super::keys::{Keys, Place};
use super::{Failure, RETRY_FIRST, RETRY_MOST, Shared};
use crate::Member;
use crate::backoff::Backoff;

pub(super) async fn run(shared: Arc<Shared>) {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
    loop {
        let end = follow(&shared, &mut backoff).await;
        let wait = backoff.failed();
        match end {
            Ok(reason) => tracing::debug!(reason, ?wait, "etcd ended the watch"),
            Err(reason) => tracing::debug!(?reason, ?wait, "etcd is away"),
        }
        sleep(wait).await;
    }
}

/// Until the watch ends, and why it did.
async fn follow(shared: &Shared, backoff: &mut Backoff) -> Result<String, Failure> {
    list(shared).await?;
    let next = shared.directory.lock().revision() + 1;
    let options = WatchOptions::new().with_prefix().with_start_revision(next);
    let mut etcd = shared.client.clone();
    let mut changes = shared.attempt(etcd.watch(shared.keys.root(), Some(options))).await?;
    loop {
        let grace_ends = shared.update(|directory| directory.forget(Instant::now()));
        let answer = tokio::select! {
            answer = changes.message() => answer?,
            () = sleep_until(grace_ends.unwrap_or_else(Instant::now)), if grace_ends.is_some() => {
                continue;
            }
        };
        let Some(answer) = answer else {
            return Ok("the stream has ended".to_owned());
        };
        if answer.canceled() {
            let compacted = answer.compact_revision();
            return Ok(format!("{} (compacted up to {compacted})", answer.cancel_reason()));
        }
        backoff.succeeded();
        take(shared, answer.events(), answer.header().map_or(0, |header| header.revision()));
    }
}

async fn list(shared: &Shared) -> Result<(), Failure> {
    let mut etcd = shared.client.clone();
    let options = GetOptions::new().with_prefix();
    let answer = shared.attempt(etcd.get(shared.keys.root(), Some(options))).await?;
    let Some(header) = answer.header() else {
        return Err(Failure::Away("an answer without a header".to_owned()));
    };
    let (cluster, revision) = (header.cluster_id(), header.revision());
    let mut listing = Listing { cluster, revision, ..Listing::default() };
    for key in answer.kvs() {
        match put(&shared.keys, key) {
            Some(Change::MemberCame(member)) => listing.members.push(member),
            Some(Change::DutyTaken { name, created }) => listing.duties.push((name, created)),
            _ => {}
        }
    }
    let grace = shared.settings.lease;
    let missing = shared.update(|directory| {
        directory.relist(listing, Instant::now(), grace);
        directory.own_is_missing()
    });
    if missing {
        shared.own_key_missing.notify_one();
    }
    Ok(())
}

fn take(shared: &Shared, events: &[Event], revision: i64) {
    let changes: Vec<Change> = events.iter().filter_map(|e| change(&shared.keys, e)).collect();
    let somebody_went = changes.iter().any(|change| matches!(change, Change::MemberWent(_)));
    let missing = shared.update(|directory| {
        directory.apply(changes, revision);
        somebody_went && directory.own_is_missing()
    });
    if missing {
        shared.own_key_missing.notify_one();
    }
}

fn change(keys: &Keys, event: &Event) -> Option<Change> {
    let key = event.kv()?;
    match event.event_type() {
        EventType::Put => put(keys, key),
        EventType::Delete => match keys.place(key.key())? {
            Place::Member(id) => Some(Change::MemberWent(id.to_owned())),
            Place::Duty(name) => Some(Change::DutyFree(name.to_owned())),
        },
    }
}

/// What a key says that is there. A member that cannot be read (written by another version) is
/// passed over: it is not addressed, and loses nothing by it.
fn put(keys: &Keys, key: &KeyValue) -> Option<Change> {
    match keys.place(key.key())? {
        Place::Member(id) => match serde_json::from_slice::<Member>(key.value()) {
            Ok(member) if member.id == id => Some(Change::MemberCame(member)),
            Ok(member) => {
                tracing::warn!(id, says = member.id, "a member under another's key");
                None
            }
            Err(error) => {
                tracing::warn!(id, %error, "a member that cannot be read");
                None
            }
        },
        Place::Duty(name) => {
            Some(Change::DutyTaken { name: name.to_owned(), created: key.create_revision() })
        }
    }
}
