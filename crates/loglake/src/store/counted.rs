//! Counts what is asked of the bucket: `loglake_store_requests_total`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart, coalesce_ranges,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Bucket;

/// Requests to the bucket by operation and outcome. Clones count together.
///
/// Tries that the S3 client repeats by itself count once, a listing once however many pages it has,
/// a deletion once for each object.
#[derive(Clone, Debug, Default)]
pub struct StoreRequests(Family<Labels, Counter>);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
    outcome: &'static str,
}

impl StoreRequests {
    /// Puts the counters into a registry whose prefix should be `loglake`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "store_requests",
            "Requests to the bucket; what is absent or already there is no error",
            self.0.clone(),
        );
    }

    fn count<T>(&self, operation: &'static str, result: Result<T>) -> Result<T> {
        let outcome = match &result {
            Ok(_) => "ok",
            Err(Error::NotFound { .. }) => "absent",
            Err(
                Error::AlreadyExists { .. }
                | Error::Precondition { .. }
                | Error::NotModified { .. },
            ) => "refused",
            Err(_) => "error",
        };
        self.0.get_or_create(&Labels { operation, outcome }).inc();
        result
    }
}

/// The store, counted.
#[derive(Debug)]
pub struct Counted {
    inner: Arc<dyn ObjectStore>,
    is_directory: bool,
    requests: StoreRequests,
}

impl Counted {
    pub fn new(bucket: &Bucket, requests: StoreRequests) -> Self {
        let Bucket { store, is_directory } = bucket;
        Self { inner: Arc::clone(store), is_directory: *is_directory, requests }
    }

    /// One listing, counted when it ends or fails, or is dropped midway.
    fn listing(
        &self,
        objects: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let requests = self.requests.clone();
        let mut listing = Listing { requests, failed: None };
        objects
            .map(move |object| {
                object.inspect_err(|e| listing.failed = Some(matches!(e, Error::NotFound { .. })))
            })
            .boxed()
    }
}

struct Listing {
    requests: StoreRequests,
    failed: Option<bool>,
}

impl Drop for Listing {
    fn drop(&mut self) {
        let outcome = match self.failed {
            None => "ok",
            Some(true) => "absent",
            Some(false) => "error",
        };
        self.requests.0.get_or_create(&Labels { operation: "list", outcome }).inc();
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.requests.count("put", self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, options).await;
        let inner = self.requests.count("put", upload)?;
        Ok(Box::new(CountedUpload { inner, requests: self.requests.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { "head" } else { "get" };
        self.requests.count(operation, self.inner.get_opts(location, options).await)
    }

    /// Of a remote bucket, near ranges are one request.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if self.is_directory {
            return self.requests.count("get", self.inner.get_ranges(location, ranges).await);
        }
        let one = |range| self.get_range(location, range);
        coalesce_ranges(ranges, one, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let requests = self.requests.clone();
        self.inner.delete_stream(locations).map(move |one| requests.count("delete", one)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.requests.count("list", self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.requests.count("copy", self.inner.copy_opts(from, to, options).await)
    }
}

#[derive(Debug)]
struct CountedUpload {
    inner: Box<dyn MultipartUpload>,
    requests: StoreRequests,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (requests, part) = (self.requests.clone(), self.inner.put_part(data));
        Box::pin(async move { requests.count("put", part.await) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.requests.count("put", self.inner.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.requests.count("delete", self.inner.abort().await)
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::PutMode;
    use object_store::memory::InMemory;

    use super::*;
    use crate::store::conformance;

    fn counted() -> (Counted, StoreRequests) {
        let requests = StoreRequests::default();
        (Counted::new(&Bucket::remote(Arc::new(InMemory::new())), requests.clone()), requests)
    }

    fn text(requests: &StoreRequests) -> String {
        let mut registry = Registry::with_prefix("loglake");
        requests.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[tokio::test]
    async fn a_counted_store_keeps_to_the_rules() {
        conformance::check(&counted().0).await.unwrap();
    }

    #[tokio::test]
    async fn requests_are_counted_by_operation_and_outcome() {
        let (store, requests) = counted();
        let (here, absent) = (Path::from("here"), Path::from("absent"));
        store.put(&here, "x".into()).await.unwrap();
        store.put_opts(&here, "y".into(), PutMode::Create.into()).await.unwrap_err();
        store.get(&here).await.unwrap();
        store.head(&here).await.unwrap();
        store.get(&absent).await.unwrap_err();
        store.list(None).try_collect::<Vec<_>>().await.unwrap();
        store.delete(&here).await.unwrap();
        for line in [
            "loglake_store_requests_total{operation=\"put\",outcome=\"ok\"} 1",
            "loglake_store_requests_total{operation=\"put\",outcome=\"refused\"} 1",
            "loglake_store_requests_total{operation=\"get\",outcome=\"ok\"} 1",
            "loglake_store_requests_total{operation=\"get\",outcome=\"absent\"} 1",
            "loglake_store_requests_total{operation=\"head\",outcome=\"ok\"} 1",
            "loglake_store_requests_total{operation=\"list\",outcome=\"ok\"} 1",
            "loglake_store_requests_total{operation=\"delete\",outcome=\"ok\"} 1",
        ] {
            let text = text(&requests);
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
