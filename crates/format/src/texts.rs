//! Columns of texts: in full, or as numbers of the entries of a dictionary where few of them differ.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray, UInt16Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt16Type};
use hashbrown::HashMap;

use crate::layout::DICTIONARY_BYTES_MAX;

/// The texts of a column in one batch.
#[derive(Clone, Copy)]
pub(crate) enum Texts<'a> {
    InFull(&'a StringArray),
    Numbered(&'a UInt16Array, &'a StringArray),
}

impl<'a> Texts<'a> {
    /// `None` of a column of something else.
    pub(crate) fn of(array: &'a ArrayRef) -> Option<Self> {
        match array.as_dictionary_opt::<UInt16Type>() {
            Some(numbered) => {
                let entries = numbered.values().as_string_opt::<i32>()?;
                Some(Self::Numbered(numbered.keys(), entries))
            }
            None => array.as_string_opt::<i32>().map(Self::InFull),
        }
    }

    /// The text of a row, if it has one.
    #[inline]
    pub(crate) fn get(self, row: usize) -> Option<&'a str> {
        match self {
            Self::InFull(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Numbered(numbers, entries) => {
                numbers.is_valid(row).then(|| entries.value(usize::from(numbers.value(row))))
            }
        }
    }

    /// At most so many bytes of texts, as many times as they are there.
    pub(crate) fn bytes_max(self) -> usize {
        match self {
            Self::InFull(texts) => texts
                .value_offsets()
                .last()
                .map_or(0, |end| (end - texts.value_offsets()[0]) as usize),
            Self::Numbered(numbers, _) => numbers.len().saturating_mul(self.longest()),
        }
    }

    /// Bytes of its longest text.
    pub(crate) fn longest(self) -> usize {
        let (Self::InFull(texts) | Self::Numbered(_, texts)) = self;
        let lengths = texts.value_offsets().windows(2).map(|ends| (ends[1] - ends[0]) as usize);
        lengths.max().unwrap_or(0)
    }
}

/// The type of numbered texts.
pub(crate) fn numbered_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8))
}

/// The batches' parts of a column under one dictionary, where most of its texts come with one and it is
/// short; `None` where they are to be in full.
pub(crate) fn under_one_dictionary(
    parts: &[Option<ArrayRef>],
) -> Option<Vec<Option<DictionaryArray<UInt16Type>>>> {
    let numbered_type = numbered_type();
    let texts = |part: &ArrayRef| part.len() - part.null_count();
    let all: usize = parts.iter().flatten().map(texts).sum();
    let with_dictionary = |part: &&ArrayRef| part.data_type() == &numbered_type;
    let numbered: usize = parts.iter().flatten().filter(with_dictionary).map(texts).sum();
    if numbered == 0 || numbered * 2 < all {
        return None;
    }
    let numbered = |part: &Option<ArrayRef>| match part {
        // More different texts than numbers are an error.
        Some(part) => cast(part, &numbered_type).ok().map(Some),
        None => Some(None),
    };
    let parts: Vec<Option<ArrayRef>> = parts.iter().map(numbered).collect::<Option<_>>()?;
    let entries = || parts.iter().flatten().map(entries_of);
    let mut numbers: HashMap<&str, u16> = HashMap::new();
    for entry in entries().flatten() {
        let next = u16::try_from(numbers.len()).ok()?;
        numbers.entry(entry?).or_insert(next);
    }
    let mut in_order = vec![""; numbers.len()];
    numbers.iter().for_each(|(entry, number)| in_order[usize::from(*number)] = entry);
    // The writer's own must not outgrow its bound: it has 4 bytes more for each.
    if in_order.iter().map(|entry| entry.len() + 4).sum::<usize>() > DICTIONARY_BYTES_MAX {
        return None;
    }
    let dictionary: ArrayRef = Arc::new(StringArray::from(in_order));
    let renumbered = |part: &Option<ArrayRef>| {
        let part = part.as_ref()?;
        let new: Vec<u16> = entries_of(part).iter().flatten().map(|entry| numbers[entry]).collect();
        let keys = part.as_dictionary::<UInt16Type>().keys();
        // What a null's number is says nothing.
        let keys = keys.unary(|old| new.get(usize::from(old)).copied().unwrap_or_default());
        Some(DictionaryArray::new(keys, Arc::clone(&dictionary)))
    };
    Some(parts.iter().map(renumbered).collect())
}

fn entries_of(part: &ArrayRef) -> &StringArray {
    part.as_dictionary::<UInt16Type>().values().as_string()
}
