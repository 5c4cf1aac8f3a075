//! Groups by one text, counted by what the texts share in memory.
//!
//! ```text
//! rows ─▶ [TextGroups: a partial state for each text] ─▶ DataFusion's final aggregation
//! ```
//! The Parquet reader makes texts that a page has once equal views: the same bytes, or the same place
//! in the same buffer. So most rows find their group by the 16 bytes of their view ([`Texts`]), where
//! DataFusion's aggregation hashes and compares each text. Accumulators and states are DataFusion's.
//!
//! Bounded: at [`GROUPS_MAX`] texts, or when the memory of the query is at its end, the states so far go on
//! and it begins anew, which is why it stands for partial aggregations alone.

mod texts;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, aggregate_expressions};
use datafusion::physical_plan::expressions::Literal;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode,
    PhysicalExpr, PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

use self::texts::Texts;

/// Groups that are kept at once. More of them would not be for a person to read.
const GROUPS_MAX: usize = 8_192;

/// The plan with partial aggregations by one text replaced.
pub(crate) fn by_texts(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let replaced = plan.transform_up(|node| match node.downcast_ref::<AggregateExec>() {
        Some(aggregate) if groups_one_text(aggregate)? => {
            Ok(Transformed::yes(Arc::new(TextGroups::new(aggregate)) as _))
        }
        _ => Ok(Transformed::no(node)),
    });
    Ok(replaced?.data)
}

fn groups_one_text(aggregate: &AggregateExec) -> Result<bool> {
    let [(key, _)] = aggregate.group_expr().expr() else { return Ok(false) };
    let is_plain = aggregate.mode() == &AggregateMode::Partial
        && aggregate.group_expr().is_single()
        && aggregate.input_order_mode() == &InputOrderMode::Linear
        && aggregate.limit_options().is_none();
    let by_group = aggregate.aggr_expr().iter().all(|function| {
        // What an ordered set is ordered by is its argument, and no order of rows.
        let is_ordered =
            !function.order_bys().is_empty() && !function.fun().supports_within_group_clause();
        function.groups_accumulator_supported() && !is_ordered
    });
    let kind = key.data_type(&aggregate.input_schema())?;
    Ok(is_plain && by_group && kind == DataType::Utf8View)
}

/// A partial aggregation whose key is one text.
pub(crate) struct TextGroups {
    /// What it stands for: expressions, schema and properties.
    aggregate: AggregateExec,
    metrics: ExecutionPlanMetricsSet,
}

impl TextGroups {
    fn new(aggregate: &AggregateExec) -> Self {
        Self { aggregate: aggregate.clone(), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl fmt::Debug for TextGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TextGroups").field(&self.aggregate).finish()
    }
}

impl DisplayAs for TextGroups {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextGroups: ")?;
        self.aggregate.fmt_as(kind, f)
    }
}

impl ExecutionPlan for TextGroups {
    fn name(&self) -> &'static str {
        "TextGroups"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.aggregate.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.aggregate.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.aggregate.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let aggregate: Arc<dyn ExecutionPlan> = Arc::new(self.aggregate.clone());
        by_texts(aggregate.replace_children(children, options)?)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.aggregate.input().execute(partition, Arc::clone(&context))?;
        let memory = MemoryConsumer::new("TextGroups").register(context.memory_pool());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let grouping = Grouping::new(&self.aggregate, memory, metrics)?;
        let states = stream::try_unfold((grouping, input), |(mut grouping, mut input)| async {
            while let Some(batch) = input.next().await {
                grouping.add(&batch?)?;
                if grouping.is_full() {
                    return Ok(Some((grouping.take()?, (grouping, input))));
                }
            }
            match grouping.texts.is_empty() {
                true => Ok(None),
                false => Ok(Some((grouping.take()?, (grouping, input)))),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), states.into_stream())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The groups of one partition.
struct Grouping {
    aggregate: AggregateExec,
    /// What each function takes.
    arguments: Vec<Vec<Argument>>,
    texts: Texts,
    states: Vec<Box<dyn GroupsAccumulator>>,
    /// The group of each row of a batch; kept for its memory.
    groups: Vec<usize>,
    memory: MemoryReservation,
    is_out_of_memory: bool,
    metrics: BaselineMetrics,
}

impl Grouping {
    fn new(
        aggregate: &AggregateExec,
        memory: MemoryReservation,
        metrics: BaselineMetrics,
    ) -> Result<Self> {
        let functions = aggregate.aggr_expr();
        let arguments = aggregate_expressions(functions, aggregate.mode(), 0)?;
        Ok(Self {
            arguments: arguments
                .into_iter()
                .map(|of_one| of_one.into_iter().map(Argument::new).collect())
                .collect(),
            texts: Texts::default(),
            states: accumulators(aggregate)?,
            aggregate: aggregate.clone(),
            groups: vec![],
            memory,
            is_out_of_memory: false,
            metrics,
        })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let _timer = self.metrics.elapsed_compute().timer();
        let rows = batch.num_rows();
        let (key, _) = &self.aggregate.group_expr().expr()[0];
        let key = key.evaluate(batch)?.into_array(rows)?;
        self.groups.clear();
        self.texts.groups_of(key.as_string_view(), &mut self.groups);

        let filters = self.aggregate.filter_expr().iter().zip(&mut self.states);
        for ((filter, state), arguments) in filters.zip(&mut self.arguments) {
            let values = arguments.iter_mut().map(|argument| argument.of(batch));
            let values = values.collect::<Result<Vec<_>>>()?;
            let filter = filter.as_ref().map(|filter| rows_of(filter, batch)).transpose()?;
            state.update_batch(&values, &self.groups, filter.as_ref(), self.texts.len())?;
        }
        let bytes = self.texts.bytes() + self.states.iter().map(|s| s.size()).sum::<usize>();
        self.is_out_of_memory = self.memory.try_resize(bytes).is_err();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.texts.len() >= GROUPS_MAX || self.is_out_of_memory
    }

    /// The states so far; what comes begins anew.
    fn take(&mut self) -> Result<RecordBatch> {
        let timer = self.metrics.elapsed_compute().timer();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.texts.take())];
        for state in &mut self.states {
            columns.extend(state.state(EmitTo::All)?);
        }
        self.states = accumulators(&self.aggregate)?;
        self.memory.free();
        self.is_out_of_memory = false;
        drop(timer);
        let schema: SchemaRef = self.aggregate.schema();
        let states = RecordBatch::try_new(schema, columns)?;
        self.metrics.record_output(states.num_rows());
        Ok(states)
    }
}

/// An argument of a function; of one that is the same in each row the values are kept, for `count(*)`.
struct Argument {
    expr: Arc<dyn PhysicalExpr>,
    kept: Option<ArrayRef>,
}

impl Argument {
    fn new(expr: Arc<dyn PhysicalExpr>) -> Self {
        Self { expr, kept: None }
    }

    fn of(&mut self, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        if let Some(kept) = self.kept.as_ref().filter(|kept| kept.len() >= rows) {
            return Ok(kept.slice(0, rows));
        }
        let values = self.expr.evaluate(batch)?.into_array(rows)?;
        if self.expr.is::<Literal>() {
            self.kept = Some(Arc::clone(&values));
        }
        Ok(values)
    }
}

fn accumulators(aggregate: &AggregateExec) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
    aggregate.aggr_expr().iter().map(|function| function.create_groups_accumulator()).collect()
}

/// The rows of a batch that a function's filter leaves to it.
fn rows_of(filter: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let rows = filter.evaluate(batch)?.into_array(batch.num_rows())?;
    Ok(rows.as_boolean().clone())
}

#[cfg(test)]
mod tests;
