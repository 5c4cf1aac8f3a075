"""Kafka's record batches ("Message Format", magic 2), packed by each codec, with checksums that may be repaired."""

from __future__ import annotations

import gzip
import json
import random
import struct

import pyarrow
import zstandard

from . import mutate, seeds
from .fields import Fields, change, uvarint
from .mutate import chance

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
# Where the length, the checksum and what it covers begin.
_LENGTH_AT, _CRC_AT, _CHECKED_AT, _RECORDS_AT = 8, 17, 21, 61
_SNAPPY_STREAM = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC32C = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def payload(rng: random.Random) -> bytes | None:
    kind = rng.random()
    if kind < 0.6:
        return json.dumps(seeds.record(rng), indent=rng.choice((None, None, None, None, 1))).encode()
    if kind < 0.9:
        return seeds.message(rng).encode()
    return rng.choice((None, b"", b"\xff\xfe", b"{", b"{}", b"[]"))


def record(rng: random.Random, number: int, value: bytes | None) -> Fields:
    fields = Fields().i8(0).varint(rng.choice((0, number, 1_000))).varint(number)
    fields.var_data(rng.choice((None, b"key", b"\xff"))).var_data(value)
    headers = [(b"trace", b"abc"), (b"bin", b"\xff"), (b"none", None)][: rng.choice((0, 0, 1, 3))]
    fields.varint(len(headers))
    for name, content in headers:
        fields.var_data(name).var_data(content)
    return Fields().var_data(fields)


def pack(rng: random.Random, codec: int, plain: bytes) -> bytes:
    if codec == GZIP:
        return gzip.compress(plain, 1, mtime=0)
    if codec == SNAPPY:
        return _snappy(rng, plain)
    if codec == LZ4:
        return pyarrow.compress(plain, codec="lz4", asbytes=True)
    if codec == ZSTD:
        return zstandard.ZstdCompressor(level=1).compress(plain)
    return plain


def _snappy(rng, plain: bytes) -> bytes:
    """One block, as librdkafka writes it, or a stream of them, as Java does."""
    if chance(rng, 0.5):
        return pyarrow.compress(plain, codec="snappy", asbytes=True)
    blocks = [pyarrow.compress(plain[at : at + 200], codec="snappy", asbytes=True) for at in range(0, len(plain), 200)]
    return _SNAPPY_STREAM + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


def bomb(rng: random.Random, codec: int) -> bytes:
    """Packed bytes that say they are, or become, more than a request may be."""
    zeros = bytes(1 << 20)
    if codec == GZIP:
        return gzip.compress(zeros, 1, mtime=0) * 80
    if codec == SNAPPY:
        return uvarint(rng.choice((2**32 - 1, 2**31, 65 << 20, 60 << 20))) + b"\xfe\0\0" * 10
    if codec == LZ4:
        return pyarrow.compress(zeros, codec="lz4", asbytes=True) * 80
    if codec == ZSTD:
        return zstandard.ZstdCompressor(level=1).compress(zeros) * 80
    return zeros


def header(rng: random.Random, codec: int, count: int, packed: bytes, numbered: bool) -> Fields:
    millis = (seeds.BEGIN + rng.randrange(3_000)) * 1_000
    producer = (rng.randrange(4), 0, rng.choice((0, count, 7))) if numbered else (-1, -1, -1)
    length = _RECORDS_AT - 12 + len(packed)
    fields = Fields().i64(0).i32(length).i32(-1).i8(2).i32(0)
    fields.i16(codec).i32(count - 1).i64(millis).i64(millis + 1_000)
    return fields.i64(producer[0]).i16(producer[1]).i32(producer[2]).i32(count).raw(packed)


def repaired(batch: bytes, length: bool = False) -> bytes:
    """With the checksum that it should have, and maybe the length."""
    if len(batch) < _CHECKED_AT:
        return batch
    if length:
        batch = batch[:_LENGTH_AT] + struct.pack(">i", len(batch) - 12) + batch[12:]
    end = struct.unpack_from(">i", batch, _LENGTH_AT)[0] + 12
    checked = batch[_CHECKED_AT : end if _CHECKED_AT < end <= len(batch) else len(batch)]
    return batch[:_CRC_AT] + struct.pack(">I", crc32c(checked)) + batch[_CHECKED_AT:]


def valid(rng: random.Random, payloads: list[bytes | None]) -> bytes:
    """A batch that nothing was done to."""
    codec = rng.randrange(5)
    plain = b"".join(record(rng, n, value).bytes() for n, value in enumerate(payloads))
    return repaired(header(rng, codec, len(payloads), pack(rng, codec, plain), numbered=False).bytes())


def changed(rng: random.Random) -> tuple[bytes, str]:
    """A batch with changes at one of its layers, and what they are."""
    codec, count = rng.randrange(5), rng.choice((1, 1, 2, 3, 10))
    records = Fields()
    for number in range(count):
        records += record(rng, number, payload(rng))
    layer = rng.choice(("records", "records", "plain", "packed", "packed", "header", "header", "batch", "bomb"))
    if layer == "records":
        change(rng, records)
    plain = records.bytes()
    plain = mutate.bytes_(rng, plain) if layer == "plain" else plain
    packed = pack(rng, codec, plain)
    packed = mutate.bytes_(rng, packed) if layer == "packed" else packed
    if layer == "bomb" and chance(rng, 0.02):
        packed = bomb(rng, codec)
    return _wrapped(rng, codec, count, packed, layer)


def _wrapped(rng, codec: int, count: int, packed: bytes, layer: str) -> tuple[bytes, str]:
    fields = header(rng, codec, count, packed, chance(rng, 0.2))
    if layer == "header":
        change(rng, fields)
    batch = fields.bytes()
    if layer == "batch":
        batch = mutate.bytes_(rng, batch)
    how = f"{layer} of codec {codec}"
    if layer not in ("header", "batch") or chance(rng, 0.5):
        batch, how = repaired(batch, length=chance(rng, 0.5)), f"{how}, checksum repaired"
    if chance(rng, 0.05):
        batch, how = batch * rng.choice((2, 3, 50)), f"{how}, several"
    return batch, how
