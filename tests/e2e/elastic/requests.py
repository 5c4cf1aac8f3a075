"""Bodies as the tools that people have in front of their logs send them: shapes of Grafana's Elasticsearch
data source and of Kibana's Discover, after their public sources."""

from __future__ import annotations

import json

FROM, TO = 1_793_491_200_000, 1_793_498_400_000  # 2026-11-01T00:00Z and two hours later
TIME = "@timestamp"


def _range(low=FROM, high=TO, format="epoch_millis") -> dict:
    return {"range": {TIME: {"gte": low, "lte": high, "format": format}}}


def _lucene(text: str) -> list[dict]:
    return [{"query_string": {"analyze_wildcard": True, "query": text}}] if text else []


def lines(*searches: dict, index: str = "logs") -> bytes:
    """The body of `_msearch` as Grafana makes it."""
    head = {"search_type": "query_then_fetch", "ignore_unavailable": True, "index": index}
    return b"".join(json.dumps(part).encode() + b"\n" for body in searches for part in (head, body))


def grafana_histogram(query: str = "", interval: str = "10m") -> dict:
    """A graph of counts by one field."""
    dates = {
        "date_histogram": {
            "field": TIME,
            "min_doc_count": 0,
            "extended_bounds": {"min": FROM, "max": TO},
            "format": "epoch_millis",
            "fixed_interval": interval,
        }
    }
    by_level = {
        "terms": {"field": "level", "size": 10, "order": {"_key": "desc"}, "min_doc_count": 1},
        "aggs": {"2": dates},
    }
    return {
        "size": 0,
        "query": {"bool": {"filter": [_range(), *_lucene(query)]}},
        "aggs": {"3": by_level},
    }


def grafana_metrics(interval: str = "30m") -> dict:
    """A graph of numbers, ordered by one of them."""
    return {
        "size": 0,
        "query": {"bool": {"filter": [_range()]}},
        "aggs": {
            "4": {
                "terms": {"field": "service", "size": 3, "order": {"1": "desc"}, "min_doc_count": 1},
                "aggs": {
                    "1": {"avg": {"field": "duration_ms"}},
                    "2": {
                        "date_histogram": {
                            "field": TIME, "min_doc_count": 0, "extended_bounds": {"min": FROM, "max": TO},
                            "format": "epoch_millis", "fixed_interval": interval, "time_zone": "Europe/Berlin",
                        },
                        "aggs": {
                            "1": {"avg": {"field": "duration_ms"}},
                            "5": {"percentiles": {"field": "bytes", "percents": ["25", "50", "95"]}},
                            "6": {"max": {"field": "bytes"}},
                        },
                    },
                },
            }
        },
    }  # fmt: skip


def grafana_logs(query: str = "", size: int = 50) -> dict:
    """The lines of a log panel."""
    return {
        "size": size,
        "query": {"bool": {"filter": [_range(), *_lucene(query)]}},
        "sort": [{TIME: {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}],
        "script_fields": {},
        "fields": [{"field": "*"}, {"field": TIME, "format": "strict_date_optional_time_nanos"}],
        "highlight": {
            "fields": {"*": {}},
            "pre_tags": ["@HIGHLIGHT@"],
            "post_tags": ["@/HIGHLIGHT@"],
            "fragment_size": 2147483647,
        },
    }


def grafana_values(field: str = "service", size: int = 500) -> dict:
    """What a variable of a dashboard may be."""
    return {
        "size": 0,
        "query": {"bool": {"filter": [_range()]}},
        "aggs": {"1": {"terms": {"field": field, "size": size, "order": {"_key": "asc"}}}},
    }


def discover_table(query: str = "", size: int = 500) -> dict:
    """The documents of Discover."""
    times = {"gte": "2026-11-01T00:00:00.000Z", "lte": "2026-11-01T02:00:00.000Z", "format": "strict_date_optional_time"}
    return {
        "track_total_hits": False,
        "sort": [
            {TIME: {"order": "desc", "format": "strict_date_optional_time", "unmapped_type": "boolean"}},
            {"_doc": {"order": "desc", "unmapped_type": "boolean"}},
        ],
        "fields": [
            {"field": "*", "include_unmapped": True},
            {"field": TIME, "format": "strict_date_optional_time"},
        ],
        "size": size,
        "version": True,
        "script_fields": {},
        "stored_fields": ["*"],
        "runtime_mappings": {},
        "_source": False,
        "query": {
            "bool": {
                "must": _lucene(query),
                "filter": [{"range": {TIME: times}}],
                "should": [],
                "must_not": [],
            }
        },
        "highlight": {
            "pre_tags": ["@kibana-highlighted-field@"],
            "post_tags": ["@/kibana-highlighted-field@"],
            "fields": {"*": {}},
            "fragment_size": 2147483647,
        },
    }


def discover_chart(query: str = "", interval: str = "5m") -> dict:
    """The bars above them."""
    body = discover_table(query)
    return {
        "size": 0,
        "track_total_hits": True,
        "aggs": {
            "0": {
                "date_histogram": {
                    "field": TIME,
                    "fixed_interval": interval,
                    "time_zone": "UTC",
                    "min_doc_count": 1,
                }
            }
        },
        "fields": [{"field": TIME, "format": "date_time"}],
        "script_fields": {},
        "stored_fields": ["*"],
        "runtime_mappings": {},
        "_source": {"excludes": []},
        "query": body["query"],
    }


def discover_with_filters() -> dict:
    """Filters as Discover makes them by clicking on values."""
    body = discover_table()
    body["query"]["bool"]["filter"] += [
        {"match_phrase": {"level": "ERROR"}},
        {"bool": {"should": [{"match_phrase": {"service": "checkout"}}, {"match_phrase": {"service": "search"}}], "minimum_should_match": 1}},
        {"exists": {"field": "trace_id"}},
    ]
    body["query"]["bool"]["must_not"] = [{"match_phrase": {"region": "ap-south-1"}}]
    return body


def field_values() -> dict:
    """Kibana's suggestions for a filter's value, and its list of a field's top values."""
    return {
        "size": 0,
        "timeout": "1000ms",
        "terminate_after": 100_000,
        "query": {"bool": {"filter": [_range()]}},
        "aggs": {
            "suggestions": {
                "terms": {"field": "service", "include": "c.*", "execution_hint": "map", "shard_size": 10}
            }
        },
    }
