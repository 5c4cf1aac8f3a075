//! `approx_percentile_cont` by group, many values at a time.
//!
//! DataFusion's keeps a t-digest (Dunning, "Computing Extremely Accurate Quantiles Using t-Digests") for
//! each group and merges it with what each batch has for the group, a few dozen values. This one collects
//! thousands first, which is most of the time that a percentile by group takes. Digests, states and results
//! are DataFusion's: where a group is asked for at once, they are the same.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, new_empty_array};
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

impl Group {
    fn new() -> Self {
        Self { digest: TDigest::new(DEFAULT_MAX_SIZE), collected: vec![] }
    }

    fn add(&mut self, value: f64) {
        self.collected.push(in_order(value.to_bits().cast_signed()));
        if self.collected.len() == COLLECTED_MAX {
            self.digest_collected();
        }
    }

    fn digest_collected(&mut self) {
        if !self.collected.is_empty() {
            self.collected.sort_unstable();
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

impl GroupsAccumulator for Percentiles {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.groups.resize_with(group_count, Group::new);
        let is_wanted = |row| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let values = values[0].as_primitive::<Float64Type>();
        let mut add = |row: usize| {
            if is_wanted(row) {
                self.groups[groups[row]].add(values.value(row));
            }
        };
        match values.nulls() {
            Some(nulls) => nulls.valid_indices().for_each(&mut add),
            None => (0..values.len()).for_each(&mut add),
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
