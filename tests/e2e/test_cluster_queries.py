"""A querier and an ingester in processes of their own: acknowledged means visible from elsewhere."""

from __future__ import annotations

import time

import pytest
from client import Client


class Pair:
    """An ingester and a querier over one bucket."""

    def __init__(self, make_lake, **options):
        self.ingester = make_lake("minio", args=["--roles", "ingest"], **options)
        self.querier = make_lake(beside=self.ingester, args=["--roles", "query"], **options)

    @property
    def write(self) -> Client:
        return self.ingester.client

    @property
    def read(self) -> Client:
        return self.querier.client


@pytest.fixture
def pair(make_lake):
    return Pair(make_lake)


def requests_to_peers(pair) -> bool:
    """Whether the querier knows the ingester's writer as a member's."""
    rows = pair.read.sql("SELECT count(*) AS n FROM lake.members WHERE writer IS NOT NULL")
    return rows[0]["n"] == 1


def test_a_query_elsewhere_sees_the_record_at_once(pair):
    assert requests_to_peers(pair)
    for number in range(100):
        assert pair.write.store("near", [{"message": "now", "number": number}]) == 1
        seen = pair.read.value(f"SELECT count(*) FROM near WHERE number = {number}")
        assert seen == 1, f"record {number} is {seen} times there after its acknowledgement"
        if number % 30 == 15:
            pair.write.flush()
    row = pair.read.sql("SELECT count(*) AS n, count(DISTINCT number) AS d FROM near")[0]
    assert row == {"n": 100, "d": 100}


def test_also_when_the_ingester_hangs(pair):
    for number in range(20):
        pair.write.store("frozen", [{"message": "now", "number": number}])
    assert pair.read.value("SELECT count(*) FROM frozen") == 20
    pair.ingester.pause()
    try:
        for _ in range(5):
            begun = time.monotonic()
            assert pair.read.value("SELECT count(*) FROM frozen") == 20
            assert time.monotonic() - begun < 5
    finally:
        pair.ingester.resume()
    assert pair.read.value("SELECT count(*) FROM frozen") == 20


def test_also_when_the_ingester_is_killed_and_comes_back(pair):
    pair.write.store("killed", [{"message": "now", "number": number} for number in range(20)])
    pair.ingester.kill9()
    assert pair.read.value("SELECT count(*) FROM killed") == 20
    pair.ingester.start()
    pair.write.store("killed", [{"message": "again", "number": 20}])
    assert pair.read.value("SELECT count(DISTINCT number) FROM killed") == 21
    assert pair.read.value("SELECT count(*) FROM killed") == 21


def test_behind_a_token(make_lake):
    pair = Pair(make_lake, token="s3cret")
    pair.write.store("guarded", [{"message": "now"}])
    assert pair.read.value("SELECT count(*) FROM guarded") == 1
