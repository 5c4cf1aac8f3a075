//! What is refused is said: one rejection for each record that is not stored.

use serde::Serialize;

/// A record that was not stored, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// The record's line in the request's body (or its place in a JSON array), from 1.
    pub line: u64,
    /// A lowercase sentence fragment with the facts.
    pub reason: String,
}
