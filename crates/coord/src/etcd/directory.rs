//! What this process knows of the keys in etcd: a state machine over listings and changes.
//!
//! A listing replaces what was known. One exception: an etcd that lost its history (it came back
//! empty, from a backup, or as another cluster) lost the members' leases too, and they need a while
//! to notice and register again. Until then who was known stays known, lest every writer of the
//! lake be taken for dead at once.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::Member;

/// Everything under the prefix, at one revision of one cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    pub(super) cluster: u64,
    pub(super) revision: i64,
    pub(super) members: Vec<Member>,
    /// Names, and the revisions at which their keys were created.
    pub(super) duties: Vec<(String, i64)>,
}

/// One change of a key.
#[derive(Clone, Debug)]
pub(super) enum Change {
    MemberCame(Member),
    MemberWent(String),
    DutyTaken { name: String, created: i64 },
    DutyFree(String),
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    cluster: u64,
    revision: i64,
    members: BTreeMap<String, Known>,
    duties: BTreeMap<String, i64>,
    /// What this process says of itself, whether etcd knows it or not.
    own: Option<Member>,
}

#[derive(Debug)]
struct Known {
    member: Member,
    /// Set when etcd lost it: forgotten then, unless it comes back.
    until: Option<Instant>,
}

impl Directory {
    /// The revision up to which everything is known.
    pub(super) const fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn set_own(&mut self, own: Option<Member>) {
        if let Some(before) = self.own.take() {
            // Of the own entry `own` alone decides.
            self.members.remove(&before.id);
        }
        self.own = own;
    }

    /// Takes a whole listing. Members that etcd lost with its history are kept for `grace`.
    pub(super) fn relist(&mut self, listing: Listing, now: Instant, grace: Duration) {
        let first = self.revision == 0;
        let history_lost =
            !first && (listing.cluster != self.cluster || listing.revision < self.revision);
        let before = std::mem::take(&mut self.members);
        if history_lost {
            self.members = before;
            for known in self.members.values_mut() {
                known.until.get_or_insert(now + grace);
            }
        } else {
            // Still in their grace: etcd has not heard of them since it lost its history.
            self.members = before.into_iter().filter(|(_, known)| known.until.is_some()).collect();
        }
        for member in listing.members {
            self.members.insert(member.id.clone(), Known { member, until: None });
        }
        self.duties = listing.duties.into_iter().collect();
        self.cluster = listing.cluster;
        self.revision = listing.revision;
    }

    /// Takes the changes of one or more revisions, up to and including `revision`.
    pub(super) fn apply(&mut self, changes: Vec<Change>, revision: i64) {
        for change in changes {
            match change {
                Change::MemberCame(member) => {
                    self.members.insert(member.id.clone(), Known { member, until: None });
                }
                Change::MemberWent(id) => {
                    self.members.remove(&id);
                }
                Change::DutyTaken { name, created } => {
                    self.duties.insert(name, created);
                }
                Change::DutyFree(name) => {
                    self.duties.remove(&name);
                }
            }
        }
        self.revision = self.revision.max(revision);
    }

    /// Forgets whose grace is over; tells when to call again.
    pub(super) fn forget(&mut self, now: Instant) -> Option<Instant> {
        self.members.retain(|_, known| known.until.is_none_or(|until| now < until));
        self.members.values().filter_map(|known| known.until).min()
    }

    /// The members, this process included, sorted by id.
    pub(super) fn members(&self) -> Vec<Member> {
        let own = self.own.as_ref();
        let others = self.members.values().map(|known| &known.member);
        let others = others.filter(|member| own.is_none_or(|own| own.id != member.id));
        let mut members: Vec<Member> = others.chain(own).cloned().collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        members
    }

    /// Whether this process is a member that etcd does not list.
    pub(super) fn own_is_missing(&self) -> bool {
        self.own.as_ref().is_some_and(|own| !self.members.contains_key(&own.id))
    }

    /// Whether a duty won at revision `created` is known to be somebody else's or nobody's now.
    pub(super) fn duty_is_lost(&self, name: &str, created: i64) -> bool {
        self.revision >= created && self.duties.get(name) != Some(&created)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn member(id: &str) -> Member {
        Member {
            id: id.to_owned(),
            roles: vec![],
            http: String::new(),
            grpc: String::new(),
            writer: None,
            version: String::new(),
        }
    }

    fn listing(cluster: u64, revision: i64, ids: &[&str]) -> Listing {
        let members = ids.iter().copied().map(member).collect();
        Listing { cluster, revision, members, duties: vec![] }
    }

    fn ids(directory: &Directory) -> Vec<String> {
        directory.members().into_iter().map(|m| m.id).collect()
    }

    #[test]
    fn this_process_is_a_member_also_while_etcd_does_not_know_it() {
        let mut directory = Directory::default();
        directory.set_own(Some(member("b")));
        assert_eq!(ids(&directory), ["b"]);
        directory.relist(listing(1, 5, &["c", "a"]), Instant::now(), GRACE);
        assert_eq!(ids(&directory), ["a", "b", "c"]);
        assert!(directory.own_is_missing());
        directory.apply(vec![Change::MemberCame(member("b"))], 6);
        assert!(!directory.own_is_missing());
        directory.set_own(None);
        assert_eq!(ids(&directory), ["a", "c"]);
    }

    #[test]
    fn a_listing_of_the_same_history_replaces_what_was_known() {
        let mut directory = Directory::default();
        let now = Instant::now();
        directory.relist(listing(1, 5, &["a", "b"]), now, GRACE);
        directory.relist(listing(1, 9, &["b"]), now, GRACE);
        assert_eq!(ids(&directory), ["b"]);
        assert_eq!(directory.forget(now), None);
    }

    #[test]
    fn members_of_a_lost_history_have_a_grace() {
        for (cluster, revision) in [(1, 2), (2, 90)] {
            let mut directory = Directory::default();
            let now = Instant::now();
            directory.relist(listing(1, 50, &["a", "b"]), now, GRACE);
            directory.relist(listing(cluster, revision, &["b"]), now, GRACE);
            assert_eq!(ids(&directory), ["a", "b"]);
            assert_eq!(directory.forget(now), Some(now + GRACE));
            // A further listing neither ends nor prolongs it.
            let later = now + GRACE / 2;
            directory.relist(listing(cluster, revision + 1, &["b"]), later, GRACE);
            assert_eq!(directory.forget(later), Some(now + GRACE));
            assert_eq!(ids(&directory), ["a", "b"]);
            assert_eq!(directory.forget(now + GRACE), None);
            assert_eq!(ids(&directory), ["b"]);
        }
    }

    #[test]
    fn a_member_that_comes_back_in_its_grace_stays() {
        let mut directory = Directory::default();
        let now = Instant::now();
        directory.relist(listing(1, 50, &["a", "b"]), now, GRACE);
        directory.relist(listing(1, 2, &[]), now, GRACE);
        directory.apply(vec![Change::MemberCame(member("a"))], 3);
        directory.forget(now + GRACE);
        assert_eq!(ids(&directory), ["a"]);
        // One that says farewell in its grace is gone at once.
        directory.apply(vec![Change::MemberWent("a".to_owned())], 4);
        assert!(ids(&directory).is_empty());
    }

    #[test]
    fn a_duty_is_lost_when_its_key_went_or_is_of_another_creation() {
        let mut directory = Directory::default();
        let now = Instant::now();
        directory.relist(listing(1, 5, &[]), now, GRACE);
        assert!(!directory.duty_is_lost("d", 6), "not seen yet");
        let taken = Change::DutyTaken { name: "d".to_owned(), created: 6 };
        directory.apply(vec![taken.clone()], 6);
        assert!(!directory.duty_is_lost("d", 6));
        directory.apply(vec![Change::DutyFree("d".to_owned())], 7);
        assert!(directory.duty_is_lost("d", 6));
        directory.apply(vec![Change::DutyTaken { name: "d".to_owned(), created: 8 }], 8);
        assert!(directory.duty_is_lost("d", 6));
        assert!(!directory.duty_is_lost("d", 8));
        // A listing that does not show it any more.
        directory.relist(listing(1, 9, &[]), now, GRACE);
        assert!(directory.duty_is_lost("d", 8));
    }
}
