"""The cluster under the storm: three etcd, MinIO, three ingesters, two queriers."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import subprocess
import threading
import time
import urllib.request

from servers import LOOPBACK, Etcd, Loglake, Minio, Network, Place, ServerError
from servers.cluster import BUCKET
from servers.network import unavailable
from servers.process import Server

TOKEN = "storm-token"
INGESTERS = ("ingester0", "ingester1", "ingester2")
QUERIERS = ("querier0", "querier1")
ETCDS = ("etcd0", "etcd1", "etcd2")
STORE = "minio"
CLIENTS = "clients"
PARTIES = (*INGESTERS, *QUERIERS, *ETCDS, STORE, CLIENTS)

# More happens in less time: files and checkpoints are made every few seconds, not minutes. What the
# promises rest on (lease, linger, time-outs) is as shipped.
BRISK = {"LOGLAKE_INGEST_FLUSH_AGE_S": "4", "LOGLAKE_TABLE_CHECKPOINT_INTERVAL": "10"}

# Of the store, in memory.
DISK_SIZE = os.environ.get("STORM_DISK_SIZE", "8g")

_DISK_PREFIX = "loglake-storm-"

_FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
)


def _unmount_leftovers():
    """The disks of runs that were killed."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        name, folder = line.split()[:2]
        owner = name.removeprefix(_DISK_PREFIX)
        if name != owner and not pathlib.Path("/proc", owner).exists():
            subprocess.run(["umount", "-l", folder], check=False)


def faketime() -> str | None:
    return next((path for path in _FAKETIME if os.path.exists(path)), None)


class Member(Loglake):
    """One process of loglake, with a clock of its own that can be made to jump."""

    ready_within_s = 90.0

    def __init__(self, folder, **options):
        super().__init__(folder, **options)
        self.clock = self.folder / f"{self.name}.clock"
        self.set_clock(0)

    def set_clock(self, offset_s: int):
        """The wall clock of this process alone; its monotonic clock runs on."""
        part = self.clock.with_suffix(".part")
        part.write_text(f"{offset_s:+d}\n")
        part.rename(self.clock)

    def command(self):
        library = faketime()
        if library is None:
            return super().command()
        clock = [
            f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={self.clock}",
            "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
        ]  # fmt: skip
        return ["env", *clock, *super().command()]


class Cluster:
    """`network` is `None` where there are no namespaces: everything is on loopback then."""

    def __init__(self, folder: pathlib.Path, binary_env: dict[str, str] | None = None):
        self.folder = folder
        self.why_no_network = unavailable()
        self.network = None if self.why_no_network else Network(list(PARTIES))
        self._exit = contextlib.ExitStack()
        self._extra = binary_env or {}
        self.disk = folder / "disk"
        self.small_disk = False
        self.keep_bucket = False

    def place(self, party: str) -> Place:
        if self.network is None:
            return LOOPBACK
        return self.network.place(party)

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self._exit.close()
            raise
        return self

    def _start(self):
        if self.network is not None:
            self._exit.enter_context(self.network)
            self.network.enter(CLIENTS)
        _unmount_leftovers()
        data = self._disk_of_store()
        self.minio = Minio(self.folder / "minio", data=data, place=self.place(STORE))
        self._exit.enter_context(self.minio)
        self.minio.s3.make_bucket(BUCKET)
        self.etcd = Etcd(self.folder / "etcd", nodes=3, places=[self.place(e) for e in ETCDS])
        self._exit.enter_context(self.etcd)
        self.members = {name: self._member(name) for name in (*INGESTERS, *QUERIERS)}
        for member in self.members.values():
            self._exit.callback(member.__exit__)
            member.start(wait=False)
        for member in self.members.values():
            member.wait_ready()

    def _disk_of_store(self) -> pathlib.Path:
        """A file system of its own, which can be filled without harm to others."""
        self.disk.mkdir(parents=True)
        name = f"{_DISK_PREFIX}{os.getpid()}"
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", name, str(self.disk)]
        if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
            self.small_disk = True
            self._exit.callback(self._unmount)
        return self.disk

    def resize_disk(self, size: str) -> bool:
        """Whether it could be made so big: not smaller than it is full."""
        command = ["mount", "-o", f"remount,size={size}", str(self.disk)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def _unmount(self):
        if self.keep_bucket:
            self.resize_disk(DISK_SIZE)
            subprocess.run(["cp", "-a", self.disk, self.folder / "kept-bucket"], check=False)
        subprocess.run(["umount", "-l", str(self.disk)], check=False)

    def _member(self, name: str) -> Member:
        roles = "ingest,maintain" if name in INGESTERS else "query"
        return Member(
            self.folder / name,
            name=name,
            place=self.place(name),
            store=f"s3://{BUCKET}",
            etcd=self.etcd.endpoints,
            token=TOKEN if self.network else None,
            args=["--roles", roles],
            env={**self.minio.client_environment(), **BRISK, **self._extra},
        )

    def address(self, name: str) -> tuple[str, int]:
        member = self.members[name]
        return member.place.host, member.http_port

    @property
    def token(self) -> str | None:
        return TOKEN if self.network else None

    def server(self, party: str) -> Server:
        if party == STORE:
            return self.minio
        if party in ETCDS:
            return self.etcd.nodes[ETCDS.index(party)]
        return self.members[party]

    def etcd_leader(self) -> str | None:
        """By etcd's own metric; `None` when there is none now."""
        for name, node in zip(ETCDS, self.etcd.nodes, strict=True):
            try:
                with urllib.request.urlopen(f"{node.client_url}/metrics", timeout=1) as answer:
                    if b"\netcd_server_is_leader 1" in answer.read():
                        return name
            except OSError:
                continue
        return None

    def __exit__(self, *exception):
        self._exit.close()


class Supervisor(threading.Thread):
    """Starts members that ended by themselves, as an init system does, and remembers that it did."""

    def __init__(self, cluster: Cluster, stopping: threading.Event):
        super().__init__(name="supervisor", daemon=True)
        self.cluster, self.stopping = cluster, stopping
        self.down_on_purpose: set[str] = set()
        self.lock = threading.Lock()
        self.restarts: list[str] = []

    def run(self):
        while not self.stopping.wait(0.3):
            with self.lock:
                for name, member in self.cluster.members.items():
                    if name in self.down_on_purpose or member.alive:
                        continue
                    at = datetime.datetime.now().strftime("%H:%M:%S")
                    last = member.log_tail(1)
                    self.restarts.append(f"{at} {name} ended by itself: {last}")
                    member.start(wait=False)

    def kill(self, name: str, gracefully: bool = False):
        """Down until `bring_back`."""
        with self.lock:
            self.down_on_purpose.add(name)
            server = self.cluster.server(name)
        if gracefully:
            try:
                server.stop(within_s=40)
            except ServerError:
                with self.lock:
                    self.restarts.append(f"{name} did not stop within 40 s and was killed")
        else:
            server.kill9()

    def bring_back(self, name: str):
        with self.lock:
            self.down_on_purpose.discard(name)
            server = self.cluster.server(name)
            if not server.alive:
                server.start(wait=False)
        deadline = time.monotonic() + 60
        while not server.ready() and time.monotonic() < deadline and not self.stopping.is_set():
            time.sleep(0.05)
