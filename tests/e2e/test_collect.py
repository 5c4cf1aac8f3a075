"""From Kafka: topics of a real Kafka into tables, each record once. Counted by SQL, and by a consumer of
another make that reads the topics beside loglake."""

from __future__ import annotations

import collections
import json
import os
import random
import struct
import subprocess
import threading
import time

import pytest
from client import until
from servers import Kafka, ServerError
from servers.kafka import is_there
from servers.loglake import binary

confluent_kafka = pytest.importorskip("confluent_kafka")
kafka_python = pytest.importorskip("kafka")
from confluent_kafka import Producer, TopicPartition  # noqa: E402

if not is_there():
    pytest.skip("no Java or no jars of Kafka: python3 -m servers kafka", allow_module_level=True)

ROUNDS = int(os.environ.get("LOGLAKE_COLLECT_ROUNDS", "4"))
SEED = int(os.environ.get("LOGLAKE_COLLECT_SEED", "1"))
BRISK = {
    "LOGLAKE_WAL_LINGER_MS": "5",
    "LOGLAKE_INGEST_FLUSH_AGE_S": "2",
    "LOGLAKE_COORDINATION_LEASE_S": "2",
}
PLACE = "LOGLAKE_COLLECT_KAFKA_FIELDS"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with Kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


def collecting(kafka: Kafka, topics: str, **more: str) -> dict[str, str]:
    """The environment of a lake that consumes topics."""
    settings = {"brokers": kafka.address, "topics": topics, "group": f"lake-{topics}", "fields": "partition,offset"}
    settings["properties"] = "session.timeout.ms=6000,topic.metadata.refresh.interval.ms=1000"
    settings |= more
    return {f"LOGLAKE_COLLECT_KAFKA_{name.upper()}": value for name, value in settings.items()} | BRISK


def produce(kafka: Kafka, topic: str, payloads, key=None, headers=None, partition=None):
    """Sends the payloads; all must be taken."""
    errors = []
    settings = {"bootstrap.servers": kafka.address, "linger.ms": 5, "enable.idempotence": True}
    producer = Producer({**settings, "message.timeout.ms": 60_000, "queue.buffering.max.messages": 2_000_000})
    more = {} if partition is None else {"partition": partition}
    for payload in payloads:
        producer.produce(
            topic, payload, key=key, headers=headers, **more,
            on_delivery=lambda error, _: error and errors.append(error),
        )  # fmt: skip
        producer.poll(0)
    assert producer.flush(90) == 0 and not errors, errors[:3]


def numbered(count: int, first: int = 0):
    return [json.dumps({"message": f"m {n}", "n": n}) for n in range(first, first + count)]


def there(kafka: Kafka, topic: str) -> set[tuple[int, int]]:
    """Every record of the topic by partition and offset, as kafka-python reads it."""
    consumer = kafka_python.KafkaConsumer(bootstrap_servers=kafka.address, consumer_timeout_ms=20_000)
    try:
        partitions = [kafka_python.TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        found = set()
        while any(consumer.position(p) < ends[p] for p in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                found |= {(record.partition, record.offset) for record in records}
        return found
    finally:
        consumer.close()


def stored(lake, table: str) -> collections.Counter:
    """How often each partition and offset is in the table; of a table that is not there yet, nothing."""
    sql = f'SELECT "kafka.partition" AS p, "kafka.offset" AS o, count(*) AS n FROM "{table}" GROUP BY 1, 2'
    answer = lake.client.try_sql(sql)
    if answer.status != 200:
        return collections.Counter()
    return collections.Counter({(row["p"], row["o"]): row["n"] for row in answer.lines()})


def exactly(lake, kafka: Kafka, topic: str, table: str | None = None, within_s: float = 60):
    """Waits until as many records are in the table as in the topic: then each is there once."""
    table, wanted = table or topic, there(kafka, topic)
    count = f'SELECT count(*) FROM "{table}"'

    def done():
        answer = lake.client.try_sql(count)
        return answer.status == 200 and next(iter(answer.lines()[0].values())) >= len(wanted)

    try:
        until(done, f"{len(wanted)} rows in {table}", within_s, 0.2)
    finally:
        found = stored(lake, table)
        doubled = {place: n for place, n in found.items() if n > 1}
        lost, invented = wanted - set(found), set(found) - wanted
        facts = f"{len(lost)} lost {sorted(lost)[:5]}, {len(invented)} invented, doubled {list(doubled.items())[:5]}"
        assert not (lost or invented or doubled), facts


def status(lake, topic: str) -> list[dict]:
    return lake.client.sql(f"SELECT * FROM lake.kafka WHERE topic = '{topic}' ORDER BY partition")


def test_json_with_keys_and_headers(make_lake, kafka):
    kafka.topic("json", 3)
    everything = "key,headers,topic,partition,offset,timestamp"
    lake = make_lake(env=collecting(kafka, "json", format="json", fields=everything))
    payload = json.dumps({"timestamp": "2026-11-01T10:00:00Z", "service": "shop", "a": {"b": 1}})
    produce(kafka, "json", [payload], key=b"k", headers=[("trace", b"abc"), ("bin", b"\xff")])
    produce(kafka, "json", numbered(3_000))
    exactly(lake, kafka, "json")
    (row,) = lake.client.sql(
        'SELECT service, "a.b" AS b, "kafka.key" AS k, "kafka.headers.trace" AS t, "kafka.topic" AS topic, '
        '"kafka.headers.bin_base64" AS bin, "kafka.timestamp" AS ms, timestamp FROM json WHERE service IS NOT NULL'
    )
    assert row.pop("ms") > 1_700_000_000_000 and row.pop("timestamp").startswith("2026-11-01T10:00:00")
    assert row == {"service": "shop", "b": 1, "k": "k", "t": "abc", "topic": "json", "bin": "/w=="}


def test_properties_of_librdkafka_are_passed_through(make_lake, kafka):
    sasl = "security.protocol=SASL_PLAINTEXT,sasl.mechanism=PLAIN,sasl.username=lake,sasl.password="
    produce(kafka, "sasl", numbered(10))
    lake = make_lake(env=collecting(kafka, "sasl", brokers=kafka.sasl, properties=sasl + "wrong"))
    until(lambda: "uthentication failed" in lake.log_tail(), "a refusal")
    lake.stop()
    lake.env |= collecting(kafka, "sasl", brokers=kafka.sasl, properties=sasl + "secret")
    lake.start()
    exactly(lake, kafka, "sasl")


def test_text(make_lake, kafka):
    lake = make_lake(env=collecting(kafka, "text", format="text"))
    lines = ["[2026-11-01T00:00:01Z] ERROR it broke", '{"not": "an object here"}', "ä plain line"]
    produce(kafka, "text", lines)
    exactly(lake, kafka, "text")
    rows = lake.client.sql('SELECT message, level FROM text ORDER BY "kafka.offset"')
    assert [row["message"] for row in rows] == lines
    assert rows[0]["level"] == "ERROR"


OTLP = {
    "resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeLogs": [{"logRecords": [
            {"timeUnixNano": "1793538001000000123", "severityNumber": 17, "body": {"stringValue": "no stock"},
             "attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}]},
            {"timeUnixNano": "1793538002000000000", "severityText": "INFO", "body": {"stringValue": "well"}},
        ]}],
    }]
}  # fmt: skip


def field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes, shorter than 128."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def otlp_request() -> bytes:
    def value(text):
        return field(1, text)

    attribute = field(1, b"http.method") + field(2, value(b"GET"))
    nanos = struct.pack("<BQ", 1 << 3 | 1, 1793538001000000123)
    record = nanos + bytes([2 << 3, 17]) + field(5, value(b"no stock")) + field(6, attribute)
    service = field(1, b"service.name") + field(2, value(b"shop"))
    return field(1, field(1, field(1, service)) + field(2, field(2, record)))


@pytest.mark.parametrize("form", ["otlp_json", "otlp_proto"])
def test_otlp(make_lake, kafka, form):
    lake = make_lake(env=collecting(kafka, form, format=form))
    payload = json.dumps(OTLP).encode() if form == "otlp_json" else otlp_request()
    produce(kafka, form, [payload, b"\xff no request", payload])
    each = 2 if form == "otlp_json" else 1
    until(lambda: stored(lake, form).get((0, 2)) == each, "the last request's rows")
    assert stored(lake, form) == {(0, 0): each, (0, 2): each}
    row = lake.client.sql(f"""SELECT * FROM "{form}" WHERE message = 'no stock' LIMIT 1""")[0]
    assert (row["service"], row["level"], row["http.method"]) == ("shop", "ERROR", "GET")
    assert row["timestamp"].startswith("2026-11-01T13:00:01")
    (letter,) = lake.client.sql('SELECT "kafka.offset" AS o, "kafka.value_base64" AS v FROM dead_letters')
    assert letter == {"o": 1, "v": "/yBubyByZXF1ZXN0"}


def test_what_cannot_be_decoded_is_a_dead_letter(make_lake, kafka):
    lake = make_lake(env=collecting(kafka, "letters", format="json"))
    late = '{"timestamp":"3000-01-01T00:00:00Z"}'
    payloads = ['{"n":0}', "no json", b"\xff\xfe", late, None, '{"n":5}']
    produce(kafka, "letters", payloads, key=b"k")
    until(lambda: stored(lake, "letters").get((0, 5)), "the last row")
    assert stored(lake, "letters") == {(0, 0): 1, (0, 5): 1}
    rows = lake.client.sql(
        'SELECT message, "kafka.topic" AS t, "kafka.offset" AS o, "kafka.value" AS v, "kafka.value_base64" AS b, '
        '"kafka.key" AS k FROM dead_letters ORDER BY "kafka.offset"'
    )
    assert [row["o"] for row in rows] == [1, 2, 3, 4]
    assert all(row["t"] == "letters" and row["k"] == "k" and row["message"] for row in rows)
    assert [row["v"] for row in rows] == ["no json", None, late, None]
    assert rows[1]["b"] == "//4="
    # All are counted, in the metrics too.
    until(lambda: [s["dead_letters"] for s in status(lake, "letters")] == [4], "the count")
    text = lake.client.request("GET", "/metrics").body.decode()
    assert 'loglake_collect_dead_letters_total{topic="letters"} 4' in text
    assert 'loglake_collect_records_total{topic="letters"} 6' in text
    assert 'loglake_collect_lag{topic="letters",partition="0"} 0' in text
    # And none comes again.
    lake.restart()
    produce(kafka, "letters", ['{"n":6}'])
    until(lambda: stored(lake, "letters").get((0, 6)), "the row after the restart")
    assert lake.client.value("SELECT count(*) FROM dead_letters") == 4


def test_patterns_tables_and_topics_that_come_later(make_lake, kafka):
    kafka.topic("app-a", 2)
    tables = "^app-.*=apps,app-special=special"
    lake = make_lake(env=collecting(kafka, "^app-.*", tables=tables, fields="topic,partition,offset"))
    produce(kafka, "app-a", numbered(100))
    until(lambda: lake.client.try_sql("SELECT 1 FROM apps").status == 200, "the table")
    kafka.topic("app-b")
    kafka.topic("app-special")
    kafka.topic("other")
    for topic in ["app-b", "app-special", "other"]:
        produce(kafka, topic, numbered(50))
    exactly(lake, kafka, "app-special", "special")
    until(lambda: lake.client.value("SELECT count(*) FROM apps") == 150, "150 rows")
    rows = lake.client.sql('SELECT "kafka.topic" AS t, count(*) AS n FROM apps GROUP BY 1 ORDER BY 1')
    assert rows == [{"t": "app-a", "n": 100}, {"t": "app-b", "n": 50}]
    assert lake.client.try_sql("SELECT 1 FROM other").status != 200


def test_a_topic_that_grows(make_lake, kafka):
    kafka.topic("grows", 1)
    lake = make_lake(env=collecting(kafka, "grows", start="latest"))
    until(lambda: [s["state"] for s in status(lake, "grows")] == ["consuming"], "consuming")
    produce(kafka, "grows", numbered(100))
    exactly(lake, kafka, "grows")
    kafka.grow("grows", 4)
    # At once, before anybody has noticed: `latest` passes nothing of it by.
    for partition in range(4):
        produce(kafka, "grows", numbered(50), partition=partition)
    exactly(lake, kafka, "grows")
    until(lambda: [s["next_offset"] for s in status(lake, "grows")] == [150, 50, 50, 50], "offsets")


def test_latest_passes_what_was_there_and_nothing_after(make_lake, kafka):
    produce(kafka, "late", numbered(100))
    lake = make_lake(env=collecting(kafka, "late", start="latest"))
    until(lambda: [s["state"] for s in status(lake, "late")] == ["consuming"], "consuming")
    lake.kill9()
    produce(kafka, "late", numbered(10, 100))
    lake.start()
    until(lambda: len(stored(lake, "late")) == 10, "ten rows")
    assert set(stored(lake, "late")) == {(0, 100 + n) for n in range(10)}


def delete_before(kafka: Kafka, topic: str, offset: int):
    for done in kafka.admin().delete_records([TopicPartition(topic, 0, offset)]).values():
        done.result(20)


def test_retention_that_overtakes_is_said(make_lake, kafka):
    kafka.topic("overtaken")
    lake = make_lake(env=collecting(kafka, "overtaken"))
    produce(kafka, "overtaken", numbered(100))
    until(lambda: len(stored(lake, "overtaken")) == 100, "the first")
    assert lake.stop() == 0
    produce(kafka, "overtaken", numbered(100, 100))
    delete_before(kafka, "overtaken", 150)
    lake.start()
    until(lambda: len(stored(lake, "overtaken")) == 150, "the rest")
    # Also after another life, which finds the gap among what is durable.
    for life in range(2):
        (letter,) = lake.client.sql('SELECT message, "kafka.offset" AS o FROM dead_letters')
        assert letter["o"] == 100 and "100 to 149" in letter["message"]
        there = [*range(100), *range(150, 200 + life)]
        assert stored(lake, "overtaken") == {(0, n): 1 for n in there}
        lake.kill9()
        lake.start()
        produce(kafka, "overtaken", ["{}"])
        until(lambda: (0, 200 + life) in stored(lake, "overtaken"), "one more")  # noqa: B023


def test_settings_that_are_wrong_stop_the_start(make_lake, kafka):
    lake = make_lake(start=False, env=collecting(kafka, "x", properties="group.id=mine"))
    with pytest.raises(ServerError, match="group.id"):
        lake.start()
    lake = make_lake(start=False, env=collecting(kafka, "x", properties="no.such.property=1"))
    with pytest.raises(ServerError, match="no.such.property"):
        lake.start()
    answer = subprocess.run(
        [binary(), "serve", "--data", str(lake.data)],
        env={**os.environ, **collecting(kafka, "x", format="xml")}, capture_output=True, timeout=60,
    )  # fmt: skip
    assert answer.returncode != 0 and b"format" in answer.stderr + answer.stdout


def test_a_full_buffer_holds_kafka_back_and_loses_nothing(make_lake, kafka):
    kafka.topic("full", 2)
    small = {"LOGLAKE_INGEST_BUFFER_BYTES_MAX": "4000000", "LOGLAKE_INGEST_BUFFER_WAIT_MAX_MS": "200"}
    payloads = [json.dumps({"n": n, "message": "x" * 1_000}) for n in range(60_000)]
    produce(kafka, "full", payloads)
    lake = make_lake(env=collecting(kafka, "full") | small)
    exactly(lake, kafka, "full", within_s=180)


class Producing:
    """Sends numbered records for as long as it is entered."""

    def __init__(self, kafka: Kafka, topic: str, pause_s: float = 0.01):
        self.kafka, self.topic, self.pause_s = kafka, topic, pause_s
        self.stopping, self.sent, self.errors = threading.Event(), 0, []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        settings = {"bootstrap.servers": self.kafka.address, "enable.idempotence": True, "log_level": 0}
        producer = Producer({**settings, "message.timeout.ms": 120_000})
        while not self.stopping.is_set():
            for payload in numbered(200, self.sent):
                producer.produce(
                    self.topic, payload, on_delivery=lambda error, _: error and self.errors.append(error)
                )
            self.sent += 200
            producer.poll(0)
            self.stopping.wait(self.pause_s)
        if producer.flush(120):
            self.errors.append("not all were taken")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(180)
        assert not self.errors, self.errors[:3]


@pytest.mark.parametrize("kind", ["directory", "minio"])
def test_kill_9_of_the_lake(make_lake, kafka, kind):
    rng, topic = random.Random(f"{SEED}-{kind}"), f"killed-{kind}"
    kafka.topic(topic, 3)
    lake = make_lake(kind, start=False)
    lake.env |= collecting(kafka, topic)
    with Producing(kafka, topic):
        for number in range(ROUNDS):
            lake.start()
            time.sleep(rng.uniform(0.5, 8))
            lake.kill9()
            print(f"round {number}")
        lake.start()
        time.sleep(2)
    exactly(lake, kafka, topic, within_s=120)
    lake.client.flush()
    lake.verify()


def test_kill_9_of_the_broker(make_lake, tmp_path):
    with Kafka(tmp_path / "kafka") as kafka:
        kafka.topic("broker", 3)
        lake = make_lake(env=collecting(kafka, "broker"))
        with Producing(kafka, "broker", 0.05):
            for _ in range(2):
                time.sleep(4)
                kafka.kill9()
                time.sleep(1)
                kafka.start()
            time.sleep(3)
        exactly(lake, kafka, "broker", within_s=120)
        lake.verify()


def test_two_ingesters_share_and_take_over(make_lake, kafka):
    kafka.topic("shared", 6)
    one = make_lake("minio", start=False)
    one.env |= collecting(kafka, "shared")
    one.start()
    two = make_lake(beside=one, start=False)

    def held(lake) -> int:
        answer = lake.client.try_sql("SELECT count(*) FROM lake.kafka WHERE state = 'consuming'")
        return next(iter(answer.lines()[0].values())) if answer.status == 200 else 0

    with Producing(kafka, "shared"):
        until(lambda: held(one) == 6, "all at one")
        two.start()
        until(lambda: (held(one), held(two)) == (3, 3), "three each", 60)
        time.sleep(2)
        two.kill9()
        until(lambda: held(one) == 6, "all at one again", 90)
        two.start()
        until(lambda: (held(one), held(two)) == (3, 3), "three each again", 60)
        one.pause()
        until(lambda: held(two) == 6, "all at two", 90)
        one.resume()
        until(lambda: (held(one), held(two)) == (3, 3), "three each once more", 90)
        assert one.stop() == 0
        until(lambda: held(two) == 6, "all at two again", 60)
    exactly(two, kafka, "shared", within_s=120)
    two.client.flush()
    two.verify()
