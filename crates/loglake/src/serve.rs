//! `loglake serve`: settings, the lake, the doors, until a signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use loglake_collect::Metrics;
use loglake_coord::Role;
use loglake_server::{Doors, KafkaPort, check_exposure};
use object_store::ObjectStore;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use toml::Value;

use crate::lake::Lake;
use crate::settings::{Overrides, Settings, load};
use crate::store::{self, CacheReads, Cached, Counted, StoreRequests};
use crate::system::SystemClock;

#[derive(clap::Args)]
pub struct ServeArgs {
    /// The directory that is the bucket of an embedded lake
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    data: Option<PathBuf>,
    /// The bucket: s3://bucket/prefix (keys and endpoint from the AWS_* variables) or hdfs://host:port/path
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Addresses of etcd, when several processes share the bucket
    #[arg(long, value_name = "URL,URL…", value_delimiter = ',')]
    etcd: Vec<String>,
    /// What this process does: ingest, query, maintain
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// Address of the HTTP door [default: 127.0.0.1:9400]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Address of the gRPC door [default: 127.0.0.1:9401]
    #[arg(long, value_name = "ADDR")]
    grpc: Option<SocketAddr>,
    /// Address of the Kafka door [default: none]
    #[arg(long, value_name = "ADDR")]
    kafka: Option<SocketAddr>,
    /// Host by which other members reach this process, where it listens on 0.0.0.0
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// The bearer token that every door asks for (better in LOGLAKE_TOKEN: others see flags)
    #[arg(long)]
    token: Option<String>,
    /// A TOML file of settings; see docs/configuration.md
    #[arg(long, value_name = "FILE", env = "LOGLAKE_CONFIG")]
    config: Option<PathBuf>,
}

impl ServeArgs {
    fn overrides(&self) -> Overrides {
        let list = |items: &[String]| (!items.is_empty()).then(|| Value::from(items.to_vec()));
        let text = |value: Option<String>| value.map(Value::from);
        [
            ("data", text(self.data.as_ref().map(|data| data.to_string_lossy().into_owned()))),
            ("store", text(self.store.clone())),
            ("etcd", list(&self.etcd)),
            ("roles", list(&self.roles)),
            ("http", text(self.http.map(|address| address.to_string()))),
            ("grpc", text(self.grpc.map(|address| address.to_string()))),
            ("kafka.listen", text(self.kafka.map(|address| address.to_string()))),
            ("advertise", text(self.advertise.clone())),
            ("token", text(self.token.clone())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

/// What is logged unless `LOGLAKE_LOG` says otherwise. The cache's library tells what only its authors ask.
const LOGGED: &str = "info,foyer=warn,foyer_storage=warn";

pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("LOGLAKE_LOG")
                .unwrap_or_else(|_| LOGGED.into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let settings = load(args.config.as_deref(), std::env::vars(), args.overrides())?;
    check_exposure(&settings.addresses(), settings.token.as_deref())?;
    if settings.nobody_can_reach_it() {
        tracing::warn!("other members cannot reach {}: set `advertise`", settings.grpc);
    }
    // Held until the end: a directory has one process.
    let bucket = open_bucket(&settings).await?;
    let (http, grpc) = (bind(settings.http)?, bind(settings.grpc)?);
    let kafka = settings.kafka.listen.map(bind).transpose()?;
    let requests = StoreRequests::default();
    let mut registry = Registry::with_prefix("loglake");
    requests.register(&mut registry);
    let store = Arc::new(Counted::new(&bucket, requests));
    let cached = open_cache(&settings, Arc::clone(&store) as _, &mut registry).await?;
    let lake = Lake::open(&settings, store, cached.clone()).await?;
    registry.register_collector(Box::new(Metrics(Arc::clone(&lake.collected))));
    let stop = stop_on_signal()?;
    let (http, grpc) = (http.listen(BACKLOG)?, grpc.listen(BACKLOG)?);
    let kafka = kafka.map(|socket| socket.listen(BACKLOG)).transpose()?;
    let kafka = kafka.map(|listener| KafkaPort { listener, settings: settings.kafka() });
    announce(&settings, &http, &grpc, kafka.as_ref())?;
    let doors = Doors {
        ingester: lake.ingester.clone(),
        engine: settings.has_role(Role::Query).then(|| Arc::clone(&lake.engine)),
        limits: settings.limits(),
        token: settings.token.clone(),
        clock: Arc::new(SystemClock),
        registry,
    };
    loglake_server::serve(http, grpc, kafka, doors, stop).await?;
    tracing::info!("committing what is buffered");
    let closed = lake.close().await;
    if let Some(cached) = cached {
        cached.close().await;
    }
    closed
}

/// The store as queries read data files from it, where that is another than the bucket itself.
async fn open_cache(
    settings: &Settings,
    store: Arc<dyn ObjectStore>,
    registry: &mut Registry,
) -> anyhow::Result<Option<Arc<Cached>>> {
    let Some(cache) = settings.cache().filter(|_| settings.has_role(Role::Query)) else {
        return Ok(None);
    };
    let reads = CacheReads::default();
    reads.register(registry);
    Ok(Some(Arc::new(Cached::open(store, &cache, reads).await?)))
}

async fn open_bucket(settings: &Settings) -> anyhow::Result<store::Bucket> {
    match (&settings.data, &settings.store) {
        (Some(directory), _) => store::open_directory(directory).await,
        (None, Some(url)) => store::open_url(url).await,
        (None, None) => anyhow::bail!("neither `data` nor `store` is set"),
    }
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Takes the address. Connections are refused until the process is ready, so that whoever knows other
/// addresses goes there.
fn bind(address: SocketAddr) -> anyhow::Result<TcpSocket> {
    let bound = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok::<_, std::io::Error>(socket)
    };
    bound().with_context(|| format!("{address} cannot be listened on"))
}

fn announce(
    settings: &Settings,
    http: &TcpListener,
    grpc: &TcpListener,
    kafka: Option<&KafkaPort>,
) -> anyhow::Result<()> {
    let place = match (&settings.data, &settings.store) {
        (Some(directory), _) => directory.display().to_string(),
        (None, url) => url.clone().unwrap_or_default(),
    };
    if let Some(kafka) = kafka {
        tracing::info!(kafka = %kafka.listener.local_addr()?, "topics are tables");
    }
    tracing::info!(
        http = %http.local_addr()?, grpc = %grpc.local_addr()?, bucket = place,
        "loglake {} is ready", env!("CARGO_PKG_VERSION")
    );
    Ok(())
}

fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stopping.cancel();
    });
    Ok(stop)
}
