"""A lease ends: another member seals the dead one's log, commits what is left and trims it."""

from __future__ import annotations

import base64
import json
import time
import urllib.request

import pytest
from client import until
from ledger import Ledger, Writers, check
from servers.cluster import BUCKET

BRISK = {"LOGLAKE_WAL_LINGER_MS": "5", "LOGLAKE_COORDINATION_LEASE_S": "2"}
PROMISED_S = 5.0


def members(etcd, prefix: str) -> set[str]:
    """The keys of the members, through etcd's JSON gateway."""
    first = f"{prefix}/members/"
    text = lambda value: base64.b64encode(value.encode()).decode()
    body = {"key": text(first), "range_end": text(first[:-1] + chr(ord("/") + 1)), "keys_only": True}
    request = urllib.request.Request(
        f"{etcd.nodes[0].client_url}/v3/kv/range", data=json.dumps(body).encode()
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return {kv["key"] for kv in json.load(answer).get("kvs", [])}


@pytest.fixture
def pair(minio, etcd, make_lake):
    """Two processes over one bucket."""
    one = make_lake("minio", env=BRISK)
    two = make_lake("minio", start=False, env=BRISK)
    two.store = one.store
    two.env = {**two.env, "LOGLAKE_COORDINATION_PREFIX": one.env["LOGLAKE_COORDINATION_PREFIX"]}
    two.start()
    return one, two


def test_five_seconds_after_a_lease_s_end_the_dead_one_is_recovered(pair, minio, etcd):
    dead, living = pair
    prefix = dead.env["LOGLAKE_COORDINATION_PREFIX"]
    folder = dead.store.removeprefix(f"s3://{BUCKET}/")
    marks = lambda: set(minio.s3.keys(BUCKET, f"{folder}/_writers/"))
    until(lambda: len(members(etcd, prefix)) == 2, "both are members")
    ledger = Ledger()
    with Writers(dead.url, ledger, reader=False) as writers:
        ledger.await_acks(100)
        before = marks()
        assert len(before) == 2, before
        dead.kill9()
        writers.stopping.set()
    until(lambda: len(members(etcd, prefix)) == 1, "the lease has ended", every_s=0.02)
    ended = time.monotonic()
    until(lambda: len(marks()) == 1, "the dead one's mark is gone", every_s=0.02)
    took = time.monotonic() - ended
    print(f"{ledger.rows()} rows, recovered {took:.2f} s after the lease's end")
    assert took < PROMISED_S
    # What it held above its watermark is committed: no segment of it is left.
    (gone,) = before - marks()
    writer = gone.rsplit("/", 1)[1]
    left = minio.s3.keys(BUCKET, f"{folder}/_wal/{writer}/")
    assert len(left) == 2, f"seal and floor: {left}"
    check(living.client, ledger)
    assert living.stop() == 0
    living.verify()


def test_a_member_that_lives_is_left_alone_when_etcd_comes_back_empty(minio, tmp_path, make_lake):
    """An etcd restored empty is refilled by its members; nobody takes them for dead."""
    from servers import Etcd

    with Etcd(tmp_path / "etcd") as etcd:
        one = make_lake("minio", etcd=etcd, env=BRISK)
        two = make_lake("minio", etcd=etcd, start=False, env=BRISK)
        prefix = one.env["LOGLAKE_COORDINATION_PREFIX"]
        two.store, two.env = one.store, {**two.env, "LOGLAKE_COORDINATION_PREFIX": prefix}
        two.start()
        folder = one.store.removeprefix(f"s3://{BUCKET}/")
        marks = lambda: set(minio.s3.keys(BUCKET, f"{folder}/_writers/"))
        until(lambda: len(members(etcd, prefix)) == 2, "both are members")
        before = marks()
        ledger = Ledger()
        with Writers(one.url, ledger):
            ledger.await_acks(20)
            etcd.wipe()
            ledger.await_acks(40)
            etcd.start()
            began = time.monotonic()
            until(lambda: len(members(etcd, prefix)) == 2, "both are members again")
            took = time.monotonic() - began
            print(f"an empty etcd knew both again after {took:.2f} s")
            assert took < PROMISED_S + 5
            ledger.await_acks(40)
        # Longer than any grace.
        time.sleep(12)
        assert marks() == before, "nobody was sealed"
        check(two.client, ledger)
