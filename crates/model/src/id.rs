//! Names and ids. Each is checked where it enters and trusted from there on.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A name that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} name {name:?} {problem}")]
pub struct InvalidName {
    what: &'static str,
    name: String,
    problem: &'static str,
}

const NAME_BYTES_MAX: usize = 128;

/// Names become folders of the bucket and identifiers of SQL: ASCII letters, digits, `_`, `-` and
/// `.`, beginning with a letter or digit, at most 128 bytes, without `..`.
fn check_name(what: &'static str, name: &str) -> Result<(), InvalidName> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "is longer than 128 bytes"
    } else if !name.as_bytes()[0].is_ascii_alphanumeric() {
        "does not begin with a letter or digit"
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
        "holds a character other than ASCII letters, digits, '_', '-' and '.'"
    } else if name.contains("..") {
        "holds '..'"
    } else {
        return Ok(());
    };
    Err(InvalidName { what, name: name.chars().take(NAME_BYTES_MAX).collect(), problem })
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// # Errors
            /// [`InvalidName`] when the name cannot be a folder of the bucket.
            pub fn new(name: &str) -> Result<Self, InvalidName> {
                check_name($what, name)?;
                Ok(Self(name.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

checked_name!(
    /// A namespace with its own tables.
    TenantName,
    "tenant"
);
checked_name!(
    /// Where records go: one Delta table each.
    TableName,
    "table"
);

impl TenantName {
    /// The tenant of a request that names none: `default`.
    pub fn unnamed() -> Self {
        Self("default".into())
    }
}

impl TableName {
    /// The table of a request that names none: `logs`.
    pub fn unnamed() -> Self {
        Self("logs".into())
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(id: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(id).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A table's Delta id: never reused, also when a table of the same name is made again.
    TableId
);
uuid_id!(
    /// One life of an ingester, from its start to its end or fencing. A version 7 UUID (RFC 9562),
    /// so ids sort by start time.
    WriterId
);

/// The number of a segment in its writer's log; the first is 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SegmentSeq(pub u64);

impl SegmentSeq {
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for SegmentSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_folder_are_refused() {
        for bad in
            ["", "..", "a/b", "../a", "a..b", "_wal", ".hidden", "ä", "a b", &"x".repeat(129)]
        {
            assert!(TableName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["logs", "a", "nginx-access.2026", "0", "A_b"] {
            assert_eq!(TableName::new(good).map(String::from), Ok(good.to_owned()));
        }
    }
}
