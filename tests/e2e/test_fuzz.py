"""A few seconds of changed requests to each door; `make fuzz` sends them for longer."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from fuzz.doors import DOORS

SECONDS = "5"
TESTS = pathlib.Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("door", DOORS)
def test_a_door_answers_whatever_comes(door, tmp_path):
    command = [sys.executable, "-m", "fuzz", "--door", door, "--seconds", SECONDS, "--seed", "1"]
    command += ["--folder", str(tmp_path / "fuzz")]
    done = subprocess.run(command, cwd=TESTS, stdout=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-8000:]
