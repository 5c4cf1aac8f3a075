"""Writers that remember what was acknowledged, and the check that it is there once."""

from __future__ import annotations

import itertools
import random
import threading
import time
from dataclasses import dataclass, field

from client import Client

TABLE = "ledger"


@dataclass
class Ledger:
    """What became of each batch. A batch is sent once: after an error its rows may be there or not,
    so another attempt gets another number."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    unknown: dict[int, int] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    lock: threading.Condition = field(default_factory=threading.Condition)
    numbers: itertools.count = field(default_factory=itertools.count)

    def rows(self) -> int:
        with self.lock:
            return sum(self.acknowledged.values())

    def await_acks(self, more: int, within_s: float = 60):
        """Waits until so many more batches are acknowledged."""
        with self.lock:
            goal = len(self.acknowledged) + more
            came = self.lock.wait_for(lambda: len(self.acknowledged) >= goal, within_s)
        assert came, f"{goal - len(self.acknowledged)} of {more} batches not acknowledged in time"


class Writers:
    """Threads that send batches until told to stop, and one that counts rows meanwhile."""

    def __init__(
        self, url: str, ledger: Ledger, writers=4, seed=0, reader=True, pad_bytes_max=100
    ):
        self.client, self.ledger = Client(url, timeout=30), ledger
        self.pad_bytes_max = pad_bytes_max
        self.stopping = threading.Event()
        self.wrong: list[str] = []
        self.slept_for_retry_after = 0
        self.threads = [
            threading.Thread(target=self._write, args=(random.Random(f"{seed}-{n}"),), daemon=True)
            for n in range(writers)
        ]
        if reader:
            self.threads.append(threading.Thread(target=self._read, daemon=True))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a writer hangs"
        assert not self.wrong, self.wrong[:5]

    def _write(self, rng: random.Random):
        while not self.stopping.is_set():
            with self.ledger.lock:
                batch = next(self.ledger.numbers)
            rows = rng.choice([1, 7, 100, 1_000])
            records = [
                {"service": f"s{batch % 5}", "message": f"batch {batch} row {row}",
                 "batch": batch, "row": row,
                 "pad": rng.randbytes(rng.randrange(self.pad_bytes_max)).hex()}
                for row in range(rows)
            ]  # fmt: skip
            try:
                answer = self.client.ingest(TABLE, records)
            except OSError:
                self._note(self.ledger.unknown, batch, rows)
                self.stopping.wait(0.02)
                continue
            except Exception as error:  # an answer cut in the middle
                if type(error).__module__ != "http.client":
                    self.wrong.append(repr(error))
                    return
                self._note(self.ledger.unknown, batch, rows)
                continue
            if answer.status == 200:
                if answer.json().get("stored") != rows:
                    self.wrong.append(f"batch {batch} of {rows} rows: {answer.body[:300]!r}")
                self._note(self.ledger.acknowledged, batch, rows)
            elif answer.status in (429, 503):
                # Back-pressure: it says when to come back. The rows may be there all the same
                # (an unknown outcome is answered 503).
                if "retry-after" not in answer.headers:
                    self.wrong.append(f"{answer.status} without Retry-After: {answer.body[:300]!r}")
                self._note(self.ledger.unknown, batch, rows)
                self.slept_for_retry_after += 1
                self.stopping.wait(0.1)
            else:
                self.wrong.append(f"{answer.status}: {answer.body[:300]!r}")
                self._note(self.ledger.unknown, batch, rows)
                self.stopping.wait(0.1)

    def _note(self, where: dict, batch: int, rows: int):
        with self.ledger.lock:
            where[batch] = rows
            self.ledger.lock.notify_all()

    def _read(self):
        """Acknowledged is visible: a count that starts now has at least what is acknowledged now."""
        while not self.stopping.is_set():
            before = self.ledger.rows()
            if before:
                try:
                    answer = self.client.try_sql(f"SELECT count(*) AS n FROM {TABLE}")
                    counted = answer.json()["n"] if answer.status == 200 else None
                except Exception:  # killed meanwhile: a query may fail, not lie
                    counted = None
                if counted is not None and counted < before:
                    self.wrong.append(f"{before} rows acknowledged, then {counted} counted")
            self.stopping.wait(0.1)


def check(client: Client, ledger: Ledger):
    """Every acknowledged row is there once, and no other row twice."""
    found = {
        row["batch"]: (row["n"], row["distinct_rows"])
        for row in client.sql(
            f'SELECT batch, count(*) AS n, count(DISTINCT "row") AS distinct_rows '
            f"FROM {TABLE} GROUP BY batch"
        )
    }
    lost = {b: (n, found.get(b)) for b, n in ledger.acknowledged.items() if found.get(b) != (n, n)}
    assert not lost, f"acknowledged and not there exactly once (rows, found): {dict(list(lost.items())[:10])}"
    strange = {
        b: f
        for b, f in found.items()
        if b not in ledger.acknowledged
        and (b not in ledger.unknown or f[0] != f[1] or f[0] > ledger.unknown[b])
    }
    assert not strange, f"doubled, or never sent: {dict(list(strange.items())[:10])}"


def flush_in_background(url: str, stopping: threading.Event) -> threading.Thread:
    """Commits again and again, so that a kill meets flushes and commits too."""

    def work():
        client = Client(url, timeout=30)
        while not stopping.is_set():
            try:
                client.flush()
            except Exception:
                time.sleep(0.02)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def whole_lake_is_well(lake, ledger: Ledger):
    """Everything is there, from memory and from files, and once more from the bucket alone."""
    check(lake.client, ledger)
    lake.client.flush()
    check(lake.client, ledger)
    assert lake.stop() == 0
    lake.verify()
    lake.start()
    check(lake.client, ledger)
