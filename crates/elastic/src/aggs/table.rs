//! What plans found of the buckets of one aggregation.

use std::collections::HashMap;

use super::keys::Key;

/// The keys of the buckets that something is in, from the outermost on.
pub(super) type Within = Vec<Key>;

/// The buckets of an aggregation, by what they are in.
#[derive(Debug, Default)]
pub(super) struct Table {
    groups: HashMap<Within, Group>,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    /// In the order of the plan's rows.
    pub buckets: Vec<Found>,
    places: HashMap<Vec<Key>, usize>,
    /// Rows in all buckets, also in those that were cut off.
    pub all: u64,
}

/// A bucket that has rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub keys: Vec<Key>,
    pub count: u64,
    pub states: Vec<Option<f64>>,
}

impl Table {
    pub fn group(&self, within: &[Key]) -> Option<&Group> {
        self.groups.get(within)
    }

    pub fn group_mut(&mut self, within: &[Key]) -> &mut Group {
        self.groups.entry(within.to_vec()).or_default()
    }

    /// Keeps so many buckets of each group.
    pub fn truncate(&mut self, size: usize) {
        self.groups.values_mut().for_each(|group| group.buckets.truncate(size));
    }

    pub fn buckets(&self) -> impl Iterator<Item = &Found> {
        self.groups.values().flat_map(|group| &group.buckets)
    }
}

impl Group {
    /// The bucket of these keys, which is made when there is none.
    pub fn bucket(&mut self, keys: &[Key], empty: &[Option<f64>]) -> &mut Found {
        let place = match self.places.get(keys) {
            Some(place) => *place,
            None => {
                let found = Found { keys: keys.to_vec(), count: 0, states: empty.to_vec() };
                self.buckets.push(found);
                self.places.insert(keys.to_vec(), self.buckets.len() - 1);
                self.buckets.len() - 1
            }
        };
        &mut self.buckets[place]
    }

    pub fn get(&self, keys: &[Key]) -> Option<&Found> {
        self.buckets.get(*self.places.get(keys)?)
    }

    /// The bucket of these keys where there is one.
    pub fn known(&mut self, keys: &[Key]) -> Option<&mut Found> {
        let place = self.places.get(keys)?;
        self.buckets.get_mut(*place)
    }
}
