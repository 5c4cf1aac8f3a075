//! Coordination by etcd (its v3 API; 3.4 and later).
//!
//! Three tasks run behind an [`Etcd`]: `session` holds a lease and the member's key under it,
//! `follow` follows all keys of the lake, `duty` deletes the keys of duties that were dropped. All
//! three go on trying, ever more slowly, while etcd is away. What they decide is in `lease` and
//! `directory`, as state machines without I/O.

mod directory;
mod duty;
mod follow;
mod keys;
mod lease;
mod session;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, ConnectOptions};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::{CoordError, Coordinator, Duty, Member};
use directory::Directory;
use keys::Keys;
use session::{Session, Wanted};

#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// `http://host:port`, …
    pub endpoints: Vec<String>,
    /// Keys live under this prefix, so that several lakes share an etcd.
    pub prefix: String,
    /// How long after its last sign of life a process counts as gone. Whole seconds, rounded up;
    /// etcd raises it to one and a half of its election time-outs.
    pub lease: Duration,
    /// How long one call waits for etcd, its repetitions included.
    pub timeout: Duration,
}

/// One process among many. Dropped without [`leave`](Coordinator::leave), it is gone when its lease
/// ends, like a process that died.
pub struct Etcd {
    shared: Arc<Shared>,
    releases: mpsc::UnboundedSender<duty::Release>,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
}

/// What the tasks, the duties and the calls share.
struct Shared {
    settings: EtcdSettings,
    keys: Keys,
    client: Client,
    directory: Mutex<Directory>,
    members: watch::Sender<Arc<Vec<Member>>>,
    /// Ticks with each change of `directory`.
    directory_changed: watch::Sender<()>,
    wanted: watch::Sender<Wanted>,
    session: watch::Sender<Session>,
    /// The member's key was seen to be missing.
    own_key_missing: Notify,
    /// Numbers the tries for duties, so that a repeated try knows its own success.
    tries: AtomicU64,
    /// The [`Etcd`] was dropped.
    ended: CancellationToken,
}

/// Pings on an idle connection, so that a half-open one is noticed. etcd closes connections that
/// ping more often than every 5 seconds.
const PING_EVERY: Duration = Duration::from_secs(10);
/// The first wait after a failed call.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two tries to reach etcd.
const RETRY_MOST: Duration = Duration::from_secs(3);

impl Etcd {
    /// Starts to look for etcd; does not wait for it, so that a lake starts while etcd is away.
    ///
    /// # Errors
    /// [`CoordError::Settings`] when the settings can never work.
    pub async fn connect(settings: EtcdSettings) -> Result<Self, CoordError> {
        let keys = Keys::new(&settings.prefix)?;
        let options = ConnectOptions::new()
            .with_connect_timeout(settings.timeout)
            .with_keep_alive(PING_EVERY, settings.timeout)
            .with_require_leader(true);
        let client = Client::connect(&settings.endpoints, Some(options)).await.map_err(|e| {
            CoordError::Settings(format!("endpoints {:?}: {e}", settings.endpoints))
        })?;
        let shared = Arc::new(Shared {
            settings,
            keys,
            client,
            directory: Mutex::default(),
            members: watch::Sender::default(),
            directory_changed: watch::Sender::default(),
            wanted: watch::Sender::new(Wanted::Open(None)),
            session: watch::Sender::new(Session::Away),
            own_key_missing: Notify::new(),
            tries: AtomicU64::new(0),
            ended: CancellationToken::new(),
        });
        let (releases, released) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(session::run(Arc::clone(&shared)));
        tasks.spawn(follow::run(Arc::clone(&shared)));
        tasks.spawn(duty::release_dropped(Arc::clone(&shared), released));
        Ok(Self { shared, releases, _tasks: tasks })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.shared.ended.cancel();
    }
}

#[async_trait]
impl Coordinator for Etcd {
    async fn register(&self, member: Member) -> Result<(), CoordError> {
        self.shared.update(|directory| directory.set_own(Some(member.clone())));
        self.shared.wanted.send_replace(Wanted::Open(Some(member.clone())));
        let published = |session: &Session| session.published() == Some(&member);
        self.shared.await_session("take the member in", published).await.map(drop)
    }

    fn members(&self) -> watch::Receiver<Arc<Vec<Member>>> {
        self.shared.members.subscribe()
    }

    async fn try_duty(&self, name: &str) -> Result<Option<Box<dyn Duty>>, CoordError> {
        let won = duty::try_win(&self.shared, name, &self.releases).await?;
        Ok(won.map(|duty| Box::new(duty) as Box<dyn Duty>))
    }

    async fn leave(&self) -> Result<(), CoordError> {
        self.shared.wanted.send_replace(Wanted::Left);
        self.shared.update(|directory| directory.set_own(None));
        let left = |session: &Session| matches!(session, Session::Left { .. });
        match self.shared.await_session("end the lease", left).await? {
            Session::Left { told: Err(reason) } => Err(self.shared.away("end the lease", reason)),
            _ => Ok(()),
        }
    }
}

impl Shared {
    /// Changes the directory and publishes what follows from it.
    fn update<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        let mut directory = self.directory.lock();
        let result = change(&mut directory);
        let members = directory.members();
        self.members.send_if_modified(|published| {
            let differs = **published != members;
            if differs {
                *published = Arc::new(members);
            }
            differs
        });
        drop(directory);
        self.directory_changed.send_replace(());
        result
    }

    /// Waits for the session to be so, at most the settings' time-out.
    async fn await_session(
        &self,
        call: &'static str,
        so: impl FnMut(&Session) -> bool,
    ) -> Result<Session, CoordError> {
        let mut session = self.session.subscribe();
        match timeout(self.settings.timeout, session.wait_for(so)).await {
            Ok(Ok(session)) => Ok(session.clone()),
            Ok(Err(_)) => Err(CoordError::Left),
            Err(_) => Err(self.away(call, "no session with etcd".to_owned())),
        }
    }

    /// One call to etcd, once. Its share of the time-out leaves room for a repetition at another
    /// endpoint when this one hangs.
    async fn attempt<T>(
        &self,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Failure> {
        let most = self.settings.timeout / 3;
        match timeout(most, call).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::Away(format!("no answer within {most:?}"))),
        }
    }

    /// One call to etcd, repeated within the time-out: of several endpoints one may be dead.
    async fn insist<T, C>(
        &self,
        name: &'static str,
        mut call: impl FnMut(Client) -> C,
    ) -> Result<T, CoordError>
    where
        C: Future<Output = Result<T, etcd_client::Error>>,
    {
        let until = Instant::now() + self.settings.timeout;
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let mut last = String::from("no answer");
        loop {
            match timeout_at(until, self.attempt(call(self.client.clone()))).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Failure::NoLease)) => return Err(self.away(name, NO_LEASE.to_owned())),
                Ok(Err(Failure::Away(reason))) => last = reason,
                Err(_) => return Err(self.away(name, last)),
            }
            let wait = backoff.failed();
            if Instant::now() + wait >= until {
                return Err(self.away(name, last));
            }
            sleep(wait).await;
        }
    }

    fn away(&self, call: &'static str, reason: String) -> CoordError {
        CoordError::Away { call, waited: self.settings.timeout, reason }
    }
}

/// Why one call failed.
#[derive(Debug)]
enum Failure {
    /// etcd does not know the lease.
    NoLease,
    /// No answer, or one that says that etcd cannot answer now.
    Away(String),
}

/// etcd's words, both of its server and of the client's check of a first keep-alive.
const NO_LEASE: &str = "lease not found";

impl From<etcd_client::Error> for Failure {
    fn from(error: etcd_client::Error) -> Self {
        let text = error.to_string();
        if text.contains(NO_LEASE) { Self::NoLease } else { Self::Away(text) }
    }
}
