//! The calls of Flight SQL (Apache Arrow, `FlightSql.proto`).

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, CommandGetCatalogs, CommandGetCrossReference,
    CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys,
    CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest,
    CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt,
    SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse,
    IpcMessage, SchemaAsIpc, Ticket,
};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use loglake_model::ErrorKind;
use loglake_query::{PartialAnswer, QueryRequest, Relation};
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

use super::statement::Statement;
use super::{ingest, metadata, rows};
use crate::doors::OpenDoors;
use crate::failure::Failure;
use crate::metrics::QueryDoor;
use crate::peers::{fresh, service};
use crate::plain_types::{plain_batch, plain_schema};

pub(crate) struct FlightSql {
    doors: OpenDoors,
    sql_info: SqlInfoData,
    xdbc_types: XdbcTypeInfoData,
}

type DoGet<T> = Response<<T as FlightService>::DoGetStream>;

impl FlightSql {
    pub(crate) fn new(doors: OpenDoors) -> Result<Self, FlightError> {
        Ok(Self { doors, sql_info: metadata::sql_info()?, xdbc_types: metadata::xdbc_types()? })
    }

    async fn relations(&self) -> Result<Vec<Relation>, Status> {
        let engine = self.doors.engine()?;
        Ok(engine.relations(&self.doors.tenant).await.map_err(Failure::from)?)
    }

    /// The schemas of a statement's result and of its parameters, in plain types.
    async fn describe(&self, sql: &str) -> Result<(SchemaRef, SchemaRef), Status> {
        let engine = self.doors.engine()?;
        let described = engine.describe(&self.doors.tenant, sql).await.map_err(Failure::from)?;
        Ok((plain_schema(&described.schema), plain_schema(&described.parameters)))
    }

    async fn run(
        &self,
        statement: Statement,
        request: &Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        let allow_partial = request.metadata().get(ALLOW_PARTIAL);
        let allow_partial = allow_partial.is_some_and(|value| value.as_bytes() == b"true");
        let request = QueryRequest {
            tenant: self.doors.tenant.clone(),
            parameters: statement.parameters().await?,
            sql: statement.sql,
            timeout: None,
        };
        let engine = self.doors.engine()?;
        let answer = match allow_partial {
            true => engine.run_partial(request).await.map(PartialAnswer::into_parts),
            false => engine.run(request).await.map(|answer| (answer, vec![])),
        };
        self.doors.metrics.query(QueryDoor::FlightSql, answer.is_ok());
        let (answer, missing) = answer.map_err(Failure::from)?;
        let schema = plain_schema(&answer.schema);
        let target = SchemaRef::clone(&schema);
        let batches = answer.stream.map(move |batch| {
            let batch = batch
                .map_err(|e| Status::from(Failure::from(loglake_query::QueryError::from(e))))?;
            plain_batch(&batch, &target).map_err(FlightError::from)
        });
        let missing = match missing.is_empty() {
            true => Bytes::new(),
            false => serde_json::json!({ "missing": missing }).to_string().into(),
        };
        Ok(encoded(schema, missing, batches))
    }
}

/// The header of a call that takes an answer without what cannot be read. The metadata of the
/// answer's first message says what is missing, if anything is: `{"missing": […]}`.
const ALLOW_PARTIAL: &str = "x-loglake-allow-partial";

/// Batches as Flight messages of less than 2 MiB (the encoder's own bound) each; the stream ends
/// with the query's error, if it had one.
fn encoded(
    schema: SchemaRef,
    metadata: Bytes,
    batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static,
) -> DoGet<FlightSql> {
    let messages = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .with_metadata(metadata)
        .with_dictionary_handling(DictionaryHandling::Hydrate)
        .build(batches)
        .map_err(Status::from);
    Response::new(Box::pin(messages))
}

fn one_batch(batch: Result<RecordBatch, FlightError>) -> Result<DoGet<FlightSql>, Status> {
    let batch = batch?;
    Ok(encoded(batch.schema(), Bytes::new(), stream::iter([Ok(batch)])))
}

/// Where to get a result: here, with a ticket that says it all.
fn info(
    schema: &Schema,
    ticket: &impl ProstMessageExt,
    request: Request<FlightDescriptor>,
) -> Result<Response<FlightInfo>, Status> {
    let ticket = Ticket::new(ticket.as_any().encode_to_vec());
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|e| Status::internal(format!("the result's schema cannot be encoded: {e}")))?
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(request.into_inner());
    Ok(Response::new(info))
}

fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &IpcWriteOptions::default())
        .try_into()
        .map_err(|e| Status::internal(format!("a schema cannot be encoded: {e}")))?;
    Ok(bytes)
}

fn read_only() -> Status {
    let message =
        "sql only reads here: send records by bulk ingestion, /api/v1/ingest/{table} or /_bulk";
    Failure::new(ErrorKind::NotAllowed, message).into()
}

#[tonic::async_trait]
impl FlightSqlService for FlightSql {
    type FlightService = Self;

    /// The guard has seen the token, as `Basic` or `Bearer`: it is handed out as `Bearer`.
    async fn do_handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<
        Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>,
        Status,
    > {
        let token = self.doors.token.as_ref().map_or("none", |token| token.secret());
        let answer = HandshakeResponse { protocol_version: 0, payload: token.to_owned().into() };
        let mut response: Response<Pin<Box<dyn Stream<Item = _> + Send>>> =
            Response::new(Box::pin(stream::iter([Ok(answer)])));
        let bearer = format!("Bearer {token}")
            .parse()
            .map_err(|_| Status::internal("the token does not fit into a header"))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let (schema, _) = self.describe(&query.query).await?;
        let statement_handle = Statement::new(query.query).handle();
        info(&schema, &TicketStatementQuery { statement_handle }, request)
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let statement = Statement::from_handle(&query.prepared_statement_handle)?;
        let (schema, _) = self.describe(&statement.sql).await?;
        info(&schema, &query, request)
    }

    /// Members ask for fresh rows.
    async fn do_get_fallback(
        &self,
        _request: Request<Ticket>,
        message: Any,
    ) -> Result<DoGet<Self>, Status> {
        if message.type_url != fresh::FRESH_ROWS {
            let message = format!("tickets of type {:?} are not known", message.type_url);
            return Err(Status::unimplemented(message));
        }
        let rows = fresh::answer(&self.doors.fresh, &message.value).await?;
        Ok(Response::new(Box::pin(rows)))
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        self.run(Statement::from_handle(&ticket.statement_handle)?, &request).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        self.run(Statement::from_handle(&query.prepared_statement_handle)?, &request).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let (result, parameters) = self.describe(&query.query).await?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: Statement::new(query.query).handle(),
            dataset_schema: schema_bytes(&result)?,
            parameter_schema: schema_bytes(&parameters)?,
        })
    }

    /// Nothing is kept of a statement, so there is nothing to close.
    async fn do_action_close_prepared_statement(
        &self,
        _query: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Ok(())
    }

    /// The bound parameters travel in the new handle, which the client uses from here on.
    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let statement = Statement::from_handle(&query.prepared_statement_handle)?;
        let rows: Vec<RecordBatch> = rows::batches(request.into_inner()).try_collect().await?;
        let [rows] = rows.as_slice() else {
            let message = format!("bound parameters come in one batch, not in {}", rows.len());
            return Err(Status::invalid_argument(message));
        };
        let handle = statement.bind(rows)?.handle();
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }

    async fn do_put_statement_update(
        &self,
        _ticket: CommandStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only())
    }

    async fn do_put_prepared_statement_update(
        &self,
        _query: CommandPreparedStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only())
    }

    async fn do_put_statement_ingest(
        &self,
        ticket: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let (metadata, _, messages) = request.into_parts();
        Ok(ingest::ingest(&self.doors, &ticket, metadata, messages).await?)
    }

    /// What is not Flight SQL comes from other members.
    async fn do_put_fallback(
        &self,
        request: Request<PeekableFlightDataStream>,
        message: Any,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        service::do_put(&self.doors, request.into_inner(), message).await.map(Response::new)
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        service::do_action(&self.doors, request.into_inner()).await.map(Response::new)
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&query.into_builder().schema(), &query, request)
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(metadata::catalogs(query))
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&query.clone().into_builder().schema(), &query, request)
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(metadata::schemas(query, &self.relations().await?))
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&query.clone().into_builder().schema(), &query, request)
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(metadata::tables(query, &self.relations().await?))
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&query.into_builder().schema(), &query, request)
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(metadata::table_types(query))
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&self.sql_info.schema(), &query, request)
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(self.sql_info.record_batch(query.info))
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&self.xdbc_types.schema(), &query, request)
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(self.xdbc_types.record_batch(query.data_type))
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&metadata::no_primary_keys().schema(), &query, request)
    }

    async fn do_get_primary_keys(
        &self,
        _query: CommandGetPrimaryKeys,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(Ok(metadata::no_primary_keys()))
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&metadata::no_foreign_keys().schema(), &query, request)
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(Ok(metadata::no_foreign_keys()))
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&metadata::no_foreign_keys().schema(), &query, request)
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(Ok(metadata::no_foreign_keys()))
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&metadata::no_foreign_keys().schema(), &query, request)
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        _request: Request<Ticket>,
    ) -> Result<DoGet<Self>, Status> {
        one_batch(Ok(metadata::no_foreign_keys()))
    }

    /// The answers are fixed: see [`metadata::sql_info`].
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
