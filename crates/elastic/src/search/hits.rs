//! The hits of a search: the first rows of each table in order, merged.

use std::cmp::Ordering;

use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use futures::future::try_join_all;
use loglake_model::TableName;
use loglake_query::PlanSnapshot;
use serde_json::Value;

use super::after::{self, After};
use super::base::{Base, filtered, of_table, scorer};
use super::request::Search;
use super::with_ties;
use crate::hits::{Index, SCORE, sort_column};
use crate::query::Scorer;
use crate::sort::{Order, Sort, SortBy, SortKey};
use crate::{ElasticError, Fields};

/// The hits of one page, each with `sort` as values of all keys that it was ordered by.
pub(super) async fn hits(
    snapshot: &PlanSnapshot<'_>,
    tables: &[TableName],
    search: &Search,
    now_nanos: i64,
) -> Result<Vec<Value>, ElasticError> {
    if search.size == 0 {
        return Ok(vec![]);
    }
    let sort = if search.is_paged() { with_ties(&search.sort) } else { search.sort.clone() };
    let after = search.after(&sort)?;
    let skip = search.from + after.as_ref().map_or(0, |after| after.skip);
    let scorer = match search.is_scored() {
        true => Some(scorer(snapshot, &Base::new(snapshot, tables)?, search, now_nanos).await?),
        false => None,
    };
    let want = Want { search, sort: &sort, after: after.as_ref(), scorer, now_nanos };
    let mut plans = vec![];
    for table in tables {
        let (plan, fields) = of_table(snapshot, table)?;
        // One table can leave out itself what several have to be merged for.
        let (skip, fetch) = match tables.len() {
            1 => (skip, search.size),
            _ => (0, skip + search.size),
        };
        plans.push((table, want.plan(plan, &fields, skip, fetch)?));
    }
    let keys = sort.0.len();
    let found = plans.into_iter().map(|(table, (plan, columns))| async move {
        let rows = snapshot.run_as(plan, &columns).await?;
        search.hits.sorted_hits(&rows, &Index::One(table.to_string()), keys)
    });
    let found = try_join_all(found).await?;
    if tables.len() == 1 {
        return Ok(found.into_iter().flatten().collect());
    }
    let mut hits: Vec<Value> = found.into_iter().flatten().collect();
    hits.sort_by(|a, b| by_keys(&sort, a, b));
    Ok(hits.into_iter().skip(skip).take(search.size).collect())
}

struct Want<'a> {
    search: &'a Search,
    sort: &'a Sort,
    after: Option<&'a After>,
    scorer: Option<Scorer>,
    now_nanos: i64,
}

impl Want<'_> {
    /// The rows, and the columns of hits over them.
    fn plan(
        &self,
        rows: LogicalPlanBuilder,
        fields: &Fields,
        skip: usize,
        fetch: usize,
    ) -> Result<(LogicalPlan, Vec<Expr>), ElasticError> {
        let Self { search, sort, now_nanos, .. } = self;
        let score =
            self.scorer.as_ref().map(|scorer| scorer.score(&search.query, fields, *now_nanos));
        let score = score.transpose()?;
        let score = score.as_ref();
        let mut plan = filtered(rows, crate::query::filter(&search.query, fields, *now_nanos)?)?;
        if let Some(filter) = &search.post_filter {
            plan = filtered(plan, crate::query::filter(filter, fields, *now_nanos)?)?;
        }
        if let (Some(least), Some(score)) = (search.min_score, score) {
            plan = plan.filter(score.clone().gt_eq(lit(least)))?;
        }
        if let Some(after) = self.after {
            plan = filtered(plan, after::filter(sort, after, fields, score)?)?;
        }
        let (mut order, mut columns) = (vec![], search.hits.columns(fields));
        for (at, key) in sort.0.iter().enumerate() {
            let is_ascending = key.order == Order::Ascending;
            let exprs = key.exprs(fields, score)?;
            order.extend(exprs.into_iter().map(|e| e.sort(is_ascending, key.missing_first)));
            columns.push(key.value(fields, score)?.alias(sort_column(at)));
        }
        if let Some(score) = score {
            columns.push(score.clone().alias(SCORE));
        }
        // As the rows lie, where no page follows.
        let is_unordered = search.from == 0
            && self.after.is_none()
            && matches!(sort.0.as_slice(), [SortKey { by: SortBy::Doc, .. }]);
        if !is_unordered {
            plan = plan.sort(order)?;
        }
        Ok((plan.limit(skip, Some(fetch))?.build()?, columns))
    }
}

/// The order of two hits by the values that they show.
fn by_keys(sort: &Sort, a: &Value, b: &Value) -> Ordering {
    for (at, key) in sort.0.iter().enumerate() {
        let (a, b) = (&a["sort"][at], &b["sort"][at]);
        let order = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if key.missing_first => Ordering::Less,
            (false, true) if !key.missing_first => Ordering::Less,
            (true, false) | (false, true) => Ordering::Greater,
            (false, false) => match key.order {
                Order::Ascending => by_values(a, b),
                Order::Descending => by_values(b, a),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn by_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
        },
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}
