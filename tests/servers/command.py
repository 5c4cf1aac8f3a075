"""What the commands of the tests share: they tidy up, however they end."""

from __future__ import annotations

import pathlib
import shutil
import signal
import tempfile
from collections.abc import Callable


def end_like_ctrl_c():
    """SIGTERM ends a command like Ctrl-C, so that everything is tidied up."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def run_in_folder(given: pathlib.Path | None, prefix: str, held: Callable[[pathlib.Path], bool]) -> int:
    """The exit code of what holds or not and leaves files: they are kept when it did not hold, or the folder was given."""
    folder = given or pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    folder.mkdir(parents=True, exist_ok=True)
    end_like_ctrl_c()
    try:
        is_held = held(folder.absolute())
    except KeyboardInterrupt:
        print("ended before its time", flush=True)
        return 130
    if is_held and given is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"files: {folder}", flush=True)
    return 0 if is_held else 1
