"""What is refused is said, by line and with a reason; what stands beside it is stored; the server
neither dies nor swells."""

from __future__ import annotations

import gzip
import json
import subprocess
import urllib.parse
import zlib

import pytest
from client import ndjson

MEMORY_BYTES_MAX = 1 << 30
# Small buffers, so that memory has a bound worth testing.
BOUNDED = {
    "LOGLAKE_LIMITS_BODY_BYTES_MAX": str(64 << 20),
    "LOGLAKE_INGEST_BUFFER_BYTES_MAX": str(128 << 20),
    "LOGLAKE_QUERY_MEMORY_BYTES_MAX": str(128 << 20),
}


@pytest.fixture(scope="module")
def lake(make_module_lake):
    return make_module_lake("directory", env=BOUNDED)


@pytest.fixture(autouse=True)
def alive_and_slim_after(lake):
    yield
    assert lake.alive, lake.log_tail()
    peak = lake.memory_peak_bytes()
    lake.reset_memory_peak()
    print(f"peak memory: {peak >> 20} MiB")
    assert peak < MEMORY_BYTES_MAX, f"{peak >> 20} MiB at the peak"
    assert lake.client.store("alive", [{"message": "still here"}]) == 1


def good(number: int) -> bytes:
    return json.dumps({"service": "ok", "message": "good", "number": number}).encode()


def refused_lines(answer) -> dict[int, str]:
    """By line, runs of lines taken apart."""
    lines: dict[int, str] = {}
    for error in answer.json()["errors"]:
        for line in range(error["line"], error.get("last_line", error["line"]) + 1):
            assert line not in lines
            lines[line] = error["reason"]
    return lines


def between_neighbours(lake, table: str, *bad: bytes) -> dict[int, str]:
    """Sends each bad line between good ones; all good ones are stored, all bad ones refused. The
    reasons, by position in `bad`."""
    lines = [good(0)]
    for number, line in enumerate(bad):
        lines += [line, good(number + 1)]
    answer = lake.client.ingest(table, b"\n".join(lines) + b"\n")
    assert answer.status == 200, answer.body[:2000]
    assert (answer.json()["stored"], answer.json()["rejected"]) == (len(bad) + 1, len(bad)), (
        answer.body[:2000]
    )
    refused = refused_lines(answer)
    assert sorted(refused) == [2 + 2 * number for number in range(len(bad))], refused
    stored = lake.client.sql(f"SELECT number FROM {table} ORDER BY number")
    assert [row["number"] for row in stored] == list(range(len(bad) + 1))
    return {number: refused[2 + 2 * number] for number in range(len(bad))}


def test_malformed_json_in_the_middle(lake):
    bad = [
        b'{"message":"cut',
        b"not json at all",
        b'{"a":1,}',
        b'{"a":1} trailing',
        b'{"a":01}',
        b'{"a":NaN}',
        b'["an","array"]',
        b'"a string"',
        b"17",
        b"null",
        b"{'single':'quotes'}",
        b'{"a":"\\x41"}',
        b'{"a":"\\ud800"}',
        b'{"a":"tab\there"}',
    ]
    reasons = between_neighbours(lake, "malformed", *bad)
    assert all(reasons.values())


def test_wrong_utf8(lake):
    reasons = between_neighbours(
        lake, "utf8", b'{"message":"\xff\xfe"}', b'{"\xc3(":1}', b'{"message":"\xed\xa0\x80"}'
    )
    for reason in reasons.values():
        assert "utf-8" in reason.lower(), reason


def test_a_run_of_equal_reasons_is_one_error(lake):
    body = good(1) + b"\n" + b"[]\n" * 5_000 + good(2) + b"\n"
    answer = lake.client.ingest("runs", body)
    assert answer.status == 200
    (error,) = answer.json()["errors"]
    assert (error["line"], error["last_line"], answer.json()["rejected"]) == (2, 5_001, 5_000)


def test_nothing_stored_is_400(lake):
    answer = lake.client.ingest("nothing", b"nope\n")
    assert answer.status == 400
    assert (answer.json()["stored"], answer.json()["rejected"]) == (0, 1)
    assert refused_lines(answer).keys() == {1}


def test_blank_lines_and_an_empty_body_are_nothing_wrong(lake):
    answer = lake.client.ingest("blank", b"\n\r\n" + good(1) + b"\r\n\n" + good(2))
    assert (answer.status, answer.json()["stored"]) == (200, 2)
    answer = lake.client.ingest("blank", b"")
    assert (answer.status, answer.json()["stored"]) == (200, 0)


def test_a_json_array_names_its_elements(lake):
    body = b'[{"number":1},\n{"number":2}, 7, {"number":3}]'
    answer = lake.client.ingest("array", body)
    assert (answer.status, answer.json()["stored"]) == (200, 3), answer.body
    assert refused_lines(answer).keys() == {3}


def test_a_line_of_50_mb(lake):
    line = b'{"message":"' + b"x" * (50 << 20) + b'"}'
    reasons = between_neighbours(lake, "long", line)
    assert "8388608" in reasons[0] or "8 MiB" in reasons[0], reasons


def curl(lake, tmp_path, path: str, *options: str) -> tuple[int, bytes]:
    """curl reads an answer that comes before the body is sent."""
    out = tmp_path / "answer"
    done = subprocess.run(
        ["curl", "-sS", "-X", "POST", "-o", str(out), "-w", "%{http_code}", *options,
         f"{lake.url}{path}"],
        capture_output=True, timeout=120,
    )  # fmt: skip
    return int(done.stdout or 0), out.read_bytes() if out.exists() else b""


@pytest.mark.parametrize("content", [b"\n", b"x", b'{"message":"bomb"}\n'])
def test_a_gzip_bomb(lake, tmp_path, content):
    bomb = tmp_path / "bomb.gz"
    member = gzip.compress(content * ((1 << 20) // len(content)), 9)
    bomb.write_bytes(member * 4_000)  # 4 GB: members one after the other are one file (RFC 1952)
    assert bomb.stat().st_size < 16 << 20
    status, body = curl(
        lake, tmp_path, "/api/v1/ingest/bomb", "-H", "Content-Encoding: gzip",
        "-H", "Expect:", "--data-binary", f"@{bomb}",
    )  # fmt: skip
    assert status == 413, (status, body[:500])
    assert json.loads(body)["error"]["message"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_that_is_not_what_its_encoding_says(lake, encoding):
    answer = lake.client.post(
        "/api/v1/ingest/encoded", b"not compressed", {"Content-Encoding": encoding}
    )
    assert answer.status == 400 and answer.json()["error"]["message"], answer.body
    whole = zlib.compressobj(wbits=31)
    packed = whole.compress(ndjson({"n": n} for n in range(1000))) + whole.flush()
    if encoding == "gzip":
        answer = lake.client.post(
            "/api/v1/ingest/encoded", packed[:-20], {"Content-Encoding": "gzip"}
        )
        assert answer.status == 400, "a body that is cut must not look whole"
    answer = lake.client.post("/api/v1/ingest/encoded", b"{}", {"Content-Encoding": "br"})
    assert answer.status == 415


def test_a_bulk_body_whose_last_line_is_cut(lake):
    action = b'{"create":{"_index":"cut"}}\n'
    body = action + good(1) + b"\n" + action + good(2)[:-3]
    answer = lake.client.bulk(body)
    if answer.status == 200:
        items = answer.json()["items"]
        assert answer.json()["errors"] is True
        assert items[0]["create"]["status"] == 201
        assert items[1]["create"]["status"] == 400 and items[1]["create"]["error"]["reason"]
        assert lake.client.sql("SELECT number FROM cut") == [{"number": 1}]
    else:
        assert answer.status == 400 and answer.json()["error"]["reason"]
    # An action without its document.
    answer = lake.client.bulk(action + good(3) + b"\n" + action)
    said = answer.body.decode()
    assert answer.status == 400 or answer.json()["items"][1]["create"]["status"] == 400, said


def test_bulk_errors_are_by_item(lake):
    body = b"".join(
        [
            b'{"index":{"_index":"items"}}\n' + good(1) + b"\n",
            b'{"create":{"_index":"items"}}\n{"message":\n',
            b'{"create":{"_index":"../escape"}}\n' + good(2) + b"\n",
            b'{"create":{"_index":"items"}}\n' + good(3) + b"\n",
            b'{"delete":{"_index":"items","_id":"1"}}\n',
            b'{"update":{"_index":"items","_id":"1"}}\n{"doc":{"number":9}}\n',
            b'{"create":{"_index":"items"}}\n' + good(4) + b"\n",
        ]
    )
    answer = lake.client.bulk(body)
    assert answer.status == 200 and answer.json()["errors"] is True, answer.body
    items = [next(iter(item.items())) for item in answer.json()["items"]]
    assert [action for action, _ in items] == [
        "index", "create", "create", "create", "delete", "update", "create",
    ]  # fmt: skip
    good_ones = [0, 3, 6]
    for number, (_, item) in enumerate(items):
        if number in good_ones:
            assert item["status"] in (200, 201), item
        else:
            assert item["status"] >= 400 and item["error"]["reason"], item
    stored = lake.client.sql("SELECT number FROM items ORDER BY number")
    assert stored == [{"number": 1}, {"number": 3}, {"number": 4}]


def test_100_000_field_names_over_many_records(lake):
    records = [
        {"number": r, **{f"field_{r * 100 + f}": r * 100 + f for f in range(100)}}
        for r in range(1_000)
    ]
    assert lake.client.store("wide", records, "zstd") == 1_000
    for flushed in (False, True):
        if flushed:
            lake.client.flush()
        columns = lake.client.value(
            "SELECT count(*) FROM information_schema.columns WHERE table_name = 'wide'"
        )
        assert columns < 1_100
        for number in (0, 500, 999):
            (found,) = lake.client.records(f"SELECT * FROM wide WHERE number = {number}")
            found.pop("timestamp", None)
            assert found == records[number]


def test_100_000_field_names_in_one_record(lake):
    line = json.dumps({f"f{n}": n for n in range(100_000)}).encode()
    reasons = between_neighbours(lake, "widest", line)
    assert "field" in reasons[0], reasons


def test_deep_nesting(lake):
    def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
        return b'{"deep":' + opening * depth + b"1" + closing * depth + b"}"

    bad = [nested(100_000, b"[", b"]"), nested(100_000, b'{"a":', b"}"), nested(65, b"[", b"]")]
    reasons = between_neighbours(lake, "deep", *bad)
    for reason in reasons.values():
        assert "64" in reason or "deep" in reason or "nest" in reason, reason
    kept = json.loads(nested(50, b'{"a":', b"}"))
    lake.client.store("deep_kept", [kept])
    (found,) = lake.client.records("SELECT * FROM deep_kept")
    found.pop("timestamp", None)
    assert found == kept


@pytest.mark.parametrize(
    "time",
    ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"],
)
def test_times_at_the_ends_of_the_calendar(lake, time):
    """Either kept exactly or refused by line."""
    table = f"time_{time[:4]}"
    odd = json.dumps({"timestamp": time, "message": "far away"}).encode()
    answer = lake.client.ingest(table, good(1) + b"\n" + odd + b"\n" + good(2) + b"\n")
    assert answer.status == 200, answer.body
    if answer.json()["rejected"]:
        assert answer.json()["stored"] == 2
        assert refused_lines(answer).keys() == {2}
        return
    assert answer.json()["stored"] == 3
    for flushed in (False, True):
        if flushed:
            lake.client.flush()
        found = lake.client.records(f"SELECT * FROM {table} WHERE message = 'far away'")
        assert found == [{"timestamp": time, "message": "far away"}]


@pytest.mark.parametrize("time", ["yesterday", "2026-13-01T00:00:00Z", "", True])
def test_a_time_that_is_none_is_not_lost(lake, time):
    """Refused with a reason, or stored at its arrival with the value kept."""
    table = "no_time"
    odd = json.dumps({"timestamp": time, "message": str(time)}).encode()
    answer = lake.client.ingest(table, good(1) + b"\n" + odd + b"\n")
    assert answer.status == 200, answer.body
    if answer.json()["rejected"]:
        assert refused_lines(answer).keys() == {2}
    else:
        (found,) = lake.client.records(f"SELECT * FROM {table} WHERE message = '{time}'")
        assert found["timestamp"] == time


TABLE_NAMES = ["..", ".", "a/b", "../../etc/passwd", "a..b", "_wal", "_writers", "", "ä", "a b",
               "x" * 129, "a\\b", "%2e%2e", "a\x00b", "logs;drop", 'a"b']  # fmt: skip


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_table_names_that_leave_their_folder(lake, name):
    before = sorted(path.name for path in (lake.data).glob("*"))
    tables = sorted(path.name for path in (lake.data / "default").glob("*"))
    path = urllib.parse.quote(name, safe="").replace(".", "%2E")
    answer = lake.client.post(f"/api/v1/ingest/{path}", good(1))
    assert 400 <= answer.status < 500, answer.body
    assert answer.json()["error"]["message"]
    action = json.dumps({"create": {"_index": name}}).encode()
    answer = lake.client.bulk(action + b"\n" + good(1) + b"\n")
    if answer.status == 200:
        assert answer.json()["items"][0]["create"]["status"] == 400, answer.body
    else:
        assert answer.status == 400
    assert sorted(path.name for path in (lake.data).glob("*")) == before
    assert sorted(path.name for path in (lake.data / "default").glob("*")) == tables


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT\n  nam\nFROM alive", (2, 3)),
        ("SELECT * FROM nowhere", (1, 15)),
        ("SELEC 1", (1, 1)),
        ("SELECT * FROM alive WHERE", None),
        ("SELECT nofunction(1)", (1, 8)),
    ],
)
def test_a_mistake_in_sql_says_where(lake, sql, place):
    lake.client.store("alive", [{"message": "here"}])
    answer = lake.client.try_sql(sql)
    assert answer.status in (400, 404), answer.body
    error = answer.json()["error"]
    assert error["message"]
    if place is not None:
        assert (error.get("line"), error.get("column")) == place, error


@pytest.mark.parametrize("part", [" AND n = 1", " OR message = 'm'", " + 0", " UNION ALL SELECT 1"])
def test_sql_in_long_chains(lake, part):
    """Longer than a stack goes is refused; what is not refused is answered."""
    lake.client.store("chained", [{"n": 1, "message": "m"}])
    for count in (250, 20_000):
        answer = lake.client.try_sql(f"SELECT count(*) FROM chained WHERE n > 0{part * count}")
        assert answer.status == (400 if count > 1_000 else 200), answer.body[:500]
        assert count < 1_000 or "at most" in answer.json()["error"]["message"]


def test_requests_that_are_none(lake):
    client = lake.client
    assert client.post("/api/v1/sql", b"{", {"Content-Type": "application/json"}).status == 400
    assert client.post("/api/v1/sql", b"").status == 400
    assert client.request("DELETE", "/api/v1/sql").status == 405
    assert client.request("GET", "/api/v1/nothing").status == 404
    assert client.try_sql("SELECT 1", accept="image/png").status == 406
