"""Acknowledgement latency under a steady load: default settings, on MinIO and on a directory.

    cd tests && python bench/ack.py --bin ~/…/loglake [--rows-per-s 10000] [--seconds 60]

The load is open: a request is due at a fixed time, and its latency counts from then on, so that a
slow answer makes the requests behind it late, too. Exits non-zero when a bound is broken.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import sys
import tempfile
import threading
import time
from collections import Counter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import cost  # noqa: E402
from servers import Loglake  # noqa: E402
from servers.cluster import BUCKET, minio_and_etcd  # noqa: E402
from storm.ledger import percentile  # noqa: E402
from storm.requests import scrape  # noqa: E402

ROWS = 100  # a request
CONNECTIONS = 16
BOUNDS_MS = {"minio": (120, 400), "directory": (10, None)}


def bodies(count: int) -> list[bytes]:
    draw = random.Random(1)
    services = [f"service-{n}" for n in range(20)]

    def record():
        return {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "service": draw.choice(services),
            "level": draw.choice(["info", "info", "info", "warn", "error"]),
            "message": f"GET /api/v1/items/{draw.randrange(10**6)} took {draw.randrange(900)} ms",
            "trace_id": draw.randbytes(16).hex(),
            "status": draw.choice([200, 200, 200, 404, 500]),
            "pad": draw.randbytes(40).hex(),
        }

    return ["\n".join(json.dumps(record()) for _ in range(ROWS)).encode() for _ in range(count)]


class Load:
    """So many requests a second, over a few connections."""

    def __init__(self, ports: list[int], rows_per_s: int, seconds: float, warm_up_s: float):
        self.ports, self.every_s = ports, ROWS / rows_per_s
        self.requests = int((seconds + warm_up_s) / self.every_s)
        self.cold = int(warm_up_s / self.every_s)
        self.bodies = bodies(200)
        self.next = 0
        self.lock = threading.Lock()
        self.latencies: list[float] = []
        self.failed: list[str] = []

    def run(self) -> list[float]:
        self.began = time.monotonic()
        threads = [threading.Thread(target=self._work, args=(n,)) for n in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(self.latencies)

    def _work(self, number: int):
        port = self.ports[number % len(self.ports)]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            with self.lock:
                mine, self.next = self.next, self.next + 1
            if mine >= self.requests:
                return
            due = self.began + mine * self.every_s
            time.sleep(max(0.0, due - time.monotonic()))
            connection.request("POST", "/api/v1/ingest/logs", self.bodies[mine % len(self.bodies)])
            answer = connection.getresponse()
            content = answer.read()
            took = time.monotonic() - due
            if answer.status != 200:
                self.failed.append(f"{answer.status} {content[:200]!r}")
            elif mine >= self.cold:
                self.latencies.append(took)


@contextlib.contextmanager
def lakes(kind: str, folder: pathlib.Path, members: int):
    if kind == "directory":
        with Loglake(folder / "lake") as lake:
            yield [lake]
        return
    with minio_and_etcd(folder, 3) as (store, etcd), contextlib.ExitStack() as exits:
        yield [
            exits.enter_context(
                Loglake(
                    folder / f"lake{n}", store=f"s3://{BUCKET}", etcd=etcd.endpoints,
                    env=store.client_environment(),
                )
            )
            for n in range(members)
        ]  # fmt: skip


def measure(kind: str, members: int, rows_per_s: int, seconds: float, parent: str | None) -> bool:
    with tempfile.TemporaryDirectory(prefix="loglake-ack-", dir=parent) as folder:
        with lakes(kind, pathlib.Path(folder), members) as running:
            load = Load([lake.http_port for lake in running], rows_per_s, seconds, warm_up_s=5)
            acks = load.run()
            asked = [scrape(lake.url, None) or {} for lake in running]
            minutes = (seconds + 5) / 60
    bytes_in = sum(len(load.bodies[n % len(load.bodies)]) for n in range(load.requests))
    dollars, _ = cost.per_tb(sum(asked, Counter()), bytes_in, 0)
    p50, p99 = percentile(acks, 0.5) * 1000, percentile(acks, 0.99) * 1000
    most50, most99 = BOUNDS_MS[kind]
    held = not load.failed and p50 <= most50 and (most99 is None or p99 <= most99)
    per_minute = ", ".join(f"{sum(a.values()) / minutes:.0f}" for a in asked)
    print(
        f"{kind}, {members} member(s), {rows_per_s} records/s: p50 {p50:.1f} ms (at most {most50}), "
        f"p99 {p99:.1f} ms{f' (at most {most99})' if most99 else ''}, max {acks[-1] * 1000:.0f} ms, "
        f"{len(acks)} acks, {len(load.failed)} failed {load.failed[:2]}; requests to the store per "
        f"minute and member: {per_minute}, ${dollars:.0f} a TB of records on S3: {'holds' if held else 'DOES NOT HOLD'}",
        flush=True,
    )
    return held


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--rows-per-s", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--members", type=int, default=1, help="on MinIO")
    parser.add_argument("--folder", help="where the files go meanwhile")
    parser.add_argument("--only", choices=list(BOUNDS_MS))
    arguments = parser.parse_args()
    os.environ["LOGLAKE_BIN"] = arguments.bin
    kinds = [arguments.only] if arguments.only else list(BOUNDS_MS)
    held = [
        measure(
            kind, arguments.members if kind == "minio" else 1, arguments.rows_per_s,
            arguments.seconds, arguments.folder,
        )
        for kind in kinds
    ]  # fmt: skip
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
