"""Questions to ask both: some by hand, most by a seeded generator that takes its values from the records."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from . import aggregations
from .records import INDEX

# Most questions sort so that every row has its place.
SORT = [{"@timestamp": {"order": "desc"}}, {"n": {"order": "asc"}}]
KEYWORDS = ["service", "host", "region", "level", "http.request.method", "kubernetes.namespace", "path"]
NUMBERS = ["status", "bytes", "duration_ms", "n", "http.status", "ratio"]


@dataclass
class Question:
    name: str
    body: dict
    path: str = f"/{INDEX}/_search"
    # What of the answers is compared: see compare.py.
    compare: set[str] = field(default_factory=lambda: {"total", "hits", "aggregations"})


class Values:
    """Values that occur, and some that do not."""

    def __init__(self, records: list[dict], rng: random.Random):
        self.records, self.rng = records, rng

    def record(self) -> dict:
        return self.rng.choice(self.records)

    def of(self, name: str):
        while True:
            value = self.record()
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                return value

    def words(self, count: int) -> list[str]:
        while True:
            found = re.findall(r"[A-Za-z0-9]+", self.record()["message"])
            if len(found) >= count:
                at = self.rng.randrange(len(found) - count + 1)
                return found[at : at + count]

    def word(self, letters: int = 1) -> str:
        while True:
            (word,) = self.words(1)
            if len(word) >= letters:
                return word

    def time(self) -> str:
        return self.of("@timestamp")


def generated(records: list[dict], count: int, seed: int) -> list[Question]:
    rng = random.Random(seed)
    values = Values(records, rng)
    kinds = [search, search, search, paged, aggregated, aggregated, aggregated, counted]
    questions = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        questions.append(kind(f"generated-{number:03}", values, rng))
    return questions


def search(name: str, values: Values, rng: random.Random) -> Question:
    body = {"query": query(values, rng), "size": rng.choice([0, 3, 10, 25]), "sort": SORT, "track_total_hits": True}
    if rng.random() < 0.2:
        body["_source"] = rng.choice([False, ["n", "message"], {"excludes": ["message", "http*"]}, "http.*"])
    if rng.random() < 0.2:
        body["fields"] = rng.choice([["n", "level"], ["http.*"], [{"field": "@timestamp", "format": "epoch_millis"}]])
    return Question(name, body)


def paged(name: str, values: Values, rng: random.Random) -> Question:
    field_ = rng.choice(["bytes", "duration_ms", "level", "service", "@timestamp", "cached", "trace_id"])
    order = {"order": rng.choice(["asc", "desc"])}
    if rng.random() < 0.4:
        order["missing"] = rng.choice(["_first", "_last"])
    body = {
        "query": query(values, rng, depth=1),
        "sort": [{field_: order}, {"n": "asc"}],
        "size": rng.choice([5, 20]),
        "track_total_hits": True,
        "_source": ["n"],
    }
    if rng.random() < 0.5:
        body["from"] = rng.randrange(100)
    return Question(name, body)


def counted(name: str, values: Values, rng: random.Random) -> Question:
    return Question(name, {"query": query(values, rng)}, f"/{INDEX}/_count", {"count"})


def aggregated(name: str, values: Values, rng: random.Random) -> Question:
    body = {"size": 0, "track_total_hits": True, "aggs": aggregations.tree(values, rng)}
    if rng.random() < 0.6:
        body["query"] = query(values, rng, depth=1)
    return Question(name, body)


def query(values: Values, rng: random.Random, depth: int = 2) -> dict:
    if depth > 0 and rng.random() < 0.45:
        return compound(values, rng, depth)
    return rng.choice(LEAVES)(values, rng)


def compound(values: Values, rng: random.Random, depth: int) -> dict:
    def some(most: int) -> list[dict]:
        return [query(values, rng, depth - 1) for _ in range(rng.randrange(1, most + 1))]

    kind = rng.random()
    if kind < 0.75:
        clauses: dict = {}
        for name, most in [("must", 2), ("filter", 2), ("should", 3), ("must_not", 2)]:
            if rng.random() < 0.5:
                clauses[name] = some(most)
        if "should" in clauses and rng.random() < 0.4:
            choices = [1, 2, -1, "50%", "2<75%"]
            clauses["minimum_should_match"] = rng.choice(choices)
        return {"bool": clauses or {"must": some(1)}}
    if kind < 0.85:
        return {"constant_score": {"filter": query(values, rng, depth - 1), "boost": 2}}
    if kind < 0.95:
        return {"dis_max": {"queries": some(3), "tie_breaker": 0.3}}
    positive, negative = query(values, rng, depth - 1), query(values, rng, depth - 1)
    return {"boosting": {"positive": positive, "negative": negative, "negative_boost": 0.4}}


def term(values, rng):
    name = rng.choice(KEYWORDS + ["status", "cached", "n", "trace_id", "http.status"])
    value = values.of(name)
    if rng.random() < 0.1:
        value = "nothing" if isinstance(value, str) else value
    return {"term": {name: rng.choice([value, {"value": value}])}}


def terms(values, rng):
    name = rng.choice(KEYWORDS + ["status", "n"])
    return {"terms": {name: [values.of(name) for _ in range(rng.randrange(1, 5))]}}


def range_of_numbers(values, rng):
    name = rng.choice(NUMBERS)
    low, high = sorted([values.of(name), values.of(name)])
    bounds = {rng.choice(["gt", "gte"]): low, rng.choice(["lt", "lte"]): high}
    if rng.random() < 0.3:
        bounds.pop(rng.choice(list(bounds)))
    return {"range": {name: bounds}}


def range_of_times(values, rng):
    low, high = sorted([values.time(), values.time()])
    kind = rng.random()
    if kind < 0.3:
        return {"range": {"@timestamp": {"gte": low, "lt": high}}}
    if kind < 0.5:
        return {"range": {"@timestamp": {"gte": low[:16], "lte": high[:13]}}}
    if kind < 0.7:
        unit = rng.choice(["h", "m", "d"])
        return {"range": {"@timestamp": {"gte": f"{low[:19]}||-10m/{unit}", "lte": f"{high[:19]}||/{unit}"}}}
    if kind < 0.85:
        zone = rng.choice(["+02:00", "-05:30", "Europe/Berlin"])
        return {"range": {"@timestamp": {"gt": low[:19], "lte": high[:19], "time_zone": zone}}}
    bounds = {"gte": low[:10].replace("-", "/"), "format": "yyyy/MM/dd"}
    return {"range": {"@timestamp": bounds}}


def exists(values, rng):
    return {"exists": {"field": rng.choice(["trace_id", "status", "cached", "http.request.method", "kubernetes.namespace", "http", "ratio", "nothing", "message"])}}


def some_or_all(values, rng):
    return rng.choice([{"match_all": {}}, {"match_all": {}}, {"match_none": {}}])


def ids(values, rng):
    return {"ids": {"values": [str(values.of("n")) for _ in range(3)] + ["nothing"]}}


def match(values, rng):
    words = values.words(rng.randrange(1, 4))
    text = " ".join(words) if rng.random() < 0.7 else "-".join(words).upper()
    options: dict = {"query": text}
    kind = rng.random()
    if kind < 0.3:
        options["operator"] = rng.choice(["and", "AND"])
    elif kind < 0.5:
        options["minimum_should_match"] = rng.choice([1, 2, "60%", -1])
    elif kind < 0.6:
        options = {"query": values.word(5), "fuzziness": rng.choice(["AUTO", 1])}
    return {"match": {"message": options if rng.random() < 0.8 else text}}


def match_of_keyword(values, rng):
    name = rng.choice(["service", "level", "status", "cached", "message.keyword"])
    value = values.record()["message"] if name == "message.keyword" else values.of(name)
    return {"match": {name: value}}


def match_phrase(values, rng):
    return {"match_phrase": {"message": " ".join(values.words(rng.randrange(2, 4)))}}


def match_prefix(values, rng):
    words = values.words(rng.randrange(1, 3))
    # A beginning that more than 1,024 words have is an error to OpenSearch.
    words.append(values.word(4))
    words[-1] = words[-1][: rng.randrange(3, len(words[-1]) + 1)]
    kind = rng.choice(["match_phrase_prefix", "match_bool_prefix"])
    options: dict = {"query": " ".join(words)}
    if kind == "match_phrase_prefix":
        # OpenSearch looks at the first 50 words of that beginning otherwise.
        options["max_expansions"] = 100_000
    return {kind: {"message": options}}


def multi_match(values, rng):
    kind = rng.random()
    if kind < 0.5:
        return {"multi_match": {"query": values.word(3), "fields": ["message", "service", "level"]}}
    if kind < 0.8:
        return {"multi_match": {"query": " ".join(values.words(2)), "fields": ["message^2", "path"], "type": rng.choice(["best_fields", "most_fields"]), "operator": "and"}}
    return {"multi_match": {"query": " ".join(values.words(2)), "fields": ["message"], "type": "phrase"}}


def wildcard(values, rng):
    if rng.random() < 0.5:
        text = values.of("service")
        return {"wildcard": {"service": {"value": rng.choice([text[:3] + "*", "*" + text[-3:], text[0] + "?" + text[2:]])}}}
    if rng.random() < 0.5:
        word = values.word(4).lower()
        return {"wildcard": {"message": {"value": word[:2] + "*" + word[-1]}}}
    host = values.of("host")
    return {"wildcard": {"host": {"value": host[:8].upper() + "*", "case_insensitive": True}}}


def prefix(values, rng):
    name = rng.choice(["service", "host", "path", "trace_id", "message"])
    value = values.word(3).lower() if name == "message" else values.of(name)
    return {"prefix": {name: {"value": value[: rng.randrange(1, 7)]}}}


def regexp(values, rng):
    if rng.random() < 0.4:
        word = re.sub(r"[^a-z]", ".", values.word(4).lower())
        return {"regexp": {"message": f"{word[:3]}.*"}}
    text = values.of("service")
    choices = [f"{text[:2]}.*", "(checkout|auth)(-[0-9])?", ".*-[12]", "[a-c].{3,6}", "s.a?r+ch"]
    return {"regexp": {"service": rng.choice(choices)}}


def fuzzy(values, rng):
    text = values.of("service")
    at = rng.randrange(1, len(text) - 1)
    return {"fuzzy": {"service": {"value": text[:at] + "x" + text[at + 1 :], "fuzziness": rng.choice([1, 2, "AUTO"])}}}


def query_string(values, rng):
    word, other = values.word(3), values.word(3)
    level, service = values.of("level"), values.of("service")
    low, high = sorted([values.of("status"), values.of("status")])
    first, last = sorted([values.time()[:19], values.time()[:19]])
    texts = [
        f"{word} AND {other}",
        f"{word} OR {other}",
        f"level:{level} AND NOT service:{service}",
        f"+level:{level} -service:{service}",
        f"message:({word} {other})",
        f'message:"{" ".join(values.words(2))}"',
        f"status:[{low} TO {high}]",
        f"status:{{{low} TO {high}}}",
        f"status:>={low}",
        f"service:{service[:4]}*",
        f'@timestamp:["{first}" TO "{last}"]',
        f"(level:ERROR OR level:WARN) AND {word}",
        f"_exists_:trace_id AND {word}",
        f"service:/{service[:3]}.*/",
        f"level:({level} OR WARN)",
        f"{word}^2 {other}~1",
        f"NOT {word}",
        "*",
        f"http.status:{low} AND http.request.method:GET",
        f'service:"{service}" && level:{level}',
        f"!level:{level} || status:{high}",
    ]
    options: dict = {"query": rng.choice(texts), "default_field": "message"}
    if rng.random() < 0.4:
        options["default_operator"] = rng.choice(["AND", "and", "OR"])
    return {"query_string": options}


def simple_query_string(values, rng):
    word, other = values.word(3), values.word(3)
    texts = [
        f"{word} + {other}",
        f"{word} | {other}",
        f"{word} -{other}",
        f'"{" ".join(values.words(2))}"',
        f"{word[:3]}*",
        f"({word} | {other}) + {values.word(3)}",
        f"{word}~1",
        f"{word} ({other}",
    ]
    options: dict = {"query": rng.choice(texts), "fields": ["message"]}
    if rng.random() < 0.5:
        options["default_operator"] = rng.choice(["and", "or"])
    return {"simple_query_string": options}


LEAVES = [
    term, term, terms, range_of_numbers, range_of_times, range_of_times, exists, some_or_all, ids,
    match, match, match_of_keyword, match_phrase, match_prefix, multi_match, wildcard, prefix, regexp,
    fuzzy, query_string, query_string, simple_query_string,
]  # fmt: skip
