"""Mutations of JSON as a tree: another kind of value, a key less, a level more; and of its text: what a parser
may trip over."""

from __future__ import annotations

import copy
import json
import random
import re

from . import mutate
from .mutate import chance

# JSON's text for what Python has no value for; stands in a string between these marks.
_RAW = re.compile(r'"\\ue000((?:[^"\\]|\\.)*?)\\ue001"')
_RAW_TEXTS = (
    "1e999", "-1e999", "1E-999", "0.1e1", "-0", "-0.0", "01", "+1", ".5", "5.", "0x1", "NaN", "Infinity", "-Infinity", "1e", "--1",
    "9" * 400, "0." + "1" * 400, "1" + "0" * 5_000, "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "tru", "True", "undefined", "'x'", "", "{}", "[", "}", ",", ":", '"\\ud800"', '"\\u0000"', '"\\x41"', '"\\u12"', '"a\tb"', '"unended',
    "/* */ 1", "1 // c", '{"a":1,"a":2}', '{"a":1,}', "[1,]", "[,1]", '{"":{"":{"":0}}}', '{"a" 1}', '"\\udc00\\ud800"', '"\\/\\b\\f"',
)  # fmt: skip
# Values of one tree.
_PLACES_MAX = 20_000
# Levels that a value is wrapped in.
_DEPTHS = (1, 2, 3, 30, 63, 64, 65, 128, 129, 1_000, 20_000)


def raw(text: str) -> str:
    """A value that is written as this text."""
    return f"\ue000{text}\ue001"


def dumps(value, rng: random.Random | None = None) -> bytes:
    """The text of a tree; with `rng` sometimes in another dress."""
    separators = (",", ":") if rng is None or chance(rng, 0.7) else (" ,\t", " : ")
    text = json.dumps(value, separators=separators)
    text = _RAW.sub(lambda found: json.loads(f'"{found[1]}"'), text)
    if rng is not None and chance(rng, 0.5):
        text = re.sub(r"\\u([0-9a-f]{4})", _unescaped, text)
    return text.encode("utf-8", "surrogatepass")


def _unescaped(found: re.Match) -> str:
    code = int(found[1], 16)
    plain = code >= 0xA0 and not 0xD800 <= code < 0xE000
    return chr(code) if plain else found[0]


def _places(tree) -> list[tuple[list | dict, object]]:
    """Every value by the object or array that it is in."""
    places, waiting = [], [tree]
    while waiting:
        owner = waiting.pop()
        inside = owner.items() if isinstance(owner, dict) else enumerate(owner)
        for key, value in inside:
            places.append((owner, key))
            if isinstance(value, (dict, list)):
                waiting.append(value)
    return places


def change(rng: random.Random, tree, times: int | None = None):
    """The tree with a few changes; the given one is changed, too."""
    for _ in range(times or rng.choice((1, 1, 1, 2, 3, 6))):
        places = _places(tree) if isinstance(tree, (dict, list)) else []
        if len(places) > 2 * _PLACES_MAX:
            break
        if not places or chance(rng, 0.02):
            tree = value(rng)
        else:
            owner, key = rng.choice(places)
            rng.choice(_WAYS)(rng, owner, key, places)
    return tree


def leaves(tree) -> list[tuple[list | dict, object]]:
    """Every value that is none with values in it, by the object or array that it is in."""
    return [(owner, key) for owner, key in _places(tree) if not isinstance(owner[key], (dict, list))]


def graft(rng: random.Random, tree, other):
    """The tree with a part of another one in a place of its own."""
    here, there = _places(tree), _places(other)
    if here and there:
        (owner, key), (giver, name) = rng.choice(here), rng.choice(there)
        owner[key] = giver[name]
    return tree


def value(rng: random.Random, depth: int = 2):
    """A value of any kind."""
    kind = rng.randrange(10)
    if kind < 2:
        return mutate.text(rng)
    if kind < 4:
        return mutate.number(rng)
    if kind == 4:
        return rng.choice((True, False, None, 0.5, -1e-7, 1e15, 1.7976931348623157e308, 5e-324, 1.5e19))
    if kind == 5 or depth == 0:
        return raw(rng.choice(_RAW_TEXTS))
    if kind == 6:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {mutate.text(rng): value(rng, depth - 1) for _ in range(rng.randrange(4))}
    if kind == 8:
        return "\ud800" if chance(rng, 0.2) else str(mutate.number(rng))
    return rng.choice(([], {}, [[]], [{}], {"a": {}}, [None], ""))


def _other(rng, owner, key, _):
    owner[key] = value(rng)


def _delete(rng, owner, key, _):
    del owner[key]


def _wrap(rng, owner, key, _):
    """Deeper."""
    depth = rng.choices(_DEPTHS, (30, 10, 10, 3, 3, 3, 3, 2, 2, 1, 1))[0]
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
    if depth > 100:
        owner[key] = raw(opening * depth + "1" + closing * depth)
        return
    for _ in range(depth):
        owner[key] = [owner[key]] if opening == "[" else {"a": owner[key]}


def _rename(rng, owner, key, _):
    if isinstance(owner, dict):
        owner[mutate.text(rng)] = owner.pop(key)
    else:
        owner.insert(key, copy.deepcopy(owner[key]))


def _graft(rng, owner, key, places):
    """A part of the tree stands in another place, too."""
    other, name = rng.choice(places)
    owner[key] = copy.deepcopy(other[name])


def _exchange(rng, owner, key, places):
    other, name = rng.choice(places)
    if isinstance(owner[key], (dict, list)) or isinstance(other[name], (dict, list)):
        return
    owner[key], other[name] = other[name], owner[key]


def _near(rng, owner, key, _):
    """A value like the one that is there."""
    value_ = owner[key]
    if isinstance(value_, bool) or value_ is None:
        owner[key] = not value_
    elif isinstance(value_, int):
        owner[key] = rng.choice((value_ + 1, value_ - 1, -value_, value_ * 1_000, float(value_) if abs(value_) < 2**60 else 0, str(value_)))
    elif isinstance(value_, float):
        owner[key] = rng.choice((-value_, int(value_) if abs(value_) < 1e300 else 0, value_ * 1e10, str(value_)))
    elif isinstance(value_, str):
        owner[key] = mutate.bytes_(rng, value_.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    elif isinstance(value_, list) and value_:
        owner[key] = value_ * _fitting(rng.choice((2, 3, 100)), value_)
    else:
        owner[key] = [value_]


def _fitting(times: int, value_) -> int:
    """As often, but so that no tree becomes too large to look at."""
    return min(times, _PLACES_MAX // (1 + len(_places([value_]))) + 1)


def _many(rng, owner, key, _):
    """Very many members."""
    count = _fitting(rng.choices((10, 200, 3_000, 12_000), (20, 10, 2, 1))[0], owner[key])
    if isinstance(owner[key], list):
        owner[key] += [value(rng, 0)] * count
    elif isinstance(owner[key], dict):
        owner[key] |= {f"m{rng.randrange(10**6)}_{n}": n for n in range(count)}
    else:
        owner[key] = [owner[key]] * count


_WAYS = (_other, _other, _other, _delete, _wrap, _rename, _rename, _graft, _exchange, _near, _near, _near, _many)
