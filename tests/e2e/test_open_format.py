"""Other engines read the same committed rows from the bucket, without loglake."""

from __future__ import annotations

import json
import pathlib

import duckdb
import pyarrow.parquet as parquet
import pytest
from deltalake import DeltaTable
from servers.cluster import BUCKET
from servers.minio import client_environment

ROWS = 20_000
ROW = "SELECT id, n, half, ok, message FROM {} ORDER BY id"


def records(start: int, end: int) -> list[dict]:
    return [
        {
            "timestamp": f"2026-11-01T{i % 24:02}:{i % 60:02}:00.{i:09}Z",
            "service": f"s{i % 7}",
            "level": ["INFO", "WARN"][i % 2],
            "message": f"row {i} ünïcode",
            "id": i,
            "n": i * 3 if i % 5 else None,
            "half": i / 2,
            "ok": i % 3 == 0,
            "mixed": i if i % 2 else f"text {i}",
        }
        for i in range(start, end)
    ]


@pytest.fixture(scope="module", params=["directory", "minio"])
def filled(request, make_module_lake):
    """A lake whose table has been written, flushed and evolved a few times."""
    lake = make_module_lake(request.param)
    for start in range(0, ROWS, 5_000):
        lake.client.store("open", records(start, start + 5_000))
        lake.client.flush()
    # Acknowledged and not committed: other engines must not see these yet.
    lake.client.store("open", records(ROWS, ROWS + 10))
    return lake


def table_uri(lake) -> tuple[str, dict]:
    if lake.store is None:
        return str(lake.data / "default" / "open"), {}
    options = client_environment(lake.env["AWS_ENDPOINT_URL"])
    return f"{lake.store}/default/open", options


def live_files(lake, tmp_path) -> list[str]:
    """Local paths of the files that the log lists, found by reading the log by hand."""
    if lake.store is None:
        root = lake.data / "default" / "open"
        commits = sorted((root / "_delta_log").glob("*.json"))
        logs = [commit.read_text() for commit in commits]
        fetch = lambda path: root / path  # noqa: E731
    else:
        from servers.s3 import S3

        environment = lake.env
        s3 = S3(
            environment["AWS_ENDPOINT_URL"],
            environment["AWS_ACCESS_KEY_ID"],
            environment["AWS_SECRET_ACCESS_KEY"],
        )
        prefix = lake.store.removeprefix(f"s3://{BUCKET}/") + "/default/open"
        keys = s3.keys(BUCKET, f"{prefix}/_delta_log/")
        logs = [s3.get(BUCKET, key).decode() for key in sorted(keys) if key.endswith(".json")]

        def fetch(path: str) -> pathlib.Path:
            local = tmp_path / path.replace("/", "_")
            local.write_bytes(s3.get(BUCKET, f"{prefix}/{path}"))
            return local

    live: dict[str, None] = {}
    for action in (json.loads(line) for log in logs for line in log.splitlines()):
        if "add" in action:
            live[action["add"]["path"]] = None
        elif "remove" in action:
            live.pop(action["remove"]["path"])
    assert live, "the log lists no files"
    return [str(fetch(path)) for path in live]


def expected() -> list[tuple]:
    return [(r["id"], r["n"], r["half"], r["ok"], r["message"]) for r in records(0, ROWS)]


def test_deltalake_reads_the_committed_rows(filled):
    uri, options = table_uri(filled)
    table = DeltaTable(uri, storage_options=options).to_pyarrow_table()
    found = duckdb.from_arrow(table).query("t", ROW.format("t")).fetchall()
    assert found == expected()
    # What did not fit its column's type is kept too, and the time to the nanosecond.
    odd = duckdb.from_arrow(table).query(
        "t",
        "SELECT count(*), count(*) FILTER (coalesce(CAST(mixed AS VARCHAR), "
        "attributes ->> '$.mixed') = CASE WHEN id % 2 = 1 THEN CAST(id AS VARCHAR) "
        "ELSE 'text ' || id END), sum(nanos), count(DISTINCT (date, hour)) FROM t",
    )
    nanos = sum(i % 1000 for i in range(ROWS))
    assert odd.fetchall() == [(ROWS, ROWS, nanos, 24)]


def test_duckdb_and_pyarrow_read_the_files_that_the_log_lists(filled, tmp_path):
    files = live_files(filled, tmp_path)
    found = duckdb.sql(ROW.format(f"read_parquet({files!r}, union_by_name = true)")).fetchall()
    assert found == expected()
    assert sum(parquet.ParquetFile(file).metadata.num_rows for file in files) == ROWS
    ids: list[int] = []
    for file in files:
        ids += parquet.ParquetFile(file).read(columns=["id"])["id"].to_pylist()
    assert sorted(ids) == list(range(ROWS))


def test_duckdb_scans_the_table(filled):
    if filled.store is not None:
        pytest.skip("needs DuckDB's extension for S3")
    try:
        duckdb.sql("SET autoinstall_known_extensions = false; LOAD delta")
    except duckdb.Error as error:
        pytest.skip(f"DuckDB's delta extension is not installed: {str(error).splitlines()[0]}")
    uri, _ = table_uri(filled)
    assert duckdb.sql(ROW.format(f"delta_scan('{uri}')")).fetchall() == expected()


def test_statistics_of_the_log_hold(filled, tmp_path):
    """What other engines prune by: bounds that leave out a row would lose it for them."""
    if filled.store is not None:
        pytest.skip("the log is the same as of a directory")
    root = filled.data / "default" / "open"
    checked = 0
    for commit in sorted((root / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            add = json.loads(line).get("add")
            if not add or not add.get("stats"):
                continue
            stats = json.loads(add["stats"])
            file = parquet.ParquetFile(root / add["path"])
            assert stats["numRecords"] == file.metadata.num_rows
            ids = file.read(columns=["id"])["id"].to_pylist()
            assert stats["minValues"]["id"] <= min(ids) and max(ids) <= stats["maxValues"]["id"]
            nulls = file.read(columns=["n"])["n"].null_count
            assert stats["nullCount"]["n"] == nulls
            for name in ("service", "level", "message"):
                values = file.read(columns=[name])[name].to_pylist()
                # A text's bounds may be left out; one that is there holds.
                assert stats["minValues"].get(name, "") <= min(values)
                assert name not in stats["maxValues"] or max(values) <= stats["maxValues"][name]
            checked += 1
    assert checked > 0


def test_rows_that_are_committed_later_are_there_later(filled):
    filled.client.flush()
    uri, options = table_uri(filled)
    table = DeltaTable(uri, storage_options=options).to_pyarrow_table()
    assert sorted(table["id"].to_pylist()) == list(range(ROWS + 10))
    assert filled.client.value("SELECT count(*) FROM open") == ROWS + 10
