//! The statistics of a file: bounds that are true of every value, and nulls.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray};
use arrow::compute;
use arrow::datatypes::{
    DataType, Float64Type, Int16Type, Int64Type, TimestampMicrosecondType, UInt16Type,
};
use loglake_model::{ATTRIBUTES, ColumnStats, MESSAGE, StatValue};

/// Bytes of a bound that is a string. Longer values are cut: the log keeps bounds of every file.
const STRING_BYTES_MAX: usize = 32;

/// The statistics of one column, slice by slice.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    min: Option<StatValue>,
    max: Option<StatValue>,
    null_count: u64,
    /// A value that orders with none was seen: nothing bounds this column.
    unbounded: bool,
}

impl Bounds {
    /// Takes the next rows of the column in. Prose has no bounds, since they would prune nothing.
    pub(crate) fn add(&mut self, name: &str, values: &ArrayRef) {
        self.null_count += values.null_count() as u64;
        if matches!(name, MESSAGE | ATTRIBUTES) {
            return;
        }
        let (min, max) = match values.data_type() {
            DataType::Utf8 => {
                let strings = values.as_string::<i32>();
                return self
                    .add_strings(compute::min_string(strings), compute::max_string(strings));
            }
            DataType::Dictionary(..) => {
                let used = used_entries(values.as_dictionary());
                return self.add_strings(used.clone().min(), used.max());
            }
            DataType::Timestamp(..) => {
                let times = values.as_primitive::<TimestampMicrosecondType>();
                let both = (compute::min(times), compute::max(times));
                (both.0.map(StatValue::Timestamp), both.1.map(StatValue::Timestamp))
            }
            DataType::Int16 => {
                let ints = values.as_primitive::<Int16Type>();
                let int = |n| StatValue::Int(i64::from(n));
                (compute::min(ints).map(int), compute::max(ints).map(int))
            }
            DataType::Int64 => {
                let ints = values.as_primitive::<Int64Type>();
                (compute::min(ints).map(StatValue::Int), compute::max(ints).map(StatValue::Int))
            }
            DataType::Float64 => {
                let floats = values.as_primitive::<Float64Type>();
                // Arrow orders NaN before or after all numbers, by its sign.
                (
                    compute::min(floats).map(StatValue::Float),
                    compute::max(floats).map(StatValue::Float),
                )
            }
            DataType::Boolean => {
                let bools = values.as_boolean();
                let both = (compute::min_boolean(bools), compute::max_boolean(bools));
                (both.0.map(StatValue::Bool), both.1.map(StatValue::Bool))
            }
            _ => (None, None),
        };
        for bound in [&min, &max] {
            self.unbounded |= matches!(bound, Some(StatValue::Float(n)) if n.is_nan());
        }
        if let Some(min) = min.filter(|min| self.min.as_ref().is_none_or(|m| min < m)) {
            self.min = Some(min);
        }
        if let Some(max) = max.filter(|max| self.max.as_ref().is_none_or(|m| max > m)) {
            self.max = Some(max);
        }
    }

    fn add_strings(&mut self, min: Option<&str>, max: Option<&str>) {
        let below = |s: &&str| !matches!(&self.min, Some(StatValue::String(m)) if m.as_ref() <= *s);
        if let Some(min) = min.filter(below) {
            self.min = Some(StatValue::String(min.into()));
        }
        let above = |s: &&str| !matches!(&self.max, Some(StatValue::String(m)) if m.as_ref() >= *s);
        if let Some(max) = max.filter(above) {
            self.max = Some(StatValue::String(max.into()));
        }
    }

    pub(crate) fn finish(self) -> ColumnStats {
        let null_count = self.null_count;
        if self.unbounded {
            return ColumnStats { min: None, max: None, null_count };
        }
        let min = self.min.and_then(|min| match min {
            StatValue::String(s) => Some(StatValue::String(lower_bound(&s).into())),
            // Both zeros are equal in SQL and not in Arrow: a bound covers both.
            StatValue::Float(0.0) => Some(StatValue::Float(-0.0)),
            StatValue::Float(n) if !n.is_finite() => None,
            other => Some(other),
        });
        let max = self.max.and_then(|max| match max {
            StatValue::String(s) => upper_bound(&s).map(|s| StatValue::String(Arc::from(s))),
            StatValue::Float(0.0) => Some(StatValue::Float(0.0)),
            StatValue::Float(n) if !n.is_finite() => None,
            other => Some(other),
        });
        ColumnStats { min, max, null_count }
    }
}

/// Those of the texts of a dictionary that a row has.
fn used_entries(texts: &DictionaryArray<UInt16Type>) -> impl Iterator<Item = &str> + Clone {
    let entries = texts.values().as_string::<i32>();
    let mut used = vec![false; entries.len()];
    texts.keys().iter().flatten().for_each(|number| used[usize::from(number)] = true);
    let used: Vec<usize> = (0..entries.len()).filter(|at| used[*at]).collect();
    used.into_iter().map(|at| entries.value(at))
}

/// A string at or before `s`, of at most 32 bytes: a prefix of it.
fn lower_bound(s: &str) -> &str {
    &s[..s.floor_char_boundary(STRING_BYTES_MAX)]
}

/// A string at or after everything that begins like `s`, of at most 32 bytes: `s` itself when it
/// is short, else a prefix of it with its last character moved up. `None` when no character of
/// the prefix can be.
fn upper_bound(s: &str) -> Option<String> {
    if s.len() <= STRING_BYTES_MAX {
        return Some(s.to_owned());
    }
    let mut prefix = lower_bound(s);
    while let Some(last) = prefix.chars().next_back() {
        prefix = &prefix[..prefix.len() - last.len_utf8()];
        if let Some(next) = next_char(last)
            && prefix.len() + next.len_utf8() <= STRING_BYTES_MAX
        {
            return Some(format!("{prefix}{next}"));
        }
    }
    None
}

/// The next character in the order of code points, which is that of UTF-8's bytes.
fn next_char(c: char) -> Option<char> {
    (c..=char::MAX).nth(1)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn bounds(values: ArrayRef) -> ColumnStats {
        let mut bounds = Bounds::default();
        bounds.add("x", &values);
        bounds.finish()
    }

    #[test]
    fn long_strings_are_cut_down_and_up() {
        let long = "a".repeat(31) + "zebra";
        let stats = bounds(Arc::new(StringArray::from(vec![long.as_str()])));
        assert_eq!(stats.min, Some(StatValue::String(("a".repeat(31) + "z").into())));
        assert_eq!(stats.max, Some(StatValue::String(("a".repeat(31) + "{").into())));
    }

    #[test]
    fn an_upper_bound_steps_over_characters_that_cannot_grow() {
        let highest = char::MAX.to_string();
        assert_eq!(upper_bound(&("b".to_owned() + &highest.repeat(8))), Some("c".to_owned()));
        assert_eq!(upper_bound(&highest.repeat(9)), None);
        assert_eq!(next_char('\u{d7ff}'), Some('\u{e000}'));
        // One more would be two bytes, 33 in all.
        let tight = "a".repeat(31) + "\u{7f}b";
        assert_eq!(upper_bound(&tight), Some("a".repeat(30) + "b"));
    }

    #[test]
    fn nan_has_no_bounds_and_infinity_none_of_its_side() {
        for nan in [f64::NAN, -f64::NAN] {
            let stats = bounds(Arc::new(Float64Array::from(vec![Some(1.0), None, Some(nan)])));
            assert_eq!(stats, ColumnStats { min: None, max: None, null_count: 1 });
        }
        let stats = bounds(Arc::new(Float64Array::from(vec![1.0, f64::INFINITY])));
        assert_eq!((stats.min, stats.max), (Some(StatValue::Float(1.0)), None));
    }

    proptest! {
        #[test]
        fn cut_strings_bound(s in "\\PC{0,40}|[\u{7e}-\u{81}\u{d7fe}-\u{e001}\u{10fffe}\u{10ffff}]{0,40}") {
            prop_assert!(lower_bound(&s) <= s.as_str());
            prop_assert!(lower_bound(&s).len() <= STRING_BYTES_MAX);
            if let Some(upper) = upper_bound(&s) {
                prop_assert!(upper.as_str() >= s.as_str() && upper.len() <= STRING_BYTES_MAX);
            }
        }
    }
}
