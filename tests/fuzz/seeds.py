"""Records as services write them: what is in `logs` before anything is sent, and what inputs begin from."""

from __future__ import annotations

import random

from client import Client

from .door import TOKEN

# 2026-11-01T00:00:00Z, and as many seconds later the last of the prepared records.
BEGIN, ROWS = 1_793_491_200, 600
# A table that no input writes to.
READ = "prepared"
TABLES = ["logs", "shop", "audit-2026", "a.b_c", "Metrics", "0"]
_SERVICES = ["checkout", "auth", "search", "cart", "web-1"]
_LEVELS = ["INFO", "WARN", "ERROR", "DEBUG", "info", "error"]
_MESSAGES = [
    "GET /api/v1/items/{n} 200 in 12ms", "connection refused by 10.0.0.{n}:5432", "user {n} logged in", "no stock of sku {n}",
    "Session closed", "timeout after {n} ms, retrying", "Zahlung abgelehnt: \u00dcberziehung {n}", "\u65e5\u672c\u8a9e {n}", "a=1 b=\"two\" c={n}",
    "panic: index out of range [{n}]\n\tmain.go:17\n\tproc.go:250",
]  # fmt: skip
_TIMES = [
    "2026-11-01T13:00:00Z", "2026-11-01T13:00:00.123456789Z", "2026-11-01 13:00:00,123", "2026-11-01T14:00:00+01:00", "20261101T130000Z",
    "01/Nov/2026:13:55:36 +0100", 1_793_538_000, 1_793_538_000.25, 1_793_538_000_123, 1_793_538_000_123_456, 1_793_538_000_123_456_789,
    "1793538000", "Sun, 01 Nov 2026 13:00:00 GMT", "2026-11-01T13:00:60Z", "2026-11-01",
]  # fmt: skip
_TIME_NAMES = ["timestamp", "@timestamp", "time", "ts", "_time", "eventTime", "@t", "date_time"]
_MESSAGE_NAMES = ["message", "msg", "log", "body", "@m", "event.original"]
_LEVEL_NAMES = ["level", "severity", "log.level", "severity_text", "@l"]
_SERVICE_NAMES = ["service", "service.name", "app", "job"]


def message(rng: random.Random) -> str:
    return rng.choice(_MESSAGES).replace("{n}", str(rng.randrange(300)))


def prepared() -> list[dict]:
    """The same in every lake."""
    rng = random.Random(7)
    return [_row(rng, number) for number in range(ROWS)]


def _row(rng: random.Random, n: int) -> dict:
    row = {
        "timestamp": BEGIN + n * 5 + (n % 3) / 4,
        "service": rng.choice(_SERVICES),
        "level": rng.choice(_LEVELS),
        "message": message(rng),
        "n": n,
        "seq": n,
        "host": f"web-{n % 7}",
        "trace_id": f"{rng.getrandbits(128):032x}",
        "duration_ms": round(rng.expovariate(0.01), 3),
        "bytes": rng.randrange(20_000),
    }
    if n % 2:
        row |= {"status": rng.choice([200, 201, 404, 500]), "http": {"request": {"method": rng.choice(["GET", "PUT"])}, "status": 200}}
    if n % 3 == 0:
        row |= {"cached": n % 2 == 0, "user": {"id": n, "name": f"u{n}", "roles": ["a", "b"]}, "ratio": n / 7 - 20}
    if n % 10 == 0:
        row |= {"tags": ["x", n, None], "region": "eu-west-1", "path": f"/a/b/{n}", "kubernetes": {"namespace": f"team-{n % 30}"}}
    return row


def prepare(lake):
    """Half of the rows are in files, half wait for their commit."""
    client = Client(lake.url, TOKEN, timeout=60)
    rows = prepared()
    client.store("logs", rows[: ROWS // 2])
    client.flush()
    client.store("logs", rows[ROWS // 2 :])
    client.store(READ, rows[:3])


def record(rng: random.Random) -> dict:
    """A record with the names and kinds that shippers use."""
    found = {}
    if rng.random() < 0.8:
        found[rng.choice(_TIME_NAMES)] = rng.choice(_TIMES)
    if rng.random() < 0.8:
        found[rng.choice(_MESSAGE_NAMES)] = message(rng)
    if rng.random() < 0.6:
        found[rng.choice(_LEVEL_NAMES)] = rng.choice([*_LEVELS, 3, "3", None])
    if rng.random() < 0.6:
        found[rng.choice(_SERVICE_NAMES)] = rng.choice(_SERVICES)
    for _ in range(rng.randrange(4)):
        found[f"f{rng.randrange(30)}"] = rng.choice([1, -7, 2.5, True, None, "text", "17", [1, 2], {"a": 1}, {"a": {"b": "c"}}, [], ""])
    return found
