"""Brings the planned faults about, and takes them back."""

from __future__ import annotations

import datetime
import os
import threading
import time
from collections import Counter

from servers import ServerError

from .ledger import Outages
from .plan import Fault
from .topology import CLIENTS, DISK_SIZE, ETCDS, INGESTERS, PARTIES, STORE, Cluster, Supervisor

# After the store is back its clients' requests still wait in their own pauses between tries.
STORE_GRACE_S = 3.0


class Storm(threading.Thread):
    """Walks through the plan; each fault has a thread for its time."""

    def __init__(
        self, cluster: Cluster, supervisor: Supervisor, plan: list[Fault],
        stopping: threading.Event, say,
    ):  # fmt: skip
        super().__init__(name="storm", daemon=True)
        self.cluster, self.supervisor, self.plan = cluster, supervisor, plan
        self.stopping, self.say = stopping, say
        self.store_outages = Outages()
        self.done: Counter = Counter()
        self.failed: list[str] = []
        self._running: list[threading.Thread] = []
        self._active: dict[int, Fault] = {}
        self._lock = threading.Lock()

    def run(self):
        began = time.monotonic()
        late = 0.0
        for fault in self.plan:
            if self.stopping.wait(max(0.0, began + fault.at_s + late - time.monotonic())):
                break
            # A start took longer than planned: everything after it moves.
            while not self._fits_now(fault) and not self.stopping.wait(0.1):
                late += 0.1
            thread = threading.Thread(target=self._one, args=(fault,), daemon=True)
            thread.start()
            self._running.append(thread)
            if late > 0 and began + fault.at_s + late - time.monotonic() < -120:
                break
        for thread in self._running:
            thread.join(120)

    def _fits_now(self, fault: Fault) -> bool:
        with self._lock:
            active = list(self._active.values())
        touched = {party for other in active for party in (*other.parties, other.other)}
        hurt = fault.ingesters.union(*(other.ingesters for other in active))
        return not touched & {*fault.parties, fault.other} and len(hurt) < len(INGESTERS)

    def _one(self, fault: Fault):
        with self._lock:
            self._active[id(fault)] = fault
        try:
            self.say(f"+ {fault}")
            span = self.store_outages.begin() if fault.takes_the_store_away else None
            try:
                undo = self._begin(fault)
                self.stopping.wait(fault.hold_s)
                undo()
            finally:
                if span:
                    self.store_outages.end(span, STORE_GRACE_S)
            self.done[fault.kind] += 1
            self.say(f"- {fault}")
        except Exception as error:
            self.failed.append(f"{fault}: {error!r}")
            self.say(f"! {fault}: {error!r}")
        finally:
            with self._lock:
                del self._active[id(fault)]

    def _begin(self, fault: Fault):
        """Does it; gives back what takes it back."""
        match fault.kind:
            case "killed" | "two killed" | "store killed":
                return self._kill(fault.parties)
            case "stopped and started":
                return self._kill(fault.parties, gracefully=True)
            case "paused" | "store paused" | "etcd paused":
                return self._pause(fault.parties)
            case "etcd leader killed":
                leader = self.cluster.etcd_leader() or ETCDS[0]
                return self._kill((leader,))
            case "etcd quorum lost":
                return self._kill(ETCDS[:2] if fault.hold_s < 8 else ETCDS[1:])
            case "cut":
                return self._cut(fault.parties[0], self._ends(fault.other))
            case "cut one way":
                self.network.silence(fault.parties[0], fault.other)
                return lambda: self.network.mend(fault.parties[0], fault.other)
            case "isolated":
                (party,) = fault.parties
                return self._cut(party, tuple(other for other in PARTIES if other != party))
            case "store's disk full":
                return self._fill_disk()
            case "clock jumps":
                return self._jump(fault)
        raise ValueError(fault.kind)

    @property
    def network(self):
        assert self.cluster.network is not None
        return self.cluster.network

    def _ends(self, other: str) -> tuple[str, ...]:
        return ETCDS if other == "etcd" else (other,)

    def _kill(self, parties: tuple[str, ...], gracefully: bool = False):
        for party in parties:
            self.supervisor.kill(party, gracefully)

        def undo():
            for party in parties:
                self.supervisor.bring_back(party)

        return undo

    def _pause(self, parties: tuple[str, ...]):
        servers = [self.cluster.server(party) for party in parties]
        for server in servers:
            server.pause()

        def undo():
            for server in servers:
                server.resume()

        return undo

    def _cut(self, one: str, others: tuple[str, ...]):
        for other in others:
            self.network.cut(one, other)

        def undo():
            for other in others:
                self.network.mend(one, other)

        return undo

    def _fill_disk(self):
        """The file system gets as small as it is full."""
        for _ in range(100):
            room = os.statvfs(self.cluster.disk)
            used = (room.f_blocks - room.f_bfree) * room.f_frsize
            if self.cluster.resize_disk(f"{used // 1024 + 64}k"):
                return lambda: self.cluster.resize_disk(DISK_SIZE)
        raise ServerError("the store's disk cannot be made smaller")

    def _jump(self, fault: Fault):
        member = self.cluster.members[fault.parties[0]]
        member.set_clock(fault.offset_s)
        return lambda: member.set_clock(0)

    def calm(self):
        """Everything is as in the beginning, whatever failed."""
        if self.cluster.network is not None:
            for one in PARTIES:
                for other in PARTIES:
                    if one < other:
                        self.network.mend(one, other)
        for party in PARTIES:
            if party == CLIENTS:
                continue
            server = self.cluster.server(party)
            server.resume()
            if party in self.cluster.members:
                self.cluster.members[party].set_clock(0)
            self.supervisor.bring_back(party)
        if self.cluster.small_disk:
            self.cluster.resize_disk(DISK_SIZE)
        self.cluster.server(STORE).wait_ready()
        for member in self.cluster.members.values():
            member.wait_ready()


def stamp() -> str:
    return datetime.datetime.now().strftime("%H:%M:%S.%f")[:-3]
