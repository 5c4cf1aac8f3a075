#!/usr/bin/env python3
"""loglake beside ClickHouse (chdb) and DuckDB, on the same records, in one run.

    bench.py --bin PATH [--input FILE.ndjson] [--rows N] [--work DIR] [--only loglake,clickhouse,duckdb]

Times of one run are to be read as ratios: the machine is shared and its speed drifts. CPU is that of
the whole server process (loglake) or of this process's child that loads (the others, in process:
no HTTP, no fsync). Queries are warm medians.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import sys

from lake import Lake
from peers import run_peer

RUNS = 15

# name, loglake, ClickHouse and DuckDB: the same question in each one's words.
QUESTIONS = [
    ("count all",
     "SELECT count(*) FROM logs",
     "SELECT count() FROM logs",
     "SELECT count(*) FROM logs"),
    ("count by level, 1 h",
     "SELECT level, count(*) AS n FROM logs WHERE timestamp >= '2026-11-01T05:00:00Z' "
     "AND timestamp < '2026-11-01T06:00:00Z' GROUP BY level ORDER BY level",
     "SELECT level, count() AS n FROM logs WHERE timestamp >= '2026-11-01 05:00:00' "
     "AND timestamp < '2026-11-01 06:00:00' GROUP BY level ORDER BY level",
     "SELECT level, count(*) AS n FROM logs WHERE timestamp >= '2026-11-01 05:00:00' "
     "AND timestamp < '2026-11-01 06:00:00' GROUP BY level ORDER BY level"),
    ("per-minute histogram, one service, 2 h",
     "SELECT date_trunc('minute', timestamp) AS minute, count(*) AS n FROM logs WHERE service = 'checkout' "
     "AND timestamp >= '2026-11-01T05:00:00Z' AND timestamp < '2026-11-01T07:00:00Z' GROUP BY 1 ORDER BY 1",
     "SELECT toStartOfMinute(timestamp) AS minute, count() AS n FROM logs WHERE service = 'checkout' "
     "AND timestamp >= '2026-11-01 05:00:00' AND timestamp < '2026-11-01 07:00:00' GROUP BY 1 ORDER BY 1",
     "SELECT date_trunc('minute', timestamp) AS minute, count(*) AS n FROM logs WHERE service = 'checkout' "
     "AND timestamp >= '2026-11-01 05:00:00' AND timestamp < '2026-11-01 07:00:00' GROUP BY 1 ORDER BY 1"),
    ("top 10 hosts by errors",
     "SELECT host, count(*) AS n FROM logs WHERE level = 'ERROR' GROUP BY host ORDER BY n DESC, host LIMIT 10",
     "SELECT host, count() AS n FROM logs WHERE level = 'ERROR' GROUP BY host ORDER BY n DESC, host LIMIT 10",
     "SELECT host, count(*) AS n FROM logs WHERE level = 'ERROR' GROUP BY host ORDER BY n DESC, host LIMIT 10"),
    ("latest 100 errors of a service",
     "SELECT timestamp, message FROM logs WHERE service = 'checkout' AND level = 'ERROR' ORDER BY timestamp DESC LIMIT 100",
     "SELECT timestamp, message FROM logs WHERE service = 'checkout' AND level = 'ERROR' ORDER BY timestamp DESC LIMIT 100",
     "SELECT timestamp, message FROM logs WHERE service = 'checkout' AND level = 'ERROR' ORDER BY timestamp DESC LIMIT 100"),
    ("rare word over everything",
     "SELECT count(*) FROM logs WHERE message LIKE '%quetzalcoatl%'",
     "SELECT count() FROM logs WHERE message LIKE '%quetzalcoatl%'",
     "SELECT count(*) FROM logs WHERE message LIKE '%quetzalcoatl%'"),
]


def first_number(rows):
    return next(iter(rows[0].values())) if isinstance(rows[0], dict) else rows[0][0]


def loglake(binary, source, work):
    """Loads the source, then asks every question; the figures of loglake."""
    with Lake(binary, work / "loglake") as lake:
        loaded = lake.load(source)
        cpu, memory = lake.cpu_seconds(), lake.peak_memory_mb()
        times = []
        for _, sql, _, _ in QUESTIONS:
            lake.ask(sql)
            times.append(statistics.median(lake.timed(sql) for _ in range(RUNS)))
        rows = first_number(lake.ask("SELECT count(*) AS n FROM logs"))
        size = lake.bytes_of_tables()
        return {"rows": rows, "loaded": loaded, "cpu": cpu, "bytes": size, "memory": memory, "times": times}


def table(figures):
    """The figures side by side, as Markdown."""
    names = list(figures)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]

    def row(label, cell):
        lines.append(f"| {label} | " + " | ".join(cell(figures[n]) for n in names) + " |")

    row("rows", lambda f: f"{f['rows']:,}")
    row("rows per CPU-second until on disk", lambda f: f"{f['rows'] / f['cpu']:,.0f}")
    row("bytes per row", lambda f: f"{f['bytes'] / f['rows']:.1f}")
    row("peak memory while loading, MB", lambda f: f"{f['memory']:,.0f}")
    for i, question in enumerate(QUESTIONS):
        row(question[0] + ", ms", lambda f, i=i: f"{f['times'][i] * 1000:.1f}")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", required=True, type=pathlib.Path)
    p.add_argument("--input", required=True, type=pathlib.Path)
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("bench-work"))
    p.add_argument("--only", default="loglake,clickhouse,duckdb")
    a = p.parse_args()
    figures = {}
    for name in a.only.split(","):
        shutil.rmtree(a.work / name, ignore_errors=True)
        (a.work / name).mkdir(parents=True)
        print(f"{name}: loading", file=sys.stderr, flush=True)
        if name == "loglake":
            figures[name] = loglake(a.bin, a.input, a.work)
        else:
            column = {"clickhouse": 2, "duckdb": 3}[name]
            figures[name] = run_peer(name, a.input, a.work / name, [q[column] for q in QUESTIONS], RUNS)
        shutil.rmtree(a.work / name, ignore_errors=True)
        (a.work / "figures.json").write_text(json.dumps(figures, indent=1))
    counts = {f["rows"] for f in figures.values()}
    print(table(figures))
    if len(counts) != 1:
        sys.exit(f"the systems do not hold the same number of rows: {counts}")


if __name__ == "__main__":
    main()
