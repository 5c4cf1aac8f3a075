from __future__ import annotations

import argparse
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile

from . import __doc__ as usage
from .run import OUTAGE_MAX_S, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m storm", description=usage)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--rows-per-s", type=float, default=600)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--outage-max-s", type=float, default=OUTAGE_MAX_S)
    parser.add_argument("--only", default="", help="kinds of faults, comma separated")
    parser.add_argument("--folder", type=pathlib.Path, help="for files; kept when all is well, too")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    folder = arguments.folder or pathlib.Path(tempfile.mkdtemp(prefix="loglake-storm-"))
    folder.mkdir(parents=True, exist_ok=True)
    # SIGTERM ends it like Ctrl-C, so that everything is tidied up.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        held = run(
            folder.absolute(), seed, arguments.minutes * 60, arguments.rows_per_s,
            arguments.clients, tuple(filter(None, arguments.only.split(","))),
            arguments.outage_max_s,
        )  # fmt: skip
    except KeyboardInterrupt:
        print("ended before its time", flush=True)
        return 130
    if held and arguments.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"files: {folder}", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads that hang in a request must not hold it up
