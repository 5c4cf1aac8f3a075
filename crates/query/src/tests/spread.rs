//! One query over four queriers, each behind a socket of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_distributed::grpc::DefaultChannelResolver;
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest,
    GetWorkerInfoResponse, SetPlanRequest, WorkerChannel, WorkerToCoordinatorMsg,
};
use futures::stream::{self, BoxStream};
use loglake_format::EncoderSettings;
use loglake_model::{ErrorKind, TIMESTAMP};
use object_store::memory::InMemory;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::codegen::http::HeaderMap;
use tonic::transport::Server;
use url::Url;

use super::sql_files::folder;
use super::{rows, small_lake};
use crate::testing::{Golden, SmallLake, output, record_batch, run_golden, writer_id};
use crate::{Queriers, QueryEngine, QueryError, SpreadSettings};

/// What one querier of a test knows of the others.
struct Known {
    own: Url,
    live: Arc<Mutex<Vec<Url>>>,
    channels: Channels,
}

#[derive(Clone, Default)]
struct Channels {
    sockets: Arc<DefaultChannelResolver>,
    /// Queriers that have begun anew whenever they are asked for rows.
    forgetful: Arc<Mutex<Vec<Url>>>,
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        let channel = self.sockets.get_worker_client_for_url(url).await?;
        match self.forgetful.lock().contains(url) {
            true => Ok(Box::new(Forgetful(channel))),
            false => Ok(channel),
        }
    }
}

/// The way to a querier that is there, and knows nothing of the work that it was given.
struct Forgetful(Box<dyn WorkerChannel>);

#[async_trait]
impl WorkerChannel for Forgetful {
    async fn coordinator_channel(
        &mut self,
        headers: HeaderMap,
        plan: SetPlanRequest,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        self.0.coordinator_channel(headers, plan, messages, metrics, context).await
    }

    async fn execute_task(
        &mut self,
        _: HeaderMap,
        _: ExecuteTaskRequest,
        _: ExecutionPlanMetricsSet,
        _: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        plan_err!("no plan of this task is known")
    }

    async fn get_worker_info(
        &mut self,
        request: GetWorkerInfoRequest,
    ) -> Result<GetWorkerInfoResponse> {
        self.0.get_worker_info(request).await
    }
}

impl Queriers for Known {
    fn own(&self) -> Url {
        self.own.clone()
    }

    fn live(&self) -> Vec<Url> {
        self.live.lock().clone()
    }

    fn channels(&self) -> Arc<dyn ChannelResolver + Send + Sync> {
        Arc::new(self.channels.clone())
    }
}

/// Queriers over one lake.
struct Cluster {
    engines: Vec<Arc<QueryEngine>>,
    live: Arc<Mutex<Vec<Url>>>,
    channels: Channels,
    servers: Vec<JoinHandle<()>>,
}

fn url(address: SocketAddr) -> Url {
    Url::parse(&format!("http://{address}")).unwrap()
}

async fn cluster(lake: &SmallLake, count: usize) -> Cluster {
    let live: Arc<Mutex<Vec<Url>>> = Arc::default();
    let channels = Channels::default();
    let (mut engines, mut servers) = (vec![], vec![]);
    for _ in 0..count {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = url(listener.local_addr().unwrap());
        live.lock().push(own.clone());
        let known = Known { own, live: Arc::clone(&live), channels: channels.clone() };
        let settings = SpreadSettings { bytes_min: 0 };
        let engine = lake.engine().with_queriers(Arc::new(known), settings);
        let worker = engine.worker().unwrap().into_worker_server();
        let incoming = stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let serving = Server::builder().add_service(worker).serve_with_incoming(incoming);
        servers.push(tokio::spawn(async move { serving.await.unwrap() }));
        engines.push(Arc::new(engine));
    }
    Cluster { engines, live, channels, servers }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

/// Twelve files of a few records, more in segments and in memory.
async fn lake_of_files() -> SmallLake {
    let (gone, dead, own) = (writer_id(1), writer_id(2), writer_id(3));
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(own));
    let logs = lake.table("logs").await;
    for file in 0..12 {
        let from = (file > 0).then(|| file - 1);
        let numbers = file as i64 * 4..file as i64 * 4 + 4;
        lake.commit(&logs, gone, from, file, numbers).await;
    }
    #[expect(clippy::single_range_in_vec_init, reason = "a segment for each range")]
    let (of_dead, of_own) = ([48..52], [52..60]);
    lake.segments(&logs, dead, &of_dead).await;
    lake.segments(&logs, own, &of_own).await;
    lake.hold(&logs, 0, 52..60);
    let audit = lake.table("audit-log").await;
    lake.hold(&audit, 1, 0..3);
    lake
}

async fn texts(engine: &QueryEngine, sql: &str) -> Result<Vec<Vec<String>>, QueryError> {
    let batches = rows(engine, sql).await?;
    let Some(first) = batches.first() else { return Ok(vec![]) };
    let schema = first.schema();
    match output(&schema, &batches).unwrap() {
        sqllogictest::DBOutput::Rows { rows, .. } => Ok(rows),
        _ => Ok(vec![]),
    }
}

const QUERIES: &[&str] = &[
    "select count(*), sum(seq), min(host), max(timestamp) from logs where seq >= 0",
    "select count(distinct host), count(distinct seq) from logs",
    "select service, level, count(*), sum(duration_ms) from logs group by service, level order by 1, 2",
    "select \"http.path\", avg(seq) from logs group by 1 having count(*) > 5 order by 1",
    "select seq, service from logs order by timestamp desc limit 7",
    "select seq from logs where message like '%/login%' order by seq",
    "select seq from logs where level = 'error' and timestamp >= '2000-01-01' and message like '%login%' order by 1",
    "select seq from logs order by seq offset 50",
    "select distinct service, level from logs order by 1, 2",
    "select a.seq, b.seq from logs a join logs b on a.seq = b.seq + 1 order by 1",
    "select a.service, count(*) from logs a join logs b on a.service = b.service and a.seq < b.seq
     group by 1 order by 1",
    "select count(*) from logs a left join \"audit-log\" b on a.seq = b.seq where b.seq is null",
    "select l.seq from logs l join (values (3), (44), (59)) v(n) on l.seq = v.n order by 1",
    "select seq from logs where service in (select service from logs where seq = 7) order by 1",
    "select seq from logs l where exists (select 1 from logs m where m.seq = l.seq + 30) order by 1",
    "select seq, row_number() over (partition by service order by timestamp desc) from logs order by 1",
    "select seq, lag(seq) over (order by seq), sum(seq) over (partition by level order by seq)
     from logs order by 1",
    "select seq from logs where seq = (select max(seq) from logs)",
    "select (select count(*) from logs), (select max(host) from logs where seq > 9)",
    "select seq, (select count(*) from logs m where m.service = l.service) from logs l order by 1 limit 5",
    "select count(*) from (select seq from logs union all select seq from logs union all
     select seq from \"audit-log\")",
    "select seq from logs except select seq from logs where level = 'info' order by 1",
    "select date_bin(interval '30 minutes', timestamp) t, count(*) from logs group by t order by t",
    "select json_get_str(attributes, 'user', 'name') u, count(*) from logs group by u order by u",
    "select hour, count(*) from logs where attributes->'user'->>'id' is not null group by hour order by 1",
    "select count(*) from logs where level = 'nosuch'",
    "select approx_distinct(seq) > 50, median(seq) from logs",
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5)
     select i, count(*) from n join logs on seq = i group by i order by i",
    "select n from (select array_length(array_agg(seq)) n from logs group by service) t order by 1",
    "select count(*) from logs cross join (select 1 from logs where seq < 3) x",
    "select t.n from (select count(*) n from logs group by hour) t order by 1",
];

#[tokio::test(flavor = "multi_thread")]
async fn four_queriers_answer_as_one_does() {
    let lake = lake_of_files().await;
    let (alone, cluster) = (lake.engine(), cluster(&lake, 4).await);
    for sql in QUERIES {
        let expected = texts(&alone, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert!(!expected.is_empty(), "{sql}");
        for engine in &cluster.engines[..2] {
            let found = texts(engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            assert_eq!(found, expected, "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_is_really_shared_and_fresh_rows_stay() {
    let lake = lake_of_files().await;
    let cluster = cluster(&lake, 4).await;
    let sql = "explain analyze select service, count(*) from logs where seq >= 0 group by service";
    let plan: String = texts(&cluster.engines[0], sql).await.unwrap().concat().concat();
    assert!(plan.contains("NetworkShuffleExec"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_files_come_out_the_same_over_four_queriers() {
    let lake = small_lake().await;
    let cluster = cluster(&lake, 4).await;
    let engine = Arc::clone(&cluster.engines[0]);
    let connect = || {
        let engine = Arc::clone(&engine);
        async move { Ok::<_, QueryError>(Golden(engine)) }
    };
    run_golden(&folder("golden"), connect).await.unwrap_or_else(|failed| panic!("{failed}"));
}

/// `datafusion-distributed` plans scalar subqueries so that a second row would go unnoticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_scalar_subquery_of_several_rows_is_an_error_on_every_number_of_queriers() {
    let lake = lake_of_files().await;
    let cluster = cluster(&lake, 3).await;
    for sql in [
        "select seq from logs where seq = (select seq from logs where seq < 5)",
        "select (select seq from logs where seq in (3, 44)) from logs",
        "select count(*) from logs where seq > (select seq from logs where service = 'api')",
    ] {
        for engine in [&Arc::new(lake.engine()), &cluster.engines[0]] {
            let error = rows(engine, sql).await.expect_err(sql);
            assert!(error.to_string().contains("more than one row"), "{sql}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_that_only_rows_show_are_errors_of_the_query() {
    let lake = lake_of_files().await;
    let cluster = cluster(&lake, 3).await;
    let error =
        rows(&cluster.engines[0], "select max(1 / (seq - 17)) from logs").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("zero"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_querier_that_is_not_there_is_done_without() {
    let lake = lake_of_files().await;
    let cluster = cluster(&lake, 3).await;
    // Nobody listens here any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    cluster.live.lock().push(url(gone));
    let sql = "select service, count(*), sum(seq) from logs group by service order by 1";
    let expected = texts(&lake.engine(), sql).await.unwrap();
    assert_eq!(texts(&cluster.engines[0], sql).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_querier_that_lost_its_work_and_is_back_is_done_without() {
    let lake = lake_of_files().await;
    let cluster = cluster(&lake, 3).await;
    let other = cluster.live.lock()[1].clone();
    cluster.channels.forgetful.lock().push(other);
    let sql = "select service, count(*), sum(seq) from logs group by service order by 1";
    let expected = texts(&lake.engine(), sql).await.unwrap();
    assert_eq!(texts(&cluster.engines[0], sql).await.unwrap(), expected);
}

/// What an index says of rows does not go along: others would read all of the files' columns.
#[tokio::test]
async fn a_search_that_reads_little_of_its_files_stays_where_it_is_asked() {
    let lake = SmallLake::empty(Arc::new(InMemory::new()), Some(writer_id(3)));
    let logs = lake.table("logs").await;
    for file in 0..4 {
        let from = (file > 0).then(|| file as u64 - 1);
        let rows = in_one_hour(record_batch(file * 30_000..file * 30_000 + 30_000));
        let settings = EncoderSettings::default();
        lake.commit_rows(&logs, writer_id(1), (from, file as u64), rows, &settings).await;
    }
    let cluster = cluster(&lake, 2).await;
    for (filter, is_spread) in [
        ("seq % 2 = 0", true),
        ("service <> 'web' and seq % 2 = 0", true),
        ("service = 'api' and level = 'error' and seq % 2 = 0", false),
        ("service = 'api'", false), // known without a test here, and nowhere else
    ] {
        let sql =
            format!("explain analyze select host, count(*) from logs where {filter} group by host");
        let plan: String = texts(&cluster.engines[0], &sql).await.unwrap().concat().concat();
        assert_eq!(plan.contains("Network"), is_spread, "{filter}\n{plan}");
    }
}

/// The rows a microsecond after each other.
fn in_one_hour(rows: RecordBatch) -> RecordBatch {
    let at = rows.schema().index_of(TIMESTAMP).unwrap();
    let seq = rows["seq"].as_primitive::<Int64Type>();
    let times = seq.values().iter().map(|n| 1_793_534_400_000_000 + n);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let mut columns = rows.columns().to_vec();
    columns[at] = Arc::new(times);
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn small_queries_stay_where_they_are_asked() {
    let lake = lake_of_files().await;
    let cluster = cluster(&lake, 2).await;
    let known = Known {
        own: cluster.live.lock()[0].clone(),
        live: Arc::clone(&cluster.live),
        channels: Channels::default(),
    };
    let settings = SpreadSettings { bytes_min: 1 << 30 };
    let engine = lake.engine().with_queriers(Arc::new(known), settings);
    let sql = "explain analyze select service, count(*) from logs where seq >= 0 group by service";
    let plan: String = texts(&engine, sql).await.unwrap().concat().concat();
    assert!(!plan.contains("Network"), "{plan}");
}
