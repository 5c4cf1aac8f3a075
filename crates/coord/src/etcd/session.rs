//! The lease of this process and the member's key under it.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{LeaseKeepAliveStream, LeaseKeeper, PutOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::lease::{LeaseClock, Step};
use super::{Failure, NO_LEASE, RETRY_FIRST, RETRY_MOST, Shared};
use crate::Member;
use crate::backoff::Backoff;

/// What the owner of this process wants.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// A lease, and under it the member if there is one.
    Open(Option<Member>),
    /// Neither.
    Left,
}

/// What there is.
#[derive(Clone, Debug)]
pub(super) enum Session {
    /// No lease that is known to be alive.
    Away,
    Held {
        lease: i64,
        published: Option<Member>,
    },
    /// Ended by the owner; whether etcd was told so.
    Left {
        told: Result<(), String>,
    },
}

impl Session {
    pub(super) const fn lease(&self) -> Option<i64> {
        match self {
            Self::Held { lease, .. } => Some(*lease),
            Self::Away | Self::Left { .. } => None,
        }
    }

    pub(super) const fn published(&self) -> Option<&Member> {
        match self {
            Self::Held { published, .. } => published.as_ref(),
            Self::Away | Self::Left { .. } => None,
        }
    }
}

/// How holding a lease ended.
enum End {
    Lost,
    Left,
}

/// Holds one lease after the other, as long as one is wanted.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut wanted = shared.wanted.subscribe();
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
    let mut lost: Option<i64> = None;
    loop {
        if matches!(*wanted.borrow_and_update(), Wanted::Left) {
            let left = leave(&shared, None).await;
            shared.session.send_replace(left);
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        }
        shared.session.send_replace(Session::Away);
        let mut hold = match Hold::begin(&shared, lost).await {
            Ok(hold) => hold,
            Err(reason) => {
                let wait = backoff.failed();
                tracing::debug!(?reason, ?wait, "etcd gives no lease");
                tokio::select! {
                    () = sleep(wait) => {}
                    // Leaving need not wait for etcd.
                    _ = wanted.changed() => {}
                }
                continue;
            }
        };
        backoff.succeeded();
        let lease = hold.lease;
        match hold.run(&mut wanted).await {
            End::Lost => {
                tracing::warn!(lease = format!("{lease:x}"), "the lease in etcd is lost");
                lost = Some(lease);
            }
            End::Left => {
                // The holders of duties learn it before others can win them.
                shared.session.send_replace(Session::Away);
                let left = leave(&shared, Some(lease)).await;
                shared.session.send_replace(left);
                lost = None;
                if wanted.has_changed().is_err() {
                    return;
                }
                // A registration meanwhile is seen at the head of the loop.
                if matches!(*wanted.borrow(), Wanted::Left) && wanted.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn leave(shared: &Shared, lease: Option<i64>) -> Session {
    let told = match lease {
        None => Ok(()),
        Some(lease) => {
            let revoked = shared.insist("end the lease", move |mut etcd| async move {
                match etcd.lease_revoke(lease).await {
                    Err(e) if e.to_string().contains(NO_LEASE) => Ok(()),
                    other => other.map(drop),
                }
            });
            revoked.await.map_err(|e| e.to_string())
        }
    };
    Session::Left { told }
}

/// One lease, from its grant to its end.
struct Hold<'a> {
    shared: &'a Shared,
    lease: i64,
    ttl: Duration,
    clock: LeaseClock,
    stream: Option<(LeaseKeeper, LeaseKeepAliveStream)>,
    published: Option<Member>,
    publish_at: Instant,
    publish_backoff: Backoff,
    /// The lease before this one: given up here, maybe alive in etcd.
    before: Option<i64>,
}

impl<'a> Hold<'a> {
    async fn begin(shared: &'a Shared, before: Option<i64>) -> Result<Self, Failure> {
        let sent = Instant::now();
        let seconds = shared.settings.lease.as_secs_f64().ceil().max(1.0) as i64;
        let mut etcd = shared.client.clone();
        let granted = shared.attempt(etcd.lease_grant(seconds, None)).await?;
        let ttl = Duration::from_secs(granted.ttl().max(1).unsigned_abs());
        let lease = granted.id();
        tracing::info!(lease = format!("{lease:x}"), ?ttl, "etcd granted a lease");
        shared.session.send_replace(Session::Held { lease, published: None });
        Ok(Self {
            shared,
            lease,
            ttl,
            clock: LeaseClock::granted(sent, ttl),
            stream: None,
            published: None,
            publish_at: sent,
            publish_backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
            before,
        })
    }

    async fn run(&mut self, wanted: &mut watch::Receiver<Wanted>) -> End {
        loop {
            let now = Instant::now();
            let mut wake = match self.clock.step(now) {
                Step::Lost => return End::Lost,
                Step::KeepAlive => {
                    self.keep_alive().await;
                    continue;
                }
                Step::Wait(until) => until,
            };
            let member = match &*wanted.borrow_and_update() {
                Wanted::Left => return End::Left,
                Wanted::Open(member) => member.clone(),
            };
            if member == self.published {
                self.give_up_before().await;
            } else if now >= self.publish_at {
                self.publish(member).await;
                continue;
            } else {
                wake = wake.min(self.publish_at);
            }
            tokio::select! {
                () = sleep_until(wake) => {}
                changed = wanted.changed() => if changed.is_err() { return End::Left },
                () = self.shared.own_key_missing.notified() => self.published = None,
            }
        }
    }

    async fn keep_alive(&mut self) {
        let sent = Instant::now();
        match self
            .shared
            .attempt(Self::exchange(&self.shared.client, self.lease, self.ttl, &mut self.stream))
            .await
        {
            Ok(left) => self.clock.answered(sent, left),
            Err(Failure::NoLease) => self.clock.answered(sent, Duration::ZERO),
            Err(Failure::Away(reason)) => {
                tracing::debug!(reason, "etcd does not keep the lease alive");
                // A late answer must not be taken for the answer to the next request.
                self.stream = None;
                self.clock.failed(Instant::now());
            }
        }
    }

    /// One keep-alive request and its answer: what is left of the lease.
    async fn exchange(
        client: &etcd_client::Client,
        lease: i64,
        ttl: Duration,
        stream: &mut Option<(LeaseKeeper, LeaseKeepAliveStream)>,
    ) -> Result<Duration, etcd_client::Error> {
        let Some((keeper, answers)) = stream else {
            // Opening sends a first request and takes its answer.
            *stream = Some(client.clone().lease_keep_alive(lease).await?);
            return Ok(ttl);
        };
        keeper.keep_alive().await?;
        match answers.message().await? {
            Some(answer) => Ok(Duration::from_secs(answer.ttl().max(0).unsigned_abs())),
            None => Err(etcd_client::Error::LeaseKeepAliveError("the stream has ended".to_owned())),
        }
    }

    async fn publish(&mut self, member: Option<Member>) {
        let Some(member) = member else {
            self.published = None;
            return;
        };
        let json = match serde_json::to_vec(&member) {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(id = member.id, %error, "a member that is no JSON");
                self.publish_at = Instant::now() + RETRY_MOST;
                return;
            }
        };
        let key = self.shared.keys.member(&member.id);
        let options = PutOptions::new().with_lease(self.lease);
        let sent = Instant::now();
        let mut etcd = self.shared.client.clone();
        match self.shared.attempt(etcd.put(key, json, Some(options))).await {
            Ok(_) => {
                self.publish_backoff.succeeded();
                self.published = Some(member);
                let (lease, published) = (self.lease, self.published.clone());
                self.shared.session.send_replace(Session::Held { lease, published });
            }
            Err(Failure::NoLease) => self.clock.answered(sent, Duration::ZERO),
            Err(Failure::Away(reason)) => {
                tracing::debug!(reason, "etcd does not take the member in");
                self.publish_at = Instant::now() + self.publish_backoff.failed();
            }
        }
    }

    /// Frees the duties that hang on the lease before this one, once the member's key does not any
    /// more. When it fails they are free when that lease ends.
    async fn give_up_before(&mut self) {
        if let Some(before) = self.before.take() {
            let mut etcd = self.shared.client.clone();
            if let Err(reason) = self.shared.attempt(etcd.lease_revoke(before)).await {
                tracing::debug!(?reason, "the lease before this one ends by itself");
            }
        }
    }
}
