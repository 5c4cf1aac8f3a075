"""Codes of errors in Kafka's answers, as far as they tell a defect of the server."""

from __future__ import annotations

import struct

from . import kafka_requests as kafka

UNKNOWN_SERVER_ERROR = -1


class _Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def skip(self, count: int):
        self.at += count

    def text(self):
        self.skip(max(0, self.number(">h")))

    def array(self, element) -> list:
        return [element() for _ in range(self.number(">i"))]


def codes(key: int, version: int, body: bytes) -> list[int]:
    """Those of an answer's partitions, or the one of all of it."""
    reader = _Reader(body)
    if key == kafka.PRODUCE:
        return _topics(reader, lambda: _of_produce(reader, version))
    if key == kafka.LIST_OFFSETS:
        reader.skip(4 if version >= 2 else 0)
        return _topics(reader, lambda: _of_partition(reader, 20 if version >= 4 else 16))
    if key == kafka.OFFSET_COMMIT:
        reader.skip(4 if version >= 3 else 0)
        return _topics(reader, lambda: _of_partition(reader, 0))
    if key == kafka.FETCH:
        reader.skip(10 if version >= 7 else 4)
        return _topics(reader, lambda: _of_fetch(reader, version))
    if key in (kafka.JOIN_GROUP, kafka.SYNC_GROUP, kafka.HEARTBEAT, kafka.LEAVE_GROUP):
        first = 2 if key == kafka.JOIN_GROUP else 1
        reader.skip(4 if version >= first else 0)
        return [reader.number(">h")]
    if key == kafka.INIT_PRODUCER_ID:
        reader.skip(4)
        return [reader.number(">h")]
    return []


def _topics(reader: _Reader, partition) -> list[int]:
    found = []

    def topic():
        reader.text()
        found.extend(reader.array(partition))

    reader.array(topic)
    return found


def _of_partition(reader: _Reader, rest: int) -> int:
    reader.skip(4)
    code = reader.number(">h")
    reader.skip(rest)
    return code


def _of_produce(reader: _Reader, version: int) -> int:
    code = _of_partition(reader, 24 if version >= 5 else 16)
    if version >= 8:
        reader.array(lambda: (reader.skip(4), reader.text()))
        reader.text()
    return code


def _of_fetch(reader: _Reader, version: int) -> int:
    code = _of_partition(reader, 24 if version >= 5 else 16)
    reader.array(lambda: reader.skip(16))
    reader.skip(4 if version >= 11 else 0)
    reader.skip(max(0, reader.number(">i")))
    return code
