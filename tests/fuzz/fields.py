"""Messages of binary protocols (Kafka's, protobuf) as typed fields, so that a mutation can be of one field: its
value, its length, its place."""

from __future__ import annotations

import copy
import random
import struct
from dataclasses import dataclass

from . import mutate
from .mutate import chance

_SIZES = {"i8": 1, "i16": 2, "i32": 4, "i64": 8}
# Elements that one is repeated to, at most.
_REPEATED = (10, 100, 2_000, 20_000)


@dataclass
class Field:
    kind: str
    value: object
    # What it says its length or count is, where that is not so.
    claims: int | None = None
    # Of a field of protobuf.
    number: int = 0


class Fields(list):
    """A message that is being written."""

    def _add(self, kind: str, value, number: int = 0) -> Fields:
        self.append(Field(kind, value, number=number))
        return self

    def i8(self, value: int) -> Fields:
        return self._add("i8", value)

    def i16(self, value: int) -> Fields:
        return self._add("i16", value)

    def i32(self, value: int) -> Fields:
        return self._add("i32", value)

    def i64(self, value: int) -> Fields:
        return self._add("i64", value)

    def varint(self, value: int) -> Fields:
        return self._add("varint", value)

    def text(self, value: str | None) -> Fields:
        """After its length in two bytes; null has -1."""
        return self._add("text", value.encode() if value is not None else None)

    def data(self, value: bytes | Fields) -> Fields:
        """After its length in four bytes."""
        return self._add("data", value)

    def var_data(self, value: bytes | Fields | None) -> Fields:
        return self._add("var_data", value)

    def array(self, elements: list[Fields] | None) -> Fields:
        return self._add("array", elements)

    def raw(self, value: bytes) -> Fields:
        return self._add("raw", value)

    def pb(self, number: int, value: int | bool | float | str | bytes | Fields) -> Fields:
        """A field of protobuf, in the form that its value has."""
        return self._add("pb", value.encode() if isinstance(value, str) else value, number)

    def pb_fixed(self, number: int, value: int) -> Fields:
        return self._add("pb_fixed", value, number)

    def bytes(self) -> bytes:
        return b"".join(_encode(field) for field in self)


def uvarint(value: int) -> bytes:
    value %= 2**64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    return uvarint((value << 1) ^ (value >> 63))


def _content(value) -> bytes:
    if isinstance(value, Fields):
        return value.bytes()
    return value or b""


def _big(value: int, size: int) -> bytes:
    return (value % 256**size).to_bytes(size, "big")


def _encode(field: Field) -> bytes:
    kind, value = field.kind, field.value
    if kind in _SIZES:
        return _big(value, _SIZES[kind])
    if kind == "varint":
        return zigzag(value)
    if kind == "array":
        count = -1 if value is None else len(value)
        claimed = count if field.claims is None else field.claims
        return _big(claimed, 4) + b"".join(_content(element) for element in value or [])
    if kind.startswith("pb"):
        return _encode_pb(field)
    content = _content(value)
    length = -1 if value is None else len(content)
    length = length if field.claims is None else field.claims
    heads = {"text": lambda: _big(length, 2), "data": lambda: _big(length, 4), "var_data": lambda: zigzag(length)}
    return heads.get(kind, lambda: b"")() + content


def _encode_pb(field: Field) -> bytes:
    tag, value = field.number << 3, field.value
    if field.kind == "pb_fixed":
        return uvarint(tag | 1) + (value % 2**64).to_bytes(8, "little")
    if isinstance(value, float):
        return uvarint(tag | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return uvarint(tag) + uvarint(value)
    content = _content(value)
    length = len(content) if field.claims is None else field.claims
    return uvarint(tag | 2) + uvarint(length) + content


def _places(fields: Fields) -> list[tuple[list, int]]:
    """Every field of a message and of those in it, by the list that it is in."""
    places = []
    for at, field in enumerate(fields):
        places.append((fields, at))
        inner = field.value if isinstance(field.value, list) else []
        if isinstance(inner, Fields):
            places += _places(inner)
        else:
            for element in inner:
                places += _places(element)
    return places


def change(rng: random.Random, fields: Fields, times: int | None = None) -> Fields:
    """Changes a few fields where they stand."""
    for _ in range(times or rng.choice((1, 1, 1, 2, 4))):
        places = _places(fields)
        if not places:
            break
        owner, at = rng.choice(places)
        if chance(rng, 0.12):
            _change_place(rng, owner, at)
        else:
            _change_value(rng, owner[at])
    return fields


def _change_place(rng, owner: list, at: int):
    kind = rng.randrange(4)
    if kind == 0:
        del owner[at]
    elif kind == 1:
        owner.insert(at, copy.deepcopy(owner[at]))
    elif kind == 2:
        other = rng.randrange(len(owner))
        owner[at], owner[other] = owner[other], owner[at]
    else:
        owner[at].number = rng.choice((0, 1, 2, 3, 15, 16, 1_000, 2**29 - 1))


def _change_value(rng, field: Field):
    value = field.value
    if field.kind == "array":
        _change_array(rng, field)
    elif isinstance(value, float):
        field.value = rng.choice((0.0, -0.0, float("nan"), float("inf"), 1e308, 5e-324))
    elif isinstance(value, int):
        field.value = mutate.number(rng) if chance(rng, 0.8) else value + rng.choice((-1, 1))
    elif isinstance(value, Fields):
        if chance(rng, 0.5):
            field.claims = _length(rng, len(value.bytes()))
        else:
            field.value = mutate.bytes_(rng, value.bytes())
    elif chance(rng, 0.35):
        field.claims = _length(rng, len(value or b""))
    elif chance(rng, 0.15):
        field.value = None
    elif chance(rng, 0.5):
        field.value = mutate.bytes_(rng, value or b"")
    else:
        field.value = mutate.some_bytes(rng)


def _length(rng, length: int) -> int:
    return length + rng.choice((-1, 1, 2, -2)) if chance(rng, 0.4) else mutate.number(rng)


def _change_array(rng, field: Field):
    elements = field.value
    if not elements or chance(rng, 0.3):
        field.claims = _length(rng, len(elements or []))
    elif chance(rng, 0.2):
        field.value = None
    elif chance(rng, 0.3):
        del elements[rng.randrange(len(elements))]
    elif chance(rng, 0.2):
        # Seldom very many: each may cost the server a query.
        most = rng.choices(_REPEATED, (100, 30, 4, 1))[0]
        field.value = [rng.choice(elements)] * most
    else:
        elements.append(copy.deepcopy(rng.choice(elements)))
