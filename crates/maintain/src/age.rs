//! Ages by the store's clock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::MaintainError;

/// The newest moment that the store has told of: its clock is at least that far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreTime(Option<DateTime<Utc>>);

impl StoreTime {
    pub(crate) fn saw(&mut self, object: &ObjectMeta) {
        self.0 = self.0.max(Some(object.last_modified));
    }

    /// From what changes in a living lake at least once a day: the marks of writers.
    pub(crate) async fn of(store: &dyn ObjectStore) -> Result<Self, MaintainError> {
        let mut time = Self::default();
        let mut marks = store.list(Some(&Path::from("_writers")));
        while let Some(mark) = marks.try_next().await? {
            time.saw(&mark);
        }
        Ok(time)
    }

    /// Whether at least `age` has passed since `then`, by the store's clock.
    pub(crate) fn is_past(&self, then: DateTime<Utc>, age: Duration) -> bool {
        let past = self.0.and_then(|now| (now - then).to_std().ok());
        past.is_some_and(|past| past >= age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_of_the_store_nothing_is_old() {
        let then = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let mut time = StoreTime::default();
        assert!(!time.is_past(then, Duration::ZERO));
        let last_modified = DateTime::from_timestamp(1_000_060, 0).unwrap();
        let location = Path::from("x");
        time.saw(&ObjectMeta { location, last_modified, size: 0, e_tag: None, version: None });
        assert!(time.is_past(then, Duration::from_secs(60)));
        assert!(!time.is_past(then, Duration::from_secs(61)));
        assert!(!time.is_past(last_modified + chrono::Duration::days(1), Duration::ZERO));
    }
}
