"""Shippers that send records until each batch is acknowledged, and askers that check answers."""

from __future__ import annotations

import dataclasses
import datetime
import http.client
import json
import random
import socket
import threading
import time
from collections import Counter

from . import ledger as books
from .ledger import SLICE, TABLES, Attempt, Ledger, Outages, Seen, Verdict

# Two addresses that hang after one another leave time for the third within the bound of two seconds.
CONNECT_S = 0.4
ANSWER_S = 0.85
STALE = "stale connection"
# A shipper behind a load balancer meets every node now and then.
STAYS_S = (3.0, 12.0)
EXTRA_COLUMNS = 24


@dataclasses.dataclass
class Results:
    """What all shippers and askers saw."""

    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    ack_s: list[float] = dataclasses.field(default_factory=list)
    outage_s: float = 0.0
    outage_of: str = ""
    outages: list[tuple[float, str]] = dataclasses.field(default_factory=list)
    store_outage_s: float = 0.0
    answers: Counter = dataclasses.field(default_factory=Counter)
    queries: Counter = dataclasses.field(default_factory=Counter)
    query_s: list[float] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)
    verdict: Verdict = dataclasses.field(default_factory=Verdict)


class Connection:
    """One kept-alive HTTP connection; a new one after an error."""

    def __init__(self, host: str, port: int, token: str | None):
        self.host, self.port = host, port
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http: http.client.HTTPConnection | None = None
        self.reused = False  # the last request went over a connection that was there before it

    def post(
        self, path: str, body: bytes, kind: str, answer_s: float, more: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": kind, "Accept": "application/x-ndjson", **self.headers}
        headers |= more or {}
        self.reused = self._http is not None and self._http.sock is not None
        try:
            connection = self._connected()
            connection.sock.settimeout(answer_s)
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self.close()
            raise

    def _connected(self) -> http.client.HTTPConnection:
        if self._http is None or self._http.sock is None:  # never was, or the server closed it
            self._http = http.client.HTTPConnection(self.host, self.port, timeout=CONNECT_S)
            self._http.connect()
            self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._http

    def close(self):
        if self._http is not None:
            self._http.close()
            self._http = None


class Shipper(threading.Thread):
    """Has all ingesters' addresses; after an error or a timeout it goes to the next one.

    A try has an attempt's number of its own, unless the shipper sends idempotency keys: then a batch is
    one attempt, sent again with its key until it is acknowledged.
    """

    def __init__(
        self, name: str, addresses: list[tuple[str, int]], token: str | None, ledger: Ledger,
        results: Results, store_outages: Outages, rows_per_s: float, seed: str, bulk: bool,
        keyed: bool, stopping: threading.Event,
    ):  # fmt: skip
        super().__init__(name=name, daemon=True)
        self.client, self.ledger, self.results = name, ledger, results
        self.store_outages, self.bulk, self.stopping = store_outages, bulk, stopping
        self.keyed, self.key_prefix = keyed, f"{name}-{random.SystemRandom().randrange(10**9)}"
        self.random = random.Random(seed)
        self.connections = [Connection(host, port, token) for host, port in addresses]
        self.at = self.random.randrange(len(addresses))
        self.stays_until = 0.0
        self.rows_per_s = rows_per_s

    def run(self):
        try:
            due = time.monotonic()
            while not self.stopping.is_set():
                rows = self.random.choice([1, 5, 30, 100, 200])
                self._ship(rows)
                due = max(due + rows / self.rows_per_s, time.monotonic() - 1)
                self.stopping.wait(max(0.0, due - time.monotonic()))
        except Exception as error:
            with self.results.lock:
                self.results.wrong.append(f"shipper {self.client} ended: {error!r}")
            raise
        finally:
            for connection in self.connections:
                connection.close()

    def _ship(self, rows: int):
        """One batch, until it is acknowledged."""
        self._maybe_move()
        began = time.monotonic()
        tries = []
        attempt, request = None, None
        while not self.stopping.is_set():
            if attempt is None or request is None or not self.keyed:
                attempt = self.ledger.begin(self.client, lambda number: self._spread(number, rows))
                request = self._request(attempt)
            outcome = self._try(attempt, request)
            tries.append(outcome)
            with self.results.lock:
                self.results.answers[outcome] += 1
            if outcome == "200":
                self._acknowledged(began, attempt, tries)
                return
            if outcome == STALE:
                continue  # the server closed it while it was idle: once more on a new one
            self.at = (self.at + 1) % len(self.connections)
            if len(tries) % len(self.connections) == 0:  # everybody was asked
                self.stopping.wait(0.1)
        self._gave_up(began, tries)

    def _maybe_move(self):
        if time.monotonic() > self.stays_until:
            self.at = self.random.randrange(len(self.connections))
            self.stays_until = time.monotonic() + self.random.uniform(*STAYS_S)

    def _spread(self, number: int, rows: int) -> tuple[int, ...]:
        if self.bulk:
            return tuple(len(range(i, rows, len(TABLES))) for i in range(len(TABLES)))
        chosen = number * 7 // 3 % len(TABLES)
        return tuple(rows if i == chosen else 0 for i in range(len(TABLES)))

    def _try(self, attempt: Attempt, request: tuple[str, bytes]) -> str:
        path, body = request
        connection = self.connections[self.at]
        key = {"Idempotency-Key": f"{self.key_prefix}-{attempt.number}"} if self.keyed else None
        try:
            status, content = connection.post(path, body, "application/x-ndjson", ANSWER_S, key)
        except (OSError, http.client.HTTPException) as error:
            closed = isinstance(error, (ConnectionError, http.client.RemoteDisconnected))
            return STALE if closed and connection.reused else type(error).__name__
        acknowledged = status == 200 and self._all_stored(attempt, content)
        if acknowledged:
            self.ledger.acknowledge(attempt)
        if status == 200 and not acknowledged:
            return "200 with rejections"
        if status not in (200, 429, 503):
            with self.results.lock:
                where = f"{connection.host}: {status} {content[:400]!r}"
                self.results.answers[f"e.g. {where}"[:160]] += 1
        return str(status)

    def _all_stored(self, attempt: Attempt, content: bytes) -> bool:
        answer = json.loads(content)
        if self.bulk:
            # An item may be told to come back (429, 503): its row counts as unanswered.
            statuses = [item["create"]["status"] for item in answer["items"]]
            return len(statuses) == sum(attempt.rows) and all(s == 201 for s in statuses)
        if answer["stored"] != sum(attempt.rows) or answer["rejected"]:
            with self.results.lock:
                self.results.wrong.append(f"{attempt}: answered {content[:300]!r}")
            return False
        return True

    def _acknowledged(self, began: float, attempt: Attempt, tries: list[str]):
        with self.results.lock:
            if len(tries) == 1:
                self.results.ack_s.append(attempt.acked - began)
        self._note_outage(began, attempt.acked, tries)

    def _gave_up(self, began: float, tries: list[str]):
        """The storm ended before the batch was acknowledged."""
        if tries:
            self._note_outage(began, time.monotonic(), tries)

    def _note_outage(self, began: float, ended: float, tries: list[str]):
        took = ended - began
        with self.results.lock:
            if self.store_outages.overlap(began, ended):
                self.results.store_outage_s = max(self.results.store_outage_s, took)
                return
            if took > 1.0:
                at = datetime.datetime.now().strftime("%H:%M:%S.%f")[:-3]
                said = f"{self.client} until {at}: {', '.join(tries)}"
                self.results.outages.append((took, said))
                self.results.outages.sort(reverse=True)
                del self.results.outages[10:]
            self.results.outage_s = max(self.results.outage_s, took)

    def _request(self, attempt: Attempt) -> tuple[str, bytes]:
        lines = []
        for table, rows in enumerate(attempt.rows):
            for row in range(rows):
                if self.bulk:
                    lines.append(f'{{"create":{{"_index":"{TABLES[table]}"}}}}')
                lines.append(json.dumps(self._record(attempt, row)))
        body = ("\n".join(lines) + "\n").encode()
        if self.bulk:
            return "/_bulk", body
        table = next(i for i, rows in enumerate(attempt.rows) if rows)
        return f"/api/v1/ingest/{TABLES[table]}", body

    def _record(self, attempt: Attempt, row: int) -> dict:
        number = attempt.number
        record = {
            "service": attempt.service,
            "level": self.random.choice(["info", "info", "warn", "error"]),
            "message": f"attempt {number} of {attempt.client} row {row} {self.random.randbytes(20).hex()}",
            "client": attempt.client,
            "attempt": number,
            "slice": number // SLICE,
            "id": number * books.ROWS_MAX + row,
        }
        late = self.random.random()
        if late < 0.9:  # the rest get the time of their arrival
            age_s = self.random.uniform(0, 2) if late < 0.85 else self.random.uniform(0, 4 * 3600)
            moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age_s)
            record["timestamp"] = moment.isoformat()
        if self.random.random() < 0.02:  # columns come up during the storm
            most = min(EXTRA_COLUMNS, 1 + number // 40)
            record[f"extra_{self.random.randrange(most)}"] = self.random.choice([1, "one", 1.5])
        return record


class Asker(threading.Thread):
    """Asks one querier again and again, and checks every answer against the ledger."""

    def __init__(
        self, name: str, address: tuple[str, int], token: str | None, ledger: Ledger,
        results: Results, seed: str, stopping: threading.Event, on_wrong,
    ):  # fmt: skip
        super().__init__(name=f"asker of {name}", daemon=True)
        self.querier, self.ledger, self.results = name, ledger, results
        self.connection = Connection(*address, token)
        self.random = random.Random(seed)
        self.stopping, self.on_wrong = stopping, on_wrong

    def run(self):
        try:
            while not self.stopping.is_set():
                self._ask_one()
        except Exception as error:
            with self.results.lock:
                self.results.wrong.append(f"the asker of {self.querier} ended: {error!r}")
            raise
        finally:
            self.connection.close()

    def _ask_one(self):
        question = self._question()
        try:
            verdict = question()
        except (OSError, http.client.HTTPException, Refused) as error:
            what = str(error) if isinstance(error, Refused) else type(error).__name__
            with self.results.lock:
                self.results.queries[f"error {what}"] += 1
            self.stopping.wait(0.2)
            return
        if verdict is None:
            self.stopping.wait(0.2)
            return
        with self.results.lock:
            self.results.queries["checked"] += 1
            if verdict:
                at = datetime.datetime.now().strftime("%H:%M:%S.%f")[:-3]
                self.results.queries["wrong"] += 1
                self.results.wrong.append(f"{at} {self.querier}: {verdict}")
        if verdict:
            self.on_wrong()
        self.stopping.wait(self.random.uniform(0, 0.1))

    def _question(self):
        draw = self.random.random()
        table = self.random.randrange(len(TABLES))
        client = self.random.choice(list(self.ledger.attempts))
        last = self.ledger.last(client)
        if last < 0:
            return lambda: None
        if draw < 0.5:
            return lambda: self.ask_attempts(table, client, max(0, last // SLICE - 1), last // SLICE)
        if draw < 0.75:
            number = self.random.randint(0, last) // SLICE
            return lambda: self.ask_attempts(table, client, number, number)
        if draw < 0.9:
            service = books.service_of(client, self.random.randint(0, last))
            return lambda: self.ask_attempts(table, client, max(0, last // SLICE - 3), last // SLICE, service)
        return lambda: self.ask_slices(table)

    def ask_attempts(
        self, table: int, client: str, first: int, last: int, service: str | None = None
    ) -> Verdict:
        """Each attempt of some slices of a client."""
        only = f" AND service = '{service}'" if service else ""
        sql = (
            f"SELECT attempt, count(*) AS n, count(DISTINCT id) AS d, sum(id) AS s "
            f"FROM {TABLES[table]} WHERE client = '{client}' "
            f"AND slice BETWEEN {first} AND {last}{only} GROUP BY attempt"
        )
        asked, rows, answered = self._ask(sql)
        seen = {row["attempt"]: Seen(row["n"], row["d"], row["s"]) for row in rows}
        attempts = self.ledger.of(client, first * SLICE, (last + 1) * SLICE)
        if service:
            attempts = [attempt for attempt in attempts if attempt.service == service]
        verdict = books.judge_attempts(attempts, table, seen, asked, answered)
        return verdict

    def ask_all(self, table: int) -> Verdict:
        """Each attempt there ever was."""
        sql = (
            f"SELECT client, attempt, count(*) AS n, count(DISTINCT id) AS d, sum(id) AS s "
            f"FROM {TABLES[table]} GROUP BY client, attempt"
        )
        asked, rows, answered = self._ask(sql, within_s=120)
        return self._judge(books.judge_attempts, "attempt", table, rows, asked, answered)

    def ask_slices(self, table: int) -> Verdict:
        """Everything, by the slice."""
        sql = (
            f"SELECT client, slice, count(*) AS n, count(DISTINCT id) AS d, sum(id) AS s "
            f"FROM {TABLES[table]} GROUP BY client, slice"
        )
        asked, rows, answered = self._ask(sql)
        return self._judge(books.judge_slices, "slice", table, rows, asked, answered)

    def _judge(self, judge, unit: str, table: int, rows: list[dict], asked, answered) -> Verdict:
        seen: dict[str, dict[int, Seen]] = {client: {} for client in self.ledger.attempts}
        verdict = Verdict()
        for row in rows:
            if row["client"] not in seen:
                verdict.unknown.append(f"client {row['client']} never was")
                continue
            seen[row["client"]][row[unit]] = Seen(row["n"], row["d"], row["s"])
        for client, of_client in seen.items():
            verdict.add(judge(self.ledger.of(client), table, of_client, asked, answered))
        return verdict

    def _ask(self, sql: str, within_s: float = 20) -> tuple[float, list[dict], float]:
        asked = time.monotonic()
        body = json.dumps({"sql": sql}).encode()
        status, content = self.connection.post("/api/v1/sql", body, "application/json", within_s)
        answered = time.monotonic()
        with self.results.lock:
            self.results.query_s.append(answered - asked)
        if status != 200:
            if status < 429 and self._had_rows(asked):
                raise AssertionError(f"{sql} was answered {status} {content[:400]!r}")
            raise Refused(status, content)
        return asked, [json.loads(line) for line in content.splitlines()], answered

    def _had_rows(self, asked: float) -> bool:
        """Every table has acknowledged rows: none may be called unknown."""
        first = [a for client in self.ledger.attempts for a in self.ledger.of(client, 0, 50)]
        filled = (any(a.acked <= asked and a.rows[t] for a in first) for t in range(len(TABLES)))
        return all(filled)


class Refused(Exception):
    def __init__(self, status: int, content: bytes):
        super().__init__(f"{status} {content[:160].decode(errors='replace')}")
        self.status = status
