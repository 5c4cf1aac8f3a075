"""The clients that users have, as they are."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pathlib
import subprocess

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet
import pytest
from client import ndjson
from elasticsearch import Elasticsearch, helpers

HERE = pathlib.Path(__file__).resolve().parent
TOKEN = "a-token-for-clients"
PEOPLE = [
    {
        "timestamp": f"2026-11-01T00:00:{i % 60:02}.{i:06}Z",
        "service": f"s{i % 3}",
        "level": "INFO",
        "message": f"line {i}, \"quoted\"",
        "n": i,
        "half": i / 2,
        "ok": i % 2 == 0,
    }
    for i in range(100)
]
COLUMNS = 'n, half, ok, message, "timestamp"'


@pytest.fixture(scope="module")
def lake(make_module_lake):
    lake = make_module_lake("directory", token=TOKEN)
    lake.client.store("people", PEOPLE[:50])
    lake.client.flush()
    lake.client.store("people", PEOPLE[50:])  # half in files, half fresh
    return lake


@pytest.fixture
def connection(lake):
    options = {"adbc.flight.sql.authorization_header": f"Bearer {TOKEN}"}
    with flightsql.connect(lake.grpc, db_kwargs=options) as connection:
        yield connection


def test_adbc_reads_arrow(connection):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM people ORDER BY n")
        table = cursor.fetch_arrow_table()
    assert table.schema.names == ["n", "half", "ok", "message", "timestamp"]
    assert table.schema.field("timestamp").type == pa.timestamp("us", tz="UTC")
    assert table["n"].to_pylist() == list(range(100))
    assert table["message"].to_pylist() == [p["message"] for p in PEOPLE]
    assert table["timestamp"][7].as_py().isoformat() == "2026-11-01T00:00:07.000007+00:00"


def test_adbc_prepared_statements_take_parameters(connection):
    with connection.cursor() as cursor:
        sql = "SELECT count(*), min(n) FROM people WHERE service = $1 AND n >= $2"
        cursor.adbc_prepare(sql)
        for service, start in [("s1", 0), ("s1", 50), ("none", 0)]:
            cursor.execute(sql, (service, start))
            numbers = [p["n"] for p in PEOPLE if p["service"] == service and p["n"] >= start]
            assert cursor.fetchall() == [(len(numbers), min(numbers, default=None))]
        # A value is a value, whatever it holds.
        cursor.execute(sql, ("s1' OR '1'='1", 0))
        assert cursor.fetchone()[0] == 0


def test_adbc_sees_the_tables(connection):
    objects = connection.adbc_get_objects(
        depth="all", db_schema_filter="public", table_name_filter="people"
    ).read_all()
    schemas = [s for c in objects.to_pylist() for s in c["catalog_db_schemas"] or []]
    (table,) = [t for s in schemas for t in s["db_schema_tables"] or []]
    assert table["table_name"] == "people"
    columns = [column["column_name"] for column in table["table_columns"]]
    assert {"timestamp", "service", "level", "message", "n", "half", "ok"} <= set(columns)
    schema = connection.adbc_get_table_schema("people", db_schema_filter="public")
    assert schema.field("half").type == pa.float64()
    assert connection.adbc_get_table_types()
    everything = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
    names = {
        (s["db_schema_name"], t["table_name"])
        for c in everything
        for s in c["catalog_db_schemas"] or []
        for t in s["db_schema_tables"] or []
    }
    assert {("public", "people"), ("lake", "tables"), ("lake", "files")} <= names
    assert connection.adbc_get_info()["vendor_name"].lower() == "loglake"


def test_adbc_says_what_is_wrong_with_a_query(connection):
    with connection.cursor() as cursor:
        with pytest.raises(flightsql.Error, match="nam"):
            cursor.execute("SELECT nam FROM people")
            cursor.fetchall()


def test_many_rows_come_in_a_stream(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT a.n FROM people a, people b, people c")
        assert sum(batch.num_rows for batch in cursor.fetch_record_batch()) == 1_000_000


def test_pyarrow_flight_speaks_flight_sql(lake):
    """Flight SQL's messages by hand: an `Any` of a `CommandStatementQuery`."""

    def field(number: int, value: bytes) -> bytes:
        assert len(value) < 128
        return bytes([number << 3 | 2, len(value)]) + value

    kind = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    query = b"SELECT sum(n) AS total FROM people"
    command = field(1, kind) + field(2, field(1, query))
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {TOKEN}".encode())])
    with flight.connect(lake.grpc) as client:
        descriptor = flight.FlightDescriptor.for_command(command)
        info = client.get_flight_info(descriptor, options)
        (endpoint,) = info.endpoints
        table = client.do_get(endpoint.ticket, options).read_all()
    assert table.to_pylist() == [{"total": sum(range(100))}]


def maven_libraries() -> pathlib.Path:
    """The driver, from Maven Central once."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    pom = (HERE / "jdbc" / "pom.xml").read_text()
    version = pom.split("<version>")[2].split("<")[0]
    folder = pathlib.Path(base) / "loglake" / "jdbc" / version
    if not list(folder.glob("*.jar")):
        subprocess.run(
            ["mvn", "-q", "-f", str(HERE / "jdbc" / "pom.xml"), "dependency:copy-dependencies",
             "-DincludeScope=runtime", f"-DoutputDirectory={folder}"],
            check=True,
        )  # fmt: skip
    return folder


def test_the_jdbc_driver(lake):
    done = subprocess.run(
        ["java", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", f"{maven_libraries()}/*",
         str(HERE / "jdbc" / "JdbcTest.java"), f"127.0.0.1:{lake.grpc_port}", TOKEN],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    rows = [line for line in lines if line.startswith("row ")]
    assert "columns n,half,ok,message,timestamp" in lines
    assert rows == [
        f"row {i} {i / 2} {str(i % 2 == 0).lower()} line {i}, \"quoted\" "
        f"2026-11-01T00:00:0{i}{f'.{i:06}' if i else ''}Z"
        for i in range(3)
    ]
    ones = [p["n"] for p in PEOPLE if p["service"] == "s1"]
    assert f"prepared 0 {len(ones)}" in lines
    assert f"prepared 90 {len([n for n in ones if n >= 90])}" in lines
    assert "table public.people" in lines
    assert "column message 12" in lines  # java.sql.Types.VARCHAR
    assert {"schema public", "schema lake"} <= set(lines)
    (mistake,) = [line for line in lines if line.startswith("mistake ")]
    assert "nam" in mistake


def test_elasticsearch_bulk(lake):
    with Elasticsearch(lake.url, api_key=TOKEN) as es:
        assert es.info()["version"]["number"]
        documents = [
            {"_index": "es", "_id": str(i), "service": "es", "message": f"m{i}", "i": i}
            for i in range(1_000)
        ]
        assert helpers.bulk(es, documents, chunk_size=300) == (1_000, [])
        bad = [{"_index": "es", "i": 1_000}, {"_index": "../es", "i": 1_001}, {"_index": "es", "i": 1_002}]
        stored, errors = helpers.bulk(es, bad, raise_on_error=False)
        assert stored == 2 and len(errors) == 1
        assert errors[0]["index"]["status"] == 400 and errors[0]["index"]["error"]["reason"]
        with pytest.raises(helpers.BulkIndexError):
            helpers.bulk(es, bad)
    counted = lake.client.sql("SELECT count(*) AS n, count(DISTINCT i) AS d FROM es")
    assert counted == [{"n": 1_004, "d": 1_002}]


def curl(lake, *arguments: str, stdin: bytes | None = None) -> bytes:
    done = subprocess.run(
        ["curl", "-fsS", "-H", f"Authorization: Bearer {TOKEN}", *arguments],
        input=stdin, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_curl_sends_and_asks(lake, tmp_path):
    packed = gzip.compress(ndjson({"message": f"m{i}", "i": i} for i in range(10)))
    said = curl(
        lake, f"{lake.url}/api/v1/ingest/curl", "-H", "Content-Encoding: gzip",
        "--data-binary", "@-", stdin=packed,
    )  # fmt: skip
    assert b'"stored":10' in said.replace(b" ", b"")
    rows = curl(lake, f"{lake.url}/api/v1/sql", "-d", '{"sql":"SELECT sum(i) AS s FROM curl"}')
    assert rows.strip() == b'{"s":45}'
    # Plain text is SQL too.
    assert curl(lake, f"{lake.url}/api/v1/sql", "-d", "SELECT count(*) AS n FROM curl").strip() == b'{"n":10}'


def test_answers_come_in_the_form_that_was_asked_for(lake):
    sql = f"SELECT {COLUMNS} FROM people ORDER BY n"
    expected = [(p["n"], p["half"], p["ok"], p["message"]) for p in PEOPLE]

    answer = lake.client.try_sql(sql, accept="application/json")
    assert answer.headers["content-type"].startswith("application/json")
    found = answer.json()
    rows = found if isinstance(found, list) else found.get("rows", found.get("data"))
    assert [(r["n"], r["half"], r["ok"], r["message"]) for r in rows] == expected

    answer = lake.client.try_sql(sql, accept="text/csv")
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert rows[0] == ["n", "half", "ok", "message", "timestamp"]
    assert [(int(r[0]), float(r[1]), r[2] == "true", r[3]) for r in rows[1:]] == expected

    answer = lake.client.try_sql(sql, accept="application/vnd.apache.arrow.stream")
    table = ipc.open_stream(answer.body).read_all()
    assert [tuple(r.values())[:4] for r in table.to_pylist()] == expected

    answer = lake.client.try_sql(sql, accept="application/vnd.apache.parquet")
    table = parquet.read_table(io.BytesIO(answer.body))
    assert [tuple(r.values())[:4] for r in table.to_pylist()] == expected

    # No rows are a whole answer too.
    for accept in ("text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"):
        answer = lake.client.try_sql("SELECT n FROM people WHERE n < 0", accept=accept)
        assert answer.status == 200 and answer.body, accept


def test_parameters_over_http(lake):
    sql = "SELECT count(*) AS n FROM people WHERE service = $1 AND n < $2"
    assert lake.client.sql(sql, parameters=["s0", 30]) == [{"n": 10}]


def test_the_command_line_asks(lake):
    done = lake.run("sql", "--url", lake.url, "--format", "csv", "SELECT count(*) AS n FROM people")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == ["n", "100"]
    done = lake.run("sql", "--url", lake.url, "SELECT nam FROM people")
    assert done.returncode != 0 and b"nam" in done.stderr


def test_the_system_views_tell_of_the_lake(lake):
    tables = lake.client.sql("SELECT * FROM lake.tables")
    assert "people" in {row.get("table_name") or row.get("name") for row in tables}
    for view in ("files", "segments", "writers", "members", "queries", "columns"):
        answer = lake.client.try_sql(f"SELECT * FROM lake.{view}")
        assert answer.status == 200, (view, answer.body)
    assert lake.client.value("SELECT count(*) FROM lake.files") >= 1
    assert lake.client.value("SELECT count(*) FROM lake.members") == 1
