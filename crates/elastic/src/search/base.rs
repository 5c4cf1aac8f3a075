//! The rows of one table or of several as one, and what is counted over them.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use async_trait::async_trait;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::scalar::ScalarValue;
use loglake_model::{ATTRIBUTES, DATE, HOUR, NANOS, TIMESTAMP, TableName};
use loglake_query::PlanSnapshot;
use serde_json::Value;
use std::sync::Arc;

use super::request::{Search, Total};
use crate::fields::{ID, INDEX, col};
use crate::hits::Index;
use crate::query::{Query, Scorer};
use crate::{Context, ElasticError, Fields, Kind, RunPlan, aggs, context};

#[async_trait]
impl RunPlan for PlanSnapshot<'_> {
    async fn run(&self, plan: LogicalPlan) -> Result<Vec<arrow::array::RecordBatch>, ElasticError> {
        Ok(PlanSnapshot::run(self, plan).await?)
    }
}

/// All rows of the tables that are searched.
pub(super) struct Base {
    pub(super) plan: LogicalPlan,
    pub(super) fields: Fields,
    pub(super) index: Index,
}

impl Base {
    pub(super) fn new(
        snapshot: &PlanSnapshot<'_>,
        tables: &[TableName],
    ) -> Result<Self, ElasticError> {
        if let [table] = tables {
            let (plan, fields) = of_table(snapshot, table)?;
            let index = Index::One(table.to_string());
            return Ok(Self { plan: plan.build()?, fields, index });
        }
        let mut parts = vec![];
        for table in tables {
            parts.push(of_table(snapshot, table)?);
        }
        let columns = in_common(parts.iter().map(|(_, fields)| fields));
        let mut whole: Option<LogicalPlanBuilder> = None;
        for (plan, fields) in parts {
            let exprs = columns.iter().map(|column| as_column(&fields, column));
            let id = fields.id().alias(ID);
            let index = fields.field(INDEX).expr.alias(INDEX);
            let part = plan.project(exprs.chain([id, index]).collect::<Vec<_>>())?;
            whole = Some(match whole {
                Some(whole) => whole.union(part.build()?)?,
                None => part,
            });
        }
        let whole = whole.ok_or_else(|| ElasticError::index_not_found("_all"))?.build()?;
        let fields = Fields::new(Arc::clone(whole.schema().inner()));
        Ok(Self { plan: whole, fields, index: Index::Several })
    }

    /// The rows that a query matches.
    fn matching(&self, query: &Query, now_nanos: i64) -> Result<LogicalPlanBuilder, ElasticError> {
        filtered(
            LogicalPlanBuilder::from(self.plan.clone()),
            crate::query::filter(query, &self.fields, now_nanos)?,
        )
    }
}

pub(super) fn of_table(
    snapshot: &PlanSnapshot<'_>,
    table: &TableName,
) -> Result<(LogicalPlanBuilder, Fields), ElasticError> {
    let columns =
        snapshot.columns(table).ok_or_else(|| ElasticError::index_not_found(table.as_str()))?;
    Ok((snapshot.scan(table)?, Fields::new(columns).of_index(table.as_str())))
}

pub(super) fn filtered(
    plan: LogicalPlanBuilder,
    filter: Expr,
) -> Result<LogicalPlanBuilder, ElasticError> {
    if filter == lit(true) { Ok(plan) } else { Ok(plan.filter(filter)?) }
}

/// The columns of several tables as one: of different types they are text, or fractions where all are
/// numbers.
fn in_common<'a>(tables: impl Iterator<Item = &'a Fields>) -> Vec<FieldRef> {
    let mut columns: Vec<FieldRef> = vec![];
    for fields in tables {
        for field in fields.schema().fields() {
            if [DATE, HOUR, ID, INDEX].contains(&field.name().as_str()) {
                continue;
            }
            match columns.iter_mut().find(|column| column.name() == field.name()) {
                None => columns.push(Arc::clone(field)),
                Some(column) if column.data_type() == field.data_type() => {}
                Some(column) => {
                    let is_number = |kind: &DataType| kind.is_numeric();
                    let both = is_number(column.data_type()) && is_number(field.data_type());
                    let kind = if both { DataType::Float64 } else { DataType::Utf8View };
                    *column = Arc::new(Field::new(field.name(), kind, true));
                }
            }
        }
    }
    let is_fixed = |name: &str| [TIMESTAMP, NANOS, ATTRIBUTES].contains(&name);
    let nullable = |column: FieldRef| {
        let nullable = !is_fixed(column.name()) || column.is_nullable();
        Arc::new(column.as_ref().clone().with_nullable(nullable))
    };
    columns.into_iter().map(nullable).collect()
}

fn as_column(fields: &Fields, column: &Field) -> Expr {
    let name = column.name();
    let of_schema = |schema: &Schema| schema.field_with_name(name).ok().cloned();
    let expr = match of_schema(fields.schema()) {
        Some(own) if own.data_type() == column.data_type() => return col(name),
        Some(_) => col(name),
        // Where a table has no such column, its records may have the field in `attributes`.
        None if fields.field(name).kind == Kind::Attribute => match column.data_type() {
            DataType::Utf8View => fields.text(name),
            _ => fields.number(name),
        },
        None => lit(ScalarValue::Null),
    };
    cast(expr, column.data_type().clone()).alias(name)
}

/// How many rows match, and whether that is all of them.
pub(super) async fn total(
    snapshot: &PlanSnapshot<'_>,
    base: &Base,
    search: &Search,
    now_nanos: i64,
) -> Result<Option<(u64, String)>, ElasticError> {
    let bound = match &search.total {
        Total::None => return Ok(None),
        Total::Known(known) => return Ok(known.clone()),
        Total::UpTo(_) | Total::Exact if counts_by_histogram(search).is_some() => return Ok(None),
        Total::UpTo(bound) => Some(*bound),
        Total::Exact => None,
    };
    let mut plan = base.matching(&search.query, now_nanos)?;
    if let Some(filter) = &search.post_filter {
        plan = filtered(plan, crate::query::filter(filter, &base.fields, now_nanos)?)?;
    }
    if let Some(least) = search.min_score {
        let scorer = scorer(snapshot, base, search, now_nanos).await?;
        let score = scorer.score(&search.query, &base.fields, now_nanos)?;
        plan = plan.filter(score.gt_eq(lit(least)))?;
    }
    if let Some(bound) = bound {
        plan = plan.limit(0, Some(bound + 1))?;
    }
    let rows = plan.aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64))])?.build()?;
    let rows = snapshot.run(rows).await?;
    let counted = rows.iter().find(|batch| batch.num_rows() > 0);
    let counted = counted.map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0));
    let counted = u64::try_from(counted).unwrap_or(0);
    Ok(Some(match bound {
        Some(bound) if counted > bound as u64 => (bound as u64, "gte".to_owned()),
        _ => (counted, "eq".to_owned()),
    }))
}

/// What scores are made of, counted over the rows that match.
pub(super) async fn scorer(
    snapshot: &PlanSnapshot<'_>,
    base: &Base,
    search: &Search,
    now_nanos: i64,
) -> Result<Scorer, ElasticError> {
    let mut scorer = Scorer::new(&search.query, &base.fields, now_nanos)?;
    let matching = base.matching(&search.query, now_nanos)?.build()?;
    if let Some(counting) = scorer.counting(matching, &base.fields)? {
        let counted = snapshot.run(counting).await?;
        scorer.counted(&counted)?;
    }
    Ok(scorer)
}

pub(super) async fn aggregations(
    snapshot: &PlanSnapshot<'_>,
    base: &Base,
    search: &Search,
    now_nanos: i64,
) -> Result<Option<Value>, ElasticError> {
    let Some((parsed, _)) = &search.aggs else { return Ok(None) };
    let context = Context {
        now_nanos,
        index: base.index.clone(),
        typed_keys: search.typed_keys,
        buckets_max: context::BUCKETS_MAX,
        all_rows: base.plan.clone(),
    };
    let matching = base.matching(&search.query, now_nanos)?.build()?;
    aggs::run(parsed, matching, &base.fields, &context, snapshot).await.map(Some)
}

/// The name of an aggregation that counts every matching row once: a histogram over the time, which no
/// row lacks, and nothing that leaves out buckets or rows.
fn counts_by_histogram(search: &Search) -> Option<&str> {
    if search.post_filter.is_some() || search.min_score.is_some() {
        return None;
    }
    let (_, body) = search.aggs.as_ref()?;
    body.as_object()?.iter().find_map(|(name, agg)| {
        let histogram = agg.get("date_histogram")?;
        let is_time = matches!(histogram.get("field")?.as_str()?, "@timestamp" | "timestamp");
        let leaves_out = histogram.get("hard_bounds").is_some()
            || histogram.get("min_doc_count").is_some_and(|n| n.as_i64().unwrap_or(2) > 1);
        let below = agg.get("aggs").or_else(|| agg.get("aggregations"));
        // Pipelines may take buckets away.
        let cuts = below.is_some_and(|below| below.to_string().contains("\"bucket_s"));
        (is_time && !leaves_out && !cuts).then_some(name.as_str())
    })
}

/// The total as the histogram's buckets have it.
pub(super) fn total_of_histogram(search: &Search, aggs: &Value) -> Option<(u64, String)> {
    if matches!(search.total, Total::None | Total::Known(_)) {
        return None;
    }
    let name = counts_by_histogram(search)?;
    let answer = aggs.get(name).or_else(|| aggs.get(format!("date_histogram#{name}")))?;
    let count = |bucket: &Value| bucket.get("doc_count").and_then(Value::as_u64).unwrap_or(0);
    let counted: u64 = match answer.get("buckets")? {
        Value::Array(buckets) => buckets.iter().map(count).sum(),
        Value::Object(buckets) => buckets.values().map(count).sum(),
        _ => return None,
    };
    Some(match search.total {
        Total::UpTo(bound) if counted > bound as u64 => (bound as u64, "gte".to_owned()),
        _ => (counted, "eq".to_owned()),
    })
}
