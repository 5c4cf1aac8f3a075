//! An object written in parts: one file without a name, written in order.
//!
//! A part that fails ends the upload; whoever uploads begins anew. DataNodes that die meanwhile are left
//! out by the client, unless a block is begun on one of them.

use async_trait::async_trait;
use futures::FutureExt;
use hdfs_native::WriteOptions;
use hdfs_native::file::FileWriter;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::failure::Failure;
use super::place::Placing;
use super::stage::write_timeout;
use super::{Hdfs, Ours, not_supported};

/// Nothing has the object's name before [`MultipartUpload::complete`].
#[derive(Debug)]
pub(super) struct Upload {
    hdfs: Hdfs,
    location: Path,
    staged: String,
    bytes: u64,
    /// Taken by the end of the upload.
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    /// Whoever uploads bounds what waits here.
    parts: mpsc::UnboundedSender<Part>,
    task: AbortOnDropHandle<Result<(), Failure>>,
}

#[derive(Debug)]
struct Part {
    bytes: PutPayload,
    written: oneshot::Sender<Result<(), Failure>>,
}

impl Upload {
    pub(super) async fn begin(hdfs: Hdfs, location: Path) -> Result<Self> {
        let staged = hdfs.staged_path();
        let create = |client: hdfs_native::Client| {
            let staged = staged.clone();
            // A call that is repeated finds its own file, which nobody else has.
            let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
            async move { Ok(client.create(&staged, options).await?) }
        };
        let file = hdfs.clients.ask(create).await.map_err(|e| e.into_not_stored(&location))?;
        let (parts, waiting) = mpsc::unbounded_channel();
        let task = AbortOnDropHandle::new(tokio::spawn(write(file, waiting)));
        Ok(Self { hdfs, location, staged, bytes: 0, writing: Some(Writing { parts, task }) })
    }
}

/// Writes what comes, in order, and closes the file when no more will come.
async fn write(
    mut file: FileWriter,
    mut waiting: mpsc::UnboundedReceiver<Part>,
) -> Result<(), Failure> {
    while let Some(Part { bytes, written }) = waiting.recv().await {
        let bound = write_timeout(bytes.content_length() as u64);
        let part = async {
            for bytes in bytes {
                file.write(bytes).await?;
            }
            Ok::<_, Failure>(())
        };
        let outcome = timeout(bound, part).await.unwrap_or(Err(Failure::Silent(bound)));
        let failed = outcome.is_err();
        // Nobody may wait for it.
        let _ = written.send(outcome);
        if failed {
            // The rest is refused by the closed channel, and so is the end.
            waiting.close();
            return Err(Failure::Told(hdfs_native::HdfsError::OperationFailed(
                "a part could not be written".to_owned(),
            )));
        }
    }
    let bound = write_timeout(0);
    match timeout(bound, file.close()).await {
        Ok(closed) => Ok(closed?),
        Err(_) => Err(Failure::Silent(bound)),
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let Some(writing) = &self.writing else {
            return async { Err(not_supported("a part after the end of its upload")) }.boxed();
        };
        self.bytes += data.content_length() as u64;
        let (written, outcome) = oneshot::channel();
        // Handed over now, so that parts come in the order of their calls.
        let _ = writing.parts.send(Part { bytes: data, written });
        let location = self.location.clone();
        async move {
            let outcome = outcome.await.unwrap_or_else(|_| {
                let ended = "an earlier part could not be written".to_owned();
                Err(hdfs_native::HdfsError::OperationFailed(ended).into())
            });
            outcome.map_err(|failure| failure.into_not_stored(&location))
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let Some(Writing { parts, task }) = self.writing.take() else {
            return Err(not_supported("completing an upload twice"));
        };
        drop(parts);
        if let Err(failure) = task.await.map_err(Failure::from).flatten() {
            self.hdfs.discard(self.staged.clone());
            return Err(failure.into_not_stored(&self.location));
        }
        let ours = Ours::Length(self.bytes);
        self.hdfs.place(&self.staged, &self.location, Placing::Overwrite, ours).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        if self.writing.take().is_some() {
            self.hdfs.discard(self.staged.clone());
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Neither completed nor aborted. Outside of a runtime it stays, and is swept.
        if self.writing.take().is_some() && tokio::runtime::Handle::try_current().is_ok() {
            self.hdfs.discard(self.staged.clone());
        }
    }
}
