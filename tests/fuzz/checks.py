"""A sane request of every door, and that what came in can be read, flushed and verified."""

from __future__ import annotations

import http.client
import json

import adbc_driver_flightsql.dbapi as flight_sql
from client import Client, Refused
from confluent_kafka import Consumer, Producer

from . import seeds
from .door import TOKEN, Door
from .http import read_json
from .inputs import Problem

TABLES_READ = 25
_SASL = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "SCRAM-SHA-256",
    "sasl.username": "fuzz",
    "sasl.password": TOKEN,
}


def everything(lake, door: Door):
    client = Client(lake.url, TOKEN, timeout=60)
    try:
        _http(client)
        _kafka(lake, client)
        _flight(lake)
        door.check(lake)
        counts = _counts(client)
        client.flush()
        after = _counts(client)
    except (OSError, http.client.HTTPException, Refused, AssertionError, ValueError, flight_sql.Error) as error:
        raise Problem(f"a sane request: {type(error).__name__}: {error}") from error
    changed = {table: (n, after.get(table)) for table, n in counts.items() if after.get(table) != n}
    if changed:
        raise Problem(f"other counts after a flush\n{changed}")
    if lake.stop() != 0:
        raise Problem("it does not end well when asked to")
    lake.verify()


def _http(client: Client):
    assert client.store("sane", [{"message": "sane", "n": 1}]) == 1
    answer = client.bulk(b'{"create":{"_index":"sane"}}\n{"message":"sane"}\n')
    assert answer.status == 200 and not answer.json()["errors"], answer.body
    assert client.value("SELECT count(*) FROM sane") >= 2


def _kafka(lake, client: Client):
    failed = []
    common = {"bootstrap.servers": lake.kafka, **_SASL}
    producer = Producer({**common, "message.timeout.ms": 20_000})
    producer.produce("sane", json.dumps({"message": "kafka"}), on_delivery=lambda e, _: e and failed.append(e))
    assert producer.flush(30) == 0 and not failed, failed
    assert client.value("SELECT count(*) FROM sane WHERE message = 'kafka'") >= 1
    consumer = Consumer({**common, "group.id": "sane", "auto.offset.reset": "earliest"})
    consumer.subscribe([seeds.READ])
    try:
        message = consumer.poll(30)
        assert message is not None and not message.error(), message and message.error()
    finally:
        consumer.close()


def _flight(lake):
    header = {"adbc.flight.sql.authorization_header": f"Bearer {TOKEN}"}
    with flight_sql.connect(lake.grpc, db_kwargs=header) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sane")
        assert cursor.fetchone()[0] >= 2


def _counts(client: Client) -> dict[str, int]:
    """Rows by table, of some tables; the rows of each can be read, too."""
    sql = "SELECT table_name AS t FROM information_schema.tables WHERE table_schema = 'public' ORDER BY length(table_name), 1"
    names = [row["t"] for row in client.sql(f"{sql} LIMIT {TABLES_READ}")]
    counts = {}
    for name in names:
        quoted = '"' + name.replace('"', '""') + '"'
        counts[name] = client.value(f"SELECT count(*) FROM {quoted}")
        _readable(client, quoted)
    return counts


def _readable(client: Client, table: str):
    """Its rows can be given back as records."""
    answer = client.try_sql(f"SELECT * FROM {table} LIMIT 300", shape="record")
    assert answer.status == 200, answer.body[:1_000]
    for line in filter(None, answer.body.split(b"\n")):
        read_json(line, line[:3_000].decode(errors="replace"))
