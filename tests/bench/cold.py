#!/usr/bin/env python3
"""What a process that has just started asks of a store for one question, and what that costs: on MinIO.

    cold.py --bin PATH --input FILE.ndjson --work DIR [--wait SECONDS] [--fragment FILE.md]

Loads the records into a lake on MinIO, then asks each question in a fresh querier, three times. `SELECT
count(*) FROM logs` comes first in each, so that what opens the table (from the process's start on) is told
apart from what the question takes. `--wait`: seconds for compaction, 780 for all of it; without, the table is as
it was flushed. MinIO is on the same machine: its answers take a fraction of a millisecond, those of S3 tens of
them, so that the requests tell more than the times.
"""
import argparse
import contextlib
import pathlib
import shutil
import sys

import cost
from lake import Lake, drop_from_page_cache
from questions import Literals, questions
from relay import Relay
from servers import Minio
from servers.cluster import BUCKET

ROUNDS = 3
ASKED = ["rare word over everything", "one trace_id", "latest 100 of all"]
COUNT = "SELECT count(*) FROM logs"
KINDS = ["list", "get", "head", "put"]


class Store:
    """MinIO behind a relay, with an empty bucket, and what a lake on it needs."""

    def __init__(self, work):
        self.work = work
        self.minio = Minio(work.resolve() / "minio")
        self.exits = contextlib.ExitStack()

    def __enter__(self):
        self.exits.enter_context(self.minio)
        self.minio.s3.make_bucket(BUCKET)
        self.relay = self.exits.enter_context(Relay(self.minio.port))
        return self

    def __exit__(self, *_):
        self.exits.close()

    def lake(self, binary, name, *args):
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        env = self.minio.client_environment(self.relay.endpoint)
        return Lake(binary, folder, ["--store", f"s3://{BUCKET}", *args], env)


class Counts:
    """Requests by operation and bytes read since the last look; bytes of one process at a time."""

    def __init__(self, store):
        self.store, self.requests, self.bytes = store, {}, store.relay.received

    def since(self, lake):
        requests, read = lake.requests(), self.store.relay.received
        new = {kind: requests[kind] - self.requests.get(kind, 0) for kind in requests}
        bytes_read = read - self.bytes
        self.requests, self.bytes = requests, read
        return {kind: count for kind, count in new.items() if count}, bytes_read


def load(store, binary, source, wait_s):
    """Loads, and gives what the table is then and what it took."""
    with store.lake(binary, "load") as lake:
        rows = lake.load(source)
        requests, sent = lake.requests(), store.relay.sent
        lake.settle(wait_s)
        files, size = lake.files()
    return {"rows": rows, "requests": requests, "sent": sent, "files": files, "bytes": size,
            "bytes_in": source.stat().st_size}


def ask(store, binary, sql):
    """Asks in a fresh process: (seconds, requests, bytes) of opening the table, and of the question."""
    drop_from_page_cache(store.work / "minio" / "data")
    counts = Counts(store)
    with store.lake(binary, "ask", "--roles", "query") as lake:
        opening = (lake.timed(COUNT)[0], *counts.since(lake))
        question = (lake.timed(sql)[0], *counts.since(lake))
    return opening, question


def told(requests):
    return " ".join(f"{requests[kind]} {kind}" for kind in KINDS if kind in requests) or "none"


def section(table, runs):
    """The Markdown of it. `runs`: (question's name, opening, question) of each."""
    lines = [
        "## Cold, on a store", "",
        f"{table['rows']:,} records in {table['files']:,} file(s) of together {table['bytes'] / 1e6:,.1f} MB on MinIO on the same "
        "machine. Each line is a fresh process with nothing in memory: first it opens the table (`SELECT count(*)`), then it "
        "is asked. Bytes are those on the wire.", "",
        "| | to open: ms | requests | KB | to answer: ms | requests | KB | of the table | dollars a million |",
        "|---|---:|---|---:|---:|---|---:|---:|---:|",
    ]
    for name, (open_s, open_requests, open_bytes), (s, requests, read) in runs:
        opening = f"{open_s * 1000:.0f} | {told(open_requests)} | {open_bytes / 1e3:,.0f}"
        answering = f"{s * 1000:.0f} | {told(requests)} | {read / 1e3:,.0f} | {read / table['bytes']:.2%}"
        lines.append(f"| {name} | {opening} | {answering} | {cost.of_requests(requests) * 1e6:.2f} |")
    requests, stored = cost.per_tb(table["requests"], table["bytes_in"], table["bytes"])
    lines += [
        "",
        f"At the prices of {cost.PRICES_ARE}, this load costs {requests:.2f} dollars of requests for a TB of NDJSON "
        f"({told(table['requests'])} for {table['bytes_in'] / 1e6:,.0f} MB), and {stored:.2f} dollars a month to keep it. It "
        "came in large blocks; many small requests cost more (`ack.py` says how much). The bucket took "
        f"{table['sent'] / table['bytes']:.1f} times the bytes of the table, since each record is in a segment first.", "",
    ]
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", required=True, type=pathlib.Path)
    p.add_argument("--input", required=True, type=pathlib.Path)
    p.add_argument("--work", required=True, type=pathlib.Path)
    p.add_argument("--wait", type=int, default=0)
    p.add_argument("--fragment", type=pathlib.Path)
    a = p.parse_args()
    asked = [q for q in questions(Literals(a.input)) if q.name in ASKED]
    work = a.work / "cold"
    shutil.rmtree(work, ignore_errors=True)
    with Store(work) as store:
        print("loading", file=sys.stderr, flush=True)
        table = load(store, a.bin, a.input, a.wait)
        runs = [(q.name, *ask(store, a.bin, q.asked("loglake")[0])) for q in asked for _ in range(ROUNDS)]
    shutil.rmtree(work, ignore_errors=True)
    text = section(table, runs)
    print(text)
    if a.fragment:
        a.fragment.write_text(text)


if __name__ == "__main__":
    main()
