"""The questions of the benchmark, each in the words of every system, with literals out of the records.

A question is asked with another literal each time, so that no system can answer from a kept result. Those
whose columns the records lack, or for which they hold nothing to ask for, are left out.
"""
import collections
import datetime
import json
import re
import subprocess

from corpora import NEEDLE

SAMPLE = 4000
LITERALS = 5
# Letters that are no part of an id.
WORD = "(?<![a-zA-Z0-9])[a-zA-Z]{4,}(?![a-zA-Z0-9])"
# Words that are counted in the whole file, to find rare ones.
CANDIDATES = 200
NEEDLE_PARTS = ["quetzalcoatl", "coatl-58213"]


class Literals:
    """What to ask for, out of records taken evenly from a file: the same for the same file."""

    def __init__(self, path):
        records = list(sample(path))
        self.columns = {name for r in records for name in r}
        messages = [r["message"] for r in records if isinstance(r.get("message"), str)]
        times = sorted(r["timestamp"][:26] for r in records)
        self.hours = hours(times[0], times[-1])
        count = collections.Counter(r["service"] for r in records if r.get("service"))
        self.services = [name for name, _ in count.most_common(LITERALS)]
        words = collections.Counter(w for m in messages for w in set(re.findall(WORD, m)))
        frequent = [w for w, _ in words.most_common(2 * LITERALS)]
        self.pairs = list(zip(frequent[::2], frequent[1::2]))
        self.uncommon_words = sorted(w for w, n in words.items() if n == 1)
        self.uncommon = spread(self.uncommon_words)
        tokens = collections.Counter(w for m in messages for w in set(re.findall("[a-zA-Z0-9]{6,}", m)))
        once = sorted(w for w, n in tokens.items() if n == 1)
        self.ids = spread([w for w in once if re.search("[0-9]", w)])
        candidates = self.uncommon_words[:: max(1, len(self.uncommon_words) // CANDIDATES)]
        found = occurrences(path, [NEEDLE, *candidates])
        self.few = sorted(set(candidates) & found.keys(), key=lambda word: (found[word], word))[:LITERALS]
        # Of the records that hold the needle, by it and by parts of it.
        self.rare = [NEEDLE, *NEEDLE_PARTS] if NEEDLE in found else self.few
        traces = sorted({r["trace_id"] for r in records if r.get("trace_id")})
        self.traces = spread(traces)


def occurrences(path, words):
    """How often each of the words stands in a file, of those that do."""
    found = subprocess.run(["grep", "-oFf", "-", path], input="\n".join(words), env={"LC_ALL": "C"},
                           capture_output=True, text=True).stdout
    return collections.Counter(found.split())


def spread(values):
    """A few of them, evenly."""
    return values[:: max(1, len(values) // LITERALS)][:LITERALS]


def sample(path):
    """Records from evenly spread places of a file."""
    with open(path, "rb") as f:
        size = f.seek(0, 2)
        for n in range(SAMPLE):
            f.seek(size * n // SAMPLE)
            if n:
                f.readline()
            line = f.readline()
            if line:
                yield json.loads(line)


def hours(first, last):
    """Hours that lie whole in the records, spread over them."""
    first, last = (datetime.datetime.fromisoformat(t) for t in (first, last))
    hour = first.replace(minute=0, second=0, microsecond=0) + datetime.timedelta(hours=1)
    whole = []
    while hour + datetime.timedelta(hours=2) <= last:
        whole.append(hour)
        hour += datetime.timedelta(hours=1)
    whole = whole or [first.replace(minute=0, second=0, microsecond=0)]
    return spread(whole)


def between(hour, length):
    form = "%Y-%m-%d %H:%M:%S"
    return hour.strftime(form), (hour + datetime.timedelta(hours=length)).strftime(form)


class Question:
    """`sql`: system → text with places for one literal's fields; systems not named share `default`.

    `needs`: the columns it is about, with a space between; each file has the time.
    """

    def __init__(self, name, needs, literals, sql, approximate=False):
        self.name, self.needs, self.literals, self.sql = name, set(needs.split()), literals, sql
        self.approximate = approximate

    def asked(self, system):
        text = self.sql.get(system) or self.sql["default"]
        return [text.format(**literal) for literal in self.literals]


def questions(of):
    """The questions that a file's records can answer, with the literals `of` it."""
    return [q for q in every(of) if q.literals and q.needs <= of.columns]


def every(of):
    services = [{"service": s} for s in of.services]
    two_hours = [dict(zip(("start", "end"), between(h, 2)), service=s) for h, s in zip(of.hours, of.services * LITERALS)]
    one_hour = [dict(zip(("start", "end"), between(h, 1))) for h in of.hours]
    nothing = [{}]
    count = "SELECT count(*) AS n FROM logs WHERE "
    found = "SELECT timestamp, service, message FROM logs WHERE "
    return [
        Question("count all", "", nothing, {"default": "SELECT count(*) AS n FROM logs"}),
        Question("rare word over everything", "message service", [{"word": w} for w in of.rare], {
            "default": found + "message LIKE '%{word}%' ORDER BY timestamp, message LIMIT 100"}),
        Question("a word of few records", "message service", [{"word": w} for w in of.few if w not in of.rare], {
            "default": found + "message LIKE '%{word}%' ORDER BY timestamp, message LIMIT 100"}),
        Question("a word of one record in thousands", "message service", [{"word": w} for w in of.uncommon], {
            "default": found + "message LIKE '%{word}%' ORDER BY timestamp, message LIMIT 100"}),
        Question("an id in a message", "message service", [{"word": w} for w in of.ids], {
            "clickhouse": found + "hasToken(message, '{word}') ORDER BY timestamp, message LIMIT 100",
            "duckdb": found + "regexp_matches(message, '(^|[^a-zA-Z0-9]){word}($|[^a-zA-Z0-9])') ORDER BY timestamp, message LIMIT 100",
            "loglake": found + "has_token(message, '{word}') ORDER BY timestamp, message LIMIT 100"}),
        Question("one trace_id", "trace_id message service", [{"trace": t} for t in of.traces], {
            "default": found + "trace_id = '{trace}' ORDER BY timestamp, message"}),
        Question("latest 100 errors of a service", "service level host message", services, {
            "default": "SELECT timestamp, host, message FROM logs WHERE service = '{service}' AND level = 'ERROR' "
                       "ORDER BY timestamp DESC LIMIT 100"}),
        Question("latest 100 of all", "service level host message", nothing, {
            "default": "SELECT timestamp, service, level, host, message FROM logs ORDER BY timestamp DESC LIMIT 100"}),
        Question("per-minute histogram, one service, 2 h", "service", two_hours, {
            "default": "SELECT date_trunc('minute', timestamp) AS minute, count(*) AS n FROM logs WHERE service = '{service}' "
                       "AND timestamp >= '{start}' AND timestamp < '{end}' GROUP BY 1 ORDER BY 1",
            "clickhouse": "SELECT toStartOfMinute(timestamp) AS minute, count() AS n FROM logs WHERE service = '{service}' "
                          "AND timestamp >= '{start}' AND timestamp < '{end}' GROUP BY 1 ORDER BY 1"}),
        Question("count by level, 1 h", "level", one_hour, {
            "default": "SELECT level, count(*) AS n FROM logs WHERE timestamp >= '{start}' AND timestamp < '{end}' "
                       "GROUP BY level ORDER BY level"}),
        Question("top 10 hosts by errors", "host level", [{"level": level} for level in ("ERROR", "WARN")], {
            "default": "SELECT host, count(*) AS n FROM logs WHERE level = '{level}' GROUP BY host ORDER BY n DESC, host LIMIT 10"}),
        Question("p99 of a number by group", "service duration_ms", nothing, {
            "default": "SELECT service, approx_quantile(duration_ms, 0.99) AS p FROM logs GROUP BY service ORDER BY service",
            "clickhouse": "SELECT service, quantile(0.99)(duration_ms) AS p FROM logs GROUP BY service ORDER BY service",
            "loglake": "SELECT service, approx_percentile_cont(duration_ms, 0.99) AS p FROM logs GROUP BY service ORDER BY service",
        }, approximate=True),
        Question("substring anywhere, by service", "message service", [{"part": p} for p in ("xception", "onnect", "ailed")], {
            "default": "SELECT service, count(*) AS n FROM logs WHERE message LIKE '%{part}%' GROUP BY service ORDER BY service"}),
        Question("two frequent words, count", "message", [{"a": a, "b": b} for a, b in of.pairs], {
            "default": count + "message LIKE '%{a}%' AND message LIKE '%{b}%'"}),
        Question("distinct trace ids, approximate", "trace_id", nothing, {
            "default": "SELECT approx_count_distinct(trace_id) AS n FROM logs",
            "clickhouse": "SELECT uniq(trace_id) AS n FROM logs",
            "loglake": "SELECT approx_distinct(trace_id) AS n FROM logs",
        }, approximate=True),
    ]
