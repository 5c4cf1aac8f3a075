"""Aggregations by a seeded generator: one of any kind, alone or with others below it."""

from __future__ import annotations

ZONES = ["UTC", "+02:00", "Europe/Berlin", "America/New_York"]
KEYWORDS = ["service", "level", "region", "http.request.method", "kubernetes.namespace", "host"]
NUMBERS = ["bytes", "duration_ms", "status", "n", "ratio"]


def tree(values, rng, depth: int = 2) -> dict:
    found = {"a": bucket(values, rng, depth) if rng.random() < 0.75 else metric(values, rng)}
    if rng.random() < 0.3:
        found["b"] = metric(values, rng)
    return found


def bucket(values, rng, depth: int) -> dict:
    # `composite` stands at the top alone.
    kind = rng.choice(BUCKETS if depth > 1 else [kind for kind in BUCKETS if kind is not composite])
    aggregation = kind(values, rng)
    below: dict = {}
    if depth > 1 and rng.random() < 0.5:
        below["inner"] = bucket(values, rng, depth - 1)
    if rng.random() < 0.5:
        below["metric"] = metric(values, rng)
    if below and kind in (date_histogram, histogram) and rng.random() < 0.3:
        below["value"] = {"avg": {"field": "bytes"}}
        below["pipe"] = rng.choice(
            [{"derivative": {"buckets_path": "_count"}}, {"cumulative_sum": {"buckets_path": "_count"}}]
        )
    if below:
        aggregation["aggs"] = below
    return aggregation


def terms(values, rng):
    options: dict = {"field": rng.choice(KEYWORDS + ["status", "cached"])}
    if rng.random() < 0.5:
        options["size"] = rng.choice([1, 3, 50])
    if rng.random() < 0.4:
        options["order"] = rng.choice([{"_key": "asc"}, {"_key": "desc"}, {"_count": "desc"}, [{"_count": "desc"}, {"_key": "desc"}]])
    kind = rng.random()
    if kind < 0.15:
        options["min_doc_count"] = rng.choice([5, 100])
    elif kind < 0.3 and options["field"] in KEYWORDS:
        options["missing"] = "none"
    elif kind < 0.45 and options["field"] == "service":
        options["include"] = rng.choice(["c.*", ["checkout", "auth", "nobody"]])
    elif kind < 0.55 and options["field"] == "service":
        options["exclude"] = rng.choice([".*-1", ["checkout"]])
    return {"terms": options}


def date_histogram(values, rng):
    options: dict = {"field": "@timestamp"}
    if rng.random() < 0.6:
        options["fixed_interval"] = rng.choice(["5m", "30m", "1h", "90m", "1d"])
    else:
        options["calendar_interval"] = rng.choice(["minute", "hour", "1h", "day", "1d", "week", "month", "1M", "quarter", "year"])
        if options["calendar_interval"] == "minute":
            options["min_doc_count"] = 1
    if rng.random() < 0.4:
        options["time_zone"] = rng.choice(ZONES)
    if rng.random() < 0.2:
        options["offset"] = rng.choice(["+15m", "-1h", "6h"])
    kind = rng.random()
    if kind < 0.2:
        options["min_doc_count"] = rng.choice([0, 1, 10])
    elif kind < 0.35 and options.get("fixed_interval") in ("30m", "1h", "1d"):
        bounds = {"min": "2026-10-31T20:00:00Z", "max": "2026-11-01T06:00:00Z"}
        options["extended_bounds"] = bounds
        options["min_doc_count"] = 0
    elif kind < 0.45:
        options["hard_bounds"] = {"min": "2026-11-01T00:30:00Z", "max": "2026-11-01T01:30:00Z"}
    # Bounds are read in the format of the answer.
    if rng.random() < 0.3 and not {"hard_bounds", "extended_bounds"} & options.keys():
        options["format"] = rng.choice(["yyyy-MM-dd", "epoch_millis", "yyyy-MM-dd'T'HH:mm:ssXXX", "strict_date_optional_time"])
    if rng.random() < 0.15:
        options["keyed"] = True
    return {"date_histogram": options}


def histogram(values, rng):
    name, interval = rng.choice([("status", 100), ("bytes", 5_000), ("duration_ms", 100), ("ratio", 2.5), ("n", 3_000)])
    options: dict = {"field": name, "interval": interval}
    if rng.random() < 0.3:
        options["min_doc_count"] = rng.choice([0, 1, 20])
    if rng.random() < 0.2:
        options["offset"] = interval / 5
    if rng.random() < 0.2:
        options["keyed"] = True
    return {"histogram": options}


def ranges(values, rng):
    name = rng.choice(["status", "bytes", "duration_ms"])
    ends = {"status": [200, 300, 400, 500], "bytes": [100, 1_000, 10_000], "duration_ms": [1, 10.5, 100]}[name]
    parts = [{"to": ends[0]}, *({"from": a, "to": b} for a, b in zip(ends, ends[1:])), {"from": ends[-1]}]
    if rng.random() < 0.3:
        parts[0]["key"] = "lowest"
    options: dict = {"field": name, "ranges": parts}
    if rng.random() < 0.3:
        options["keyed"] = True
    return {"range": options}


def date_ranges(values, rng):
    parts = [{"to": "2026-11-01T01:00:00Z"}, {"from": "2026-11-01T01:00:00Z", "to": "2026-11-01||+3h"}, {"from": "2026-11-01T01:30:00Z", "key": "late"}]
    options: dict = {"field": "@timestamp", "ranges": parts}
    if rng.random() < 0.3:
        options["format"] = "strict_date_optional_time"
    return {"date_range": options}


def filter_(values, rng):
    from .questions import query

    return {"filter": query(values, rng, depth=0)}


def filters(values, rng):
    from .questions import query

    options: dict = {"filters": {"one": query(values, rng, depth=0), "two": query(values, rng, depth=0)}}
    if rng.random() < 0.3:
        options["other_bucket_key"] = "rest"
    if rng.random() < 0.2:
        options = {"filters": list(options["filters"].values())}
    return {"filters": options}


def missing(values, rng):
    return {"missing": {"field": rng.choice(["trace_id", "status", "cached", "http.request.method"])}}


def composite(values, rng):
    sources = [
        {"service": {"terms": {"field": "service", "order": rng.choice(["asc", "desc"])}}},
        {"level": {"terms": {"field": "level"}}},
        {"hour": {"date_histogram": {"field": "@timestamp", "fixed_interval": "30m"}}},
        {"status": {"histogram": {"field": "status", "interval": 100}}},
    ]
    chosen = rng.sample(sources, rng.randrange(1, 3))
    options: dict = {"sources": chosen, "size": rng.choice([3, 10, 40])}
    if rng.random() < 0.3 and [*chosen[0]] == ["service"] and len(chosen) == 1:
        options["after"] = {"service": values.of("service")}
    return {"composite": options}


def metric(values, rng) -> dict:
    name = rng.choice(NUMBERS)
    kind = rng.choice(
        ["avg", "min", "max", "sum", "value_count", "stats", "extended_stats", "cardinality", "percentiles",
         "percentile_ranks", "min", "max", "top_hits", "missing_value"]
    )  # fmt: skip
    if kind == "cardinality":
        return {"cardinality": {"field": rng.choice(["service", "host", "status", "trace_id", "path"])}}
    if kind == "percentiles":
        options: dict = {"field": rng.choice(["bytes", "duration_ms"])}
        if rng.random() < 0.5:
            options["percents"] = [50, 95, 99]
        if rng.random() < 0.3:
            options["keyed"] = False
        return {"percentiles": options}
    if kind == "percentile_ranks":
        return {"percentile_ranks": {"field": "bytes", "values": [1_000, 10_000]}}
    if kind == "top_hits":
        return {"top_hits": {"size": 2, "sort": [{"@timestamp": "desc"}, {"n": "asc"}], "_source": ["n", "level"]}}
    if kind == "missing_value":
        return {"avg": {"field": "bytes", "missing": 0}}
    if kind in ("min", "max") and rng.random() < 0.4:
        return {kind: {"field": "@timestamp"}}
    if kind == "value_count":
        return {"value_count": {"field": rng.choice(["trace_id", "status", "level"])}}
    return {kind: {"field": name}}


BUCKETS = [
    terms, terms, terms, date_histogram, date_histogram, date_histogram, histogram, ranges, date_ranges,
    filter_, filters, missing, composite,
]  # fmt: skip
