"""Whether two answers are the same, told by where they differ."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass

# Exact ones may add in another order.
CLOSE = 1e-9
# loglake's percentiles are approximate; OpenSearch is asked to be all but exact (see `to_be_exact`).
PERCENTILE_CLOSE, PERCENTILE_RANK_CLOSE, CARDINALITY_CLOSE = 0.1, 1.5, 0.05
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
PIPELINES = {"derivative", "cumulative_sum", "avg_bucket", "sum_bucket", "min_bucket", "max_bucket", "stats_bucket"}


@dataclass
class Difference:
    where: str
    expected: object
    got: object

    def __str__(self):
        return f"{self.where}: expected {short(self.expected)}, got {short(self.got)}"


def to_be_exact(body):
    """The body for OpenSearch, with percentiles from as many centroids as it keeps."""
    if isinstance(body, list):
        return [to_be_exact(part) for part in body]
    if not isinstance(body, dict):
        return body
    body = {name: to_be_exact(part) for name, part in body.items()}
    for kind in ("percentiles", "percentile_ranks"):
        if isinstance(body.get(kind), dict) and "field" in body[kind]:
            body[kind]["tdigest"] = {"compression": 2_000}
    return body


def short(value, most: int = 300) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


def nanos(text: str) -> int:
    """An ISO time as nanoseconds, so that trailing zeros make no difference."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    whole = datetime.datetime.fromisoformat(seconds + "+00:00").timestamp()
    return int(whole) * 1_000_000_000 + int((fraction + "000000000")[:9])


def differences(question, expected: dict, got: dict) -> list[Difference]:
    """`question.compare` says what counts: total, hits, count, aggregations, score, error."""
    found: list[Difference] = []
    if "error" in expected or "error" in got:
        return _errors(expected, got)
    if "count" in question.compare:
        _same("count", expected.get("count"), got.get("count"), found)
    if "total" in question.compare:
        _same("total", expected["hits"].get("total"), got["hits"].get("total"), found)
    if "hits" in question.compare:
        _hits("hits", expected["hits"]["hits"], got["hits"]["hits"], found)
    if "scores" in question.compare:
        _scores(expected["hits"]["hits"], got["hits"]["hits"], found)
    if "aggregations" in question.compare:
        asked = question.body.get("aggs", question.body.get("aggregations", {}))
        _aggregations("aggs", asked, expected.get("aggregations", {}), got.get("aggregations", {}), found)
    return found


def _errors(expected: dict, got: dict) -> list[Difference]:
    """Both refuse, with the same status and for the same reason in their own words."""
    found: list[Difference] = []
    _same("status", expected.get("status", 200), got.get("status", 200), found)
    if not found and isinstance(expected["error"], dict) and isinstance(got["error"], dict):
        # OpenSearch packs what is found out while searching into a failure of all shards.
        kinds = {cause["type"] for cause in expected["error"].get("root_cause", [])}
        kinds.add(expected["error"]["type"])
        if got["error"].get("type") not in kinds:
            found.append(Difference("error.type", sorted(kinds), got["error"].get("type")))
    return found


def _same(where: str, expected, got, found: list):
    if not alike(expected, got):
        found.append(Difference(where, expected, got))


def alike(expected, got, close: float = CLOSE) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, (int, float)) and isinstance(got, (int, float)):
        if math.isnan(expected) or math.isnan(got):
            return math.isnan(expected) and math.isnan(got)
        return expected == got or math.isclose(expected, got, rel_tol=close, abs_tol=close)
    if isinstance(expected, str) and isinstance(got, str):
        if expected != got and TIME.fullmatch(expected) and TIME.fullmatch(got):
            return nanos(expected) == nanos(got)
        return expected == got
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(alike(expected[k], got[k], close) for k in expected)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(alike(e, g, close) for e, g in zip(expected, got))
    return expected == got


def _hits(where: str, expected: list, got: list, found: list):
    names = [hit["_id"] for hit in expected], [hit["_id"] for hit in got]
    if names[0] != names[1]:
        found.append(Difference(f"{where}._id", *names))
        return
    for one, other in zip(expected, got):
        for part in ("_source", "fields", "sort", "highlight"):
            if not alike(one.get(part), other.get(part)):
                found.append(Difference(f"{where}[{one['_id']}].{part}", one.get(part), other.get(part)))
                return


def _scores(expected: list, got: list, found: list):
    """Scores are of their own scale; the order in which they put hits is what counts."""
    best = [hit["_id"] for hit in expected[:1]], [hit["_id"] for hit in got[:1]]
    scores = [hit["_score"] for hit in got]
    if any(score is None for score in scores):
        found.append(Difference("_score", "a number", None))
    elif scores != sorted(scores, reverse=True):
        found.append(Difference("_score", "falling", scores))
    elif best[0] != best[1] and len(set(scores)) > 1:
        found.append(Difference("best hit", *best))


def _aggregations(where: str, asked: dict, expected: dict, got: dict, found: list):
    for name, definition in asked.items():
        kinds = set(definition) - {"aggs", "aggregations", "meta"}
        (kind,) = kinds
        below = definition.get("aggs", definition.get("aggregations", {}))
        here = f"{where}.{name}({kind})"
        if (name in expected) != (name in got):
            found.append(Difference(here, expected.get(name), got.get(name)))
        elif name in expected:
            _aggregation(here, kind, definition[kind], below, expected[name], got[name], found)


def _aggregation(where, kind, options, below, expected, got, found: list):
    if kind == "cardinality":
        _close(where, expected["value"], got.get("value"), CARDINALITY_CLOSE, 1, found)
    elif kind == "percentiles":
        _percentiles(where, expected["values"], got.get("values"), PERCENTILE_CLOSE, 0.5, found)
    elif kind == "percentile_ranks":
        _percentiles(where, expected["values"], got.get("values"), 0.03, PERCENTILE_RANK_CLOSE, found)
    elif kind == "top_hits":
        _same(f"{where}.total", expected["hits"]["total"], got["hits"].get("total"), found)
        _hits(f"{where}.hits", expected["hits"]["hits"], got["hits"]["hits"], found)
    elif "buckets" in expected:
        _same_but_buckets(where, expected, got, found)
        _buckets(where, below, expected["buckets"], got.get("buckets"), found)
    elif below:  # one bucket: filter, missing, global
        _bucket(where, below, expected, got, found)
    else:
        _same_members(where, expected, got, found)


def _close(where, expected, got, relative, absolute, found: list):
    if expected is None or got is None:
        _same(where, expected, got, found)
    elif not math.isclose(expected, got, rel_tol=relative, abs_tol=absolute):
        found.append(Difference(where, expected, got))


def _percentiles(where, expected, got, relative, absolute, found: list):
    if type(expected) is not type(got):
        found.append(Difference(where, expected, got))
        return
    if isinstance(expected, dict):
        pairs = [(key, expected[key], got.get(key, "nothing")) for key in expected]
        if expected.keys() != got.keys():
            found.append(Difference(where, expected, got))
            return
    else:
        pairs = [(e["key"], e["value"], g["value"]) for e, g in zip(expected, got)]
    for key, one, other in pairs:
        if isinstance(one, str) or isinstance(other, str):
            _same(f"{where}.{key}", one, other, found)
        else:
            _close(f"{where}.{key}", one, other, relative, absolute, found)


def _same_but_buckets(where, expected: dict, got: dict, found: list):
    for part in sorted(set(expected) - {"buckets", *_empty_meta(expected)}):
        _same(f"{where}.{part}", expected[part], got.get(part), found)


def _same_members(where, expected: dict, got: dict, found: list):
    for part in expected:
        # Variances differ in their last digits by the way they are computed.
        loose = part.startswith(("std", "variance"))
        if not alike(expected[part], got.get(part), 1e-6 if loose else CLOSE):
            found.append(Difference(f"{where}.{part}", expected[part], got.get(part)))


def _empty_meta(expected: dict) -> set[str]:
    """OpenSearch shows an empty `meta` of some aggregations that found nothing."""
    return {"meta"} if expected.get("meta") == {} else set()


def _buckets(where, below, expected, got, found: list):
    if isinstance(expected, dict):
        if not isinstance(got, dict) or list(expected) != list(got):
            found.append(Difference(f"{where}.keys", list(expected), got if got is None else list(got)))
            return
        pairs = [(key, expected[key], got[key]) for key in expected]
    else:
        if not isinstance(got, list):
            found.append(Difference(f"{where}.buckets", expected, got))
            return
        keys = [[_shown(b) for b in buckets] for buckets in (expected, got)]
        if not alike(*keys):
            found.append(Difference(f"{where}.keys", *keys))
            return
        pairs = [(_shown(e)[0], e, g) for e, g in zip(expected, got)]
    for key, one, other in pairs:
        before = len(found)
        _bucket(f"{where}[{key}]", below, one, other, found)
        if len(found) > before:
            return


def _shown(bucket: dict):
    return bucket.get("key"), bucket["doc_count"]


def _bucket(where, below, expected: dict, got: dict, found: list):
    for part in sorted(set(expected) - set(below) - _empty_meta(expected)):
        _same(f"{where}.{part}", expected[part], got.get(part), found)
    _aggregations(where, below, expected, got, found)
