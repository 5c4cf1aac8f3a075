//! What of Kafka's protocol is spoken: requests, their versions, the codes of errors.

use super::wire::{Answer, Fields, Malformed};

/// The requests that are answered, by their keys ("Api Keys" of Kafka's protocol guide).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ApiKey {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    SaslHandshake = 17,
    ApiVersions = 18,
    InitProducerId = 22,
    SaslAuthenticate = 36,
}

/// Versions that are taken, first and last: the last before the flexible encoding, which brings these
/// requests nothing that is used here.
const VERSIONS: [(ApiKey, i16, i16); 15] = [
    (ApiKey::Produce, 3, 8),
    (ApiKey::Fetch, 4, 11),
    (ApiKey::ListOffsets, 1, 5),
    (ApiKey::Metadata, 0, 8),
    (ApiKey::OffsetCommit, 2, 7),
    (ApiKey::OffsetFetch, 1, 5),
    (ApiKey::FindCoordinator, 0, 2),
    (ApiKey::JoinGroup, 0, 5),
    (ApiKey::Heartbeat, 0, 3),
    (ApiKey::LeaveGroup, 0, 3),
    (ApiKey::SyncGroup, 0, 3),
    (ApiKey::SaslHandshake, 0, 1),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::InitProducerId, 0, 1),
    (ApiKey::SaslAuthenticate, 0, 1),
];

/// librdkafka compresses only where Produce begins at 0, as Kafka 4 says it does; it then uses a
/// version that both know.
const PRODUCE_SAID_FROM: i16 = 0;

impl ApiKey {
    pub(super) fn of_key(key: i16) -> Option<Self> {
        VERSIONS.iter().map(|(api, ..)| *api).find(|api| *api as i16 == key)
    }

    pub(super) fn takes(self, version: i16) -> bool {
        VERSIONS
            .iter()
            .any(|(api, first, last)| *api == self && (*first..=*last).contains(&version))
    }

    /// Its name, for metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Fetch => "fetch",
            Self::ListOffsets => "list_offsets",
            Self::Metadata => "metadata",
            Self::OffsetCommit => "offset_commit",
            Self::OffsetFetch => "offset_fetch",
            Self::FindCoordinator => "find_coordinator",
            Self::JoinGroup => "join_group",
            Self::Heartbeat => "heartbeat",
            Self::LeaveGroup => "leave_group",
            Self::SyncGroup => "sync_group",
            Self::SaslHandshake => "sasl_handshake",
            Self::ApiVersions => "api_versions",
            Self::InitProducerId => "init_producer_id",
            Self::SaslAuthenticate => "sasl_authenticate",
        }
    }
}

/// The head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) key: i16,
    pub(super) version: i16,
    /// Comes back with the answer.
    pub(super) correlation: i32,
}

impl Head {
    /// Reads the head; the client's name is passed over.
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let (key, version) = (fields.i16()?, fields.i16()?);
        let correlation = fields.i32()?;
        fields.nullable_string()?;
        Ok(Self { key, version, correlation })
    }
}

/// The answer to ApiVersions. To a version from the future it is that of version 0 with an error, and
/// the client asks again.
pub(super) fn api_versions(version: i16) -> Answer {
    let mut answer = Answer::default();
    let said = VERSIONS.iter().map(|(api, first, last)| match api {
        ApiKey::Produce => (*api, PRODUCE_SAID_FROM, *last),
        _ => (*api, *first, *last),
    });
    let one = |answer: &mut Answer, (api, first, last): (ApiKey, i16, i16)| {
        answer.i16(api as i16).i16(first).i16(last);
    };
    match version {
        // The only flexible answer: a compact array, whose length is one more, and tags, none.
        3 => {
            answer.i16(Code::None as i16).i8(VERSIONS.len() as i8 + 1);
            for api in said {
                one(&mut answer, api);
                answer.i8(0);
            }
            answer.i32(0).i8(0);
        }
        0..=2 => {
            answer.i16(Code::None as i16).array(said, one);
            if version > 0 {
                answer.i32(0);
            }
        }
        _ => {
            answer.i16(Code::UnsupportedVersion as i16).array(said, one);
        }
    }
    answer
}

/// Codes of errors ("Error Codes"), those that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    UnknownServerError = -1,
    None = 0,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    RequestTimedOut = 7,
    MessageTooLarge = 10,
    CoordinatorNotAvailable = 15,
    InvalidTopic = 17,
    NotEnoughReplicas = 19,
    NotEnoughReplicasAfterAppend = 20,
    IllegalGeneration = 22,
    InconsistentGroupProtocol = 23,
    InvalidGroupId = 24,
    UnknownMemberId = 25,
    RebalanceInProgress = 27,
    TopicAuthorizationFailed = 29,
    UnsupportedSaslMechanism = 33,
    UnsupportedVersion = 35,
    InvalidRequest = 42,
    UnsupportedForMessageFormat = 43,
    OutOfOrderSequenceNumber = 45,
    InvalidProducerEpoch = 47,
    TransactionalIdAuthorizationFailed = 53,
    SaslAuthenticationFailed = 58,
    UnsupportedCompressionType = 76,
    GroupMaxSizeReached = 81,
    InvalidRecord = 87,
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiVersionsResponse;
    use kafka_protocol::protocol::Decodable;

    use super::*;

    #[test]
    fn others_read_which_versions_there_are() {
        for version in 0..=3 {
            let bytes = api_versions(version).into_bytes();
            let mut bytes = bytes::Bytes::from(bytes);
            let read = ApiVersionsResponse::decode(&mut bytes, version).unwrap();
            assert!(bytes.is_empty());
            let produce = read.api_keys.iter().find(|api| api.api_key == 0).unwrap();
            assert_eq!((read.error_code, read.api_keys.len()), (0, VERSIONS.len()));
            assert_eq!((produce.min_version, produce.max_version), (0, 8));
        }
        let mut newer = bytes::Bytes::from(api_versions(9).into_bytes());
        assert_eq!(ApiVersionsResponse::decode(&mut newer, 0).unwrap().error_code, 35);
    }

    #[test]
    fn only_the_versions_that_are_said_are_taken() {
        assert!(ApiKey::Produce.takes(3) && !ApiKey::Produce.takes(2) && !ApiKey::Produce.takes(9));
        assert_eq!(ApiKey::of_key(36), Some(ApiKey::SaslAuthenticate));
        assert_eq!(ApiKey::of_key(37), None);
    }
}
