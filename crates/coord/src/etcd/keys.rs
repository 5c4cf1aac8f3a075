//! Where things lie in etcd: `<prefix>/members/<id>` and `<prefix>/duties/<name>`.

use crate::CoordError;

#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// `<prefix>/`
    root: String,
}

/// What a key is of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// By member id.
    Member(&'a str),
    /// By name.
    Duty(&'a str),
}

const MEMBERS: &str = "members/";
const DUTIES: &str = "duties/";

impl Keys {
    /// # Errors
    /// [`CoordError::Settings`] for an empty prefix: it would own every key of the etcd.
    pub(super) fn new(prefix: &str) -> Result<Self, CoordError> {
        let prefix = prefix.trim_end_matches('/');
        if prefix.is_empty() {
            return Err(CoordError::Settings("the prefix of keys in etcd is empty".to_owned()));
        }
        Ok(Self { root: format!("{prefix}/") })
    }

    /// The prefix of all keys of this lake.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn member(&self, id: &str) -> String {
        format!("{}{MEMBERS}{id}", self.root)
    }

    pub(super) fn duty(&self, name: &str) -> String {
        format!("{}{DUTIES}{name}", self.root)
    }

    /// `None` for a key that is not ours, or of a newer version.
    pub(super) fn place<'a>(&self, key: &'a [u8]) -> Option<Place<'a>> {
        let key = std::str::from_utf8(key).ok()?.strip_prefix(self.root.as_str())?;
        if let Some(id) = key.strip_prefix(MEMBERS) {
            return Some(Place::Member(id));
        }
        key.strip_prefix(DUTIES).map(Place::Duty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_what_it_is_of() {
        let keys = Keys::new("/lakes/one/").unwrap();
        assert_eq!(keys.member("a"), "/lakes/one/members/a");
        assert_eq!(keys.place(keys.member("a").as_bytes()), Some(Place::Member("a")));
        let duty = keys.duty("compact/default/logs");
        assert_eq!(keys.place(duty.as_bytes()), Some(Place::Duty("compact/default/logs")));
        for foreign in ["/lakes/one1/members/a", "/lakes/one/other/a", "members/a", ""] {
            assert_eq!(keys.place(foreign.as_bytes()), None, "{foreign}");
        }
        assert_eq!(keys.place(b"/lakes/one/members/\xff"), None);
        assert!(Keys::new("//").is_err());
    }
}
