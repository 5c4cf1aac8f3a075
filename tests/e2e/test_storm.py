"""A short storm of real faults over a whole cluster; `make storm` runs a longer one. And that the
storm's own judgement bites."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from storm.ledger import Ledger, Seen, judge_attempts, judge_slices
from storm.plan import plan
from storm.topology import INGESTERS

MINUTES = os.environ.get("LOGLAKE_STORM_MINUTES", "3")
SEED = os.environ.get("LOGLAKE_STORM_SEED", "4")
# `make storm` keeps to two seconds, on a machine of its own; here other work may take the cores.
OUTAGE_MAX_S = os.environ.get("LOGLAKE_STORM_OUTAGE_MAX_S", "8")
TESTS = pathlib.Path(__file__).resolve().parent.parent


def test_a_storm_loses_nothing(tmp_path, capfd):
    # A process of its own: it moves into a network namespace.
    command = [sys.executable, "-m", "storm", "--minutes", MINUTES, "--seed", SEED]
    command += ["--folder", str(tmp_path / "storm"), "--outage-max-s", OUTAGE_MAX_S]
    done = subprocess.run(command, cwd=TESTS, stdout=subprocess.PIPE, text=True, timeout=1800)
    with capfd.disabled():
        print("\n" + done.stdout[done.stdout.rfind("==== storm") :])
    assert done.returncode == 0, done.stdout[-8000:]


@pytest.fixture
def ledger() -> Ledger:
    """Attempt 0 acknowledged, 1 unanswered, 2 acknowledged after the question below."""
    ledger = Ledger(["c"])
    for number, acked in enumerate((1.0, None, 3.0)):
        attempt = ledger.begin("c", lambda _: (4, 0, 0))
        attempt.begun = number / 10
        attempt.acked = acked or attempt.acked
    return ledger


def of(number: int, rows: int = 4) -> Seen:
    """What a query says of an attempt with so many rows, each once."""
    return Seen(rows, rows, sum(number * 1_000 + row for row in range(rows)))


@pytest.mark.parametrize(
    "seen, lost, doubled, unknown",
    [
        ({0: of(0)}, 0, 0, 0),
        ({0: of(0), 1: of(1), 2: of(2)}, 0, 0, 0),
        ({0: of(0), 1: of(1, 2)}, 0, 0, 0),  # an unanswered one may be there in part
        ({}, 1, 0, 0),
        ({0: of(0, 3)}, 1, 0, 0),
        ({0: Seen(8, 4, 12)}, 0, 1, 0),
        ({0: of(0), 1: Seen(3, 2, 3_001)}, 0, 1, 0),
        ({0: Seen(4, 4, 999)}, 0, 0, 1),  # other rows than were sent
        ({0: of(0), 2: of(2, 5)}, 0, 0, 1),
        ({0: of(0), 7: of(7)}, 0, 0, 1),
    ],
)
def test_wrong_answers_are_seen_by_attempt(ledger, seen, lost, doubled, unknown):
    verdict = judge_attempts(ledger.of("c"), 0, dict(seen), asked=2.0, answered=2.5)
    found = (len(verdict.lost), len(verdict.doubled), len(verdict.unknown))
    assert found == (lost, doubled, unknown), verdict
    assert bool(verdict) == any(found)


@pytest.mark.parametrize(
    "seen, wrong",
    [
        ({0: of(0)}, False),
        ({0: Seen(12, 12, 12_018)}, False),
        ({0: of(0, 3)}, True),
        ({}, True),
        ({0: Seen(5, 4, 6)}, True),
        ({0: Seen(13, 13, 0)}, True),
        ({0: of(0), 1: of(100)}, True),
    ],
)
def test_wrong_answers_are_seen_by_slice(ledger, seen, wrong):
    assert bool(judge_slices(ledger.of("c"), 0, dict(seen), 2.0, 2.5)) == wrong


def test_a_plan_follows_from_its_seed_and_leaves_an_ingester_in_peace():
    assert plan(7, 600) == plan(7, 600) != plan(8, 600)
    for seed in range(20):
        faults = plan(seed, 600)
        assert len({fault.kind for fault in faults}) == 14, "every kind comes up in ten minutes"
        for fault in faults:
            beside = [f for f in faults if f.at_s <= fault.at_s < f.until_s]
            assert len(set().union(*(f.ingesters for f in beside))) < len(INGESTERS)
