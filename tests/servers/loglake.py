"""The binary under test."""

from __future__ import annotations

import os
import pathlib
import subprocess

from .process import LOOPBACK, Place, Server, ServerError, free_port, http_ok


def binary() -> str:
    """From `LOGLAKE_BIN`, or where cargo puts it."""
    if given := os.environ.get("LOGLAKE_BIN"):
        return given
    default = pathlib.Path.home() / ".cache" / "loglake" / "target"
    target = os.environ.get("CARGO_TARGET_DIR") or default
    return str(pathlib.Path(target) / "debug" / "loglake")


class Loglake(Server):
    """`loglake serve` over a directory (`data`) or a bucket (`store`, with `etcd` if any)."""

    def __init__(
        self,
        folder,
        *,
        data: str | os.PathLike | None = None,
        store: str | None = None,
        etcd: str | None = None,
        token: str | None = None,
        args: list[str] = (),
        env: dict[str, str] | None = None,
        http: int | None = None,
        grpc: int | None = None,
        kafka: bool = False,
        place: Place = LOOPBACK,
        name: str = "loglake",
    ):
        self.name = name
        super().__init__(folder, place)
        self.data = None if store else pathlib.Path(data or self.folder / "data")
        self.store, self.etcd, self.token = store, etcd, token
        self.args, self.env = list(args), dict(env or {})
        self.http_port, self.grpc_port = http or free_port(), grpc or free_port()
        self.kafka = f"{place.host}:{free_port()}" if kafka else None
        self.url = f"http://{place.host}:{self.http_port}"
        self.grpc = f"grpc://{place.host}:{self.grpc_port}"

    def where(self) -> list[str]:
        """The lake, as every command of the binary takes it."""
        return ["--store", self.store] if self.store else ["--data", str(self.data)]

    def command(self):
        etcd = ["--etcd", self.etcd] if self.etcd else []
        addresses = [
            "--http", f"{self.place.host}:{self.http_port}",
            "--grpc", f"{self.place.host}:{self.grpc_port}",
        ]  # fmt: skip
        kafka = ["--kafka", self.kafka] if self.kafka else []
        return [binary(), "serve", *self.where(), *etcd, *addresses, *kafka, *self.args]

    def environment(self):
        token = {"LOGLAKE_TOKEN": self.token} if self.token else {}
        return {"NO_COLOR": "1", **token, **self.env}

    def ready(self):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return http_ok(f"{self.url}/ready", headers)

    def run(self, *args: str, timeout: float = 300, **kwargs) -> subprocess.CompletedProcess:
        """Another command of the binary in the same surroundings; its output is captured."""
        environment = {**os.environ, **self.environment()}
        return subprocess.run(
            [binary(), *args], env=environment, capture_output=True, timeout=timeout, **kwargs
        )

    def verify(self, timeout: float = 300) -> str:
        """`loglake verify` over the lake; an error unless all is well."""
        answer = self.run("verify", *self.where(), timeout=timeout)
        text = (answer.stdout + answer.stderr).decode(errors="replace")
        if answer.returncode != 0:
            raise ServerError(f"loglake verify ended with {answer.returncode}:\n{text}")
        return text
