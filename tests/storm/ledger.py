"""What became of every attempt to store records, and what a query may therefore say.

An attempt has a number of its own, a retry another one. So an acknowledged attempt's rows must be there
exactly once, those of an unanswered one at most once, and no others.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
import threading
import time
from collections import Counter

TABLES = ("storm_a", "storm_b", "storm_c")
SERVICES = 7
SLICE = 100  # attempts
ROWS_MAX = 1_000

NEVER = math.inf


@dataclasses.dataclass(slots=True)
class Attempt:
    client: str
    number: int
    rows: tuple[int, ...]  # one count a table
    begun: float
    acked: float = NEVER

    @property
    def service(self) -> str:
        return service_of(self.client, self.number)

    def id_sum(self, table: int) -> int:
        """The sum of `id` over the rows of one table."""
        n = self.rows[table]
        return n * self.number * ROWS_MAX + n * (n - 1) // 2


def service_of(client: str, number: int) -> str:
    return f"service-{(number * 31 + len(client)) % SERVICES}"


class Ledger:
    def __init__(self, clients: list[str]):
        self.attempts: dict[str, list[Attempt]] = {client: [] for client in clients}
        self._lock = threading.Lock()

    def begin(self, client: str, rows) -> Attempt:
        """`rows`: of the attempt's number, how many go to each table."""
        attempts = self.attempts[client]
        number = len(attempts)
        attempt = Attempt(client, number, rows(number), time.monotonic())
        with self._lock:
            attempts.append(attempt)
        return attempt

    def acknowledge(self, attempt: Attempt):
        attempt.acked = time.monotonic()

    def of(self, client: str, first: int = 0, end: int | None = None) -> list[Attempt]:
        return self.attempts[client][first:end]

    def last(self, client: str) -> int:
        return len(self.attempts[client]) - 1

    def counts(self) -> Counter:
        found = Counter()
        for attempts in list(self.attempts.values()):
            for attempt in attempts[:]:
                kind = "acked" if attempt.acked != NEVER else "unknown"
                found[f"{kind} attempts"] += 1
                found[f"{kind} rows"] += sum(attempt.rows)
        return found


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a query said of one attempt, or of one slice of attempts."""

    rows: int
    distinct: int
    id_sum: int


@dataclasses.dataclass
class Verdict:
    lost: list[str] = dataclasses.field(default_factory=list)
    doubled: list[str] = dataclasses.field(default_factory=list)
    unknown: list[str] = dataclasses.field(default_factory=list)

    def __bool__(self):
        return bool(self.lost or self.doubled or self.unknown)

    def __str__(self):
        parts = [
            f"{len(found)} {name}: {'; '.join(found[:5])}"
            for name, found in vars(self).items()
            if found
        ]
        return " | ".join(parts) or "as promised"

    def add(self, other: Verdict):
        self.lost += other.lost
        self.doubled += other.doubled
        self.unknown += other.unknown


def judge_attempts(
    attempts: list[Attempt], table: int, seen: dict[int, Seen], asked: float, answered: float
) -> Verdict:
    """A query asked for each of `attempts` (of one client) at `asked` and was answered at `answered`."""
    verdict = Verdict()
    for attempt in attempts:
        found = seen.pop(attempt.number, Seen(0, 0, 0))
        sent = attempt.rows[table] if attempt.begun <= answered else 0
        what = (
            f"{attempt.client}/{attempt.number} in {TABLES[table]} has {found.rows} rows "
            f"({found.distinct} distinct) of {sent}"
        )
        if attempt.acked <= asked and found.distinct < sent:
            since = f", acknowledged {asked - attempt.acked:.3f} s before"
            verdict.lost.append(what + since)
        if found.rows > found.distinct:
            verdict.doubled.append(what)
        complete_but_other = found.distinct == sent and found.id_sum != attempt.id_sum(table)
        if found.distinct > sent or (found.rows == sent and complete_but_other):
            verdict.unknown.append(what)
    verdict.unknown += [f"attempt {number} was never sent: {s}" for number, s in seen.items()]
    return verdict


def judge_slices(
    attempts: list[Attempt], table: int, seen: dict[int, Seen], asked: float, answered: float
) -> Verdict:
    """As above, of one client's attempts by the hundred: cheap over everything."""
    verdict = Verdict()
    slices: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        slices.setdefault(attempt.number // SLICE, []).append(attempt)
    for number, of_slice in slices.items():
        found = seen.pop(number, Seen(0, 0, 0))
        least = sum(a.rows[table] for a in of_slice if a.acked <= asked)
        most = sum(a.rows[table] for a in of_slice if a.begun <= answered)
        what = (
            f"{of_slice[0].client} slice {number} in {TABLES[table]} has {found.rows} rows "
            f"({found.distinct} distinct), expected {least} to {most}"
        )
        if found.distinct < least:
            verdict.lost.append(what)
        if found.rows > found.distinct:
            verdict.doubled.append(what)
        other = least == most and found.rows == most
        if found.distinct > most or (
            other and found.id_sum != sum(a.id_sum(table) for a in of_slice)
        ):
            verdict.unknown.append(what)
    verdict.unknown += [f"slice {number} was never sent: {s}" for number, s in seen.items()]
    return verdict


def percentile(sorted_values: list[float], share: float) -> float:
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


class Outages:
    """Times in which something was away: begun, and ended or not yet."""

    def __init__(self):
        self._spans: list[list[float]] = []
        self._lock = threading.Lock()

    def begin(self) -> list[float]:
        span = [time.monotonic(), math.inf]
        with self._lock:
            bisect.insort(self._spans, span)
        return span

    def end(self, span: list[float], grace_s: float):
        """It is over; its aftermath counts for so much longer."""
        span[1] = time.monotonic() + grace_s

    def overlap(self, begun: float, ended: float) -> bool:
        with self._lock:
            return any(span[0] < ended and begun < span[1] for span in self._spans)
