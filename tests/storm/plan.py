"""Which fault comes when: decided beforehand, from the seed alone."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

from .topology import CLIENTS, ETCDS, INGESTERS, QUERIERS, STORE

LEASE_S = 5.0
# A killed process is back after its start, on a busy machine.
START_S = 4.0


@dataclasses.dataclass(frozen=True)
class Fault:
    kind: str
    at_s: float
    hold_s: float
    parties: tuple[str, ...]  # what it happens to; no other fault touches them meanwhile
    other: str = ""  # the other end of a cut
    offset_s: int = 0  # of a clock

    @property
    def until_s(self) -> float:
        return self.at_s + self.hold_s + START_S

    @property
    def ingesters(self) -> set[str]:
        """Those that may not answer meanwhile."""
        return {party for party in (*self.parties, self.other) if party in INGESTERS}

    @property
    def takes_the_store_away(self) -> bool:
        return self.kind in ("store killed", "store paused", "store's disk full")

    def __str__(self):
        to = f" – {self.other}" if self.other else ""
        by = f" by {self.offset_s:+d} s" if self.offset_s else ""
        return f"{self.kind}{by}: {', '.join(self.parties)}{to}, {self.hold_s:.1f} s"


NEEDS_NETWORK = ("cut", "cut one way", "isolated")
NEEDS_CLOCK = ("clock jumps",)
NEEDS_DISK = ("store's disk full",)


def _deck(rng: random.Random) -> list[Fault]:
    """One of each kind, with everything but the time chosen."""
    ingester = lambda: rng.choice(INGESTERS)  # noqa: E731
    querier = lambda: rng.choice(QUERIERS)  # noqa: E731
    member = lambda: rng.choice(INGESTERS + QUERIERS)  # noqa: E731
    two = rng.sample(INGESTERS, 2)
    pair, one_way = rng.sample(INGESTERS, 2), rng.sample(INGESTERS, 2)
    briefly, lease = (0.3, 8), (LEASE_S + 1, LEASE_S + 7)
    jump = rng.choice([-86_400, -7_200, -300, -30, 30, 300, 7_200, 86_400])

    def fault(kind, hold, *parties, other="", offset_s=0):
        return Fault(kind, 0, rng.uniform(*hold), parties, other, offset_s)

    deck = [
        fault("killed", briefly, ingester()),
        fault("killed", briefly, ingester()),
        fault("killed", briefly, querier()),
        fault("two killed", briefly, *two),
        fault("stopped and started", (0.1, 3), member()),
        fault("paused", lease, ingester()),
        fault("paused", lease, querier()),
        fault("paused", (0.3, 3), ingester()),
        fault("isolated", (2, 12), ingester()),
        fault("isolated", (2, 10), querier()),
        fault("cut", (2, 12), pair[0], other=pair[1]),
        fault("cut one way", (2, 12), one_way[0], other=one_way[1]),
        fault("cut", (2, 12), ingester(), other=STORE),
        fault("cut one way", (2, 12), STORE, other=ingester()),
        fault("cut one way", (2, 12), ingester(), other=STORE),
        fault("cut", lease, ingester(), other=rng.choice(("etcd", *ETCDS))),
        fault("cut", (2, 8), CLIENTS, other=ingester()),
        fault("cut", (2, 10), querier(), other=ingester()),
        fault("cut", (2, 8), querier(), other=STORE),
        fault("etcd leader killed", (1, 8), *ETCDS),
        fault("etcd quorum lost", (4, 15), *ETCDS),
        fault("etcd paused", (4, 12), *ETCDS),
        fault("store killed", (0.5, 5), STORE),
        fault("store paused", (1, 8), STORE),
        fault("store's disk full", (3, 8), STORE),
        fault("clock jumps", (4, 15), ingester(), offset_s=jump),
        fault("clock jumps", (4, 15), member(), offset_s=-jump),
    ]
    rng.shuffle(deck)
    return deck


def plan(seed: int, length_s: float, without: tuple[str, ...] = ()) -> list[Fault]:
    """Faults until `length_s`, in order. At any time two at most, and at least one ingester that
    nothing happens to. `without`: kinds that cannot be had here."""
    rng = random.Random(f"storm-{seed}")
    planned: list[Fault] = []
    cards = _cards(rng, without)
    at_s = 2.0
    while True:
        card = next(cards)
        fault = dataclasses.replace(card, at_s=at_s)
        while not _fits(fault, planned):
            fault = dataclasses.replace(fault, at_s=fault.at_s + 0.5)
        if fault.until_s > length_s:
            return planned
        planned.append(fault)
        at_s = fault.at_s + rng.choice([0.2, 1, 3])


def _cards(rng: random.Random, without: tuple[str, ...]) -> Iterator[Fault]:
    while True:
        yield from (fault for fault in _deck(rng) if fault.kind not in without)


def _fits(fault: Fault, planned: list[Fault]) -> bool:
    beside = [other for other in planned if other.until_s > fault.at_s]
    touched = {party for other in beside for party in (*other.parties, other.other)}
    if touched & {*fault.parties, fault.other}:
        return False
    hurt = fault.ingesters.union(*(other.ingesters for other in beside))
    return len(beside) < 2 and len(hurt) < len(INGESTERS)
