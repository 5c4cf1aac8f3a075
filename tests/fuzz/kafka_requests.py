"""Kafka's requests in every version that the server speaks ("Protocol Messages" of Kafka's protocol guide), by hand."""

from __future__ import annotations

import random

from . import seeds
from .fields import Fields
from .mutate import chance

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = 0, 1, 2, 3, 8, 9, 10
JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP, SASL_HANDSHAKE, API_VERSIONS = 11, 12, 13, 14, 17, 18
INIT_PRODUCER_ID, SASL_AUTHENTICATE = 22, 36

# Stands for the name that the server gives to a member, and is as long.
MEMBER = "member-" + "0" * 32
TOPICS = ["logs", "shop", "a.b_c", "audit-2026"]
# Those that nobody has written to are answered quickly.
_READ = ["logs", "nowhere", "nothing", "nobody"]
_PROTOCOLS = ["range", "roundrobin", "cooperative-sticky"]


def head(key: int, version: int, correlation: int) -> Fields:
    return Fields().i16(key).i16(version).i32(correlation).text("fuzz")


def _topics(rng: random.Random, partition, names=TOPICS) -> list[Fields]:
    """One topic or two, with a partition each, mostly."""
    count = rng.choice((1, 1, 1, 2))
    return [Fields().text(name).array([partition()]) for name in rng.sample(names, count)]


def produce(rng, version, records: bytes | Fields) -> Fields:
    acks = rng.choice((-1, 1, 1, 0)) if chance(rng, 0.3) else -1
    topics = _topics(rng, lambda: Fields().i32(0).data(records))
    return Fields().text(None).i16(acks).i32(30_000).array(topics)


def _offset(rng) -> int:
    second = seeds.BEGIN + rng.randrange(seeds.ROWS * 5)
    return rng.choice((0, -1, second * 10**9, second * 10**9 + rng.randrange(3)))


def fetch(rng, version) -> Fields:
    def partition():
        fields = Fields().i32(0)
        if version >= 9:
            fields.i32(-1)
        fields.i64(_offset(rng))
        if version >= 5:
            fields.i64(-1)
        return fields.i32(rng.choice((1, 4_096, 1 << 20)))

    fields = Fields().i32(-1).i32(rng.choice((0, 0, 5))).i32(1).i32(1 << 20).i8(rng.choice((0, 1)))
    if version >= 7:
        fields.i32(0).i32(-1)
    fields.array(_topics(rng, partition, _READ))
    if version >= 7:
        fields.array([])
    return fields.text("") if version >= 11 else fields


def list_offsets(rng, version) -> Fields:
    def partition():
        fields = Fields().i32(0)
        if version >= 4:
            fields.i32(-1)
        millis = (seeds.BEGIN + rng.randrange(seeds.ROWS * 5)) * 1_000
        return fields.i64(rng.choice((-1, -2, 0, millis)))

    fields = Fields().i32(-1)
    if version >= 2:
        fields.i8(0)
    return fields.array(_topics(rng, partition, _READ))


def metadata(rng, version) -> Fields:
    topics = [Fields().text(name) for name in rng.sample(TOPICS, rng.randrange(3))]
    fields = Fields().array(topics if topics or version == 0 else rng.choice((None, topics)))
    if version >= 4:
        fields.i8(rng.choice((0, 1)))
    return fields.i8(1).i8(1) if version >= 8 else fields


def offset_commit(rng, version, group: str, generation: int, member: str) -> Fields:
    def partition():
        fields = Fields().i32(0).i64(_offset(rng))
        if version >= 6:
            fields.i32(-1)
        return fields.text(rng.choice(("", None, "note")))

    fields = Fields().text(group).i32(generation).text(member)
    if version >= 7:
        fields.text(None)
    if version <= 4:
        fields.i64(-1)
    return fields.array(_topics(rng, partition))


def offset_fetch(rng, version, group: str) -> Fields:
    all_ = version >= 2 and chance(rng, 0.3)
    topics = [Fields().text(name).array([Fields().i32(0)]) for name in TOPICS[:2]]
    return Fields().text(group).array(None if all_ else topics)


def find_coordinator(rng, version, group: str) -> Fields:
    fields = Fields().text(group)
    return fields.i8(0) if version >= 1 else fields


def join_group(rng, version, group: str, member: str) -> Fields:
    fields = Fields().text(group).i32(6_000)
    if version >= 1:
        fields.i32(3_000)
    fields.text(member)
    if version >= 5:
        fields.text(rng.choice((None, "static-1")))
    subscription = Fields().i16(1).array([Fields().text(name) for name in TOPICS[:2]]).data(b"")
    names = rng.sample(_PROTOCOLS, rng.randrange(1, 3))
    return fields.text("consumer").array([Fields().text(name).data(subscription) for name in names])


def sync_group(rng, version, group: str, generation: int, member: str) -> Fields:
    fields = Fields().text(group).i32(generation).text(member)
    if version >= 3:
        fields.text(None)
    assignment = Fields().i16(1).array([Fields().text("logs").array([Fields().i32(0)])]).data(b"")
    return fields.array([Fields().text(member).data(assignment)])


def heartbeat(rng, version, group: str, generation: int, member: str) -> Fields:
    fields = Fields().text(group).i32(generation).text(member)
    return fields.text(None) if version >= 3 else fields


def leave_group(rng, version, group: str, member: str) -> Fields:
    if version < 3:
        return Fields().text(group).text(member)
    return Fields().text(group).array([Fields().text(member).text(None)])


def api_versions(rng, version) -> Fields:
    if version < 3:
        return Fields()
    # Compact strings, whose lengths are one more, and no tags.
    return Fields().raw(b"\0\x05fuzz\x021\0")


def init_producer_id(rng, version) -> Fields:
    return Fields().text(None).i32(60_000)


def sasl_handshake(mechanism: str) -> Fields:
    return Fields().text(mechanism)


def sasl_authenticate(content: bytes) -> Fields:
    return Fields().data(content)
