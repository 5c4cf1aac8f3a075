"""The store is full, away, slow or lies; etcd is away or empty. Nothing acknowledged is lost."""

from __future__ import annotations

import os
import subprocess

import pytest
from client import until
from ledger import Ledger, Writers, whole_lake_is_well
from servers import Etcd, Minio
from servers.cluster import BUCKET
from servers.faults import ERROR, LOST, SLOW, FaultProxy

BRISK = {"LOGLAKE_WAL_LINGER_MS": "5", "LOGLAKE_COORDINATION_LEASE_S": "2"}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_back_pressure_until_there_is_room(small_disk, make_lake):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(48 << 20))
    lake = make_lake("directory", data=small_disk / "data", env=BRISK)
    ledger = Ledger()
    lake.client.store("before", [{"message": "there is room"}])
    with Writers(lake.url, ledger, reader=False, pad_bytes_max=1_000) as writers:
        until(
            lambda: writers.slept_for_retry_after > 20,
            "a full disk is told to the senders", within_s=120,
        )  # fmt: skip
        # What is stored can be asked for all the while.
        assert lake.client.value("SELECT count(*) FROM before") == 1
        ballast.unlink()
        ledger.await_acks(20, within_s=60)
    whole_lake_is_well(lake, ledger)


@pytest.fixture
def own_minio(tmp_path):
    with Minio(tmp_path / "minio") as server:
        server.s3.make_bucket(BUCKET)
        yield server


@pytest.fixture
def own_etcd(tmp_path):
    with Etcd(tmp_path / "etcd") as servers:
        yield servers


@pytest.mark.parametrize("how", ["paused", "killed"])
def test_minio_goes_away_and_comes_back(how, own_minio, make_lake):
    lake = make_lake("minio", minio=own_minio, env=BRISK)
    ledger = Ledger()
    with Writers(lake.url, ledger) as writers:
        for _ in range(2):
            ledger.await_acks(10)
            if how == "paused":
                own_minio.pause()
            else:
                own_minio.kill9()
            # While it is away nothing can be acknowledged.
            with ledger.lock:
                acknowledged = len(ledger.acknowledged)
            writers.stopping.wait(3)
            with ledger.lock:
                # One a writer: those whose segment was stored in the moment before.
                assert len(ledger.acknowledged) - acknowledged <= len(writers.threads)
            if how == "paused":
                own_minio.resume()
            else:
                own_minio.start()
            ledger.await_acks(10)
    whole_lake_is_well(lake, ledger)


def test_a_store_that_fails_dawdles_and_loses_answers(minio, make_lake):
    with FaultProxy(minio.endpoint) as proxy:
        lake = make_lake("minio", endpoint=proxy.endpoint, env=BRISK)
        ledger = Ledger()
        with Writers(lake.url, ledger) as writers:
            ledger.await_acks(5)
            proxy.faults = {ERROR: 0.1, LOST: 0.1, SLOW: 0.1}
            ledger.await_acks(60, within_s=90)
            for _ in range(3):
                lake.client.post("/api/v1/flush")
                ledger.await_acks(10, within_s=60)
            proxy.faults = {}
            ledger.await_acks(5)
            writers.stopping.set()
        print(proxy.counts)
        assert min(proxy.counts[fault] for fault in (ERROR, LOST, SLOW)) > 5
        whole_lake_is_well(lake, ledger)


def test_a_lake_lives_through_a_kill_behind_a_failing_store(minio, make_lake):
    with FaultProxy(minio.endpoint, seed=2) as proxy:
        lake = make_lake("minio", endpoint=proxy.endpoint, env=BRISK)
        ledger = Ledger()
        proxy.faults = {ERROR: 0.05, LOST: 0.1}
        for _ in range(2):
            with Writers(lake.url, ledger) as writers:
                ledger.await_acks(20, within_s=90)
                lake.kill9()
                writers.stopping.set()
            lake.start()
        proxy.faults = {}
        whole_lake_is_well(lake, ledger)


def test_etcd_makes_it_quick_and_the_bucket_makes_it_right(own_etcd, make_lake):
    """With etcd away ingest and queries go on; with its data lost for good nothing is."""
    lake = make_lake("minio", etcd=own_etcd, env=BRISK)
    ledger = Ledger()
    with Writers(lake.url, ledger):
        ledger.await_acks(10)
        own_etcd.pause()
        ledger.await_acks(30)
        assert lake.client.value("SELECT count(*) FROM ledger") >= 30
        own_etcd.resume()
        ledger.await_acks(10)
        own_etcd.wipe()
        ledger.await_acks(30)
        # A lake starts without etcd, too.
        lake.kill9()
        lake.start()
        ledger.await_acks(10)
        own_etcd.start()
        ledger.await_acks(10)
    member = "SELECT count(*) FROM lake.members"
    until(lambda: lake.client.value(member) == 1, "the member is back in an empty etcd")
    whole_lake_is_well(lake, ledger)


def test_the_leader_of_three_etcd_is_killed(tmp_path, make_lake):
    with Etcd(tmp_path / "three", nodes=3) as etcd:
        lake = make_lake("minio", etcd=etcd, env=BRISK)
        ledger = Ledger()
        with Writers(lake.url, ledger):
            for node in etcd.nodes:
                ledger.await_acks(5)
                node.kill9()
                ledger.await_acks(20)
                node.start()
        whole_lake_is_well(lake, ledger)
