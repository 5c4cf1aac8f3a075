"""ClickHouse (chdb) and DuckDB, each in a process of its own so that its CPU and memory are its own.

Their tables have the columns that a sample of the records has.
"""
import json
import multiprocessing
import pathlib
import resource
import time

import columns

INDEXES = {
    "message": "INDEX words message TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 1",
    "trace_id": "INDEX ids trace_id TYPE bloom_filter(0.01) GRANULARITY 1",
}


def sorting_key(kinds):
    return ", ".join(name for name in ("service", "timestamp") if kinds.get(name) in ("few", "text", "time"))


class ClickHouse:
    def __init__(self, work, indexes={}):
        from chdb import session
        self.indexes = indexes
        self.db = session.Session(str(work / "chdb"))

    def load(self, source, kinds):
        parts = [columns.clickhouse(kinds), *(index for name, index in self.indexes.items() if name in kinds)]
        self.db.query("CREATE DATABASE IF NOT EXISTS bench")
        self.db.query(f"CREATE TABLE bench.logs ({', '.join(parts)}) ENGINE = MergeTree ORDER BY ({sorting_key(kinds)})")
        self.db.query(f"INSERT INTO bench.logs SELECT * FROM file('{source}', 'JSONEachRow') "
                      "SETTINGS date_time_input_format = 'best_effort', input_format_null_as_default = 1")
        self.db.query("OPTIMIZE TABLE bench.logs FINAL")

    def open(self):
        self.db.query("USE bench")
        self.db.query("SET use_query_condition_cache = 0")

    def ask(self, sql):
        return [json.loads(line) for line in str(self.db.query(sql, "JSONEachRow")).splitlines()]

    def size(self):
        size = self.db.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'logs'")
        return int(str(size).strip())


class DuckDb:
    def __init__(self, work):
        import duckdb
        self.file = work / "logs.parquet"
        self.db = duckdb.connect()
        self.db.execute("SET TimeZone = 'UTC'")

    def load(self, source, kinds):
        records = f"read_json('{source}', format = 'newline_delimited', columns = {columns.duckdb(kinds)})"
        self.db.execute(f"COPY (SELECT * FROM {records} ORDER BY {sorting_key(kinds)}) "
                        f"TO '{self.file}' (FORMAT parquet, COMPRESSION zstd)")

    def open(self):
        self.db.execute(f"CREATE VIEW IF NOT EXISTS logs AS SELECT * FROM read_parquet('{self.file}')")

    def ask(self, sql):
        return self.db.execute(sql).fetchall()

    def size(self):
        return self.file.stat().st_size


PEERS = {
    "clickhouse": ClickHouse,
    "clickhouse-indexed": lambda work: ClickHouse(work, INDEXES),
    "duckdb": DuckDb,
}


def serve(name, work, pipe):
    """Does what comes over the pipe until it closes."""
    system = PEERS[name](work)
    while True:
        try:
            what, argument = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((None, ACTIONS[what](system, argument)))
        except Exception as error:  # told to the caller, who ends
            pipe.send((repr(error), None))


def load(system, argument):
    before = cpu()
    system.load(*argument)
    system.open()
    used, memory = cpu() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (count,) = system.ask("SELECT count(*) AS n FROM logs")
    rows = next(iter(count.values())) if isinstance(count, dict) else count[0]
    return {"rows": int(rows), "cpu": used, "memory": memory, "bytes": system.size()}


def timed(system, sql):
    start = time.perf_counter()
    answer = system.ask(sql)
    return time.perf_counter() - start, answer


ACTIONS = {"load": load, "open": lambda system, _: system.open(), "timed": timed}


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Peer:
    """A process with one system in it."""

    def __init__(self, name, work):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(name, pathlib.Path(work).resolve(), theirs))
        self.process.start()
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pipe.close()
        self.process.join()

    def call(self, what, argument=None):
        self.pipe.send((what, argument))
        error, answer = self.pipe.recv()
        if error:
            raise RuntimeError(f"{what} {argument}: {error}")
        return answer

    def load(self, source):
        return self.call("load", (str(pathlib.Path(source).resolve()), columns.columns(source)))

    def open(self):
        return self.call("open")

    def timed(self, sql):
        return self.call("timed", sql)
