//! Files that are written and have no name yet, and what dead processes left of them.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use hdfs_native::WriteOptions;
use hdfs_native::client::FileStatus;
use object_store::PutPayload;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::Hdfs;
use super::clients::Patience;
use super::failure::Failure;
use super::list::Depth;

/// What a write may take beyond its bytes: a pipeline of DataNodes is set up, and mended, in seconds.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A pipeline slower than this is taken for hanging.
const BYTES_PER_S_MIN: u64 = 1 << 20;
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// By the NameNode's clock. A write that is older has no process, or finds its file gone and says so.
const SWEPT_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;

/// After this the usual number of replicas is asked for again: who asked for one less pays for finding
/// out only once in a while.
const SCARCE_FOR: Duration = Duration::from_secs(30);

/// What writes of this process remember of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Lately {
    /// When `_tmp/` was last looked through.
    swept: Option<Instant>,
    /// Since when DataNodes are scarce, and the usual number of replicas.
    scarce: Option<(Instant, u32)>,
}

/// How long writing so many bytes may take.
pub(super) fn write_timeout(bytes: u64) -> Duration {
    WRITE_TIMEOUT + Duration::from_secs(bytes / BYTES_PER_S_MIN)
}

const FAILURES_BEFORE_FEWER: u32 = 2;

/// The replicas to ask for after so many failures in a row, where `usual` are asked for; `None` asks
/// for the usual ones.
///
/// A dead DataNode is given out by the NameNode until it is missed: ten minutes, unless configured
/// otherwise. Where there are few DataNodes each pipeline has it. HDFS's own client goes on with the
/// others then, by telling the NameNode which to leave out, which `hdfs-native` cannot; one replica
/// less lets some pipelines do without. Never one alone, where there should be more.
fn replicas(usual: Option<u32>, failures: u32) -> Option<u32> {
    match (usual, failures) {
        (Some(usual), FAILURES_BEFORE_FEWER..) if usual > 2 => Some(usual - 1),
        _ => None,
    }
}

impl Hdfs {
    /// Writes a file that has no name yet, and gives its path. An error means that there is none, for
    /// whatever was tried: nothing is ever named that this did not give.
    pub(super) async fn stage(&self, payload: &PutPayload) -> Result<String, Failure> {
        let mut patience = Patience::new();
        let scarce = self.lately().scarce.filter(|(since, _)| since.elapsed() < SCARCE_FOR);
        let (mut usual, mut failures) = match scarce {
            Some((_, usual)) => (Some(usual), FAILURES_BEFORE_FEWER),
            None => (None, 0),
        };
        loop {
            let path = self.staged_path();
            let fewer = replicas(usual, failures);
            match self.write(&path, payload, fewer).await {
                Ok(()) => {
                    if let (Some(_), Some(usual)) = (fewer, usual) {
                        self.replicate(&path, usual).await;
                        if scarce.is_none() {
                            self.lately().scarce = Some((Instant::now(), usual));
                        }
                    }
                    self.sweep_if_due(&path);
                    return Ok(path);
                }
                Err(failure) => {
                    failures += 1;
                    if usual.is_none() {
                        usual = self.replication(&path).await;
                    }
                    self.discard(path);
                    if failure.is_final() {
                        return Err(failure);
                    }
                    tracing::debug!("a write to HDFS failed, again: {failure}");
                    patience.wait(failure).await?;
                }
            }
        }
    }

    /// Nobody else has it, and nobody will.
    pub(super) fn staged_path(&self) -> String {
        format!("{}/{}", self.root.staging(), uuid::Uuid::now_v7())
    }

    async fn write(
        &self,
        path: &str,
        payload: &PutPayload,
        replicas: Option<u32>,
    ) -> Result<(), Failure> {
        let (generation, client) = self.clients.current();
        let options = WriteOptions { replication: replicas, ..WriteOptions::default() };
        let (path, payload) = (path.to_owned(), payload.clone());
        let bound = write_timeout(payload.content_length() as u64);
        // A task of its own: a panic of the client ends that alone.
        let writing = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut file = client.create(&path, options).await?;
            for bytes in payload {
                file.write(bytes).await?;
            }
            file.close().await
        }));
        self.clients.bounded(generation, bound, async { Ok(writing.await??) }).await
    }

    /// What was asked for the file at `path`, if it came so far that there is one.
    async fn replication(&self, path: &str) -> Option<u32> {
        let asked =
            self.clients.call(|client| async move { Ok(client.get_file_info(path).await?) }).await;
        asked.ok()?.replication
    }

    /// The NameNode has copies made when it can.
    async fn replicate(&self, path: &str, replicas: u32) {
        let set = |client: hdfs_native::Client| async move {
            Ok(client.set_replication(path, replicas).await?)
        };
        if let Err(failure) = self.clients.call(set).await {
            tracing::warn!("{path} stays with fewer replicas than usual: {failure}");
        }
    }

    /// Removes a staged file that nobody waits for. What stays is swept.
    pub(super) fn discard(&self, path: String) {
        let clients = Arc::clone(&self.clients);
        tokio::spawn(async move {
            let _ =
                clients.call(|client| async move { Ok(client.delete(&path, false).await?) }).await;
        });
    }

    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Beside the first write of a process, and then once an hour. `fresh` was made just now, which
    /// tells the NameNode's time.
    fn sweep_if_due(&self, fresh: &str) {
        {
            let mut lately = self.lately();
            if lately.swept.is_some_and(|at| at.elapsed() < SWEEP_EVERY) {
                return;
            }
            lately.swept = Some(Instant::now());
        }
        let (hdfs, fresh) = (self.clone(), fresh.to_owned());
        tokio::spawn(async move {
            if let Err(failure) = hdfs.sweep(&fresh).await {
                tracing::warn!("{} cannot be swept: {failure}", hdfs.root.staging());
            }
        });
    }

    pub(super) async fn sweep(&self, fresh: &str) -> Result<(), Failure> {
        let files = self.walk(&self.root.staging(), Depth::Level).await?;
        let now = files.iter().find(|file| file.path == fresh).map(|file| file.modification_time);
        // Named already: the newest of the others will do, and is rather too old.
        let newest = files.iter().map(|file| file.modification_time).max();
        for path in old(&files, now.or(newest).unwrap_or_default()) {
            let delete =
                |client: hdfs_native::Client| async move { Ok(client.delete(path, false).await?) };
            self.clients.call(delete).await?;
        }
        Ok(())
    }
}

fn old(files: &[FileStatus], now_ms: u64) -> impl Iterator<Item = &str> {
    let left = move |file: &&FileStatus| {
        !file.isdir && file.modification_time.saturating_add(SWEPT_AFTER_MS) < now_ms
    };
    files.iter().filter(left).map(|file| file.path.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_node_costs_one_replica_and_never_the_second() {
        let asked = |usual, failures| replicas(usual, failures);
        assert_eq!([asked(Some(3), 0), asked(Some(3), 1), asked(None, 9)], [None; 3]);
        assert_eq!([asked(Some(3), 2), asked(Some(3), 20)], [Some(2); 2]);
        assert_eq!([asked(Some(2), 9), asked(Some(1), 9)], [None; 2]);
    }

    #[test]
    fn what_is_a_day_old_is_swept() {
        let file = |path: &str, modification_time, isdir| FileStatus {
            path: path.to_owned(),
            length: 1,
            isdir,
            permission: 0o644,
            owner: String::new(),
            group: String::new(),
            modification_time,
            access_time: 0,
            replication: None,
            blocksize: None,
        };
        let now = 10 * SWEPT_AFTER_MS;
        let files = [
            file("/_tmp/old", now - SWEPT_AFTER_MS - 1, false),
            file("/_tmp/young", now - SWEPT_AFTER_MS, false),
            file("/_tmp/future", now + 1, false),
            file("/_tmp/folder", 0, true),
        ];
        assert_eq!(old(&files, now).collect::<Vec<_>>(), ["/_tmp/old"]);
        assert_eq!(old(&files, 0).count(), 0);
    }
}
