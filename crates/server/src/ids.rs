//! Ids for documents that come without one, in Elasticsearch's form: 15 bytes as 20 characters of
//! URL-safe Base64.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use loglake_ingest::RequestKey;
use loglake_model::{Timestamp, WriterId};

/// Hands out ids that no other process and no earlier start of this one hands out: 7 random bytes
/// of the process's writer id, then a count that begins at the time of the start.
#[derive(Debug)]
pub(crate) struct DocumentIds {
    process: [u8; 7],
    next: AtomicU64,
}

impl DocumentIds {
    /// `writer`: this process's; one that does not ingest makes no ids.
    pub(crate) fn new(writer: Option<WriterId>, start: Timestamp) -> Self {
        let mut process = [0; 7];
        if let Some(writer) = writer {
            // The last 7 bytes of a version 7 UUID are random (RFC 9562, 5.7).
            process.copy_from_slice(&writer.as_uuid().as_bytes()[9..]);
        }
        Self { process, next: AtomicU64::new(start.as_nanos() as u64) }
    }

    /// Ids for a request with an idempotency key: the same for each repeat of it.
    pub(crate) fn of_request(key: &RequestKey) -> Self {
        let (mut process, mut start) = ([0; 7], [0; 8]);
        process.copy_from_slice(&key.hash()[..7]);
        start.copy_from_slice(&key.hash()[7..15]);
        Self { process, next: AtomicU64::new(u64::from_be_bytes(start)) }
    }

    pub(crate) fn next(&self) -> String {
        let mut id = [0; 15];
        id[..8].copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        id[8..].copy_from_slice(&self.process);
        BASE64_URL_SAFE_NO_PAD.encode(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_twenty_characters_and_differ() {
        let writer: WriterId = "0197a3c0-1111-7abc-8def-0123456789ab".parse().unwrap();
        let ids = DocumentIds::new(Some(writer), Timestamp::from_nanos(1_800_000_000_000_000_000));
        let (first, second) = (ids.next(), ids.next());
        assert_eq!(first.len(), 20);
        assert_ne!(first, second);
        let other: WriterId = "0197a3c0-1111-7abc-8def-0123456789ac".parse().unwrap();
        let start = Timestamp::from_nanos(1_800_000_000_000_000_000);
        assert_ne!(DocumentIds::new(Some(other), start).next(), first);
    }
}
