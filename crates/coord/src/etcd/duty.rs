//! Duties: a key created by a transaction and bound to the lease of this process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp, TxnOpResponse};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::session::{Session, Wanted};
use super::{RETRY_FIRST, RETRY_MOST, Shared};
use crate::backoff::Backoff;
use crate::{CoordError, Duty};

pub(super) struct EtcdDuty {
    shared: Arc<Shared>,
    name: String,
    lease: i64,
    /// The revision at which the key was created: no other holding has it.
    created: i64,
    releases: mpsc::UnboundedSender<Release>,
}

/// A duty that was dropped.
pub(super) struct Release {
    name: String,
    lease: i64,
    created: i64,
}

/// `None`: somebody holds it.
pub(super) async fn try_win(
    shared: &Arc<Shared>,
    name: &str,
    releases: &mpsc::UnboundedSender<Release>,
) -> Result<Option<EtcdDuty>, CoordError> {
    if matches!(*shared.wanted.borrow(), Wanted::Left) {
        return Err(CoordError::Left);
    }
    let held = |session: &Session| session.lease().is_some();
    let session = shared.await_session("grant a lease", held).await?;
    let Some(lease) = session.lease() else {
        return Err(CoordError::Left);
    };
    // No other try ever writes this value: leases are unique, and so are a process's numbers. So
    // the repetition of a try whose answer was lost finds that it has won.
    let number = shared.tries.fetch_add(1, Ordering::Relaxed);
    let holder = session.published().map_or("", |member| member.id.as_str());
    let value = format!("{holder} {lease:x} {number}");
    let created = shared.insist("answer a try for a duty", |mut etcd| {
        let (key, value) = (shared.keys.duty(name), value.clone());
        async move {
            let put = PutOptions::new().with_lease(lease);
            let absent = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
            let txn = Txn::new()
                .when([absent])
                .and_then([TxnOp::put(key.clone(), value.clone(), Some(put))])
                .or_else([TxnOp::get(key, None)]);
            let answer = etcd.txn(txn).await?;
            if answer.succeeded() {
                return Ok(answer.header().map(|header| header.revision()));
            }
            Ok(answer.op_responses().iter().find_map(|response| match response {
                TxnOpResponse::Get(got) => {
                    let ours = got.kvs().iter().find(|kv| kv.value() == value.as_bytes());
                    ours.map(|kv| kv.create_revision())
                }
                _ => None,
            }))
        }
    });
    Ok(created.await?.map(|created| EtcdDuty {
        shared: Arc::clone(shared),
        name: name.to_owned(),
        lease,
        created,
        releases: releases.clone(),
    }))
}

#[async_trait]
impl Duty for EtcdDuty {
    async fn lost(&self) {
        let mut session = self.shared.session.subscribe();
        let mut directory = self.shared.directory_changed.subscribe();
        loop {
            let lease_gone = session.borrow_and_update().lease() != Some(self.lease);
            directory.borrow_and_update();
            if lease_gone || self.shared.directory.lock().duty_is_lost(&self.name, self.created) {
                return;
            }
            tokio::select! {
                _ = session.changed() => {}
                _ = directory.changed() => {}
                () = self.shared.ended.cancelled() => return,
            }
        }
    }
}

impl Drop for EtcdDuty {
    fn drop(&mut self) {
        let (name, lease, created) = (std::mem::take(&mut self.name), self.lease, self.created);
        // Without a receiver the process is ending, and with it the lease.
        let _ = self.releases.send(Release { name, lease, created });
    }
}

/// Deletes the keys of dropped duties, as long as their lease is held; after it they are gone
/// anyway.
pub(super) async fn release_dropped(
    shared: Arc<Shared>,
    mut dropped: mpsc::UnboundedReceiver<Release>,
) {
    while let Some(release) = dropped.recv().await {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        while shared.session.borrow().lease() == Some(release.lease) {
            match delete(&shared, &release).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!(name = release.name, %error, "a duty is not given up yet");
                    sleep(backoff.failed()).await;
                }
            }
        }
    }
}

async fn delete(shared: &Shared, release: &Release) -> Result<(), CoordError> {
    let deleted = shared.insist("give a duty up", |mut etcd| {
        let key = shared.keys.duty(&release.name);
        let ours = Compare::create_revision(key.clone(), CompareOp::Equal, release.created);
        let txn = Txn::new().when([ours]).and_then([TxnOp::delete(key, None)]);
        async move { etcd.txn(txn).await }
    });
    deleted.await.map(drop)
}
