#!/usr/bin/env python3
"""How load and questions change with the number of records, and with the number of queriers.

    growth.py --bin PATH --sizes 1000000,5000000 --work DIR [--queriers 1,2,4] [--wait SECONDS] [--fragment FILE.md]

For each size: a lake on a directory, each question cold (a fresh process, its files dropped from the page cache)
and warm, with the requests to the store and the bytes read from it. For each number of queriers: the largest size
on MinIO, an ingester and so many queriers, of which one is asked. Queriers share a question from 64 MiB of the
columns that it reads on: LOGLAKE_QUERY_SPREAD_BYTES_MIN in the environment sets another bound. `--wait`: seconds for
compaction, 780 for all of it; without, the tables are as they were flushed. The records stay in the folder for the
next run.
"""
import argparse
import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import corpora
from cold import Store
from lake import Lake, drop_from_page_cache
from questions import Literals, questions
from servers import Etcd

ROUNDS = 5
MEMBERS_WITHIN_S = 30


def records(binary, rows, folder):
    """The file of so many records, made if it is not there: by the shared generator, else by `loglake demo`."""
    out = folder / f"records-{rows}.ndjson"
    if out.exists() or corpora.write("main", rows, out):
        return out
    part = out.with_name(out.name + ".part")
    with open(part, "wb") as file:
        subprocess.run([binary, "demo", "--records", str(rows), "--seed", "1", "--print"], stdout=file, check=True)
    part.rename(out)
    return out


def counted(lakes, bytes_read, ask):
    """Runs it: (seconds, requests, bytes read)."""
    requests, read = total(lakes), bytes_read()
    seconds = ask()[0]
    return seconds, total(lakes) - requests, bytes_read() - read


def total(lakes):
    return sum(sum(lake.requests().values()) for lake in lakes)


def warm(lakes, bytes_read, sqls):
    """Medians of a few rounds, after one that is not counted."""
    for sql in sqls:
        lakes[0].ask(sql)
    rounds = [counted(lakes, bytes_read, lambda n=n: lakes[0].timed(sqls[n % len(sqls)])) for n in range(ROUNDS)]
    return tuple(map(statistics.median, zip(*rounds)))


def size(binary, source, work, wait_s):
    """The figures of one size, on a directory."""
    asked = questions(Literals(source))
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with Lake(binary, work) as lake:
        rows = lake.load(source)
        figures = {"rows": rows, "cpu": lake.cpu_seconds(), "memory": lake.peak_memory_mb()}
        flushed = lake.files()[0]
        lake.settle(wait_s)
        files, size = lake.files()
        figures |= {"flushed": flushed, "files": files, "bytes": size}
        figures["warm"] = {q.name: warm([lake], lake.bytes_read, q.asked("loglake")) for q in asked}
    figures["cold"] = {}
    for q in asked:
        drop_from_page_cache(work)
        with Lake(binary, work) as lake:
            seconds = lake.timed(q.asked("loglake")[0])[0]
            figures["cold"][q.name] = (seconds, total([lake]), lake.bytes_read())
    shutil.rmtree(work, ignore_errors=True)
    return figures


def cluster(binary, source, work, counts, wait_s):
    """Number of queriers → question → (seconds, requests, bytes) warm, on MinIO."""
    asked = questions(Literals(source))
    shutil.rmtree(work, ignore_errors=True)
    figures = {}
    with Store(work) as store, Etcd(work.resolve() / "etcd") as etcd:
        member = ["--etcd", etcd.endpoints, "--roles"]
        with store.lake(binary, "ingester", *member, "ingest,maintain") as ingester:
            ingester.load(source)
            with store.lake(binary, "first", *member, "query") as querier:
                querier.settle(wait_s)
            for count in counts:
                with contextlib.ExitStack() as exits:
                    queriers = [exits.enter_context(store.lake(binary, f"{count}-{n}", *member, "query")) for n in range(count)]
                    wait_for_members(queriers, count + 1)
                    figures[count] = {q.name: warm(queriers, lambda: store.relay.received, q.asked("loglake")) for q in asked}
    shutil.rmtree(work, ignore_errors=True)
    return figures


def wait_for_members(lakes, count):
    """Until each knows of all, and of none that has left."""
    deadline = time.monotonic() + MEMBERS_WITHIN_S
    while any(lake.ask("SELECT count(*) AS n FROM lake.members")[0]["n"] != count for lake in lakes):
        if time.monotonic() > deadline:
            raise RuntimeError(f"there are not {count} members after {MEMBERS_WITHIN_S} s")
        time.sleep(0.2)


def table(heads, rows):
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join([name, *cells]) + " |" for name, cells in rows]) + "\n"


def by_question(figures, cell):
    """Rows of a table: a question, and a cell for each figure that has it."""
    names = dict.fromkeys(name for figure in figures for name in figure)
    return [(name, [cell(figure[name]) if name in figure else "" for figure in figures]) for name in names]


def both(warm, cold):
    return {name: (warm[name], cold[name]) for name in warm}


GROWTH = """## Growth

loglake alone, on a directory, with more and more records of the same kind. {settled}
Warm: the median of {rounds}; cold: a fresh process, its files dropped from the page cache; its requests and bytes
are counted from the process's start, so that what opens the table is among them.

{load}
Time of a question, ms warm / cold:

{times}
What it asks of the store, requests and MB read, warm / cold:

{asked}"""

CLUSTER = """
## Queriers

{rows:,} records on MinIO, an ingester, and queriers of which one is asked, all on one machine with {cores} cores: what
sharing costs shows here, what it gains shows with a machine for each. ms warm, then requests to the store and MB
read from it by all of them:

{times}"""


def growth(sizes, waited):
    load = table([f"{f['rows']:,}" for f in sizes], [
        ("rows per CPU-second until on disk", [f"{f['rows'] / f['cpu']:,.0f}" for f in sizes]),
        ("peak memory while loading, MB", [f"{f['memory']:,.0f}" for f in sizes]),
        ("bytes per row", [f"{f['bytes'] / f['rows']:.1f}" for f in sizes]),
        ("files, flushed / asked", [f"{f['flushed']} / {f['files']}" for f in sizes]),
    ])
    figures = [both(f["warm"], f["cold"]) for f in sizes]
    heads = [f"{f['rows']:,}" for f in sizes]
    times = table(heads, by_question(figures, lambda c: f"{c[0][0] * 1e3:.1f} / {c[1][0] * 1e3:.0f}"))
    asked = table(heads, by_question(
        figures, lambda c: f"{c[0][1]:.0f}, {c[0][2] / 1e6:.2f} / {c[1][1]:.0f}, {c[1][2] / 1e6:.2f}"))
    settled = f"{waited} s were waited for compaction." if waited else "Compaction was not waited for: the files are as flushed."
    return GROWTH.format(settled=settled, rounds=ROUNDS, load=load, times=times, asked=asked)


def queriers(figures, rows):
    times = table([f"queriers: {count}" for count in figures], by_question(
        list(figures.values()), lambda c: f"{c[0] * 1e3:.1f}: {c[1]:.0f}, {c[2] / 1e6:.2f}"))
    return CLUSTER.format(rows=rows, cores=os.cpu_count(), times=times)


def numbers(text):
    return [int(number) for number in text.split(",") if number]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", required=True, type=pathlib.Path)
    p.add_argument("--sizes", required=True, type=numbers)
    p.add_argument("--work", required=True, type=pathlib.Path)
    p.add_argument("--queriers", type=numbers, default=[])
    p.add_argument("--wait", type=int, default=0)
    p.add_argument("--fragment", type=pathlib.Path)
    a = p.parse_args()
    sizes = []
    for rows in a.sizes:
        print(f"{rows:,} records", file=sys.stderr, flush=True)
        sizes.append(size(a.bin, records(a.bin, rows, a.work), a.work / "growth", a.wait))
    text = growth(sizes, a.wait)
    if a.queriers:
        print("queriers", file=sys.stderr, flush=True)
        rows = max(a.sizes)
        text += queriers(cluster(a.bin, records(a.bin, rows, a.work), a.work / "cluster", a.queriers, a.wait), rows)
    print(text)
    if a.fragment:
        a.fragment.write_text(text)


if __name__ == "__main__":
    main()
