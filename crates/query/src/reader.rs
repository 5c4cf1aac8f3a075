//! Opening data files: DataFusion's reader with its cache of footers, and errors that name the file
//! and keep their cause. Its own error for a footer that it cannot read is a text: whether the file is
//! gone, the store is away or the bytes are wrong could not be told from it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::QueryError;
use crate::lookups::CacheLookups;

/// Bytes asked for at a file's end in the hope that its footer is within them.
pub(crate) const FOOTER_GUESS_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct ReaderFactory {
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    lookups: Arc<CacheLookups>,
    cached: CachedParquetFileReaderFactory,
}

impl ReaderFactory {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        footers: Arc<FileMetadataCache>,
        lookups: Arc<CacheLookups>,
    ) -> Self {
        let cached = CachedParquetFileReaderFactory::new(Arc::clone(&store), Arc::clone(&footers));
        Self { store, footers, lookups, cached }
    }
}

impl ParquetFileReaderFactory for ReaderFactory {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        footer_guess: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let object = file.object_meta.clone();
        let (store, footers) = (Arc::clone(&self.store), Arc::clone(&self.footers));
        let lookups = Arc::clone(&self.lookups);
        let inner = self.cached.create_reader(partition, file, footer_guess, metrics)?;
        Ok(Box::new(Reader { inner, store, footers, lookups, object, footer_guess }))
    }
}

/// The footer of a file, kept for the next who asks.
pub(crate) async fn footer(
    store: &dyn ObjectStore,
    footers: &Arc<FileMetadataCache>,
    lookups: &CacheLookups,
    file: &ObjectMeta,
    guess: Option<usize>,
    policy: Option<PageIndexPolicy>,
) -> ParquetResult<Arc<ParquetMetaData>> {
    lookups.footers.count(footers.contains_key(&file.location));
    let read = DFParquetMetadata::new(store, file)
        .with_file_metadata_cache(Some(Arc::clone(footers)))
        .with_metadata_size_hint(guess)
        .with_page_index_policy(policy);
    read.fetch_metadata().await.map_err(|error| ParquetError::External(Box::new(error)))
}

/// The same error with the file's name.
fn of_file(path: &Path, error: ParquetError) -> ParquetError {
    ParquetError::External(Box::new(QueryError::of_file(path.to_string(), error)))
}

struct Reader {
    inner: Box<dyn AsyncFileReader + Send>,
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    lookups: Arc<CacheLookups>,
    object: ObjectMeta,
    footer_guess: Option<usize>,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let path = self.object.location.clone();
        self.inner.get_bytes(range).map_err(move |e| of_file(&path, e)).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let path = self.object.location.clone();
        self.inner.get_byte_ranges(ranges).map_err(move |e| of_file(&path, e)).boxed()
    }

    /// As the reader of DataFusion does, but for the error.
    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let policy = options.map(ArrowReaderOptions::column_index_policy);
        let (store, file, guess) = (self.store.as_ref(), &self.object, self.footer_guess);
        footer(store, &self.footers, &self.lookups, file, guess, policy)
            .map_err(|error| of_file(&file.location, error))
            .boxed()
    }
}

/// The bytes of a file whose footer is at hand.
pub(crate) struct BytesOfFile {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) location: Path,
}

impl AsyncFileReader for BytesOfFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let one = self.get_byte_ranges(vec![range]);
        one.map_ok(|bytes| bytes.into_iter().next().unwrap_or_default()).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let read = async move { self.store.get_ranges(&self.location, &ranges).await };
        read.map_err(|error| ParquetError::External(Box::new(error))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let asked = ParquetError::General("the footer is at hand and not asked for".to_owned());
        std::future::ready(Err(asked)).boxed()
    }
}
