"""A short storm of real faults over a whole cluster; `make storm` runs a longer one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

MINUTES = os.environ.get("LOGLAKE_STORM_MINUTES", "3")
SEED = os.environ.get("LOGLAKE_STORM_SEED", "4")
TESTS = pathlib.Path(__file__).resolve().parent.parent


def test_a_storm_loses_nothing(tmp_path, capfd):
    # A process of its own: it moves into a network namespace.
    command = [sys.executable, "-m", "storm", "--minutes", MINUTES, "--seed", SEED]
    command += ["--folder", str(tmp_path / "storm")]
    done = subprocess.run(command, cwd=TESTS, stdout=subprocess.PIPE, text=True, timeout=1800)
    with capfd.disabled():
        print("\n" + done.stdout[done.stdout.rfind("==== storm") :])
    assert done.returncode == 0, done.stdout[-8000:]
