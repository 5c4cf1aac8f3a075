"""The records: those of the generator, with fields of every kind beside its own, and how OpenSearch is
told to hold them."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

ROWS = 20_000
INDEX = "logs"
# loglake's words are runs of letters and digits in lower case; OpenSearch is told the same.
WORDS = {
    "tokenizer": {"words": {"type": "pattern", "pattern": "[^\\p{L}\\p{N}]+"}},
    "analyzer": {"words": {"type": "custom", "tokenizer": "words", "filter": ["lowercase"]}},
}


def generated(loggen: pathlib.Path, rows: int = ROWS, seed: int = 11) -> list[dict]:
    """The same for the same seed."""
    command = [sys.executable, loggen, "--rows", str(rows), "--seed", str(seed), "--rate", "2.5"]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
    return [_enriched(number, json.loads(line)) for number, line in enumerate(lines)]


def _enriched(number: int, record: dict) -> dict:
    """`n` names the record; further fields are of kinds that the generator does not have."""
    record["@timestamp"] = record.pop("timestamp")
    record["n"] = number
    if number % 3 == 0:
        record["cached"] = number % 2 == 0
    if "status" in record:
        # Nested, and the same as a column beside it.
        record["http"] = {"status": record["status"], "request": {"method": record.pop("method")}}
    if number % 5 == 0:
        record["ratio"] = round((number % 97) / 7 - 5, 4)
    if number % 10 == 0:
        record["kubernetes"] = {"namespace": f"team-{number % 30 // 10}", "labels": {"tier": ["web", "db"][number % 20 // 10]}}
    return record


def mapping() -> dict:
    keyword, exact = {"type": "keyword"}, {"type": "keyword", "ignore_above": 32_000}
    keywords = ["service", "host", "pod", "region", "level", "trace_id", "span_id", "client_ip", "path"]
    return {
        "settings": {
            "number_of_shards": 1,
            "number_of_replicas": 0,
            "refresh_interval": -1,
            "max_result_window": 50_000,
            "analysis": WORDS,
        },
        "mappings": {
            "properties": {
                "@timestamp": {"type": "date_nanos"},
                "message": {"type": "text", "analyzer": "words", "fields": {"keyword": exact}},
                **{name: keyword for name in keywords},
                **{name: {"type": "long"} for name in ["n", "status", "bytes"]},
                **{name: {"type": "double"} for name in ["duration_ms", "ratio"]},
                "cached": {"type": "boolean"},
                "http": {
                    "properties": {
                        "status": {"type": "long"},
                        "request": {"properties": {"method": keyword}},
                    }
                },
                "kubernetes": {
                    "properties": {"namespace": keyword, "labels": {"properties": {"tier": keyword}}}
                },
            }
        },
    }


def bulk(records: list[dict], size: int = 2_000):
    """Bodies of `_bulk`. The `_id` of a record is its number."""
    for start in range(0, len(records), size):
        lines = []
        for record in records[start : start + size]:
            lines.append(json.dumps({"create": {"_id": str(record["n"])}}))
            lines.append(json.dumps(record, ensure_ascii=False))
        yield ("\n".join(lines) + "\n").encode()
