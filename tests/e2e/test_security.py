"""No door stands open by accident, and SQL only reads."""

from __future__ import annotations

import subprocess

import adbc_driver_flightsql.dbapi as flightsql
import pytest
from client import Client
from servers import free_port
from servers.loglake import binary

TOKEN = "a-token-for-tests"
HEADER = "adbc.flight.sql.authorization_header"


@pytest.mark.parametrize("door", ["--http", "--grpc"])
def test_a_door_to_the_network_needs_a_token(door, tmp_path):
    other = "--grpc" if door == "--http" else "--http"
    done = subprocess.run(
        [
            binary(), "serve", "--data", str(tmp_path / "data"),
            door, f"0.0.0.0:{free_port()}", other, f"127.0.0.1:{free_port()}",
        ],
        capture_output=True, timeout=20,
    )  # fmt: skip
    said = done.stderr.decode()
    assert done.returncode != 0 and "token" in said and "0.0.0.0" in said, said


@pytest.fixture(scope="module")
def guarded(make_module_lake):
    lake = make_module_lake("directory", token=TOKEN)
    lake.client.store("logs", [{"message": "secret"}])
    return lake


@pytest.mark.parametrize("token", [None, "wrong", "", TOKEN[:-1], TOKEN + "x"])
def test_http_answers_401_without_the_token(guarded, token):
    client = Client(guarded.url, token)
    answers = {
        "sql": client.try_sql("SELECT * FROM logs"),
        "ingest": client.ingest("logs", [{"message": "no"}]),
        "bulk": client.bulk(b'{"create":{"_index":"logs"}}\n{"message":"no"}\n'),
        "flush": client.post("/api/v1/flush"),
        "metrics": client.request("GET", "/metrics"),
        "unknown": client.request("GET", "/no/such/route"),
    }
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 401)
    assert all(b"secret" not in answer.body for answer in answers.values())
    assert guarded.client.value("SELECT count(*) FROM logs") == 1


def test_grpc_refuses_without_the_token(guarded):
    for options in ({}, {HEADER: "Bearer wrong"}, {HEADER: "Bearer "}):
        with pytest.raises(Exception, match="(?i)unauthenticated"):
            with flightsql.connect(guarded.grpc, db_kwargs=options) as connection:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT * FROM logs")
                    cursor.fetchall()
    with flightsql.connect(guarded.grpc, db_kwargs={HEADER: f"Bearer {TOKEN}"}) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT message FROM logs")
            assert cursor.fetchall() == [("secret",)]


def forbidden(folder) -> list[str]:
    return [
        f"COPY (SELECT 1 AS a) TO '{folder}/out.csv'",
        f"COPY logs TO '{folder}/out.parquet' STORED AS PARQUET",
        f"CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '{folder}/in.csv'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TABLE t (a INT)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE SCHEMA s",
        "CREATE DATABASE d",
        "CREATE FUNCTION f(INT) RETURNS INT RETURN $1",
        "INSERT INTO logs (message) VALUES ('x')",
        "UPDATE logs SET message = 'x'",
        "DELETE FROM logs",
        "TRUNCATE TABLE logs",
        "DROP TABLE logs",
        "DROP VIEW lake.tables",
        "ALTER TABLE logs ADD COLUMN a INT",
        "SELECT * FROM '/etc/passwd'",
        f"SELECT * FROM '{folder}/in.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT 1; DROP TABLE logs",
        "EXPLAIN ANALYZE INSERT INTO logs (message) VALUES ('x')",
        f"EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{folder}/out.csv'",
        "PREPARE p AS INSERT INTO logs (message) VALUES ('x')",
        "SET datafusion.runtime.memory_limit = '100G'",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "BEGIN",
    ]


def check_nothing_happened(lake, folder):
    assert sorted(path.name for path in folder.iterdir()) == ["in.csv"]
    assert lake.client.sql("SELECT message FROM logs") == [{"message": "kept"}]
    names = {r["table_name"] for r in lake.client.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")}  # fmt: skip
    assert names == {"logs"}


@pytest.fixture
def lake_and_folder(make_lake, tmp_path):
    lake = make_lake("directory")
    lake.client.store("logs", [{"message": "kept"}])
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "in.csv").write_text("a,b\nsecret,1\n")
    return lake, folder


def test_sql_over_http_only_reads(lake_and_folder):
    lake, folder = lake_and_folder
    for sql in forbidden(folder):
        answer = lake.client.try_sql(sql)
        assert 400 <= answer.status < 500, f"{sql}: {answer.status} {answer.body[:300]!r}"
        error = answer.json()["error"]
        assert error["kind"] in ("invalid", "not_allowed", "not_found") and error["message"], sql
        assert b"root:" not in answer.body and b"secret" not in answer.body, sql
    check_nothing_happened(lake, folder)


def test_sql_over_flight_only_reads(lake_and_folder):
    lake, folder = lake_and_folder
    with flightsql.connect(lake.grpc) as connection:
        for sql in forbidden(folder):
            for prepared in (False, True):
                with connection.cursor() as cursor:
                    with pytest.raises(flightsql.Error) as raised:
                        if prepared:
                            cursor.adbc_prepare(sql)
                        cursor.execute(sql)
                        cursor.fetchall()
                    assert "root:" not in str(raised.value), sql
    check_nothing_happened(lake, folder)


def test_a_directory_has_one_process(make_lake):
    lake = make_lake("directory")
    done = lake.run(
        "serve", "--data", str(lake.data), "--http", f"127.0.0.1:{free_port()}",
        "--grpc", f"127.0.0.1:{free_port()}", timeout=20,
    )  # fmt: skip
    assert done.returncode != 0, "a second process over the same directory"
    assert str(lake.data) in done.stderr.decode()
    lake.client.store("logs", [{"message": "the first goes on"}])
