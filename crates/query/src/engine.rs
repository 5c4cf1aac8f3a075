//! The engine: a query's way from its text to its stream of rows.

mod names;
mod planned;
mod plans;
mod tables;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement;
use futures::FutureExt;
use loglake_coord::Coordinator;
use loglake_model::{Clock, ErrorKind, TenantName, WriterId};
use loglake_table::Catalog;
use loglake_wal::Reader;
use object_store::ObjectStore;
use tokio::time::timeout_at;
use url::Url;

use self::names::Want;
use crate::answer::{AnswerStream, Deadline, QueryAnswer, Started};
use crate::json_results::as_texts;
use crate::partial::{self, Leave, PartialAnswer, Taken};
use crate::queues::{NoQueues, Queues};
use crate::running::{Queries, QueryFacts};
use crate::session::{QuerySession, Sessions};
use crate::snapshot::{LakeReader, Terms};
use crate::spread::{Queriers, QueryWorker, Spread, SpreadSettings};
use crate::statement::{Named, parse};
use crate::text_groups::by_texts;
use crate::token_index::TokenIndexes;
use crate::views::VIEWS;
use crate::{CacheLookups, FreshRows, QueryError, read_only};

pub use self::names::{Relation, RelationKind};
pub use self::plans::{PlanQuery, PlanSnapshot, PlansRequest};

/// How often a query begins again because the lake moved on below it before its first row.
const ATTEMPTS_MAX: usize = 8;

/// The part of the memory for all queries that one held answer may take.
const HELD_PART: usize = 4;

/// The part of the memory for all queries that token indexes may take.
const INDEX_CACHE_PART: usize = 8;

/// Bytes of data files that are many: of fewer, a search for the newest rows ([`crate::newest`]) costs more than it saves.
const MANY_BYTES: u64 = 16 << 20;

/// What an engine reads from.
pub struct QueryDeps {
    pub store: Arc<dyn ObjectStore>,
    pub catalog: Arc<Catalog>,
    pub segments: Reader,
    pub fresh: Arc<dyn FreshRows>,
    pub coordinator: Arc<dyn Coordinator>,
    pub clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug)]
pub struct QuerySettings {
    /// Memory of all queries together; past it they spill, then fail.
    pub memory_bytes_max: usize,
    pub timeout: Duration,
    pub spill_bytes_max: u64,
}

/// Answers SQL over the lake. One per process; cheap to share behind an `Arc`.
pub struct QueryEngine {
    sessions: Sessions,
    reader: Arc<LakeReader>,
    indexes: Arc<TokenIndexes>,
    coordinator: Arc<dyn Coordinator>,
    queries: Arc<Queries>,
    queues: Arc<dyn Queues>,
    timeout_max: Duration,
    /// Of one answer that is held until it is whole.
    held_bytes_max: usize,
    /// See [`MANY_BYTES`].
    many_bytes: u64,
    /// Over other queriers, when there can be any.
    spread: Option<Spread>,
}

pub struct QueryRequest {
    pub tenant: TenantName,
    pub sql: String,
    /// Values of `$1`, `$2`, ….
    pub parameters: Vec<ScalarValue>,
    /// Shorter than the settings' time-out, or `None` for it.
    pub timeout: Option<Duration>,
}

pub struct Described {
    pub schema: SchemaRef,
    /// `$1`, `$2`, … with their types; `Null` where the statement does not tell.
    pub parameters: SchemaRef,
}

/// What the tries of one query so far have shown.
#[derive(Debug, Default)]
struct Tries {
    /// How often the lake had moved on.
    moved: usize,
    /// Writers whose processes gave no answer.
    shunned: BTreeSet<WriterId>,
    /// Whether the last try ran on several queriers.
    was_spread: AtomicBool,
    /// Whether an earlier one did and may have lost some of them.
    after_loss: bool,
    /// Queriers that it is done without.
    lost: BTreeSet<Url>,
    leave: Arc<Leave>,
}

impl Tries {
    fn was_spread(&self) -> bool {
        self.was_spread.load(Ordering::Relaxed)
    }

    /// Before each try: what the last one was no longer counts.
    fn again(&mut self) {
        self.was_spread = AtomicBool::new(false);
    }
}

/// Whether another try with other queriers may succeed.
const fn may_be_loss(error: &QueryError) -> bool {
    let kind = error.kind();
    !matches!(kind, ErrorKind::TimedOut | ErrorKind::Overloaded | ErrorKind::NotAllowed)
}

impl QueryEngine {
    /// # Errors
    /// When the folder for spilled rows cannot be made.
    pub fn new(deps: QueryDeps, settings: QuerySettings) -> Result<Self, QueryError> {
        let sessions = Sessions::new(Arc::clone(&deps.store), &settings)?;
        let footers = sessions.runtime().cache_manager.get_file_metadata_cache();
        let kept = settings.memory_bytes_max / INDEX_CACHE_PART;
        Ok(Self {
            sessions,
            indexes: Arc::new(TokenIndexes::new(deps.store, footers, kept)),
            reader: Arc::new(LakeReader::new(deps.catalog, deps.segments, deps.fresh)),
            coordinator: deps.coordinator,
            queries: Queries::new(deps.clock),
            queues: Arc::new(NoQueues),
            timeout_max: settings.timeout,
            held_bytes_max: settings.memory_bytes_max / HELD_PART,
            many_bytes: MANY_BYTES,
            spread: None,
        })
    }

    /// The same, with other queriers to spread large queries over.
    #[must_use]
    pub fn with_queriers(mut self, queriers: Arc<dyn Queriers>, settings: SpreadSettings) -> Self {
        self.spread = Some(Spread::new(queriers, settings, self.sessions.runtime()));
        self
    }

    /// The same, with consumers of other systems' queues to tell of.
    #[must_use]
    pub fn with_queues(self, queues: Arc<dyn Queues>) -> Self {
        Self { queues, ..self }
    }

    /// The same, that searches for the newest rows however few there are.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub const fn with_search_for_newest(mut self) -> Self {
        self.many_bytes = 0;
        self
    }

    /// How often the caches of this engine had what was asked of them.
    pub fn cache_lookups(&self) -> Arc<CacheLookups> {
        self.indexes.lookups()
    }

    /// What answers other queriers that spread their queries over this one; `None` without
    /// [`Self::with_queriers`].
    pub fn worker(&self) -> Option<QueryWorker> {
        self.spread.as_ref().map(Spread::worker)
    }

    /// Plans the query against one snapshot of each table and starts it. Answers once the first
    /// rows are there, so that what fails early fails here and not in the stream.
    pub async fn run(&self, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        self.run_with(&request, &Arc::default()).await
    }

    /// The same without the files and segments that cannot be read; the answer names them. It runs
    /// here alone, and its rows are held in memory until all are there.
    ///
    /// # Errors
    /// As [`Self::run`]; also when it cannot be told which file is at fault.
    pub async fn run_partial(&self, request: QueryRequest) -> Result<PartialAnswer, QueryError> {
        let leave = Arc::new(Leave::Taken(Taken::default()));
        loop {
            let answer = self.run_with(&request, &leave).await?;
            match partial::hold(answer, &leave, self.held_bytes_max).await {
                Err(error) if leave.without_file(&error) => {
                    tracing::info!("a query begins again without a file: {error}");
                }
                held => return held,
            }
        }
    }

    async fn run_with(
        &self,
        request: &QueryRequest,
        leave: &Arc<Leave>,
    ) -> Result<QueryAnswer, QueryError> {
        let query = self.queries.begin(&request.tenant, &request.sql);
        let asked = request.timeout.unwrap_or(self.timeout_max);
        let deadline = Deadline::after(asked.min(self.timeout_max));
        // Here and elsewhere: boxed, so that who awaits this is compiled without a look at all that a
        // query awaits.
        let start = self.start(request, query.facts(), leave).boxed();
        let started = timeout_at(deadline.at, start).await;
        match started.unwrap_or_else(|_| Err(deadline.error())) {
            Ok(started) => Ok(QueryAnswer {
                id: query.facts().id.clone(),
                schema: started.rest.schema(),
                stream: Box::pin(AnswerStream::new(started, deadline, query)),
            }),
            Err(error) => {
                query.failed(&error);
                Err(error)
            }
        }
    }

    /// The result schema and the types of the parameters of a statement, not run.
    pub async fn describe(&self, tenant: &TenantName, sql: &str) -> Result<Described, QueryError> {
        let describe = async {
            let statement = parse(sql)?;
            read_only::check_statement(&statement)?;
            let query = self.queries.unlisted(tenant, sql);
            let named = Named::in_statement(self.sessions.template(), &statement)?;
            let session = self.bind(tenant, &named, Want::Columns, &query).await?;
            let plan = self.plan(tenant, session.state(), statement).await?;
            let schema = Arc::clone(plan.schema().inner());
            Ok(Described { schema, parameters: parameters(&plan)? })
        };
        let deadline = Deadline::after(self.timeout_max);
        timeout_at(deadline.at, describe.boxed()).await.unwrap_or_else(|_| Err(deadline.error()))
    }

    async fn start(
        &self,
        request: &QueryRequest,
        query: &QueryFacts,
        leave: &Arc<Leave>,
    ) -> Result<Started, QueryError> {
        let statement = parse(&request.sql)?;
        read_only::check_statement(&statement)?;
        let mut tries = Tries { leave: Arc::clone(leave), ..Tries::default() };
        loop {
            let error = match self.attempt(request, statement.clone(), query, &tries).await {
                Ok(started) => return Ok(started),
                Err(error) => error,
            };
            if !self.begin_again(&error, &mut tries).await {
                return Err(if tries.was_spread() { error.of_several_queriers() } else { error });
            }
            tries.again();
            tracing::debug!(query = query.id, "query begins again: {error}");
        }
    }

    /// Whether a query that failed before its first row is tried again, and what is to be different.
    async fn begin_again(&self, error: &QueryError, tries: &mut Tries) -> bool {
        match error {
            QueryError::Moved { .. } => {
                tries.moved += 1;
                tries.moved < ATTEMPTS_MAX
            }
            QueryError::Unanswered { writers, .. } => {
                let known = tries.shunned.len();
                tries.shunned.extend(writers);
                tries.shunned.len() > known
            }
            error if tries.leave.without_file(error) => true,
            error => match &self.spread {
                Some(spread) if tries.was_spread() && !tries.after_loss && may_be_loss(error) => {
                    tries.after_loss = true;
                    tries.lost = spread.lost().await;
                    // It looks like the query's own mistake. It may be of a querier that is back already and
                    // knows nothing of the query: alone it shows.
                    if error.kind() == ErrorKind::Invalid && tries.lost.is_empty() {
                        tries.lost = spread.others();
                    }
                    true
                }
                _ => false,
            },
        }
    }

    async fn attempt(
        &self,
        request: &QueryRequest,
        statement: Statement,
        query: &QueryFacts,
        tries: &Tries,
    ) -> Result<Started, QueryError> {
        let want = Want::Rows(Terms { shunned: &tries.shunned, leave: &tries.leave });
        let named = Named::in_statement(self.sessions.template(), &statement)?;
        let session = Arc::new(self.bind(&request.tenant, &named, want, query).await?);
        let mut plan = self.plan(&request.tenant, session.state(), statement).await?;
        if !request.parameters.is_empty() {
            let values = request.parameters.iter().map(|v| v.clone().into()).collect();
            plan = plan.with_param_values(ParamValues::List(values))?;
        }
        self.execute(&session, plan, tries).await
    }

    /// Starts a plan over what is bound in the session: here, or over several queriers. Whatever is
    /// asked comes this way.
    async fn execute(
        &self,
        session: &Arc<QuerySession>,
        plan: LogicalPlan,
        tries: &Tries,
    ) -> Result<Started, QueryError> {
        let (plan, physical) = self.planned(session, plan).await?;
        let over = match &self.spread {
            Some(spread) if matches!(*tries.leave, Leave::None) => {
                spread.over_queriers(session, &plan, &physical, &tries.lost).await?
            }
            _ => None,
        };
        let is_spread = over.is_some();
        // Plans of one question may run at once: that any of them was spread counts.
        tries.was_spread.fetch_or(is_spread, Ordering::Relaxed);
        let (physical, context) = match over {
            Some(over) => over,
            None => (by_texts(physical)?, session.task_context()),
        };
        let rows = execute_stream(physical, context)?;
        Ok(Started::after_first_rows(rows, Arc::clone(session), is_spread).await?)
    }

    async fn plan(
        &self,
        tenant: &TenantName,
        state: &SessionState,
        statement: Statement,
    ) -> Result<LogicalPlan, QueryError> {
        let plan = match state.statement_to_plan(statement).await {
            Ok(plan) => plan,
            Err(error) => return Err(self.explained(tenant, error.into()).await),
        };
        read_only::check_plan(&plan)?;
        as_texts(plan)
    }

    /// For a table that is not there: which are.
    async fn explained(&self, tenant: &TenantName, error: QueryError) -> QueryError {
        let unknown_table = match &error {
            QueryError::Sql { message, .. } => {
                message.starts_with("table '") && message.ends_with("not found")
            }
            _ => false,
        };
        if !unknown_table {
            return error;
        }
        let tables = self.reader.catalog().tables(tenant).await.unwrap_or_default();
        let tables: Vec<_> = tables.iter().map(|name| name.as_str()).collect();
        let views: Vec<_> = VIEWS.iter().map(|view| view.name).collect();
        let hint = format!(
            " (tables: {}; in schema lake: {})",
            if tables.is_empty() { "none yet".to_owned() } else { tables.join(", ") },
            views.join(", "),
        );
        error.not_found().with_hint(&hint)
    }
}

fn parameters(plan: &LogicalPlan) -> Result<SchemaRef, QueryError> {
    let mut found: Vec<(u32, Field)> = plan
        .get_parameter_types()?
        .into_iter()
        .map(|(name, kind)| {
            let number = name.trim_start_matches('$').parse().unwrap_or(u32::MAX);
            (number, Field::new(name, kind.unwrap_or(DataType::Null), true))
        })
        .collect();
    found.sort_by(|a, b| (a.0, a.1.name()).cmp(&(b.0, b.1.name())));
    Ok(Arc::new(Schema::new(found.into_iter().map(|(_, field)| field).collect::<Vec<_>>())))
}
