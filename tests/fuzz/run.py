"""Runs: clients that send inputs to a lake, somebody who watches it, and the search for who did it.

A run has rounds of a minute, each with a lake of its own, so that what an input meets does not grow without end."""

from __future__ import annotations

import collections
import os
import pathlib
import tempfile
import threading
import time
import traceback

from servers import ServerError

from . import checks
from .door import Door
from .inputs import Finding, Input, Problem, random_of
from .watch import Watch, lake_of

ROUND_S = 60.0
LOOK_EVERY_S = 0.2
STILL_S = 5.0
# Between a connection's end and that of the process behind it.
ENDS_WITHIN_S = 2.0
# Findings of one kind are counted; so many kinds end the run.
KINDS_MAX = 40
# Inputs that a process died of are kept up to this: they may have more than one cause.
DEATHS_KEPT = 10
# How long it is looked for one input among many.
SEARCH_S = 180.0


def _place() -> tempfile.TemporaryDirectory:
    """Where a lake lies: in memory if it can, so that the disk does not slow it down."""
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(prefix="loglake-fuzz-", dir=memory if os.access(memory, os.W_OK) else None)


class Run:
    """All rounds of one door."""

    def __init__(self, door: Door, seed: int, folder: pathlib.Path, seconds: float, first: int = 0, count: int | None = None):
        self.door, self.seed, self.folder = door, seed, folder
        self.until, self.next = time.monotonic() + seconds, first
        self.end = None if count is None else first + count
        self.findings: dict[str, Finding] = {}
        self.answers: collections.Counter[str] = collections.Counter()
        self.sent, self.sending_s, self.memory_peak = 0, 0.0, 0
        self.rounds, self.files = 0, 0
        self.lock = threading.Lock()

    def run(self):
        while time.monotonic() < self.until and len(self.findings) < KINDS_MAX and self.next != self.end:
            self.rounds += 1
            with _place() as place:
                Round(self, pathlib.Path(place)).run()

    def make(self, number: int) -> Input:
        return self.door.make(random_of(self.seed, self.door.name, number))

    def take(self) -> int | None:
        """The next input's number."""
        with self.lock:
            if self.next == self.end:
                return None
            self.next += 1
            return self.next - 1

    def is_known(self, finding: Finding) -> bool:
        known = self.findings.get(finding.kind)
        return known is not None and not (finding.is_death and known.times < DEATHS_KEPT)

    def found(self, finding: Finding):
        """Keeps it, if it is the first of its kind."""
        with self.lock:
            new = not self.is_known(finding)
            known = self.findings.setdefault(finding.kind, finding)
            if known is not finding:
                known.times += 1
            if new:
                self.files += 1
                finding.write(self.folder, self.files, self.seed)
                print(finding.shown(), flush=True)


class Round:
    def __init__(self, run: Run, folder: pathlib.Path):
        self.all, self.door = run, run.door
        self.lake = lake_of(run.door, folder)
        self.watch = Watch(self.lake)
        self.begun: collections.deque[tuple[int, Input]] = collections.deque(maxlen=self.door.suspects)
        self.over, self.go = threading.Event(), threading.Event()
        self.broken: list[str] = []
        # What clients saw and any input may have caused.
        self.late: collections.deque[str] = collections.deque()

    def run(self):
        with self.lake:
            self.door.prepare(self.lake)
            self._send()
            self._report([*self._late(), *self.watch.look()])
            if self.lake.alive:
                self._end()
        self.all.memory_peak = max(self.all.memory_peak, self.watch.memory_peak)
        if self.broken:
            raise RuntimeError(f"the fuzzer itself broke:\n{self.broken[0]}")

    def _send(self):
        """Until the round's or the run's end, or the process's."""
        began = time.monotonic()
        until = min(began + ROUND_S, self.all.until)
        clients = [threading.Thread(target=self._client, daemon=True) for _ in range(self.door.clients)]
        self.go.set()
        for client in clients:
            client.start()
        while any(client.is_alive() for client in clients) and not self.over.is_set():
            looked = time.monotonic()
            time.sleep(LOOK_EVERY_S)
            if (still_s := time.monotonic() - looked) > STILL_S:
                print(f"this process stood still for {still_s:.0f} s: silence around now may be of that", flush=True)
            self._report([*self._late(), *self.watch.look()])
            if time.monotonic() > until or not self.lake.alive:
                self.over.set()
        self.over.set()
        for client in clients:
            client.join(60)
        self.all.sending_s += time.monotonic() - began

    def _client(self):
        session = None
        try:
            session = self.door.session(self.lake)
            while not self.over.is_set() and self.lake.alive:
                self.go.wait(30)
                number = self.all.take()
                if number is None:
                    break
                self._one(session, number)
        except Exception:
            if self.lake.alive:
                self.broken.append(traceback.format_exc())
                self.over.set()
        finally:
            if session is not None:
                session.close()

    def _one(self, session, number: int):
        input_ = self.all.make(number)
        self.begun.append((number, input_))
        try:
            answer = session.send(input_)
        except Problem as problem:
            # Of a process that ends, its watcher tells.
            until = time.monotonic() + ENDS_WITHIN_S
            while self.lake.alive and "connection" in str(problem) and time.monotonic() < until:
                time.sleep(LOOK_EVERY_S / 2)
            if self.lake.alive and problem.is_of_last:
                self.all.found(Finding(self.door.name, str(problem), [(number, input_)], alone=True))
            elif self.lake.alive:
                self.late.append(str(problem))
            answer = "problem"
        with self.all.lock:
            self.all.answers[answer] += 1
            self.all.sent += 1

    def _report(self, seen: list[str]):
        """What the watcher saw, with who did it."""
        for what in seen:
            finding = Finding(self.door.name, what, list(self.begun), self.lake.log_tail(60))
            if self.all.is_known(finding):
                self.all.found(finding)
                continue
            self.go.clear()
            one = culprit(self.door, finding)
            if one is not None:
                finding.inputs, finding.log, finding.alone = [one[0]], one[1], True
            self.all.found(finding)
            self.go.set()

    def _end(self):
        """All doors work as ever, and the lake is whole."""
        try:
            checks.everything(self.lake, self.door)
        except (Problem, ServerError) as problem:
            self.all.found(Finding(self.door.name, f"after the round: {problem}", list(self.begun), self.lake.log_tail(60)))
        if self.lake.alive:
            self._report(self.watch.look())

    def _late(self) -> list[str]:
        return [self.late.popleft() for _ in range(len(self.late))]


def culprit(door: Door, finding: Finding) -> tuple[tuple[int, Input], str] | None:
    """The one of the suspects that does the same again to a new lake, alone; and the log of that."""
    if door.is_late:
        return _halved(door, finding)
    with _place() as place, lake_of(door, pathlib.Path(place), RUST_BACKTRACE="1") as lake:
        door.prepare(lake)
        watch, session = Watch(lake), door.session(lake)
        for suspect in reversed(finding.inputs):
            if finding.kind in _seen_of(door, watch, session, [suspect]):
                return suspect, lake.log_tail(120)
            if not lake.alive:
                break
        session.close()
    return None


def _halved(door: Door, finding: Finding) -> tuple[tuple[int, Input], str] | None:
    """Ever fewer of the suspects, as long as they do it again."""
    suspects, log, until = finding.inputs, "", time.monotonic() + SEARCH_S
    while (len(suspects) > 1 or not log) and time.monotonic() < until:
        half = (len(suspects) + 1) // 2
        for part in (suspects[half:], suspects[:half]):
            log = _again(door, finding, part) if part else ""
            if log:
                suspects = part
                break
        else:
            return None
    return (suspects[0], log) if len(suspects) == 1 and log else None


def _again(door: Door, finding: Finding, suspects: list[tuple[int, Input]]) -> str:
    """The log of a new lake to which they did it again, else nothing."""
    with _place() as place, lake_of(door, pathlib.Path(place), RUST_BACKTRACE="1") as lake:
        door.prepare(lake)
        watch, session = Watch(lake), door.session(lake)
        if finding.kind in _seen_of(door, watch, session, suspects):
            return lake.log_tail(120)
    return ""


def _seen_of(door: Door, watch: Watch, session, suspects: list[tuple[int, Input]]) -> set[str]:
    """The kinds of what is seen after these inputs."""
    seen = []
    try:
        for _, input_ in suspects:
            session.send(input_)
        session.settle()
    except Problem as problem:
        seen.append(str(problem))
    time.sleep(0.03)
    return {Finding(door.name, what).kind for what in [*seen, *watch.look()]}


def replay(door: Door, inputs: list[Input]) -> bool:
    """Sends inputs to a new lake; whether all held."""
    held = True
    with _place() as place, lake_of(door, pathlib.Path(place), RUST_BACKTRACE="1") as lake:
        door.prepare(lake)
        watch, session = Watch(lake), door.session(lake)
        for input_ in inputs:
            try:
                answer = session.send(input_)
                session.settle()
                print(f"{answer}  {input_.how}", flush=True)
            except Problem as problem:
                held = False
                print(f"PROBLEM {problem}", flush=True)
            time.sleep(0.1)
            seen = watch.look()
            held = held and not seen
            for what in seen:
                print(f"SEEN {what}", flush=True)
            if not lake.alive:
                break
        session.close()
        if not held:
            print(lake.log_tail(80), flush=True)
    return held
