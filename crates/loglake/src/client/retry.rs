//! When a request is sent again, and how long after.

use std::time::Duration;

use reqwest::StatusCode;

use super::error::{ClientError, Refusal};

const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A lake that has not taken the request after all these waits is taken for gone.
const WAITS_TOGETHER_MAX: Duration = Duration::from_secs(300);

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// It certainly was not done, and the lake asks to slow down or nobody listens.
    NotDone { error: ClientError, retry_after: Option<Duration> },
    /// It may have been done.
    Unknown(ClientError),
    /// It will never be done.
    Final(ClientError),
}

impl Fault {
    pub(super) fn of_connection(error: reqwest::Error) -> Self {
        if error.is_connect() {
            Self::NotDone { error: ClientError::Connection(error), retry_after: None }
        } else if error.is_builder() {
            Self::Final(ClientError::Connection(error))
        } else {
            Self::Unknown(ClientError::Connection(error))
        }
    }

    pub(super) fn of_status(
        status: StatusCode,
        retry_after: Option<Duration>,
        refusal: Refusal,
    ) -> Self {
        let error = ClientError::Refused(refusal);
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Self::NotDone { error, retry_after }
            }
            // Of proxies, and of a lake that failed midway.
            status if status.is_server_error() => Self::Unknown(error),
            _ => Self::Final(error),
        }
    }

    pub(super) fn into_error(self) -> ClientError {
        match self {
            Self::NotDone { error, .. } | Self::Unknown(error) | Self::Final(error) => error,
        }
    }
}

/// The waits of one request: as long as the lake asks for, else doubling from 100 ms to 10 s; at
/// most five minutes together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    waits: u32,
    together: Duration,
}

impl Backoff {
    /// How long to wait before the next attempt; `None` to give up.
    pub(super) fn next(&mut self, fault: &Fault) -> Option<Duration> {
        let asked = match fault {
            Fault::Final(_) => return None,
            Fault::NotDone { retry_after, .. } => *retry_after,
            Fault::Unknown(_) => None,
        };
        let doubled = WAIT_FIRST.saturating_mul(2_u32.saturating_pow(self.waits)).min(WAIT_MAX);
        // "0" means soon, not in a busy loop.
        let wait = asked.map_or(doubled, |asked| asked.max(WAIT_FIRST));
        self.waits += 1;
        self.together = self.together.saturating_add(wait);
        (self.together <= WAITS_TOGETHER_MAX).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, retry_after_seconds: Option<u64>) -> Fault {
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal::of_answer(status, "");
        Fault::of_status(status, retry_after_seconds.map(Duration::from_secs), refusal)
    }

    #[test]
    fn waits_double_up_to_a_bound_and_end() {
        let mut backoff = Backoff::default();
        let busy = fault(503, None);
        let waits: Vec<Duration> = std::iter::from_fn(|| backoff.next(&busy)).collect();
        assert_eq!(waits[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(waits.last(), Some(&WAIT_MAX));
        assert!(waits.iter().sum::<Duration>() <= WAITS_TOGETHER_MAX);
        assert!(waits.len() > 20);
    }

    #[test]
    fn the_lake_says_how_long() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(&fault(429, Some(7))), Some(Duration::from_secs(7)));
        assert_eq!(backoff.next(&fault(429, Some(0))), Some(WAIT_FIRST));
        assert_eq!(backoff.next(&fault(429, Some(1_000))), None);
    }

    #[test]
    fn what_will_never_be_done_is_not_sent_again() {
        for status in [400, 401, 403, 404, 413] {
            assert_eq!(Backoff::default().next(&fault(status, None)), None);
        }
        assert!(matches!(fault(502, None), Fault::Unknown(_)));
        assert!(matches!(fault(429, None), Fault::NotDone { .. }));
    }
}
