#!/usr/bin/env python3
"""The benchmark's questions over `_search`, beside SQL and beside OpenSearch, on the same records.

    elastic.py --bin PATH --input FILE.ndjson --work DIR [--rows 5000000] [--untimed 60] [--fragment FILE.md]
               [--systems loglake,opensearch]

Both systems take the records over `_bulk`, in the same bodies, and are then asked, one after the other; SQL and
`_search` take turns. Answers are compared. Where the query DSL means words otherwise than the benchmark's SQL (as
wholes, in any case), the SQL asks for what the DSL asks for. OpenSearch comes by Maven and needs Java 21.
"""
import argparse
import http.client
import itertools
import json
import pathlib
import shutil
import socket
import statistics
import sys
import time

import answers
import columns
from bench import ROUNDS
from e2e.elastic.records import WORDS
from lake import Lake, cpu_seconds, first, peak_memory_mb, post, post_bulk, send
from questions import Literals
from searches import TIME, searches
from servers import opensearch

JSON = {"Content-Type": "application/json"}
# OpenSearch may keep results of what does not show hits; loglake keeps none.
SEARCH = "/logs/_search?request_cache=false"
TYPES = {"time": "date_nanos", "few": "keyword", "text": "keyword", "int": "long", "float": "double", "bool": "boolean"}


def index(kinds):
    """How OpenSearch holds the columns: no refresh while loading, nothing kept of earlier filters."""
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": -1,
                "queries.cache.enabled": False, "analysis": WORDS}
    properties = {TIME if kind == "time" else name: {"type": TYPES[kind]} for name, kind in kinds.items()}
    properties["message"] = {"type": "text", "analyzer": "words"}
    return {"settings": settings, "mappings": {"properties": properties}}


def loaded(port, source):
    """Sends the records to `_bulk` with their time by the name that the questions use."""
    return send(source, lambda block: post_bulk(port, block.replace(b'{"timestamp":', b'{"%s":' % TIME.encode())))


class Door:
    """One connection to a port that answers `_search`."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, method, path, body=None):
        self.connection.request(method, path, body and json.dumps(body), JSON)
        answer = self.connection.getresponse()
        given = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} {body}: {answer.status} {given[:500]}")
        return json.loads(given)

    def timed(self, body):
        start = time.perf_counter()
        answer = self.call("POST", SEARCH, body)
        return time.perf_counter() - start, answer


def measure(asks, asked):
    """One question of some systems, of each its own literals: seconds of the median of warm rounds, in which they
    take turns, and the answers to each literal."""
    given = [[ask(literal)[1] for literal in literals] for ask, literals in zip(asks, asked)]
    rounds = range(max(ROUNDS, *map(len, asked)))
    times = [[ask(literals[n % len(literals)])[0] for ask, literals in zip(asks, asked)] for n in rounds]
    return list(zip(map(statistics.median, zip(*times)), given))


def warm(asks, questions, untimed_s):
    """Times and answers of all questions for each system, after rounds of all that are not timed: the JVM compiles what
    is asked often. `questions`: of each system."""
    rounds, end = itertools.count(), time.monotonic() + untimed_s
    while time.monotonic() < end:
        n = next(rounds)
        for ask, of_system in zip(asks, questions):
            for asked in of_system:
                ask(asked[n % len(asked)])
    measured = [measure(asks, asked) for asked in zip(*questions)]
    return [{"warm": [seconds for seconds, _ in of_system], "answers": [given for _, given in of_system]}
            for of_system in zip(*measured)]


def bodies(asked):
    return [search.bodies for search in asked]


def read(figures, asked):
    """The figures with answers of `_search` as rows."""
    return figures | {"answers": [list(map(search.read, given)) for search, given in zip(asked, figures["answers"])]}


def loglake(run, work, asked):
    with Lake(run.bin, work) as lake:
        figures = {"rows": loaded(lake.http, run.source)}
        lake.flush()
        figures |= {"cpu": lake.cpu_seconds(), "memory": lake.peak_memory_mb(), "bytes": lake.bytes_of_tables()}
        lake.hang_up()
        asks = [lake.timed, Door(lake.http).timed]
        sql, search = warm(asks, [[search.sql for search in asked], bodies(asked)], run.untimed)
        return {"SQL": figures | sql, "_search": figures | read(search, asked)}


def beside(run, work, asked):
    """The same of OpenSearch. Its CPU counts from when it is up."""
    opensearch.fetch()
    with opensearch.OpenSearch(work.resolve()) as server:
        Door(server.port).call("PUT", "/logs", index(columns.columns(run.source)))
        up = cpu_seconds(server.pid)
        figures = {"rows": loaded(server.port, run.source)}
        post(server.port, "/logs/_refresh", b"")
        wait_for_merges(server.port)
        post(server.port, "/logs/_flush", b"")
        figures |= {"cpu": cpu_seconds(server.pid) - up, "memory": peak_memory_mb(server.pid), "bytes": on_disk(server)}
        (search,) = warm([Door(server.port).timed], [bodies(asked)], run.untimed)
        return {"OpenSearch": figures | read(search, asked)}


def wait_for_merges(port):
    """Until those that run by themselves are done."""
    while Door(port).call("GET", "/logs/_stats/merge")["_all"]["total"]["merges"]["current"]:
        time.sleep(1)


def on_disk(server):
    """Bytes of the index with its log."""
    folders = (server.folder / "data").glob("nodes/*/indices")
    return sum(f.stat().st_size for folder in folders for f in folder.rglob("*") if f.is_file())


SYSTEMS = {"loglake": loglake, "opensearch": beside}
NAMES = {"SQL": "SQL", "_search": "`_search`", "OpenSearch": "OpenSearch"}

SECTION = """## As Elasticsearch

{rows:,} records, {megabytes:,.0f} MB of NDJSON, over `_bulk` into loglake and into OpenSearch {version} on the same machine, each
alone; then the questions that can be said in the query DSL, as SQL and over `_search`. {differences}

OpenSearch has one shard, no replica, a heap of 1 GB, a mapping for these records, and words that are runs of letters
and digits, as loglake's are. It does not refresh while it loads, syncs before each acknowledgement as loglake does,
and is measured after a refresh, the merges that it began by itself, and a flush; there is no forced merge. Its CPU is
without its start. Memory is what was resident, in OpenSearch with what it maps of its files. It keeps no results
of requests and filters. Times are warm, with other literals each time: the median of {rounds}, SQL and `_search` in
turns, after {untimed} s in which all questions were asked untimed.

{load}

{times}
"""


def row(cells):
    return "| " + " | ".join(cells) + " |"


def load_table(figures):
    systems = {name: figures[key] for name, key in (("loglake", "_search"), ("OpenSearch", "OpenSearch")) if key in figures}
    cells = [
        ("rows per CPU-second until on disk", lambda f: f"{f['rows'] / f['cpu']:,.0f}"),
        ("bytes per row", lambda f: f"{f['bytes'] / f['rows']:.1f}"),
        ("peak memory while loading, MB", lambda f: f"{f['memory']:,.0f}"),
    ]
    lines = [row(["", *systems]), "|---|" + "---:|" * len(systems)]
    return "\n".join(lines + [row([name, *map(cell, systems.values())]) for name, cell in cells])


def time_table(figures, asked):
    """Milliseconds, then how `_search` stands beside the others."""
    others = [name for name in figures if name != "_search"] if "_search" in figures else []
    heads = [f"{NAMES[name]}, ms" for name in figures] + [f"`_search` / {name}" for name in others]
    lines = [row(["", *heads]), "|---|" + "---:|" * len(heads)]
    for n, search in enumerate(asked):
        times = [f"{figure['warm'][n] * 1000:.1f}" for figure in figures.values()]
        ratios = [f"{figures['_search']['warm'][n] / figures[name]['warm'][n]:.2f}" for name in others]
        lines.append(row([search.name, *times, *ratios]))
    return "\n".join(lines)


def section(run, figures, asked, different):
    said = "All gave the same answers." if not different else "Answers differed:\n\n" + "\n".join(f"- {d}" for d in different)
    return SECTION.format(rows=next(iter(figures.values()))["rows"], megabytes=run.source.stat().st_size / 1e6,
                          version=opensearch.VERSION, differences=said, rounds=ROUNDS, untimed=run.untimed,
                          load=load_table(figures), times=time_table(figures, asked))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", type=pathlib.Path, help="of loglake")
    p.add_argument("--input", required=True, type=pathlib.Path)
    p.add_argument("--work", required=True, type=pathlib.Path)
    p.add_argument("--rows", type=int, default=5_000_000)
    p.add_argument("--systems", default=",".join(SYSTEMS))
    p.add_argument("--untimed", type=int, default=60, help="seconds of questions before those that are timed")
    p.add_argument("--fragment", type=pathlib.Path)
    run = p.parse_args()
    if "opensearch" in run.systems and (why := opensearch.missing()):
        sys.exit(why)
    run.work.mkdir(parents=True, exist_ok=True)
    run.source = first(run.input, run.rows, run.work / "elastic.ndjson")
    asked, figures = searches(Literals(run.source)), {}
    for name in run.systems.split(","):
        work = run.work / f"elastic-{name}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        print(f"{name}: loading, then asking", file=sys.stderr, flush=True)
        figures |= SYSTEMS[name](run, work, asked)
        shutil.rmtree(work, ignore_errors=True)
        (run.work / "elastic.json").write_text(json.dumps(figures, indent=1, default=str))
    different = answers.differences(figures, asked)
    text = section(run, figures, asked, different)
    run.source.unlink()
    print(load_table(figures), time_table(figures, asked), sep="\n\n")
    if run.fragment:
        run.fragment.write_text(text)
    if different:
        sys.exit("answers differ:\n" + "\n".join(different))


if __name__ == "__main__":
    main()
