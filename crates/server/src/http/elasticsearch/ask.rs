//! Search bodies to the query engine, by the crate `elastic`.

use loglake_model::TableName;
use serde_json::Value;

use super::parameters::Parameters;
use super::reply::Refused;
use crate::doors::OpenDoors;

/// What the URL says of the form of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// `typed_keys`: aggregations are named with their kind, `sterms#by_level`.
    pub(super) typed_keys: bool,
    /// `rest_total_hits_as_int`: the total is a number, as before Elasticsearch 7.
    pub(super) total_as_number: bool,
}

impl Form {
    pub(super) fn of(parameters: &Parameters) -> Result<Self, Refused> {
        Ok(Self {
            typed_keys: parameters.flag("typed_keys")?.unwrap_or(false),
            total_as_number: parameters.flag("rest_total_hits_as_int")?.unwrap_or(false),
        })
    }
}

pub(super) async fn search(
    _doors: &OpenDoors,
    _tables: &[TableName],
    _body: Value,
    _form: Form,
) -> Result<Value, Refused> {
    Err(Refused::argument("stub"))
}

pub(super) async fn count(
    _doors: &OpenDoors,
    _tables: &[TableName],
    _body: Value,
) -> Result<u64, Refused> {
    Ok(0)
}

pub(super) async fn validate(
    _doors: &OpenDoors,
    _tables: &[TableName],
    _body: Value,
) -> Result<(), Refused> {
    Ok(())
}
