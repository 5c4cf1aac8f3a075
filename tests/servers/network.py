"""A private network of this process: each party in a network namespace of its own, on one bridge.

Needs root, `ip` and `nft`. The addresses are known inside the namespaces only. What a killed run left
behind is removed when the next network is made.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess

from .process import Place, ServerError

_PREFIX = "loglake-net-"
_NAMED = pathlib.Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

# Whom a party does not hear.
_RULES = """
table inet cuts {
  set deaf { type ipv4_addr; }
  chain input { type filter hook input priority 0; ip saddr @deaf drop; }
}
"""


def unavailable() -> str | None:
    """Why there can be no such network here; `None` when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nft") if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} is not installed (tests/setup.sh storm)"
    try:
        name = f"{_PREFIX}{os.getpid()}-probe"
        _run("ip", "netns", "add", name)
        try:
            _run("ip", "netns", "exec", name, "nft", "-f", "-", text=_RULES)
            _run("ip", "-n", name, "link", "add", "name", "bridge0", "type", "bridge")
            _run("ip", "-n", name, "link", "add", "name", "veth0", "type", "veth", "peer", "name", "veth1")
        finally:
            _run("ip", "netns", "del", name)
    except ServerError as error:
        return str(error)
    return None


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise ServerError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _remove_leftovers():
    """Those of runs whose process is gone."""
    for path in _NAMED.glob(f"{_PREFIX}*"):
        owner = path.name.removeprefix(_PREFIX).split("-")[0]
        if not (owner.isdigit() and pathlib.Path("/proc", owner).exists()):
            _remove(path.name)


def _remove(namespace: str):
    for pid in _run("ip", "netns", "pids", namespace).split():
        if int(pid) != os.getpid():
            os.kill(int(pid), signal.SIGKILL)
    _run("ip", "netns", "del", namespace)


class Network:
    """`parties` are names; each gets an address and a namespace."""

    def __init__(self, parties: list[str]):
        self.addresses = {name: f"10.231.7.{i + 10}" for i, name in enumerate(parties)}
        self._hub = self._namespace("hub")
        self._home = -1

    def _namespace(self, party: str) -> str:
        return f"{_PREFIX}{os.getpid()}-{party}"

    def place(self, party: str) -> Place:
        prefix = ("ip", "netns", "exec", self._namespace(party))
        return Place(self.addresses[party], prefix)

    def start(self) -> Network:
        _remove_leftovers()
        _run("ip", "netns", "add", self._hub)
        _run("ip", "-n", self._hub, "link", "add", "name", "bridge0", "type", "bridge")
        _run("ip", "-n", self._hub, "link", "set", "bridge0", "up")
        for party in self.addresses:
            self._add(party)
        return self

    def _add(self, party: str):
        inside, port = self._namespace(party), f"p-{party}"[:15]
        _run("ip", "netns", "add", inside)
        _run(
            "ip", "-n", self._hub, "link", "add", "name", port, "type", "veth",
            "peer", "name", "eth0", "netns", inside,
        )  # fmt: skip
        _run("ip", "-n", self._hub, "link", "set", port, "master", "bridge0", "up")
        _run("ip", "-n", inside, "link", "set", "lo", "up")
        _run("ip", "-n", inside, "address", "add", f"{self.addresses[party]}/24", "dev", "eth0")
        _run("ip", "-n", inside, "link", "set", "eth0", "up")
        _run("ip", "netns", "exec", inside, "nft", "-f", "-", text=_RULES)

    def enter(self, party: str):
        """This thread, and those it starts from now on, speak from the party's place."""
        if self._home < 0:
            self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(_NAMED / self._namespace(party), os.O_RDONLY)
        try:
            _setns(inside)
        finally:
            os.close(inside)

    def cut(self, one: str, other: str):
        """Nothing passes between the two."""
        self.silence(one, other)
        self.silence(other, one)

    def silence(self, speaker: str, hearer: str):
        """What the first says does not reach the second; the other way all is as before."""
        self._element("add", hearer, speaker)

    def mend(self, one: str, other: str):
        self._element("delete", one, other)
        self._element("delete", other, one)

    def _element(self, verb: str, at: str, whom: str):
        element = f"{{ {self.addresses[whom]} }}"
        command = ["ip", "netns", "exec", self._namespace(at)]
        command += ["nft", f"{verb} element inet cuts deaf {element}"]
        try:
            _run(*command)
        except ServerError as error:
            if "No such file" not in str(error):  # it was not cut
                raise

    def stop(self):
        if self._home >= 0:
            _setns(self._home)
            os.close(self._home)
            self._home = -1
        for party in [*self.addresses, "hub"]:
            if (_NAMED / self._namespace(party)).exists():
                _remove(self._namespace(party))

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()


def _setns(descriptor: int):
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
