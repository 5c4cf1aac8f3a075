from __future__ import annotations

import argparse
import os
import pathlib
import random
import sys

from servers.command import run_in_folder

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

    def held(folder: pathlib.Path) -> bool:
        return run(
            folder, seed, arguments.minutes * 60, arguments.rows_per_s,
            arguments.clients, tuple(filter(None, arguments.only.split(","))),
            arguments.outage_max_s,
        )  # fmt: skip

    return run_in_folder(arguments.folder, "loglake-storm-", held)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads that hang in a request must not hold it up
