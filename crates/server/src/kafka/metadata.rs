//! Who is there and which topics are: this process, and its tables with one partition each.

use std::collections::HashSet;
use std::net::SocketAddr;

use loglake_model::TableName;

use super::Kafka;
use super::protocol::Code;
use super::wire::{Answer, Fields, Malformed};
use crate::codes::kafka_code;
use crate::failure::Failure;

const CLUSTER: &str = "loglake";
/// What is not known of the operations that a client may do.
const OPERATIONS_UNKNOWN: i32 = i32::MIN;
/// More topics than these are looked up in one listing of all.
const ASKED_ONE_BY_ONE_MAX: usize = 16;

/// This process, as clients know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Follows from the address, so that two processes are two brokers and one is itself again after
    /// a restart.
    id: i32,
    host: String,
    port: u16,
}

impl Node {
    pub(super) fn new(advertise: Option<&str>, local: SocketAddr) -> Self {
        let host = match advertise {
            Some(host) => host.to_owned(),
            None => local.ip().to_canonical().to_string(),
        };
        let text = format!("{host}:{}", local.port());
        // FNV-1a, without the sign.
        let hash = text
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self { id: (hash >> 1) as i32, host, port: local.port() }
    }
}

/// Metadata: of the topics that are named, or all.
pub(super) async fn answer(
    kafka: &Kafka,
    node: &Node,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    let named = fields.nullable_array(|f| f.string())?;
    // In version 0 none means all.
    let named = named.filter(|names| version > 0 || !names.is_empty());
    // A producer's topic is made by its first record.
    let make = if version >= 4 { fields.bool()? } else { true };
    let topics = match &named {
        Some(names) => {
            let lists = !make && names.len() > ASKED_ONE_BY_ONE_MAX && kafka.doors.engine().is_ok();
            let known = match lists {
                true => Some(tables(kafka).await.map(HashSet::from_iter)),
                false => None,
            };
            let mut topics = vec![];
            for name in names {
                let code = topic_code(kafka, name, make, known.as_ref()).await;
                topics.push(((*name).to_owned(), code));
            }
            topics
        }
        // An answer of all topics has no place for an error.
        None => {
            tables(kafka).await.unwrap_or_default().into_iter().map(|n| (n, Code::None)).collect()
        }
    };
    Ok(encode(node, version, &topics))
}

async fn topic_code(
    kafka: &Kafka,
    name: &str,
    make: bool,
    known: Option<&Result<HashSet<String>, Code>>,
) -> Code {
    let Ok(table) = TableName::new(name) else { return Code::InvalidTopic };
    if make {
        return Code::None;
    }
    let there = match known {
        Some(known) => known.as_ref().map(|known| known.contains(name)).map_err(|code| *code),
        None => exists(kafka, &table).await,
    };
    match there {
        Ok(true) => Code::None,
        Ok(false) => Code::UnknownTopicOrPartition,
        Err(code) => code,
    }
}

async fn exists(kafka: &Kafka, table: &TableName) -> Result<bool, Code> {
    match kafka.doors.ingester() {
        Ok(ingester) => {
            let there = ingester.has_table(&kafka.doors.tenant, table).await;
            there.map_err(|e| kafka_code(Failure::from(e).kind()))
        }
        Err(_) => Ok(tables(kafka).await?.iter().any(|name| name == table.as_str())),
    }
}

/// All tables; of a listing that failed, how clients are to take it.
async fn tables(kafka: &Kafka) -> Result<Vec<String>, Code> {
    let listed = async {
        let tables = kafka.doors.engine()?.tables(&kafka.doors.tenant).await?;
        Ok(tables.iter().map(ToString::to_string).collect())
    };
    listed.await.map_err(|failure: Failure| {
        tracing::warn!("the topics cannot be listed: {failure}");
        kafka_code(failure.kind())
    })
}

fn encode(node: &Node, version: i16, topics: &[(String, Code)]) -> Answer {
    let mut answer = Answer::default();
    if version >= 3 {
        answer.i32(0); // no throttling
    }
    answer.array([node], |answer, node| {
        answer.i32(node.id).string(&node.host).i32(node.port.into());
        if version >= 1 {
            answer.nullable_string(None); // no rack
        }
    });
    if version >= 2 {
        answer.string(CLUSTER);
    }
    if version >= 1 {
        answer.i32(node.id); // the controller
    }
    answer.array(topics, |answer, (name, code)| {
        answer.i16(*code as i16).string(name);
        if version >= 1 {
            answer.bool(false); // not internal
        }
        let partitions: &[i32] = if *code == Code::None { &[0] } else { &[] };
        answer.array(partitions, |answer, partition| {
            answer.i16(Code::None as i16).i32(*partition).i32(node.id);
            if version >= 7 {
                answer.i32(-1); // no epochs of leaders
            }
            // One replica, in sync.
            answer.i32(1).i32(node.id).i32(1).i32(node.id);
            if version >= 5 {
                answer.i32(0); // none is offline
            }
        });
        if version >= 8 {
            answer.i32(OPERATIONS_UNKNOWN);
        }
    });
    if version >= 8 {
        answer.i32(OPERATIONS_UNKNOWN);
    }
    answer
}

/// FindCoordinator: this process, for groups. There are no transactions.
pub(super) fn find_coordinator(
    node: &Node,
    version: i16,
    fields: &mut Fields<'_>,
) -> Result<Answer, Malformed> {
    fields.string()?;
    let is_group = version == 0 || fields.i8()? == 0;
    let (code, why) = match is_group {
        true => (Code::None, None),
        false => (Code::TransactionalIdAuthorizationFailed, Some("transactions are not offered")),
    };
    let mut answer = Answer::default();
    if version >= 1 {
        answer.i32(0);
    }
    answer.i16(code as i16);
    if version >= 1 {
        answer.nullable_string(why);
    }
    answer.i32(node.id).string(&node.host).i32(node.port.into());
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{FindCoordinatorResponse, MetadataResponse};
    use kafka_protocol::protocol::Decodable;

    use super::*;

    fn node() -> Node {
        Node::new(None, "127.0.0.1:9092".parse().unwrap())
    }

    #[test]
    fn a_node_has_an_id_by_its_address() {
        let other = Node::new(Some("logs.example"), "127.0.0.1:9092".parse().unwrap());
        assert_eq!((other.host.as_str(), other.port), ("logs.example", 9092));
        assert!(node().id >= 0 && node().id != other.id && node() == node());
    }

    #[test]
    fn others_read_the_topics_in_every_version() {
        let topics = [("logs".to_owned(), Code::None), ("a b".to_owned(), Code::InvalidTopic)];
        for version in 0..=8 {
            let mut bytes = bytes::Bytes::from(encode(&node(), version, &topics).into_bytes());
            let read = MetadataResponse::decode(&mut bytes, version).unwrap();
            assert!(bytes.is_empty(), "version {version}");
            assert_eq!(read.brokers[0].port, 9092);
            let codes: Vec<_> =
                read.topics.iter().map(|t| (t.error_code, t.partitions.len())).collect();
            assert_eq!(codes, [(0, 1), (17, 0)], "version {version}");
        }
    }

    #[test]
    fn there_is_a_coordinator_for_groups_alone() {
        for (version, kind, code) in [(0, None, 0), (2, Some(0), 0), (1, Some(1), 53)] {
            let mut request = Answer::default();
            request.string("g");
            if let Some(kind) = kind {
                request.i8(kind);
            }
            let request = request.into_bytes();
            let answer = find_coordinator(&node(), version, &mut Fields::new(&request)).unwrap();
            let mut bytes = bytes::Bytes::from(answer.into_bytes());
            let read = FindCoordinatorResponse::decode(&mut bytes, version).unwrap();
            assert_eq!((read.error_code, bytes.len()), (code, 0));
        }
    }
}
