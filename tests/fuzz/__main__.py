from __future__ import annotations

import argparse
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "e2e")]

from servers.command import run_in_folder  # noqa: E402

from . import __doc__ as usage  # noqa: E402
from .doors import DOORS  # noqa: E402
from .inputs import NotOffered, read  # noqa: E402
from .run import Run, replay  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=usage, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--door", default="", help=f"comma separated, all without: {', '.join(DOORS)}")
    parser.add_argument("--seconds", type=float, default=60, help="of each door")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first input's number")
    parser.add_argument("--count", type=int, help="inputs of a door at most")
    parser.add_argument("--folder", type=pathlib.Path, help="for files; kept when nothing was found, too")
    parser.add_argument("--replay", type=pathlib.Path, help="a file that was written of a finding")
    arguments = parser.parse_args()

    def held(folder: pathlib.Path) -> bool:
        return _replay(arguments.replay) if arguments.replay else _fuzz(arguments, folder)

    return run_in_folder(arguments.folder, "loglake-fuzz-", held)


def _replay(path: pathlib.Path) -> bool:
    door, inputs = read(path)
    return replay(DOORS[door](), inputs)


def _fuzz(arguments, folder: pathlib.Path) -> bool:
    names = arguments.door.split(",") if arguments.door else list(DOORS)
    if unknown := set(names) - set(DOORS):
        sys.exit(f"no doors: {', '.join(unknown)}; there are {', '.join(DOORS)}")
    found = 0
    for name in names:
        run = Run(DOORS[name](), arguments.seed, folder, arguments.seconds, arguments.first, arguments.count)
        try:
            run.run()
        except NotOffered as problem:
            print(f"{name}: skipped: {problem}", flush=True)
            continue
        found += len(run.findings)
        _summary(name, run)
    return found == 0


def _summary(name: str, run: Run):
    answers = ", ".join(f"{answer} {n}" for answer, n in run.answers.most_common(12))
    rate = run.sent / max(run.sending_s, 0.1)
    print(
        f"{name}: {run.sent} inputs, {rate:.0f} a second, {run.rounds} lakes, {run.memory_peak >> 20} MiB at most, "
        f"{len(run.findings)} kinds of findings ({answers})",
        flush=True,
    )
    for finding in run.findings.values():
        print(f"  {finding.times:6} × {finding.what.splitlines()[0][:200]}  {finding.path}", flush=True)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads that hang in a request must not hold it up
