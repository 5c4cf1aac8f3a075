"""A whole cluster on this machine without Docker, as docker-compose.yml describes it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
import tempfile
import threading

from . import minio
from .etcd import Etcd
from .loglake import Loglake
from .minio import Minio
from .process import ServerError

BUCKET = "loglake"


@contextlib.contextmanager
def minio_and_etcd(folder: pathlib.Path, nodes: int):
    """MinIO with an empty bucket, and etcd."""
    with Minio(folder / "minio") as store, Etcd(folder / "etcd", nodes) as etcd:
        store.s3.make_bucket(BUCKET)
        yield store, etcd


def run(folder: str | None):
    """Starts it, says where it is, and waits for Ctrl-C."""
    # SIGTERM ends it like Ctrl-C, so that everything is tidied up.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="loglake-cluster-"))
        path = pathlib.Path(folder).absolute()
        try:
            print("starting MinIO and three etcd …", flush=True)
            store, etcd = stack.enter_context(minio_and_etcd(path, 3))
            print("starting loglake …", flush=True)
            lake = Loglake(
                path / "loglake",
                store=f"s3://{BUCKET}",
                etcd=etcd.endpoints,
                env=store.client_environment(),
                http=int(os.environ.get("HTTP_PORT", "9400")),
                grpc=int(os.environ.get("GRPC_PORT", "9401")),
            )
            stack.enter_context(lake)
            print(
                f"""
  HTTP      {lake.url}
  gRPC      {lake.grpc} (Flight SQL)
  MinIO     {store.endpoint}, bucket {BUCKET}, key {minio.KEY}, secret {minio.SECRET}
  etcd      {etcd.endpoints}
  files     {path}

Ctrl-C ends everything{" and removes the files" if str(path).startswith(tempfile.gettempdir()) else ""}.
""",
                flush=True,
            )
            threading.Event().wait()
        except KeyboardInterrupt:
            print("\nending", flush=True)
            if "lake" in locals() and lake.alive:
                lake.stop()
        except ServerError as error:
            sys.exit(str(error))
