"""What queries read of a bucket is kept: in memory, and on disk over a restart."""

from __future__ import annotations

import re

from test_open_format import records

QUESTION = "SELECT count(*) FROM kept WHERE message LIKE '%ünïcode' AND n > 30"


def metric(lake, name: str, **labels: str) -> int:
    """The sum of a metric's lines that have these labels."""
    text = lake.client.request("GET", "/metrics").body.decode()
    lines = re.findall(rf"^{name}\{{(.*)\}} (\d+)$", text, re.MULTILINE)
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(int(value) for found, value in lines if all(pair in found for pair in wanted))


def read_from(lake, source: str) -> int:
    return metric(lake, "loglake_cache_read_bytes_total", **{"from": source})


def test_a_question_after_a_restart_is_answered_from_the_disk(make_lake, tmp_path):
    environment = {"LOGLAKE_QUERY_CACHE_FOLDER": str(tmp_path / "cache")}
    lake = make_lake("minio", env=environment)
    lake.client.store("kept", records(0, 20_000))
    lake.client.flush()
    expected = lake.client.value(QUESTION)
    assert expected > 15_000
    from_store = read_from(lake, "store")
    assert from_store > 0

    assert lake.client.value(QUESTION) == expected
    assert read_from(lake, "store") == from_store, "what was read is in memory"
    assert metric(lake, "loglake_cache_lookups_total", cache="footers", outcome="hit") > 0

    lake.stop()
    lake.start()
    assert lake.client.value(QUESTION) == expected
    assert read_from(lake, "disk") > 0
    assert read_from(lake, "store") == 0, "what was read is on disk"


def test_an_embedded_lake_keeps_nothing_beside_its_files(make_lake):
    lake = make_lake("directory")
    lake.client.store("kept", records(0, 1_000))
    lake.client.flush()
    lake.client.value(QUESTION)
    assert metric(lake, "loglake_cache_read_bytes_total") == 0


def test_a_folder_is_one_processs(make_lake, tmp_path):
    environment = {"LOGLAKE_QUERY_CACHE_FOLDER": str(tmp_path / "cache")}
    first = make_lake("minio", env=environment)
    second = make_lake("minio", beside=first, start=False)
    said = second.run("serve", *second.where(), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    assert said.returncode != 0
    assert b"cache" in said.stderr and b"another process has it" in said.stderr
