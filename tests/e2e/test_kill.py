"""kill -9 at any moment loses no acknowledged row and doubles none."""

from __future__ import annotations

import os
import random

import pytest
from ledger import Ledger, Writers, check, flush_in_background, whole_lake_is_well

ROUNDS = int(os.environ.get("LOGLAKE_KILL_ROUNDS", "5"))
SEED = int(os.environ.get("LOGLAKE_KILL_SEED", "1"))
# Segments small, buffers short, leases brief: more happens in less time.
BRISK = {
    "LOGLAKE_WAL_LINGER_MS": "5",
    "LOGLAKE_INGEST_FLUSH_AGE_S": "1",
    "LOGLAKE_COORDINATION_LEASE_S": "2",
}


@pytest.mark.parametrize("kind", ["directory", "minio"])
def test_every_acknowledged_row_is_there_once(kind, make_lake):
    print(f"seed {SEED}: LOGLAKE_KILL_SEED={SEED} LOGLAKE_KILL_ROUNDS={ROUNDS} repeats it")
    rng = random.Random(f"{SEED}-{kind}")
    ledger = Ledger()
    lake = make_lake(kind, start=False, env=BRISK)
    for number in range(ROUNDS):
        lake.start()
        if ledger.acknowledged:
            check(lake.client, ledger)
        with Writers(lake.url, ledger, seed=number) as writers:
            flusher = flush_in_background(lake.url, writers.stopping)
            ledger.await_acks(rng.randrange(5, 60))
            writers.stopping.wait(rng.random() / 10)
            lake.kill9()
            writers.stopping.set()
        flusher.join(60)
        print(f"round {number}: {len(ledger.acknowledged)} batches, {ledger.rows()} rows so far")
    lake.start()
    whole_lake_is_well(lake, ledger)


@pytest.mark.parametrize("kind", ["directory", "minio"])
def test_a_graceful_stop_answers_what_it_took_and_leaves_a_clean_lake(kind, make_lake):
    ledger = Ledger()
    lake = make_lake(kind, env=BRISK)
    with Writers(lake.url, ledger, reader=False) as writers:
        ledger.await_acks(20)
        assert lake.stop() == 0
        writers.stopping.set()
    lake.verify()
    lake.start()
    check(lake.client, ledger)
