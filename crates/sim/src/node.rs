//! A node: a runtime of its own with a paused clock, stepped by the scheduler, and what a process of
//! the product runs in it. A crash drops the runtime: every task ends at the await where it stands.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use futures::TryStreamExt;
use loglake_coord::{Coordinator, Member, Role};
use loglake_format::EncoderSettings;
use loglake_ingest::{
    ForwardError, FreshRows as Told, IngestDependencies, IngestSettings, Ingester, RequestKey,
    recover, recover_orphans,
};
use loglake_maintain::Compactor;
use loglake_maintain::vacuum::vacuum;
use loglake_model::{Clock, ErrorKind, PartitionBy, TenantName, WriterId};
use loglake_query::{
    FreshAnswer, FreshError, FreshRows, FreshScan, QueryDeps, QueryEngine, QueryError,
    QueryRequest, QuerySettings, UpTo,
};
use loglake_table::{Catalog, DataFile, Snapshot, TableSettings};
use loglake_wal::{Reader, WalSettings};
use object_store::ObjectStore;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, ID, Request, TABLES, table_name};
use crate::coord::SimEtcd;
use crate::hub::{Ask, Hub, SimPeers};
use crate::ledger::{Promise, RecordId};
use crate::place::Place;
use crate::sabotage::Sabotage;
use crate::store::{SimStore, View};
use crate::world::{NodeClock, Party, World};

/// A runtime that is stepped.
pub struct Stepped {
    runtime: Runtime,
    started: Instant,
    began_ms: u64,
    at_ms: u64,
}

impl Stepped {
    pub fn start(now_ms: u64, program: impl Future<Output = ()> + Send + 'static) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing of the machine");
        let started = runtime.block_on(async { Instant::now() });
        runtime.spawn(program);
        Self { runtime, started, began_ms: now_ms, at_ms: now_ms }
    }

    /// Lets everything happen up to a time.
    pub fn step(&mut self, to_ms: u64) {
        let to = self.started + Duration::from_millis(to_ms - self.began_ms);
        self.runtime.block_on(async { sleep_until(to).await });
        self.at_ms = to_ms;
    }

    /// After a freeze: the clock has jumped, and everything that was due meanwhile is due at once.
    pub fn thaw(&mut self, now_ms: u64) {
        let missed = Duration::from_millis(now_ms - self.at_ms);
        self.runtime.block_on(async { tokio::time::advance(missed).await });
        self.at_ms = now_ms;
    }

    /// Ends every task where it stands.
    pub fn crash(self) {
        self.runtime.shutdown_background();
    }
}

/// What a node is made of.
#[derive(Clone)]
pub struct Parts {
    pub world: Arc<World>,
    pub place: Arc<Place>,
    pub etcd: Arc<SimEtcd>,
    pub hub: Arc<Hub>,
    pub clock: Arc<NodeClock>,
    pub party: Party,
    pub ingesters: Vec<Party>,
    pub roles: Vec<Role>,
}

impl Parts {
    fn store(&self, view: View) -> Arc<dyn ObjectStore> {
        SimStore::new(&self.world, &self.place, self.party, view)
    }

    fn catalog(&self, store: Arc<dyn ObjectStore>) -> Arc<Catalog> {
        let settings = TableSettings {
            columns_max: 100,
            // What a view leaves out of the log must not come back by a checkpoint.
            checkpoint_interval: match self.world.sabotage {
                Sabotage::Watermark | Sabotage::VacuumMark => 9_999,
                _ => 5,
            },
            partition_by: PartitionBy::Hour,
        };
        let world = Arc::clone(&self.world);
        let catalog = Catalog::new(store, self.clock.clone(), settings);
        Arc::new(catalog.with_ids(Arc::new(move || world.dice(|dice| dice.uuid()))))
    }

    fn dependencies(&self) -> IngestDependencies {
        let store = self.store(match self.world.sabotage {
            Sabotage::VacuumMark => View::WithoutVacuums,
            _ => View::Whole,
        });
        let (world, clock) = (Arc::clone(&self.world), Arc::clone(&self.clock));
        let new_writer_id = move || {
            let random = world.dice(|dice| dice.uuid()).into_bytes();
            let millis = clock.now().millis().unsigned_abs();
            let id = uuid::Builder::from_unix_timestamp_millis(
                millis,
                random[..10].try_into().expect("10 of 16 bytes"),
            );
            WriterId::from_uuid(id.into_uuid())
        };
        IngestDependencies {
            catalog: self.catalog(Arc::clone(&store)),
            store,
            clock: self.clock.clone(),
            new_writer_id: Arc::new(new_writer_id),
        }
    }

    /// The process: starts what its roles ask for and answers who asks, until the node crashes.
    pub async fn process(self) {
        let mut inbox = self.hub.open(self.party);
        let coordinator = self.etcd.connect(self.party);
        let dependencies = self.dependencies();
        let peers = SimPeers::new(&self.hub, self.party);
        let ingester = match self.roles.contains(&Role::Ingest) {
            true => Some(self.start_ingester(&dependencies, &peers).await),
            false => None,
        };
        tokio::spawn(self.clone().join(Arc::clone(&coordinator) as _, ingester.clone()));
        if self.roles.contains(&Role::Maintain) {
            tokio::spawn(recover_orphans(
                dependencies.clone(),
                ingest_settings(),
                Arc::clone(&coordinator) as _,
                CancellationToken::new(),
            ));
            tokio::spawn(self.clone().keep_vacuuming());
            tokio::spawn(self.clone().keep_merging());
        }
        if self.roles.contains(&Role::Query) {
            let engine = self.engine(&dependencies, coordinator, ingester.clone());
            tokio::spawn(self.clone().keep_asking(engine));
        }
        let Some(ingester) = ingester else {
            return std::future::pending().await;
        };
        tokio::spawn(self.clone().tell_peers(Arc::clone(&ingester), Arc::clone(&peers)));
        while let Some((from, ask)) = inbox.recv().await {
            let ingester = Arc::clone(&ingester);
            match ask {
                Ask::Standing(standing) => peers.hear(from, standing),
                Ask::Forward(forward, reply) => {
                    tokio::spawn(async move {
                        let taken: Result<(), ForwardError> =
                            ingester.take_forwarded(forward).await;
                        reply.send(taken);
                    });
                }
                Ask::KeyFate(writer, key, reply) => {
                    tokio::spawn(async move {
                        reply.send(ingester.key_fate(writer, &key).await);
                    });
                }
                Ask::Fresh(scan, reply) => {
                    let told = own_rows(&ingester, &scan);
                    if told.is_ok() {
                        self.world.count("queries: another process told its rows");
                    }
                    reply.send(told);
                }
                Ask::Append(request, reply) => {
                    tokio::spawn(async move { reply.send(append(&ingester, request).await) });
                }
            }
        }
    }

    async fn start_ingester(
        &self,
        dependencies: &IngestDependencies,
        peers: &Arc<SimPeers>,
    ) -> Arc<Ingester> {
        loop {
            let peers = Arc::clone(peers) as _;
            match Ingester::start(dependencies.clone(), ingest_settings(), peers).await {
                Ok(ingester) => return ingester,
                Err(_) => sleep(Duration::from_millis(300)).await,
            }
        }
    }

    async fn join(self, coordinator: Arc<dyn Coordinator>, ingester: Option<Arc<Ingester>>) {
        let mut member = Member {
            id: format!("{}-{}", self.party, self.world.number()),
            roles: self.roles.clone(),
            http: String::new(),
            grpc: self.party.to_string(),
            writer: ingester.as_ref().map(|ingester| ingester.writer()),
            version: String::new(),
        };
        // It is kept trying behind an error.
        let _ = coordinator.register(member.clone()).await;
        let Some(mut writers) = ingester.map(|ingester| ingester.watch_writer()) else { return };
        while writers.changed().await.is_ok() {
            member.writer = Some(*writers.borrow_and_update());
            self.world.count("ingest: a writer was replaced");
            let _ = coordinator.register(member.clone()).await;
        }
    }

    async fn tell_peers(self, ingester: Arc<Ingester>, peers: Arc<SimPeers>) {
        loop {
            peers.tell(self.ingesters.iter().copied(), ingester.standing());
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn engine(
        &self,
        dependencies: &IngestDependencies,
        coordinator: Arc<dyn Coordinator>,
        ingester: Option<Arc<Ingester>>,
    ) -> Arc<QueryEngine> {
        let (store, catalog) = match self.world.sabotage {
            Sabotage::Watermark => {
                let store = self.store(View::WithoutWatermarks);
                (Arc::clone(&store), self.catalog(store))
            }
            _ => (Arc::clone(&dependencies.store), Arc::clone(&dependencies.catalog)),
        };
        let fresh = Arc::new(MembersRows {
            own: ingester,
            members: coordinator.members(),
            hub: Arc::clone(&self.hub),
            party: self.party,
        });
        let deps = QueryDeps {
            segments: Reader::new(Arc::clone(&store)),
            store,
            catalog,
            fresh,
            coordinator,
            clock: self.clock.clone(),
        };
        let settings = QuerySettings {
            memory_bytes_max: 64 << 20,
            timeout: Duration::from_secs(15),
            spill_bytes_max: 1 << 20,
        };
        Arc::new(QueryEngine::new(deps, settings).expect("an engine over memory starts"))
    }

    /// Vacuums now and then, and without a grace: what the newest version does not name goes at once.
    async fn keep_vacuuming(self) {
        let store = self.store(View::Whole);
        let catalog = self.catalog(Arc::clone(&store));
        loop {
            let (pause, table) =
                self.world.dice(|dice| (dice.within(500..4_000), usize::from(dice.per_mille(300))));
            sleep(Duration::from_millis(pause)).await;
            let table = catalog.table(&TenantName::unnamed(), &table_name(table)).await;
            let Ok(Some(table)) = table else { continue };
            let vacuumed = vacuum(store.as_ref(), &table, self.clock.now(), Duration::ZERO).await;
            if vacuumed.is_ok_and(|files| files > 0) {
                self.world.count("maintain: files were vacuumed");
            }
        }
    }

    /// Merges some files of a partition now and then, whether it is at rest or not.
    async fn keep_merging(self) {
        let store = self.store(View::Whole);
        let catalog = self.catalog(Arc::clone(&store));
        let encoder = ingest_settings().encoder;
        let compactor = Compactor { store, clock: self.clock.clone(), encoder };
        loop {
            let (pause, table) =
                self.world.dice(|dice| (dice.within(500..6_000), usize::from(dice.per_mille(300))));
            sleep(Duration::from_millis(pause)).await;
            let table = catalog.table(&TenantName::unnamed(), &table_name(table)).await;
            let Ok(Some(table)) = table else { continue };
            let Ok(version) = table.refresh().await else { continue };
            let group = self.some_files(&version);
            if group.len() > 1
                && matches!(compactor.merge(&table, &version, &group).await, Ok(true))
            {
                self.world.count("maintain: files were merged");
            }
        }
    }

    /// Up to four files of the partition of one of them.
    fn some_files(&self, version: &Snapshot) -> Vec<Arc<DataFile>> {
        let mut files: Vec<&Arc<DataFile>> = version.files().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        if files.is_empty() {
            return vec![];
        }
        let one = self.world.dice(|dice| dice.within(0..files.len() as u64)) as usize;
        let partition = files[one].partition;
        let others = files[one..].iter().filter(|file| file.partition == partition);
        others.take(4).map(|file| Arc::clone(file)).collect()
    }

    /// Asks for whole tables and holds the answers against the ledger.
    async fn keep_asking(self, engine: Arc<QueryEngine>) {
        loop {
            let (pause, table) = self
                .world
                .dice(|dice| (dice.within(1_000..5_000), usize::from(dice.per_mille(300))));
            sleep(Duration::from_millis(pause)).await;
            self.ask(&engine, table).await;
        }
    }

    async fn ask(&self, engine: &QueryEngine, table: usize) -> bool {
        let began = self.world.ledger(|ledger| ledger.now());
        let answer = ask_ids(engine, table).await;
        let world = &self.world;
        match answer {
            Ok(ids) => {
                world.event(format_args!("{} answers {} rows of {table}", self.party, ids.len()));
                world.count("queries: answered");
                if let Err((promise, what)) = world.ledger(|l| l.judge(table, began, &ids)) {
                    world
                        .broken(promise, format!("{} asked {}: {what}", self.party, TABLES[table]));
                }
                true
            }
            Err(e) => {
                world.event(format_args!("{} has no answer: {e}", self.party));
                match e.kind() {
                    ErrorKind::Retry | ErrorKind::TimedOut | ErrorKind::Overloaded => {
                        world.count("queries: failed for now");
                    }
                    _ => world.broken(Promise::QueriesAreAnswered, e.to_string()),
                }
                false
            }
        }
    }

    /// After everything: recovers what is left and looks whether all is there.
    pub async fn inspect(self, done: Arc<std::sync::atomic::AtomicBool>) {
        let dependencies = self.dependencies();
        let reader = Reader::new(Arc::clone(&dependencies.store));
        // Until the last write of a dead node has landed.
        sleep(Duration::from_secs(5)).await;
        let settings = ingest_settings();
        for writer in reader.writers().await.unwrap_or_default() {
            if let Err(e) = recover(&dependencies, &settings, writer).await {
                let what = format!("the log of {writer} cannot be recovered: {e}");
                self.world.broken(Promise::EverythingIsRecovered, what);
            }
        }
        if !reader.writers().await.is_ok_and(|writers| writers.is_empty()) {
            self.world.broken(Promise::EverythingIsRecovered, "a writer is left over");
        }
        let coordinator = self.etcd.connect(self.party);
        let engine = self.engine(&dependencies, coordinator, None);
        for (table, name) in TABLES.iter().enumerate() {
            if !self.ask(&engine, table).await {
                let what = format!("{name} cannot be asked");
                self.world.broken(Promise::EverythingIsRecovered, what);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

async fn append(ingester: &Ingester, request: Request) -> Answer {
    let (tenant, name) = (request.tenant(), table_name(request.table));
    let stored = async {
        let table = ingester.table(&tenant, &name).await?;
        let rows = vec![(table, request.batch())];
        match &request.key {
            Some(key) => {
                let key = RequestKey::new(&tenant, key, [key.as_bytes()]);
                ingester.append_once(key, rows).await
            }
            None => ingester.append(rows).await,
        }
    };
    stored.await.map_err(|e| e.to_string())
}

async fn ask_ids(engine: &QueryEngine, table: usize) -> Result<Vec<RecordId>, QueryError> {
    let request = QueryRequest {
        tenant: TenantName::unnamed(),
        sql: format!("select {ID} from {}", TABLES[table]),
        parameters: vec![],
        timeout: None,
    };
    let answer = match engine.run(request).await {
        Ok(answer) => answer,
        // Nothing was sent to this table so far, or its first record is on its way.
        Err(e) if e.kind() == ErrorKind::NotFound || is_unknown_column(&e) => return Ok(vec![]),
        Err(e) => return Err(e),
    };
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await.map_err(QueryError::from)?;
    let ids =
        batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec());
    Ok(ids.collect())
}

fn is_unknown_column(error: &QueryError) -> bool {
    error.kind() == ErrorKind::Invalid && error.to_string().contains(ID)
}

/// How long another process is waited for.
const FRESH_WAIT: Duration = Duration::from_millis(300);

/// The rows in memory of this process and of every member that has a writer.
struct MembersRows {
    own: Option<Arc<Ingester>>,
    members: watch::Receiver<Arc<Vec<Member>>>,
    hub: Arc<Hub>,
    party: Party,
}

impl MembersRows {
    fn party_of(&self, writer: WriterId) -> Option<Party> {
        let members = self.members.borrow();
        let member = members.iter().find(|member| member.writer == Some(writer))?;
        (0..u8::MAX).map(Party::Node).find(|party| party.to_string() == member.grpc)
    }
}

#[async_trait]
impl FreshRows for MembersRows {
    fn own(&self) -> Option<WriterId> {
        self.own.as_ref().map(|ingester| ingester.writer())
    }

    fn can_ask(&self, writer: WriterId) -> bool {
        self.own() == Some(writer) || self.party_of(writer).is_some()
    }

    async fn rows(&self, scan: &FreshScan) -> Result<FreshAnswer, FreshError> {
        if let Some(own) = self.own.as_ref().filter(|own| own.writer() == scan.writer) {
            return own_rows(own, scan);
        }
        let party = self.party_of(scan.writer);
        let party = party.ok_or_else(|| FreshError::Silent("no member".to_owned()))?;
        let answer = timeout(FRESH_WAIT, self.hub.fresh(self.party, party, scan.clone())).await;
        answer.ok().flatten().unwrap_or_else(|| Err(FreshError::Silent("no answer".to_owned())))
    }
}

fn own_rows(ingester: &Ingester, scan: &FreshScan) -> Result<FreshAnswer, FreshError> {
    let up_to = match scan.up_to {
        UpTo::Newest => None,
        UpTo::Segment(last) => Some(last),
    };
    match ingester.fresh_rows(scan.writer, scan.table, scan.above, up_to) {
        Told::Held { up_to, batches } => Ok(FreshAnswer::whole(up_to, batches)),
        Told::LetGo => Err(FreshError::LetGo),
        Told::NotCurrent => Err(FreshError::NotCurrent),
    }
}

fn ingest_settings() -> IngestSettings {
    IngestSettings {
        flush_bytes: 6_000,
        flush_age: Duration::from_secs(2),
        buffer_bytes_max: 1 << 20,
        buffer_wait_max: Duration::from_secs(1),
        writer_age_max: Duration::from_secs(12),
        wal: WalSettings {
            linger: Duration::from_millis(30),
            segment_bytes_max: 4_000,
            ..WalSettings::default()
        },
        encoder: EncoderSettings::default(),
    }
}
