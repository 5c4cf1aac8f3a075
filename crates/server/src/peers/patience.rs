//! Whom not to ask for a while: members that did not answer lately. Plain state; time comes in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Patience {
    /// By address: until when it is left alone, and for how long that is.
    paused: HashMap<String, (Instant, Duration)>,
}

impl Patience {
    pub(super) fn may_ask(&self, address: &str, now: Instant) -> bool {
        self.paused.get(address).is_none_or(|(until, _)| *until <= now)
    }

    /// Failures of questions that were on their way at the same time count once.
    pub(super) fn failed(&mut self, address: &str, now: Instant) {
        let pause = match self.paused.get(address) {
            Some((until, _)) if *until > now => return,
            Some((_, last)) => (*last * 2).min(PAUSE_MAX),
            None => FIRST_PAUSE,
        };
        self.paused.insert(address.to_owned(), (now + pause, pause));
    }

    pub(super) fn answered(&mut self, address: &str) {
        self.paused.remove(address);
    }

    /// Forgets members that are gone.
    pub(super) fn keep(&mut self, is_member: impl Fn(&str) -> bool) {
        self.paused.retain(|address, _| is_member(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_member_is_left_alone_for_longer_each_time_until_it_answers() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(patience.may_ask("a", at(0)));
        patience.failed("a", at(0));
        patience.failed("a", at(0));
        assert!(!patience.may_ask("a", at(0)) && patience.may_ask("b", at(0)));
        assert!(patience.may_ask("a", at(1)));
        patience.failed("a", at(1));
        assert!(!patience.may_ask("a", at(2)) && patience.may_ask("a", at(3)));
        let mut now = 3;
        for _ in 0..10 {
            patience.failed("a", at(now));
            now += 30;
        }
        assert!(patience.may_ask("a", at(now)), "at most half a minute");
        patience.answered("a");
        patience.failed("a", at(now));
        assert!(patience.may_ask("a", at(now + 1)));
        patience.failed("a", at(now + 1));
        patience.keep(|address| address != "a");
        assert!(patience.may_ask("a", at(now + 1)));
    }
}
