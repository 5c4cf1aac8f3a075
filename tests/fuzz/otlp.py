"""OTLP logs, protobuf and JSON: as payloads in Kafka that loglake consumes, since it has no port for them. Kafka is
librdkafka's own stand-in, in this process."""

from __future__ import annotations

import json
import random
import threading
import time

from client import Client
from confluent_kafka import Producer

from . import mutate, seeds, trees
from .door import TOKEN, Door, Session
from .fields import Fields, change
from .inputs import Input, LateProblem, Problem
from .mutate import chance

TOPIC = "otlp"
# Inputs on their way to one lake at once, and how long they may be on it.
ON_THE_WAY_MAX = 300
TAKEN_WITHIN_S = 30.0
# Of a payload, as Kafka has it without further settings.
BYTES_MAX = 999_000
_NAMES = ["service.name", "host.name", "http.request.method", "k", "", "a.b", "timestamp", "attributes", "message"]


def _value(rng: random.Random, depth: int = 2):
    """A value as JSON's kinds have it; bytes for OTLP's own."""
    if depth and chance(rng, 0.2):
        return [_value(rng, depth - 1) for _ in range(rng.randrange(3))]
    if depth and chance(rng, 0.2):
        return {rng.choice(_NAMES): _value(rng, depth - 1) for _ in range(rng.randrange(3))}
    return rng.choice(("text", "", 17, -1, 2.5, float("inf"), True, False, None, b"\x00\xff", "\u00e4"))


def _attributes(rng) -> list[tuple[str, object]]:
    return [(rng.choice(_NAMES), _value(rng)) for _ in range(rng.randrange(4))]


def _shape(rng) -> list:
    """Resources of scopes of records, with what each has."""

    def log():
        nanos = (seeds.BEGIN + rng.randrange(3_000)) * 10**9 + rng.randrange(10**9)
        body = seeds.message(rng) if chance(rng, 0.7) else _value(rng)
        return {"time": rng.choice((nanos, nanos, 0)), "body": body, "severity": rng.randrange(26), "attributes": _attributes(rng)}

    def scope():
        return {"attributes": _attributes(rng), "logs": [log() for _ in range(rng.choice((0, 1, 1, 3)))]}

    return [{"attributes": _attributes(rng), "scopes": [scope() for _ in range(rng.choice((1, 1, 2)))]} for _ in range(rng.choice((1, 1, 2)))]


def _pb_any(value) -> Fields:
    fields = Fields()
    if isinstance(value, bool):
        fields.pb(2, value)
    elif isinstance(value, str):
        fields.pb(1, value)
    elif isinstance(value, int):
        fields.pb(3, value)
    elif isinstance(value, float):
        fields.pb(4, value)
    elif isinstance(value, bytes):
        fields.pb(7, value)
    elif isinstance(value, list):
        inner = Fields()
        for each in value:
            inner.pb(1, _pb_any(each))
        fields.pb(5, inner)
    elif isinstance(value, dict):
        fields.pb(6, _pb_pairs(Fields(), 1, list(value.items())))
    return fields


def _pb_pairs(fields: Fields, number: int, pairs) -> Fields:
    for name, value in pairs:
        fields.pb(number, Fields().pb(1, name).pb(2, _pb_any(value)))
    return fields


def protobuf(rng, shape: list) -> Fields:
    """ExportLogsServiceRequest (`opentelemetry/proto/logs/v1/logs.proto`)."""
    request = Fields()
    for resource in shape:
        message = Fields().pb(1, _pb_pairs(Fields(), 1, resource["attributes"]))
        for scope in resource["scopes"]:
            logs = Fields().pb(1, _pb_pairs(Fields().pb(1, "scope").pb(2, "1.0"), 3, scope["attributes"]))
            for log in scope["logs"]:
                logs.pb(2, _pb_log(rng, log))
            message.pb(2, logs)
        request.pb(1, message)
    return request


def _pb_log(rng, log: dict) -> Fields:
    fields = Fields().pb_fixed(1, log["time"]).pb_fixed(11, seeds.BEGIN * 10**9).pb(2, log["severity"]).pb(3, "INFO")
    fields.pb(5, _pb_any(log["body"]))
    _pb_pairs(fields, 6, log["attributes"])
    return fields.pb(8, 1).pb(9, rng.randbytes(16)).pb(10, rng.randbytes(8)).pb(12, "event")


def _json_any(value):
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if value < 1e300 else "Infinity"}
    if isinstance(value, bytes):
        return {"bytesValue": "AP8="}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_json_any(each) for each in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _json_pairs(value.items())}}
    return {}


def _json_pairs(pairs) -> list[dict]:
    return [{"key": name, "value": _json_any(value)} for name, value in pairs]


def as_json(rng, shape: list) -> dict:
    def log(each):
        return {
            "timeUnixNano": str(each["time"]), "severityNumber": each["severity"], "severityText": "INFO", "flags": 1,
            "body": _json_any(each["body"]), "attributes": _json_pairs(each["attributes"]), "traceId": rng.randbytes(16).hex(), "spanId": "0102030405060708",
        }  # fmt: skip

    def scope(each):
        named = {"name": "scope", "version": "1", "attributes": _json_pairs(each["attributes"])}
        return {"scope": named, "logRecords": [log(record) for record in each["logs"]]}

    resources = [
        {"resource": {"attributes": _json_pairs(each["attributes"])}, "scopeLogs": [scope(one) for one in each["scopes"]]}
        for each in shape
    ]
    return {"resourceLogs": resources}


def wide(rng, times: int) -> list:
    """One resource with many attributes, which every one of its many records has."""
    pairs = [(f"attribute-{n}", n) for n in range(times)]
    logs = [{"time": 0, "body": "x", "severity": 0, "attributes": []} for _ in range(times)]
    return [{"attributes": pairs, "scopes": [{"attributes": [], "logs": logs}]}]


class Queue:
    """Payloads go in; loglake has to take them out."""

    def __init__(self):
        self.producer = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "linger.ms": 2, "log_level": 0})
        broker = next(iter(self.producer.list_topics(timeout=10).brokers.values()))
        self.address = f"{broker.host}:{broker.port}"
        self.lock = threading.Lock()
        self.sent = 0

    def put(self, payload: bytes):
        failed: list = []
        self.producer.produce(TOPIC, payload, on_delivery=lambda error, _: error and failed.append(error))
        self.producer.poll(0)
        with self.lock:
            self.sent += 1
            if self.sent % ON_THE_WAY_MAX == 0:
                self.producer.flush(10)
        if failed:
            raise RuntimeError(f"the stand-in for Kafka does not take a record: {failed}")


def left(queue: Queue, client: Client) -> int:
    """Records that loglake has not stored yet."""
    queue.producer.flush(10)
    rows = client.sql("SELECT committed_offset, next_offset FROM lake.kafka")
    return queue.sent - sum(row["next_offset"] or 0 for row in rows)


def taken(queue: Queue, client: Client):
    """Waits until nothing is left: a payload that is no log goes to `dead_letters`, and holds nothing up."""
    until = time.monotonic() + TAKEN_WITHIN_S
    while rest := left(queue, client):
        if time.monotonic() > until:
            raise LateProblem(f"consuming stands still\n{rest} records are left")
        time.sleep(0.1)


class OtlpSession(Session):
    def __init__(self, lake):
        self.queue, self.client, self.sent = lake.beside, Client(lake.url, TOKEN, timeout=20), 0

    def send(self, input_: Input) -> str:
        if len(input_.parts[0]) > BYTES_MAX:
            return "too large for Kafka"
        self.queue.put(input_.parts[0])
        self.sent += 1
        if self.sent % ON_THE_WAY_MAX and not input_.valid:
            return "sent"
        self.settle()
        return "taken"

    def settle(self):
        taken(self.queue, self.client)

    def close(self):
        self.queue.producer.flush(10)


class Otlp(Door):
    format = "otlp_proto"
    suspects = 2 * ON_THE_WAY_MAX
    is_late = True
    clients = 1

    def begin(self):
        queue = Queue()
        settings = {
            "BROKERS": queue.address, "TOPICS": TOPIC, "FORMAT": self.format, "FIELDS": "offset",
            "PROPERTIES": "session.timeout.ms=6000,topic.metadata.refresh.interval.ms=1000",
        }  # fmt: skip
        return {f"LOGLAKE_COLLECT_KAFKA_{name}": value for name, value in settings.items()}, queue

    def prepare(self, lake):
        seeds.prepare(lake)
        lake.beside.put(self._encoded(random.Random(0), _shape(random.Random(0))))
        taken(lake.beside, Client(lake.url, TOKEN))

    def session(self, lake) -> OtlpSession:
        return OtlpSession(lake)

    def _encoded(self, rng, shape) -> bytes:
        return protobuf(rng, shape).bytes()

    def _changed(self, rng, shape) -> bytes:
        return change(rng, protobuf(rng, shape)).bytes()

    def make(self, rng):
        shape, kind = _shape(rng), rng.random()
        if kind < 0.05:
            return Input([self._encoded(rng, shape)], "logs")
        if kind < 0.0505:
            return Input([self._encoded(rng, wide(rng, rng.choice((100, 1_000, 5_000))))], "many attributes of many records")
        if kind < 0.7:
            return Input([self._changed(rng, shape)], "changed")
        return Input([mutate.bytes_(rng, self._encoded(rng, shape))], "changed bytes")

    def check(self, lake):
        client = Client(lake.url, TOKEN)
        taken(lake.beside, client)
        before = client.value(f"SELECT count(*) FROM {TOPIC}")
        log = {"time": 0, "body": "checked", "severity": 9, "attributes": [("a", 1)]}
        lake.beside.put(self._encoded(random.Random(0), [{"attributes": [], "scopes": [{"attributes": [], "logs": [log]}]}]))
        taken(lake.beside, client)
        until = time.monotonic() + 5
        while client.value(f"SELECT count(*) FROM {TOPIC}") != before + 1:
            if time.monotonic() > until:
                raise Problem("a log is consumed and not there")
            time.sleep(0.1)


class OtlpProtobuf(Otlp):
    name = "otlp-protobuf"


class OtlpJson(Otlp):
    name = "otlp-json"
    format = "otlp_json"

    def _encoded(self, rng, shape):
        return json.dumps(as_json(rng, shape)).encode()

    def _changed(self, rng, shape):
        return trees.dumps(trees.change(rng, as_json(rng, shape)), rng)
