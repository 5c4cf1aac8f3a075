"""Twelve of the benchmark's questions in the query DSL, and their answers as rows of the SQL beside.

The time is asked for as `@timestamp`: loglake's `_source` has it by that name, whatever it was sent as.
"""
import datetime

from questions import questions

TIME = "@timestamp"
P99 = "99.0"
# More than the records that one trace has.
TRACE_MAX = 1_000


class Search:
    """A question in both languages.

    `body`: the search of a literal's fields; `read`: the rows of an answer; `sql`: in place of the benchmark's.
    """

    def __init__(self, question, body, read, sql=None):
        self.name, self.approximate, self.read = question.name, question.approximate, read
        self.sql = [sql.format(**literal) for literal in question.literals] if sql else question.asked("loglake")
        self.bodies = [body(**literal) for literal in question.literals]


def searches(of):
    """Those that a file's records can answer, with the literals `of` it."""
    return [Search(q, *IN_DSL[q.name]) for q in questions(of) if q.name in IN_DSL]


def term(field, value):
    return {"term": {field: value}}


def during(start, end):
    start, end = (text.replace(" ", "T") + "Z" for text in (start, end))
    return {"range": {TIME: {"gte": start, "lt": end}}}


def every(*filters):
    return {"bool": {"filter": list(filters)}}


def found(query, order, size, *fields):
    """Hits by time, and no count of all."""
    return {"query": query, "sort": [{TIME: order}], "size": size, "_source": list(fields), "track_total_hits": False}


def counted(query):
    return {"query": query, "size": 0, "track_total_hits": True}


def grouped(aggregation, query=None):
    asked = {"size": 0, "track_total_hits": False, "aggs": {"by": aggregation}}
    return asked | ({"query": query} if query else {})


def by(field, size=1_000, **more):
    return {"terms": {"field": field, "size": size, **more}}


def hits(*fields):
    return lambda answer: [tuple(hit["_source"].get(f) for f in fields) for hit in answer["hits"]["hits"]]


def total(answer):
    return [(answer["hits"]["total"]["value"],)]


def buckets(answer):
    return [(bucket["key"], bucket["doc_count"]) for bucket in answer["aggregations"]["by"]["buckets"]]


def minutes(answer):
    at = lambda millis: datetime.datetime.fromtimestamp(millis / 1000, datetime.timezone.utc).isoformat()  # noqa: E731
    return [(at(key), count) for key, count in buckets(answer)]


def percentiles(answer):
    return [(bucket["key"], bucket["p"]["values"][P99]) for bucket in answer["aggregations"]["by"]["buckets"]]


def value(answer):
    return [(answer["aggregations"]["by"]["value"],)]


FOUND = (TIME, "service", "message")
ERRORS = (TIME, "host", "message")
ALL = (TIME, "service", "level", "host", "message")

# In SQL, words and parts of words as the query DSL has them: in any case, and words as wholes.
RARE = ("SELECT timestamp, service, message FROM logs WHERE match_phrase(message, '{word}') "
        "ORDER BY timestamp, message LIMIT 100")
PART = ("SELECT service, count(*) AS n FROM logs WHERE message ILIKE '%{part}%' GROUP BY service ORDER BY service")
WORDS = "SELECT count(*) AS n FROM logs WHERE match(message, '{a} {b}')"

IN_DSL = {
    "count all": (lambda: counted({"match_all": {}}), total),
    "rare word over everything": (
        lambda word: found({"match_phrase": {"message": word}}, "asc", 100, *FOUND), hits(*FOUND), RARE),
    "one trace_id": (lambda trace: found(term("trace_id", trace), "asc", TRACE_MAX, *FOUND), hits(*FOUND)),
    "latest 100 errors of a service": (
        lambda service: found(every(term("service", service), term("level", "ERROR")), "desc", 100, *ERRORS), hits(*ERRORS)),
    "latest 100 of all": (lambda: found({"match_all": {}}, "desc", 100, *ALL), hits(*ALL)),
    "per-minute histogram, one service, 2 h": (
        lambda start, end, service: grouped(
            {"date_histogram": {"field": TIME, "fixed_interval": "1m", "min_doc_count": 1}},
            every(term("service", service), during(start, end))),
        minutes),
    "count by level, 1 h": (lambda start, end: grouped(by("level"), every(during(start, end))), buckets),
    "top 10 hosts by errors": (
        lambda level: grouped(by("host", 10, order=[{"_count": "desc"}, {"_key": "asc"}]), every(term("level", level))),
        buckets),
    "p99 of a number by group": (
        lambda: grouped(by("service") | {"aggs": {"p": {"percentiles": {"field": "duration_ms", "percents": [99]}}}}),
        percentiles),
    "substring anywhere, by service": (
        lambda part: grouped(by("service"), every({"wildcard": {"message": {"value": f"*{part}*"}}})), buckets, PART),
    "two frequent words, count": (
        lambda a, b: counted(every({"match": {"message": {"query": f"{a} {b}", "operator": "and"}}})), total, WORDS),
    "distinct trace ids, approximate": (lambda: grouped({"cardinality": {"field": "trace_id"}}), value),
}
