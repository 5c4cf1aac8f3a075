//! Questions asked by plans: several over one snapshot.

use std::collections::BTreeSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::ident;
use loglake_model::{ErrorKind, TableName, TenantName};

use super::{integers, rows, small_lake};
use crate::{PlansRequest, QueryEngine, plan_functions};

fn request() -> PlansRequest {
    PlansRequest { tenant: TenantName::unnamed(), text: "a question".to_owned(), timeout: None }
}

fn logs() -> TableName {
    TableName::new("logs").unwrap()
}

fn whole(batches: &[RecordBatch]) -> Vec<i64> {
    let values = batches.iter().map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec());
    values.flatten().collect()
}

async fn states(engine: &QueryEngine) -> Vec<String> {
    let sql = "select state from lake.queries where sql = 'a question'";
    let batches = rows(engine, sql).await.unwrap();
    let texts = batches.iter().flat_map(|batch| {
        let texts =
            arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
        texts.as_string::<i32>().iter().flatten().map(ToOwned::to_owned).collect::<Vec<_>>()
    });
    texts.collect()
}

#[tokio::test]
async fn plans_see_what_sql_sees() {
    let engine = small_lake().await.engine();
    let query = engine.plans(request());
    let nosuch = TableName::new("nosuch").unwrap();
    let snapshot = query.snapshot(&BTreeSet::from([logs(), nosuch.clone()])).await.unwrap();
    assert_eq!(snapshot.tables(), [logs()]);
    assert_eq!(snapshot.scan(&nosuch).err().unwrap().kind(), ErrorKind::NotFound);
    let filtered = snapshot.scan(&logs()).unwrap().filter(ident("level").eq(lit("error"))).unwrap();
    let counted = filtered.aggregate(Vec::<Expr>::new(), vec![count(lit(1))]).unwrap();
    let of_plan = whole(&snapshot.run(counted.build().unwrap()).await.unwrap());
    assert_eq!(of_plan, integers(&engine, "select count(*) from logs where level = 'error'").await);
    let newest = snapshot.scan(&logs()).unwrap();
    let newest =
        newest.sort_with_limit(vec![ident("timestamp").sort(false, false)], Some(3)).unwrap();
    let newest = newest.project(vec![ident("seq")]).unwrap().build().unwrap();
    assert_eq!(whole(&snapshot.run(newest).await.unwrap()), [59, 58, 57]);
    assert_eq!(states(&engine).await, ["running"]);
    drop(snapshot);
    query.end(None);
    assert_eq!(states(&engine).await, ["done"]);
}

#[tokio::test]
async fn an_id_is_the_same_wherever_the_row_lies() {
    let engine = small_lake().await.engine();
    let sql = "select count(distinct record_id('timestamp', timestamp, 'nanos', nanos, 'seq', seq, \
               'host', host)) from logs";
    assert_eq!(integers(&engine, sql).await, [60]);
    // A column that a row lacks changes nothing.
    let sql = "select count(*) from logs where record_id('timestamp', timestamp, 'a', seq) \
               = record_id('a', seq, 'nosuch', cast(null as varchar), 'timestamp', timestamp)";
    assert_eq!(integers(&engine, sql).await, [60]);
    assert_eq!(plan_functions::record_time_micros("nosuch"), None);
}

#[tokio::test]
async fn attributes_are_read_by_name() {
    let engine = small_lake().await.engine();
    for (sql, expected) in [
        ("select count(*) from logs where attribute_text(attributes, 'user.name') = 'u1'", 6),
        ("select cast(sum(attribute_number(attributes, 'user.id')) as bigint) from logs", 330),
        (
            "select count(*) from logs where array_has(attribute_values(attributes, 'tags'), 'b')",
            12,
        ),
        ("select count(*) from logs where attribute_matches(attributes, 'tags', '[bc]')", 12),
        ("select count(*) from logs where match_words(message, 'log.*')", 21),
        ("select count(*) from logs where match_phrase_prefix(message, 'answered log')", 21),
        ("select count(*) from logs where match_fuzzy(message, 'logni', 1, 1)", 21),
        ("select cast(sum(word_count(message)) as bigint) from logs where seq < 2", 8),
        ("select sum(phrase_count(message, 'with 200')) from logs where seq < 4", 2),
    ] {
        assert_eq!(integers(&engine, sql).await, [expected], "{sql}");
    }
}
