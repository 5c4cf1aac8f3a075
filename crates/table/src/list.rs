//! A list in order, by path, that is cheap to have in many versions: a version shares all but one
//! chunk with the one before it, and finding a path probes one small set a chunk.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use object_store::path::Path;

/// At 100,000 items a new version copies 100 pointers to chunks and at most one chunk.
const CHUNK_ITEMS: usize = 1_024;

/// Something with a path that is its identity.
pub(crate) trait HasPath {
    fn path(&self) -> &Path;
}

#[derive(Debug)]
struct Chunk<T> {
    items: Vec<Arc<T>>,
    hashes: HashSet<u64>,
}

// By hand: the items are shared, so they need not be `Clone`.
impl<T> Clone for Chunk<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), hashes: self.hashes.clone() }
    }
}

impl<T: HasPath> Chunk<T> {
    fn of(items: Vec<Arc<T>>) -> Self {
        let hashes = items.iter().map(|item| hash(item.path())).collect();
        Self { items, hashes }
    }

    fn contains(&self, path: &Path, hash: u64) -> bool {
        self.hashes.contains(&hash) && self.items.iter().any(|item| item.path() == path)
    }
}

#[derive(Debug)]
pub(crate) struct PathList<T> {
    chunks: Vec<Arc<Chunk<T>>>,
    len: usize,
}

impl<T> Clone for PathList<T> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<T> Default for PathList<T> {
    fn default() -> Self {
        Self { chunks: vec![], len: 0 }
    }
}

impl<T: HasPath + PartialEq> PartialEq for PathList<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// The same in every run, so that simulations repeat.
fn hash(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.as_ref().hash(&mut hasher);
    hasher.finish()
}

impl<T: HasPath> PathList<T> {
    pub(crate) fn push(&mut self, item: Arc<T>) {
        let hash = hash(item.path());
        match self.chunks.last_mut() {
            Some(chunk) if chunk.items.len() < CHUNK_ITEMS => {
                let chunk = Arc::make_mut(chunk);
                chunk.items.push(item);
                chunk.hashes.insert(hash);
            }
            _ => {
                self.chunks
                    .push(Arc::new(Chunk { items: vec![item], hashes: HashSet::from([hash]) }));
            }
        }
        self.len += 1;
    }

    pub(crate) fn contains(&self, path: &Path) -> bool {
        let hash = hash(path);
        self.chunks.iter().any(|chunk| chunk.contains(path, hash))
    }

    /// Takes the items of these paths out and answers with them.
    pub(crate) fn get(&self, path: &Path) -> Option<&Arc<T>> {
        let hash = hash(path);
        let chunk = self.chunks.iter().filter(|chunk| chunk.hashes.contains(&hash));
        chunk.flat_map(|chunk| &chunk.items).find(|item| item.path() == path)
    }

    pub(crate) fn remove(&mut self, paths: &HashSet<Path>) -> Vec<Arc<T>> {
        let hashes: Vec<u64> = paths.iter().map(hash).collect();
        let mut removed = vec![];
        for chunk in &mut self.chunks {
            if hashes.iter().any(|hash| chunk.hashes.contains(hash)) {
                let (gone, kept): (Vec<_>, Vec<_>) =
                    chunk.items.iter().cloned().partition(|item| paths.contains(item.path()));
                removed.extend(gone);
                *chunk = Arc::new(Chunk::of(kept));
            }
        }
        if !removed.is_empty() {
            self.len -= removed.len();
            self.merge_small();
        }
        removed
    }

    /// Keeps the number of chunks in proportion to the items that are left.
    fn merge_small(&mut self) {
        let mut merged: Vec<Arc<Chunk<T>>> = Vec::with_capacity(self.chunks.len());
        for chunk in self.chunks.drain(..) {
            match merged.last_mut() {
                Some(last) if last.items.len() + chunk.items.len() <= CHUNK_ITEMS => {
                    let last = Arc::make_mut(last);
                    last.items.extend(chunk.items.iter().cloned());
                    last.hashes.extend(&chunk.hashes);
                }
                _ => merged.push(chunk),
            }
        }
        self.chunks = merged;
    }
}

impl<T> PathList<T> {
    /// In the order in which they were pushed.
    pub(crate) fn iter(&self) -> Iter<'_, T> {
        Iter { current: [].iter(), rest: self.chunks.iter(), left: self.len }
    }
}

#[derive(Debug)]
pub(crate) struct Iter<'a, T> {
    current: std::slice::Iter<'a, Arc<T>>,
    rest: std::slice::Iter<'a, Arc<Chunk<T>>>,
    left: usize,
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { current: self.current.clone(), rest: self.rest.clone(), left: self.left }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a Arc<T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.current.next() {
                self.left -= 1;
                return Some(item);
            }
            self.current = self.rest.next()?.items.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl HasPath for Path {
        fn path(&self) -> &Path {
            self
        }
    }

    fn path(n: usize) -> Path {
        Path::from(format!("f{n}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_is_a_list_without_what_was_removed(
            steps in prop::collection::vec((1usize..1_500, 1usize..7), 1..6)
        ) {
            let (mut list, mut model, mut next) = (PathList::default(), Vec::<Path>::new(), 0);
            for (pushes, every) in steps {
                let before = list.clone();
                let model_before = model.clone();
                for n in next..next + pushes {
                    list.push(Arc::new(path(n)));
                    model.push(path(n));
                }
                next += pushes;
                let gone: HashSet<Path> = (0..next).step_by(every).map(path).collect();
                let removed = list.remove(&gone);
                prop_assert!(removed.iter().all(|p| gone.contains(p.as_ref())));
                model.retain(|p| !gone.contains(p));
                prop_assert_eq!(list.iter().len(), model.len());
                prop_assert!(list.iter().map(|p| p.as_ref()).eq(model.iter()));
                prop_assert!(before.iter().map(|p| p.as_ref()).eq(model_before.iter()));
                prop_assert!(!list.contains(&path(0)) && !list.contains(&path(next)));
                prop_assert!(model.iter().take(50).all(|p| list.contains(p)));
                prop_assert!(list.chunks.len() <= 2 + 2 * model.len() / CHUNK_ITEMS);
            }
        }
    }
}
