//! Rows as hits: what of them is asked for, and how they are shown. Also of `top_hits`.

use arrow::array::RecordBatch;
use datafusion::logical_expr::Expr;
use serde_json::{Map, Value};

use crate::{ElasticError, Fields};

/// What a hit shows: `_source`, `fields`, `docvalue_fields`, `sort`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HitOptions {}

impl HitOptions {
    /// Takes its keys out of a search body (or that of `top_hits`) and leaves the others.
    ///
    /// # Errors
    /// When one is not understood.
    pub fn take(_body: &mut Map<String, Value>) -> Result<Self, ElasticError> {
        Ok(Self::default())
    }

    /// The columns that [`Self::hits`] needs, of rows that have the columns of the index.
    pub fn columns(&self, fields: &Fields) -> Vec<Expr> {
        fields.schema().fields().iter().map(|field| crate::fields::col(field.name())).collect()
    }

    /// A hit a row: `_index`, `_id`, `_source`, ….
    ///
    /// # Errors
    /// When the rows are not those of [`Self::columns`].
    pub fn hits(&self, _rows: &[RecordBatch], _index: &Index) -> Result<Vec<Value>, ElasticError> {
        Ok(vec![])
    }
}

/// Which tables hits are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Index {
    One(String),
    /// The column [`crate::fields::INDEX`] says it.
    Several,
}
