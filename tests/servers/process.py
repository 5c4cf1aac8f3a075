"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
# The kernel ends a child when the *thread* that forked it ends, so one thread, which lives as long
# as this process, forks them all.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")
_ports_given: set[int] = set()


class ServerError(Exception):
    """A server that does not start, or is not there any more; with the end of its log."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a server runs: its address, and the words that bring a command there."""

    host: str = HOST
    prefix: tuple[str, ...] = ()


LOOPBACK = Place()


def free_port() -> int:
    """A port that nobody listens on, and that no outgoing connection gets by chance: below the
    kernel's ephemeral range, so that a server finds it free again after a restart."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        if port in _ports_given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        _ports_given.add(port)
        return port


def http_ok(url: str, headers: dict[str, str] | None = None, timeout: float = 1.0) -> bool:
    """Whether a GET answers 2xx."""
    try:
        request = urllib.request.Request(url, headers=headers or {})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return 200 <= answer.status < 300
    except (OSError, urllib.error.URLError, ValueError):
        return False


def _end_with_parent(parent: int):
    def before_exec():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)

    return before_exec


class Server:
    """One process: its command, its log, and whether it is ready.

    Subclasses give `command`, `ready` and maybe `environment`. The working folder outlives the
    process: after `kill9` and `start` it finds its files and its port again.
    """

    name = "server"
    ready_within_s = 60.0

    def __init__(self, folder: str | os.PathLike, place: Place = LOOPBACK):
        self.place = place
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / f"{self.name}.log"
        self._process: subprocess.Popen | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def ready(self) -> bool:
        raise NotImplementedError

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerError(f"{self.name} was not started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, wait: bool = True):
        """Starts it and waits until it is ready."""
        if self.alive:
            raise ServerError(f"{self.name} runs already as process {self.pid}")
        parent = os.getpid()
        log = open(self.log, "ab")
        try:
            self._process = _forker.submit(
                subprocess.Popen,
                [*self.place.prefix, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                preexec_fn=_end_with_parent(parent),
                start_new_session=True,  # Ctrl-C is for the parent, which ends them in order
            ).result()
        finally:
            log.close()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        deadline = time.monotonic() + self.ready_within_s
        while not self.ready():
            if not self.alive:
                code = self._process.returncode if self._process else None
                raise ServerError(f"{self.name} ended with {code}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill9()
                raise ServerError(
                    f"{self.name} is not ready after {self.ready_within_s} s:\n{self.log_tail()}"
                )
            time.sleep(0.02)

    def kill9(self):
        """No chance to tidy up. Returns when the process is gone."""
        self._signal(signal.SIGKILL)
        self._wait(10)

    def stop(self, within_s: float = 30.0) -> int | None:
        """Asks it to end, and gives its exit code; kills it when it does not."""
        if not self.alive:
            return self._process.returncode if self._process else None
        self._signal(signal.SIGTERM)
        try:
            return self._wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise ServerError(
                f"{self.name} did not end within {within_s} s of SIGTERM:\n{self.log_tail()}"
            ) from None

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """Stops it in its tracks: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self):
        self._signal(signal.SIGCONT)

    def memory_peak_bytes(self) -> int:
        """The most resident memory the process has had (VmHWM)."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise ServerError(f"{self.name} has no VmHWM")

    def reset_memory_peak(self):
        """The peak is what it is now (proc_pid_clear_refs(5))."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def log_tail(self, lines: int = 40) -> str:
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: int):
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _wait(self, within_s: float) -> int | None:
        return self._process.wait(within_s) if self._process is not None else None

    def __enter__(self):
        return self if self.alive else self.start()

    def __exit__(self, *_):
        if self.alive:
            self.resume()
            self.kill9()
