//! Two processes' doors on loopback, with everything between them real.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use loglake_coord::{Coordinator, InProcess, Member, Role};
use loglake_ingest::{Forward, ForwardError, FreshRows, Ingester, KeyFate, Peers};
use loglake_model::{Clock, Limits, TableName, TenantName, WriterId};
use loglake_receive::{DecodeContext, decode_ndjson};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Channels, MemberPeers};
use crate::test_lake::doors;

/// An ingester behind real sockets, and how another one sees it.
struct Remote {
    ingester: Arc<Ingester>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    peers: MemberPeers,
    /// Dropped, it would leave.
    _coordinator: InProcess,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

async fn remote(token: Option<&str>, offered: Option<&str>) -> Remote {
    let doors = doors(token).await;
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let coordinator = InProcess::new();
    let member = |id: &str, grpc: String| Member {
        id: id.to_owned(),
        roles: vec![Role::Ingest],
        http: String::new(),
        grpc,
        writer: None,
        version: String::new(),
    };
    let address = grpc.local_addr().unwrap().to_string();
    coordinator.register(member("remote", address)).await.unwrap();
    let stop = CancellationToken::new();
    let (ingester, limits) = (doors.ingester.clone().unwrap(), doors.limits.clone());
    let clock = Arc::clone(&doors.clock);
    let serving = crate::serve(http, grpc, None, doors, stop.clone());
    let serving = tokio::spawn(async move { serving.await.unwrap() });
    let channels = Arc::new(Channels::new(offered));
    let peers = MemberPeers::follow(&coordinator, "own".to_owned(), channels);
    Remote { ingester, limits, clock, peers, _coordinator: coordinator, stop, serving }
}

impl Remote {
    async fn heard(&self) -> WriterId {
        loop {
            if let [peer] = self.peers.peers().as_slice() {
                return peer.standing.writer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn forward(&self, writer: WriterId) -> Result<(), ForwardError> {
        let (tenant, name) = (TenantName::unnamed(), TableName::unnamed());
        let table = self.ingester.table(&tenant, &name).await.unwrap();
        let version = table.current();
        let context = DecodeContext {
            schema: version.schema(),
            limits: &self.limits,
            arrival: self.clock.now(),
        };
        let lines = "{\"message\":\"m\",\"new\":1,\"odd.name\":[1]}\n".repeat(5_000);
        let rows = decode_ndjson(lines.as_bytes(), 1, &context).batch;
        let batch = "batch".to_owned();
        let forward = Forward { batch, writer, tenant, name, table: table.id(), rows };
        self.peers.forward(forward).await
    }
}

#[tokio::test]
async fn rows_take_their_hop_and_a_wrong_address_is_told() {
    let remote = remote(Some("secret"), Some("secret")).await;
    let writer = remote.heard().await;
    remote.forward(writer).await.unwrap();
    let ingester = &remote.ingester;
    let table = ingester.table(&TenantName::unnamed(), &TableName::unnamed()).await.unwrap();
    let FreshRows::Held { batches: rows, .. } = ingester.fresh_rows(writer, table.id(), None, None)
    else {
        panic!("nothing was let go")
    };
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 5_000);
    let another = WriterId::from_uuid(Uuid::from_u128(9));
    assert!(matches!(remote.forward(another).await, Err(ForwardError::NotTaken(_))));
    assert_eq!(remote.peers.key_fate(writer, "default/none").await, Some(KeyFate::NotStored));
    assert_eq!(remote.peers.key_fate(another, "default/none").await, None);
}

#[tokio::test]
async fn one_that_stops_says_so_and_lets_its_callers_go() {
    let remote = remote(None, None).await;
    let writer = remote.heard().await;
    remote.stop.cancel();
    // Long calls of others do not hold up its end.
    tokio::time::timeout(Duration::from_secs(5), remote.serving).await.unwrap().unwrap();
    while !remote.peers.peers().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let late = Forward {
        batch: "late".to_owned(),
        writer,
        tenant: TenantName::unnamed(),
        name: TableName::unnamed(),
        table: loglake_model::TableId::from_uuid(Uuid::from_u128(1)),
        rows: RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())),
    };
    assert!(matches!(remote.peers.forward(late).await, Err(ForwardError::NotTaken(_))));
}

#[tokio::test]
async fn without_the_token_nobody_is_a_peer() {
    let remote = remote(Some("secret"), None).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(remote.peers.peers().is_empty());
}
