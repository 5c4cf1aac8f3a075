"""Kafka's door: requests one after the other on connections, and payloads and batches in Produce."""

from __future__ import annotations

import struct

from . import kafka_batches as batches
from . import kafka_requests as kafka
from . import mutate, seeds
from .door import TOKEN, Door
from .fields import Fields, change
from .inputs import Input
from .kafka_requests import MEMBER, head
from .kafka_session import KafkaSession, frame
from .mutate import chance


class KafkaDoor(Door):
    suspects = 100

    def prepare(self, lake):
        seeds.prepare(lake)

    def session(self, lake) -> KafkaSession:
        return KafkaSession(lake)


class Requests(KafkaDoor):
    """All requests but the batches in Produce."""

    name = "kafka"

    def make(self, rng):
        valid = chance(rng, 0.03)
        kind = rng.random()
        if kind < 0.12:
            how, bodies = _stranger(rng)
        elif kind < 0.4:
            how, bodies = _membership(rng)
        else:
            how, bodies = _single(rng)
        if valid and not how.startswith("stranger"):
            return Input([frame(body.bytes()) for body in bodies], how, valid=True)
        parts = [frame(_changed(rng, body) if chance(rng, 0.6) else body.bytes()) for body in bodies]
        if chance(rng, 0.06):
            at = rng.randrange(len(parts))
            parts[at:] = [_of_wrong_length(rng, parts[at])]
            how += ", wrong length"
        return Input(parts, how)


def _changed(rng, body: Fields) -> bytes:
    kind = rng.random()
    if kind < 0.7:
        return change(rng, body).bytes()
    if kind < 0.8:
        return mutate.bytes_(rng, change(rng, body).bytes())
    return mutate.bytes_(rng, body.bytes())


def _of_wrong_length(rng, part: bytes) -> bytes:
    if chance(rng, 0.3):
        return part[: rng.randrange(len(part))]
    return struct.pack(">I", mutate.number(rng) % 2**32) + part[4:]


def _request(rng, key: int, first: int, last: int, make, *more) -> Fields:
    version = rng.randint(first, last)
    return Fields([*head(key, version, rng.randrange(1, 2**31)), *make(rng, version, *more)])


def _single(rng) -> tuple[str, list[Fields]]:
    def produce(rng, version):
        return kafka.produce(rng, version, batches.valid(rng, [batches.payload(rng)]))

    # Those that run a query are seldom: a query takes as long as a hundred others.
    one, *_ = rng.choices(
        (
            ("produce", kafka.PRODUCE, 3, 8, produce),
            ("fetch", kafka.FETCH, 4, 11, kafka.fetch),
            ("list offsets", kafka.LIST_OFFSETS, 1, 5, kafka.list_offsets),
            ("metadata", kafka.METADATA, 0, 8, kafka.metadata),
            ("api versions", kafka.API_VERSIONS, 0, 3, kafka.api_versions),
            ("init producer id", kafka.INIT_PRODUCER_ID, 0, 1, kafka.init_producer_id),
            ("offset fetch", kafka.OFFSET_FETCH, 1, 5, kafka.offset_fetch, "group"),
            ("offset commit", kafka.OFFSET_COMMIT, 2, 7, kafka.offset_commit, "group", -1, ""),
            ("find coordinator", kafka.FIND_COORDINATOR, 0, 2, kafka.find_coordinator, "group"),
        ),
        (4, 2, 1, 3, 2, 2, 1, 3, 2),
    )
    return one[0], [_request(rng, *one[1:])]


def _membership(rng) -> tuple[str, list[Fields]]:
    """What a member of a group of its own says until it leaves."""
    group = f"g{rng.getrandbits(40)}"
    said = [
        _request(rng, kafka.FIND_COORDINATOR, 0, 2, kafka.find_coordinator, group),
        _request(rng, kafka.JOIN_GROUP, 0, 5, kafka.join_group, group, ""),
        _request(rng, kafka.SYNC_GROUP, 0, 3, kafka.sync_group, group, 1, MEMBER),
        _request(rng, kafka.OFFSET_FETCH, 1, 5, kafka.offset_fetch, group),
        _request(rng, kafka.OFFSET_COMMIT, 2, 7, kafka.offset_commit, group, 1, MEMBER),
        _request(rng, kafka.HEARTBEAT, 0, 3, kafka.heartbeat, group, 1, MEMBER),
        _request(rng, kafka.JOIN_GROUP, 0, 5, kafka.join_group, group, MEMBER),
        _request(rng, kafka.SYNC_GROUP, 0, 3, kafka.sync_group, group, 2, MEMBER),
        _request(rng, kafka.LEAVE_GROUP, 0, 3, kafka.leave_group, group, MEMBER),
    ]
    # Who joins first waits half a second for others: some only pretend to have joined.
    if chance(rng, 0.9):
        said = rng.sample([said[0], *said[2:6], *said[7:]], rng.randrange(1, 4))
    return "membership", said


def _stranger(rng) -> tuple[str, list[Fields]]:
    """Who has not shown the token yet."""
    mechanism = rng.choice(("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"))
    version = rng.choice((0, 1, 1))
    handshake = Fields([*head(kafka.SASL_HANDSHAKE, version, 5), *kafka.sasl_handshake(mechanism)])
    if mechanism == "PLAIN":
        pieces = [b"\0fuzz\0" + TOKEN.encode()]
    else:
        pieces = [b"n,,n=fuzz,r=abcdef", b"c=biws,r=NONCE,p=" + b"QUJD" * 10 + b"QQ=="]
    if version == 0:
        said = [Fields().raw(piece) for piece in pieces]
    else:
        said = [
            Fields([*head(kafka.SASL_AUTHENTICATE, rng.choice((0, 1)), n), *kafka.sasl_authenticate(piece)])
            for n, piece in enumerate(pieces)
        ]
    before = [Fields([*head(kafka.API_VERSIONS, 0, 4)])] if chance(rng, 0.3) else []
    after = [_request(rng, kafka.METADATA, 0, 8, kafka.metadata)] if chance(rng, 0.5) else []
    return f"stranger with {mechanism}", [*before, handshake, *said, *after]


class Batches(KafkaDoor):
    """Record batches, their checksums right in half of the cases and more."""

    name = "kafka-records"

    def make(self, rng):
        valid = chance(rng, 0.03)
        if valid:
            records, how = batches.valid(rng, [batches.payload(rng)]), "a batch"
        else:
            records, how = batches.changed(rng)
        body = _request(rng, kafka.PRODUCE, 3, 8, lambda rng, version: kafka.produce(rng, version, records))
        return Input([frame(body.bytes())], how, valid)


_LINES = [
    "<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed",
    "Nov  1 12:00:00 web-1 kernel: [    0.1] Linux version 6",
    "2026-11-01T13:00:00.000000+01:00 web-1 sshd[12]: Accepted publickey for root from 10.0.0.1 port 22",
    "Nov  1 2025 12:00:00 fw %ASA-6: built",
    '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [ex@32473 iut="3" say="a \\"b\\" \\\\ \\]"][empty] \ufeffAn event',
    "<0>1 - - - - - -",
    '203.0.113.7 - frank [01/Nov/2026:13:55:36 +0100] "GET /a b?q=\\"x\\" HTTP/1.1" 503 2326 "https://example.com/start" "Mozilla/5.0" rt=0.1',
    '::1 - - [29/Feb/2024:23:59:60 -1200] "-" 400 0 "-" "-"',
    'time=2026-11-01T13:00:00Z level=error msg="no stock" sku=17 took=1.5ms a.b=c empty= "x"=1',
    "2026-11-01 13:00:00 status installed libc6:amd64 2.41-1",
    "2026-11-01 13:00:00,123 ERROR [main] com.example.Shop - no stock",
    "E1101 13:00:00.123456 17 main.go:17] no stock",
    "[2026-11-01 13:00:00.123] [error] 17#0: *1 open() failed",
    "panic: runtime error\n\tmain.go:17",
    "\tat com.example.Shop.main(Shop.java:17)",
]  # fmt: skip


class Lines(KafkaDoor):
    """Lines of text (syslog, access logs, logfmt, …) as a shipper's payloads: so they come in, there is no port
    for them."""

    name = "syslog"

    def make(self, rng):
        valid = chance(rng, 0.03)
        lines = [rng.choice(_LINES)] * rng.choice((1, 1, 1, 5))
        lines += rng.sample(_LINES, rng.randrange(4))
        payloads = [line.encode() for line in lines]
        if not valid:
            payloads = [mutate.bytes_(rng, p) if chance(rng, 0.8) else p for p in payloads]
        records = batches.valid(rng, payloads)
        body = _request(rng, kafka.PRODUCE, 3, 8, lambda rng, version: kafka.produce(rng, version, records))
        return Input([frame(body.bytes())], "lines of text", valid)
