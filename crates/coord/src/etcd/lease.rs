//! When to keep a lease alive and when to give it up for lost: a state machine over instants.
//!
//! Time counts from when a request was sent, not from when its answer came, so this process gives
//! its lease up no later than etcd does.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// What to do about the lease now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    KeepAlive,
    /// Nothing until then.
    Wait(Instant),
    /// It is over, or cannot be told from over.
    Lost,
}

#[derive(Debug)]
pub(super) struct LeaseClock {
    ttl: Duration,
    ends: Instant,
    next: Instant,
    backoff: Backoff,
}

/// The first wait after a failed keep-alive.
const RETRY_FIRST: Duration = Duration::from_millis(100);

impl LeaseClock {
    /// A lease granted for `ttl` by an answer to a request sent at `sent`.
    pub(super) fn granted(sent: Instant, ttl: Duration) -> Self {
        let backoff = Backoff::new(RETRY_FIRST, ttl / 3);
        Self { ttl, ends: sent + ttl, next: sent + ttl / 3, backoff }
    }

    pub(super) fn step(&self, now: Instant) -> Step {
        if now >= self.ends {
            Step::Lost
        } else if now >= self.next {
            Step::KeepAlive
        } else {
            Step::Wait(self.next.min(self.ends))
        }
    }

    /// etcd answered a keep-alive sent at `sent` with what is left; nothing: there is no such lease.
    pub(super) fn answered(&mut self, sent: Instant, left: Duration) {
        if left.is_zero() {
            self.ends = sent;
            return;
        }
        self.ttl = left;
        self.ends = self.ends.max(sent + left);
        self.next = sent + left / 3;
        self.backoff.succeeded();
    }

    /// No answer came: once more soon.
    pub(super) fn failed(&mut self, now: Instant) {
        self.next = now + self.backoff.failed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(9);

    #[test]
    fn a_lease_is_kept_alive_three_times_in_its_life() {
        let t = Instant::now();
        let mut lease = LeaseClock::granted(t, TTL);
        assert_eq!(lease.step(t), Step::Wait(t + TTL / 3));
        let sent = t + TTL / 3;
        assert_eq!(lease.step(sent), Step::KeepAlive);
        lease.answered(sent, TTL);
        assert_eq!(lease.step(sent), Step::Wait(sent + TTL / 3));
        assert_eq!(lease.step(sent + TTL), Step::Lost);
    }

    #[test]
    fn without_an_answer_a_lease_is_lost_at_its_end_after_a_few_tries() {
        let t = Instant::now();
        let mut lease = LeaseClock::granted(t, TTL);
        let (mut now, mut tries) = (t, 0);
        loop {
            match lease.step(now) {
                Step::Wait(until) => now = until,
                Step::KeepAlive => {
                    tries += 1;
                    lease.failed(now);
                }
                Step::Lost => break,
            }
        }
        assert!(now >= t + TTL && now < t + TTL + TTL / 3, "{:?}", now - t);
        assert!((3..20).contains(&tries), "{tries} tries");
    }

    #[test]
    fn a_lease_that_etcd_does_not_know_is_lost_at_once() {
        let t = Instant::now();
        let mut lease = LeaseClock::granted(t, TTL);
        let sent = t + TTL / 3;
        lease.answered(sent, Duration::ZERO);
        assert_eq!(lease.step(sent), Step::Lost);
    }
}
