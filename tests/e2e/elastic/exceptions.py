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


EXCEPTIONS: list[Exception_] = []


def explanation(question, found) -> Exception_ | None:
    return next((e for e in EXCEPTIONS if e.applies(question, found)), None)
