//! Texts and their numbers, in the order of their first sight.

use std::hash::BuildHasher;
use std::ops::Range;

use arrow::array::{Array, StringViewArray, StringViewBuilder};
use hashbrown::{DefaultHashBuilder, HashTable};

/// Views of which the group is remembered. A few times the texts that most columns worth grouping by have.
const SLOTS: usize = 4_096;

/// Texts as long as this or shorter are whole in their view (Arrow columnar format, "Variable-size Binary
/// View Layout").
const INLINE_BYTES: u32 = 12;

/// Gives each text a number: the first one 0, the next other one 1, ….
pub(super) struct Texts {
    numbers: HashTable<u32>,
    texts: Vec<Option<Box<str>>>,
    null: Option<u32>,
    hasher: DefaultHashBuilder,
    /// What was found for a view, at a place that follows from it.
    slots: Box<[Slot]>,
    /// Batches so far: a longer text's view means something only with the buffers of its own.
    batch: u32,
    text_bytes: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    view: u128,
    /// The batch whose buffers the view is of; 0 for those that are whole in it.
    batch: u32,
    /// One more than the number; 0 where nothing is kept.
    after_number: u32,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            numbers: HashTable::new(),
            texts: vec![],
            null: None,
            hasher: DefaultHashBuilder::default(),
            slots: vec![Slot::default(); SLOTS].into_boxed_slice(),
            batch: 0,
            text_bytes: 0,
        }
    }
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.text_bytes
            + self.texts.capacity() * size_of::<Option<Box<str>>>()
            + self.numbers.allocation_size()
            + SLOTS * size_of::<Slot>()
    }

    /// Appends the number of each row's text.
    pub(super) fn groups_of(&mut self, rows: &StringViewArray, groups: &mut Vec<usize>) {
        self.batch += 1;
        groups.reserve(rows.len());
        let Some(nulls) = rows.nulls() else {
            return self.groups_of_texts(rows, 0..rows.len(), groups);
        };
        let mut at = 0;
        for (start, end) in nulls.valid_slices() {
            self.groups_of_nulls(start - at, groups);
            self.groups_of_texts(rows, start..end, groups);
            at = end;
        }
        self.groups_of_nulls(rows.len() - at, groups);
    }

    /// Files are sorted by service and level: of such a column most rows have the view of the one before.
    fn groups_of_texts(
        &mut self,
        rows: &StringViewArray,
        mut those: Range<usize>,
        groups: &mut Vec<usize>,
    ) {
        while !those.is_empty() {
            let number = self.number(rows, those.start);
            let same = same_as_first(&rows.views()[those.clone()]);
            groups.resize(groups.len() + same, number);
            those.start += same;
        }
    }

    fn groups_of_nulls(&mut self, count: usize, groups: &mut Vec<usize>) {
        if count > 0 {
            let number = self.number_of_null();
            groups.resize(groups.len() + count, number);
        }
    }

    fn number(&mut self, rows: &StringViewArray, row: usize) -> usize {
        let view = rows.views()[row];
        let batch = if view as u32 <= INLINE_BYTES { 0 } else { self.batch };
        let at = place(view);
        let slot = self.slots[at];
        if slot.view == view && slot.batch == batch && slot.after_number != 0 {
            return slot.after_number as usize - 1;
        }
        let number = self.number_of_text(rows.value(row));
        self.slots[at] = Slot { view, batch, after_number: number + 1 };
        number as usize
    }

    fn number_of_text(&mut self, text: &str) -> u32 {
        let Self { numbers, texts, hasher, .. } = self;
        let of = |number: &u32| texts[*number as usize].as_deref();
        let hash = hasher.hash_one(text);
        if let Some(number) = numbers.find(hash, |number| of(number) == Some(text)) {
            return *number;
        }
        let number = texts.len() as u32;
        numbers.insert_unique(hash, number, |number| {
            hasher.hash_one(texts[*number as usize].as_deref().unwrap_or_default())
        });
        texts.push(Some(text.into()));
        self.text_bytes += text.len();
        number
    }

    fn number_of_null(&mut self) -> usize {
        let number = *self.null.get_or_insert_with(|| {
            self.texts.push(None);
            self.texts.len() as u32 - 1
        });
        number as usize
    }

    /// The texts in the order of their numbers; numbers begin anew.
    pub(super) fn take(&mut self) -> StringViewArray {
        let taken = std::mem::take(self);
        // The hasher's seed is of no concern, the batches are: a slot of before must not be met again.
        self.batch = taken.batch;
        let mut array = StringViewBuilder::with_capacity(taken.texts.len());
        taken.texts.iter().for_each(|text| array.append_option(text.as_deref()));
        array.finish()
    }
}

/// How many views at the beginning are the same; they are compared many at a time once two are.
fn same_as_first(views: &[u128]) -> usize {
    const AT_ONCE: usize = 32;
    let [first, second, ..] = views else { return views.len() };
    if first != second {
        return 1;
    }
    let is_same = |view: &u128| view == first;
    let all_same = |views: &&[u128]| views.iter().fold(true, |all, view| all & is_same(view));
    let whole = AT_ONCE * views.chunks_exact(AT_ONCE).take_while(all_same).count();
    whole + views[whole..].iter().take_while(|view| is_same(view)).count()
}

/// Where a view is remembered: the top bits of a product (Fibonacci hashing).
fn place(view: u128) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let folded = (view as u64).wrapping_mul(GOLDEN) ^ (view >> 64) as u64;
    (folded.wrapping_mul(GOLDEN) >> (u64::BITS - SLOTS.ilog2())) as usize
}
