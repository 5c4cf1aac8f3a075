//! Answering other processes that ask for this one's fresh rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use loglake_model::Column;
use prost::Message;

use super::selection::Selector;
use super::wire::{FreshHead, InvalidMessage, decode_scan};
use super::{FreshAnswer, FreshError, FreshRows};
use crate::{QueryError, session};

/// Answers for the writer of this process.
pub struct FreshAnswerer {
    rows: Arc<dyn FreshRows>,
    functions: SessionState,
}

/// Why a question got no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unanswered {
    #[error(transparent)]
    NotUnderstood(#[from] InvalidMessage),
    #[error(transparent)]
    NoRows(#[from] FreshError),
}

impl FreshAnswerer {
    /// `rows` are this process's own; it is asked about no other writer.
    ///
    /// # Errors
    /// When the functions of SQL cannot be set up; a defect.
    pub fn new(rows: Arc<dyn FreshRows>) -> Result<Self, QueryError> {
        Ok(Self { rows, functions: session::functions()? })
    }

    /// # Errors
    /// [`Unanswered`] when the question is not understood or there are no rows to be had here.
    pub async fn answer(&self, question: &[u8]) -> Result<FreshBatches, Unanswered> {
        let scan = decode_scan(question, &self.functions.task_ctx())?;
        if self.rows.own() != Some(scan.writer) {
            return Err(FreshError::NotCurrent.into());
        }
        let FreshAnswer { up_to, columns, batches } = self.rows.rows(&scan).await?;
        let schema = common_schema(&batches, scan.selection.columns.as_deref());
        let selector = Selector::new(scan.selection, &self.functions);
        let head = FreshHead::new(up_to, columns).encode_to_vec();
        Ok(FreshBatches { head, schema, selector, batches: batches.into_iter() })
    }
}

/// An answer: what it begins with, and its batches, which are selected as they are taken out.
pub struct FreshBatches {
    head: Vec<u8>,
    schema: SchemaRef,
    selector: Selector,
    batches: std::vec::IntoIter<RecordBatch>,
}

impl FreshBatches {
    /// For [`super::decode_head`] at the other end.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Iterator for FreshBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let selected = self.selector.select(self.batches.next()?)?;
            match selected {
                Ok(batch) if batch.num_rows() == 0 => {}
                selected => return Some(selected.and_then(|batch| aligned(&batch, &self.schema))),
            }
        }
    }
}

fn aligned(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    Ok(loglake_format::align(batch, schema).map_err(QueryError::from)?)
}

/// The wanted columns of all batches: later ones may have more than earlier ones.
fn common_schema(batches: &[RecordBatch], wanted: Option<&[String]>) -> SchemaRef {
    let mut fields: Vec<FieldRef> = vec![];
    for field in batches.iter().flat_map(|batch| batch.schema_ref().fields()) {
        let is_wanted = wanted.is_none_or(|names| names.contains(field.name()));
        if is_wanted && !fields.iter().any(|known| known.name() == field.name()) {
            // Some batches have texts in full, some with dictionaries.
            let in_full = Column::of_field(field).map(|column| Arc::new(column.field()));
            fields.push(in_full.unwrap_or_else(|| Arc::clone(field)));
        }
    }
    Arc::new(Schema::new(fields))
}
