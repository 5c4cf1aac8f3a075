//! Statements: what is refused and how, what is described, parameters, metadata.

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use datafusion::scalar::ScalarValue;
use loglake_model::{ErrorKind, TenantName};

use super::{integers, rows, rows_with, small_lake};
use crate::{QueryEngine, QueryError, RelationKind};

async fn error(engine: &QueryEngine, sql: &str) -> QueryError {
    match rows(engine, sql).await {
        Ok(_) => panic!("{sql} was answered"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_mistake_is_shown_with_its_place() {
    let engine = small_lake().await.engine();
    for (sql, kind, position, part) in [
        ("select message from logs\n wher x = 1", ErrorKind::Invalid, Some(2), "xpected"),
        ("select message,\n       nosuch from logs", ErrorKind::Invalid, Some(2), "nosuch"),
        ("select * from nosuch", ErrorKind::NotFound, None, "tables: audit-log, logs"),
        ("select * from other.logs", ErrorKind::NotFound, None, "other"),
        ("select nosuch(1)", ErrorKind::Invalid, None, "nosuch"),
        ("select 1; select 2", ErrorKind::Invalid, None, "one statement"),
        ("select seq from logs where host ~ 'h(1'", ErrorKind::Invalid, None, "unclosed group"),
        ("select regexp_replace(host, 'h', '', 'q') from logs", ErrorKind::Invalid, None, "flag"),
        ("select 1 / (seq - seq) from logs", ErrorKind::Invalid, None, "zero"),
        ("select cast('x' as int)", ErrorKind::Invalid, None, "x"),
        (
            "select 1 from logs where timestamp between '2026-11-01' and 1",
            ErrorKind::Invalid,
            None,
            "BETWEEN",
        ),
        (
            "select ntile(4) over (order by timestamp - timestamp) from logs",
            ErrorKind::Invalid,
            None,
            "range",
        ),
        ("select repeat('x', 1000000000) from logs", ErrorKind::Invalid, None, "too much"),
    ] {
        let error = error(&engine, sql).await;
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        let line = error.position().map(|(line, _)| line);
        assert!(position.is_none() || line == position, "{sql}: {line:?} {error}");
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
}

#[tokio::test]
async fn nothing_is_written_and_nothing_else_is_reached() {
    let engine = small_lake().await.engine();
    for sql in [
        "insert into logs (message) values ('x')",
        "create table t as select 1",
        "create external table t stored as csv location 'file:///etc/passwd'",
        "copy (select 1) to '/tmp/loglake-copied.csv' stored as csv",
        "set datafusion.execution.batch_size = 1",
        "explain analyze insert into logs (message) values ('x')",
        "with x as (select 1) insert into logs (message) select 'x'",
        "select 1 into t",
        "drop table logs",
    ] {
        let error = error(&engine, sql).await;
        let refused = matches!(error.kind(), ErrorKind::NotAllowed | ErrorKind::Invalid);
        assert!(refused, "{sql}: {:?} {error}", error.kind());
    }
    let error = error(&engine, "select * from '/etc/passwd'").await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn parameters_are_values_and_never_text() {
    let engine = small_lake().await.engine();
    let sql = "select seq from logs where service = $1 and seq < $2 order by seq";
    let values = vec![ScalarValue::from("api"), ScalarValue::from(7_i64)];
    let batches = rows_with(&engine, sql, values).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 3);
    let values = vec![ScalarValue::from("' or true --"), ScalarValue::from(7_i64)];
    let batches = rows_with(&engine, sql, values).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);
}

#[tokio::test]
async fn a_statement_is_described_without_being_run() {
    let engine = small_lake().await.engine();
    let tenant = TenantName::unnamed();
    let sql = "select seq, count(*) as n from logs where service = $2 and seq > $1 group by seq";
    let described = engine.describe(&tenant, sql).await.unwrap();
    let names: Vec<_> =
        described.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["seq", "n"]);
    let parameters: Vec<_> = described
        .parameters
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    assert_eq!(parameters, ["$1 Int64", "$2 Utf8View"]);
    let error = engine.describe(&tenant, "drop table logs").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotAllowed);
}

#[tokio::test]
async fn metadata_lists_tables_and_views_with_their_columns() {
    let lake = small_lake().await;
    let relations = lake.engine().relations(&TenantName::unnamed()).await.unwrap();
    let of = |schema: &str| -> Vec<&str> {
        let here = relations.iter().filter(|relation| relation.schema == schema);
        here.map(|relation| relation.name.as_str()).collect()
    };
    assert_eq!(of("public"), ["audit-log", "logs"]);
    assert_eq!(of("lake").len(), crate::VIEWS.len());
    assert!(of("information_schema").contains(&"columns") && of("lake_facts").is_empty());
    let logs = relations.iter().find(|relation| relation.name == "logs").unwrap();
    assert_eq!(logs.kind, RelationKind::Table);
    let literal = logs.columns.field_with_name("ok").unwrap();
    assert_eq!(literal.metadata().get("loglake.form").map(String::as_str), Some("literal"));
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let engine = small_lake().await.engine();
    let request = crate::QueryRequest {
        tenant: TenantName::new("other").unwrap(),
        ..super::request("select * from logs")
    };
    let error = engine.run(request).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("none yet"), "{error}");
}

#[tokio::test]
async fn now_is_the_lakes_clock() {
    let engine = small_lake().await.engine();
    let sql = "select cast(extract(epoch from now()) as bigint)";
    assert_eq!(integers(&engine, sql).await, [1_793_541_600]);
}

/// A value a row: group, and the row's number or nothing.
const NUMBERED: &str = "(select n % 3 as g, case when n % 7 > 0 then n end as v \
                        from (select value as n from generate_series(1, 60000)))";

#[tokio::test]
async fn a_percentile_by_group_is_near_the_true_one() {
    let engine = small_lake().await.engine();
    for (asked, truth) in [
        ("approx_percentile_cont(v, 0.99)", 59_400.0),
        ("approx_percentile_cont(0.99) within group (order by v)", 59_400.0),
        ("approx_percentile_cont(0.9) within group (order by v desc)", 6_000.0),
        ("approx_percentile_cont(v, 0.5, 200)", 30_000.0),
        ("approx_percentile_cont(v, 0.5) filter (where v > 30000)", 45_000.0),
        ("approx_percentile_cont(v, 0.5) filter (where g >= 0)", 30_000.0),
        ("approx_percentile_cont(cast(v as float), 0.5)", 30_000.0),
    ] {
        let sql =
            format!("select g, cast({asked} as double) from {NUMBERED} group by g order by g");
        let answer = rows(&engine, &sql).await.unwrap();
        let found: Vec<f64> = answer
            .iter()
            .flat_map(|batch| batch.column(1).as_primitive::<Float64Type>().values().to_vec())
            .collect();
        assert_eq!(found.len(), 3, "{asked}");
        assert!(found.iter().all(|n| (n - truth).abs() < 600.0), "{asked}: {found:?}");
    }
    let nothing = "select count(p) from (select g, approx_percentile_cont(v, 0.5) as p \
                   from (select n % 2 as g, cast(null as double) as v from \
                   (select value as n from generate_series(1, 9))) group by g)";
    assert_eq!(integers(&engine, nothing).await, [0]);
}

#[tokio::test]
async fn an_order_may_say_the_same_twice() {
    let engine = small_lake().await.engine();
    let numbered =
        "(select n % 3 as g, n as v from (select value as n from generate_series(1, 9)))";
    for (asked, first) in [
        ("select distinct on (g) v from {} order by g, v desc, v desc", 9),
        ("select distinct on (g) v from {} order by g, v, g, v desc", 3),
        ("select first_value(v order by v desc, v, v) from {} group by g order by g", 9),
        ("select max(f) from (select g, first_value(v order by v, v) as f from {} group by g)", 3),
    ] {
        let sql = asked.replace("{}", numbered);
        assert_eq!(integers(&engine, &sql).await[0], first, "{sql}");
    }
}

#[tokio::test]
async fn what_is_nested_is_planned_in_time() {
    let engine = small_lake().await.engine();
    let arrows = (0..6).map(|_| "->'a'->'b'").collect::<String>();
    assert!(rows(&engine, &format!("select attributes{arrows} from logs")).await.is_ok());
    for (open, inner, close) in [
        ("upper(", "host", ")"),
        ("coalesce(host, ", "host", ")"),
        ("case when true then ", "host", " end"),
        ("attribute_text(", "attributes", ", 'a')"),
    ] {
        let (open, close) = (open.repeat(24), close.repeat(24));
        let begun = tokio::time::Instant::now();
        let outcome =
            rows(&engine, &format!("select {open}{inner}{close} from logs limit 1")).await;
        let took = begun.elapsed();
        assert!(outcome.is_ok() && took.as_secs() < 30, "{open}: {took:?} {outcome:?}");
    }
}
