"""A lake on HDFS: nothing acknowledged is lost or doubled, whichever process dies; same answers."""

from __future__ import annotations

import os
import random

import pytest
from ledger import Ledger, Writers, check, flush_in_background, whole_lake_is_well
from servers import Hdfs
from servers import hdfs as hdfs_server
from servers.loglake import binary

# Each round syncs the disks of three DataNodes some hundred times: few by default.
ROUNDS = int(os.environ.get("LOGLAKE_KILL_ROUNDS", "3"))
SEED = int(os.environ.get("LOGLAKE_KILL_SEED", "1"))
BRISK = {
    "LOGLAKE_WAL_LINGER_MS": "5",
    "LOGLAKE_INGEST_FLUSH_AGE_S": "1",
    "LOGLAKE_COORDINATION_LEASE_S": "2",
}


@pytest.fixture
def own_hdfs(tmp_path):
    if problem := hdfs_server.missing():
        pytest.skip(problem)
    with Hdfs(tmp_path / "hdfs") as server:
        yield server


@pytest.fixture
def plain_hdfs(tmp_path):
    """One that does not miss a dead DataNode for ten minutes."""
    if problem := hdfs_server.missing():
        pytest.skip(problem)
    with Hdfs(tmp_path / "hdfs", brisk=False) as server:
        yield server


def test_every_acknowledged_row_is_there_once(hdfs, make_lake):
    """kill -9 of loglake at any moment."""
    print(f"seed {SEED}: LOGLAKE_KILL_SEED={SEED} LOGLAKE_KILL_ROUNDS={ROUNDS} repeats it")
    rng = random.Random(f"{SEED}-hdfs")
    ledger = Ledger()
    lake = make_lake("hdfs", start=False, env=BRISK)
    for number in range(ROUNDS):
        lake.start()
        if ledger.acknowledged:
            check(lake.client, ledger)
        with Writers(lake.url, ledger, seed=number) as writers:
            flusher = flush_in_background(lake.url, writers.stopping)
            ledger.await_acks(rng.randrange(5, 40), within_s=120)
            writers.stopping.wait(rng.random() / 5)
            lake.kill9()
            writers.stopping.set()
        flusher.join(60)
        print(f"round {number}: {len(ledger.acknowledged)} batches, {ledger.rows()} rows so far")
    lake.start()
    whole_lake_is_well(lake, ledger)


def test_a_datanode_dies_then_the_namenode(own_hdfs, make_lake):
    lake = make_lake("hdfs", hdfs=own_hdfs, env=BRISK)
    ledger = Ledger()
    with Writers(lake.url, ledger) as writers:
        flusher = flush_in_background(lake.url, writers.stopping)
        ledger.await_acks(20)
        own_hdfs.datanodes[0].kill9()
        ledger.await_acks(40, within_s=90)
        own_hdfs.namenode.kill9()
        # Nothing can be acknowledged without it.
        with ledger.lock:
            acknowledged = len(ledger.acknowledged)
        writers.stopping.wait(5)
        with ledger.lock:
            # One a writer: those whose segment was stored in the moment before.
            assert len(ledger.acknowledged) - acknowledged <= len(writers.threads)
        own_hdfs.namenode.start()
        ledger.await_acks(40, within_s=120)
        own_hdfs.datanodes[0].start()
        own_hdfs.wait_ready()
        ledger.await_acks(10, within_s=60)
        writers.stopping.set()
    flusher.join(60)
    whole_lake_is_well(lake, ledger)


def test_a_dead_datanode_that_is_not_missed_is_done_without(plain_hdfs, make_lake):
    """With three DataNodes and three replicas every pipeline has the dead one."""
    lake = make_lake("hdfs", hdfs=plain_hdfs, env=BRISK)
    ledger = Ledger()
    with Writers(lake.url, ledger) as writers:
        ledger.await_acks(10)
        plain_hdfs.datanodes[1].kill9()
        ledger.await_acks(30, within_s=120)
        assert plain_hdfs.namenode.state()["NumLiveDataNodes"] == 3, "it was missed"
        lake.client.flush()
        writers.stopping.set()
    whole_lake_is_well(lake, ledger)


def test_what_hangs_is_given_up(own_hdfs, make_lake):
    """For longer than a call may take, so that each has to be made anew."""
    lake = make_lake("hdfs", hdfs=own_hdfs, env=BRISK)
    ledger = Ledger()
    with Writers(lake.url, ledger) as writers:
        ledger.await_acks(10)
        own_hdfs.datanodes[2].pause()
        ledger.await_acks(30, within_s=120)
        own_hdfs.datanodes[2].resume()
        own_hdfs.namenode.pause()
        writers.stopping.wait(15)
        own_hdfs.namenode.resume()
        ledger.await_acks(20, within_s=120)
        writers.stopping.set()
    whole_lake_is_well(lake, ledger)


QUESTIONS = [
    "SELECT service, level, count(*) AS n, sum(octet_length(message)) AS message_bytes FROM logs "
    "GROUP BY service, level ORDER BY service, level",
    "SELECT count(*) AS n FROM logs WHERE message LIKE '%timeout%'",
    "SELECT timestamp, service, message FROM logs ORDER BY timestamp DESC, service, message LIMIT 50",
    "SELECT date_trunc('minute', timestamp) AS minute, count(*) AS n FROM logs "
    "GROUP BY 1 ORDER BY 1",
]


def test_answers_are_those_of_a_directory(generated, make_lake):
    """Fresh rows, files, and after a restart; a body large enough for files of several blocks."""
    body = generated.read_bytes().splitlines(keepends=True)[:60_000]
    lakes = [make_lake("directory"), make_lake("hdfs")]
    answers = []
    for lake in lakes:
        assert lake.client.store("logs", b"".join(body[:50_000]), encoding="zstd") == 50_000
        lake.client.flush()
        assert lake.client.store("logs", b"".join(body[50_000:]), encoding="zstd") == 10_000
        answers.append([lake.client.sql(question) for question in QUESTIONS])
        lake.client.flush()
        assert lake.stop() == 0
        lake.start()
        answers.append([lake.client.sql(question) for question in QUESTIONS])
    largest = lakes[1].client.value("SELECT max(bytes) FROM lake.files WHERE table_name = 'logs'")
    assert largest > hdfs_server.BLOCK_BYTES, f"no file has two blocks: {largest} bytes"
    for number, question in enumerate(QUESTIONS):
        first, *others = [answer[number] for answer in answers]
        assert first and all(other == first for other in others), question
    lakes[1].stop()
    lakes[1].verify()


def test_the_rules_of_a_store_are_checked_by_a_command(hdfs, make_lake):
    lake = make_lake("hdfs", start=False)
    answer = lake.run("check-store", f"{hdfs.url}/rules")
    assert answer.returncode == 0, answer.stdout.decode()
    refused = lake.run("check-store", "hdfs://no-such-service/rules", timeout=60)
    assert refused.returncode != 0 and b"HADOOP_CONF_DIR" in refused.stderr, binary()
