//! Aggregations over a table in memory, with answers checked by hand.
//!
//! | at (UTC) | in Berlin | service | status | duration | ok |
//! |---|---|---|---|---|---|
//! | 10-24 21:30 | 10-24 23:30 | api | 200 | 10 | true |
//! | 10-24 22:30 | 10-25 00:30 | api | 500 | 20 | false |
//! | 10-25 00:30 | 10-25 02:30 | web | 200 | 30 | true |
//! | 10-25 01:30 | 10-25 02:30 again | web | 404 | 40 | false |
//! | 10-25 03:30 | 10-25 04:30 | db | 200 | | true |
//! | 10-25 23:30 | 10-26 00:30 | api | 200 | 50 | true |
//! | 10-27 12:00 | 10-27 13:00 | | 200 | 60 | |
//! | 10-27 12:10 | 10-27 13:10 | web | 500 | 70 | false |

mod buckets;
mod cuts;
mod lake;
mod metrics;
mod nested;
mod pipelines;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use crate::fields::{col, time_type};
use crate::hits::Index;
use crate::{Context, ElasticError, Fields, RunPlan};

/// 2026-10-24T00:00:00Z in milliseconds.
pub(super) const DAY: i64 = 1_792_800_000_000;
pub(super) const HOUR: i64 = 3_600_000;

/// Minutes after [`DAY`].
const TIMES: [i64; 8] = [1_290, 1_350, 1_470, 1_530, 1_650, 2_850, 5_040, 5_050];

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("timestamp", time_type(), true),
        Field::new("service", DataType::Utf8View, true),
        Field::new("status", DataType::Int64, true),
        Field::new("duration", DataType::Float64, true),
        Field::new("ok", DataType::Boolean, true),
    ])
}

fn rows() -> RecordBatch {
    let times = TIMES.map(|minutes| (DAY + minutes * 60_000) * 1_000);
    let services = [
        Some("api"),
        Some("api"),
        Some("web"),
        Some("web"),
        Some("db"),
        Some("api"),
        None,
        Some("web"),
    ];
    let durations = [10.0, 20.0, 30.0, 40.0, 0.0, 50.0, 60.0, 70.0];
    let oks = [
        Some(true),
        Some(false),
        Some(true),
        Some(false),
        Some(true),
        Some(true),
        None,
        Some(false),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(StringViewArray::from_iter(services)),
        Arc::new(Int64Array::from_iter_values([200, 500, 200, 404, 200, 200, 200, 500])),
        Arc::new(Float64Array::from_iter(
            durations.map(|duration| (duration > 0.0).then_some(duration)),
        )),
        Arc::new(BooleanArray::from_iter(oks)),
    ];
    RecordBatch::try_new(Arc::new(schema()), columns).unwrap()
}

pub(super) fn scan(batches: Vec<RecordBatch>) -> LogicalPlan {
    let schema = batches[0].schema();
    // A partition a batch, so that groups are put together from several.
    let table =
        MemTable::try_new(schema, batches.into_iter().map(|batch| vec![batch]).collect()).unwrap();
    let source = provider_as_source(Arc::new(table));
    LogicalPlanBuilder::scan("logs", source, None).unwrap().build().unwrap()
}

#[derive(Default)]
struct InMemory {
    context: SessionContext,
    plans: AtomicUsize,
}

#[async_trait]
impl RunPlan for InMemory {
    async fn run(&self, plan: LogicalPlan) -> Result<Vec<RecordBatch>, ElasticError> {
        self.plans.fetch_add(1, Ordering::Relaxed);
        Ok(self.context.execute_logical_plan(plan).await?.collect().await?)
    }
}

/// The answer over rows, and how many plans it took.
pub(super) async fn run(
    rows: LogicalPlan,
    all_rows: LogicalPlan,
    aggs: &Value,
    options: (bool, usize),
) -> Result<(Value, usize), ElasticError> {
    let schema = Schema::clone(all_rows.schema().as_arrow());
    let context = Context {
        now_nanos: (DAY + 5 * 24 * HOUR) * 1_000_000,
        index: Index::One("logs".to_owned()),
        typed_keys: options.0,
        buckets_max: options.1,
        all_rows,
    };
    let memory = InMemory::default();
    let aggs = super::parse(aggs)?;
    let answer = super::run(&aggs, rows, &Fields::from(schema), &context, &memory).await?;
    Ok((answer, memory.plans.into_inner()))
}

fn base() -> LogicalPlan {
    let rows = rows();
    scan(vec![rows.slice(0, 3), rows.slice(3, 3), rows.slice(6, 2)])
}

/// The answer over all rows.
async fn answer(aggs: Value) -> Value {
    match run(base(), base(), &aggs, (false, 1_000)).await {
        Ok((answer, _)) => answer,
        Err(error) => panic!("{aggs}: {error}"),
    }
}

async fn plans(aggs: Value) -> usize {
    run(base(), base(), &aggs, (false, 1_000)).await.unwrap().1
}

async fn refusal(aggs: Value) -> ElasticError {
    run(base(), base(), &aggs, (false, 20)).await.unwrap_err()
}

/// `[key, doc_count]` of each bucket.
fn counts(aggregation: &Value) -> Value {
    let buckets = aggregation["buckets"].as_array().unwrap().iter();
    buckets.map(|bucket| json!([bucket["key"], bucket["doc_count"]])).collect()
}

/// One value of each bucket.
fn each(aggregation: &Value, pointer: &str) -> Value {
    let buckets = aggregation["buckets"].as_array().unwrap().iter();
    buckets.map(|bucket| bucket.pointer(pointer).cloned().unwrap_or(json!("none"))).collect()
}

#[tokio::test]
async fn names_have_types_and_what_came_with_them() {
    let aggs = json!({
        "days": {
            "date_histogram": {"field": "@timestamp", "calendar_interval": "1d"},
            "aggs": {
                "by": {"terms": {"field": "service"}},
                "codes": {"terms": {"field": "status"}},
                "p": {"percentiles": {"field": "duration"}},
                "c": {"cumulative_sum": {"buckets_path": "_count"}}
            },
            "meta": {"of": "kibana"}
        },
        "busiest": {"max_bucket": {"buckets_path": "days>_count"}}
    });
    let (answer, _) = run(base(), base(), &aggs, (true, 1_000)).await.unwrap();
    let day = &answer["date_histogram#days"]["buckets"][0];
    assert_eq!(answer["date_histogram#days"]["meta"], json!({"of": "kibana"}));
    for name in ["sterms#by", "lterms#codes", "tdigest_percentiles#p", "simple_value#c"] {
        assert!(day.get(name).is_some(), "{name} in {day}");
    }
    let busiest = &answer["bucket_metric_value#busiest"];
    assert_eq!(*busiest, json!({"value": 4.0, "keys": ["2026-10-25T00:00:00.000Z"]}));
}

#[tokio::test]
async fn global_is_of_all_rows_whatever_the_query() {
    let only_api = LogicalPlanBuilder::from(base()).filter(col("service").eq(lit("api"))).unwrap();
    let aggs = json!({
        "all": {"global": {}, "aggs": {
            "by": {"terms": {"field": "service"}, "aggs": {"m": {"max": {"field": "duration"}}}}}},
        "sum": {"sum": {"field": "duration"}}
    });
    let (answer, _) = run(only_api.build().unwrap(), base(), &aggs, (false, 100)).await.unwrap();
    assert_eq!(answer["sum"]["value"], json!(80.0));
    assert_eq!(answer["all"]["doc_count"], json!(8));
    assert_eq!(counts(&answer["all"]["by"]), json!([["api", 3], ["web", 3], ["db", 1]]));
    assert_eq!(each(&answer["all"]["by"], "/m/value"), json!([50.0, 70.0, null]));
}

#[tokio::test]
async fn of_no_rows_there_are_no_buckets() {
    let none = LogicalPlanBuilder::from(base()).filter(lit(false)).unwrap().build().unwrap();
    let aggs = json!({
        "days": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d"}},
        "by": {"terms": {"field": "service"}, "aggs": {"m": {"max": {"field": "duration"}}}},
        "avg": {"avg": {"field": "duration"}},
        "sum": {"sum": {"field": "duration"}},
        "stats": {"stats": {"field": "duration"}},
        "p": {"percentiles": {"field": "duration", "percents": [50]}},
        "distinct": {"cardinality": {"field": "service"}},
        "slow": {"range": {"field": "duration", "ranges": [{"from": 50}]}},
    });
    let (answer, _) = run(none, base(), &aggs, (false, 100)).await.unwrap();
    assert_eq!(answer["days"], json!({"buckets": []}));
    assert_eq!(answer["by"]["buckets"], json!([]));
    assert_eq!(answer["avg"], json!({"value": null}));
    assert_eq!(answer["sum"], json!({"value": 0.0}));
    assert_eq!(answer["p"], json!({"values": {"50.0": null}}));
    assert_eq!(answer["distinct"], json!({"value": 0}));
    assert_eq!(
        answer["stats"],
        json!({"count": 0, "min": null, "max": null, "avg": null, "sum": 0.0})
    );
    assert_eq!(answer["slow"]["buckets"], json!([{"key": "50.0-*", "from": 50.0, "doc_count": 0}]));
}

#[tokio::test]
async fn fields_of_another_type_are_refused() {
    for (aggs, reason) in [
        (
            json!({"a": {"avg": {"field": "service"}}}),
            "Field [service] of type [keyword] is not supported for aggregation [avg]",
        ),
        (
            json!({"a": {"date_histogram": {"field": "service", "fixed_interval": "1h"}}}),
            "Field [service] of type [keyword] is not supported for aggregation [date_histogram]",
        ),
        (json!({"a": {"terms": {"field": "status", "missing": "none"}}}), "[missing]"),
    ] {
        let error = refusal(aggs).await;
        assert_eq!(error.status(), 400);
        assert!(error.to_string().contains(reason), "{error}");
    }
}
