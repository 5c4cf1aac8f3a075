//! What members say to each other, as it goes over the wire: small JSON beside Arrow's own messages.

use std::time::Duration;

use arrow_flight::sql::Any;
use bytes::Bytes;
use loglake_ingest::{KeyFate, Standing};
use loglake_model::{SegmentSeq, TableId, TableName, TenantName, WriterId};
use prost::Message as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tonic::Status;

pub(crate) const STANDING_ACTION: &str = "loglake.standing";
pub(crate) const KEY_FATE_ACTION: &str = "loglake.key_fate";
pub(crate) const FORWARD_TYPE: &str = "loglake/forward";

/// The command of a forward; its rows follow as Arrow messages.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ForwardCommand {
    pub(crate) batch: String,
    pub(crate) writer: WriterId,
    pub(crate) tenant: TenantName,
    pub(crate) name: TableName,
    pub(crate) table: TableId,
}

impl ForwardCommand {
    pub(crate) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let any =
            Any { type_url: FORWARD_TYPE.to_owned(), value: serde_json::to_vec(self)?.into() };
        Ok(any.encode_to_vec().into())
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForwardAnswer {
    Taken,
    NotTaken(String),
    Unknown(String),
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StandingMessage {
    writer: WriterId,
    delivered: Option<SegmentSeq>,
    waiting_ms: u64,
    takes_rows: bool,
}

impl From<Standing> for StandingMessage {
    fn from(standing: Standing) -> Self {
        Self {
            writer: standing.writer,
            delivered: standing.delivered,
            waiting_ms: u64::try_from(standing.waiting.as_millis()).unwrap_or(u64::MAX),
            takes_rows: standing.takes_rows,
        }
    }
}

impl From<StandingMessage> for Standing {
    fn from(message: StandingMessage) -> Self {
        Self {
            writer: message.writer,
            delivered: message.delivered,
            waiting: Duration::from_millis(message.waiting_ms),
            takes_rows: message.takes_rows,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyQuestion {
    pub(crate) writer: WriterId,
    pub(crate) key: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyAnswer {
    Stored,
    NotStored,
    /// The writer that was asked about is not here (any more).
    AnotherWriter,
}

impl From<Option<KeyFate>> for KeyAnswer {
    fn from(fate: Option<KeyFate>) -> Self {
        match fate {
            Some(KeyFate::Stored) => Self::Stored,
            Some(KeyFate::NotStored) => Self::NotStored,
            None => Self::AnotherWriter,
        }
    }
}

impl From<KeyAnswer> for Option<KeyFate> {
    fn from(answer: KeyAnswer) -> Self {
        match answer {
            KeyAnswer::Stored => Some(KeyFate::Stored),
            KeyAnswer::NotStored => Some(KeyFate::NotStored),
            KeyAnswer::AnotherWriter => None,
        }
    }
}

/// The JSON in a message between members.
pub(crate) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(json)
        .map_err(|e| Status::invalid_argument(format!("not a message between members: {e}")))
}

pub(crate) fn to_json(message: &impl Serialize) -> Result<Bytes, Status> {
    serde_json::to_vec(message)
        .map(Bytes::from)
        .map_err(|e| Status::internal(format!("a message cannot be encoded: {e}")))
}
