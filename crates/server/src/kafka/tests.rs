//! The door as a client sees it, in every version that is offered; requests and answers by
//! `kafka-protocol`, which was written by others.

use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    FetchRequest, GroupId, HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest,
    LeaveGroupRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetFetchRequest, ProduceRequest, RequestHeader, SyncGroupRequest, TopicName,
    join_group_request::JoinGroupRequestProtocol, leave_group_request::MemberIdentity,
    metadata_request, sync_group_request::SyncGroupRequestAssignment,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::RecordBatchDecoder;
use loglake_receive::kafka::{RecordFields, Served, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use super::*;
use crate::doors::{DoorSettings, Doors};
use crate::test_lake::{doors, open_doors};

/// 2026-11-01T12:00:00Z, an hour before the lake's clock.
const SECOND: i64 = 1_793_534_400;

async fn door(token: Option<&str>) -> (SocketAddr, DropGuard) {
    door_to(open_doors(token).await).await
}

async fn door_to(doors: OpenDoors) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let fields = RecordFields::default();
    let settings = KafkaSettings { advertise: None, fields, settle: Duration::from_secs(10) };
    let stop = CancellationToken::new();
    tokio::spawn(listen(KafkaPort { listener, settings }, doors, stop.clone()));
    (address, stop.drop_guard())
}

struct Client(TcpStream);

impl Client {
    async fn of(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn call<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        let mut body = BytesMut::new();
        RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .encode(&mut body, R::header_version(version))
            .unwrap();
        request.encode(&mut body, version).unwrap();
        self.send(&body).await;
        let length = self.0.read_i32().await.unwrap();
        let mut answer = vec![0; length as usize];
        self.0.read_exact(&mut answer).await.unwrap();
        let mut answer = Bytes::from(answer);
        assert_eq!((R::Response::header_version(version), answer.get_i32()), (0, 7));
        let read = R::Response::decode(&mut answer, version).unwrap();
        assert!(answer.is_empty(), "request {}, version {version}", R::KEY);
        read
    }

    async fn send(&mut self, body: &[u8]) {
        self.0.write_i32(body.len() as i32).await.unwrap();
        self.0.write_all(body).await.unwrap();
    }

    async fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]).await, Ok(0) | Err(_))
    }
}

fn topic(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("readers"))
}

fn produce(name: &'static str, payload: &str) -> ProduceRequest {
    let mut records = vec![];
    let served = Served { offset: 0, timestamp: SECOND * 1_000, value: payload.as_bytes() };
    encode(&[served], &mut records);
    let part = PartitionProduceData::default().with_records(Some(records.into()));
    let data = TopicProduceData::default().with_name(topic(name)).with_partition_data(vec![part]);
    ProduceRequest::default().with_acks(-1).with_topic_data(vec![data])
}

#[tokio::test]
async fn records_go_in_and_come_out_in_every_version() {
    let (address, _stop) = door(None).await;
    let mut client = Client::of(address).await;
    for version in 3..=8 {
        let answer = client.call(version, produce("logs", r#"{"message":"a"}"#)).await;
        let part = &answer.responses[0].partition_responses[0];
        assert_eq!((part.index, part.error_code), (0, 0), "version {version}");
    }
    for version in 4..=11 {
        let part = FetchPartition::default().with_partition_max_bytes(1 << 20);
        let wanted = FetchTopic::default().with_topic(topic("logs")).with_partitions(vec![part]);
        let request = FetchRequest::default().with_topics(vec![wanted]);
        let answer = client.call(version, request.with_max_bytes(1 << 20)).await;
        let part = &answer.responses[0].partitions[0];
        let records =
            RecordBatchDecoder::decode(&mut part.records.clone().unwrap()).unwrap().records;
        let offsets: Vec<i64> = records.iter().map(|r| r.offset - SECOND * 1_000_000_000).collect();
        assert_eq!((part.error_code, offsets), (0, vec![0, 1, 2, 3, 4, 5]), "version {version}");
    }
    for version in 1..=5 {
        for (asked, offset) in [(-2, SECOND * 1_000_000_000), (SECOND * 1_000 + 1, -1)] {
            let part = ListOffsetsPartition::default().with_timestamp(asked);
            let of =
                ListOffsetsTopic::default().with_name(topic("logs")).with_partitions(vec![part]);
            let answer =
                client.call(version, ListOffsetsRequest::default().with_topics(vec![of])).await;
            let found = &answer.topics[0].partitions[0];
            assert_eq!((found.error_code, found.offset), (0, offset), "version {version}");
        }
    }
}

#[tokio::test]
async fn what_is_refused_names_the_record() {
    let (address, _stop) = door(None).await;
    let mut client = Client::of(address).await;
    let late = r#"{"timestamp":"3000-01-01T00:00:00Z"}"#;
    let answer = client.call(8, produce("logs", late)).await;
    let part = &answer.responses[0].partition_responses[0];
    assert_eq!((part.error_code, part.record_errors[0].batch_index), (87, 0));
    let answer = client.call(8, produce("no table", "x")).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 17);
}

#[tokio::test]
async fn a_group_joins_shares_commits_and_leaves_in_every_version() {
    let (address, _stop) = door(None).await;
    let mut client = Client::of(address).await;
    for version in 0..=3 {
        let protocol = JoinGroupRequestProtocol::default().with_name("range".into());
        let join = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_protocol_type("consumer".into())
            .with_protocols(vec![protocol]);
        let joined = client.call(version + 2, join).await;
        assert_eq!((joined.error_code, joined.members.len()), (0, 1));
        let (member, generation) = (joined.member_id, joined.generation_id);
        let share = SyncGroupRequestAssignment::default()
            .with_member_id(member.clone())
            .with_assignment("all".into());
        let sync = SyncGroupRequest::default()
            .with_group_id(group())
            .with_generation_id(generation)
            .with_member_id(member.clone())
            .with_assignments(vec![share]);
        assert_eq!(client.call(version, sync).await.assignment, "all");
        let beat = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(generation)
            .with_member_id(member.clone());
        assert_eq!(client.call(version, beat).await.error_code, 0);
        let offset = 40 + i64::from(version);
        let part = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let of = OffsetCommitRequestTopic::default().with_name(topic("logs"));
        let commit = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(member.clone())
            .with_topics(vec![of.with_partitions(vec![part])]);
        let answer = client.call(version + 4, commit).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
        let of = OffsetFetchRequestTopic::default().with_name(topic("logs"));
        let of = of.with_partition_indexes(vec![0]);
        let fetch =
            OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![of]));
        let found = client.call(version + 2, fetch).await;
        assert_eq!(found.topics[0].partitions[0].committed_offset, offset);
        let mut leave = LeaveGroupRequest::default().with_group_id(group());
        match version {
            3 => leave.members = vec![MemberIdentity::default().with_member_id(member)],
            _ => leave.member_id = member,
        }
        assert_eq!(client.call(version, leave).await.error_code, 0);
    }
}

#[tokio::test]
async fn who_waits_for_a_group_keeps_no_room_once_its_client_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (fields, settle) = (RecordFields::default(), Duration::from_secs(10));
    let settings = KafkaSettings { advertise: None, fields, settle };
    let kafka = Arc::new(Kafka::new(open_doors(None).await, settings, CancellationToken::new()));
    let serving = Arc::clone(&kafka);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection::run(Arc::clone(&serving), stream));
        }
    });
    let join = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(600_000)
        .with_rebalance_timeout_ms(600_000)
        .with_protocol_type("consumer".into())
        .with_protocols(vec![JoinGroupRequestProtocol::default().with_name("range".into())]);
    let mut member = Client::of(address).await;
    assert_eq!(member.call(5, join.clone()).await.error_code, 0);
    // Waits for the member to join again, which it does not.
    let mut other = Client::of(address).await;
    let mut body = BytesMut::new();
    let head = RequestHeader::default().with_request_api_key(JoinGroupRequest::KEY);
    head.with_request_api_version(5).encode(&mut body, 1).unwrap();
    join.encode(&mut body, 5).unwrap();
    other.send(&body).await;
    let all = FRAMES_KIB_MAX as u32;
    while kafka.frames.available_permits() == FRAMES_KIB_MAX {
        tokio::task::yield_now().await;
    }
    let waits = timeout(Duration::from_secs(1), kafka.frames.acquire_many(all)).await;
    assert!(waits.is_err(), "the request keeps its room while it is waited for");
    drop(other);
    let free = timeout(Duration::from_secs(10), kafka.frames.acquire_many(all)).await;
    assert!(free.is_ok(), "a request whose client is gone keeps its room");
}

#[tokio::test]
async fn a_partition_that_is_named_twice_is_asked_once() {
    let (address, _stop) = door(None).await;
    let mut client = Client::of(address).await;
    client.call(8, produce("logs", r#"{"message":"a"}"#)).await;
    let part = ListOffsetsPartition::default().with_timestamp(-2);
    let of = ListOffsetsTopic::default().with_name(topic("logs"));
    let of = of.with_partitions(vec![part.clone(), part]);
    let found = client.call(5, ListOffsetsRequest::default().with_topics(vec![of])).await;
    let codes: Vec<_> = found.topics[0].partitions.iter().map(|p| p.error_code).collect();
    assert_eq!(codes, [0, 42]);
    let part = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let of = FetchTopic::default().with_topic(topic("logs"));
    let of = of.with_partitions(vec![part.clone(), part]);
    let request = FetchRequest::default().with_topics(vec![of]).with_max_bytes(1 << 20);
    let found = client.call(11, request).await;
    let codes: Vec<_> = found.responses[0].partitions.iter().map(|p| p.error_code).collect();
    assert_eq!(codes, [0, 42]);
}

#[tokio::test]
async fn many_topics_are_looked_up_at_once() {
    let (address, _stop) = door(None).await;
    many_topics_are_found(address).await;
}

#[tokio::test]
async fn many_topics_are_looked_up_where_nothing_is_queried() {
    let doors = Doors { engine: None, ..doors(None).await };
    let doors = OpenDoors::new(doors, DoorSettings::default()).unwrap();
    let (address, _stop) = door_to(doors).await;
    many_topics_are_found(address).await;
}

async fn many_topics_are_found(address: SocketAddr) {
    let mut client = Client::of(address).await;
    client.call(8, produce("logs", r#"{"message":"a"}"#)).await;
    let names = (0..500).map(|n| StrBytes::from_string(format!("none-{n}")));
    let topics = names.chain([StrBytes::from_static_str("logs")]).map(|name| {
        metadata_request::MetadataRequestTopic::default().with_name(Some(TopicName(name)))
    });
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(Some(topics.collect()));
    let answer = client.call(8, request).await;
    let there: Vec<_> = answer.topics.iter().filter(|t| t.error_code == 0).collect();
    assert_eq!((answer.topics.len(), there.len()), (501, 1));
    assert_eq!(there[0].name.as_ref().map(|name| name.as_str()), Some("logs"));
}

#[tokio::test]
async fn producers_have_ids_of_their_own() {
    let (address, _stop) = door(None).await;
    let mut client = Client::of(address).await;
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let one = client.call(0, request.clone()).await.producer_id;
    let two = client.call(1, request).await.producer_id;
    assert!(one.0 >= 0 && two.0 >= 0 && one != two);
}

#[tokio::test]
async fn what_is_not_allowed_or_not_kafka_closes_the_connection() {
    let (address, _stop) = door(Some("s3cret")).await;
    let mut stranger = Client::of(address).await;
    let mut body = BytesMut::new();
    RequestHeader::default().with_request_api_key(3).encode(&mut body, 1).unwrap();
    MetadataRequest::default().encode(&mut body, 0).unwrap();
    stranger.send(&body).await;
    assert!(stranger.is_closed().await);
    // Only records come in larger requests than a MiB.
    let large = &[0, 0x10, 0, 1, 0, 3];
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 8], &[0, 0, 0, 2, 0, 99], large] {
        let mut client = Client::of(address).await;
        client.0.write_all(bytes).await.unwrap();
        assert!(client.is_closed().await, "{bytes:?}");
    }
}
