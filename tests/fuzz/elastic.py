"""Elasticsearch's search API: bodies of the comparison's generators and of known tools, changed as trees."""

from __future__ import annotations

import copy
import functools
import json
import random
import urllib.parse

from client import Client

from . import mutate, seeds, trees
from .door import TOKEN, Door
from .http import HttpSession, head
from .inputs import Input, NotOffered, Problem
from .mutate import chance

INDEX = "logs"
_GENERATED = 400
_PARAMETERS = [
    "q=level:ERROR", "size=3", "from=2", "sort=n:desc", "typed_keys=true", "rest_total_hits_as_int=true", "scroll=1m", "pretty", "filter_path=hits.total",
    "track_total_hits=false", "ignore_unavailable=true", "allow_no_indices=false", "default_operator=AND", "_source=n,level", "timeout=1s", "size=-1",
    "q=%22", "sort=%00", "format=yaml", "df=message", "search_type=query_then_fetch", "preference=x", "nonsense=1", "expand_wildcards=none",
]  # fmt: skip
_INDICES = [INDEX, INDEX, INDEX, INDEX, "log*", "_all", "*", "logs,-logs", "nowhere", "<logs-{now/d}>", "logs,sane", "a" * 300, "%00", "-x", "_x"]


def _questions_module():
    try:
        from elastic import by_hand, questions, requests
    except ImportError as error:
        raise NotOffered(f"the generators of bodies are not in this checkout: {error}") from error
    return by_hand, questions, requests


def _records() -> list[dict]:
    """With the fields that the generators name."""
    rng, records = random.Random(3), []
    for row in seeds.prepared():
        record = {"region": "eu-west-1", "path": "/a", "status": 200, "trace_id": "0", "cached": True, "ratio": 0.5, **row}
        record["@timestamp"] = f"2026-11-01T{row['n'] // 300:02}:{row['n'] // 5 % 60:02}:{rng.randrange(60):02}.000Z"
        record["http"] = {"status": 200, "request": {"method": "GET"}}
        record["kubernetes"] = {"namespace": "team-1", "labels": {"tier": "web"}}
        records.append(record)
    return records


@functools.cache
def _corpus() -> list[tuple[str, dict]]:
    """Paths and bodies."""
    by_hand, questions, requests = _questions_module()
    records = _records()
    found = [(q.path, q.body) for q in [*by_hand.questions(records), *questions.generated(records, _GENERATED, 5)]]
    tools = [
        requests.grafana_histogram("level:ERROR"), requests.grafana_metrics(), requests.grafana_logs("refused"), requests.grafana_values(),
        requests.discover_table("message:\"no stock\""), requests.discover_chart(), requests.discover_with_filters(), requests.field_values(),
    ]  # fmt: skip
    return found + [(f"/{INDEX}/_search", body) for body in tools] * 5


# Values that are read further: intervals, times, zones, formats, patterns, queries, names.
_ODD = [
    "1ns", "0s", "-1h", "1.5h", "99999999999y", "1M", "9999999d", "90m", "", "1", "now-99999999d/d", "now+1M/M", "2026-11-01||/w", "2026-11-01||+999999999999y",
    "0001-01-01", "9999-12-31T23:59:59.999Z", "-1", 0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 10**30, 1e308, -0.0, 0.1, "NaN", "Infinity", True, None,
    "Europe/Berlin", "+18:00", "-99:99", "UTC+1", "epoch_second", "yyyy-MM-dd'T'HH:mm", "'", "uuuu-DDD", "strict_date||epoch_millis", "[", "{", "q" * 300,
    ".*", "(a|b)*c+", "(((((a*)*)*)*)*)*", "[a-z]{1,1000}", "~a&b", "<1-99>", "*", "?", "\\", "*a*b*c*d*", "*?" * 200, "level:ERROR AND (", "a:[1 TO", "_exists_:n",
    "/a{1,99999}/", "a~999", "\"a b\"~3", "NOT NOT NOT a", "((((((((((a))))))))))", "n:>=1", "*:*", "a^-1", "message", "message.keyword", "@timestamp", "_id",
    "_index", "_score", "_doc", "_source", "attributes", "attributes.user", "user.id", "nothing", "a.b.c", "kubernetes", "50%", "2<75%", "3<-25% 9<-3", "-101%",
    "_count", "_key", "a>b", "a>b.c", "t>_bucket_count", "desc", "_first", "avg", "date_nanos", "boolean",
]  # fmt: skip


@functools.cache
def _values() -> dict[object, list]:
    """The values of the corpus, by the key that they stand at."""
    found: dict = {}
    for _, body in _corpus():
        for owner, key in trees.leaves(body):
            found.setdefault(key, []).append(owner[key])
    return found


def _revalued(rng, body: dict) -> dict:
    """With values that other bodies have in their place, or odd ones: so it is still understood."""
    places = trees.leaves(body)
    for owner, key in rng.sample(places, min(len(places), rng.choice((1, 1, 2, 4)))):
        owner[key] = rng.choice(_values()[key]) if key in _values() and chance(rng, 0.5) else rng.choice(_ODD)
    return body


class Elastic(Door):
    name = "elastic"
    clients = 8

    def prepare(self, lake):
        _questions_module()
        seeds.prepare(lake)
        client = Client(lake.url, TOKEN)
        answer = client.post(f"/{INDEX}/_search", b'{"size":1}', {"Content-Type": "application/json"})
        if answer.status in (404, 405):
            raise NotOffered("the server has no search API of Elasticsearch")
        if answer.status != 200:
            raise Problem(f"a search is answered with {answer.status} {answer.body[:500]!r}")

    def session(self, lake):
        return HttpSession(lake)

    def make(self, rng):
        path, body = rng.choice(_corpus())
        body = copy.deepcopy(body)
        headers = {"Content-Type": "application/json"}
        kind = rng.random()
        if kind < 0.03:
            return Input([head("POST", path, headers), trees.dumps(body)], "as it is")
        if kind < 0.1:
            return self._several(rng, headers)
        if kind < 0.2:
            return Input([head("POST", path, headers), mutate.bytes_(rng, trees.dumps(body))], "changed bytes")
        if chance(rng, 0.3):
            # A part of another body: a query under an aggregation, a sort under a query.
            body = trees.graft(rng, body, copy.deepcopy(rng.choice(_corpus())[1]))
        if chance(rng, 0.45):
            content = trees.dumps(_revalued(rng, body), rng)
        else:
            content = trees.dumps(trees.change(rng, body, rng.choice((1, 1, 1, 2, 4))), rng)
        if chance(rng, 0.15):
            path = f"/{urllib.parse.quote(rng.choice(_INDICES), safe='*,%')}/{path.rsplit('/', 1)[-1]}"
        if chance(rng, 0.15):
            path += "?" + "&".join(rng.sample(_PARAMETERS, rng.randrange(1, 4)))
        return Input([head(rng.choice(("POST", "POST", "POST", "GET")), path, headers), content], "changed body")

    @staticmethod
    def _several(rng, headers) -> Input:
        """`_msearch`."""
        lines = []
        for _ in range(rng.randrange(1, 4)):
            about = {"index": rng.choice(_INDICES), "ignore_unavailable": True}
            body = copy.deepcopy(rng.choice(_corpus())[1])
            lines += [trees.change(rng, about) if chance(rng, 0.2) else about, trees.change(rng, body) if chance(rng, 0.5) else body]
        content = b"".join(trees.dumps(line, rng) + b"\n" for line in lines)
        if chance(rng, 0.2):
            content = mutate.bytes_(rng, content)
        headers["Content-Type"] = "application/x-ndjson"
        return Input([head("POST", rng.choice(("/_msearch", f"/{INDEX}/_msearch")), headers), content], "several searches")

    def check(self, lake):
        client = Client(lake.url, TOKEN)
        body = json.dumps({"query": {"match_all": {}}, "track_total_hits": True}).encode()
        answer = client.post(f"/{INDEX}/_search", body, {"Content-Type": "application/json"})
        if answer.status != 200 or answer.json()["hits"]["total"]["value"] != seeds.ROWS:
            raise Problem(f"a search for everything: {answer.status} {answer.body[:500]!r}")
