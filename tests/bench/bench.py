#!/usr/bin/env python3
"""loglake beside ClickHouse (chdb) and DuckDB, on the same records, in one run.

    bench.py --bin PATH --input FILE.ndjson [--work DIR] [--systems loglake,clickhouse,…] [--out DIR]
    bench.py … --input OTHER.ndjson --fragment OTHER.md [--title "Long messages"]
    bench.py … --out docs --fragments growth.md,cold.md,OTHER.md

Writes the page of the benchmark into `--out`, with the given fragments (of growth.py, cold.py, or of other
records) as further sections; or writes such a fragment itself.

Times of one run are to be read as ratios: the machine is shared and its speed drifts. Load is CPU of the
whole server (loglake, over HTTP, synced, committed, indexed) or of the process that loads (the others, in
process: no HTTP, no fsync). Each question is asked warm, with another literal each time, the systems in turns,
and once cold (a fresh process, its files dropped from the page cache); answers are compared.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import sys

import answers
import plot
from lake import Lake, drop_from_page_cache
from peers import PEERS, Peer
from questions import Literals, questions

ROUNDS = 15
LOADS = 3
SYSTEMS = ["loglake", *PEERS]


class LoadedLake(Lake):
    """loglake with the records."""

    def __init__(self, binary, work, source):
        super().__init__(binary, work)
        self.source = source

    def fill(self):
        rows = self.load(self.source)
        return {"rows": rows, "cpu": self.cpu_seconds(), "memory": self.peak_memory_mb(), "bytes": self.bytes_of_tables()}


class LoadedPeer(Peer):
    def __init__(self, name, work, source):
        super().__init__(name, work)
        self.source = source

    def fill(self):
        return self.load(self.source)

    def hang_up(self):
        """There is no connection."""


def system(name, binary, work, source):
    return LoadedLake(binary, work, source) if name == "loglake" else LoadedPeer(name, work, source)


def warm(systems, asked):
    """Of each system the answers to a question's literals, and the median of its rounds in seconds. The
    systems take turns, so that what the machine does beside meets all of them."""
    given, times = {}, {name: [] for name in systems}
    for name, one in systems.items():
        one.hang_up()
        given[name] = [one.timed(sql)[1] for sql in asked[name]]
    for n in range(max(ROUNDS, *map(len, asked.values()))):
        for name, one in systems.items():
            times[name].append(one.timed(asked[name][n % len(asked[name])])[0])
    return given, {name: statistics.median(taken) for name, taken in times.items()}


def cold(name, binary, work, sql):
    """Seconds in a fresh process, the files dropped from the page cache."""
    drop_from_page_cache(work)
    with Lake(binary, work) if name == "loglake" else Peer(name, work) as one:
        if name != "loglake":
            one.open()
        return one.timed(sql)[0]


def loads(options, names):
    """CPU seconds of loads of each system that are thrown away after, the systems in turns: what the first of all
    pays for memory that the machine has to get first says nothing of it."""
    taken = {name: [] for name in names}
    for _ in range(LOADS - 1):
        for name in names:
            print(f"{name}: loading, to time it", file=sys.stderr, flush=True)
            with system(name, options.bin, emptied(options.work / name), options.input) as one:
                taken[name].append(one.fill()["cpu"])
    return taken


def emptied(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def measured(options, names, texts):
    """The figures of each system: `texts` has the literals' texts of each question. All are loaded, then asked
    in turns, then asked cold."""
    figures, works, taken = {}, {}, loads(options, texts)
    with contextlib.ExitStack() as stack:
        systems = {}
        for name in texts:
            print(f"{name}: loading", file=sys.stderr, flush=True)
            works[name] = work = emptied(options.work / name)
            systems[name] = stack.enter_context(system(name, options.bin, work, options.input))
            figures[name] = systems[name].fill() | {"warm": [], "answers": [], "cold": []}
            figures[name]["cpu"] = statistics.median([*taken[name], figures[name]["cpu"]])
        for n, question in enumerate(names):
            print(question, file=sys.stderr, flush=True)
            given, times = warm(systems, {name: texts[name][n] for name in texts})
            for name in texts:
                figures[name]["answers"].append(given[name])
                figures[name]["warm"].append(times[name])
    for name, work in works.items():
        print(f"{name}: asked cold", file=sys.stderr, flush=True)
        figures[name]["cold"] = [cold(name, options.bin, work, literals[0]) for literals in texts[name]]
        shutil.rmtree(work, ignore_errors=True)
    (options.work / "figures.json").write_text(json.dumps(figures, indent=1, default=str))
    return figures


def table(figures, asked):
    """The figures side by side, as Markdown."""
    names = list(figures)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]

    def row(label, cell):
        lines.append(f"| {label} | " + " | ".join(cell(figures[n]) for n in names) + " |")

    row("rows per CPU-second until on disk", lambda f: f"{f['rows'] / f['cpu']:,.0f}")
    row("bytes per row", lambda f: f"{f['bytes'] / f['rows']:.1f}")
    row("peak memory while loading, MB", lambda f: f"{f['memory']:,.0f}")
    for n, question in enumerate(asked):
        row(question.name + ", ms warm / cold", lambda f, n=n: f"{f['warm'][n] * 1000:.1f} / {f['cold'][n] * 1000:.0f}")
    return "\n".join(lines)


PAGE = """# Benchmarks

Written by `make bench`. {rows:,} records, {megabytes:,.0f} MB of NDJSON, loaded and asked in one run on one machine with
{cores} cores, which others share and which drifts: read each line as ratios.

loglake's records went over HTTP, were synced to disk before each acknowledgement, and are committed to a Delta
table and indexed at the end; the others read the file themselves, in process, and sync nothing. All load {loads}
times, in turns: CPU is the median. Each question is asked warm, with other literals each time, the systems in turns
(median of {rounds}); then once cold (a fresh process, its files dropped from the page cache); loglake over HTTP,
the others in process. No system answers from a kept result.
{differences}

{table}

![Warm times](benchmarks.svg)
"""

FRAGMENT = """## {title}

{rows:,} records, {megabytes:,.0f} MB of NDJSON, loaded and asked as above. {differences}

{table}
"""


def filled(form, figures, asked, source, different, **more):
    said = "All systems gave the same answers." if not different else "Answers differed:\n\n" + "\n".join(f"- {d}" for d in different)
    rows = next(iter(figures.values()))["rows"]
    return form.format(rows=rows, megabytes=source.stat().st_size / 1e6, cores=os.cpu_count(), rounds=ROUNDS, loads=LOADS,
                       differences=said, table=table(figures, asked), **more)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", required=True, type=pathlib.Path)
    p.add_argument("--input", required=True, type=pathlib.Path)
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("bench-work"))
    p.add_argument("--systems", default=",".join(SYSTEMS))
    p.add_argument("--out", type=pathlib.Path)
    p.add_argument("--fragments", help="files to append to the page, with a comma between")
    p.add_argument("--fragment", type=pathlib.Path)
    p.add_argument("--title", help="of the fragment")
    a = p.parse_args()
    fragments = [pathlib.Path(name).read_text() for name in a.fragments.split(",")] if a.fragments else []
    asked = questions(Literals(a.input))
    texts = {name: [q.asked(name.split("-")[0]) for q in asked] for name in a.systems.split(",")}
    figures = measured(a, [q.name for q in asked], texts)
    different = answers.differences(figures, asked)
    print(table(figures, asked))
    if a.out:
        (a.out / "benchmarks.md").write_text("\n".join([filled(PAGE, figures, asked, a.input, different), *fragments]))
        (a.out / "benchmarks.svg").write_text(plot.svg(figures, [q.name for q in asked]))
    if a.fragment:
        a.fragment.write_text(filled(FRAGMENT, figures, asked, a.input, different, title=a.title or a.input.stem))
    if different:
        sys.exit("answers differ:\n" + "\n".join(different))


if __name__ == "__main__":
    main()
