"""A plain HTTP client of loglake: what a test says, and nothing clever."""

from __future__ import annotations

import gzip
import http.client
import json
import time
import urllib.parse
from dataclasses import dataclass

import zstandard


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.body.splitlines()]


class Refused(Exception):
    """An answer that is not 2xx."""

    def __init__(self, answer: Answer):
        super().__init__(f"{answer.status}: {answer.body[:2000].decode(errors='replace')}")
        self.answer = answer


def ndjson(records) -> bytes:
    lines = (json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in records)
    return ("\n".join(lines) + "\n").encode()


class Client:
    def __init__(self, url: str, token: str | None = None, timeout: float = 120):
        self.host = urllib.parse.urlsplit(url).netloc
        self.token, self.timeout = token, timeout

    def request(self, method: str, path: str, body: bytes = b"", headers=None) -> Answer:
        headers = dict(headers or {})
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        connection = http.client.HTTPConnection(self.host, timeout=self.timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: bytes = b"", headers=None) -> Answer:
        return self.request("POST", path, body, headers)

    def ingest(self, table: str, records, encoding: str | None = None) -> Answer:
        """`records`: objects, or bytes as they are to be sent."""
        body = records if isinstance(records, bytes) else ndjson(records)
        headers = {"Content-Type": "application/x-ndjson"}
        if encoding == "gzip":
            body = gzip.compress(body, 1)
        elif encoding == "zstd":
            body = zstandard.compress(body, 1)
        if encoding:
            headers["Content-Encoding"] = encoding
        return self.post(f"/api/v1/ingest/{urllib.parse.quote(table, safe='')}", body, headers)

    def store(self, table: str, records, encoding: str | None = None) -> int:
        """Ingests records of which none may be refused; how many."""
        answer = self.ingest(table, records, encoding)
        if answer.status != 200 or answer.json()["rejected"]:
            raise Refused(answer)
        return answer.json()["stored"]

    def bulk(self, body: bytes, index: str | None = None) -> Answer:
        path = f"/{urllib.parse.quote(index, safe='')}/_bulk" if index else "/_bulk"
        return self.post(path, body, {"Content-Type": "application/x-ndjson"})

    def try_sql(self, sql: str, accept: str = "application/x-ndjson", **more) -> Answer:
        body = json.dumps({"sql": sql, **more}).encode()
        headers = {"Content-Type": "application/json", "Accept": accept}
        return self.post("/api/v1/sql", body, headers)

    def sql(self, sql: str, **more) -> list[dict]:
        answer = self.try_sql(sql, **more)
        if answer.status != 200:
            raise Refused(answer)
        return answer.lines()

    def value(self, sql: str, **more):
        """The one value of the one row."""
        (row,) = self.sql(sql, **more)
        (value,) = row.values()
        return value

    def records(self, sql: str) -> list[dict]:
        """Rows as the records that were sent."""
        return self.sql(sql, shape="record")

    def flush(self):
        answer = self.post("/api/v1/flush")
        if answer.status != 200:
            raise Refused(answer)


def until(condition, what: str, within_s: float = 30.0, every_s: float = 0.05):
    """Waits for `condition` to give something true, and gives it back."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(every_s)
