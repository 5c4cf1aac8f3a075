//! One filter a page: which words, or values, it may have.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

use super::pages::Pages;
use crate::FormatError;

/// The length of a filter that no key was put into.
const NOTHING: u32 = 0;
/// The length of a filter that could not be built: anything may be in its page.
const ANYTHING: u32 = u32::MAX;

const DESCRIPTOR: usize = BinaryFuse8::DESCRIPTOR_LEN;

/// The filters of a column's pages: binary fuse filters of 8 bits (Graf and Lemire, 2022), about 9
/// bits a key; one key in 256 that is not there seems to be.
#[derive(Debug)]
pub struct Filters {
    bytes: Bytes,
    /// Where each page's filter is in the bytes.
    pages: Vec<PageFilter>,
}

/// A key that a page has to have, or another one that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sought {
    pub(super) key: u64,
    pub(super) or: Option<u64>,
}

impl Sought {
    pub(super) const fn key(key: u64) -> Self {
        Self { key, or: None }
    }

    fn keys(self) -> impl Iterator<Item = u64> {
        std::iter::once(self.key).chain(self.or)
    }
}

#[derive(Debug)]
enum PageFilter {
    Nothing,
    Anything,
    Keys(Range<usize>),
}

impl Filters {
    /// The pages that may have all of what is sought.
    pub(super) fn pages(&self, sought: &[Sought]) -> Pages {
        let mut pages = Pages::none();
        for (page, filter) in self.pages.iter().enumerate() {
            if self.may_have(filter, sought) {
                pages.insert(page);
            }
        }
        pages
    }

    fn may_have(&self, filter: &PageFilter, sought: &[Sought]) -> bool {
        match filter {
            PageFilter::Nothing => sought.is_empty(),
            PageFilter::Anything => true,
            PageFilter::Keys(range) => {
                let (descriptor, fingerprints) = self.bytes[range.clone()].split_at(DESCRIPTOR);
                let filter = BinaryFuse8Ref::from_dma(descriptor, fingerprints);
                sought.iter().all(|sought| sought.keys().any(|key| filter.contains(&key)))
            }
        }
    }

    /// # Errors
    /// When the bytes are no filters.
    pub fn decode(bytes: Bytes) -> Result<Self, FormatError> {
        let wrong = || FormatError::Index { what: "the filters' bytes do not fit together" };
        let mut lengths = bytes.clone();
        let count = lengths.try_get_u32_le().map_err(|_| wrong())? as usize;
        let mut at =
            count.checked_mul(4).and_then(|bytes| bytes.checked_add(4)).ok_or_else(wrong)?;
        if at > bytes.len() {
            return Err(wrong());
        }
        let mut pages = Vec::with_capacity(count);
        for _ in 0..count {
            pages.push(match lengths.get_u32_le() {
                NOTHING => PageFilter::Nothing,
                ANYTHING => PageFilter::Anything,
                length => {
                    let start = at;
                    at += length as usize;
                    let filter = bytes.get(start..at).ok_or_else(wrong)?;
                    fits(filter).then_some(PageFilter::Keys(start..at)).ok_or_else(wrong)?
                }
            });
        }
        if at != bytes.len() {
            return Err(wrong());
        }
        Ok(Self { bytes, pages })
    }

    /// Bytes that they hold in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.pages.len() * size_of::<PageFilter>()
    }
}

/// Whether every place that the descriptor can lead to is among the fingerprints.
fn fits(filter: &[u8]) -> bool {
    let Some((mut descriptor, fingerprints)) = filter.split_at_checked(DESCRIPTOR) else {
        return false;
    };
    descriptor.advance(size_of::<u64>());
    let segment = u64::from(descriptor.get_u32_le());
    let mask = u64::from(descriptor.get_u32_le());
    let all = u64::from(descriptor.get_u32_le());
    segment.is_power_of_two()
        && mask == segment - 1
        && all.is_multiple_of(segment)
        && all + 2 * segment <= fingerprints.len() as u64
}

/// Filters while their pages come.
#[derive(Debug, Default)]
pub(super) struct FiltersBuilder {
    lengths: Vec<u32>,
    filters: Vec<u8>,
}

impl FiltersBuilder {
    /// The next page has these keys; they are sorted here, and gone afterwards.
    pub(super) fn page(&mut self, keys: &mut Vec<u64>) {
        keys.sort_unstable();
        keys.dedup();
        let length = match keys.is_empty() {
            true => NOTHING,
            false => match BinaryFuse8::try_from(keys.as_slice()) {
                Ok(filter) => self.put(&filter),
                Err(_) => ANYTHING,
            },
        };
        self.lengths.push(length);
        keys.clear();
    }

    fn put(&mut self, filter: &BinaryFuse8) -> u32 {
        let mut descriptor = [0; DESCRIPTOR];
        filter.dma_copy_descriptor_to(&mut descriptor);
        self.filters.put_slice(&descriptor);
        self.filters.put_slice(filter.dma_fingerprints());
        (DESCRIPTOR + filter.dma_fingerprints().len()) as u32
    }

    /// Whether any page has a key.
    pub(super) fn is_empty(&self) -> bool {
        self.lengths.iter().all(|length| *length == NOTHING)
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.lengths.len() * 4 + self.filters.len());
        out.put_u32_le(self.lengths.len() as u32);
        self.lengths.iter().for_each(|length| out.put_u32_le(*length));
        out.put_slice(&self.filters);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pages: &[&[u64]]) -> Vec<u8> {
        let mut builder = FiltersBuilder::default();
        pages.iter().for_each(|keys| builder.page(&mut keys.to_vec()));
        builder.encode()
    }

    #[test]
    fn every_key_is_found_in_its_page() {
        let many: Vec<u64> =
            (0..20_000).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let decoded = Filters::decode(filters(&[&many, &[], &[7, 7, 8]]).into()).unwrap();
        assert!(many.iter().all(|key| decoded.pages(&[Sought::key(*key)]).contains(0)));
        assert!(decoded.pages(&[7, 8].map(Sought::key)).contains(2));
        assert!(decoded.pages(&[Sought { key: 9, or: Some(8) }]).contains(2));
        let strange = (1..=10_000u64).map(|n| n << 40 | 1);
        let hits = strange.filter(|key| decoded.pages(&[Sought::key(*key)]).contains(0)).count();
        assert!(hits < 80, "{hits} of 10,000");
        assert!((1..10_000).all(|key| !decoded.pages(&[Sought::key(key)]).contains(1)));
    }

    #[test]
    fn wrong_bytes_are_an_error() {
        let good = filters(&[&[1, 2, 3], &[4]]);
        for cut in 0..good.len() {
            assert!(Filters::decode(good[..cut].to_vec().into()).is_err(), "{cut}");
        }
        // Each byte of the first descriptor after its seed.
        for at in (4 + 2 * 4 + 8)..(4 + 2 * 4 + DESCRIPTOR) {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            assert!(Filters::decode(bad.into()).is_err(), "{at}");
        }
    }
}
