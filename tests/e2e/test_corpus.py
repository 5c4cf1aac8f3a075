"""Real logs in, by every door; the same counts and sums out as DuckDB finds in the source files."""

from __future__ import annotations

import itertools
import json
import pathlib

import duckdb
import pytest
from elasticsearch import Elasticsearch, helpers

# Facts of a generated record, in DuckDB's words and in loglake's. Fractions are summed as whole
# thousandths, so that the order of adding changes nothing.
GENERATED_BY_DUCKDB = """
    SELECT service, level, CAST(substr("timestamp", 12, 2) AS INTEGER) AS hour,
           count(*) AS n, count(trace_id) AS traces,
           CAST(sum(strlen(message)) AS BIGINT) AS message_bytes,
           CAST(sum(status) AS BIGINT) AS status, CAST(sum(bytes) AS BIGINT) AS bytes,
           CAST(sum(CAST(round(duration_ms * 1000) AS BIGINT)) AS BIGINT) AS duration,
           CAST(sum(CAST(substr("timestamp", 27, 3) AS INTEGER)) AS BIGINT) AS nanos,
           CAST(sum(epoch_us(CAST(substr("timestamp", 1, 26) AS TIMESTAMP)) % 1000000007) AS BIGINT)
             AS micros
    FROM read_json(?, format = 'newline_delimited', columns = {
        "timestamp": 'VARCHAR', service: 'VARCHAR', level: 'VARCHAR', message: 'VARCHAR',
        trace_id: 'VARCHAR', status: 'BIGINT', bytes: 'BIGINT', duration_ms: 'DOUBLE'})
    GROUP BY ALL ORDER BY ALL
"""
GENERATED_BY_LOGLAKE = """
    SELECT service, level, hour, count(*) AS n, count(trace_id) AS traces,
           sum(octet_length(message)) AS message_bytes, sum(status) AS status, sum(bytes) AS bytes,
           sum(CAST(round(duration_ms * 1000) AS BIGINT)) AS duration, sum(nanos) AS nanos,
           sum(CAST("timestamp" AS BIGINT) % 1000000007) AS micros
    FROM generated GROUP BY service, level, hour ORDER BY service, level, hour
"""
CORPUS = """
    SELECT "set", level, component, count(*) AS n, sum({length}(message)) AS message_bytes
    FROM {table} GROUP BY "set", level, component ORDER BY "set", level, component
"""


def duckdb_rows(sql: str, *parameters) -> list[dict]:
    cursor = duckdb.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def without_nulls(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if v is not None} for row in rows]


def bulk_body(lines: list[bytes], index: str) -> bytes:
    action = json.dumps({"create": {"_index": index}}).encode()
    return b"".join(action + b"\n" + line + b"\n" for line in lines)


def test_the_corpus_is_counted_as_duckdb_counts_it(lake, corpus):
    assert lake.client.store("corpus", corpus.read_bytes(), encoding="zstd") == 16_000
    expected = duckdb_rows(
        CORPUS.format(
            length="strlen",
            table=f"read_json('{corpus}', format = 'newline_delimited', columns = "
            "{\"set\": 'VARCHAR', level: 'VARCHAR', component: 'VARCHAR', message: 'VARCHAR'})",
        )
    )
    for row in expected:
        row["message_bytes"] = int(row["message_bytes"])
    asked = CORPUS.format(length="octet_length", table="corpus")
    assert lake.client.sql(asked) == expected
    lake.client.flush()
    assert lake.client.sql(asked) == expected


def test_generated_records_by_every_door_are_summed_as_duckdb_sums_them(lake, generated, tmp_path):
    with open(generated, "rb") as file:
        lines = [line.rstrip(b"\n") for line in file]
    half = len(lines) // 2
    raw, helped, imported = lines[:half], lines[half : half + 30_000], lines[half + 30_000 :]

    for at in range(0, len(raw), 5_000):
        answer = lake.client.bulk(bulk_body(raw[at : at + 5_000], "generated"))
        assert answer.status == 200 and answer.json()["errors"] is False, answer.body[:1000]
        assert len(answer.json()["items"]) == len(raw[at : at + 5_000])
    with Elasticsearch(lake.url) as es:
        documents = (
            {"_op_type": "create", "_index": "generated", "_source": line.decode()}
            for line in helped
        )
        stored, errors = helpers.bulk(
            es.options(request_timeout=120), documents, chunk_size=5_000
        )
        assert (stored, errors) == (len(helped), [])
    file = tmp_path / "rest.ndjson"
    file.write_bytes(b"\n".join(imported) + b"\n")
    done = lake.run("import", str(file), "--url", lake.url, "--table", "generated")
    assert done.returncode == 0, done.stderr.decode()

    expected = without_nulls(duckdb_rows(GENERATED_BY_DUCKDB, str(generated)))
    assert sum(row["n"] for row in expected) == len(lines) >= 200_000
    before = lake.client.sql(GENERATED_BY_LOGLAKE)
    assert without_nulls(before) == expected
    lake.client.flush()
    assert without_nulls(lake.client.sql(GENERATED_BY_LOGLAKE)) == expected
    # Not only sums: some records whole, as they were sent.
    for line in itertools.islice(lines, 0, None, len(lines) // 10 + 1):
        record = json.loads(line)
        sent_at = record["timestamp"]
        found = lake.client.records(
            "SELECT * FROM generated WHERE \"timestamp\" BETWEEN "
            f"TIMESTAMP '{sent_at[:26]}Z' AND TIMESTAMP '{sent_at[:26]}Z' AND pod = '{record['pod']}'"
        )
        assert record in found


def system_logs() -> list[pathlib.Path]:
    candidates = [
        *pathlib.Path("/var/log").glob("*.log"),
        *pathlib.Path("/var/log/apt").glob("*.log"),
        *pathlib.Path("/var/log/postgresql").glob("*.log"),
        *(pathlib.Path("/var/log") / name for name in ("syslog", "messages", "auth.log")),
    ]
    return sorted({p for p in candidates if p.is_file() and p.stat().st_size > 0})


def test_the_logs_of_this_machine_are_kept_line_by_line(lake):
    paths = system_logs()
    if not paths:
        pytest.skip("no readable logs in /var/log")
    # What they are now: a log may grow while the test runs.
    texts = {str(path): path.read_bytes() for path in paths}
    copies = lake.folder / "logs"
    copies.mkdir(exist_ok=True)
    names = {}
    for path, text in texts.items():
        copy = copies / path.strip("/").replace("/", "-")
        copy.write_bytes(text)
        names[str(copy)] = text
    done = lake.run("import", *names, "--url", lake.url, "--table", "system", "--zone", "utc")
    assert done.returncode == 0, done.stderr.decode()
    for flushed in (False, True):
        if flushed:
            lake.client.flush()
        for name, text in names.items():
            records = lake.client.records(f"SELECT * FROM system WHERE file = '{name}'")
            kept = json.dumps(records, ensure_ascii=False)
            lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
            assert 0 < len(records) <= len(lines), name
            # Each line's last word is in a record: nothing was left out.
            for line in lines:
                word = line.split()[-1]
                assert json.dumps(word, ensure_ascii=False)[1:-1] in kept, (name, line)


def test_dpkg_lines_have_their_own_time(lake):
    path = pathlib.Path("/var/log/dpkg.log")
    if not path.exists() or not path.stat().st_size:
        pytest.skip("no dpkg.log on this machine")
    copy = lake.folder / "dpkg.log"
    copy.write_bytes(path.read_bytes())
    done = lake.run(
        "import", str(copy), "--url", lake.url, "--table", "dpkg", "--zone", "utc"
    )
    assert done.returncode == 0, done.stderr.decode()
    expected: dict[str, int] = {}
    for line in copy.read_text().splitlines():
        expected[line[:13]] = expected.get(line[:13], 0) + 1
    rows = lake.client.sql("SELECT date, hour, count(*) AS n FROM dpkg GROUP BY date, hour")
    assert {f"{row['date']} {row['hour']:02}": row["n"] for row in rows} == expected
