"""One storm: the cluster, the load, the faults, the checks, the report."""

from __future__ import annotations

import json
import os
import pathlib
import threading
import time

from servers import ServerError
from servers.cluster import BUCKET

from . import plan as plans
from .faults import Storm, stamp
from .ledger import TABLES, Ledger, Verdict, percentile
from .load import Asker, Connection, Refused, Results, Shipper
from .requests import Watcher
from .topology import INGESTERS, QUERIERS, Cluster, Supervisor, faketime

# Of a client with the addresses of all ingesters, outages of the store itself apart.
OUTAGE_MAX_S = 2.0
# A writer of a dead ingester is recovered within its lease and 5 s, on a busy machine later.
RECOVERED_WITHIN_S = 60.0
# The clients, by number, that send idempotency keys; the first one speaks `_bulk`.
KEYED = tuple(map(int, filter(None, os.environ.get("STORM_KEYED", "1,2").split(","))))


def say(text: str):
    print(f"{stamp()} {text}", flush=True)


def run(
    folder: pathlib.Path, seed: int, length_s: float, rows_per_s: float, clients: int,
    only: tuple[str, ...] = (), outage_max_s: float = OUTAGE_MAX_S,
) -> bool:  # fmt: skip
    """Whether every promise held; the report is printed."""
    cluster = Cluster(folder)
    say(f"seed {seed}, {length_s:.0f} s, files in {folder}")
    with cluster:
        one = _OneStorm(cluster, seed, length_s, rows_per_s, clients, only, outage_max_s)
        held = one.run()
        cluster.keep_bucket = not held
    return held


class _OneStorm:
    def __init__(self, cluster: Cluster, seed, length_s, rows_per_s, clients, only, outage_max_s):
        self.outage_max_s = outage_max_s
        self.cluster, self.seed, self.length_s = cluster, seed, length_s
        self.without = self._cannot_be_had()
        self.plan = plans.plan(seed, length_s, self.without)
        if only:
            self.plan = [fault for fault in self.plan if fault.kind in only]
        self.stopping = threading.Event()
        self.supervisor = Supervisor(cluster, threading.Event())
        self.storm = Storm(cluster, self.supervisor, self.plan, self.stopping, say)
        names = [f"c{number}" for number in range(clients)]
        self.ledger, self.results = Ledger(names), Results()
        addresses = [cluster.address(name) for name in INGESTERS]
        self.shippers = [
            Shipper(
                name, addresses, cluster.token, self.ledger, self.results,
                self.storm.store_outages, rows_per_s / clients, f"{seed}-{name}",
                bulk=number == 0, keyed=number in KEYED, stopping=self.stopping,
            )
            for number, name in enumerate(names)
        ]  # fmt: skip
        self.askers = [
            Asker(
                name, cluster.address(name), cluster.token, self.ledger, self.results,
                f"{seed}-{name}", self.stopping, self.stopping.set,
            )
            for name in QUERIERS
        ]  # fmt: skip
        self.watcher = Watcher(cluster, threading.Event())
        self.findings: list[str] = []

    def _cannot_be_had(self) -> tuple[str, ...]:
        without: tuple[str, ...] = ()
        if self.cluster.network is None:
            say(f"no partitions here: {self.cluster.why_no_network}")
            without += plans.NEEDS_NETWORK
        if faketime() is None:
            say("no clocks that jump here: faketime is not installed (tests/setup.sh storm)")
            without += plans.NEEDS_CLOCK
        if not self.cluster.small_disk:
            say("no full disk here: mounting a tmpfs needs root")
            without += plans.NEEDS_DISK
        return without

    def run(self) -> bool:
        for thread in [self.supervisor, self.watcher, *self.shippers, *self.askers]:
            thread.start()
        self.storm.start()
        self.stopping.wait(self.length_s)
        self.stopping.set()
        for thread in [*self.shippers, *self.askers, self.storm]:
            thread.join(120)
        say("the storm is over; all is brought back")
        verdict = self._aftermath()
        return self._report(verdict)

    def _aftermath(self) -> Verdict | None:
        """All is well again: everything acknowledged is there once, now and after a full stop."""
        try:
            self.storm.calm()
            self.watcher.look()
            self.watcher.stopping.set()
            verdict = self._check_all("after the storm")
            self._await_recovery()
            for name in INGESTERS:
                self.supervisor.kill(name, gracefully=True)
            verdict.add(self._check_all("with all ingesters gone"))
            for name in QUERIERS:
                self.supervisor.kill(name, gracefully=True)
            self._verify()
            return verdict
        except Exception as error:
            self.findings.append(f"the end could not be checked: {error!r}")
            return None
        finally:
            self.supervisor.stopping.set()
            self._look_into_logs()

    def _check_all(self, when: str) -> Verdict:
        verdict = Verdict()
        for name in QUERIERS:
            asker = Asker(
                name, self.cluster.address(name), self.cluster.token, self.ledger, Results(),
                "", self.stopping, lambda: None,
            )  # fmt: skip
            found = Verdict()
            for table in range(len(TABLES)):
                found.add(_patiently(lambda: asker.ask_all(table)))
            say(f"{when}, {name}: {found}")
            verdict.add(found)
        return verdict

    def _await_recovery(self):
        """Only the writers that live are left, and one lives in each ingester: one whose log was sealed
        has begun a new one, at the latest when it was given something to store."""
        began = time.monotonic()
        while True:
            for name in INGESTERS:
                self._store_something(name)
            writers = self.cluster.minio.s3.keys(BUCKET, "_writers/")
            took = time.monotonic() - began
            if len(writers) == len(INGESTERS):
                say(f"writers left: {len(writers)}, after {took:.1f} s")
                return
            if took > RECOVERED_WITHIN_S:
                self.findings.append(f"{len(writers)} writers after {took:.0f} s: {writers}")
                return
            time.sleep(1)

    def _store_something(self, name: str):
        connection = Connection(*self.cluster.address(name), self.cluster.token)
        body = json.dumps({"service": name, "message": "is it well?"}).encode()
        try:
            connection.post("/api/v1/ingest/after_the_storm", body, "application/x-ndjson", 30)
        except OSError as error:
            say(f"{name} stores nothing yet: {error!r}")
        finally:
            connection.close()

    def _verify(self):
        try:
            text = self.cluster.members[QUERIERS[0]].verify(timeout=600)
            say("verify: " + text.strip().splitlines()[-1])
        except ServerError as error:
            self.findings.append(str(error))

    def _look_into_logs(self):
        for name, member in self.cluster.members.items():
            text = member.log.read_text(errors="replace") if member.log.exists() else ""
            if "panicked at" in text:
                at = text.index("panicked at")
                self.findings.append(f"{name} panicked: {text[max(0, at - 200) : at + 800]}")

    def _report(self, verdict: Verdict | None) -> bool:
        results, counts = self.results, self.ledger.counts()
        acks = sorted(results.ack_s)
        lost, doubled = (len(verdict.lost), len(verdict.doubled)) if verdict is not None else ("?", "?")
        strange = len(verdict.unknown) if verdict is not None else "?"
        wrong = results.queries["wrong"]
        print(f"\n==== storm, seed {self.seed}, {self.length_s:.0f} s ====")
        kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(self.storm.done.items()))
        print(f"faults               {sum(self.storm.done.values())}: {kinds}")
        if self.without:
            print(f"not to be had here   {', '.join(self.without)}")
        print(
            f"attempts             {counts['acked attempts']} acknowledged "
            f"({counts['acked rows']} rows), {counts['unknown attempts']} unanswered or refused "
            f"({counts['unknown rows']} rows)"
        )
        print(f"answers to shippers  {dict(results.answers.most_common(14))}")
        print(f"lost {lost}, doubled {doubled}, never sent {strange}")
        query_s = sorted(results.query_s)
        errors = sum(n for what, n in results.queries.items() if what.startswith("error"))
        print(
            f"queries              {results.queries['checked']} checked, {wrong} wrong, "
            f"{errors} errors; p50 {percentile(query_s, 0.5):.2f} s, p99 {percentile(query_s, 0.99):.2f} s"
        )
        for what, n in results.queries.most_common(8):
            if what.startswith("error"):
                print(f"                     {n} × {what}")
        print(
            f"ack latency          p50 {percentile(acks, 0.5) * 1000:.0f} ms, "
            f"p99 {percentile(acks, 0.99) * 1000:.0f} ms, max {acks[-1] * 1000 if acks else 0:.0f} ms"
        )
        print(
            f"no write for         at most {results.outage_s:.2f} s (bound {self.outage_max_s} s); "
            f"with the store away {results.store_outage_s:.2f} s"
        )
        for took, said in results.outages[:6]:
            print(f"                     {took:.2f} s  {said}")
        print("requests to the store per minute")
        for line in self.watcher.per_minute():
            print(f"                     {line}")
        print(f"ended by themselves  {len(self.supervisor.restarts)}")
        for line in self.supervisor.restarts[:6]:
            print(f"                     {line[:300]}")
        for line in [*results.wrong[:10], *self.findings, *self.storm.failed[:10]]:
            print(f"FINDING              {line}")
        held = (
            verdict is not None
            and not verdict
            and not wrong
            and not results.wrong
            and not self.findings
            and not self.storm.failed
            and results.outage_s <= self.outage_max_s
        )
        print("every promise held" if held else "NOT AS PROMISED", flush=True)
        return held


def _patiently(ask, within_s: float = 120):
    """Right after a storm a query may fail for a while; it may not lie."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return ask()
        except (OSError, Refused) as error:
            if time.monotonic() > deadline:
                raise
            say(f"asked again after {error}")
            time.sleep(1)
