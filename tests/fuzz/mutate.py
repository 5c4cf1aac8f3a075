"""What a fuzzer does to bytes and to single values: bits, cuts, doubled and swapped parts, numbers at the edges."""

from __future__ import annotations

import random
import struct

# A doubled part that is doubled again does not grow without end.
_BYTES_MAX = 1 << 20
_POWERS = (7, 8, 15, 16, 24, 31, 32, 53, 62, 63)
NUMBERS = [0, 1, 2, 3, -1, -2, 10, 64, 100, 1_000, 65_537, 100_000, 1_000_000, 10**9]
NUMBERS += [sign * (2**power + off) for power in _POWERS for off in (-1, 0, 1) for sign in (1, -1)]

NOT_UTF8 = [b"\xff", b"\xfe\xff", b"\xc3", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"]
TEXTS = [
    "", " ", "\0", "a\0b", "\n", "\r\n", "'", '"', "\\", "`", "/", "../..", ".", "..", "_", "-", "*", "%", "%s%n", "$1",
    "null", "true", "NaN", "-0", "1e999", "0x10", "\u00e4", "\u0130", "\u1e9e", "\u200b", "\u202e", "\ufeff", "\ufffd", "\U0001f600", "\U0010ffff",
    "e\u0301" * 20, "\u0130" * 40, "now()", "{}", "[]", "{", "a.b", "a..b", ".a", "a.", "@timestamp", "timestamp", "attributes", "date", "hour",
    "nanos", "_id", "2026-11-01T13:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:60Z", "2262-04-11T23:47:16.854775807Z",
    "2026-02-30", "1793538000", "1793538000123456789", "-1", "99999999999999999999", "0.1", "x" * 300, "\u00e4" * 200,
]  # fmt: skip


def chance(rng: random.Random, of_one: float) -> bool:
    return rng.random() < of_one


def number(rng: random.Random) -> int:
    if chance(rng, 0.2):
        return rng.getrandbits(rng.choice((8, 16, 32, 64))) - rng.choice((0, 2**31))
    return rng.choice(NUMBERS)


def text(rng: random.Random) -> str:
    """Seldom a long one."""
    if chance(rng, 0.03):
        return rng.choice(TEXTS[10:40]) * rng.choice((100, 5_000, 40_000))
    if chance(rng, 0.15):
        return "".join(chr(rng.randrange(1, 0xD800)) for _ in range(rng.randrange(1, 12)))
    return rng.choice(TEXTS)


def some_bytes(rng: random.Random) -> bytes:
    if chance(rng, 0.4):
        return text(rng).encode()
    if chance(rng, 0.4):
        return rng.choice(NOT_UTF8)
    return rng.randbytes(rng.randrange(1, 20))


def _flip(rng, data):
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)


def _set(rng, data):
    data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x7B, 0x5B, 0x0A, rng.randrange(256)))


def _write_number(rng, data):
    form = rng.choice((">h", ">i", ">q", "<h", "<i", "<q"))
    size = struct.calcsize(form)
    value = (number(rng) % 256**size).to_bytes(size, "big" if form[0] == ">" else "little")
    at = rng.randrange(len(data))
    data[at : at + size] = value


def _part(rng, data) -> tuple[int, int]:
    at = rng.randrange(len(data))
    return at, min(len(data), at + rng.choice((1, 2, 4, 8, 16, 64, len(data))))


def _insert(rng, data):
    at = rng.randrange(len(data) + 1)
    data[at:at] = some_bytes(rng)


def _delete(rng, data):
    at, end = _part(rng, data)
    del data[at:end]


def _double(rng, data):
    at, end = _part(rng, data)
    times = rng.choice((1, 1, 2, 10, 100))
    data[at:at] = data[at:end] * min(times, _BYTES_MAX // (end - at))


def _move(rng, data):
    at, end = _part(rng, data)
    part = bytes(data[at:end])
    del data[at:end]
    to = rng.randrange(len(data) + 1)
    data[to:to] = part


def _cut(rng, data):
    del data[rng.randrange(len(data)) :]


_WAYS = (_flip, _flip, _flip, _set, _set, _write_number, _write_number, _insert, _delete, _double, _move, _cut)


def bytes_(rng: random.Random, data: bytes, times: int | None = None) -> bytes:
    """The bytes with a few changes."""
    data = bytearray(data)
    for _ in range(times or rng.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            data += some_bytes(rng)
        elif len(data) < _BYTES_MAX:
            rng.choice(_WAYS)(rng, data)
    return bytes(data)
