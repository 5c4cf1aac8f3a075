#!/usr/bin/env python3
"""What the ways of bringing records in cost the server, on the same records.

    ways.py --bin PATH --input FILE.ndjson --work DIR [--rows 1000000] [--rounds 3] [--fragment FILE.md]
            [--ways bulk,ndjson,door-lz4,door-none,from-kafka] [--producers 2]

Each way fills a lake of its own on a directory. Its CPU is that of the whole server from its start until all records
are on disk and committed, as in bench.py: what sends, and Kafka, do not count. The ways take turns, since the
machine's speed drifts; figures are medians of the rounds. At the end all lakes must hold the same.
"""
import argparse
import multiprocessing
import os
import pathlib
import re
import shutil
import statistics
import sys
import time

import columns
from lake import Lake, blocks, first, free_port, post_bulk

TOPIC = "logs"  # and the table
PARTITIONS = 4
AIM = 0.8
QUIET_MAX_S = 120
PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 50,
    "sticky.partitioning.linger.ms": 50,
    "batch.size": 1_000_000,
    "batch.num.messages": 100_000,
    "queue.buffering.max.messages": 300_000,
    "message.timeout.ms": 600_000,
    "delivery.report.only.error": True,
    "log_level": 0,
}


def produce(address, source, codec, processes):
    """Each line as a message of its own, from so many producers with a part of the lines each."""
    context = multiprocessing.get_context("spawn")
    shares = [(address, source, codec, number, processes) for number in range(processes)]
    running = [context.Process(target=produce_share, args=share) for share in shares]
    for process in running:
        process.start()
    for process in running:
        process.join()
    if any(process.exitcode for process in running):
        raise RuntimeError("a producer failed")


def produce_share(address, source, codec, number, of):
    from confluent_kafka import Producer

    failed = []
    settings = {"bootstrap.servers": address, "compression.type": codec, **PRODUCER}
    producer = Producer({**settings, "on_delivery": lambda error, _: failed.append(error)})
    for block_number, block in enumerate(blocks(source)):
        if block_number % of == number:
            for line in block.splitlines():
                put(producer, line)
    left = producer.flush(600)
    if left or failed:
        sys.exit(f"{left} messages were not taken, {len(failed)} failed {failed[:1]}")


def put(producer, line):
    while True:
        try:
            return producer.produce(TOPIC, line)
        except BufferError:
            producer.poll(0.05)


def measured(run, work, bring, args=(), env=None, check=lambda lake: None):
    """A lake of its own, which `bring` fills: what it took, and what it holds. `check` looks when it is timed no more."""
    began = time.monotonic()
    with Lake(run.bin, work, ["--data", work / "lake", *args], env) as lake:
        bring(lake)
        lake.flush()
        figures = {"cpu": lake.cpu_seconds(), "wall": time.monotonic() - began}
        check(lake)
        (holds,) = lake.ask(run.sums)
        return figures | {"bytes": lake.bytes_of_tables(), "holds": holds}


def bulk(run, work):
    return measured(run, work, lambda lake: lake.load(run.source, post_bulk))


def ndjson(run, work):
    return measured(run, work, lambda lake: lake.load(run.source))


def door(codec):
    """loglake's own Kafka door."""

    def filled(run, work):
        address = f"127.0.0.1:{free_port()}"
        return measured(run, work, lambda _: produce(address, run.source, codec, run.producers), ["--kafka", address])

    return filled


def from_kafka(run, work):
    """A real Kafka that has all records before the lake begins."""
    from servers import Kafka

    with Kafka(work.resolve() / "kafka") as kafka:
        kafka.topic(TOPIC, PARTITIONS)
        produce(kafka.address, run.source, "lz4", run.producers)
        env = {"LOGLAKE_COLLECT_KAFKA_BROKERS": kafka.address, "LOGLAKE_COLLECT_KAFKA_TOPICS": TOPIC}
        return measured(run, work, lambda lake: wait_for(lake, run.rows), env=env,
                        check=lambda lake: must_be_committed(lake, run.rows))


def wait_for(lake, rows):
    """Until so many rows came from Kafka; asks for no more than a metric, which costs the server next to nothing."""
    most, since = 0, time.monotonic()
    while most < rows:
        time.sleep(0.1)
        _, text = lake.request("GET", "/metrics")
        now = sum(map(int, re.findall(rb"^loglake_collect_rows_total\S* (\d+)", text, re.MULTILINE)))
        if now > most:
            most, since = now, time.monotonic()
        elif time.monotonic() - since > QUIET_MAX_S:
            raise RuntimeError(f"{most} of {rows} rows, and no more come")


def must_be_committed(lake, rows):
    """The places in the topic that are committed with the rows."""
    (found,) = lake.ask("SELECT sum(committed_offset) AS n FROM lake.kafka")
    if found["n"] != rows:
        raise RuntimeError(f"{found['n']} of {rows} records of the topic are committed")


WAYS = {
    "bulk": ("`_bulk`", bulk),
    "ndjson": ("NDJSON", ndjson),
    "door-lz4": ("as Kafka, lz4", door("lz4")),
    "door-none": ("as Kafka, not compressed", door("none")),
    "door-zstd": ("as Kafka, zstd", door("zstd")),
    "from-kafka": ("from Kafka, lz4", from_kafka),
}

SECTION = """## Ways in

{rows:,} records, {megabytes:,.0f} MB of NDJSON, into an empty lake on a directory: CPU of the whole server until all are
on disk and committed; what sends them, and Kafka, do not count. Medians of {rounds} round(s) in which the ways
took turns.

- `_bulk` and NDJSON: bodies of 8 MiB, four at once.
- *as Kafka*: {producers} idempotent librdkafka producer(s) with `acks=all` and batches of 1 MB send each record as a
  message to loglake's Kafka door.
- *from Kafka*: all records are in {partitions} partitions of a Kafka before loglake starts and consumes them; its time is from
  that start.

{table}

All ways gave the same rows and sums.
"""


def table(medians, rows):
    lines = ["| | rows per CPU-second | beside `_bulk` | wall, s | bytes per row |", "|---|---:|---:|---:|---:|"]
    for way, figure in medians.items():
        beside = f"{medians['bulk']['cpu'] / figure['cpu']:.0%}" if "bulk" in medians else ""
        speed, size = f"{rows / figure['cpu']:,.0f}", f"{figure['bytes'] / rows:.1f}"
        lines.append(f"| {WAYS[way][0]} | {speed} | {beside} | {figure['wall']:.1f} | {size} |")
    return "\n".join(lines)


def rounds(run):
    """Way → the figures of its rounds."""
    figures = {way: [] for way in run.ways}
    for number in range(run.rounds):
        for way, found in figures.items():
            work = run.work / "ways"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            found.append(WAYS[way][1](run, work))
            took = "{cpu:.2f} s of CPU, {wall:.1f} s".format(**found[-1])
            print(f"round {number + 1}, {way}: {took}", file=sys.stderr, flush=True)
    shutil.rmtree(run.work / "ways", ignore_errors=True)
    return figures


def sums(source):
    """Asks for the number of rows and the sum of each column of whole numbers."""
    numbers = [name for name, kind in columns.columns(source).items() if kind == "int"]
    return ", ".join(["SELECT count(*) AS n", *(f'sum("{name}") AS "{name}"' for name in numbers)]) + " FROM logs"


def judge(run, figures, medians):
    """Ends when lakes hold different things; says which way misses the aim."""
    held = [(way, figure["holds"]) for way, found in figures.items() for figure in found]
    if wrong := [f"{way}: {holds}" for way, holds in held if holds != held[0][1] or holds["n"] != run.rows]:
        sys.exit(f"not {run.rows} rows, or not what {held[0][0]} holds, {held[0][1]}:\n" + "\n".join(wrong))
    for way, figure in medians.items():
        if "bulk" in medians and medians["bulk"]["cpu"] / figure["cpu"] < AIM:
            print(f"{way} is below {AIM:.0%} of bulk", file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", required=True, type=pathlib.Path)
    p.add_argument("--input", required=True, type=pathlib.Path)
    p.add_argument("--work", required=True, type=pathlib.Path)
    p.add_argument("--rows", type=int, default=1_000_000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--ways", type=lambda names: names.split(","), default=[way for way in WAYS if way != "door-zstd"])
    p.add_argument("--producers", type=int, default=min(2, os.cpu_count()))
    p.add_argument("--fragment", type=pathlib.Path)
    run = p.parse_args()
    run.work.mkdir(parents=True, exist_ok=True)
    run.source = first(run.input, run.rows, run.work / "ways.ndjson")
    with open(run.source, "rb") as file:
        run.rows = sum(1 for _ in file)
    run.sums = sums(run.source)
    figures = rounds(run)
    names = ("cpu", "wall", "bytes")
    medians = {way: {n: statistics.median(f[n] for f in found) for n in names} for way, found in figures.items()}
    text = SECTION.format(rows=run.rows, megabytes=run.source.stat().st_size / 1e6, rounds=run.rounds,
                          producers=run.producers, partitions=PARTITIONS, table=table(medians, run.rows))
    run.source.unlink()
    print(table(medians, run.rows))
    judge(run, figures, medians)
    if run.fragment:
        run.fragment.write_text(text)


if __name__ == "__main__":
    main()
