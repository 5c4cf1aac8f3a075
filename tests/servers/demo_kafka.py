"""A Kafka with demo logs, and a lake that consumes them: until Ctrl-C."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from .command import end_like_ctrl_c
from .kafka import Kafka
from .loglake import Loglake, binary
from .process import ServerError

RECORDS = 100_000
TOPIC = "shop-logs"
SQL = "SELECT service, level, count(*) AS n FROM logs GROUP BY 1, 2 ORDER BY n DESC LIMIT 10"
STATUS = "SELECT topic, partition, state, next_offset, lag FROM lake.kafka ORDER BY partition"


def produce(address: str):
    """The demo's records, as `loglake demo` prints them, into the topic."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": address, "linger.ms": 20, "enable.idempotence": True})
    command = [binary(), "demo", "--print", "--records", str(RECORDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as demo:
        for line in demo.stdout:
            while True:
                try:
                    producer.produce(TOPIC, line.rstrip())
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
    producer.flush(60)


def ask(lake: Loglake, sql: str) -> str:
    answer = lake.run("sql", sql)
    return (answer.stdout + answer.stderr).decode()


def count(lake: Loglake) -> int:
    found = lake.run("sql", "--format", "csv", "SELECT count(*) AS n FROM logs")
    text = found.stdout.decode().split()
    return int(text[-1]) if found.returncode == 0 and text else 0


def run(folder: pathlib.Path):
    print("starting Kafka …", flush=True)
    with Kafka(folder / "kafka") as kafka:
        kafka.topic(TOPIC, 4)
        settings = {
            "LOGLAKE_COLLECT_KAFKA_BROKERS": kafka.address,
            "LOGLAKE_COLLECT_KAFKA_TOPICS": TOPIC,
            "LOGLAKE_COLLECT_KAFKA_TABLES": f"{TOPIC}=logs",
            "LOGLAKE_COLLECT_KAFKA_FIELDS": "partition,offset",
        }
        http, grpc = int(os.environ.get("HTTP_PORT", "9400")), int(os.environ.get("GRPC_PORT", "9401"))
        settings["LOGLAKE_URL"] = f"http://127.0.0.1:{http}"
        with Loglake(folder / "loglake", env=settings, http=http, grpc=grpc) as lake:
            print(f"sending {RECORDS:,} demo records to the topic {TOPIC} …", flush=True)
            produce(kafka.address)
            while count(lake) < RECORDS:
                time.sleep(0.5)
            print(f"\n{SQL}\n{ask(lake, SQL)}\n{STATUS}\n{ask(lake, STATUS)}")
            print(f"""
  Kafka  {kafka.address}, topic {TOPIC}
  HTTP   {lake.url}        gRPC (Flight SQL)  {lake.grpc}

Send something:   echo '{{"service":"me","message":"hello"}}' | kcat -P -b {kafka.address} -t {TOPIC}
Ask for it:       {binary()} sql "SELECT * FROM logs WHERE service = 'me'"

Ctrl-C ends everything, and its files are removed.
""", flush=True)  # fmt: skip
            threading.Event().wait()


def main():
    end_like_ctrl_c()
    with tempfile.TemporaryDirectory(prefix="loglake-demo-kafka-") as folder:
        try:
            run(pathlib.Path(folder))
        except KeyboardInterrupt:
            print("\nended", flush=True)
        except ServerError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
