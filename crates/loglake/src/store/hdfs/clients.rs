//! The connections to the NameNodes: what hangs is given up, what failed is tried again.
//!
//! `hdfs-native` waits for an answer for as long as TCP holds the connection: a quarter of an hour
//! where the NameNode's machine lost its power, and the other NameNode is not asked meanwhile. So each
//! call has a bound here, and a call without an answer lets the client go: the next one asks the
//! NameNodes in another order.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdfs_native::{Client, ClientBuilder};
use tokio::time::{Instant, sleep, timeout};

use super::failure::Failure;
use super::place::{Namespace, Placing};

/// Over whatever the files in `HADOOP_CONF_DIR` say. A pipeline that loses a DataNode gets another or the
/// write fails, and is made anew: HDFS would go on with the rest, down to one, and acknowledge that.
const FIXED: [(&str, &str); 3] = [
    ("dfs.client.block.write.replace-datanode-on-failure.enable", "true"),
    ("dfs.client.block.write.replace-datanode-on-failure.policy", "ALWAYS"),
    ("dfs.client.block.write.replace-datanode-on-failure.best-effort", "false"),
];
/// A NameNode that takes longer for one call is taken for hanging.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long something is tried again, as with S3: the log and the committer retry themselves.
const PATIENCE: Duration = Duration::from_secs(10);
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_MOST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Clients {
    authority: String,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    /// Rises with each client.
    generation: u64,
    client: Client,
}

impl Clients {
    pub(super) fn new(authority: &str) -> Result<Self, Failure> {
        let client = build(authority, Order::AsConfigured)?;
        let current = Mutex::new(Current { generation: 0, client });
        Ok(Self { authority: authority.to_owned(), current })
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The client of now, and the number by which [`Clients::bounded`] knows it.
    pub(super) fn current(&self) -> (u64, Client) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (current.generation, current.client.clone())
    }

    /// Waits for what a client does, but not for ever.
    pub(super) async fn bounded<T>(
        &self,
        generation: u64,
        bound: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Ok(answer) = timeout(bound, work).await else {
            self.give_up(generation);
            return Err(Failure::Silent(bound));
        };
        answer
    }

    /// One call, once.
    pub(super) async fn call<T, F>(&self, work: impl FnOnce(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let (generation, client) = self.current();
        self.bounded(generation, CALL_TIMEOUT, work(client)).await
    }

    /// A call that does no harm when it is made twice, until there is an answer or patience ends.
    pub(super) async fn ask<T, F>(&self, mut work: impl FnMut(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut patience = Patience::new();
        loop {
            match self.call(&mut work).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.is_final() || failure.is_absent() => return Err(failure),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    /// The next call gets a client of its own, unless somebody saw to it before.
    fn give_up(&self, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.generation != generation {
            return;
        }
        match build(&self.authority, Order::Random) {
            Ok(client) => *current = Current { generation: generation + 1, client },
            Err(failure) => {
                tracing::warn!("no new connection to hdfs://{}: {failure}", self.authority)
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    AsConfigured,
    /// So that the one that hangs is not the first to be asked each time.
    Random,
}

fn build(authority: &str, order: Order) -> Result<Client, Failure> {
    let mut config: Vec<_> = FIXED.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
    // Not from observers: they may not know yet what another process has just written.
    config.push((
        format!("dfs.client.failover.proxy.provider.{authority}"),
        "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
    ));
    if order == Order::Random {
        config.push((format!("dfs.client.failover.random.order.{authority}"), "true"));
    }
    let builder = ClientBuilder::new().with_url(format!("hdfs://{authority}")).with_config(config);
    Ok(builder.build()?)
}

/// How long to try, and how long to wait in between.
#[derive(Debug)]
pub(super) struct Patience {
    until: Instant,
    wait: Duration,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { until: Instant::now() + PATIENCE, wait: WAIT_FIRST }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The failure of the last one, when there shall be no next.
    pub(super) async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        if Instant::now() + self.wait > self.until {
            return Err(failure);
        }
        sleep(self.wait).await;
        self.wait = WAIT_MOST.min(self.wait * 2);
        Ok(())
    }
}

impl Namespace for Clients {
    async fn rename(&self, from: &str, to: &str, placing: Placing) -> Result<(), Failure> {
        let overwrite = placing == Placing::Overwrite;
        self.call(|client| async move { Ok(client.rename(from, to, overwrite).await?) }).await
    }

    async fn is_there(&self, path: &str) -> Result<bool, Failure> {
        let asked = self.call(|client| async move { Ok(client.get_file_info(path).await?) }).await;
        match asked {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_absent() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn remove(&self, path: &str) -> Result<bool, Failure> {
        self.call(|client| async move { Ok(client.delete(path, false).await?) }).await
    }

    async fn make_folder(&self, path: &str) -> Result<(), Failure> {
        self.call(|client| async move { Ok(client.mkdirs(path, 0o755, true).await?) }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let began = Instant::now();
        let mut patience = Patience::new();
        let mut attempts = 0;
        while patience.wait(Failure::Silent(CALL_TIMEOUT)).await.is_ok() {
            attempts += 1;
        }
        assert!(began.elapsed() <= PATIENCE, "{:?}", began.elapsed());
        assert!((10..30).contains(&attempts), "{attempts}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_hangs_is_given_up_once() {
        let clients = Clients::new("127.0.0.1:1").unwrap();
        let hang = || clients.call(|_| std::future::pending::<Result<(), Failure>>());
        let (one, two) = tokio::join!(hang(), hang());
        assert!(matches!((one, two), (Err(Failure::Silent(_)), Err(Failure::Silent(_)))));
        assert_eq!(clients.current().0, 1);
    }
}
