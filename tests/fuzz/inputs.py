"""What is sent, what was found, and files of it that can be sent again."""

from __future__ import annotations

import json
import pathlib
import random
import re
from dataclasses import dataclass, field


@dataclass
class Input:
    """The parts of one request, or the requests of one connection, as their door sends them."""

    parts: list[bytes]
    how: str = ""
    # As a client would send it: it has to be taken.
    valid: bool = False
    # It may keep the server busy for longer than others.
    slow: bool = False


class Problem(Exception):
    """Something that must not be. The first line tells it from others of its kind."""

    # Whether it is of the input that was just sent, and not of any before.
    is_of_last = True


class LateProblem(Problem):
    is_of_last = False


class NotOffered(Exception):
    """The server has no such door, or what its requests are made with is not here."""


def random_of(seed: int, door: str, number: int) -> random.Random:
    return random.Random(f"{seed}/{door}/{number}")


@dataclass
class Finding:
    door: str
    what: str
    # Number and input of each that may have caused it.
    inputs: list[tuple[int, Input]] = field(default_factory=list)
    log: str = ""
    # Whether one input alone was seen to do it.
    alone: bool = False
    times: int = 1
    path: pathlib.Path | None = None

    @property
    def kind(self) -> str:
        """Without numbers and names: by it findings are told apart."""
        first = self.what.splitlines()[0]
        if first.startswith("panicked at"):
            return first
        return re.sub(r"\d+|`[^`]*`|\"[^\"]*\"|'[^']*'", "_", first)[:160]

    @property
    def is_death(self) -> bool:
        return self.what.startswith("the process ended")

    def write(self, folder: pathlib.Path, number: int, seed: int):
        self.path = folder / f"{self.door}-{number:02}.json"
        content = {
            "door": self.door,
            "seed": seed,
            "what": self.what,
            "alone": self.alone,
            "inputs": [
                {"number": n, "how": i.how, "valid": i.valid, "slow": i.slow, "parts": [part.decode("latin-1") for part in i.parts]}
                for n, i in self.inputs
            ],
            "log": self.log,
        }
        self.path.write_text(json.dumps(content, indent=1))

    def shown(self) -> str:
        whose = "alone" if self.alone else f"one of {len(self.inputs)}"
        lines = [f"FOUND ({self.times} times, {whose}): {self.what}", f"  file: {self.path}"]
        if len(self.inputs) == 1:
            number, input_ = self.inputs[0]
            lines.append(f"  input {number}: {input_.how}")
            lines += [f"    {part[:300]!r}{' …' if len(part) > 300 else ''}" for part in input_.parts[:3]]
        return "\n".join(lines)


def read(path: pathlib.Path) -> tuple[str, list[Input]]:
    """The door and the inputs of a finding's file."""
    content = json.loads(path.read_text())
    inputs = [Input([p.encode("latin-1") for p in i["parts"]], i["how"], i["valid"], i["slow"]) for i in content["inputs"]]
    return content["door"], inputs
