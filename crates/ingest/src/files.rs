//! Rows to data files in the store, not yet part of their table.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::future::try_join_all;
use loglake_format::{EncodedFile, EncoderSettings, encode};
use loglake_model::{Clock, off_the_loop};
use loglake_table::{DataFile, Table};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::IngestError;

/// Writes data files through the one encoder.
#[derive(Clone)]
pub(crate) struct FileWriter {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) encoder: EncoderSettings,
}

impl FileWriter {
    /// One file a partition. Files of a call that failed are orphans, removed by vacuum.
    pub(crate) async fn write(
        &self,
        table: &Table,
        batches: Vec<RecordBatch>,
    ) -> Result<Vec<DataFile>, IngestError> {
        // The newest schema has every column of rows that were logged before now.
        let schema = Arc::clone(table.current().schema());
        let encoder = self.encoder.clone();
        let encoded = off_the_loop(move || encode(&batches, &schema, &encoder)).await??;
        try_join_all(encoded.into_iter().map(|file| self.put(table, file))).await
    }

    async fn put(&self, table: &Table, file: EncodedFile) -> Result<DataFile, IngestError> {
        let path = table.new_file_path(&file.partition);
        let bytes = file.bytes.len() as u64;
        let checksum = Some(twox_hash::XxHash3_64::oneshot(&file.bytes));
        let absolute = Path::from_iter(table.root().parts().chain(path.parts()));
        self.store.put(&absolute, file.bytes.into()).await?;
        Ok(DataFile {
            path,
            partition: file.partition,
            bytes,
            rows: file.rows,
            stats: file.stats,
            modified: self.clock.now(),
            checksum,
            words: file.words.map(Into::into),
        })
    }
}
