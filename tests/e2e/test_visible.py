"""Acknowledged means visible; and what went in comes out as it was."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

TRIES = 200


def test_a_query_after_the_acknowledgement_sees_the_record(lake):
    client = lake.client
    for number in range(TRIES):
        assert client.store("visible", [{"service": "v", "message": "now", "number": number}]) == 1
        seen = client.value(f"SELECT count(*) FROM visible WHERE number = {number}")
        assert seen == 1, f"record {number} is {seen} times there after its acknowledgement"
        if number % 50 == 25:
            client.flush()
    row = client.sql("SELECT count(*) AS n, count(DISTINCT number) AS d FROM visible")[0]
    assert row == {"n": TRIES, "d": TRIES}


# As text: what comes back must be the same JSON, number for number.
RECORDS = [
    '{"id":0,"timestamp":"2026-11-01T13:14:15.123456789Z","service":"a","level":"INFO","message":"m"}',
    '{"id":1,"timestamp":"2026-11-01T13:14:15Z","message":"no service, no level"}',
    '{"id":2,"timestamp":"2026-11-01T13:14:15.000000001Z","service":"","level":"","message":""}',
    '{"id":3,"timestamp":"2026-11-01T13:14:15Z","nested":{"a":{"b":1,"c":[1,2,{"d":null}]},"e":"f"}}',
    '{"id":4,"timestamp":"2026-11-01T13:14:15Z","nested.a.b":2,"dotted.only":true}',
    '{"id":5,"timestamp":"2026-11-01T13:14:15Z","mixed":1}',
    '{"id":6,"timestamp":"2026-11-01T13:14:15Z","mixed":"one"}',
    '{"id":7,"timestamp":"2026-11-01T13:14:15Z","mixed":1.5}',
    '{"id":8,"timestamp":"2026-11-01T13:14:15Z","mixed":null}',
    '{"id":9,"timestamp":"2026-11-01T13:14:15Z","mixed":[1,"two",false]}',
    '{"id":10,"timestamp":"2026-11-01T13:14:15Z","mixed":{"deep":{"er":[[],{}]}}}',
    '{"id":11,"timestamp":"2026-11-01T13:14:15Z","empty_object":{},"empty_array":[],"empty":""}',
    '{"id":12,"timestamp":"2026-11-01T13:14:15Z","big":9223372036854775807,"small":-9223372036854775808}',
    '{"id":13,"timestamp":"2026-11-01T13:14:15Z","big":18446744073709551616,"small":1e400}',
    '{"id":14,"timestamp":"2026-11-01T13:14:15Z","float":0.1,"exact":3.141592653589793}',
    '{"id":15,"timestamp":"2026-11-01T13:14:15Z","text":"\\u0000 \\t \\n \\" \\\\ \\u2028 😀 \\ud83d\\ude00 é"}',
    '{"id":16,"timestamp":"2026-11-01T13:14:15Z","sp ace":1,"comma,":2,"=":3,"":4,"quote\\"":5}',
    '{"id":17,"timestamp":"2026-11-01T13:14:15Z","attributes":{"a":1},"date":"x","hour":"y","nanos":7}',
    '{"id":18,"timestamp":"2026-11-01T13:14:15Z","Case":1,"case":2,"CASE":"three"}',
    '{"id":19,"timestamp":"2026-11-01T13:14:15Z","level":30,"message":["m"]}',
    '{"id":21,"timestamp":"1970-01-01T00:00:00.000000001Z","message":"at the epoch"}',
    '{"id":24,"timestamp":"2026-11-01T13:14:15Z","nested":"no object here","dotted":{"only":false}}',
]


def parse(text: str):
    """Numbers exactly, so that no rounding hides a difference; whole ones stay apart from others."""
    return json.loads(text, parse_float=Decimal, parse_int=int)


@pytest.mark.parametrize("flushed", [False, True], ids=["fresh", "committed"])
def test_records_come_back_as_the_json_that_was_sent(lake, flushed):
    table = f"round_trip_{flushed}".lower()
    body = ("\n".join(RECORDS) + "\n").encode()
    assert lake.client.store(table, body) == len(RECORDS)
    if flushed:
        lake.client.flush()
    answer = lake.client.try_sql(f"SELECT * FROM {table} ORDER BY id", shape="record")
    assert answer.status == 200, answer.body
    back = [parse(line) for line in answer.body.decode().strip("\n").split("\n")]
    assert len(back) == len(RECORDS)
    changed = [(sent, found) for sent, found in zip(map(parse, RECORDS), back) if found != sent]
    assert not changed


@pytest.mark.parametrize(
    "sent, back",
    [
        # A time is an instant: it comes back as RFC 3339 in UTC.
        ('"timestamp":"2026-11-01T15:14:15.5+02:00"', '"timestamp":"2026-11-01T13:14:15.500Z"'),
        ('"timestamp":"2026-11-01"', '"timestamp":"2026-11-01T00:00:00Z"'),
        ('"timestamp":1793538000123', '"timestamp":"2026-11-01T13:00:00.123Z"'),
        ('"timestamp":"2026-11-01T13:14:15.100Z"', '"timestamp":"2026-11-01T13:14:15.100Z"'),
        # Aliases come back as the canonical names.
        ('"@timestamp":"2026-11-01T13:14:15Z"', '"timestamp":"2026-11-01T13:14:15Z"'),
        ('"time":1793538000,"service":{"name":"s"}', '"timestamp":"2026-11-01T13:00:00Z","service":"s"'),
        ('"time":1793538000,"service.name":"s"', '"timestamp":"2026-11-01T13:00:00Z","service":"s"'),
        (
            '"time":1793538000,"msg":"m","severity":"warn"',
            '"timestamp":"2026-11-01T13:00:00Z","message":"m","level":"warn"',
        ),
        # What is no alias's value stays as it is.
        (
            '"time":1793538000,"level":{"name":"warn"}',
            '"timestamp":"2026-11-01T13:00:00Z","level":{"name":"warn"}',
        ),
    ],
)
def test_other_spellings_come_back_in_the_canonical_one(plain_lake, sent, back):
    assert plain_lake.client.store("spellings", f"{{{sent}}}\n".encode()) == 1
    found = plain_lake.client.try_sql("SELECT * FROM spellings", shape="record").body.decode()
    assert parse(f"{{{back}}}") in [parse(line) for line in found.strip().split("\n")]


def test_a_record_without_a_time_gets_that_of_its_arrival_and_keeps_the_rest(lake):
    lake.client.store("timeless", [{"message": "when?", "n": 1}])
    row = lake.client.sql(
        "SELECT message, n, \"timestamp\" BETWEEN now() - INTERVAL '5 minutes' AND now() AS recent "
        "FROM timeless"
    )
    assert row == [{"message": "when?", "n": 1, "recent": True}]
    (record,) = lake.client.records("SELECT * FROM timeless")
    record.pop("timestamp", None)
    assert record == {"message": "when?", "n": 1}
