#!/usr/bin/env python3
"""loglake beside ClickHouse (chdb) and DuckDB, on the same records, in one run.

    bench.py --bin PATH --input FILE.ndjson [--work DIR] [--systems loglake,clickhouse,…] [--out DIR]
    bench.py … --input OTHER.ndjson --fragment OTHER.md [--title "Long messages"]
    bench.py … --out docs --fragments growth.md,cold.md,OTHER.md

Writes the page of the benchmark into `--out`, with the given fragments (of growth.py, cold.py, or of other
records) as further sections; or writes such a fragment itself.

Times of one run are to be read as ratios: the machine is shared and its speed drifts. Load is CPU of the
whole server (loglake, over HTTP, synced, committed, indexed) or of the process that loads (the others, in
process: no HTTP, no fsync). Each question is asked once cold (a fresh process, its files dropped from the
page cache), then warm, with another literal each time; answers are compared.
"""
import argparse
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
SYSTEMS = ["loglake", *PEERS]


def measure(ask, asked):
    """Seconds of the median of warm rounds over the literals, and the answer to each literal."""
    given = [ask(sql)[1] for sql in asked]
    times = [ask(asked[n % len(asked)])[0] for n in range(max(ROUNDS, len(asked)))]
    return statistics.median(times), given


def loglake(binary, source, work, asked):
    with Lake(binary, work) as lake:
        rows = lake.load(source)
        figures = {"rows": rows, "cpu": lake.cpu_seconds(), "memory": lake.peak_memory_mb()}
        figures["bytes"] = lake.bytes_of_tables()
        warm = [measure(lake.timed, each) for each in asked]
    cold = []
    for each in asked:
        drop_from_page_cache(work)
        with Lake(binary, work) as lake:
            cold.append(lake.timed(each[0])[0])
    return figures | {"warm": [t for t, _ in warm], "answers": [a for _, a in warm], "cold": cold}


def peer(name, source, work, asked):
    with Peer(name, work) as process:
        figures = process.load(source)
        warm = [measure(process.timed, each) for each in asked]
    cold = []
    for each in asked:
        drop_from_page_cache(work)
        with Peer(name, work) as process:
            process.open()
            cold.append(process.timed(each[0])[0])
    return figures | {"warm": [t for t, _ in warm], "answers": [a for _, a in warm], "cold": cold}


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
table and indexed at the end; the others read the file themselves, in process, and sync nothing. Each question
is asked once cold (a fresh process, its files dropped from the page cache), then warm, with other literals each
time (median of {rounds}); loglake over HTTP, the others in process. No system answers from a kept result.
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
    return form.format(rows=rows, megabytes=source.stat().st_size / 1e6, cores=os.cpu_count(), rounds=ROUNDS,
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
    figures = {}
    for name in a.systems.split(","):
        work = a.work / name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        print(f"{name}: loading, then asking", file=sys.stderr, flush=True)
        texts = [q.asked(name.split("-")[0]) for q in asked]
        figures[name] = loglake(a.bin, a.input, work, texts) if name == "loglake" else peer(name, a.input, work, texts)
        shutil.rmtree(work, ignore_errors=True)
        (a.work / "figures.json").write_text(json.dumps(figures, indent=1, default=str))
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
