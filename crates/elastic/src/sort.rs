//! `sort`: by which fields hits are ordered. Also of `top_hits`.

use datafusion::logical_expr::SortExpr;
use serde_json::Value;

use crate::{ElasticError, Fields};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SortBy {
    Field(String),
    Score,
    /// As the rows lie.
    Doc,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    pub by: SortBy,
    pub order: Order,
    /// Rows without the field come first.
    pub missing_first: bool,
    pub format: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sort(pub Vec<SortKey>);

impl Sort {
    /// # Errors
    /// When it is none.
    pub fn parse(_body: &Value) -> Result<Self, ElasticError> {
        Ok(Self::default())
    }

    /// For DataFusion's `sort`, over rows that have the columns of the index.
    ///
    /// # Errors
    /// When a field cannot be sorted by.
    pub fn exprs(&self, _fields: &Fields) -> Result<Vec<SortExpr>, ElasticError> {
        Ok(vec![])
    }
}
