//! `approx_percentile_cont` by group, many values at a time.
//!
//! DataFusion's keeps a t-digest (Dunning, "Computing Extremely Accurate Quantiles Using t-Digests") for
//! each group and merges it with what each batch has for the group, a few dozen values. This one collects
//! thousands first, which is most of the time that a percentile by group takes. Digests, states and results
//! are DataFusion's: where a group is asked for at once, they are the same.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, new_empty_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::approx_percentile_cont::ApproxPercentileCont;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature,
};
use datafusion::physical_plan::expressions::Literal;
use datafusion_functions_aggregate_common::tdigest::{DEFAULT_MAX_SIZE, TDigest};

/// Values of a group that are collected before they go into its digest.
const COLLECTED_MAX: usize = 4_096;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Percentile {
    one: ApproxPercentileCont,
}

impl Percentile {
    pub(super) fn new() -> Self {
        Self { one: ApproxPercentileCont::new() }
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.one.name()
    }

    fn signature(&self) -> &Signature {
        self.one.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.one.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.one.state_fields(args)
    }

    fn supports_within_group_clause(&self) -> bool {
        self.one.supports_within_group_clause()
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.one.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        percentile_asked(&args).is_some()
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let percentile = percentile_asked(&args);
        // It says what is wrong with the arguments.
        self.one.accumulator(args)?;
        Ok(Box::new(Percentiles { percentile: percentile.unwrap_or_default(), groups: vec![] }))
    }
}

/// The percentile of the arguments that this is for: of doubles, without a size of the digest.
fn percentile_asked(args: &AccumulatorArgs<'_>) -> Option<f64> {
    let is_double = args.expr_fields.first()?.data_type() == &DataType::Float64;
    let literal = args.exprs.get(1)?.downcast_ref::<Literal>()?;
    let ScalarValue::Float64(Some(percentile)) = literal.value() else { return None };
    let descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
    let percentile = if descending { 1.0 - percentile } else { *percentile };
    (is_double && args.exprs.len() == 2).then_some(percentile)
}

struct Percentiles {
    percentile: f64,
    groups: Vec<Group>,
}

struct Group {
    digest: TDigest,
    /// As integers in the order of the values, which are sorted faster.
    collected: Vec<i64>,
}

/// The bits of doubles as integers that have the order of `f64::total_cmp`, and back: the magnitude of
/// negative ones is turned round.
const fn in_order(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// Values below which [`sort`] has nothing to gain.
const RADIX_MIN: usize = 512;
const DIGIT_BITS: u32 = 10;
const DIGITS: usize = 1 << DIGIT_BITS;
/// How far a value may have to go when all are nearly in order, on average.
const MOVES_MAX: usize = 8;

/// Sorts by the two highest digits of where each value is in the span of all (a radix sort, lowest digit first),
/// and then by what is left, which is little unless a few values are far from all others.
fn sort(values: &mut [i64]) {
    let (Some(min), Some(max)) = (values.iter().min(), values.iter().max()) else { return };
    if !(RADIX_MIN..=usize::from(u16::MAX)).contains(&values.len()) {
        return values.sort_unstable();
    }
    let (min, span) = (*min, max.wrapping_sub(*min).cast_unsigned());
    let shift = (u64::BITS - span.leading_zeros()).saturating_sub(2 * DIGIT_BITS);
    let high = |value: &i64| (value.wrapping_sub(min).cast_unsigned() >> shift) as usize;
    let low_digit = |value: &i64| high(value) % DIGITS;
    let high_digit = |value: &i64| high(value) / DIGITS;
    let (mut low, mut high) = ([0; DIGITS], [0; DIGITS]);
    for value in &*values {
        low[low_digit(value)] += 1;
        high[high_digit(value)] += 1;
    }
    let mut spare = vec![0; values.len()];
    distribute(values, low_digit, low, &mut spare);
    distribute(&spare, high_digit, high, values);
    if !insert_each(values) {
        values.sort_unstable();
    }
}

/// Copies values in the order of their digits, of each of which there are so many.
fn distribute(
    values: &[i64],
    digit: impl Fn(&i64) -> usize,
    mut counts: [u16; DIGITS],
    out: &mut [i64],
) {
    let mut start = 0;
    for count in &mut counts {
        start += std::mem::replace(count, start);
    }
    for value in values {
        let at = &mut counts[digit(value)];
        out[usize::from(*at)] = *value;
        *at += 1;
    }
}

/// Sorts values that are near their places; false where it gave up, since they are not.
fn insert_each(values: &mut [i64]) -> bool {
    let mut moves = MOVES_MAX * values.len();
    for from in 1..values.len() {
        let (value, mut at) = (values[from], from);
        while at > 0 && values[at - 1] > value && moves > 0 {
            values[at] = values[at - 1];
            (at, moves) = (at - 1, moves - 1);
        }
        values[at] = value;
    }
    moves > 0
}

impl Group {
    fn new() -> Self {
        Self { digest: TDigest::new(DEFAULT_MAX_SIZE), collected: vec![] }
    }

    fn add(&mut self, mut values: &[f64]) {
        while !values.is_empty() {
            let room = COLLECTED_MAX - self.collected.len();
            let (now, rest) = values.split_at(room.min(values.len()));
            self.collected.extend(now.iter().map(|value| in_order(value.to_bits().cast_signed())));
            values = rest;
            if self.collected.len() == COLLECTED_MAX {
                self.digest_collected();
            }
        }
    }

    fn digest_collected(&mut self) {
        if !self.collected.is_empty() {
            sort(&mut self.collected);
            let sorted =
                self.collected.iter().map(|key| f64::from_bits(in_order(*key).cast_unsigned()));
            self.digest = self.digest.merge_sorted_f64(&sorted.collect::<Vec<_>>());
            self.collected.clear();
        }
    }

    /// The digest of all values.
    fn finish(mut self) -> TDigest {
        self.digest_collected();
        self.digest
    }
}

impl Percentiles {
    fn take(&mut self, emit: EmitTo) -> impl Iterator<Item = TDigest> {
        emit.take_needed(&mut self.groups).into_iter().map(Group::finish)
    }
}

/// The rows for which a filter is true, as those that are there.
fn wanted_rows(filter: &BooleanArray) -> NullBuffer {
    NullBuffer::new(match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    })
}

impl GroupsAccumulator for Percentiles {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.groups.resize_with(group_count, Group::new);
        let values = values[0].as_primitive::<Float64Type>();
        let wanted = filter.map(wanted_rows);
        let mut add = |rows: Range<usize>| {
            let mut from = rows.start;
            for same in groups[rows].chunk_by(|a, b| a == b) {
                let rows = from..from + same.len();
                from = rows.end;
                self.groups[same[0]].add(&values.values()[rows]);
            }
        };
        match NullBuffer::union(wanted.as_ref(), values.nulls()) {
            Some(there) => there.valid_slices().for_each(|(start, end)| add(start..end)),
            None => add(0..values.len()),
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let percentile = self.percentile;
        let of =
            |digest: TDigest| (digest.count() > 0.0).then(|| digest.estimate_quantile(percentile));
        Ok(Arc::new(self.take(emit).map(of).collect::<Float64Array>()))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let types = TDigest::new(DEFAULT_MAX_SIZE).to_scalar_state().into_iter();
        let types: Vec<DataType> = types.map(|value| value.data_type()).collect();
        let mut columns = vec![vec![]; types.len()];
        for digest in self.take(emit) {
            let values = columns.iter_mut().zip(digest.to_scalar_state());
            values.for_each(|(column, value)| column.push(value));
        }
        let arrays = types.iter().zip(columns).map(|(kind, column)| match column.is_empty() {
            true => Ok(new_empty_array(kind)),
            false => ScalarValue::iter_to_array(column),
        });
        arrays.collect()
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        groups: &[usize],
        group_count: usize,
    ) -> Result<()> {
        self.groups.resize_with(group_count, Group::new);
        for (row, group) in groups.iter().enumerate() {
            let state = states.iter().map(|column| ScalarValue::try_from_array(column, row));
            let other = TDigest::from_scalar_state(&state.collect::<Result<Vec<_>>>()?);
            let group = &mut self.groups[*group];
            if other.count() > 0.0 {
                group.digest = TDigest::merge_digests([&group.digest, &other]);
            }
        }
        Ok(())
    }

    /// As if each row were a group.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut each = Self { percentile: self.percentile, groups: vec![] };
        let groups: Vec<usize> = (0..values[0].len()).collect();
        each.update_batch(values, &groups, filter, groups.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let of =
            |group: &Group| group.digest.size() + group.collected.capacity() * size_of::<f64>();
        self.groups.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_are_sorted_however_they_are_spread(
            values in prop_oneof![
                proptest::collection::vec(any::<i64>(), 0..3_000),
                proptest::collection::vec(0..3_i64, 0..3_000),
                proptest::collection::vec(prop_oneof![Just(i64::MIN), 0..9_000_i64, Just(i64::MAX)], 0..3_000),
            ],
        ) {
            let mut expected = values.clone();
            expected.sort_unstable();
            let mut sorted = values;
            sort(&mut sorted);
            prop_assert_eq!(sorted, expected);
        }
    }
}
