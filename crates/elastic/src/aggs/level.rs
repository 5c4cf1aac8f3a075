//! One plan for the buckets of a chain of aggregations: grouped by all their keys at once.
//!
//! ```text
//! rows → [filter] → keys and inputs → [unnest] → Aggregate → [which groups are wanted] → tables
//! ```
//! The last aggregation of the chain has its numbers from the groups themselves; the others, from
//! groups put together: here, or in the plan where it cuts groups off.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr, WindowFunctionDefinition,
    cast, lit, when,
};

use super::grouping::{Cut, GroupKey, PageSort};
use super::keys::{Key, keys_of, numbers_of};
use super::request::{Direction, Order, OrderBy};
use super::states::{Fold, State, place};
use super::table::Table;
use super::tree::Node;
use crate::ElasticError;
use crate::fields::col;

type Result<T> = std::result::Result<T, ElasticError>;

/// Terms that those below are restricted to in the plan.
const RESTRICTED_MAX: usize = 1_024;

/// Where a level is: the rows, and the buckets around it.
#[derive(Clone)]
pub(super) struct Place {
    /// All rows.
    pub rows: LogicalPlan,
    /// Which of them are in a bucket of each aggregation around.
    pub filters: Vec<Expr>,
    pub keys: Vec<GroupKey>,
}

impl Place {
    /// In the buckets of a node; of those alone that were found, where it cuts.
    pub fn within(&self, node: &Node<'_>, all_rows: &LogicalPlan, found: &Table) -> Self {
        let mut place = self.clone();
        if node.grouping.is_global {
            return Self { rows: all_rows.clone(), filters: vec![], keys: vec![] };
        }
        place.filters.extend(node.grouping.rows.clone());
        if !matches!(node.grouping.cut, Cut::All) {
            place.filters.extend(restricted(node, found));
        }
        place.keys.extend(node.grouping.keys.iter().cloned());
        place
    }
}

/// The rows whose keys are among those that were found.
fn restricted(node: &Node<'_>, found: &Table) -> Vec<Expr> {
    let mut filters = vec![];
    for (at, key) in node.grouping.keys.iter().enumerate() {
        let mut values: Vec<&Key> =
            found.buckets().filter_map(|bucket| bucket.keys.get(at)).collect();
        values.sort_unstable();
        values.dedup();
        if values.len() > RESTRICTED_MAX || key.is_list {
            continue;
        }
        let has_null = values.iter().any(|value| value.is_null());
        let list = values.iter().filter(|value| !value.is_null()).map(|value| value.literal());
        let listed = key.expr.clone().in_list(list.collect(), false);
        filters.push(if has_null { listed.or(key.expr.clone().is_null()) } else { listed });
    }
    filters
}

pub(super) struct Level<'a> {
    place: &'a Place,
    chain: Vec<&'a Node<'a>>,
    keys: Vec<&'a GroupKey>,
    /// Of all nodes of the chain, each once.
    states: Vec<State>,
    /// Where those of each node are.
    places: Vec<Vec<usize>>,
    rows_max: usize,
}

impl<'a> Level<'a> {
    pub fn new(place_of: &'a Place, chain: Vec<&'a Node<'a>>, rows_max: usize) -> Self {
        let mut states = vec![];
        let places = chain.iter().map(|node| place(&mut states, &node.states)).collect();
        let own = chain.iter().flat_map(|node| &node.grouping.keys);
        let keys = place_of.keys.iter().chain(own).collect();
        Self { place: place_of, chain, keys, states, places, rows_max }
    }

    fn last(&self) -> &'a Node<'a> {
        self.chain[self.chain.len() - 1]
    }

    fn key_columns(&self) -> Vec<Expr> {
        (0..self.keys.len()).map(|at| col(&format!("k{at}"))).collect()
    }

    /// The keys that the last node adds.
    fn own_keys(&self) -> std::ops::Range<usize> {
        self.keys.len() - self.last().grouping.keys.len()..self.keys.len()
    }

    /// # Errors
    /// When DataFusion does not take it.
    pub fn plan(&self) -> Result<LogicalPlan> {
        let filters = self.chain[0].grouping.rows.clone();
        let grouped = self.grouped(filters.into_iter().collect(), &self.states)?;
        let wanted = match &self.last().grouping.cut {
            Cut::All => grouped.limit(0, Some(self.rows_max + 1))?,
            Cut::Page { size, sorts, after } => {
                self.page(grouped, *size, sorts, after.as_deref())?
            }
            Cut::Top { size, order, min_doc_count } => {
                self.top(grouped, *size, order, *min_doc_count)?
            }
        };
        Ok(wanted.build()?)
    }

    /// The same groups, without any of them cut off but those that are not in `found`, with exact
    /// counts of distinct values for some states of the last node. `None` when there are none to count.
    ///
    /// # Errors
    /// When DataFusion does not take it.
    pub fn exactly(&self, found: &Table) -> Result<Option<Exactly>> {
        let node = self.last();
        let mut of = vec![];
        let mut states = vec![];
        for (at, state) in node.states.iter().enumerate() {
            let Fold::Distinct { precise_up_to } = state.fold else { continue };
            let about =
                found.buckets().filter_map(|bucket| bucket.states.get(at).copied().flatten());
            let most = about.fold(0.0, f64::max);
            if most > 0.0 && most <= precise_up_to as f64 {
                of.push(at);
                states.push(State { fold: Fold::DistinctExactly, input: state.input.clone() });
            }
        }
        if states.is_empty() {
            return Ok(None);
        }
        let mut filters: Vec<Expr> = self.chain[0].grouping.rows.clone().into_iter().collect();
        if !matches!(node.grouping.cut, Cut::All) {
            filters.extend(restricted(node, found));
        }
        let plan = self.grouped(filters, &states)?.build()?;
        Ok(Some(Exactly { plan, of }))
    }

    /// Groups with their counts (`n`) and states (`s0`, …).
    fn grouped(&self, filters: Vec<Expr>, states: &[State]) -> Result<LogicalPlanBuilder> {
        let mut plan = LogicalPlanBuilder::from(self.place.rows.clone());
        if let Some(filter) = conjunction(self.place.filters.iter().cloned().chain(filters)) {
            plan = plan.filter(filter)?;
        }
        let mut inputs: Vec<&Expr> = vec![];
        for state in states {
            if !inputs.contains(&&state.input) {
                inputs.push(&state.input);
            }
        }
        let keys = self.keys.iter().enumerate();
        let keys = keys.map(|(at, key)| key.expr.clone().alias(format!("k{at}")));
        let values = inputs.iter().enumerate();
        let values = values.map(|(at, input)| (*input).clone().alias(format!("x{at}")));
        let columns: Vec<Expr> = keys.chain(values).collect();
        if !columns.is_empty() {
            plan = plan.project(columns)?;
        }
        for (at, _) in self.keys.iter().enumerate().filter(|(_, key)| key.is_list) {
            let name = format!("k{at}");
            plan = plan.unnest_column(datafusion::common::Column::new_unqualified(&name))?;
            plan = plan.filter(col(&name).is_not_null())?;
        }
        let mut folds = vec![count(lit(1_i64)).alias("n")];
        for (at, state) in states.iter().enumerate() {
            let input = inputs.iter().position(|input| **input == state.input).unwrap_or_default();
            folds.push(state.fold.of(col(&format!("x{input}"))).alias(format!("s{at}")));
        }
        Ok(plan.aggregate(self.key_columns(), folds)?)
    }

    /// The first groups by their keys that come after some.
    fn page(
        &self,
        plan: LogicalPlanBuilder,
        size: usize,
        sorts: &[PageSort],
        after: Option<&[Key]>,
    ) -> Result<LogicalPlanBuilder> {
        let columns = &self.key_columns()[self.own_keys()];
        let mut plan = plan;
        if let Some(after) = after {
            plan = plan.filter(comes_after(columns, sorts, after))?;
        }
        let sorts = columns.iter().zip(sorts).map(|(column, sort)| {
            column.clone().sort(sort.direction == Direction::Ascending, sort.nulls_first)
        });
        Ok(plan.sort_with_limit(sorts.collect::<Vec<_>>(), Some(size))?)
    }

    /// The first groups by an order, in each of the buckets around, with the number of rows in all of
    /// them (`all`), and what the nodes before the last need of all of them (`up`, `u0`, …).
    fn top(
        &self,
        plan: LogicalPlanBuilder,
        size: usize,
        order: &Order,
        min_doc_count: u64,
    ) -> Result<LogicalPlanBuilder> {
        let columns = self.key_columns();
        let own = &columns[self.own_keys()];
        let around = &columns[..self.own_keys().start];
        let is_bucket = conjunction(own.iter().map(|key| key.clone().is_not_null()));
        let is_bucket = is_bucket.unwrap_or_else(|| lit(true));
        let mut plan = plan;
        if min_doc_count > 1 {
            let min = i64::try_from(min_doc_count).unwrap_or(i64::MAX);
            plan = plan.filter(col("n").gt_eq(lit(min)))?;
        }
        let sorts = self.sorts(order, own);
        let counted = when(is_bucket.clone(), col("n")).end()?;
        let mut windows = vec![over(sum(counted), around)?.alias("all")];
        if self.chain.len() > 1 {
            // As doubles: of keys that are never null this would be the same as `all`, and DataFusion does
            // not plan a window that is there twice.
            let all = sum(cast(col("n"), DataType::Float64));
            windows.push(over(all, around)?.alias("up"));
            for (at, state) in
                self.states.iter().enumerate().filter(|(_, state)| state.fold.merges())
            {
                let parts = state.fold.of_parts(col(&format!("s{at}")));
                windows.push(over(parts, around)?.alias(format!("u{at}")));
            }
        }
        plan = plan.window(windows)?;
        if around.is_empty() {
            // The group of rows without a term comes first, for what the nodes before it need.
            let mut first = vec![is_bucket.sort(true, false)];
            first.extend(sorts);
            return Ok(plan.sort_with_limit(first, Some(size + 1))?);
        }
        let mut ranked = vec![is_bucket.clone().sort(false, false)];
        ranked.extend(sorts);
        let rank = row_number().partition_by(around.to_vec()).order_by(ranked).build()?;
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let wanted = col("place").lt_eq(lit(size)).or(datafusion::logical_expr::not(is_bucket));
        // Of one order are the windows of a plan's node: these have none.
        Ok(plan
            .window(vec![rank.alias("place")])?
            .filter(wanted)?
            .limit(0, Some(self.rows_max + 1))?)
    }

    fn sorts(&self, order: &Order, own: &[Expr]) -> Vec<SortExpr> {
        let node = self.last();
        let places = &self.places[self.places.len() - 1];
        let mut sorts = vec![];
        for (by, direction) in order {
            let ascending = *direction == Direction::Ascending;
            match by {
                OrderBy::Count => sorts.push(col("n").sort(ascending, false)),
                OrderBy::Key => {
                    sorts.extend(own.iter().map(|key| key.clone().sort(ascending, false)))
                }
                OrderBy::Metric(path) => {
                    let Some((metric, property)) = node.metric(path) else { continue };
                    let columns =
                        metric.places.iter().map(|place| col(&format!("s{}", places[*place])));
                    let columns: Vec<Expr> = columns.collect();
                    if let Some(by) = metric.plan.sorted_by(property, &columns) {
                        sorts.push(by.sort(ascending, false));
                    }
                }
            }
        }
        sorts
    }

    /// The tables of the chain's nodes.
    ///
    /// # Errors
    /// When there are more groups than there may be, or rows are not those of the plan.
    pub fn read(&self, batches: &[RecordBatch]) -> Result<Vec<Table>> {
        let rows = Rows::read(batches, self.keys.len(), self.states.len())?;
        let mut tables: Vec<Table> = self.chain.iter().map(|_| Table::default()).collect();
        let is_cut = matches!(self.last().grouping.cut, Cut::Top { .. });
        if rows.counts.len() > self.rows_max {
            return Err(ElasticError::too_many_buckets(self.rows_max));
        }
        let last = self.chain.len() - 1;
        let mut seen = std::collections::HashSet::new();
        for row in 0..rows.counts.len() {
            let keys: Vec<Key> = rows.keys.iter().map(|column| column[row].clone()).collect();
            let around = &keys[..self.own_keys().start];
            // What was put together in the plan is in every row of what is around.
            let is_first = !is_cut || last == 0 || seen.insert(around.to_vec());
            let mut within = self.place.keys.len();
            for (at, node) in self.chain.iter().enumerate() {
                let end = within + node.grouping.keys.len();
                let own = &keys[within..end];
                if !node.grouping.null_is_key && own.iter().any(Key::is_null) {
                    if at == last {
                        tables[at].group_mut(&keys[..within]).all = rows.all(row);
                    }
                    break;
                }
                if at == last || is_first {
                    let empty: Vec<_> =
                        node.states.iter().map(|state| state.fold.of_nothing()).collect();
                    let group = tables[at].group_mut(&keys[..within]);
                    group.all = rows.all(row);
                    let bucket = group.bucket(own, &empty);
                    let is_up = is_cut && at != last;
                    bucket.count += if is_up { rows.up(row) } else { rows.counts[row] };
                    for (place, state) in node.states.iter().enumerate() {
                        let number = rows.state(row, self.places[at][place], is_up);
                        bucket.states[place] = match at == last {
                            true => number,
                            false => state.fold.merge(bucket.states[place], number),
                        };
                    }
                }
                within = end;
            }
        }
        if let Cut::Top { size, .. } = self.last().grouping.cut {
            tables[last].truncate(size);
        }
        Ok(tables)
    }
}

/// The first keys of terms in all rows of an index: with those that were found, enough to fill the
/// aggregation up with empty buckets.
///
/// # Errors
/// When DataFusion does not take it.
pub(super) fn first_keys(node: &Node<'_>, all_rows: &LogicalPlan) -> Result<LogicalPlan> {
    let place = Place { rows: all_rows.clone(), filters: vec![], keys: vec![] };
    let level = Level::new(&place, vec![node], 0);
    let grouped = level.grouped(node.grouping.rows.clone().into_iter().collect(), &[])?;
    let Cut::Top { size, order, .. } = &node.grouping.cut else { return Ok(grouped.build()?) };
    let by_key = order.iter().find(|(by, _)| *by == OrderBy::Key);
    let ascending = by_key.is_none_or(|(_, direction)| *direction == Direction::Ascending);
    let sorts = level.key_columns().into_iter().map(|key| key.sort(ascending, false));
    let size = size.saturating_mul(2);
    Ok(grouped.sort_with_limit(sorts.collect::<Vec<_>>(), Some(size))?.build()?)
}

/// The keys of that plan's rows.
///
/// # Errors
/// When they are not of it.
pub(super) fn read_keys(batches: &[RecordBatch]) -> Result<Vec<Key>> {
    let mut rows = Rows::read(batches, 1, 0)?;
    Ok(rows.keys.pop().unwrap_or_default())
}

/// A plan of exact counts of distinct values, and of which states they are.
pub(super) struct Exactly {
    pub plan: LogicalPlan,
    of: Vec<usize>,
}

impl Exactly {
    /// Puts the counts in the places of those that are not exact. `around`: how many keys come before
    /// the node's own.
    ///
    /// # Errors
    /// When rows are not those of the plan.
    pub fn put(&self, batches: &[RecordBatch], own: usize, found: &mut Table) -> Result<()> {
        let Some(first) = batches.first() else { return Ok(()) };
        let keys = first.num_columns() - 1 - self.of.len();
        let rows = Rows::read(batches, keys, self.of.len())?;
        for row in 0..rows.counts.len() {
            let tuple: Vec<Key> = rows.keys.iter().map(|column| column[row].clone()).collect();
            let (around, own) = tuple.split_at(keys - own);
            let Some(bucket) = found.group_mut(around).known(own) else { continue };
            for (at, state) in self.of.iter().enumerate() {
                bucket.states[*state] = rows.state(row, at, false);
            }
        }
        Ok(())
    }
}

/// The rows of a plan's answer, column by column.
struct Rows {
    keys: Vec<Vec<Key>>,
    counts: Vec<u64>,
    states: Vec<Vec<Option<f64>>>,
    all: Vec<Option<f64>>,
    up: Vec<Option<f64>>,
    up_states: Vec<Vec<Option<f64>>>,
}

impl Rows {
    fn read(batches: &[RecordBatch], keys: usize, states: usize) -> Result<Self> {
        let mut rows = Self {
            keys: vec![vec![]; keys],
            counts: vec![],
            states: vec![vec![]; states],
            all: vec![],
            up: vec![],
            up_states: vec![vec![]; states],
        };
        for batch in batches {
            let numbers = |name: &str| match batch.column_by_name(name) {
                Some(column) => numbers_of(column),
                None => Ok(vec![]),
            };
            for (at, column) in rows.keys.iter_mut().enumerate() {
                if let Some(found) = batch.column_by_name(&format!("k{at}")) {
                    column.extend(keys_of(found)?);
                }
            }
            rows.counts.extend(numbers("n")?.into_iter().map(|count| count.unwrap_or(0.0) as u64));
            for (at, column) in rows.states.iter_mut().enumerate() {
                column.extend(numbers(&format!("s{at}"))?);
            }
            for (at, column) in rows.up_states.iter_mut().enumerate() {
                column.extend(numbers(&format!("u{at}"))?);
            }
            rows.all.extend(numbers("all")?);
            rows.up.extend(numbers("up")?);
        }
        Ok(rows)
    }

    fn all(&self, row: usize) -> u64 {
        self.all.get(row).copied().flatten().unwrap_or(0.0) as u64
    }

    fn up(&self, row: usize) -> u64 {
        self.up.get(row).copied().flatten().unwrap_or(0.0) as u64
    }

    fn state(&self, row: usize, at: usize, is_up: bool) -> Option<f64> {
        let states = if is_up { &self.up_states } else { &self.states };
        states.get(at)?.get(row).copied().flatten()
    }
}

/// An aggregate function as a window function over whole partitions.
fn over(function: Expr, partition: &[Expr]) -> Result<Expr> {
    let Expr::AggregateFunction(function) = function else {
        return Err(ElasticError::illegal_argument("no aggregate function"));
    };
    let fun = WindowFunctionDefinition::AggregateUDF(function.func);
    let window = Expr::from(WindowFunction::new(fun, function.params.args));
    match partition.is_empty() {
        true => Ok(window),
        false => Ok(window.partition_by(partition.to_vec()).build()?),
    }
}

/// Keys that come after others: by the first in which they differ.
fn comes_after(columns: &[Expr], sorts: &[PageSort], after: &[Key]) -> Expr {
    let mut found = lit(false);
    for ((column, sort), key) in columns.iter().zip(sorts).zip(after).rev() {
        let (later, equal) = match (key, sort.nulls_first) {
            (Key::Null, true) => (column.clone().is_not_null(), column.clone().is_null()),
            (Key::Null, false) => (lit(false), column.clone().is_null()),
            (key, nulls_first) => {
                let later = match sort.direction {
                    Direction::Ascending => column.clone().gt(key.literal()),
                    Direction::Descending => column.clone().lt(key.literal()),
                };
                let later = if nulls_first { later } else { later.or(column.clone().is_null()) };
                (later, column.clone().eq(key.literal()))
            }
        };
        found = later.or(equal.and(found));
    }
    found
}
