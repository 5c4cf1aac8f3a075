//! A whole lake in memory behind the doors, for their tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use loglake_coord::InProcess;
use loglake_format::EncoderSettings;
use loglake_ingest::{IngestDependencies, IngestSettings, Ingester, NoPeers};
use loglake_model::{Clock, Limits, PartitionBy, Timestamp, WriterId};
use loglake_query::{QueryDeps, QueryEngine, QuerySettings};
use loglake_table::{Catalog, TableSettings};
use loglake_wal::{Reader, WalSettings};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;

use crate::doors::{DoorSettings, Doors, OpenDoors};
use crate::peers::OwnRows;

/// 2026-11-01T13:00:00Z, and a microsecond more at each look.
#[derive(Debug)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.fetch_add(1_000, Ordering::Relaxed))
    }
}

/// Doors with both roles behind them.
pub(crate) async fn doors(token: Option<&str>) -> Doors {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let clock = Arc::new(TestClock(AtomicI64::new(1_793_538_000_000_000_000)));
    let tables = TableSettings {
        columns_max: 100,
        checkpoint_interval: 100,
        partition_by: PartitionBy::Hour,
    };
    let catalog = Arc::new(Catalog::new(Arc::clone(&store), clock.clone(), tables));
    let dependencies = IngestDependencies {
        store: Arc::clone(&store),
        catalog: Arc::clone(&catalog),
        clock: clock.clone(),
        new_writer_id: Arc::new(|| WriterId::from_uuid(uuid::Uuid::now_v7())),
    };
    let ingester =
        Ingester::start(dependencies, ingest_settings(), Arc::new(NoPeers)).await.unwrap();
    let dependencies = QueryDeps {
        store: Arc::clone(&store),
        catalog,
        segments: Reader::new(store),
        fresh: Arc::new(OwnRows::new(Some(Arc::clone(&ingester)))),
        coordinator: Arc::new(InProcess::new()),
        clock: clock.clone(),
    };
    let settings = QuerySettings {
        memory_bytes_max: 256 << 20,
        timeout: Duration::from_secs(20),
        spill_bytes_max: 64 << 20,
    };
    let engine = QueryEngine::new(dependencies, settings);
    Doors {
        ingester: Some(ingester),
        engine: Some(Arc::new(engine.unwrap())),
        limits: Limits::default(),
        token: token.map(str::to_owned),
        clock,
        registry: Registry::with_prefix("loglake"),
    }
}

pub(crate) async fn open_doors(token: Option<&str>) -> OpenDoors {
    OpenDoors::new(doors(token).await, DoorSettings::default()).unwrap()
}

fn ingest_settings() -> IngestSettings {
    IngestSettings {
        flush_bytes: 64 << 20,
        flush_age: Duration::from_secs(600),
        buffer_bytes_max: 256 << 20,
        buffer_wait_max: Duration::from_secs(1),
        writer_age_max: Duration::from_secs(24 * 3600),
        wal: WalSettings { linger: Duration::from_millis(2), ..WalSettings::default() },
        encoder: EncoderSettings::default(),
    }
}
