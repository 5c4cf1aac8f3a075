"""Where loglake's answers differ from OpenSearch's, each with its name and its reason. The table in
docs/protocols/elasticsearch.md is this list: a test compares them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Exception_:
    name: str
    reason: str
    # Whether a question's differences are of this kind.
    applies: Callable[[object, list], bool]


def named(*names: str):
    """Of questions by hand."""
    return lambda question, found: question.name in names


def all_at(*parts: str):
    """Every difference is at one of these places."""
    return lambda question, found: all(any(part in d.where for part in parts) for d in found)


def asks(text: str):
    return lambda question, found: text in json.dumps(question.body)


def both(*conditions):
    return lambda question, found: all(condition(question, found) for condition in conditions)


def _only(condition: Callable[[object], bool]):
    """Every difference is one of these."""
    return lambda question, found: all(condition(d) for d in found)


# What OpenSearch shows as the place of a missing value in `sort`.
_ENDS = {9223372036854775807, -9223372036854775808, "Infinity", "-Infinity"}


def _is_null_for_the_end(difference) -> bool:
    if not difference.where.endswith(".sort") or len(difference.expected) != len(difference.got):
        return False
    parts = list(zip(difference.expected, difference.got))
    return all(e == g or (g is None and e in _ENDS) for e, g in parts)


def _with_null(value):
    """The value with `null` for each `NaN`."""
    if isinstance(value, dict):
        return {key: _with_null(inner) for key, inner in value.items()}
    return None if value == "NaN" else value


def _is_only_order(difference) -> bool:
    if not difference.where.endswith(".keys") or not isinstance(difference.got, list):
        return False
    return all(isinstance(key, str) for key in difference.got) and sorted(difference.expected) == difference.got


EXCEPTIONS: list[Exception_] = [
    Exception_(
        "missing-in-sort",
        "a missing value is `null` in `sort`, not the largest or smallest number; `search_after` takes it so",
        _only(_is_null_for_the_end),
    ),
    Exception_(
        "missing-as-a-value",
        "`missing` of a sort is `_first` or `_last`; a value is refused",
        named("sort-missing-value"),
    ),
    Exception_(
        "unmapped-sort",
        "a field that no record has yet can be sorted by: columns come of the records",
        named("mistake-sort-unmapped"),
    ),
    Exception_(
        "terms-of-text",
        "`terms` over a text counts whole texts, where OpenSearch asks for another mapping",
        named("mistake-terms-of-text"),
    ),
    Exception_(
        "keyed-by-name",
        "keyed buckets stand in the order of their names: members of a JSON object have none of their own",
        _only(_is_only_order),
    ),
    Exception_(
        "exact-counts",
        "`doc_count_error_upper_bound` is 0 in any order: counts are exact",
        all_at("doc_count_error_upper_bound"),
    ),
    Exception_(
        "too-many-buckets-status",
        "400 as Elasticsearch has it; OpenSearch says 503",
        named("mistake-too-many-buckets"),
    ),
    Exception_(
        "interval-error",
        "an interval that is none is an `illegal_argument_exception`, in OpenSearch an `x_content_parse_exception`",
        named("mistake-interval"),
    ),
    Exception_(
        "number-ranges-in-regexp",
        "`<1-2>` in regular expressions is refused",
        named("regexp-interval"),
    ),
    Exception_(
        "fuzzy-is-not-cut",
        "a fuzzy word stands for all words that are so near; OpenSearch takes the nearest 50",
        both(asks("~1"), all_at("count", "total", "hits", "doc_count")),
    ),
    Exception_(
        "min-count-before-size",
        "`terms` in the order of keys leaves out buckets below `min_doc_count` before it takes the first ones; "
        "OpenSearch after",
        both(asks("min_doc_count"), asks('"_key"'), all_at("(terms)")),
    ),
    Exception_(
        "variance-of-one",
        "a sampling variance of one value is `null`, in OpenSearch `NaN`",
        _only(lambda d: _with_null(d.expected) == d.got != d.expected),
    ),
    Exception_(
        "percentiles-of-few",
        "percentiles of few values lie between two of them; OpenSearch takes the outermost one near the ends",
        all_at("(percentiles)"),
    ),
    Exception_(
        "pipelines-with-gaps",
        "`derivative` and `cumulative_sum` are answered also where the histogram leaves out small buckets",
        both(asks('"buckets_path"'), asks('"min_doc_count"'), all_at("status")),
    ),
]


def explanation(question, found) -> Exception_ | None:
    return next((e for e in EXCEPTIONS if e.applies(question, found)), None)
