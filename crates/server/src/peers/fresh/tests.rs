//! Fresh rows over real sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::prelude::{col, lit};
use loglake_coord::{Coordinator, InProcess, Member, Role};
use loglake_ingest::Ingester;
use loglake_model::{PartitionBy, TableId, TableName, TenantName, WriterId};
use loglake_query::{Filter, FreshError, FreshRows, FreshScan, Selection, UpTo};
use loglake_receive::{DecodeContext, decode_ndjson};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::{Channels, FreshSettings, MembersRows, OwnRows};
use crate::test_lake::doors;

/// An ingester with 3,000 rows behind real sockets, as a querier sees it.
struct Remote {
    ingester: Arc<Ingester>,
    table: TableId,
    rows: MembersRows,
    coordinator: InProcess,
    member: Member,
    stop: CancellationToken,
}

async fn remote(token: Option<&str>, offered: Option<&str>) -> Remote {
    let doors = doors(token).await;
    let ingester = doors.ingester.clone().unwrap();
    let table = ingester.table(&TenantName::unnamed(), &TableName::unnamed()).await.unwrap();
    let lines: String =
        (0..3_000).map(|n| format!("{{\"n\":{n},\"message\":\"m{n}\"}}\n")).collect();
    let schema = Arc::clone(table.current().schema());
    let context =
        DecodeContext { schema: &schema, limits: &doors.limits, arrival: doors.clock.now() };
    let batch = decode_ndjson(lines.as_bytes(), 1, &context).batch;
    ingester.append(vec![(Arc::clone(&table), batch)]).await.unwrap();
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let coordinator = InProcess::new();
    let member = Member {
        id: "remote".to_owned(),
        roles: vec![Role::Ingest],
        http: String::new(),
        grpc: grpc.local_addr().unwrap().to_string(),
        writer: Some(ingester.writer()),
        version: String::new(),
    };
    coordinator.register(member.clone()).await.unwrap();
    let stop = CancellationToken::new();
    let serving = crate::serve(http, grpc, None, doors, stop.clone());
    tokio::spawn(async move { serving.await.unwrap() });
    let settings = FreshSettings { wait: Duration::from_millis(500) };
    let channels = Arc::new(Channels::new(offered));
    let rows = MembersRows::new(OwnRows::new(None), &coordinator, channels, settings);
    Remote { ingester, table: table.id(), rows, coordinator, member, stop }
}

impl Remote {
    fn scan(&self, selection: Selection) -> FreshScan {
        let (writer, table) = (self.ingester.writer(), self.table);
        FreshScan { writer, table, above: None, up_to: UpTo::Newest, selection }
    }
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn rows_come_over_with_their_filter_columns_and_limit() {
    let remote = remote(Some("secret"), Some("secret")).await;
    assert!(remote.rows.can_ask(remote.ingester.writer()));
    let whole = remote.rows.rows(&remote.scan(Selection::default())).await.unwrap();
    assert_eq!(count(&whole.batches), 3_000);
    assert!(whole.up_to.is_some() && whole.columns.contains(&"n".to_owned()));
    let filter = Filter {
        all: vec![col("n").gt_eq(lit(2_990_i64))],
        schema: Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)])),
        partition_by: PartitionBy::Hour,
    };
    let selection =
        Selection { columns: Some(vec!["n".to_owned()]), filter: Some(filter), limit: None };
    let some = remote.rows.rows(&remote.scan(selection)).await.unwrap();
    let values: Vec<i64> = some
        .batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(values, (2_990..3_000).collect::<Vec<_>>());
    assert_eq!(some.batches[0].num_columns(), 1);
    assert_eq!(some.columns, whole.columns);
    let limited = Selection { limit: Some(7), ..Selection::default() };
    assert_eq!(count(&remote.rows.rows(&remote.scan(limited)).await.unwrap().batches), 7);
}

#[tokio::test]
async fn an_older_question_and_another_writer_are_answered_as_such() {
    let remote = remote(None, None).await;
    let scan = remote.scan(Selection::default());
    remote.ingester.flush().await.unwrap();
    assert_eq!(remote.rows.rows(&scan).await.unwrap_err(), FreshError::LetGo);
    let other = WriterId::from_uuid(Uuid::now_v7());
    assert!(!remote.rows.can_ask(other));
    // The list of members is old: the process at that address is another writer by now.
    let stale = Member { writer: Some(other), ..remote.member.clone() };
    remote.coordinator.register(stale).await.unwrap();
    let scan = FreshScan { writer: other, ..scan };
    assert_eq!(remote.rows.rows(&scan).await.unwrap_err(), FreshError::NotCurrent);
    assert!(remote.rows.can_ask(other), "it answered");
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let remote = remote(Some("secret"), None).await;
    let refused = remote.rows.rows(&remote.scan(Selection::default())).await.unwrap_err();
    assert!(matches!(&refused, FreshError::Silent(why) if why.contains("token")), "{refused}");
}

#[tokio::test]
async fn one_that_hangs_is_given_up_in_time_and_left_alone() {
    let remote = remote(None, None).await;
    // Connections are taken into the queue of this socket, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = silent.local_addr().unwrap().to_string();
    remote.coordinator.register(Member { grpc, ..remote.member.clone() }).await.unwrap();
    let scan = remote.scan(Selection::default());
    let begun = Instant::now();
    let error = remote.rows.rows(&scan).await.unwrap_err();
    assert!(matches!(error, FreshError::Silent(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(!remote.rows.can_ask(scan.writer));
    // Back at its address, it is asked again after a while.
    remote.coordinator.register(remote.member.clone()).await.unwrap();
    assert!(remote.rows.can_ask(scan.writer));
    assert_eq!(count(&remote.rows.rows(&scan).await.unwrap().batches), 3_000);
    remote.stop.cancel();
}
