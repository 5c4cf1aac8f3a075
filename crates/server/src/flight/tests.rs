//! Flight SQL over a real socket, with Arrow's own client, and HTTP beside it on the other door.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, LargeStringArray, RecordBatch, StructArray,
    TimestampSecondArray,
};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use arrow_flight::FlightInfo;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetTables, CommandStatementIngest, SqlInfo, TableDefinitionOptions,
    TableExistsOption, TableNotExistOption,
};
use futures::TryStreamExt;
use loglake_receive::{DecodeContext, decode_ndjson};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;

use crate::test_lake;

type Client = FlightSqlServiceClient<Channel>;

/// A served lake with a table `logs` of `n` rows: `n` from 0 and a `message`.
struct Served {
    address: String,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(token: Option<&str>, rows: usize) -> Self {
        let doors = test_lake::doors(token).await;
        let ingester = doors.ingester.clone().unwrap();
        let name = loglake_model::TableName::unnamed();
        let table = ingester.table(&loglake_model::TenantName::unnamed(), &name).await.unwrap();
        let lines: String =
            (0..rows).map(|n| format!("{{\"n\":{n},\"message\":\"m{n}\"}}\n")).collect();
        let schema = Arc::clone(table.current().schema());
        let arrival = doors.clock.now();
        let context = DecodeContext { schema: &schema, limits: &doors.limits, arrival };
        let batch = decode_ndjson(lines.as_bytes(), 1, &context).batch;
        ingester.append(vec![(table, batch)]).await.unwrap();

        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", grpc.local_addr().unwrap());
        let stop = CancellationToken::new();
        let serving = crate::serve(http, grpc, None, doors, stop.clone());
        let server = tokio::spawn(async { serving.await.unwrap() });
        Self { address, stop, server }
    }

    async fn client(&self) -> Client {
        let channel = Channel::from_shared(self.address.clone()).unwrap();
        FlightSqlServiceClient::new(channel.connect().await.unwrap())
    }

    async fn end(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }
}

async fn fetch(client: &mut Client, info: FlightInfo) -> Vec<RecordBatch> {
    let told = info.clone().try_decode_schema().unwrap();
    let mut batches = vec![];
    for endpoint in info.endpoint {
        assert!(endpoint.location.is_empty());
        let stream = client.do_get(endpoint.ticket.unwrap()).await.unwrap();
        batches.extend(stream.try_collect::<Vec<_>>().await.unwrap());
    }
    for batch in &batches {
        let kinds = |schema: &arrow::datatypes::Schema| {
            let fields = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone()));
            fields.collect::<Vec<_>>()
        };
        assert_eq!(kinds(batch.schema_ref()), kinds(&told));
    }
    batches
}

/// Every value of a column as text.
fn column(batches: &[RecordBatch], name: &str) -> Vec<String> {
    let values = batches.iter().flat_map(|batch| {
        let array = batch.column_by_name(name).unwrap();
        (0..array.len()).map(|row| array_value_to_string(array, row).unwrap()).collect::<Vec<_>>()
    });
    values.collect()
}

#[tokio::test]
async fn a_query_gives_its_rows_in_plain_types() {
    let served = Served::start(None, 30_000).await;
    let mut client = served.client().await;
    let sql = "select n, message, arrow_cast('x', 'Utf8View') as v from logs order by n";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let batches = fetch(&mut client, info).await;
    assert_eq!(batches[0]["v"].data_type(), &DataType::Utf8);
    assert_eq!(batches[0]["message"].data_type(), &DataType::Utf8);
    let rows: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch["n"].as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(rows, (0..30_000).collect::<Vec<_>>());
    served.end().await;
}

#[tokio::test]
async fn prepared_statements_take_parameters_again_and_again() {
    let served = Served::start(None, 10).await;
    let mut client = served.client().await;
    let sql = "select message from logs where n = $1";
    let mut statement = client.prepare(sql.to_owned(), None).await.unwrap();
    assert_eq!(statement.dataset_schema().unwrap().field(0).name(), "message");
    assert_eq!(statement.parameter_schema().unwrap().fields().len(), 1);
    for n in [3, 7] {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![n]));
        let row = RecordBatch::try_from_iter([("$1", values)]).unwrap();
        statement.set_parameters(row).unwrap();
        let info = statement.execute().await.unwrap();
        let batches = fetch(&mut client, info).await;
        assert_eq!(column(&batches, "message"), [format!("m{n}")]);
    }
    statement.close().await.unwrap();
    served.end().await;
}

#[tokio::test]
async fn the_catalogue_shows_tables_and_what_the_server_is() {
    let served = Served::start(None, 1).await;
    let mut client = served.client().await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(column(&fetch(&mut client, info).await, "catalog_name"), ["loglake"]);
    let info = client.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap();
    let schemas = column(&fetch(&mut client, info).await, "db_schema_name");
    assert!(schemas.contains(&"public".to_owned()), "{schemas:?}");
    let query = CommandGetTables {
        db_schema_filter_pattern: Some("public".to_owned()),
        include_schema: true,
        ..Default::default()
    };
    let info = client.get_tables(query).await.unwrap();
    let tables = fetch(&mut client, info).await;
    assert_eq!(column(&tables, "table_name"), ["logs"]);
    assert_eq!(column(&tables, "table_type"), ["TABLE"]);
    let info = client.get_table_types().await.unwrap();
    assert_eq!(column(&fetch(&mut client, info).await, "table_type"), ["TABLE", "VIEW"]);
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerReadOnly]).await.unwrap();
    assert_eq!(fetch(&mut client, info).await[0].num_rows(), 1);
    let info = client.get_xdbc_type_info(Default::default()).await.unwrap();
    assert!(column(&fetch(&mut client, info).await, "type_name").contains(&"BIGINT".to_owned()));
    let info = client.get_primary_keys(Default::default()).await.unwrap();
    assert_eq!(fetch(&mut client, info).await.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    served.end().await;
}

#[tokio::test]
async fn the_token_is_asked_for_and_handed_out() {
    let served = Served::start(Some("s3cret"), 1).await;
    let mut client = served.client().await;
    assert_eq!(
        code(client.execute("select 1".to_owned(), None).await),
        Some(Code::Unauthenticated)
    );
    assert!(served.client().await.handshake("me", "wrong").await.is_err());
    client.handshake("me", "s3cret").await.unwrap();
    assert_eq!(client.token().map(String::as_str), Some("s3cret"));
    let info = client.execute("select 1 as one".to_owned(), None).await.unwrap();
    assert_eq!(column(&fetch(&mut client, info).await, "one"), ["1"]);
    served.end().await;
}

#[tokio::test]
async fn mistakes_and_writes_are_refused_with_their_codes() {
    let served = Served::start(None, 1).await;
    let mut client = served.client().await;
    let mistake = client.execute("select nothing from logs".to_owned(), None).await;
    assert_eq!(code(mistake), Some(Code::InvalidArgument));
    let write = client.execute_update("delete from logs".to_owned(), None).await;
    assert_eq!(code(write), Some(Code::PermissionDenied));
    served.end().await;
}

fn append_to(table: &str) -> CommandStatementIngest {
    let options = TableDefinitionOptions {
        if_not_exist: TableNotExistOption::Create as i32,
        if_exists: TableExistsOption::Append as i32,
    };
    CommandStatementIngest {
        table_definition_options: Some(options),
        table: table.to_owned(),
        ..Default::default()
    }
}

fn records(messages: &[&str]) -> RecordBatch {
    let messages: ArrayRef = Arc::new(LargeStringArray::from(messages.to_vec()));
    let seconds = (0..messages.len() as i64).map(|n| 1_793_534_400 + n);
    let times: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values(seconds));
    let codes: ArrayRef = Arc::new(Int32Array::from_iter_values(0..messages.len() as i32));
    let nested = StructArray::try_from(vec![("code", codes)]).unwrap();
    RecordBatch::try_from_iter([
        ("timestamp", times),
        ("message", messages),
        ("http", Arc::new(nested) as ArrayRef),
    ])
    .unwrap()
}

async fn put(
    client: &mut Client,
    command: CommandStatementIngest,
    batches: Vec<RecordBatch>,
) -> Result<i64, arrow_flight::error::FlightError> {
    client.execute_ingest(command, futures::stream::iter(batches.into_iter().map(Ok))).await
}

#[tokio::test]
async fn arrow_batches_go_in_with_their_types_and_times() {
    let served = Served::start(None, 1).await;
    let mut client = served.client().await;
    let batches = vec![records(&["a", "b"]), records(&["c"])];
    assert_eq!(put(&mut client, append_to("arrow"), batches).await.unwrap(), 3);
    let sql = "select message, \"http.code\" as code, timestamp from arrow order by message";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let rows = fetch(&mut client, info).await;
    assert_eq!(column(&rows, "message"), ["a", "b", "c"]);
    assert_eq!(column(&rows, "code"), ["0", "1", "0"]);
    assert_eq!(column(&rows, "timestamp")[1], "2026-11-01T12:00:01Z");
    let missing = CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Fail as i32,
            if_exists: TableExistsOption::Append as i32,
        }),
        ..append_to("missing")
    };
    let refused = put(&mut client, missing, vec![records(&["d"])]).await;
    assert_eq!(code(refused), Some(Code::NotFound));
    served.end().await;
}

#[tokio::test]
async fn arrow_batches_with_a_key_go_in_once() {
    let served = Served::start(None, 1).await;
    let mut client = served.client().await;
    client.set_header("idempotency-key", "k");
    for _ in 0..2 {
        let batches = vec![records(&["a"]), records(&["b"])];
        assert_eq!(put(&mut client, append_to("arrow"), batches).await.unwrap(), 2);
    }
    let other = put(&mut client, append_to("arrow"), vec![records(&["c"])]).await;
    assert_eq!(code(other), Some(Code::InvalidArgument));
    let info = client.execute("select count(*) as n from arrow".to_owned(), None).await.unwrap();
    assert_eq!(column(&fetch(&mut client, info).await, "n"), ["2"]);
    served.end().await;
}

fn code<T>(result: Result<T, arrow_flight::error::FlightError>) -> Option<Code> {
    match result.err()? {
        arrow_flight::error::FlightError::Tonic(status) => Some(status.code()),
        other => panic!("{other}"),
    }
}
