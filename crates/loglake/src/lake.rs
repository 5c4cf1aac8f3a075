//! A lake, opened: the store, the tables and what works on them, by role.

mod format;
mod queues;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use loglake_collect::{CollectDependencies, Kafka, Status};
use loglake_coord::{Coordinator, Etcd, EtcdSettings, InProcess, Member, Role};
use loglake_ingest::{IngestDependencies, Ingester, recover_orphans};
use loglake_maintain::{MaintainDependencies, maintain};
use loglake_model::{ErrorKind, TenantName};
use loglake_query::{QueryDeps, QueryEngine};
use loglake_server::{Channels, MemberPeers, MemberQueriers, MembersRows, OwnRows};
use loglake_table::Catalog;
use loglake_wal::Reader;
use object_store::ObjectStore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::Settings;
use crate::store::Cached;
use crate::system::{SystemClock, new_writer_id};

/// The parts of a running process.
pub struct Lake {
    pub ingester: Option<Arc<Ingester>>,
    pub engine: Arc<QueryEngine>,
    /// What is consumed from other systems' queues.
    pub collected: Arc<Status>,
    kafka: Option<Kafka>,
    coordinator: Arc<dyn Coordinator>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Lake {
    /// Opens the bucket, becomes a member and starts what the roles ask for. Queries read data files through
    /// `cached` where it is given.
    ///
    /// # Errors
    /// When the store or etcd cannot be reached, or the bucket holds a lake of a newer format.
    pub async fn open(
        settings: &Settings,
        store: Arc<dyn ObjectStore>,
        cached: Option<Arc<Cached>>,
    ) -> anyhow::Result<Self> {
        let clock = Arc::new(SystemClock);
        format::check_or_create(store.as_ref()).await?;
        let catalog = Arc::new(Catalog::new(Arc::clone(&store), clock.clone(), settings.tables()));
        open_tables(&catalog).await;
        let coordinator = connect(settings).await?;
        let dependencies = IngestDependencies {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            clock: clock.clone(),
            new_writer_id: Arc::new(new_writer_id),
        };
        let id = uuid::Uuid::now_v7().to_string();
        let channels = Arc::new(Channels::new(settings.token.as_deref()));
        let ingester = match settings.has_role(Role::Ingest) {
            true => {
                let channels = Arc::clone(&channels);
                let peers = MemberPeers::follow(coordinator.as_ref(), id.clone(), channels);
                let dependencies = dependencies.clone();
                Some(Ingester::start(dependencies, settings.ingest(), Arc::new(peers)).await?)
            }
            false => None,
        };
        let own = OwnRows::new(ingester.clone());
        let grpc = settings.advertised(settings.grpc);
        let queriers = MemberQueriers::new(&grpc, coordinator.as_ref(), Arc::clone(&channels))?;
        let fresh = MembersRows::new(own, coordinator.as_ref(), channels, settings.fresh());
        let engine = QueryEngine::new(
            QueryDeps {
                store: cached.map_or_else(|| Arc::clone(&store), |cached| cached as _),
                catalog: Arc::clone(&catalog),
                segments: Reader::new(store),
                fresh: Arc::new(fresh),
                coordinator: Arc::clone(&coordinator),
                clock,
            },
            settings.query(),
        )?;
        let collected = Arc::new(Status::default());
        let engine = engine.with_queriers(Arc::new(queriers), settings.spread());
        let engine = engine.with_queues(Arc::new(queues::Collected(Arc::clone(&collected))));
        let engine = Arc::new(engine);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let kafka = None;
        let mut lake = Self { ingester, engine, collected, kafka, coordinator, tasks, stop };
        lake.join(settings, id).await?;
        if settings.has_role(Role::Maintain) {
            let upkeep = MaintainDependencies {
                store: Arc::clone(&dependencies.store),
                catalog: Arc::clone(&dependencies.catalog),
                coordinator: Arc::clone(&lake.coordinator),
                clock: Arc::clone(&dependencies.clock),
                encoder: settings.ingest().encoder,
            };
            lake.tasks.spawn(maintain(upkeep, lake.stop.clone()));
            lake.tasks.spawn(recover_orphans(
                dependencies.clone(),
                settings.ingest(),
                Arc::clone(&lake.coordinator),
                lake.stop.clone(),
            ));
        }
        lake.collect(settings, dependencies)?;
        Ok(lake)
    }

    /// Begins to consume what the settings name, where this process takes rows in.
    fn collect(
        &mut self,
        settings: &Settings,
        dependencies: IngestDependencies,
    ) -> anyhow::Result<()> {
        let source = settings.collect.kafka.source(&settings.limits())?;
        let (Some(source), Some(ingester)) = (source, &self.ingester) else { return Ok(()) };
        let dependencies = CollectDependencies {
            store: dependencies.store,
            catalog: dependencies.catalog,
            ingester: Arc::clone(ingester),
            coordinator: Arc::clone(&self.coordinator),
            clock: dependencies.clock,
            tenant: TenantName::unnamed(),
        };
        let kafka = Kafka::start(dependencies, source, Arc::clone(&self.collected));
        self.kafka = Some(kafka.context("Kafka cannot be consumed")?);
        Ok(())
    }

    /// Registers as a member, and again whenever the writer changes.
    async fn join(&self, settings: &Settings, id: String) -> anyhow::Result<()> {
        let mut member = Member {
            id,
            roles: settings.roles.clone(),
            http: settings.advertised(settings.http),
            grpc: settings.advertised(settings.grpc),
            writer: self.ingester.as_ref().map(|ingester| ingester.writer()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        match self.coordinator.register(member.clone()).await {
            // It goes on trying: the lake works without it.
            Err(e) if e.kind() == ErrorKind::Retry => tracing::warn!("not announced yet: {e}"),
            registered => registered.context("no place among the members")?,
        }
        let Some(mut writers) = self.ingester.as_ref().map(|i| i.watch_writer()) else {
            return Ok(());
        };
        let (coordinator, stop) = (Arc::clone(&self.coordinator), self.stop.clone());
        self.tasks.spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(writers.changed()).await {
                member.writer = Some(*writers.borrow_and_update());
                if let Err(e) = coordinator.register(member.clone()).await {
                    tracing::warn!("the new writer is not announced yet: {e}");
                }
            }
        });
        Ok(())
    }

    /// Consumes nothing more, commits what is buffered and leaves.
    ///
    /// # Errors
    /// When the last flush failed: everything acknowledged is durable, and recovered later.
    pub async fn close(self) -> anyhow::Result<()> {
        if let Some(kafka) = self.kafka {
            kafka.stop().await;
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(ingester) = &self.ingester {
            ingester.shutdown().await?;
        }
        if let Err(e) = self.coordinator.leave().await {
            tracing::warn!("the others see it when the lease ends: {e}");
        }
        Ok(())
    }
}

/// How long a process that starts waits for all tables to be open. The rest are opened at first use.
const OPEN_TABLES_FOR: Duration = Duration::from_secs(10);

/// Before anybody can send or ask: the first sight of a table with many files takes a while.
async fn open_tables(catalog: &Catalog) {
    match timeout(OPEN_TABLES_FOR, catalog.open_all()).await {
        Ok(Ok(tables)) => tracing::debug!(tables, "opened"),
        Ok(Err(e)) => tracing::warn!("a table cannot be opened yet: {e}"),
        Err(_) => tracing::warn!("not all tables are open yet"),
    }
}

async fn connect(settings: &Settings) -> anyhow::Result<Arc<dyn Coordinator>> {
    if settings.etcd.is_empty() {
        return Ok(Arc::new(InProcess::new()));
    }
    let etcd = EtcdSettings {
        endpoints: settings.etcd.clone(),
        prefix: settings.coordination.prefix.clone(),
        lease: Duration::from_secs(settings.coordination.lease_s),
        timeout: Duration::from_secs(settings.coordination.lease_s),
    };
    Ok(Arc::new(Etcd::connect(etcd).await.context("etcd cannot be used")?))
}
