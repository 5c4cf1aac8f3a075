"""Records over HTTP: NDJSON and JSON arrays, and Elasticsearch's bulk API."""

from __future__ import annotations

import gzip
import json
import random
import urllib.parse

import zstandard
from client import Client

from . import mutate, seeds, trees
from .door import TOKEN, Door
from .http import HttpSession, head
from .inputs import Input, Problem
from .mutate import chance

_KEYS = ["k1", "k2", "a b", "", "x" * 255, "x" * 256, "\u00e4", "\x7f"]
_ENCODINGS = ["br", "gzip, zstd", "GZIP", "identity", "", "x-gzip", "zstd\x00"]


def packed(rng: random.Random, body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        half = rng.randrange(len(body) + 1) if chance(rng, 0.2) else len(body)
        # Members one after the other are one file.
        return b"".join(gzip.compress(part, 1, mtime=0) for part in (body[:half], body[half:]) if part or half)
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=1, write_checksum=chance(rng, 0.5)).compress(body)
    return body


def bomb(rng: random.Random, encoding: str) -> bytes:
    """Little that becomes more than a body may be."""
    line = rng.choice([b"\n", b"{}\n", b"x", b'{"a":1}\n', b"[", b'{"message":"bomb"}\n'])
    block = line * ((1 << 20) // len(line))
    if encoding == "gzip":
        return gzip.compress(block, 1, mtime=0) * rng.choice((70, 300))
    return zstandard.ZstdCompressor(level=1).compress(block) * rng.choice((70, 300))


def name(rng: random.Random) -> str:
    """Of a table; seldom an odd one, since some of those are made."""
    if chance(rng, 0.03):
        return urllib.parse.quote(mutate.text(rng)[:300].encode("utf-8", "surrogatepass"), safe="")
    return rng.choice(seeds.TABLES)


def text_of(rng: random.Random, records: list, valid: bool) -> bytes:
    dress = None if valid else rng
    lines = [trees.dumps(record, dress) for record in records]
    kind = rng.random()
    if kind < 0.15 and records:
        return b"[" + rng.choice((b",", b",\n", b" , ")).join(lines) + b"]"
    return b"".join(line + rng.choice((b"\n", b"\n", b"\n", b"\r\n", b"\n\n")) for line in lines)


class Records(Door):
    """What NDJSON and `_bulk` share."""

    def session(self, lake) -> HttpSession:
        return HttpSession(lake)

    def prepare(self, lake):
        seeds.prepare(lake)

    def content(self, rng: random.Random, valid: bool) -> bytes:
        raise NotImplementedError

    def target(self, rng: random.Random) -> str:
        raise NotImplementedError

    def make(self, rng: random.Random) -> Input:
        valid = chance(rng, 0.03)
        encoding = rng.choice(("", "", "", "gzip", "zstd"))
        slow = not valid and bool(encoding) and chance(rng, 0.002)
        if slow:
            body, how = bomb(rng, encoding), f"a bomb of {encoding}"
        else:
            body, how = self.content(rng, valid), "changed records"
            if not valid and chance(rng, 0.3):
                body, how = mutate.bytes_(rng, body), f"{how}, changed bytes"
            body = packed(rng, body, encoding)
            if not valid and encoding and chance(rng, 0.4):
                body, how = mutate.bytes_(rng, body), f"{how}, changed bytes of {encoding}"
        target = self.target(random.Random(0) if valid else rng)
        method = rng.choice(("POST", "POST", "PUT"))
        headers = self._headers(rng, encoding, valid)
        return Input([head(method, target, headers), body], how, valid, slow)

    def _headers(self, rng, encoding: str, valid: bool) -> dict[str, str]:
        headers = {"Content-Type": "application/x-ndjson"}
        if encoding:
            headers["Content-Encoding"] = encoding
        if chance(rng, 0.1):
            headers["Transfer-Encoding"] = "chunked"
        if valid:
            return headers
        if chance(rng, 0.01):
            headers["Content-Encoding"] = rng.choice(_ENCODINGS)
        if chance(rng, 0.08):
            headers["Idempotency-Key"] = rng.choice([*_KEYS, f"k{rng.getrandbits(40)}"])
        if chance(rng, 0.05):
            headers["Content-Type"] = rng.choice(("application/json", "text/plain", "x", "", "application/vnd.elasticsearch+json; compatible-with=9"))
        return headers


class Ndjson(Records):
    name = "ndjson"

    def target(self, rng):
        return f"/api/v1/ingest/{name(rng)}"

    def content(self, rng, valid):
        records = [seeds.record(rng) for _ in range(rng.choice((0, 1, 1, 2, 3, 8, 40)))]
        if not valid:
            records = trees.change(rng, records)
        return text_of(rng, records if isinstance(records, list) else [records], valid)

    def check(self, lake):
        answer = Client(lake.url, TOKEN).ingest("checked", [{"n": 1}, {"n": 2}], "zstd")
        if answer.status != 200 or answer.json()["stored"] != 2:
            raise Problem(f"two records: {answer.status} {answer.body!r}")


class Bulk(Records):
    name = "bulk"

    def target(self, rng):
        target = "/_bulk" if chance(rng, 0.5) else f"/{name(rng)}/_bulk"
        if chance(rng, 0.2):
            target += rng.choice(("?refresh=true", "?pipeline=x", "?filter_path=items.*.error", "?pretty", "?%zz", "?_source=%00&a=b", "?" + "a=b&" * 500))
        return target

    def content(self, rng, valid):
        lines = []
        for _ in range(rng.choice((0, 1, 1, 2, 3, 8, 40))):
            action = "create" if valid else rng.choice(("create", "create", "index", "index", "delete", "update"))
            options = {"_index": rng.choice(seeds.TABLES)}
            if chance(rng, 0.2):
                options |= {"_id": rng.choice(("1", "x" * 600, "\u00e4", 7))} if not valid else {"_id": "1"}
            lines.append({action: options})
            if action != "delete":
                lines.append(seeds.record(rng))
        if not valid:
            lines = trees.change(rng, lines)
        lines = lines if isinstance(lines, list) else [lines]
        dress = None if valid else rng
        # A body without a line is none.
        return b"".join(trees.dumps(line, dress) + b"\n" for line in lines) or json.dumps({"create": {"_index": "logs"}}).encode() + b"\n{}\n"
