"""ClickHouse (chdb) and DuckDB, each in a process of its own so that its CPU and memory are its own."""
import json
import multiprocessing
import pathlib
import resource
import statistics
import time

COLUMNS = [
    ("timestamp", "DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1))"),
    ("service", "LowCardinality(String)"), ("host", "LowCardinality(String)"), ("pod", "LowCardinality(String)"),
    ("region", "LowCardinality(String)"), ("level", "LowCardinality(String)"), ("message", "String CODEC(ZSTD(1))"),
    ("trace_id", "String CODEC(ZSTD(1))"), ("span_id", "String CODEC(ZSTD(1))"), ("status", "Nullable(Int64) CODEC(ZSTD(1))"),
    ("duration_ms", "Nullable(Float64) CODEC(ZSTD(1))"), ("bytes", "Nullable(Int64) CODEC(ZSTD(1))"),
    ("client_ip", "String CODEC(ZSTD(1))"), ("path", "String CODEC(ZSTD(1))"), ("method", "LowCardinality(String)"),
]


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_memory_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def size_of(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def clickhouse(source, work):
    from chdb import session
    db = session.Session(str(work / "chdb"))
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS)
    db.query("CREATE DATABASE IF NOT EXISTS bench")
    db.query(f"CREATE TABLE bench.logs ({columns}) ENGINE = MergeTree ORDER BY (service, timestamp)")
    db.query(f"INSERT INTO bench.logs SELECT * FROM file('{source}', 'JSONEachRow') "
             "SETTINGS date_time_input_format = 'best_effort', input_format_null_as_default = 1")
    db.query("OPTIMIZE TABLE bench.logs FINAL")
    db.query("USE bench")
    size = int(str(db.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'logs'")).strip())
    rows = int(str(db.query("SELECT count() FROM logs")).strip())
    return (lambda sql: str(db.query(sql, "JSONEachRow"))), rows, size


def duckdb(source, work):
    import duckdb
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    file = work / "logs.parquet"
    db.execute(f"COPY (SELECT * FROM read_json('{source}', format = 'newline_delimited') ORDER BY service, timestamp) "
               f"TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
    db.execute(f"CREATE VIEW logs AS SELECT * FROM read_parquet('{file}')")
    rows = db.execute("SELECT count(*) FROM logs").fetchone()[0]
    return (lambda sql: db.execute(sql).fetchall()), rows, size_of(work)


def measure(name, source, work, questions, runs, answer):
    before = cpu()
    ask, rows, size = {"clickhouse": clickhouse, "duckdb": duckdb}[name](source, work)
    figures = {"rows": rows, "cpu": cpu() - before, "bytes": size, "memory": peak_memory_mb(), "times": []}
    for sql in questions:
        ask(sql)
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            ask(sql)
            times.append(time.perf_counter() - start)
        figures["times"].append(statistics.median(times))
    answer.write_text(json.dumps(figures))


def run_peer(name, source, work, questions, runs):
    answer = pathlib.Path(work) / "figures.json"
    process = multiprocessing.get_context("spawn").Process(
        target=measure, args=(name, str(pathlib.Path(source).resolve()), pathlib.Path(work).resolve(), questions, runs, answer))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"{name} failed")
    return json.loads(answer.read_text())
