//! When buffered rows become files, and how much may wait.

use std::time::Duration;

use loglake_format::EncoderSettings;
use loglake_wal::WalSettings;

#[derive(Clone, Debug)]
pub struct IngestSettings {
    /// A table is flushed when its buffered rows take this many bytes of memory. Larger makes larger
    /// files and needs more memory.
    pub flush_bytes: usize,
    /// A table is flushed when its oldest buffered row is this old. The rows are durable and
    /// queryable all the while; a shorter age makes more and smaller files.
    pub flush_age: Duration,
    /// Bytes of rows, of all tables, that may wait for their flush. Past it senders wait, then are
    /// told to come back later.
    pub buffer_bytes_max: usize,
    /// How long a sender waits for room in the buffer.
    pub buffer_wait_max: Duration,
    /// A writer is replaced at this age, so that none that could still write is ever older than a
    /// day.
    pub writer_age_max: Duration,
    pub wal: WalSettings,
    pub encoder: EncoderSettings,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings() -> IngestSettings {
        IngestSettings {
            flush_bytes: 1 << 20,
            flush_age: Duration::from_secs(600),
            buffer_bytes_max: 64 << 20,
            buffer_wait_max: Duration::from_secs(1),
            writer_age_max: Duration::from_secs(24 * 3600),
            wal: WalSettings::default(),
            encoder: EncoderSettings::default(),
        }
    }
}
