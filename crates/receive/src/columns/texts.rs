//! A column of texts while it is built: each in full at first; once many rows have shown that few of them
//! differ, as numbers of a dictionary's entries. Whatever is done with the batch from there, in the log, in
//! memory and on the way to a file, is done with two bytes a row.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, StringArray, StringBuilder, UInt16Builder};
use arrow::datatypes::UInt16Type;

use super::Growth;

/// Texts for each that differs, at least, that make a dictionary worth it.
const REPEATS_MIN: usize = 8;
/// Texts below which that is not known.
const SEEN_MIN: usize = 256;
/// Texts that are found without hashing the whole of them; a power of two.
const RECENT: usize = 1_024;

pub(super) enum Texts {
    InFull(StringBuilder),
    Numbered(Box<Numbered>),
}

impl Texts {
    pub(super) fn new() -> Self {
        Self::InFull(StringBuilder::new())
    }

    #[inline]
    pub(super) fn append(&mut self, text: &str) {
        match self {
            Self::InFull(texts) => texts.append_value(text),
            Self::Numbered(texts) => {
                if !texts.append(text) {
                    *self = Self::InFull(in_full(&texts.finish()));
                    self.append(text);
                }
            }
        }
    }

    pub(super) fn append_nulls(&mut self, count: usize) {
        match self {
            Self::InFull(texts) => texts.append_nulls(count),
            Self::Numbered(texts) => texts.numbers.append_nulls(count),
        }
    }

    /// Decides, by the rows so far, how the texts are kept from here on.
    pub(super) fn settle(&mut self, growth: Growth) {
        let Self::InFull(builder) = self else { return };
        let texts = builder.finish();
        *self = match few_differ(&texts) {
            true => Self::Numbered(Box::new(Numbered::of(&texts, growth))),
            false => {
                let bytes = growth.of(texts.value_data().len());
                let mut in_full = StringBuilder::with_capacity(growth.of(texts.len()), bytes);
                in_full.extend(&texts);
                Self::InFull(in_full)
            }
        };
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::InFull(texts) => Arc::new(texts.finish()),
            Self::Numbered(texts) => {
                let texts = texts.finish();
                let count = texts.len() - texts.null_count();
                match texts.values().len() * REPEATS_MIN <= count {
                    true => Arc::new(texts),
                    false => Arc::new(in_full(&texts).finish()),
                }
            }
        }
    }
}

fn few_differ(texts: &StringArray) -> bool {
    let count = texts.len() - texts.null_count();
    let mut different = HashSet::new();
    count >= SEEN_MIN
        && texts.iter().flatten().all(|text| {
            different.insert(text);
            different.len() * REPEATS_MIN <= count
        })
}

fn in_full(texts: &DictionaryArray<UInt16Type>) -> StringBuilder {
    let mut in_full = StringBuilder::new();
    in_full.extend(texts.downcast_dict::<StringArray>().expect("a dictionary of texts"));
    in_full
}

/// The number of each row's text among those that differ.
pub(super) struct Numbered {
    numbers: UInt16Builder,
    entries: StringBuilder,
    known: HashMap<Box<str>, u16>,
    /// By [`slot_of`] a text, the number of the last one of that slot.
    recent: [u16; RECENT],
}

impl Numbered {
    fn of(texts: &StringArray, growth: Growth) -> Self {
        let mut numbered = Self {
            numbers: UInt16Builder::with_capacity(growth.of(texts.len())),
            entries: StringBuilder::new(),
            known: HashMap::new(),
            recent: [0; RECENT],
        };
        for text in texts {
            match text {
                // Few differ: there are numbers for all.
                Some(text) => drop(numbered.append(text)),
                None => numbered.numbers.append_null(),
            }
        }
        numbered
    }

    /// False when more texts differ than there are numbers; then it is not there.
    #[inline]
    fn append(&mut self, text: &str) -> bool {
        let slot = slot_of(text.as_bytes());
        let recent = self.recent[slot];
        let number = match self.entry(recent) == Some(text.as_bytes()) {
            true => recent,
            false => {
                let Some(number) = self.number(text) else { return false };
                self.recent[slot] = number;
                number
            }
        };
        self.numbers.append_value(number);
        true
    }

    fn entry(&self, number: u16) -> Option<&[u8]> {
        let at = usize::from(number);
        let [start, end] = *self.entries.offsets_slice().get(at..)?.first_chunk()?;
        Some(&self.entries.values_slice()[start as usize..end as usize])
    }

    fn number(&mut self, text: &str) -> Option<u16> {
        if let Some(number) = self.known.get(text) {
            return Some(*number);
        }
        let number = u16::try_from(self.known.len()).ok()?;
        self.entries.append_value(text);
        self.known.insert(text.into(), number);
        Some(number)
    }

    fn finish(&mut self) -> DictionaryArray<UInt16Type> {
        self.known.clear();
        DictionaryArray::new(self.numbers.finish(), Arc::new(self.entries.finish()))
    }
}

/// The same for equal texts, and mostly another for others: of their ends and their length.
fn slot_of(text: &[u8]) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let ends = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => {
            u64::from_le_bytes(*first).wrapping_mul(ODD) ^ u64::from_le_bytes(*last)
        }
        _ => text.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    };
    let mixed = (ends ^ text.len() as u64).wrapping_mul(ODD);
    (mixed >> (u64::BITS - RECENT.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::compute::cast;
    use arrow::datatypes::DataType;

    use super::*;

    const SETTLED: usize = 2_048;

    /// The column of these texts, and whether it is numbered.
    fn built(all: &[Option<String>]) -> (StringArray, bool) {
        let mut texts = Texts::new();
        for (row, text) in all.iter().enumerate() {
            if row == SETTLED {
                texts.settle(Growth { from: SETTLED, to: all.len() });
            }
            match text {
                Some(text) => texts.append(text),
                None => texts.append_nulls(1),
            }
        }
        let column = texts.finish();
        let in_full = cast(&column, &DataType::Utf8).unwrap();
        (in_full.as_string::<i32>().clone(), column.data_type() != &DataType::Utf8)
    }

    #[test]
    fn texts_that_repeat_are_numbered_and_stay_what_they_were() {
        // Short ones, and long ones that differ in the middle alone.
        let few = |n: usize| match n % 3 {
            0 => None,
            1 => Some(format!("{}", n % 50)),
            _ => Some(format!("a longer {} text", n % 50)),
        };
        let new = |n: usize| Some(format!("{n}"));
        let pool = |n: usize| Some(format!("path-{}", n % 1_500));
        let rare = |n: usize| n.is_multiple_of(10).then(|| "x".to_owned());
        let chain = |first: usize, then: &dyn Fn(usize) -> Option<String>, count: usize| {
            (0..first).map(few).chain((0..count).map(then)).collect::<Vec<_>>()
        };
        let mut more_than_numbers = chain(5_000, &new, 70_000);
        more_than_numbers.extend((0..900_000).map(few));
        for (all, is_numbered) in [
            (chain(SETTLED, &few, 0), false),
            (chain(SETTLED, &few, 1), true),
            (chain(SETTLED, &few, 8_000), true),
            (chain(SETTLED, &new, 8_000), false),
            (more_than_numbers, false),
            ((0..10_000).map(pool).collect(), false),
            ((0..10_000).map(rare).collect(), false),
            ((0..10_000).map(new).collect(), false),
        ] {
            let expected: StringArray = all.iter().map(Option::as_deref).collect();
            assert_eq!(built(&all), (expected, is_numbered), "{} texts", all.len());
        }
    }
}
