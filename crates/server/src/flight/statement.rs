//! What a ticket and the handle of a prepared statement carry: the statement itself and its bound
//! parameters. So any process that serves queries can answer any ticket, also after a restart, and
//! an abandoned statement costs nothing.

use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::utils::batches_to_flight_data;
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::{TryStreamExt, stream};
use prost::Message as _;

use super::rows;
use crate::failure::Failure;

/// A statement with its parameters, as bytes that clients hand back unread.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Statement {
    #[prost(string, tag = "1")]
    pub(crate) sql: String,
    /// One row of parameters, as it would be put; empty when none is bound.
    #[prost(message, repeated, tag = "3")]
    parameters: Vec<FlightData>,
}

impl Statement {
    pub(crate) fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), parameters: vec![] }
    }

    /// # Errors
    /// When the bytes are no handle of ours.
    pub(crate) fn from_handle(handle: &[u8]) -> Result<Self, Failure> {
        Self::decode(handle)
            .map_err(|e| Failure::invalid(format!("not a statement handle of this server: {e}")))
    }

    pub(crate) fn handle(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// The same statement with other parameters.
    ///
    /// # Errors
    /// When there is not exactly one row of them.
    pub(crate) fn bind(mut self, rows: &RecordBatch) -> Result<Self, Failure> {
        if rows.num_rows() != 1 {
            let message = format!("a query takes one row of parameters, not {}", rows.num_rows());
            return Err(Failure::invalid(message));
        }
        self.parameters = batches_to_flight_data(rows.schema_ref(), vec![rows.clone()])
            .map_err(|e| Failure::invalid(format!("parameters: {e}")))?;
        Ok(self)
    }

    /// The bound parameters in order: `$1`, `$2`, ….
    ///
    /// # Errors
    /// When the handle's bytes were changed.
    pub(crate) async fn parameters(&self) -> Result<Vec<ScalarValue>, Failure> {
        if self.parameters.is_empty() {
            return Ok(vec![]);
        }
        let broken = |why: &str| Failure::invalid(format!("bound parameters: {why}"));
        let messages = stream::iter(self.parameters.clone().into_iter().map(Ok));
        let read = rows::batches(messages).try_next().await;
        let rows = read.map_err(|status| broken(status.message()))?;
        let rows = rows.filter(|rows| rows.num_rows() == 1).ok_or_else(|| broken("no row"))?;
        let values = rows.columns().iter().map(|array| ScalarValue::try_from_array(array, 0));
        values.collect::<Result<_, _>>().map_err(|e| broken(&e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn row(rows: usize) -> RecordBatch {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![7; rows]));
        let text: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; rows]));
        RecordBatch::try_from_iter_with_nullable([("a", ints, true), ("b", text, true)]).unwrap()
    }

    #[tokio::test]
    async fn a_handle_carries_the_statement_and_its_parameters() {
        let statement = Statement::new("select $1, $2").bind(&row(1)).unwrap();
        let back = Statement::from_handle(&statement.handle()).unwrap();
        assert_eq!(back.sql, "select $1, $2");
        let values = back.parameters().await.unwrap();
        assert_eq!(values, [ScalarValue::Int64(Some(7)), ScalarValue::Utf8(None)]);
        assert_eq!(Statement::new("select 1").parameters().await, Ok(vec![]));
    }

    #[tokio::test]
    async fn foreign_handles_and_several_rows_are_refused() {
        assert!(Statement::from_handle(b"\xff\xff\xff").is_err());
        let statement = Statement::new("select $1, $2");
        assert!(statement.clone().bind(&row(0)).is_err());
        assert!(statement.clone().bind(&row(2)).is_err());
        let bound = statement.bind(&row(1)).unwrap();
        let changed = |change: fn(&mut Vec<FlightData>)| {
            let mut changed = bound.clone();
            change(&mut changed.parameters);
            changed
        };
        let handles: [fn(&mut Vec<FlightData>); 3] = [
            |messages| messages.truncate(1),
            |messages| messages[1].data_body.clear(),
            |messages| messages[1].data_header = Bytes::from_static(b"\xfa\xfd\xfbR"),
        ];
        for change in handles {
            assert!(changed(change).parameters().await.is_err());
        }
    }
}
