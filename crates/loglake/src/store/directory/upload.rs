//! An object written in parts.

use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::files::{Files, Placing, Staged};
use super::{blocking, not_stored, not_supported};

/// Nothing has the object's name before [`MultipartUpload::complete`].
#[derive(Debug)]
pub(super) struct Upload {
    files: Arc<Files>,
    target: PathBuf,
    /// Taken by the end of the upload. Parts write through the lock, one after the other.
    staged: Arc<Mutex<Option<Staged>>>,
    /// Where the next part goes.
    offset: u64,
}

impl Upload {
    pub(super) fn begin(files: Arc<Files>, target: PathBuf) -> Result<Self> {
        let staged = Arc::new(Mutex::new(Some(files.stage()?)));
        Ok(Self { files, target, staged, offset: 0 })
    }

    fn take(&self) -> Option<Staged> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        let (staged, target) = (Arc::clone(&self.staged), self.target.clone());
        blocking(move || {
            let staged = staged.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(staged) = staged.as_ref() else {
                return Err(not_supported("a part after the end of its upload"));
            };
            let mut file = staged.file();
            file.seek(SeekFrom::Start(offset))
                .and_then(|_| data.iter().try_for_each(|bytes| file.write_all(bytes)))
                .map_err(|e| not_stored(e, "cannot write", &target))
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let Some(staged) = self.take() else {
            return Err(not_supported("completing an upload twice"));
        };
        let (files, target) = (Arc::clone(&self.files), self.target.clone());
        blocking(move || files.place(staged, &target, Placing::Overwrite)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        drop(self.take());
        Ok(())
    }
}
