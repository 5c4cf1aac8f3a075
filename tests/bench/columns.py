"""The columns that records have, and the table that a user would make of them in ClickHouse and in DuckDB."""
import collections

from questions import sample

TIMESTAMP, MESSAGE = "timestamp", "message"
# A column of strings is a dictionary where a string comes at least so many times on average.
REPEATS_MIN = 4
CLICKHOUSE = {
    "time": "DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1))",
    "few": "LowCardinality(String)",
    "text": "String CODEC(ZSTD(1))",
    "int": "Nullable(Int64) CODEC(ZSTD(1))",
    "float": "Nullable(Float64) CODEC(ZSTD(1))",
    "bool": "Nullable(Bool) CODEC(ZSTD(1))",
}
DUCKDB = {"time": "TIMESTAMPTZ", "few": "VARCHAR", "text": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}


def columns(path):
    """Name → kind of each column in a sample of a file's records; what more records have comes first."""
    values = collections.defaultdict(list)
    for record in sample(path):
        for name, value in record.items():
            if value is not None:
                values[name].append(value)
    names = sorted(values, key=lambda name: -len(values[name]))
    return {name: kind(name, values[name]) for name in names}


def kind(name, values):
    """What the values of a column are; values of several kinds are text."""
    if name == TIMESTAMP:
        return "time"
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int"
    if kinds <= {int, float}:
        return "float"
    few = kinds == {str} and name != MESSAGE and len(set(values)) * REPEATS_MIN <= len(values)
    return "few" if few else "text"


def clickhouse(kinds):
    """The columns as ClickHouse's CREATE TABLE takes them."""
    return ", ".join(f'"{name}" {CLICKHOUSE[kind]}' for name, kind in kinds.items())


def duckdb(kinds):
    """The columns as DuckDB's read_json takes them."""
    return "{" + ", ".join(f"'{name}': '{DUCKDB[kind]}'" for name, kind in kinds.items()) + "}"
