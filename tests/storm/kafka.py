"""A storm over what comes from Kafka: ROWS records flow through a topic into two processes of one lake,
while processes and broker are killed and frozen at random. Then everything is counted: each record once,
by SQL, by a consumer beside loglake and by `loglake verify`."""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from servers import Etcd, Kafka, Loglake, Minio
from servers.cluster import BUCKET

TOPIC, PARTITIONS = "storm", 8
QUIET_MAX_S = 180


class Load(threading.Thread):
    """Sends the numbers 0..rows, as quickly as Kafka takes them, spread over `seconds` at least."""

    def __init__(self, kafka: Kafka, rows: int, seconds: float):
        super().__init__(daemon=True)
        self.kafka, self.rows, self.seconds = kafka, rows, seconds
        self.sent, self.errors = 0, []

    def run(self):
        settings = {
            "bootstrap.servers": self.kafka.address, "enable.idempotence": True, "linger.ms": 20,
            "compression.type": "lz4", "message.timeout.ms": 600_000, "log_level": 0,
            "queue.buffering.max.messages": 500_000,
        }  # fmt: skip
        producer, began = Producer(settings), time.monotonic()
        for n in range(self.rows):
            payload = json.dumps({"n": n, "service": f"s{n % 7}", "message": f"record {n} of the storm"})
            while True:
                try:
                    producer.produce(TOPIC, payload, on_delivery=self.delivered)
                    break
                except BufferError:
                    producer.poll(0.2)
            self.sent = n + 1
            if n % 1_000 == 0:
                producer.poll(0)
                due = began + self.seconds * n / self.rows
                time.sleep(max(0.0, due - time.monotonic()))
        if left := producer.flush(600):
            self.errors.append(f"{left} records were not taken")

    def delivered(self, error, _):
        if error is not None:
            self.errors.append(str(error))


def fault(rng: random.Random, kafka: Kafka, lakes: list[Loglake]):
    kind = rng.choice(["kill", "kill", "kill", "freeze", "stop", "broker"])
    lake = rng.choice(lakes)
    seconds = rng.uniform(0, 12 if kind == "freeze" else 4)
    name = "Kafka" if kind == "broker" else lake.folder.name
    print(f"  {kind} {name} for {seconds:.1f} s", flush=True)
    match kind:
        case "kill":
            lake.kill9()
            time.sleep(seconds)
            lake.start()
        case "stop":
            lake.stop(150)
            time.sleep(seconds)
            lake.start()
        case "freeze":
            lake.pause()
            time.sleep(seconds)
            lake.resume()
        case "broker":
            kafka.kill9()
            time.sleep(seconds)
            kafka.start()


def ask(lakes: list[Loglake], sql: str) -> list[dict]:
    sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "e2e")]
    from client import Client

    return Client(lakes[0].url, timeout=900).sql(sql)


def settle(lakes: list[Loglake], rows: int):
    """Waits until as many rows are there, or nothing more comes."""
    most, since = -1, time.monotonic()
    while most < rows and time.monotonic() - since < QUIET_MAX_S:
        try:
            (found,) = ask(lakes, f"SELECT count(*) AS n FROM {TOPIC}")
        except Exception as error:  # noqa: BLE001 the lake may be recovering
            print(f"  not yet: {error}", flush=True)
            time.sleep(2)
            continue
        if found["n"] != most:
            most, since = found["n"], time.monotonic()
            print(f"  {most:,} of {rows:,} rows", flush=True)
        time.sleep(1)


def beside(kafka: Kafka, rows: int) -> tuple[dict[int, int], list[str]]:
    """What a consumer beside loglake finds: records by partition, and what is wrong with the numbers."""
    settings = {"bootstrap.servers": kafka.address, "group.id": "beside", "enable.auto.commit": False}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest", "enable.partition.eof": True})
    partitions = [TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)]
    consumer.assign(partitions)
    counts, seen, ended, problems = dict.fromkeys(range(PARTITIONS), 0), bytearray(rows), set(), []
    while len(ended) < PARTITIONS:
        for message in consumer.consume(10_000, 1.0):
            if message.error() is not None:
                ended.add(message.partition())
                continue
            counts[message.partition()] += 1
            n = json.loads(message.value())["n"]
            if seen[n]:
                problems.append(f"Kafka itself has {n} twice")
            seen[n] = 1
    consumer.close()
    if missing := seen.count(0):
        problems.append(f"Kafka itself lacks {missing} numbers")
    return counts, problems


def judge(kafka: Kafka, lakes: list[Loglake], rows: int) -> list[str]:
    counts, problems = beside(kafka, rows)
    (total,) = ask(
        lakes,
        f"SELECT count(*) AS n, count(DISTINCT n) AS d, min(n) AS first, max(n) AS last FROM {TOPIC}",
    )
    print(f"rows {total}", flush=True)
    if total != {"n": rows, "d": rows, "first": 0, "last": rows - 1}:
        problems.append(f"by number: {total}, wanted {rows:,} once each")
    by_offset = f'SELECT "kafka.partition" AS p, "kafka.offset" AS o, count(*) AS n FROM {TOPIC} GROUP BY 1, 2'
    by_partition = ask(
        lakes,
        f"SELECT p, sum(n) AS n, count(*) AS d, max(o) AS last FROM ({by_offset}) AS offsets GROUP BY p ORDER BY p",
    )
    for row in by_partition:
        wanted = counts.pop(row["p"])
        if (row["n"], row["d"]) != (wanted, wanted):
            problems.append(f"partition {row}, Kafka has {wanted} records")
    problems += [f"nothing of partition {p}, Kafka has {n}" for p, n in counts.items() if n]
    letters = ask(lakes, "SELECT table_name, rows FROM lake.tables WHERE table_name = 'dead_letters'")
    if letters and letters[0]["rows"]:
        problems.append(f"{letters[0]['rows']} dead letters")
    return problems


def storm(folder: pathlib.Path, rows: int, seconds: float, seed: int) -> list[str]:
    rng = random.Random(seed)
    with Kafka(folder / "kafka") as kafka, Minio(folder / "minio") as store, Etcd(folder / "etcd") as etcd:
        store.s3.make_bucket(BUCKET)
        kafka.topic(TOPIC, PARTITIONS)
        environment = {
            **store.client_environment(),
            "LOGLAKE_COORDINATION_LEASE_S": "2",
            "LOGLAKE_INGEST_FLUSH_AGE_S": "10",
            # Counting everything at the end takes long beside other work.
            "LOGLAKE_QUERY_TIMEOUT_S": "900",
            "LOGLAKE_COLLECT_KAFKA_BROKERS": kafka.address,
            "LOGLAKE_COLLECT_KAFKA_TOPICS": TOPIC,
            "LOGLAKE_COLLECT_KAFKA_FORMAT": "json",
            "LOGLAKE_COLLECT_KAFKA_FIELDS": "partition,offset",
            "LOGLAKE_COLLECT_KAFKA_PROPERTIES": "session.timeout.ms=6000",
        }
        lakes = [
            Loglake(folder / f"loglake-{i}", store=f"s3://{BUCKET}", etcd=etcd.endpoints, env=environment)
            for i in range(2)
        ]
        try:
            for lake in lakes:
                lake.start()
            load, began = Load(kafka, rows, seconds), time.monotonic()
            load.start()
            while load.is_alive() or time.monotonic() - began < seconds:
                time.sleep(rng.uniform(2, 12))
                fault(rng, kafka, lakes)
                print(f"{load.sent:,} of {rows:,} sent after {time.monotonic() - began:.0f} s", flush=True)
            settle(lakes, rows)
            print(f"settled after {time.monotonic() - began:.0f} s", flush=True)
            problems = load.errors[:5] + judge(kafka, lakes, rows)
            for lake in lakes:
                lake.stop(150)
            print(lakes[0].verify(1_200), flush=True)
            return problems
        finally:
            for lake in lakes:
                lake.__exit__()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m storm.kafka", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=None, help="that sending takes at least")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    seconds = arguments.seconds if arguments.seconds is not None else max(60, arguments.rows / 20_000)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="loglake-storm-kafka-"))
    print(f"seed {seed}, {arguments.rows:,} rows in {seconds:.0f} s or more, files in {folder}", flush=True)
    problems = storm(folder, arguments.rows, seconds, seed)
    if problems:
        print("\n".join(["it did not hold:", *problems, f"files stay in {folder}"]))
        return 1
    print("every record is in the lake once")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
