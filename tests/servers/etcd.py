"""A real etcd on loopback: one node or three."""

from __future__ import annotations

import os
import shutil

from . import build
from .process import LOOPBACK, Place, Server, ServerError, free_port, http_ok


class EtcdNode(Server):
    def __init__(
        self, folder, name: str, client_port: int, peer_port: int, place: Place = LOOPBACK
    ):
        self.name = name
        super().__init__(folder, place)
        self.client_url = f"http://{place.host}:{client_port}"
        self.peer_url = f"http://{place.host}:{peer_port}"
        self.cluster = ""

    def command(self):
        # Another version can be tried: Debian's etcd-server, for example, is 3.4.
        binary = os.environ.get("LOGLAKE_ETCD_BIN") or str(build.etcd())
        if not os.path.exists(binary):
            raise ServerError("etcd is not built: python3 -m servers build")
        state = "existing" if (self.folder / self.name / "member").exists() else "new"
        return [
            binary, "--name", self.name, "--data-dir", str(self.folder / self.name),
            "--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", self.cluster, "--initial-cluster-state", state,
            "--initial-cluster-token", str(self.folder), "--logger", "zap",
        ]  # fmt: skip

    def ready(self):
        return http_ok(f"{self.client_url}/health")


class Etcd:
    """The nodes together; `nodes[i]` has each alone, to kill or to pause."""

    def __init__(
        self,
        folder,
        nodes: int = 1,
        ports: list[int] | None = None,
        places: list[Place] | None = None,
    ):
        """`ports`: of the clients, one a node; free ones when not given."""
        ports = ports or [free_port() for _ in range(nodes)]
        places = places or [LOOPBACK] * len(ports)
        self.nodes = [
            EtcdNode(folder, f"etcd{i}", port, free_port(), place)
            for i, (port, place) in enumerate(zip(ports, places, strict=True))
        ]
        for node in self.nodes:
            node.cluster = ",".join(f"{n.name}={n.peer_url}" for n in self.nodes)

    @property
    def endpoints(self) -> str:
        return ",".join(node.client_url for node in self.nodes)

    def start(self):
        for node in self.nodes:
            if not node.alive:
                node.start(wait=False)
        for node in self.nodes:
            node.wait_ready()
        return self

    def kill9(self):
        for node in self.nodes:
            node.kill9()

    def stop(self):
        for node in self.nodes:
            node.stop()

    def restart(self):
        self.stop()
        return self.start()

    def wipe(self):
        """Ends it and removes all that it knew: the next start is on an empty etcd."""
        self.kill9()
        for node in self.nodes:
            shutil.rmtree(node.folder / node.name, ignore_errors=True)

    def pause(self):
        for node in self.nodes:
            node.pause()

    def resume(self):
        for node in self.nodes:
            node.resume()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        for node in self.nodes:
            node.__exit__()
