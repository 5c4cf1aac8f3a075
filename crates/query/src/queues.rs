//! What the consumers of other systems' queues in this process say of themselves, for the system view
//! `lake.kafka`. Whoever consumes implements [`Queues`].

/// A part of a queue that this process consumes, or is to consume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueuePart {
    /// As the tables count it: `kafka/<cluster>/<topic>/<partition>`.
    pub queue: String,
    pub table: Option<String>,
    pub state: String,
    pub writer: Option<String>,
    /// Everything before it is durable.
    pub next: Option<u64>,
    /// The offset after the last one.
    pub end: Option<u64>,
    pub buffered_bytes: u64,
    pub records: u64,
    pub records_per_second: f64,
    pub dead_letters: u64,
    pub missed: u64,
    pub error: Option<String>,
}

pub trait Queues: Send + Sync {
    fn parts(&self) -> Vec<QueuePart>;
}

/// Nothing is consumed.
#[derive(Clone, Copy, Debug)]
pub struct NoQueues;

impl Queues for NoQueues {
    fn parts(&self) -> Vec<QueuePart> {
        vec![]
    }
}
