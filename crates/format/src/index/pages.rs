//! A set of pages.

/// Which pages of a file, as a bitmap. Pages past its end are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages(Vec<u64>);

const BITS: usize = u64::BITS as usize;

impl Pages {
    /// The first `count` pages.
    #[must_use]
    pub fn all(count: usize) -> Self {
        let mut words = vec![u64::MAX; count / BITS];
        if !count.is_multiple_of(BITS) {
            words.push((1 << (count % BITS)) - 1);
        }
        Self(words)
    }

    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self(vec![])
    }

    pub fn insert(&mut self, page: usize) {
        if self.0.len() <= page / BITS {
            self.0.resize(page / BITS + 1, 0);
        }
        self.0[page / BITS] |= 1 << (page % BITS);
    }

    #[must_use]
    pub fn contains(&self, page: usize) -> bool {
        self.0.get(page / BITS).is_some_and(|word| word >> (page % BITS) & 1 == 1)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The pages in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * BITS).filter(|page| self.contains(*page))
    }

    /// Keeps the pages that are in `other` too.
    pub fn intersect(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        for (word, also) in self.0.iter_mut().zip(&other.0) {
            *word &= also;
        }
    }

    /// Adds the pages of `other`.
    pub fn unite(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        for (word, also) in self.0.iter_mut().zip(&other.0) {
            *word |= also;
        }
    }

    /// The bitmap of `count` pages, eight a byte, the first in the lowest bit.
    pub(super) fn to_bytes(&self, count: usize) -> impl Iterator<Item = u8> + '_ {
        (0..count.div_ceil(8)).map(|at| {
            let word = self.0.get(at * 8 / BITS).copied().unwrap_or_default();
            word.to_le_bytes()[at % 8]
        })
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        Self(words.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pages: &[usize]) -> Pages {
        let mut set = Pages::none();
        pages.iter().for_each(|page| set.insert(*page));
        set
    }

    #[test]
    fn sets_of_different_lengths_meet() {
        let (mut both, mut any) = (of(&[1, 64, 200]), of(&[1, 64, 200]));
        both.intersect(&of(&[64, 65]));
        assert_eq!(both.iter().collect::<Vec<_>>(), [64]);
        any.unite(&of(&[65, 300]));
        assert_eq!(any.iter().collect::<Vec<_>>(), [1, 64, 65, 200, 300]);
        assert_eq!((any.len(), Pages::all(65).len(), Pages::all(64).len()), (5, 65, 64));
    }

    #[test]
    fn bytes_there_and_back() {
        for count in [1, 8, 9, 64, 65, 130] {
            let set = of(&[0, count / 2, count - 1]);
            let bytes: Vec<u8> = set.to_bytes(count).collect();
            assert_eq!(bytes.len(), count.div_ceil(8));
            let back = Pages::from_bytes(&bytes);
            assert!(back.iter().eq(set.iter()), "{count}");
        }
    }
}
