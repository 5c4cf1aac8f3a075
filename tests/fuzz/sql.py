"""SQL: queries of the documentation, of the golden tests and some more, changed word by word, over HTTP."""

from __future__ import annotations

import json
import pathlib
import random
import re
import urllib.parse

from client import Client

from . import mutate, seeds, trees
from .door import TOKEN, Door
from .http import HttpSession, head
from .inputs import Input, Problem
from .mutate import chance

_SQL = pathlib.Path(__file__).resolve().parents[2] / "sql"
_WORD = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|[A-Za-z_][A-Za-z_0-9]*|\d+(?:\.\d+)?|->>|->|::|<=|>=|<>|!=|~\*|\|\||\s+|.", re.DOTALL)

_QUERIES = """
SELECT * FROM logs
SELECT count(*) FROM logs WHERE level = 'ERROR' AND service IN ('cart', 'auth')
SELECT service, count(*) AS n, avg(duration_ms), max(bytes), min(timestamp) FROM logs GROUP BY service HAVING count(*) > 3 ORDER BY n DESC LIMIT 10
SELECT date_bin(INTERVAL '5 minutes', timestamp) AS at, level, count(*) FROM logs GROUP BY 1, 2 ORDER BY 1
SELECT timestamp, message FROM logs WHERE timestamp >= '2026-11-01T00:10:00Z' AND timestamp < '2026-11-01T00:20:00Z' ORDER BY timestamp DESC LIMIT 20 OFFSET 3
SELECT message FROM logs WHERE message LIKE '%refused%' OR message ILIKE 'GET %' OR contains(message, 'sku')
SELECT n FROM logs WHERE has_token(message, 'logged') AND NOT match(message, 'user 17')
SELECT n FROM logs WHERE match_phrase(message, 'connection refused by') OR message ~ 'sku (1|2)[0-9]+$' OR message ~* 'TIMEOUT'
SELECT n FROM logs WHERE trace_id IN ('00', 'ff') OR trace_id = '00000000000000000000000000000000'
SELECT attributes->'tags'->0, attributes->'user'->>'name', json_get_int(attributes, 'user', 'id'), json_length(attributes), json_as_text(attributes, 'tags', 1) FROM logs
SELECT * FROM logs AS a JOIN logs AS b ON a.n = b.n + 1 WHERE a.service = b.service LIMIT 5
SELECT a.n, b.service FROM logs a LEFT JOIN (SELECT DISTINCT service FROM logs) b USING (service) ORDER BY 1 LIMIT 3
SELECT n, lag(n, 2, 0) OVER (PARTITION BY service ORDER BY timestamp ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS before, rank() OVER (ORDER BY bytes) FROM logs
SELECT ntile(4) OVER (ORDER BY n), nth_value(n, 3) OVER (ORDER BY n), sum(bytes) OVER (ORDER BY timestamp RANGE BETWEEN INTERVAL '1 minute' PRECEDING AND CURRENT ROW) FROM logs
WITH t AS (SELECT service, count(*) AS c FROM logs GROUP BY service), u AS (SELECT max(c) AS m FROM t) SELECT * FROM t, u WHERE c = m
WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r WHERE x < 10) SELECT sum(x) FROM r
SELECT n FROM logs WHERE n IN (SELECT max(n) FROM logs GROUP BY service) AND EXISTS (SELECT 1 FROM logs WHERE level = 'WARN')
SELECT n, (SELECT max(m.n) FROM logs m WHERE m.service = logs.service) FROM logs LIMIT 3
SELECT service FROM logs UNION SELECT level FROM logs EXCEPT SELECT 'auth' INTERSECT SELECT host FROM logs
SELECT CASE WHEN status >= 500 THEN 'bad' WHEN status IS NULL THEN NULL ELSE upper(level) END AS c, count(*) FILTER (WHERE cached) FROM logs GROUP BY ROLLUP (1)
SELECT cast(bytes AS varchar), cast('12' AS int), try_cast('x' AS bigint), bytes::double / 0, bytes % 7, -bytes, 7 / 2, 1e308 * 10, n << 3, n # 5 FROM logs LIMIT 3
SELECT substr(message, 2, 5), left(message, 3), right(message, -2), lpad('a', 5, 'xy'), rpad('a', 7), repeat('ab', 3), replace(message, 'a', ''), reverse(message), split_part(message, ' ', 2) FROM logs LIMIT 2
SELECT strpos(message, 'e'), position('a' IN message), overlay(message PLACING 'xx' FROM 2 FOR 3), translate(message, 'abc', 'xyz'), initcap(message), trim(BOTH 'x' FROM 'xax'), ascii(message), chr(955), to_hex(n) FROM logs LIMIT 2
SELECT regexp_replace(message, '([0-9]+)', '<\\1>', 'g'), regexp_match(message, 'u(s)er'), regexp_count(message, 'o'), regexp_like(message, '^G'), regexp_instr(message, 'e') FROM logs LIMIT 2
SELECT date_trunc('hour', timestamp), date_part('epoch', timestamp), extract(dow FROM timestamp), to_char(timestamp, '%Y-%m-%d %H:%M:%S%.f'), timestamp + INTERVAL '1 month', timestamp - TIMESTAMP '2026-11-01' FROM logs LIMIT 2
SELECT to_timestamp('2026-11-01T00:00:00'), to_timestamp_nanos(1), to_timestamp_millis(-1), from_unixtime(0), make_date(2026, 2, 28), to_date('2026-11-01'), timestamp AT TIME ZONE 'Europe/Berlin', now() - INTERVAL '1 day' FROM logs LIMIT 1
SELECT approx_distinct(trace_id), approx_percentile_cont(duration_ms, 0.95), approx_median(bytes), stddev(bytes), corr(bytes, n), covar_pop(n, bytes), regr_slope(n, bytes), median(n), bit_xor(n), bool_and(cached), string_agg(level, ','), array_agg(n ORDER BY n DESC), first_value(n ORDER BY n), grouping(level) FROM logs GROUP BY level
SELECT array_length([1, 2, 3]), make_array(1, NULL)[1], array_append([1], 2), array_slice([1, 2, 3, 4], 1, 3, 2), array_position(['a'], 'a'), array_repeat('x', 3), array_resize([1], 5, 0), array_sort([3, 1]), flatten([[1], [2]]), array_to_string([1, 2], ','), range(0, 10, 3), array_concat([1], [2])
SELECT unnest(generate_series(1, 5)) AS x, unnest([1, 2]), struct(1, 'a'), named_struct('a', 1)['a'], map(['a'], [1])['a'], arrow_typeof(1), arrow_cast(1, 'Int8'), coalesce(NULL, 1), nullif(1, 1), greatest(1, 2), nvl(NULL, 2)
SELECT * FROM generate_series(1, 100, 7) AS g(x) CROSS JOIN (VALUES (1, 'a'), (2, NULL)) AS v(k, t) ORDER BY x NULLS FIRST LIMIT 5
SELECT md5('a'), sha256('a'), encode('abc', 'base64'), decode('YWJj', 'base64'), digest('a', 'blake3'), uuid() IS NOT NULL, levenshtein('a', 'b'), random() < 2, round(1.5, 3), trunc(-1.7), power(2, 10), log(2, 8), factorial(5), gcd(4, 6), ln(0), sqrt(-1), atan2(1, 0), nanvl(0.0 / 0, 1), isnan(1.0)
SELECT DISTINCT ON (service) service, n FROM logs ORDER BY service, n DESC
SELECT * EXCLUDE (message) FROM logs LIMIT 1
SELECT n AS "a b", "n" "ä", logs."http.status", "http.request.method" FROM logs WHERE "kubernetes.namespace" LIKE 'team-_' ESCAPE '\\'
SELECT * FROM lake.tables
SELECT * FROM lake.files ORDER BY 1
SELECT * FROM lake.queries
SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'
SHOW TABLES
SHOW COLUMNS FROM logs
DESCRIBE logs
EXPLAIN SELECT count(*) FROM logs WHERE n > 3
EXPLAIN ANALYZE VERBOSE SELECT service FROM logs WHERE level = 'ERROR' ORDER BY timestamp LIMIT 3
EXPLAIN FORMAT TREE SELECT 1
VALUES (1, 'a'), (2, 'b')
SELECT $1, $2 || 'x', n FROM logs WHERE n = $3 AND service = $4
SELECT date, hour, nanos, timestamp FROM logs WHERE date = '2026-11-01' AND hour = 0 LIMIT 2
SELECT n FROM logs WHERE (n BETWEEN 3 AND 17) IS NOT TRUE AND level IS DISTINCT FROM service AND message SIMILAR TO '%(a|b)%' LIMIT 1
INSERT INTO logs (message) VALUES ('x')
COPY logs TO '/dev/null'
CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '/etc/passwd'
SET datafusion.execution.batch_size = 1
SELECT * FROM '/etc/passwd'
""".strip().splitlines()  # fmt: skip

_MORE_WORDS = [
    "NULL", "TRUE", "DISTINCT", "ALL", "LATERAL", "NATURAL", "FULL OUTER JOIN", "SEMI JOIN", "ANTI JOIN", "QUALIFY", "PIVOT", "TABLESAMPLE",
    "WITHIN GROUP (ORDER BY n)", "IGNORE NULLS", "OVER ()", "CUBE (n, level)", "GROUPING SETS ((n), ())", "FETCH FIRST 3 ROWS ONLY", "FOR UPDATE", "*",
    "()", "[]", "[1]", "[1:2]", "{}", "?", "$0", "$1", "$99999", "@x", ";", "--", "/*", "*/", "''", "'", '"', "x''", "e'\\u0000'", "U&'\\0041'", "0x1f",
    "INTERVAL '1' YEAR", "INTERVAL '9999999999 years'", "DATE '0001-01-01'", "TIMESTAMP '9999-12-31T23:59:59'", "DECIMAL(38, 38)", "::decimal(76,0)",
    "::uuid", "::int[]", "::json", "arrow_cast(n, 'Dictionary(Int8, Utf8)')", "arrow_cast(1, 'Decimal256(76, 10)')", "arrow_cast(timestamp, 'Timestamp(ns, \"+99:99\")')",
    "array_repeat(1, 100000000)", "repeat('x', 1000000000)", "lpad('x', 2000000000)", "range(0, 9223372036854775807, 1)", "generate_series(1, 100000000000)",
    "9223372036854775807", "-9223372036854775808", "99999999999999999999999999999999999999999", "1e400", "1e-400", "'NaN'::double",
]  # fmt: skip


def _files() -> list[str]:
    """Queries of examples, views and golden tests."""
    found = [path.read_text() for folder in ("examples", "views") for path in sorted((_SQL / folder).glob("*.sql"))]
    for path in sorted((_SQL / "golden").glob("*.slt")):
        found += re.findall(r"^query [^\n]*\n(.*?)\n----", path.read_text(), re.DOTALL | re.MULTILINE)
    return found


QUERIES = [*_QUERIES, *_files()]
WORDS = sorted({word for query in QUERIES for word in _WORD.findall(query) if not word.isspace()}) + _MORE_WORDS
_NAMES = [word for word in WORDS if word[0].isalpha()]
_FUNCTIONS = sorted({name for query in QUERIES for name in re.findall(r"\b([a-z_0-9]+)\(", query)})
_COLUMNS = [
    "n", "timestamp", "message", "level", "service", "host", "trace_id", "duration_ms", "bytes", "status", "cached", "ratio", "attributes",
    "nanos", "date", "hour", '"http.status"', '"user.id"', "region", "1", "'a'", "NULL", "[1, NULL]", "INTERVAL '1 day'", "timestamp - timestamp",
]  # fmt: skip

_ACCEPTED = ["application/x-ndjson"] * 30 + ["application/json", "text/csv"] * 3 + [
    "application/json", "text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet", "*/*",
    "text/csv;q=0.5, application/json;q=x", "image/png", "application/*;q=0",
]  # fmt: skip


def _word(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.7:
        return rng.choice(WORDS)
    if kind < 0.85:
        return str(mutate.number(rng))
    return "'" + mutate.text(rng).replace("'", "''") + "'"


def _deep(rng: random.Random, word: str) -> str:
    """The word in very many levels, or very many times."""
    times = rng.choice((5, 50, 200, 1_000, 5_000))
    opening, between, closing = rng.choice(
        (
            ("(", "", ")"), ("NOT ", "", ""), ("- ", "", ""), ("abs(", "", ")"), ("[", "", "]"), ("upper(", "", ")"), ("CASE WHEN true THEN ", "", " END"),
            ("(SELECT ", "", ")"), ("coalesce(NULL, ", "", ")"), ("", " + ", ""), ("", " OR ", ""), ("", " AND ", ""), ("", " || ", ""), ("", ", ", ""),
            ("", " UNION ALL SELECT ", ""), ("", "::text", ""), ("", "[1]", ""), ("", "->'a'", ""), ("", " JOIN logs ON ", ""),
        )
    )  # fmt: skip
    if between:
        return between.join([word] * times)
    return opening * times + word + closing * times


def change(rng: random.Random, query: str) -> str:
    words = _WORD.findall(query)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if not words:
            break
        at = rng.randrange(len(words))
        kind = rng.random()
        if kind < 0.6:
            # A word, not the space beside it.
            at = min(at + words[at].isspace(), len(words) - 1)
            words[at] = _replaced(rng, words[at])
        elif kind < 0.67:
            del words[at : at + rng.choice((1, 1, 2, 5))]
        elif kind < 0.77:
            words.insert(at, f" {_word(rng)} ")
        elif kind < 0.83:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        elif kind < 0.92:
            # A part of another query.
            other = _WORD.findall(rng.choice(QUERIES))
            begin = rng.randrange(len(other))
            words[at:at] = [" ", *other[begin : begin + rng.randrange(1, 12)], " "]
        elif kind < 0.95:
            words[at] = _deep(rng, words[at])
        else:
            part = words[at : at + rng.randrange(1, 15)]
            words[at:at] = part * rng.choice((1, 2, 20))
    return "".join(words)


def _replaced(rng, word: str) -> str:
    """Mostly by one of its kind."""
    if chance(rng, 0.15):
        return _word(rng)
    if word in _FUNCTIONS:
        return rng.choice(_FUNCTIONS)
    if word in _COLUMNS:
        return rng.choice(_COLUMNS)
    if word[0].isdigit():
        return str(mutate.number(rng))
    if word[0] == "'":
        return "'" + mutate.bytes_(rng, word[1:-1].encode()).decode("utf-8", "replace").replace("'", "''") + "'"
    if word[0].isalpha():
        # A keyword's change mostly ends at the parser.
        return rng.choice(_NAMES) if chance(rng, 0.3) else word
    return rng.choice(("=", "<", ">=", "+", "-", "*", "/", "%", "||", "->", "::", ".", ",", " ", "(", ")"))


class Sql(Door):
    name = "sql"
    clients = 6

    def prepare(self, lake):
        seeds.prepare(lake)

    def session(self, lake) -> HttpSession:
        return HttpSession(lake)

    def make(self, rng):
        query = rng.choice(QUERIES)
        if chance(rng, 0.95):
            query = change(rng, query)
        headers = {"Accept": rng.choice(_ACCEPTED)}
        kind = rng.random()
        if kind < 0.3:
            return Input([head("POST", "/api/v1/sql", headers), query.encode("utf-8", "replace")], "SQL")
        if kind < 0.35:
            return Input([head("POST", "/api/v1/sql", headers), mutate.bytes_(rng, query.encode("utf-8", "replace"))], "changed bytes")
        if kind < 0.42:
            options = rng.choice(("", "&timeout_ms=1000", "&shape=record", "&allow_partial=true", "&x=1", "&timeout_ms=-1"))
            quoted = urllib.parse.quote(query[:4_000].encode("utf-8", "replace"))
            return Input([head("GET", f"/api/v1/sql?query={quoted}{options}", headers), b""], "SQL in the address")
        return self._json(rng, query, headers)

    @staticmethod
    def _json(rng, query: str, headers: dict[str, str]) -> Input:
        body: dict = {"sql": query}
        if "$" in query or chance(rng, 0.1):
            body["parameters"] = [trees.value(rng, 0) if chance(rng, 0.3) else v for v in (1, "a", 17, "cart")]
        if chance(rng, 0.1):
            body["timeout_ms"] = rng.choice((0, 1, 100, 3_000, 2**63, -1))
        if chance(rng, 0.15):
            body["shape"] = "record"
            headers["Accept"] = "application/x-ndjson"
        if chance(rng, 0.1):
            body["allow_partial"] = True
        if chance(rng, 0.1):
            body = trees.change(rng, body)
        headers["Content-Type"] = "application/json"
        return Input([head("POST", "/api/v1/sql", headers), trees.dumps(body, rng)], "SQL in JSON")

    def check(self, lake):
        client = Client(lake.url, TOKEN)
        for query in _QUERIES[:9]:
            answer = client.try_sql(query)
            if answer.status != 200:
                raise Problem(f"{query}: {answer.status} {answer.body[:500]!r}")
        if not json.loads(client.try_sql("SELECT count(*) AS n FROM logs").body)["n"] == seeds.ROWS:
            raise Problem("the rows of `logs` are other than were sent")
