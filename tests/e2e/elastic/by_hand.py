"""Questions by hand: the corners that a generator meets seldom."""

from __future__ import annotations

from .questions import SORT, Question
from .records import INDEX

_SEARCH = f"/{INDEX}/_search"


def _aggregated(name: str, aggregations: dict, query: dict | None = None) -> Question:
    body = {"size": 0, "track_total_hits": True, "aggs": aggregations}
    if query:
        body["query"] = query
    return Question(name, body)


def _found(name: str, query: dict, **more) -> Question:
    return Question(name, {"query": query, "sort": SORT, "size": 10, "track_total_hits": True, **more})


def _hours(**more) -> dict:
    return {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h", **more}}


def _refused(name: str, body: dict, path: str = _SEARCH) -> Question:
    return Question(name, body, path)


def questions(records: list[dict]) -> list[Question]:
    middle = records[len(records) // 2]
    return [*_searches(middle), *_of_the_form(middle), *_scored(), *_aggregations(), *_mistakes()]


def _searches(middle: dict) -> list[Question]:
    time = middle["@timestamp"]
    return [
        _found("total-bounded", {"match_all": {}}, track_total_hits=100),
        _found("total-by-default", {"match_all": {}}, track_total_hits=10_000),
        _found("one-instant", {"range": {"@timestamp": {"gte": time, "lte": time}}}),
        _found("instant-excluded", {"range": {"@timestamp": {"gt": time, "lt": time}}}),
        _found("time-as-milliseconds", {"range": {"@timestamp": {"gte": 1793494800000, "lt": 1793495400000}}}),
        _found("time-in-format", {"range": {"@timestamp": {"gte": "1793494800", "lt": "1793495400", "format": "epoch_second"}}}),
        _found("date-alone-is-rounded-up", {"range": {"@timestamp": {"lte": "2026-11-01"}}}),
        _found("date-alone-gt", {"range": {"@timestamp": {"gt": "2026-11-01"}}}),
        _found("hour-with-math", {"range": {"@timestamp": {"gte": "2026-11-01T01||/h", "lte": "2026-11-01T01||/h"}}}),
        _found("term-of-time", {"term": {"@timestamp": time}}),
        _found("text-is-not-a-term", {"term": {"message": "Session"}}),
        _found("word-is-a-term", {"term": {"message": "session"}}),
        _found("term-case-insensitive", {"term": {"level": {"value": "error", "case_insensitive": True}}}),
        _found("number-as-text", {"term": {"status": "404"}}),
        _found("truth-as-text", {"term": {"cached": "true"}}),
        _found("number-with-fraction", {"range": {"status": {"gt": 403.5, "lt": "404.5"}}}),
        _found("terms-empty", {"terms": {"service": []}}),
        _found("bool-empty", {"bool": {}}),
        _found("bool-should-alone", {"bool": {"should": [{"term": {"level": "ERROR"}}]}}),
        _found("bool-should-beside-filter", {"bool": {"filter": [{"term": {"region": "eu-west-1"}}], "should": [{"term": {"level": "ERROR"}}]}}),
        _found("bool-single-objects", {"bool": {"must": {"term": {"level": "ERROR"}}, "must_not": {"exists": {"field": "status"}}}}),
        _found("nested-object-exists", {"exists": {"field": "kubernetes"}}),
        _found("nested-two-deep", {"term": {"kubernetes.labels.tier": "db"}}),
        _found("match-all-words", {"match": {"message": {"query": "session closed for user", "operator": "and"}}}),
        _found("match-no-words", {"match": {"message": "---"}}),
        _found("match-no-words-all", {"match": {"message": {"query": "---", "zero_terms_query": "all"}}}),
        _found("phrase-across-signs", {"match_phrase": {"message": "SESSION opened, FOR"}}),
        _found("phrase-out-of-order", {"match_phrase": {"message": "for opened session"}}),
        _found("keyword-of-message", {"term": {"message.keyword": middle["message"]}}),
        _found("prefix-of-keyword", {"prefix": {"service": "che"}}),
        _found("wildcard-everything", {"wildcard": {"trace_id": "*"}}),
        _found("wildcard-escaped", {"wildcard": {"path": {"value": "*\\?q=*"}}}),
        _found("regexp-optional", {"regexp": {"service": "checkout(-[12])?"}}),
        _found("regexp-interval", {"regexp": {"service": {"value": "checkout-<1-2>"}}}),
        _found("regexp-anchored", {"regexp": {"service": "heckou"}}),
        _found("regexp-complement-off", {"regexp": {"level": {"value": "ERROR|WARN", "flags": "NONE"}}}),
        _found("fuzzy-two", {"fuzzy": {"service": {"value": "chekcuot", "fuzziness": 2}}}),
        _found("fuzzy-prefix", {"fuzzy": {"service": {"value": "chackout", "fuzziness": 1, "prefix_length": 3}}}),
        _found("ids-none", {"ids": {"values": []}}),
        _found("query-string-all-fields", {"query_string": {"query": "service:(checkout OR auth) AND (level:ERROR OR status:[500 TO *])"}}),
        _found("query-string-precedence", {"query_string": {"query": "level:ERROR AND service:checkout OR service:auth"}}),
        _found("query-string-not", {"query_string": {"query": "service:checkout NOT level:INFO"}}),
        _found("query-string-escapes", {"query_string": {"query": "path:\\/api\\/v1\\/*", "default_field": "message"}}),
        _found("query-string-open-range", {"query_string": {"query": "bytes:{10000 TO *} AND duration_ms:<=5.5"}}),
        _found("query-string-time-math", {"query_string": {"query": "@timestamp:[2026-11-01T01:00:00Z TO 2026-11-01T01:00:00Z||+10m]"}}),
        _found("query-string-wildcard-all", {"query_string": {"query": "*:*"}}),
        _found("query-string-exists-star", {"query_string": {"query": "trace_id:*"}}),
        _found("query-string-fields", {"query_string": {"query": "checkout", "fields": ["service", "message"]}}),
        _found("query-string-regex", {"query_string": {"query": "message:/sess.*/"}}),
        _found("query-string-phrase-prefix-is-none", {"query_string": {"query": "\"session op*\"", "default_field": "message"}}),
        _found("simple-never-fails", {"simple_query_string": {"query": "\"session ((( +| opened", "fields": ["message"]}}),
        _found("simple-flags", {"simple_query_string": {"query": "session -opened", "fields": ["message"], "flags": "NONE"}}),
        _found("boosting-keeps-the-negative", {"boosting": {"positive": {"term": {"level": "ERROR"}}, "negative": {"term": {"service": "auth"}}, "negative_boost": 0.1}}),
        _found("dis-max", {"dis_max": {"queries": [{"term": {"service": "auth"}}, {"match": {"message": "session"}}]}}),
    ]  # fmt: skip


def _of_the_form(middle: dict) -> list[Question]:
    everything = {"match_all": {}}
    after = [middle["@timestamp"], middle["n"]]
    return [
        _found("source-off", everything, _source=False),
        _found("source-includes", everything, _source={"includes": ["http.*", "n"], "excludes": ["http.status"]}),
        _found("source-one", everything, _source="kubernetes.labels"),
        _found("fields-by-pattern", {"exists": {"field": "http"}}, fields=["http.*", "n"], _source=False),
        _found("fields-of-time", everything, fields=[{"field": "@timestamp", "format": "yyyy-MM-dd HH:mm"}], _source=False),
        _found("docvalues", {"exists": {"field": "status"}}, docvalue_fields=["status", "cached", "service"], _source=False),
        _found("docvalues-of-time", everything, docvalue_fields=[{"field": "@timestamp", "format": "epoch_millis"}], _source=False),
        _found("search-after", everything, search_after=after),
        _found("from", everything, **{"from": 50}),
        Question("sort-missing-first", {"query": everything, "sort": [{"duration_ms": {"order": "asc", "missing": "_first"}}, "n"], "size": 5, "track_total_hits": True}),
        Question("sort-missing-value", {"query": everything, "sort": [{"ratio": {"order": "desc", "missing": 3}}, "n"], "size": 5, "track_total_hits": True}),
        Question("sort-of-truth", {"query": everything, "sort": [{"cached": "desc"}, "n"], "size": 5, "track_total_hits": True}),
        Question("sort-unmapped", {"query": everything, "sort": [{"nothing": {"order": "asc", "unmapped_type": "long"}}, "n"], "size": 5, "track_total_hits": True}),
        _found("highlight", {"match": {"message": "session"}}, highlight={"fields": {"message": {"number_of_fragments": 0}}}, _source=["n"]),
        _found("highlight-phrase-tags", {"match_phrase": {"message": "session opened"}}, highlight={"pre_tags": ["<b>"], "post_tags": ["</b>"], "fields": {"message": {"number_of_fragments": 0}}}, _source=["n"]),
        Question("count-all", {}, f"/{INDEX}/_count", {"count"}),
        Question("count-of-pattern", {"query": {"term": {"level": "ERROR"}}}, "/lo*/_count", {"count"}),
        Question("min-score", {"query": {"constant_score": {"filter": {"term": {"level": "ERROR"}}, "boost": 1}}, "min_score": 2, "track_total_hits": True, "size": 0}),
        Question("size-0-total-off", {"size": 0, "track_total_hits": False, "query": everything}),
    ]  # fmt: skip


def _scored() -> list[Question]:
    def scored(name: str, query: dict) -> Question:
        body = {"query": query, "sort": ["_score", {"n": "asc"}], "size": 5, "track_total_hits": True, "track_scores": True}
        return Question(name, body, compare={"total", "scores"})

    return [
        scored("score-of-a-word", {"match": {"message": "session"}}),
        scored("score-of-two", {"match": {"message": "session opened"}}),
        scored("score-of-a-choice", {"bool": {"must": [{"match": {"message": "session"}}], "should": [{"term": {"level": "ERROR"}}]}}),
        scored("score-of-constants", {"bool": {"should": [{"constant_score": {"filter": {"term": {"level": "ERROR"}}, "boost": 5}}, {"constant_score": {"filter": {"term": {"service": "auth"}}}}]}}),
    ]  # fmt: skip


def _aggregations() -> list[Question]:
    errors = {"term": {"level": "ERROR"}}
    return [
        _aggregated("histogram-and-terms", {"times": {**_hours(), "aggs": {"levels": {"terms": {"field": "level"}, "aggs": {"took": {"avg": {"field": "duration_ms"}}}}}}}),
        _aggregated("histogram-of-nothing", {"times": _hours()}, {"match_none": {}}),
        _aggregated("histogram-of-nothing-extended", {"times": _hours(min_doc_count=0, extended_bounds={"min": "2026-11-01T00:00:00Z", "max": "2026-11-01T03:00:00Z"})}, {"match_none": {}}),
        _aggregated("terms-of-nothing", {"levels": {"terms": {"field": "level"}}}, {"match_none": {}}),
        _aggregated("stats-of-nothing", {"s": {"stats": {"field": "bytes"}}, "a": {"avg": {"field": "bytes"}}, "m": {"max": {"field": "bytes"}}, "u": {"sum": {"field": "bytes"}}}, {"match_none": {}}),
        _aggregated("terms-ordered-by-metric", {"services": {"terms": {"field": "service", "size": 4, "order": {"took": "desc"}}, "aggs": {"took": {"max": {"field": "bytes"}}}}}),
        _aggregated("terms-ordered-by-stats", {"services": {"terms": {"field": "service", "size": 4, "order": {"s.sum": "desc"}}, "aggs": {"s": {"stats": {"field": "bytes"}}}}}),
        _aggregated("terms-of-numbers", {"codes": {"terms": {"field": "status", "size": 20}}}),
        _aggregated("terms-of-truth", {"cached": {"terms": {"field": "cached"}}}),
        _aggregated("terms-unmapped", {"none": {"terms": {"field": "nothing"}}}),
        _aggregated("terms-of-missing-number", {"codes": {"terms": {"field": "status", "missing": 0, "size": 20}}}),
        _aggregated("terms-min-0", {"services": {"terms": {"field": "service", "min_doc_count": 0, "size": 50, "order": {"_key": "asc"}}}}, errors),
        _aggregated("filters-named", {"f": {"filters": {"filters": {"errors": errors, "slow": {"range": {"duration_ms": {"gt": 100}}}}}, "aggs": {"b": {"sum": {"field": "bytes"}}}}}),
        _aggregated("global-beside", {"all": {"global": {}, "aggs": {"n": {"value_count": {"field": "n"}}}}, "here": {"value_count": {"field": "n"}}}, errors),
        _aggregated("range-with-gaps", {"r": {"range": {"field": "bytes", "ranges": [{"from": 100, "to": 200}, {"from": 150, "to": 20_000}, {"key": "big", "from": 20_000}]}}}),
        _aggregated("percentiles-keyed", {"p": {"percentiles": {"field": "bytes", "percents": [1, 50, 99.9]}}}),
        _aggregated("median", {"p": {"percentiles": {"field": "duration_ms", "percents": [50], "keyed": False}}}),
        _aggregated("cardinality-exact", {"c": {"cardinality": {"field": "service"}}}),
        _aggregated("top-hits", {"services": {"terms": {"field": "service", "size": 2}, "aggs": {"newest": {"top_hits": {"size": 1, "sort": [{"@timestamp": "desc"}, {"n": "asc"}], "_source": {"includes": ["n", "level"]}}}}}}),
        _aggregated("composite-two", {"c": {"composite": {"size": 5, "sources": [{"s": {"terms": {"field": "service"}}}, {"h": {"date_histogram": {"field": "@timestamp", "calendar_interval": "1h"}}}]}, "aggs": {"b": {"avg": {"field": "bytes"}}}}}),
        _aggregated("composite-after", {"c": {"composite": {"size": 5, "after": {"s": "catalog", "l": "INFO"}, "sources": [{"s": {"terms": {"field": "service"}}}, {"l": {"terms": {"field": "level"}}}]}}}),
        _aggregated("composite-missing", {"c": {"composite": {"size": 5, "sources": [{"m": {"terms": {"field": "http.request.method", "missing_bucket": True}}}]}}}),
        _aggregated("days-in-a-zone", {"d": {"date_histogram": {"field": "@timestamp", "calendar_interval": "day", "time_zone": "America/New_York"}}}),
        _aggregated("weeks", {"d": {"date_histogram": {"field": "@timestamp", "calendar_interval": "1w"}}}),
        _aggregated("months-in-a-zone", {"d": {"date_histogram": {"field": "@timestamp", "calendar_interval": "month", "time_zone": "-07:00", "format": "yyyy-MM"}}}),
        _aggregated("derivative", {"t": {**_hours(), "aggs": {"b": {"sum": {"field": "bytes"}}, "d": {"derivative": {"buckets_path": "b"}}}}}),
        _aggregated("cumulative", {"t": {**_hours(), "aggs": {"b": {"sum": {"field": "bytes"}}, "d": {"cumulative_sum": {"buckets_path": "b"}}}}}),
        _aggregated("sibling-pipelines", {"t": {**_hours(), "aggs": {"b": {"sum": {"field": "bytes"}}}}, "most": {"max_bucket": {"buckets_path": "t>b"}}, "mean": {"avg_bucket": {"buckets_path": "t>b"}}, "all": {"sum_bucket": {"buckets_path": "t>_count"}}, "s": {"stats_bucket": {"buckets_path": "t>b"}}, "least": {"min_bucket": {"buckets_path": "t>b"}}}),
        _aggregated("bucket-sort", {"s": {"terms": {"field": "service", "size": 20}, "aggs": {"b": {"sum": {"field": "bytes"}}, "by": {"bucket_sort": {"sort": [{"b": {"order": "desc"}}], "size": 3}}}}}),
        _aggregated("missing-values-count-as", {"a": {"avg": {"field": "duration_ms", "missing": 10}}, "s": {"sum": {"field": "nothing"}}}),
        _aggregated("meta-is-given-back", {"a": {"avg": {"field": "bytes"}, "meta": {"colour": "blue"}}}),
        _aggregated("extended-stats", {"e": {"extended_stats": {"field": "bytes", "sigma": 3}}}),
        _aggregated("two-levels-of-terms", {"r": {"terms": {"field": "region"}, "aggs": {"s": {"terms": {"field": "service", "size": 2}, "aggs": {"l": {"terms": {"field": "level", "size": 1}}}}}}}),
    ]  # fmt: skip


def _mistakes() -> list[Question]:
    return [
        _refused("mistake-unknown-query", {"query": {"nonsense": {}}}),
        _refused("mistake-unknown-key", {"nonsense": 1}),
        _refused("mistake-unknown-option", {"query": {"match": {"message": {"query": "a", "nonsense": 1}}}}),
        _refused("mistake-two-queries", {"query": {"term": {"a": 1}, "match_all": {}}}),
        _refused("mistake-two-fields", {"query": {"term": {"level": "a", "service": "b"}}}),
        _refused("mistake-size", {"size": -1}),
        _refused("mistake-no-number", {"query": {"range": {"status": {"gte": "many"}}}}),
        _refused("mistake-no-date", {"query": {"range": {"@timestamp": {"gte": "yesterday"}}}}),
        _refused("mistake-query-string", {"query": {"query_string": {"query": "level:("}}}),
        _refused("mistake-unknown-aggregation", {"aggs": {"a": {"nonsense": {}}}}),
        _refused("mistake-no-interval", {"aggs": {"a": {"date_histogram": {"field": "@timestamp"}}}}),
        _refused("mistake-interval", {"aggs": {"a": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1M"}}}}),
        _refused("mistake-bucket-path", {"aggs": {"a": {"max_bucket": {"buckets_path": "nothing>x"}}}}),
        _refused("mistake-terms-of-text", {"aggs": {"a": {"terms": {"field": "message"}}}}),
        _refused("mistake-sort-by-text", {"sort": ["message"]}),
        _refused("mistake-sort-unmapped", {"sort": ["nothing"]}),
        _refused("mistake-too-many-buckets", {"size": 0, "aggs": {"a": {"date_histogram": {"field": "@timestamp", "fixed_interval": "10ms"}}}}),
        _refused("mistake-search-after", {"sort": ["n"], "search_after": [1, 2]}),
        _refused("mistake-count-with-size", {"size": 1}, f"/{INDEX}/_count"),
        _refused("mistake-no-index", {"query": {"match_all": {}}}, "/nowhere/_search"),
    ]  # fmt: skip
