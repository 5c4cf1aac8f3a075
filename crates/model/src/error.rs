//! What a caller must do about an error. Each crate's error says its kind; the front doors map
//! kinds to the codes of their protocols in one table.

/// What the caller of a failed operation must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A passing fault: the same call may succeed when it is made again.
    Retry,
    /// A limit is reached: make the same call again later, more slowly.
    Overloaded,
    /// The request itself is wrong: it will never succeed as it is.
    Invalid,
    /// What the request names does not exist.
    NotFound,
    /// The caller may not do this.
    NotAllowed,
    /// The query ran longer than its deadline.
    TimedOut,
    /// This writer has lost its place; another process, or a new writer, takes the call.
    Fenced,
    /// Stored bytes are not what was written.
    Corrupt,
    /// A defect of loglake.
    Internal,
}
