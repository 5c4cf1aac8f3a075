"""The process under the inputs: it lives, its log has no panic, its memory stays under a bound."""

from __future__ import annotations

import os
import pathlib
import re

from servers import Loglake, ServerError

from .door import BOUNDED, TOKEN, Door

MEMORY_BYTES_MAX = 1 << 30
# Of the line after it the message; more with RUST_BACKTRACE.
_PANIC = re.compile(r"panicked at ([^\n]+?):?\n([^\n]*)")
_ERROR = re.compile(r"^\S+Z +ERROR ([^\n]*)", re.MULTILINE)
# Said by the runtime of a stack that overflowed, and by the allocator.
_FATAL = re.compile(r"(has overflowed its stack|memory allocation of \d+ bytes failed[^\n]*)")


def lake_of(door: Door, folder: pathlib.Path, **env: str) -> Loglake:
    """A lake over a new directory, with everything on that doors need."""
    of_door, beside = door.begin()
    lake = Loglake(folder, kafka=True, token=TOKEN, env={**BOUNDED, **of_door, **env})
    lake.beside = beside
    lake.ready_within_s = 120
    return lake


class Watch:
    """Looks at a lake again and again; each look tells what is new."""

    def __init__(self, lake: Loglake):
        self.lake, self.read = lake, 0
        self.memory_peak, self.is_dead = 0, False

    def look(self) -> list[str]:
        if self.is_dead:
            return []
        found = self._log()
        if not self.lake.alive:
            self.is_dead = True
            # What it said last is in the log by now.
            found += self._log()
            why = _FATAL.findall(self.lake.log.read_text(errors="replace"))
            return [*found, f"the process ended with {self.lake._process.returncode}: {'; '.join(why)}"]
        try:
            memory = self.lake.memory_peak_bytes()
        except (ServerError, OSError):
            return found  # it ends just now
        self.memory_peak = max(self.memory_peak, memory)
        if memory > MEMORY_BYTES_MAX:
            self.lake.reset_memory_peak()
            found.append(f"memory over {MEMORY_BYTES_MAX >> 20} MiB\nof {memory >> 20} MiB")
        return found

    def _log(self) -> list[str]:
        with open(self.lake.log, "rb") as log:
            log.seek(self.read)
            new = log.read()
        # A line that is not whole yet is read the next time, and so is what a panic says in its next line.
        end = new.rfind(b"\n") + 1
        if re.search(rb"panicked at [^\n]*\n$", new[:end]) and self.lake.alive:
            end = new.rfind(b"panicked at")
            end = new.rfind(b"\n", 0, end) + 1
        self.read += end
        text = new[:end].decode(errors="replace")
        found = [f"panicked at {place}\n{said}" for place, said in _PANIC.findall(text)]
        return found + [f"in the log: {line}" for line in _ERROR.findall(text)]

    def resident_bytes(self) -> int:
        pages = pathlib.Path(f"/proc/{self.lake.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
