//! A set of rows.

use std::ops::Range;

use super::pages::Pages;

/// Which rows of a file, as ranges in ascending order that do not meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(Vec<Range<usize>>);

impl Rows {
    /// The first `count` rows.
    #[must_use]
    pub fn all(count: usize) -> Self {
        std::iter::once(0..count).collect()
    }

    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self(vec![])
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Range::len).sum()
    }

    #[must_use]
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.0
    }

    /// The rows that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = vec![];
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
            let (start, end) = (l.start.max(r.start), l.end.min(r.end));
            if start < end {
                both.push(start..end);
            }
            match l.end < r.end {
                true => left.next(),
                false => right.next(),
            };
        }
        Self(both)
    }

    /// The rows that are in any of them.
    #[must_use]
    pub fn union(sets: impl IntoIterator<Item = Self>) -> Self {
        let mut sets: Vec<Self> = sets.into_iter().filter(|set| !set.is_empty()).collect();
        match sets.len() {
            0 => Self::none(),
            1 => sets.remove(0),
            _ => {
                let mut ranges: Vec<_> = sets.into_iter().flat_map(|set| set.0).collect();
                ranges.sort_unstable_by_key(|range| range.start);
                ranges.into_iter().collect()
            }
        }
    }

    /// The rows of this set that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = vec![];
        let mut taken = other.0.iter().peekable();
        for range in &self.0 {
            let mut start = range.start;
            while let Some(next) = taken.peek().filter(|next| next.start < range.end) {
                if start < next.start {
                    left.push(start..next.start);
                }
                start = start.max(next.end);
                if next.end >= range.end {
                    break;
                }
                taken.next();
            }
            if start < range.end {
                left.push(start..range.end);
            }
        }
        Self(left)
    }
}

/// The size of a file: rows, and rows of its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub rows: usize,
    pub page_rows: usize,
}

impl Size {
    /// The rows of pages.
    #[must_use]
    pub fn rows_of(self, pages: &Pages) -> Rows {
        let rows = |page: usize| {
            let start = page * self.page_rows;
            start..(start + self.page_rows).min(self.rows)
        };
        pages.iter().map(rows).collect()
    }
}

/// Ranges by their starts; those that meet become one.
impl FromIterator<Range<usize>> for Rows {
    fn from_iter<T: IntoIterator<Item = Range<usize>>>(ranges: T) -> Self {
        let mut rows: Vec<Range<usize>> = vec![];
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            match rows.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => rows.push(range),
            }
        }
        Self(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    fn rows(of: &BTreeSet<usize>) -> Rows {
        of.iter().map(|row| *row..row + 1).collect()
    }

    fn set(of: &Rows) -> BTreeSet<usize> {
        of.ranges().iter().cloned().flatten().collect()
    }

    proptest! {
        #[test]
        fn they_are_sets(a in btree_set(0..40usize, 0..30), b in btree_set(0..40usize, 0..30)) {
            let (left, right) = (rows(&a), rows(&b));
            prop_assert_eq!(set(&left), a.clone());
            prop_assert_eq!(left.len(), a.len());
            prop_assert_eq!(set(&left.intersection(&right)), &a & &b);
            prop_assert_eq!(set(&left.without(&right)), &a - &b);
            let any = Rows::union([left, right]);
            prop_assert_eq!(set(&any), &a | &b);
            prop_assert!(any.ranges().windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
