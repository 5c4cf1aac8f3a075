//! All tables of the lake: found by name, by id and by listing, each opened once and kept.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use loglake_model::{Clock, TableId, TableName, TableSchema, TenantName};
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::TableError;
use crate::action::{Format, Line, Metadata, Protocol, Strings, encode};
use crate::file::NewIds;
use crate::intent::{info, schema_string};
use crate::log::{Created, Log};
use crate::schema::partition_columns;
use crate::snapshot::Snapshot;
use crate::table::{Table, TablePlace, TableSettings};

/// Tables opened at once when an id is looked for.
const OPENS_AT_ONCE: usize = 8;
/// Times that making a table is tried when the store gives no answer.
const CREATES_MAX: u32 = 5;

type Slot = Arc<OnceCell<Arc<Table>>>;

/// All tables of the lake, each opened once and kept.
#[derive(Debug)]
pub struct Catalog {
    store: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    settings: Arc<TableSettings>,
    ids: NewIds,
    /// Filled when open; empty while somebody opens it.
    slots: Mutex<HashMap<(TenantName, TableName), Slot>>,
}

impl Catalog {
    pub fn new(
        store: Arc<dyn ObjectStore>,
        clock: Arc<dyn Clock>,
        settings: TableSettings,
    ) -> Self {
        let (settings, ids, slots) = (Arc::new(settings), NewIds::default(), Mutex::default());
        Self { store, clock, settings, ids, slots }
    }

    /// Takes the ids of new tables and files from here instead of the machine's randomness. Each is
    /// used once, ever.
    #[must_use]
    pub fn with_ids(self, ids: Arc<dyn Fn() -> Uuid + Send + Sync>) -> Self {
        Self { ids: NewIds(ids), ..self }
    }

    /// `None` when there is no such table: then the next call looks again. Opens it (checkpoint and
    /// log) at first use; no I/O after.
    ///
    /// # Errors
    /// [`TableError::Store`] of reading; [`TableError::Corrupt`] and [`TableError::Unsupported`] of
    /// what was read.
    pub async fn table(
        &self,
        tenant: &TenantName,
        name: &TableName,
    ) -> Result<Option<Arc<Table>>, TableError> {
        let open = async { self.load(tenant, name).await?.ok_or(NotOpened::Absent) };
        match self.opened(tenant, name, open).await {
            Ok(table) => Ok(Some(table)),
            Err(NotOpened::Absent) => Ok(None),
            Err(NotOpened::Failed(error)) => Err(error),
        }
    }

    /// Opens the table or makes it (commit 0: protocol and metadata; a lost race is the other's
    /// table).
    ///
    /// # Errors
    /// Of [`Self::table`], and [`TableError::Unknown`] when the store gave no answer for long.
    pub async fn table_or_create(
        &self,
        tenant: &TenantName,
        name: &TableName,
    ) -> Result<Arc<Table>, TableError> {
        let open = async {
            match self.load(tenant, name).await? {
                Some(table) => Ok(table),
                None => Ok(self.create(tenant, name).await?),
            }
        };
        match self.opened(tenant, name, open).await {
            Ok(table) => Ok(table),
            Err(NotOpened::Failed(error)) => Err(error),
            Err(NotOpened::Absent) => {
                let path = root(tenant, name);
                Err(TableError::Corrupt { path, problem: "it was made and is not there".into() })
            }
        }
    }

    /// By Delta id, among all tables in the bucket (lists when it is not known yet).
    ///
    /// # Errors
    /// Of [`Self::table`], for any table: one that cannot be opened could be the one.
    pub async fn by_id(&self, id: TableId) -> Result<Option<Arc<Table>>, TableError> {
        if let Some(table) = self.known(id) {
            return Ok(Some(table));
        }
        let mut tables = pin!(self.open_each().await?);
        let mut failed = None;
        while let Some(opened) = tables.next().await {
            match opened {
                Ok(Some(table)) if table.id() == id => return Ok(Some(table)),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Opens every table, so that no record and no query has to wait for it; how many there are.
    ///
    /// # Errors
    /// Of [`Self::table`], the first one, after all others were opened.
    pub async fn open_all(&self) -> Result<usize, TableError> {
        let opened: Vec<_> = self.open_each().await?.collect().await;
        let count = opened.len();
        opened.into_iter().collect::<Result<Vec<_>, _>>().map(|_| count)
    }

    /// The tables that this process has open, in no order. No I/O.
    pub fn open_tables(&self) -> Vec<Arc<Table>> {
        self.slots.lock().values().filter_map(|slot| slot.get()).cloned().collect()
    }

    /// All tables in the bucket, in no order, as they are opened.
    async fn open_each(
        &self,
    ) -> Result<impl Stream<Item = Result<Option<Arc<Table>>, TableError>>, TableError> {
        let mut names = vec![];
        for tenant in self.tenants().await? {
            for name in self.tables(&tenant).await? {
                names.push((tenant.clone(), name));
            }
        }
        let tables = stream::iter(names)
            .map(move |(tenant, name)| async move { self.table(&tenant, &name).await })
            .buffer_unordered(OPENS_AT_ONCE);
        Ok(tables)
    }

    /// The tables of a tenant, by listing, sorted.
    ///
    /// # Errors
    /// [`TableError::Store`] of listing.
    pub async fn tables(&self, tenant: &TenantName) -> Result<Vec<TableName>, TableError> {
        self.folders(Some(&Path::from(tenant.as_str())), TableName::new).await
    }

    /// Names of all tenants, by listing, sorted.
    ///
    /// # Errors
    /// [`TableError::Store`] of listing.
    pub async fn tenants(&self) -> Result<Vec<TenantName>, TableError> {
        self.folders(None, TenantName::new).await
    }

    /// Folders whose names are `T`s; those of loglake itself begin with `_`, which no name does.
    async fn folders<T: Ord, E>(
        &self,
        of: Option<&Path>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, TableError> {
        let listed = self.store.list_with_delimiter(of).await.map_err(|source| {
            TableError::Store { what: "listing", path: of.cloned().unwrap_or_default(), source }
        })?;
        let names = listed.common_prefixes.iter().filter_map(|folder| folder.filename());
        let mut folders: Vec<T> = names.filter_map(|name| parse(name).ok()).collect();
        folders.sort_unstable();
        Ok(folders)
    }

    fn known(&self, id: TableId) -> Option<Arc<Table>> {
        let slots = self.slots.lock();
        slots.values().filter_map(|slot| slot.get()).find(|table| table.id() == id).cloned()
    }

    /// The table of a name, opened by one of those who ask for it at the same time.
    async fn opened(
        &self,
        tenant: &TenantName,
        name: &TableName,
        open: impl Future<Output = Result<Arc<Table>, NotOpened>>,
    ) -> Result<Arc<Table>, NotOpened> {
        let key = (tenant.clone(), name.clone());
        let slot = Arc::clone(self.slots.lock().entry(key.clone()).or_default());
        if let Some(table) = slot.get() {
            return Ok(Arc::clone(table));
        }
        let _tidy = TidySlot { catalog: self, key: &key };
        slot.get_or_try_init(|| open).await.cloned()
    }

    fn open(
        &self,
        tenant: &TenantName,
        name: &TableName,
        log: Log,
        state: Arc<Snapshot>,
    ) -> Arc<Table> {
        let (settings, clock) = (Arc::clone(&self.settings), Arc::clone(&self.clock));
        let place =
            TablePlace { tenant: tenant.clone(), name: name.clone(), root: root(tenant, name) };
        Arc::new(Table::new(place, settings, clock, self.ids.clone(), log, state))
    }

    async fn load(
        &self,
        tenant: &TenantName,
        name: &TableName,
    ) -> Result<Option<Arc<Table>>, TableError> {
        let log = Log::new(Arc::clone(&self.store), &root(tenant, name));
        let state = log.load().await?;
        Ok(state.map(|state| self.open(tenant, name, log, state)))
    }

    async fn create(
        &self,
        tenant: &TenantName,
        name: &TableName,
    ) -> Result<Arc<Table>, TableError> {
        let table = root(tenant, name);
        let log = Log::new(Arc::clone(&self.store), &table);
        let lines = self.first_entry(name)?;
        let entry = encode(&lines)
            .map_err(|e| TableError::Corrupt { path: table.clone(), problem: e.to_string() })?;
        let entry = Bytes::from(entry);
        let mut attempts = 0;
        loop {
            let created = log.create(0, entry.clone()).await?;
            if let Created::Yes = created {
                let state = Arc::new(Snapshot::begin(&log.entry_path(0), 0, lines)?);
                return Ok(self.open(tenant, name, log, state));
            }
            // Somebody's table, or ours with its answer lost: what is in the log is the table.
            if let Some(state) = log.load().await? {
                return Ok(self.open(tenant, name, log, state));
            }
            attempts += 1;
            if let (Created::Unknown(source), CREATES_MAX..) = (created, attempts) {
                return Err(TableError::Unknown { table, version: 0, attempts, source });
            }
        }
    }

    fn first_entry(&self, name: &TableName) -> Result<Vec<Line>, TableError> {
        let now = self.clock.now();
        let by = self.settings.partition_by;
        let metadata = Metadata {
            id: TableId::from_uuid(self.ids.next()).to_string(),
            name: Some(name.to_string()),
            description: None,
            format: Format { provider: "parquet".into(), options: Strings::new() },
            schema_string: schema_string(&TableSchema::new(by))?,
            partition_columns: partition_columns(by),
            // No retention of `txn` actions: a watermark must outlive its writer's segments.
            configuration: Strings::new(),
            created_time: Some(now.millis()),
        };
        let info = info("CREATE TABLE", &[], None, now);
        Ok(vec![info.into(), Protocol::NEW.into(), metadata.into()])
    }
}

/// `<tenant>/<table>`.
fn root(tenant: &TenantName, name: &TableName) -> Path {
    Path::from_iter([tenant.as_str(), name.as_str()])
}

enum NotOpened {
    Absent,
    Failed(TableError),
}

impl From<TableError> for NotOpened {
    fn from(error: TableError) -> Self {
        Self::Failed(error)
    }
}

/// Takes an empty slot out of the catalog when the last who waited for it goes: names that are only
/// asked for must not fill the memory.
struct TidySlot<'a> {
    catalog: &'a Catalog,
    key: &'a (TenantName, TableName),
}

impl Drop for TidySlot<'_> {
    fn drop(&mut self) {
        let mut slots = self.catalog.slots.lock();
        // Two hold it then: the map and the call that ends. It is only cloned under this lock.
        let idle = |slot: &Slot| slot.get().is_none() && Arc::strong_count(slot) <= 2;
        if slots.get(self.key).is_some_and(idle) {
            slots.remove(self.key);
        }
    }
}
