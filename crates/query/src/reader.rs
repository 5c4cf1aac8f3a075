//! Opening data files: DataFusion's reader with its cache of footers, and errors that keep their
//! cause. Its own error for a footer that it cannot read is a text: whether the file is gone, the
//! store is away or the bytes are wrong cannot be told from it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::QueryError;

#[derive(Debug)]
pub(crate) struct ReaderFactory {
    store: Arc<dyn ObjectStore>,
    cached: CachedParquetFileReaderFactory,
}

impl ReaderFactory {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, footers: Arc<FileMetadataCache>) -> Self {
        let cached = CachedParquetFileReaderFactory::new(Arc::clone(&store), footers);
        Self { store, cached }
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
        let (store, path) = (Arc::clone(&self.store), file.object_meta.location.clone());
        let inner = self.cached.create_reader(partition, file, footer_guess, metrics)?;
        Ok(Box::new(Reader { inner, store, path }))
    }
}

/// The same error with the file's name.
fn of_file(path: &Path, error: ParquetError) -> ParquetError {
    ParquetError::External(Box::new(QueryError::of_file(path.to_string(), error)))
}

struct Reader {
    inner: Box<dyn AsyncFileReader + Send>,
    store: Arc<dyn ObjectStore>,
    path: Path,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let path = self.path.clone();
        self.inner.get_bytes(range).map_err(move |e| of_file(&path, e)).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let path = self.path.clone();
        self.inner.get_byte_ranges(ranges).map_err(move |e| of_file(&path, e)).boxed()
    }

    /// After a failure the store is asked for the file: its answer is the cause, or it has none
    /// and the second reading decides.
    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            if let Ok(metadata) = self.inner.get_metadata(options).await {
                return Ok(metadata);
            }
            let there = self.store.head(&self.path).await;
            let cause = |e| of_file(&self.path, ParquetError::External(Box::new(e)));
            there.map_err(cause)?;
            let again = self.inner.get_metadata(options).await;
            again.map_err(|e| of_file(&self.path, e))
        }
        .boxed()
    }
}
