//! The loops: what is due, whose duty it is, and that.

use std::sync::Arc;
use std::time::Duration;

use loglake_coord::Coordinator;
use loglake_format::EncoderSettings;
use loglake_model::{Clock, Timestamp};
use loglake_table::{Catalog, Table};
use loglake_wal::Reader;
use object_store::ObjectStore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::pace::Paces;
use crate::schedule::is_due;
use crate::{Compactor, MaintainError, keys, logs, vacuum};

/// How often is looked at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
const VACUUM_EVERY: Duration = Duration::from_secs(24 * 3600);
const SWEEP_KEYS_EVERY: Duration = Duration::from_secs(6 * 3600);
const SWEEP_LOGS_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How often is looked for tables that changed.
const COMPACT_EVERY: Duration = Duration::from_secs(60);

/// What upkeep works with.
#[derive(Clone)]
pub struct MaintainDependencies {
    pub store: Arc<dyn ObjectStore>,
    pub catalog: Arc<Catalog>,
    pub coordinator: Arc<dyn Coordinator>,
    /// Decides when to work, never what may be removed.
    pub clock: Arc<dyn Clock>,
    /// How files are laid out.
    pub encoder: EncoderSettings,
}

/// Keeps the bucket tidy until `stop`.
pub async fn maintain(dependencies: MaintainDependencies, stop: CancellationToken) {
    let compacting = keep_compact(&dependencies, &stop);
    tokio::join!(compacting, keep_tidy(&dependencies, &stop));
}

/// Compacts each table soon after it has changed.
async fn keep_compact(dependencies: &MaintainDependencies, stop: &CancellationToken) {
    let compactor = Compactor {
        store: Arc::clone(&dependencies.store),
        clock: Arc::clone(&dependencies.clock),
        encoder: dependencies.encoder.clone(),
    };
    let mut paces = Paces::default();
    while stop.run_until_cancelled(sleep(COMPACT_EVERY)).await.is_some() {
        for table in paces.due(dependencies.catalog.open_tables(), Instant::now()) {
            let work = compact(dependencies, &compactor, &table);
            match stop.run_until_cancelled(work).await {
                None => return,
                Some(Ok(())) => paces.looked(&table, Instant::now()),
                Some(Err(e)) => {
                    paces.looked(&table, Instant::now());
                    tracing::warn!(table = %table.root(), "not compacted, to be tried again: {e}");
                }
            }
        }
    }
}

async fn compact(
    dependencies: &MaintainDependencies,
    compactor: &Compactor,
    table: &Table,
) -> Result<(), MaintainError> {
    let duty = format!("compact {}/{}", table.tenant(), table.name());
    if let Some(_duty) = dependencies.coordinator.try_duty(&duty).await? {
        compactor.compact(table).await?;
    }
    Ok(())
}

async fn keep_tidy(dependencies: &MaintainDependencies, stop: &CancellationToken) {
    let mut last = dependencies.clock.now();
    while stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
        let now = dependencies.clock.now();
        let round = Round { dependencies, after: last, until: now };
        let Some(ended) = stop.run_until_cancelled(round.run()).await else { return };
        if let Err(e) = ended {
            tracing::warn!("upkeep ended early and goes on at its next time: {e}");
        }
        last = now;
    }
}

/// What came due in `(after, until]`.
struct Round<'a> {
    dependencies: &'a MaintainDependencies,
    after: Timestamp,
    until: Timestamp,
}

impl Round<'_> {
    async fn run(&self) -> Result<(), MaintainError> {
        let MaintainDependencies { store, catalog, .. } = self.dependencies;
        self.when_due("sweep keys", SWEEP_KEYS_EVERY, async {
            let objects = keys::sweep(store.as_ref(), keys::AGE).await?;
            tracing::debug!(objects, "swept the claims of old idempotency keys");
            Ok(())
        })
        .await?;
        self.when_due("sweep logs", SWEEP_LOGS_EVERY, async {
            let reader = Reader::new(Arc::clone(store));
            let writers = logs::sweep(store.as_ref(), &reader, logs::AGE).await?;
            tracing::debug!(writers, "swept what was left of old logs");
            Ok(())
        })
        .await?;
        for tenant in catalog.tenants().await? {
            for name in catalog.tables(&tenant).await? {
                // Opened here, a table that is new is compacted too.
                let table = match catalog.table(&tenant, &name).await {
                    Ok(Some(table)) => table,
                    Ok(None) => continue,
                    Err(e) => {
                        tracing::warn!("{tenant}/{name} is not kept tidy: {e}");
                        continue;
                    }
                };
                let vacuum = async {
                    vacuum::vacuum(store.as_ref(), &table, self.until, vacuum::GRACE).await?;
                    Ok(())
                };
                self.when_due(&format!("vacuum {tenant}/{name}"), VACUUM_EVERY, vacuum).await?;
            }
        }
        Ok(())
    }

    /// Works if it is time and nobody else does. One piece of work that fails keeps no other back.
    async fn when_due(
        &self,
        name: &str,
        period: Duration,
        work: impl Future<Output = Result<(), MaintainError>>,
    ) -> Result<(), MaintainError> {
        if !is_due(name, period, self.after, self.until) {
            return Ok(());
        }
        let Some(_duty) = self.dependencies.coordinator.try_duty(name).await? else {
            return Ok(());
        };
        if let Err(e) = work.await {
            tracing::warn!("{name} failed and is tried again at its next time: {e}");
        }
        Ok(())
    }
}
