//! Compaction: the same rows in fewer files, whoever else is at work.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int16Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use loglake_format::{EncoderSettings, encode};
use loglake_maintain::Compactor;
use loglake_model::{MESSAGE, SERVICE, TableSchema};
use loglake_table::{Rewrite, RewriteKind};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

impl Lake {
    fn compactor(&self) -> Compactor {
        Compactor {
            store: Arc::clone(&self.store),
            clock: Arc::new(Now),
            encoder: EncoderSettings::default(),
        }
    }

    /// Flushes a file of rows with these messages, in the first hour of 1970.
    async fn flush(&self, n: u64, messages: &[String]) -> DataFile {
        let table = TableSchema::new(PartitionBy::Hour);
        let mut fields = TableSchema::time_fields().to_vec();
        fields.extend([SERVICE, MESSAGE].map(|name| Field::new(name, DataType::Utf8, true)));
        let times = (0..messages.len() as i64).map(|row| row * 1_000 + n as i64);
        let services = (0..messages.len()).map(|row| ["cart", "checkout"][row % 2]);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
            Arc::new(Int16Array::from_iter_values(messages.iter().map(|_| 0))),
            Arc::new(StringArray::from_iter_values(services)),
            Arc::new(StringArray::from_iter_values(messages)),
        ];
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        let encoded = encode(&[batch], &table, &EncoderSettings::default()).unwrap().remove(0);
        let path = self.table.new_file_path(&encoded.partition);
        let checksum = Some(twox_hash::XxHash3_64::oneshot(&encoded.bytes));
        let bytes = encoded.bytes.len() as u64;
        self.store.put(&Path::from(self.absolute(&path)), encoded.bytes.into()).await.unwrap();
        let file = DataFile {
            path,
            partition: encoded.partition,
            bytes,
            rows: encoded.rows,
            stats: encoded.stats,
            modified: Timestamp::from_nanos(0),
            checksum,
            words: encoded.words.map(Into::into),
        };
        self.commit(n, &file).await;
        file
    }

    async fn flushes(&self, count: u64) -> Vec<DataFile> {
        let mut files = vec![];
        for n in 0..count {
            let messages: Vec<String> = (0..20).map(|row| format!("flush {n} row {row}")).collect();
            files.push(self.flush(n, &messages).await);
        }
        files
    }

    /// The messages of the newest version, each with how often it is there.
    async fn messages(&self) -> BTreeMap<String, usize> {
        let version = self.table.refresh().await.unwrap();
        let mut messages = BTreeMap::new();
        for file in version.files() {
            let path = Path::from(self.absolute(&file.path));
            let bytes = self.store.get(&path).await.unwrap().bytes().await.unwrap();
            assert_eq!(file.bytes, bytes.len() as u64);
            assert_eq!(file.checksum, Some(twox_hash::XxHash3_64::oneshot(&bytes)));
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            for batch in reader {
                let batch = batch.unwrap();
                for message in batch[MESSAGE].as_string::<i32>().iter().flatten() {
                    *messages.entry(message.to_owned()).or_default() += 1;
                }
            }
        }
        messages
    }
}

#[tokio::test]
async fn many_small_files_become_one_with_the_same_rows() {
    let lake = Lake::new().await;
    lake.flushes(30).await;
    let before = lake.messages().await;
    assert_eq!(lake.compactor().compact(&lake.table).await.unwrap(), 29);
    let version = lake.table.refresh().await.unwrap();
    assert_eq!((version.files().len(), version.rows()), (1, 600));
    assert_eq!(lake.messages().await, before);
    assert!(before.values().all(|times| *times == 1));
    // The watermark is where it was, and a table that is well is not written to.
    assert_eq!(version.watermark(writer(1)), Some(SegmentSeq(29)));
    assert_eq!(lake.compactor().compact(&lake.table).await.unwrap(), 0);
    assert_eq!(lake.table.refresh().await.unwrap().version(), version.version());
}

#[tokio::test]
async fn two_compactions_at_once_and_flushes_beside_them_lose_and_double_nothing() {
    let lake = Lake::new().await;
    lake.flushes(20).await;
    // Another process: it knows the table by itself.
    let elsewhere = catalog(&lake.store, Arc::new(Now));
    let elsewhere = elsewhere.table(&TenantName::unnamed(), &TableName::unnamed()).await;
    let elsewhere = elsewhere.unwrap().unwrap();
    let compactor = lake.compactor();
    let flushing = async {
        for n in 20..30 {
            lake.flush(n, &[format!("flush {n}")]).await;
        }
    };
    let (one, two, ()) =
        tokio::join!(compactor.compact(&lake.table), compactor.compact(&elsewhere), flushing);
    assert!(one.unwrap() + two.unwrap() >= 19);
    let messages = lake.messages().await;
    assert_eq!(messages.len(), 20 * 20 + 10);
    assert!(messages.values().all(|times| *times == 1));
}

#[tokio::test]
async fn rows_that_were_deleted_meanwhile_do_not_come_back() {
    let lake = Lake::new().await;
    let files = lake.flushes(3).await;
    let version = lake.table.refresh().await.unwrap();
    // The deletion comes first, unseen by who merges the older version.
    let elsewhere = catalog(&lake.store, Arc::new(Now));
    let elsewhere = elsewhere.table(&TenantName::unnamed(), &TableName::unnamed()).await;
    let removes = vec![Arc::new(files[1].clone())];
    let deletion = Rewrite { kind: RewriteKind::Deletion, removes, adds: vec![] };
    elsewhere.unwrap().unwrap().commit_rewrite(&deletion).await.unwrap();
    let group: Vec<Arc<DataFile>> = files.into_iter().map(Arc::new).collect();
    let merged = lake.compactor().merge(&lake.table, &version, &group).await;
    assert!(!merged.unwrap(), "what was deleted was committed again");
    assert_eq!(lake.messages().await.len(), 40);
}

#[tokio::test]
async fn a_damaged_file_is_left_alone_and_holds_up_no_other() {
    let lake = Lake::new().await;
    let files = lake.flushes(4).await;
    let path = Path::from(lake.absolute(&files[2].path));
    let mut bytes = lake.store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[40] ^= 1;
    lake.store.put(&path, bytes.into()).await.unwrap();
    assert_eq!(lake.compactor().compact(&lake.table).await.unwrap(), 2);
    let version = lake.table.refresh().await.unwrap();
    assert_eq!(version.files().len(), 2);
    assert!(version.contains(&files[2].path));
}
