"""Several processes over one bucket: visible at once everywhere, and quiet when nothing happens."""

from __future__ import annotations

import os
import threading
import time

import pytest
from client import Client
from servers import Loglake
from servers.cluster import BUCKET
from storm.requests import scrape

# 10,000 in `make visible`.
TRIES = int(os.environ.get("LOGLAKE_VISIBLE_TRIES", "300"))
IDLE_S = float(os.environ.get("LOGLAKE_IDLE_S", "30"))
WRITERS = 4
# Looks at what others did; nothing else is asked for by a member that nobody uses.
IDLE_REQUESTS_PER_MINUTE_MAX = 60
NAME = "cluster-under-test"


@pytest.fixture(scope="module")
def members(minio, etcd, tmp_path_factory):
    """Two ingesters and two queriers; the flushes are frequent, so that rows move meanwhile."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = {
        **minio.client_environment(),
        "LOGLAKE_COORDINATION_PREFIX": f"/{NAME}",
        "LOGLAKE_INGEST_FLUSH_AGE_S": "2",
    }
    roles = {"ingester0": "ingest,maintain", "ingester1": "ingest,maintain"}
    roles |= {"querier0": "query", "querier1": "query"}
    members = {
        name: Loglake(
            folder / name, name=name, store=f"s3://{BUCKET}/{NAME}", etcd=etcd.endpoints,
            env=environment, args=["--roles", of],
        )
        for name, of in roles.items()
    }  # fmt: skip
    try:
        for member in members.values():
            member.start()
        yield members
    finally:
        for member in members.values():
            member.__exit__()
    for member in members.values():
        assert "panicked at" not in member.log.read_text(errors="replace"), member.log_tail()


def test_the_first_query_after_an_acknowledgement_sees_the_record_on_every_node(members):
    missed: list[str] = []
    tried = [0] * WRITERS

    def work(writer: int):
        doors = [Client(members[f"ingester{n}"].url) for n in range(2)]
        queriers = [Client(members[f"querier{n}"].url) for n in range(2)]
        for number in range(writer, TRIES, WRITERS):
            record = {"service": f"s{number % 7}", "message": "now", "number": number}
            doors[number % 2].store("seen", [record])
            for at, querier in enumerate(queriers):
                seen = querier.value(f"SELECT count(*) FROM seen WHERE number = {number}")
                if seen != 1:
                    missed.append(f"record {number} was {seen} times there at querier {at}")
            tried[writer] += 1

    began = time.monotonic()
    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{sum(tried)} tries in {time.monotonic() - began:.0f} s, {len(missed)} missed")
    assert not missed, missed[:10]
    assert sum(tried) == TRIES
    row = Client(members["querier0"].url).sql(
        "SELECT count(*) AS n, count(DISTINCT number) AS d FROM seen"
    )[0]
    assert row == {"n": TRIES, "d": TRIES}


def test_an_idle_cluster_writes_nothing_to_the_store(members):
    for name in ("ingester0", "ingester1"):
        Client(members[name].url).store("idle", [{"message": "the last one for a while"}])
        Client(members[name].url).flush()
    # What the flushes leave to do (trimming, a checkpoint) ends soon.
    before = _settled(members)
    assert all(counts["put"] for name, counts in before.items() if "ingester" in name), before
    time.sleep(IDLE_S)
    per_minute = {
        name: {kind: n * 60 / IDLE_S for kind, n in (scrape(m.url, None) - before[name]).items()}
        for name, m in members.items()
    }
    print(f"requests per minute of an idle cluster: {per_minute}")
    for name, counts in per_minute.items():
        writes = {kind: n for kind, n in counts.items() if kind in ("put", "delete", "copy")}
        assert not writes, f"{name} wrote while nothing happened: {writes}"
        assert sum(counts.values()) <= IDLE_REQUESTS_PER_MINUTE_MAX, f"{name}: {counts}"


def _settled(members, quiet_s: float = 25, within_s: float = 120):
    """The counts once nobody has written for a while: a log is trimmed 10 s after its segments were
    delivered, and 10 s after it was trimmed last."""
    deadline = time.monotonic() + within_s
    since, last = time.monotonic(), None
    while time.monotonic() < deadline:
        counts = {name: scrape(member.url, None) for name, member in members.items()}
        writes = {name: (c["put"], c["delete"], c["copy"]) for name, c in counts.items()}
        if writes != last:
            since, last = time.monotonic(), writes
        if time.monotonic() - since > quiet_s:
            return counts
        time.sleep(0.5)
    raise AssertionError(f"still writing after {within_s} s: {last}")
