#!/usr/bin/env python3
"""Records of other kinds than the benchmark's, to see what holds for those alone: the same for the same seed.

    corpora.py KIND ROWS OUT.ndjson [--seed N]

  main      what records.sh makes, in any number
  seed      the same generator with another seed
  services  the same generator with 40 services, 2,000 records a second of log time
  unique    messages that hardly repeat: prose of random words, with ids
  wide      100 columns: whole numbers, fractions, truth values, strings, and columns that few records have
  long      messages of 5 to 100 KB; take few rows
  short     messages of 1 to 12 bytes

The first three need the shared generator beside the checkout and are skipped without it. Every file has the
benchmark's needle in two of its rows.
"""
import argparse
import datetime
import json
import pathlib
import random
import subprocess
import sys

GENERATOR = pathlib.Path(__file__).resolve().parents[3] / "shared" / "logs" / "loggen.py"
NEEDLE = "quetzalcoatl-58213"
# Where the needle is, of 5,000,000 rows.
NEEDLE_ROWS = (1_234_567, 4_321_098)
START = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
# Microseconds of log time between two records, on average: 100 records a second.
STEP_US = 10_000
SYLLABLES = [a + b for a in "bcdfghklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "il", "on", "us")]


def needle_rows(rows):
    return {row * rows // 5_000_000 for row in NEEDLE_ROWS}


def generated(rows, out, *options):
    """Runs the shared generator; false when it is not there."""
    if not GENERATOR.exists():
        return False
    needles = [word for row in sorted(needle_rows(rows)) for word in ("--needle", f"{row}:{NEEDLE}")]
    subprocess.run([sys.executable, GENERATOR, "--rows", str(rows), *options, *needles, "--out", out], check=True)
    return True


def prose(draw, words, count):
    """Words of which some are frequent and most are rare, as in a language."""
    return " ".join(words[int(len(words) * draw.random() ** 3)] for _ in range(count))


def vocabulary(draw, count):
    return ["".join(draw.choices(SYLLABLES, k=draw.randint(2, 4))) for _ in range(count)]


class Records:
    """What all kinds share: a time, a service, a host, a level. A kind gives the message and more."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.words = vocabulary(self.draw, 50_000)
        self.services = [f"service-{n}" for n in range(24)]
        self.shares = [1 / (n + 1) for n in range(24)]
        self.hosts = [f"host-{n:03}" for n in range(200)]
        self.at_us = 0

    def record(self):
        draw = self.draw
        self.at_us += draw.randint(1, 2 * STEP_US - 1)  # never twice the same, so that "the latest" is one answer
        at = START + datetime.timedelta(microseconds=self.at_us)
        level = draw.choices(("INFO", "WARN", "ERROR"), (90, 7, 3))[0]
        record = {"timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "service": draw.choices(self.services, self.shares)[0],
                  "host": draw.choice(self.hosts), "level": level, "message": ""}
        self.fill(record)
        return record


class Unique(Records):
    def fill(self, record):
        draw = self.draw
        text = prose(draw, self.words, draw.randint(6, 24))
        record["message"] = f"{text} {draw.getrandbits(48):012x} {prose(draw, self.words, 3)} {draw.randrange(10**9)}"
        record["trace_id"] = f"{draw.getrandbits(128):032x}"


class Wide(Records):
    """Seven columns that questions ask for, and 93 others."""

    def fill(self, record):
        draw = self.draw
        record["message"] = f"request {draw.randrange(10**6)} {prose(draw, self.words, 4)}"
        record["trace_id"] = f"{draw.getrandbits(128):032x}"
        record["duration_ms"] = round(1 + 2000 * draw.random() ** 6, 3)
        record |= {f"count_{n:02}": draw.randrange(10 ** (1 + n % 12)) for n in range(30)}
        record |= {f"ratio_{n:02}": round(draw.random() * 10 ** (n % 4), 4) for n in range(20)}
        record |= {f"flag_{n:02}": draw.random() < (n + 1) / 11 for n in range(10)}
        record |= {f"name_{n:02}": draw.choice(self.words[: 2 ** (n + 1)]) for n in range(12)}
        record |= {f"id_{n:02}": f"{draw.getrandbits(64):016x}" for n in range(6)}
        sparse = {f"rare_{n:02}": prose(draw, self.words, 1) for n in range(15) if draw.random() < 0.02 * (n + 1) / 5}
        record |= sparse


class Long(Records):
    """As long as stack traces and dumped requests are: shorter ones are more frequent."""

    def fill(self, record):
        draw = self.draw
        bytes_wanted = int(5_000 * 20 ** draw.random())
        text = ""
        while len(text) < bytes_wanted:
            text += f"  at {prose(draw, self.words, 12)} ({draw.randrange(10**4)})\n"
        record["message"] = text[:bytes_wanted]
        record["trace_id"] = f"{draw.getrandbits(128):032x}"


class Short(Records):
    WHOLE = ("ok", "done", "start", "stop", "GET /", "retry", "timeout", "failed", "connected", "-", "1")

    def fill(self, record):
        draw = self.draw
        some = draw.random()
        if some < 0.5:
            record["message"] = draw.choice(self.WHOLE)
        elif some < 0.8:
            record["message"] = f"job {draw.randrange(10**8)}"
        else:
            record["message"] = prose(draw, self.words, 1)[:12]


MADE = {"unique": Unique, "wide": Wide, "long": Long, "short": Short}
GENERATED = {
    "main": ("--seed", "1", "--rate", "100"),
    "seed": ("--seed", "2", "--rate", "100"),
    "services": ("--seed", "1", "--rate", "2000", "--services", "40"),
}


def made(kind, rows, out, seed):
    records, needles = MADE[kind](seed), needle_rows(rows)
    encode = json.JSONEncoder(separators=(",", ":")).encode
    with open(out, "w", encoding="ascii", buffering=1 << 20) as file:
        for row in range(rows):
            record = records.record()
            if row in needles:
                record["message"] += " " + NEEDLE
            file.write(encode(record) + "\n")


def write(kind, rows, out, seed=7):
    """Makes the file in one step; false when what it needs is not there."""
    out = pathlib.Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    if kind in MADE:
        made(kind, rows, part, seed)
    elif not generated(rows, part, *GENERATED[kind]):
        return False
    part.rename(out)
    return True


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kind", choices=[*GENERATED, *MADE])
    p.add_argument("rows", type=int)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--seed", type=int, default=7, help="of the kinds that are made here")
    a = p.parse_args()
    if not write(a.kind, a.rows, a.out, a.seed):
        print(f"{a.kind} is skipped: the shared generator is not beside this checkout", file=sys.stderr)


if __name__ == "__main__":
    main()
