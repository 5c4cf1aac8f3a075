"""A querier and an ingester in processes of their own: acknowledged means visible from elsewhere."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from client import Client, until


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


def test_a_query_elsewhere_sees_the_record_at_once(pair):
    # Known as a member, the ingester is asked itself.
    assert pair.read.value("SELECT count(*) FROM lake.members WHERE writer IS NOT NULL") == 1
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


class Cluster:
    """An ingester and queriers that spread every query."""

    def __init__(self, make_lake, queriers: int):
        self.ingester = make_lake("minio", args=["--roles", "ingest"])
        env = {**self.ingester.env, "LOGLAKE_QUERY_SPREAD_BYTES_MIN": "0"}
        self.queriers = [
            make_lake(beside=self.ingester, args=["--roles", "query"], env=env)
            for _ in range(queriers)
        ]
        until(lambda: self._members() == queriers + 1, "all are members")

    def _members(self) -> int:
        return self.queriers[0].client.value("SELECT count(*) FROM lake.members")

    def fill(self, table: str, files: int, rows: int):
        """`files` flushes of `rows` records, and as many that are not flushed."""
        for file in range(files + 1):
            records = [
                {"service": f"s{n % 7}", "message": f"message {n} of {file}", "n": file * rows + n}
                for n in range(rows)
            ]
            self.ingester.client.store(table, records)
            if file < files:
                self.ingester.client.flush()


SHARED = "SELECT service, count(*) AS c, sum(n) AS s FROM {} GROUP BY service ORDER BY service"


def test_queriers_share_a_query_and_answer_alike(make_lake):
    cluster = Cluster(make_lake, 2)
    cluster.fill("shared", files=6, rows=500)
    plan = cluster.queriers[0].client.sql("EXPLAIN ANALYZE " + SHARED.format("shared"))
    assert "Network" in str(plan)
    answers = [querier.client.sql(SHARED.format("shared")) for querier in cluster.queriers]
    assert answers[0] == answers[1]
    assert sum(row["c"] for row in answers[0]) == 7 * 500
    assert sum(row["s"] for row in answers[0]) == sum(range(7 * 500))


@pytest.mark.parametrize("fault", ["kill9", "pause"])
def test_a_querier_that_is_lost_takes_no_rows_with_it(make_lake, fault):
    cluster = Cluster(make_lake, 3)
    cluster.fill("lossy", files=6, rows=500)
    sql = SHARED.format("lossy")
    first, *_, last = cluster.queriers
    expected = first.client.sql(sql)
    getattr(last, fault)()
    try:
        for _ in range(6):
            begun = time.monotonic()
            answer = first.client.try_sql(sql)
            assert time.monotonic() - begun < 15
            # Never fewer rows: the answer is whole, or none.
            assert answer.status in (200, 503), answer.body
            if answer.status == 200:
                assert answer.lines() == expected
        assert first.client.sql(sql) == expected
    finally:
        last.resume()
    until(lambda: first.client.try_sql(sql).status == 200, "it answers again")
    assert first.client.sql(sql) == expected


def test_queriers_go_and_come_while_queries_run(make_lake):
    cluster = Cluster(make_lake, 3)
    cluster.fill("busy", files=6, rows=300)
    sql = SHARED.format("busy")
    first, second, third = cluster.queriers
    expected = first.client.sql(sql)
    stop = threading.Event()
    seen = []

    def ask():
        while not stop.is_set():
            answer = first.client.try_sql(sql)
            seen.append(answer.lines() if answer.status == 200 else answer.status)

    with ThreadPoolExecutor(3) as pool:
        askers = [pool.submit(ask) for _ in range(3)]
        for querier in (second, third, second):
            time.sleep(0.5)
            querier.kill9()
            time.sleep(1.0)
            querier.start()
        stop.set()
        for asker in askers:
            asker.result()
    answered = [rows for rows in seen if not isinstance(rows, int)]
    assert answered and all(rows == expected for rows in answered)
    assert {status for status in seen if isinstance(status, int)} <= {503}
