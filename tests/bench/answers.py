"""Whether all systems gave the same answers."""
import datetime
import re

TOLERANCE = 0.05
TIME = re.compile(r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?")


def plain(value):
    """One form for one value, whoever gave it: times in microseconds."""
    if isinstance(value, datetime.datetime):
        value = value.isoformat()
    if isinstance(value, str) and (time := TIME.match(value)):
        return f"{time[1]} {time[2]}{(time[3] or '.0')[:7].ljust(7, '0')}"
    if isinstance(value, (int, float)) or (isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value)):
        return float(value)
    return value


def rows(answer):
    return sorted(tuple(map(plain, row.values() if isinstance(row, dict) else row)) for row in answer)


def same(a, b, approximate):
    if not approximate:
        return a == b
    pairs = [pair for left, right in zip(a, b) for pair in zip(left, right)]
    return len(a) == len(b) and all(
        abs(x - y) <= TOLERANCE * max(abs(x), abs(y)) if isinstance(x, float) and isinstance(y, float) else x == y
        for x, y in pairs)


def differences(figures, asked):
    """One line for each question that a system answered otherwise than the first one did."""
    (first, reference), *others = figures.items()
    lines = []
    for name, figure in others:
        if figure["rows"] != reference["rows"]:
            lines.append(f"{name} holds {figure['rows']} rows, {first} {reference['rows']}")
        for n, question in enumerate(asked):
            for a, b in zip(reference["answers"][n], figure["answers"][n]):
                a, b = ([row for row in rows(answer) if None not in row] for answer in (a, b))
                if not same(a, b, question.approximate):
                    lines.append(f"{question.name}: {first} {a[:3]}… ({len(a)}), {name} {b[:3]}… ({len(b)})")
                    break
    return lines
