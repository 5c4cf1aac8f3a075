"""The Kafka door, with the clients that people have: librdkafka, kafka-python, Kafka's own, kcat, rsyslog."""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil
import subprocess
import time

import pytest
from client import until
from servers import rsyslog

confluent_kafka = pytest.importorskip("confluent_kafka")
from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402

TOKEN = "kafka-token"
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.fixture(scope="module")
def lake(make_module_lake):
    return make_module_lake("directory", kafka=True, env={"LOGLAKE_KAFKA_SETTLE_S": "1"})


@pytest.fixture(scope="module")
def locked_lake(make_module_lake):
    return make_module_lake("directory", kafka=True, token=TOKEN)


def produce(address: str, topic: str, payloads, **settings):
    """Sends the payloads; what each one's delivery said, by its number."""
    said = {}
    settings = {name.replace("_", "."): value for name, value in settings.items()}
    producer = Producer({"bootstrap.servers": address, "message.timeout.ms": 20_000, **settings})
    for number, payload in enumerate(payloads):
        producer.produce(
            topic, payload, on_delivery=lambda error, _, n=number: said.__setitem__(n, error)
        )
        producer.poll(0)
    assert producer.flush(30) == 0
    return said


def numbered(count: int, **more):
    return [json.dumps({"message": f"m {n}", "n": n, **more}) for n in range(count)]


def exactly(lake, table: str, count: int):
    rows = lake.client.sql(f'SELECT count(*) AS n, count(DISTINCT n) AS d FROM "{table}"')
    assert rows == [{"n": count, "d": count}]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("idempotent", [False, True])
def test_records_of_every_codec_are_stored_once(lake, codec, idempotent):
    topic = f"codec-{codec}-{idempotent}".lower()
    said = produce(
        lake.kafka, topic, numbered(2_000), compression_type=codec, enable_idempotence=idempotent
    )
    assert set(said.values()) == {None}
    exactly(lake, topic, 2_000)


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_every_wish_for_acknowledgements_is_served(lake, acks):
    topic = f"acks-{acks}"
    produce(lake.kafka, topic, numbered(10), acks=acks)
    until(lambda: lake.client.try_sql(f'SELECT 1 FROM "{topic}"').status == 200, "the table")
    until(lambda: lake.client.value(f'SELECT count(*) FROM "{topic}"') == 10, "10 rows")


def test_payloads_are_records_or_lines_of_text(lake):
    payloads = [
        '{"timestamp":"2026-11-01T00:00:00.123456789Z","service":"shop","a":{"b":1}}',
        "[2026-11-01T00:00:01Z] ERROR it broke",
        '{"cut": ',
    ]
    assert set(produce(lake.kafka, "payloads", payloads).values()) == {None}
    rows = lake.client.sql('SELECT message, level, service, "a.b" AS b FROM payloads ORDER BY timestamp')
    assert rows[0]["service"] == "shop" and rows[0]["b"] == 1
    assert rows[1]["message"] == payloads[1] and rows[1]["level"] == "ERROR"
    assert rows[2]["message"] == payloads[2].strip()


def test_what_is_refused_is_said(lake):
    late = '{"timestamp":"3000-01-01T00:00:00Z","message":"x"}'
    (error,) = produce(lake.kafka, "refused", [late]).values()
    assert error.code() == confluent_kafka.KafkaError.INVALID_RECORD
    topics = Producer({"bootstrap.servers": lake.kafka}).list_topics("_bad", timeout=5).topics
    assert topics["_bad"].error.code() == confluent_kafka.KafkaError.TOPIC_EXCEPTION


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_the_token_is_the_password(locked_lake, mechanism):
    topic = f"sasl-{mechanism.lower()}"
    sasl = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_username": "anyone",
    }
    said = produce(locked_lake.kafka, topic, numbered(5), sasl_password=TOKEN, **sasl)
    assert set(said.values()) == {None}
    exactly(locked_lake, topic, 5)
    errors = []
    wrong = {name.replace("_", "."): value for name, value in sasl.items()}
    wrong |= {"bootstrap.servers": locked_lake.kafka, "sasl.password": "wrong"}
    producer = Producer({**wrong, "error_cb": errors.append})
    until(lambda: producer.poll(0.1) or errors, "a refusal")
    assert any(e.code() == confluent_kafka.KafkaError._AUTHENTICATION for e in errors), errors


def consumer(lake, group: str, **more) -> Consumer:
    more = {name.replace("_", "."): value for name, value in more.items()}
    settings = {"bootstrap.servers": lake.kafka, "group.id": group, "session.timeout.ms": 6_000}
    return Consumer({**settings, "auto.offset.reset": "earliest", "enable.auto.commit": False, **more})


def read(consumer: Consumer, count: int, within_s=30.0) -> list:
    messages, deadline = [], time.monotonic() + within_s
    while len(messages) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None, message.error()
            messages.append(message)
    return messages


def test_a_group_reads_a_table_and_goes_on_where_it_was(lake):
    seconds = int(time.time()) - 3_000
    records = [
        {"timestamp": f"{seconds + n // 10}.{n % 10 // 5}", "message": f"m {n}", "n": n}
        for n in range(200)
    ]
    assert lake.client.store("read", records) == 200
    first = consumer(lake, "readers")
    first.subscribe(["read"])
    messages = read(first, 120)
    offsets = [message.offset() for message in messages]
    assert offsets == sorted(set(offsets)) and len(offsets) == 120
    first.commit(message=messages[99], asynchronous=False)
    first.close()
    lake.restart()
    second = consumer(lake, "readers")
    second.subscribe(["read"])
    again = read(second, 100)
    second.close()
    numbers = [json.loads(m.value())["n"] for m in messages[:100] + again]
    assert sorted(numbers) == list(range(200))


def test_a_reader_begins_at_a_time(lake):
    start = int(time.time()) - 5_000
    lake.client.store("times", [{"timestamp": start + n, "n": n} for n in range(100)])
    reader = consumer(lake, "times")
    (found,) = reader.offsets_for_times([TopicPartition("times", 0, (start + 60) * 1000)], 10)
    reader.assign([found])
    assert [json.loads(m.value())["n"] for m in read(reader, 40)] == list(range(60, 100))
    low, high = reader.get_watermark_offsets(TopicPartition("times", 0), 10)
    assert low < high
    reader.close()


def test_two_members_share_a_group(lake):
    """One partition: one of them reads, and the other goes on when it leaves."""
    lake.client.store("shared", [{"timestamp": int(time.time()) - 100, "n": n} for n in range(10)])
    one, two = consumer(lake, "pair"), consumer(lake, "pair")
    for each in (one, two):
        each.subscribe(["shared"])
    got = {one: [], two: []}

    def poll():
        for each, messages in got.items():
            message = each.poll(0.1)
            if message is not None and message.error() is None:
                messages.append(message)
        return sum(map(len, got.values())) >= 10

    until(poll, "ten rows")
    owner, other = (one, two) if got[one] else (two, one)
    owner.commit(asynchronous=False)
    owner.close()
    until(lambda: other.poll(0.1) is None and other.assignment(), "the other takes over")
    other.close()


def test_a_batch_that_is_sent_again_adds_nothing(make_lake):
    """kill -9 under an idempotent producer, which sends again what was not acknowledged."""
    lake = make_lake("directory", kafka=True, env={"LOGLAKE_WAL_LINGER_MS": "5"})
    rng, said, sent = random.Random(1), {}, 0
    producer = Producer(
        {"bootstrap.servers": lake.kafka, "enable.idempotence": True, "linger.ms": 2,
         "reconnect.backoff.max.ms": 500, "retry.backoff.ms": 20, "message.timeout.ms": 120_000}
    )  # fmt: skip
    for _ in range(int(os.environ.get("LOGLAKE_KILL_ROUNDS", "5"))):
        goal = len(said) + rng.randrange(50, 400)
        while len(said) < goal:
            payload = json.dumps({"message": f"m {sent}", "n": sent})
            producer.produce(
                "killed", payload, on_delivery=lambda e, _, n=sent: said.__setitem__(n, e)
            )
            sent += 1
            producer.poll(0.001)  # the least that it waits: else the queue is full while the lake starts
        lake.kill9()
        lake.start()
    assert producer.flush(60) == 0
    assert set(said.values()) == {None} and len(said) == sent
    exactly(lake, "killed", sent)
    lake.client.flush()
    exactly(lake, "killed", sent)
    assert lake.stop() == 0
    lake.verify()


def test_kafka_python_writes_and_reads(lake):
    kafka = pytest.importorskip("kafka")
    producer = kafka.KafkaProducer(bootstrap_servers=lake.kafka, compression_type="gzip")
    sent = [producer.send("python", p.encode()) for p in numbered(100)]
    for each in sent:
        each.get(20)
    producer.close()
    exactly(lake, "python", 100)
    reader = kafka.KafkaConsumer(
        "python", bootstrap_servers=lake.kafka, group_id="py", auto_offset_reset="earliest",
        consumer_timeout_ms=8_000,
    )  # fmt: skip
    numbers = []
    for message in reader:
        numbers.append(json.loads(message.value)["n"])
        if len(numbers) == 100:
            break
    reader.close()
    assert sorted(numbers) == list(range(100))


def java(main: str, *args: str, lines: bytes = b"", timeout=60) -> subprocess.CompletedProcess:
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    jars = pathlib.Path(os.environ.get("LOGLAKE_KAFKA_JARS") or base / "loglake" / "kafka-4.4.0")
    if not jars.is_dir() or not shutil.which("java"):
        pytest.skip(f"no Java, or no jars of Kafka in {jars} (LOGLAKE_KAFKA_JARS)")
    command = ["java", "-Xmx256m", "-cp", f"{jars}/*", main, *args]
    return subprocess.run(command, input=lines, capture_output=True, timeout=timeout)


@pytest.mark.parametrize("codec", ["none", "snappy", "lz4", "zstd"])
def test_kafkas_own_producer_writes(lake, codec):
    lines = "\n".join(numbered(500)).encode() + b"\n"
    done = java(
        "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", lake.kafka,
        "--topic", f"java-{codec}", "--compression-codec", codec, lines=lines,
    )  # fmt: skip
    assert done.returncode == 0 and b"ERROR" not in done.stdout + done.stderr, done
    exactly(lake, f"java-{codec}", 500)


def test_kafkas_own_consumer_reads(lake):
    past = int(time.time()) - 60
    lake.client.store("java-read", [{"timestamp": past, "n": n} for n in range(50)])
    done = java(
        "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", lake.kafka,
        "--topic", "java-read", "--from-beginning", "--max-messages", "50", "--timeout-ms", "30000",
    )  # fmt: skip
    numbers = [json.loads(line)["n"] for line in done.stdout.splitlines() if line.startswith(b"{")]
    assert sorted(numbers) == list(range(50)), done


def test_kcat_writes_and_reads(lake):
    if not shutil.which("kcat"):
        pytest.skip("kcat is not installed")
    lines = "\n".join(numbered(20)).encode() + b"\n"
    subprocess.run(["kcat", "-P", "-b", lake.kafka, "-t", "kcat"], input=lines, check=True, timeout=30)
    exactly(lake, "kcat", 20)
    read = ["kcat", "-C", "-q", "-b", lake.kafka, "-t", "kcat", "-o", "beginning", "-c", "20"]
    done = subprocess.run(read, capture_output=True, timeout=30)
    assert sorted(json.loads(line)["n"] for line in done.stdout.splitlines()) == list(range(20))


def test_rsyslog_writes(lake, tmp_path):
    if not (found := rsyslog.with_module("omkafka")):
        pytest.skip("rsyslog with omkafka is not installed (LOGLAKE_RSYSLOG_ROOT)")
    daemon, modules = found
    source, config = tmp_path / "in.log", tmp_path / "rsyslog.conf"
    source.write_text("".join(f"line {n}\n" for n in range(100)))
    config.write_text(
        f'global(workDirectory="{tmp_path}")\n'
        'module(load="imfile")\nmodule(load="omkafka")\n'
        f'input(type="imfile" File="{source}" Tag="app:")\n'
        'template(name="line" type="string" string="%msg%")\n'
        f'action(type="omkafka" broker=["{lake.kafka}"] topic="rsyslog" template="line")\n'
    )
    command = [daemon, "-n", "-f", config, "-i", tmp_path / "pid", "-M", modules]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            there = lambda: lake.client.try_sql("SELECT 1 FROM rsyslog").status == 200  # noqa: E731
            until(there, "the table", 30)
            until(lambda: lake.client.value("SELECT count(*) FROM rsyslog") == 100, "100 rows", 30)
        finally:
            process.terminate()
