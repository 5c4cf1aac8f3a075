//! A chunk of a partition's records: rows, dead letters, one append.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use loglake_ingest::IngestError;
use loglake_model::{Limits, Offsets, off_the_loop};
use loglake_receive::kafka::{
    ConsumedContext, ConsumedRecord, PayloadFormat, RecordFields, dead_letters, decode_consumed,
};
use loglake_receive::{DecodeContext, Decoded};
use loglake_table::Table;

use crate::lane::{Chunk, Work};
use crate::{CollectError, Tenure, Tenures, tenure};

/// A header's name and value.
pub type Header = (Box<[u8]>, Option<Box<[u8]>>);

/// A record of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub offset: u64,
    /// Milliseconds since the epoch; negative for none.
    pub timestamp: i64,
    pub key: Option<Box<[u8]>>,
    pub value: Option<Box<[u8]>>,
    pub headers: Vec<Header>,
}

impl Record {
    /// The memory it takes, about.
    pub fn bytes(&self) -> usize {
        let of = |bytes: &Option<Box<[u8]>>| bytes.as_ref().map_or(0, |bytes| bytes.len());
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + of(value)).sum();
        size_of::<Self>() + of(&self.key) + of(&self.value) + headers
    }

    fn consumed(&self, partition: i32) -> ConsumedRecord<'_> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_ref(), value.as_deref()));
        ConsumedRecord {
            partition,
            offset: self.offset.cast_signed(),
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: headers.collect(),
        }
    }
}

/// How records become rows.
#[derive(Clone, Debug)]
pub(crate) struct Decoding {
    pub(crate) format: PayloadFormat,
    pub(crate) fields: RecordFields,
    pub(crate) limits: Limits,
}

/// What a chunk brought into the lake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub records: u64,
    pub bytes: u64,
    pub rows: u64,
    pub dead_letters: u64,
    /// Records that were removed from the queue before they were read.
    pub missed: u64,
}

impl Tenures {
    /// Stores a chunk of the partition: its rows and its dead letters in one segment.
    ///
    /// # Errors
    /// When the tenure is over ([`is_over`]), or when nothing was stored: then the same chunk may be
    /// stored again.
    pub(crate) async fn store(
        &self,
        tenure: &Tenure,
        chunk: &Chunk,
        decoding: &Decoding,
    ) -> Result<Stored, CollectError> {
        let (deps, partition) = (&self.deps, &tenure.partition);
        let letters = deps.ingester.table(&deps.tenant, &tenure::dead_letters()).await?;
        let (mut rows, stored) = match &chunk.work {
            Work::Records(records) => {
                let table = deps.ingester.table(&deps.tenant, &partition.table).await?;
                self.decode(tenure, table, &letters, Arc::clone(records), decoding).await?
            }
            Work::Gap => {
                let batch = self.gap(tenure, chunk, &letters, decoding);
                let missed = chunk.to - chunk.from;
                (vec![(Arc::clone(&letters), batch)], Stored { missed, ..Stored::default() })
            }
        };
        rows.retain(|(_, batch)| batch.num_rows() > 0);
        let offsets = Offsets { source: tenure.queue.clone(), from: chunk.from, to: chunk.to };
        deps.ingester.append_collected(tenure.writer, rows, offsets).await?;
        Ok(stored)
    }

    async fn decode(
        &self,
        tenure: &Tenure,
        table: Arc<Table>,
        letters: &Arc<Table>,
        records: Arc<Vec<Record>>,
        decoding: &Decoding,
    ) -> Result<(Vec<(Arc<Table>, RecordBatch)>, Stored), CollectError> {
        let arrival = self.deps.clock.now();
        let (topic, partition) = (Arc::clone(&tenure.partition.topic), tenure.partition.partition);
        let schema = Arc::clone(table.current().schema());
        let letters_schema = Arc::clone(letters.current().schema());
        let Decoding { format, fields, limits } = decoding.clone();
        let work = move || {
            let consumed: Vec<_> = records.iter().map(|r| r.consumed(partition)).collect();
            let decode = DecodeContext { schema: &schema, limits: &limits, arrival };
            let context = ConsumedContext { decode, topic: &topic, format, fields };
            let Decoded { batch, rejections } = decode_consumed(&consumed, &context);
            // One letter a record, however many of its rows are refused.
            let mut refused = BTreeMap::new();
            for rejection in rejections {
                refused.entry(rejection.line).or_insert(rejection.reason);
            }
            let undecoded: Vec<_> = refused
                .iter()
                .filter_map(|(line, reason)| {
                    Some((consumed.get(usize::try_from(*line).ok()? - 1)?, reason.as_str()))
                })
                .collect();
            let decode = DecodeContext { schema: &letters_schema, ..decode };
            let lost = dead_letters(&undecoded, &topic, &decode).batch;
            let stored = Stored {
                records: consumed.len() as u64,
                bytes: records.iter().map(|record| record.bytes() as u64).sum(),
                rows: batch.num_rows() as u64,
                dead_letters: lost.num_rows() as u64,
                missed: 0,
            };
            (batch, lost, stored)
        };
        let (batch, lost, stored) = off_the_loop(work).await.map_err(CollectError::Decoder)?;
        Ok((vec![(table, batch), (Arc::clone(letters), lost)], stored))
    }

    /// The row that says which records were removed from the queue before they were read.
    fn gap(
        &self,
        tenure: &Tenure,
        chunk: &Chunk,
        letters: &Table,
        decoding: &Decoding,
    ) -> RecordBatch {
        let (from, last) = (chunk.from, chunk.to - 1);
        let reason = format!(
            "the records {from} to {last} were removed from the topic before they were read"
        );
        let schema = Arc::clone(letters.current().schema());
        let arrival = self.deps.clock.now();
        let decode = DecodeContext { schema: &schema, limits: &decoding.limits, arrival };
        let record = ConsumedRecord {
            partition: tenure.partition.partition,
            offset: from.cast_signed(),
            timestamp: -1,
            ..ConsumedRecord::default()
        };
        dead_letters(&[(&record, &reason)], &tenure.partition.topic, &decode).batch
    }
}

/// Whether an error of storing ends the tenure: the partition must be taken anew.
pub(crate) fn is_over(error: &CollectError) -> bool {
    is_panic(error) || matches!(error, CollectError::Ingest(error) if error.may_be_stored())
}

/// Whether a task has ended early: what it began may go on.
pub(crate) const fn is_panic(error: &CollectError) -> bool {
    matches!(error, CollectError::Task(_) | CollectError::Ingest(IngestError::Task(_)))
}
