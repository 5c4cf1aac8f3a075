//! Reading: what breaks off goes on where it was, from another DataNode.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use futures::{TryFutureExt, TryStreamExt};
use hdfs_native::client::FileStatus;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetResult, GetResultPayload, ObjectMeta, Result};

use super::clients::Patience;
use super::failure::Failure;
use super::{Hdfs, STORE, meta};

/// A DataNode that is silent for longer is taken for hanging.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// What is shorter is read before the answer, so that an object which is overwritten meanwhile is
/// read as it was or as it is. Objects that are overwritten are small.
const WHOLE_BYTES_MAX: u64 = 4 << 20;
/// Times that an object may be overwritten while one read of it tries.
const OVERWRITTEN_MAX: u32 = 5;

impl Hdfs {
    pub(super) async fn read(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut tries = 0;
        loop {
            let (meta, range) = self.describe(location, &options).await?;
            let body = Body::new(self.clone(), meta.clone(), range.clone());
            let payload = if options.head {
                stream::empty().boxed()
            } else if range.end - range.start > WHOLE_BYTES_MAX {
                body.stream().map_err(Error::from).boxed()
            } else {
                tries += 1;
                match body.whole().await {
                    Ok(bytes) => stream::iter([Ok(bytes)]).boxed(),
                    Err(ReadError::Overwritten(_)) if tries < OVERWRITTEN_MAX => continue,
                    Err(error) => return Err(error.into()),
                }
            };
            let payload = GetResultPayload::Stream(payload);
            return Ok(GetResult { payload, meta, range, attributes: Default::default() });
        }
    }

    /// What the object is, and the part of it that is asked for.
    async fn describe(
        &self,
        location: &Path,
        options: &GetOptions,
    ) -> Result<(ObjectMeta, Range<u64>)> {
        let status = self.object_status(location).await?;
        let meta = meta(location.clone(), &status);
        options.check_preconditions(&meta)?;
        let range = match (&options.range, options.head) {
            (Some(range), false) => range
                .as_range(meta.size)
                .map_err(|source| Error::Generic { store: STORE, source: source.into() })?,
            (None, false) => 0..meta.size,
            (_, true) => 0..0,
        };
        Ok((meta, range))
    }

    async fn object_status(&self, location: &Path) -> Result<FileStatus> {
        let status = self.status(&self.root.path(location)).await;
        match status.map_err(|failure| failure.into_read_error(location))? {
            folder if folder.isdir => {
                Err(Error::NotFound { path: location.to_string(), source: "it is a folder".into() })
            }
            file => Ok(file),
        }
    }
}

#[derive(Debug)]
enum ReadError {
    /// It is not the object any more that it was at the beginning.
    Overwritten(Path),
    Failed(Error),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed(error) => error,
            ReadError::Overwritten(path) => Self::Generic {
                store: STORE,
                source: format!("{path} was overwritten while it was read: read it again").into(),
            },
        }
    }
}

/// The rest of what is to be read of an object.
struct Body {
    hdfs: Hdfs,
    object: ObjectMeta,
    rest: Range<u64>,
    /// From which the next bytes come.
    source: Option<BoxStream<'static, hdfs_native::Result<Bytes>>>,
}

impl Body {
    fn new(hdfs: Hdfs, object: ObjectMeta, rest: Range<u64>) -> Self {
        Self { hdfs, object, rest, source: None }
    }

    async fn whole(self) -> Result<Bytes, ReadError> {
        let bytes = (self.rest.end - self.rest.start) as usize;
        let mut parts = std::pin::pin!(self.stream());
        let Some(first) = parts.try_next().await? else { return Ok(Bytes::new()) };
        if first.len() == bytes {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(bytes);
        all.extend_from_slice(&first);
        while let Some(part) = parts.try_next().await? {
            all.extend_from_slice(&part);
        }
        Ok(all.freeze())
    }

    fn stream(self) -> impl futures::Stream<Item = Result<Bytes, ReadError>> + Send {
        stream::try_unfold(self, |mut body| async move {
            Ok(body.next().await?.map(|bytes| (bytes, body)))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let mut patience = Patience::new();
        while !self.rest.is_empty() {
            let failure = match self.next_once().await? {
                Ok(bytes) => {
                    self.rest.start += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Err(failure) => failure,
            };
            tracing::debug!(object = %self.object.location, "reading it broke off, again: {failure}");
            self.source = None;
            let waited = patience.wait(failure).await;
            waited.map_err(|f| ReadError::Failed(f.into_read_error(&self.object.location)))?;
        }
        Ok(None)
    }

    /// The outer error ends it, the inner one may be tried again.
    async fn next_once(&mut self) -> Result<Result<Bytes, Failure>, ReadError> {
        let mut source = match self.source.take() {
            Some(source) => source,
            None => match self.open().await? {
                Ok(source) => source,
                Err(failure) => return Ok(Err(failure)),
            },
        };
        let bytes = match tokio::time::timeout(SILENCE_MAX, source.next()).await {
            Ok(Some(Ok(bytes))) => bytes,
            Ok(Some(Err(error))) => return Ok(Err(error.into())),
            Ok(None) => {
                let short = hdfs_native::HdfsError::DataTransferError("too few bytes".to_owned());
                return Ok(Err(short.into()));
            }
            Err(_) => return Ok(Err(Failure::Silent(SILENCE_MAX))),
        };
        self.source = Some(source);
        Ok(Ok(bytes))
    }

    /// The rest, from the object that it was. A source's bounds are the file's of when it was opened:
    /// past them it would panic.
    async fn open(
        &mut self,
    ) -> Result<Result<BoxStream<'static, hdfs_native::Result<Bytes>>, Failure>, ReadError> {
        let path = self.hdfs.root.path(&self.object.location);
        let opened =
            self.hdfs.clients.call(|client| async move { Ok(client.read(&path).await?) }).await;
        let overwritten = || ReadError::Overwritten(self.object.location.clone());
        let reader = match opened {
            Ok(reader) => reader,
            Err(failure) if failure.is_absent() => return Err(overwritten()),
            Err(failure) => return Ok(Err(failure)),
        };
        // Looked at after the blocks were: what is the same then was so when they were named.
        let now = self.hdfs.object_status(&self.object.location).map_err(ReadError::Failed).await?;
        let now = meta(self.object.location.clone(), &now);
        if now.e_tag != self.object.e_tag || reader.file_length() as u64 != self.object.size {
            return Err(overwritten());
        }
        let (start, bytes) = (self.rest.start, self.rest.end - self.rest.start);
        Ok(Ok(reader.read_range_stream(start as usize, bytes as usize).boxed()))
    }
}
